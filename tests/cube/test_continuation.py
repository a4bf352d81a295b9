"""What follows a given state, and what came before it; on a real small bottle."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import bottles
from xr_cbottle import Cube, continue_from
from xr_cbottle.bottle.records import BridgeSpec
from xr_cbottle.cube import cache


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("continued")
    return bottles.synthetic_bottle(folder / "small.cbottle", bridge=BridgeSpec("PT6H", "P2D", ("a", "b")))


@pytest.fixture(autouse=True)
def empty_cache():
    cache.shared().clear()


@pytest.fixture
def state(bottle):
    return Cube(bottle, seed=9).to_dataset().isel(time=40).load()


@pytest.mark.parametrize("until", ["P5D", "-P5D"])
def test_a_state_goes_on_and_comes_from_somewhere(bottle, state, until):
    ds = continue_from(state, bottle, until=until, members=2)
    assert ds.sizes["time"] == 21
    times = (
        state.time.values + np.arange(21) * np.timedelta64(6, "h") - np.timedelta64(120 if until[0] == "-" else 0, "h")
    )
    np.testing.assert_array_equal(ds.time, times)
    assert ds.attrs["continued_from"] == "1980-01-11T00:00"
    whole = ds.ta.values
    there = 20 if until[0] == "-" else 0
    np.testing.assert_allclose(ds.tas.isel(member=1, time=there), state.tas, rtol=1e-6)
    assert not np.array_equal(whole[0, 10], whole[1, 10])
    cache.shared().clear()
    for i in (13, 2, 20):
        np.testing.assert_array_equal(continue_from(state, bottle, until=until, members=2).ta[:, i], whole[:, i])
    cache.shared().clear()
    other = continue_from(state.assign(tas=state.tas + 5), bottle, until=until, members=2).ta.isel(time=10).values
    assert not np.array_equal(other, whole[:, 10])
    assert not cache.shared().held


def test_a_chain_of_roots_is_drawn_once_however_far_one_reads(bottle, state):
    ds = continue_from(state, bottle, until="P20D", batch_size=1)
    emulator = Cube(bottle, coherence="bridge", batch_size=1).emulator()
    count = emulator.drawn
    ds.tas.isel(time=-1).load()
    assert emulator.drawn - count == 10
    ds.tas.isel(time=-2).load()
    assert emulator.drawn - count == 13


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(until="P0D"), "until is 'P0D': give a time or a duration"),
        (dict(until="soon"), "until is 'soon': give a time or a duration"),
        (dict(until="PT1H"), "at least one step"),
        (dict(until="P1000D"), "it may lie at most"),
        (dict(until="-P30D"), "sea surface temperature is of"),
        (dict(step="P1M"), "is not an ISO-8601 step"),
    ],
)
def test_bad_continuations_are_refused_in_a_sentence(bottle, state, changes, says):
    with pytest.raises(ValueError, match=says) as caught:
        continue_from(state, bottle, **changes)
    assert "\n" not in str(caught.value)


def test_bad_states_are_refused_in_a_sentence(bottle, state, tmp_path):
    with pytest.raises(ValueError, match="lacks pr of small: draw it first"):
        continue_from(state.drop_vars("pr"), bottle)
    with pytest.raises(ValueError, match="has 2 times: give one of them"):
        continue_from(xr.concat([state, state.assign_coords(time=state.time + np.timedelta64(6, "h"))], "time"), bottle)
    with pytest.raises(ValueError, match=r"^[^\n]*zoom[^\n]*$"):
        continue_from(Cube(bottle, zoom=1).to_dataset().isel(time=0), bottle)
    with pytest.raises(ValueError, match="lacks values of tas: draw them first"):
        continue_from(state.assign(tas=state.tas.where(state.cell > 3)), bottle).tas.isel(time=3).load()
    plain = bottles.synthetic_bottle(tmp_path / "plain.cbottle")
    with pytest.raises(ValueError, match=r"^plain has no network that draws weather between two states, and so cannot"):
        continue_from(state, plain)
    with pytest.raises(TypeError, match="unknown keyword coherence"):
        continue_from(state, bottle, coherence="bridge")
