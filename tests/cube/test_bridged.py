"""Instants that are drawn between others: the same bits in any way of reading, each once; on a real small bottle."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import xarray as xr

from tests import bottles
from tests.bottle.test_coherence import coherence
from xr_cbottle import Cube, Emulator
from xr_cbottle.bottle.records import BridgeSpec, LabelSpec, TimeSpec
from xr_cbottle.cube import cache
from xr_cbottle.draw.bridge import Bridge, Ends
from xr_cbottle.draw.emulator import Instant
from xr_cbottle.store import CBottleStore

SPEC = BridgeSpec("PT6H", "P2D", ("a", "b"))
SOME = slice(3, 20)


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bridged")
    return bottles.synthetic_bottle(folder / "small.cbottle", bridge=SPEC, superres=bottles.fine_specs())


@pytest.fixture(scope="module")
def hourly(tmp_path_factory):
    return bottles.synthetic_bottle(
        tmp_path_factory.mktemp("hourly") / "hourly.cbottle", bridge=SPEC, time=TimeSpec("1980-01-01", "1980-03-01")
    )


@pytest.fixture(autouse=True)
def empty_cache():
    cache.shared().clear()


def cube(bottle, **keywords):
    return Cube(bottle, coherence="bridge", **keywords)


def opened(bottle, **keywords):
    return cube(bottle, **keywords).to_dataset()


def drawn(one):
    return one.emulator().drawn + one.emulator().ahead


def test_any_way_of_reading_gives_the_same_values(bottle):
    whole = opened(bottle).ta.isel(time=SOME).values
    for order in (reversed(range(17)), [4, 0, 16, 9]):
        cache.shared().clear()
        for i in order:
            np.testing.assert_array_equal(opened(bottle).ta.isel(time=3 + i).values, whole[i])
    cache.shared().clear()
    chunked = cube(bottle).to_dataset({}).ta.isel(time=SOME).compute(scheduler="threads").values
    np.testing.assert_array_equal(chunked, whole)
    cache.shared().clear()
    ds = opened(bottle, members=[5, 0], time="P1D")
    np.testing.assert_array_equal(ds.ta.sel(member=0).isel(time=slice(1, 5)).values, whole[1:17:4])
    code = (
        "import sys; from tests.cube.test_bridged import opened;"
        "sys.stdout.buffer.write(opened(sys.argv[1]).ta.isel(time=7).values.tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", code, str(bottle)], check=True, capture_output=True).stdout
    assert other == whole[4].tobytes()


def test_members_seeds_and_labels_are_other_weather(bottle):
    fields = [
        opened(bottle).tas.isel(time=5), opened(bottle, seed=1).tas.isel(time=5),
        opened(bottle, members=[1]).tas.isel(member=0, time=5), opened(bottle, label="b").tas.isel(time=5),
        Cube(bottle).to_dataset().tas.isel(time=5),
    ]  # fmt: skip
    values = [field.values for field in fields]
    assert all(not np.array_equal(a, b) for i, a in enumerate(values) for b in values[:i])


def test_what_the_data_of_a_label_lacked_comes_from_its_donor(bottle):
    """Label b knows no rlut: that of the ends is not told to it, but to the donor, which draws rlut."""
    made, rng = Bridge(cube(bottle, label="b").emulator()), np.random.default_rng(0)
    before, after = rng.standard_normal((2, len(bottles.CHANNELS), 192)).astype(np.float32)
    other, lent = before.copy(), bottles.CHANNELS.index("rlut")
    other[lent] += 1
    when = [Instant("b", 0, 0, np.datetime64("1980-01-02", "s"))]
    one, two = (made.between("b", when, [Ends(state, after, 6 * 3600)])[0] for state in (before, other))
    np.testing.assert_array_equal(np.delete(one, lent, 0), np.delete(two, lent, 0))
    assert np.abs(one[lent] - two[lent]).max() > 1e-3


def test_a_root_is_the_instant_of_a_data_set_without_a_bridge(bottle):
    """1980-01-01 lies 3652 days after the origin, a whole number of intervals of two days."""
    there = Cube(bottle).to_dataset().tas.isel(time=8).values
    np.testing.assert_allclose(opened(bottle).isel(time=8).tas.values, there, rtol=1e-6)  # a state is float32


def test_roots_have_the_noise_of_latents_if_the_bottle_carries_it(tmp_path):
    path = bottles.synthetic_bottle(tmp_path / "both.cbottle", bridge=SPEC, coherence=coherence())
    there = Cube(path, coherence="latents").to_dataset().tas.isel(time=8).values
    np.testing.assert_allclose(opened(path).tas.isel(time=8).values, there, rtol=1e-6)
    assert np.abs(opened(path).tas.isel(time=9) - Cube(path, coherence="latents").to_dataset().tas[9]).max() > 1


def test_each_state_is_drawn_once_and_one_instant_takes_few(bottle):
    one = cube(bottle, batch_size=1)
    count = drawn(one)
    one.to_dataset().tas.isel(time=3).load()
    assert drawn(one) - count == 3 + 2  # one of each depth, and two roots
    one.to_dataset().pr.isel(time=3).load()
    assert drawn(one) - count == 5
    one.to_dataset().isel(time=slice(0, 8)).load()
    assert drawn(one) - count == 8 + 1
    one.to_dataset().isel(time=slice(8, 64)).load()
    assert drawn(one) - count == 64 + 1
    assert not cache.shared().held


def test_a_batch_has_states_of_one_depth_and_a_month_costs_hardly_more_than_its_instants(bottle, monkeypatch):
    from xr_cbottle.draw.emulator import Emulator as Drawing

    batches = []
    inside = Drawing.batch

    def counted(self, times, networks=None):
        batches.append(len(times))
        return inside(self, times, networks)

    monkeypatch.setattr(Drawing, "batch", counted)
    opened(bottle).isel(time=slice(0, 128)).load()
    assert 0 <= sum(batches) - (128 + 1) <= 3  # what filled the last ones
    assert len(batches) <= 1.2 * 128 / 4


def test_threads_draw_each_state_once(bottle):
    one = cube(bottle)
    ds, count, found = one.to_dataset(), drawn(one), {}

    def read(i):
        found[i] = ds.tas.isel(time=i).values

    threads = [threading.Thread(target=read, args=(i,)) for i in range(1, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(found) == list(range(1, 16))
    assert drawn(one) - count <= 17 + 8  # and what filled batches: of the next two days, at most
    cache.shared().clear()
    np.testing.assert_array_equal(np.stack([found[i] for i in range(1, 16)]), ds.tas.isel(time=slice(1, 16)).values)


def test_a_small_memory_changes_no_value(bottle):
    whole = opened(bottle).tas.isel(time=SOME).values
    cache.shared().clear()
    np.testing.assert_array_equal(opened(bottle, cache_size=0).tas.isel(time=SOME).values, whole)
    assert not cache.shared().held


def test_a_folder_keeps_states_too(bottle, tmp_path):
    one = cube(bottle, cache_dir=tmp_path, batch_size=1)
    whole = one.to_dataset().tas.isel(time=slice(0, 3)).values
    count = drawn(one)
    cache.shared().clear()
    np.testing.assert_array_equal(one.to_dataset().tas.isel(time=slice(0, 3)).values, whole)
    assert drawn(one) == count
    one.to_dataset().tas.isel(time=3).load()
    assert drawn(one) == count + 1  # those above it are in the folder


def test_between_two_leaves_nothing_is_drawn_and_nothing_depends_on_the_company(hourly):
    ds = opened(hourly)
    six = ds.tas.isel(time=slice(0, 13)).values
    cache.shared().clear()
    alone = opened(hourly, time="PT3H").tas.isel(time=1).values
    np.testing.assert_array_equal(alone, six[3])
    one = cube(hourly, batch_size=1)
    one.to_dataset().tas.isel(time=[6, 12]).load()
    count = drawn(one)
    one.to_dataset().tas.isel(time=slice(6, 13)).load()
    assert drawn(one) == count
    six = six.astype(np.float64)
    steps = np.sqrt((np.diff(six, axis=0) ** 2).mean(1))
    assert steps[:6].max() < 1.1 * steps[:6].min()  # evenly from one leaf to the next
    assert steps.max() < 0.5 * np.sqrt(((six[6] - six[0]) ** 2).mean())
    assert six.var(1).min() > 0.9 * six[[0, 6, 12]].var(1).min()


def test_the_fine_level_refines_it(bottle):
    fine = opened(bottle, zoom=5).tas.isel(time=3, cell=slice(0, 1024)).values
    assert fine.shape == (1024,)
    cache.shared().clear()
    np.testing.assert_array_equal(opened(bottle, zoom=5).tas.isel(time=3, cell=slice(0, 1024)).values, fine)


def test_means_are_of_bridged_instants(bottle):
    mean = opened(bottle, time="P1D", time_method="mean").tas.isel(time=1).values
    np.testing.assert_allclose(mean, opened(bottle).tas.isel(time=slice(4, 8)).values.mean(0), rtol=1e-5)


def test_attributes_store_and_facts_say_so(bottle):
    from xr_cbottle.bottle.bottle import open_bottle
    from xr_cbottle.bottle.facts import facts, text
    from xr_cbottle.serve import address

    ds = opened(bottle, zoom=5)
    assert "every P2D" in ds.attrs["coherence"]
    assert "down to PT6H" in ds.attrs["coherence"]
    assert "superres_coherence" in ds.attrs
    assert opened(bottle).tas.encoding["preferred_chunks"]["time"] == 8
    stored = xr.open_zarr(CBottleStore(bottle, coherence="bridge"), consolidated=False).tas.isel(time=9).values
    np.testing.assert_array_equal(stored, opened(bottle).tas.isel(time=9).values)
    asked = address.parse("PT6H_inst_s0_m0_z2_wbridge")
    assert str(asked) == "PT6H_inst_s0_m0_z2_wbridge"
    assert Cube(bottle, **asked.keywords()).spec == cube(bottle, time="PT6H", zoom=2).spec
    known = facts(open_bottle(bottle))
    assert known["coherence"] == ["none", "bridge", "a duration"]
    assert "coherence='bridge'" in text(known)
    with pytest.warns(UserWarning, match="open it with coherence='bridge'"):
        xr.open_dataset(bottle, engine="cbottle", time="P1D", time_method="mean")


def test_what_it_costs_is_said(bottle):
    from xr_cbottle.cube.cost import estimate
    from xr_cbottle.cube.output_form import OutputForm
    from xr_cbottle.cube.portions import portions

    def batches(**keywords):
        one = Cube(bottle, **keywords)
        return estimate(one, ["tas"], portions(one, None, OutputForm())).batches

    assert batches(time=slice("1980-01-01", "1980-01-16")) == 16
    assert batches(time=slice("1980-01-01", "1980-01-16"), coherence="bridge") == 17
    daily = slice("1980-01-01T06", "1980-01-16T06", "P4D")
    assert (batches(time=daily), batches(time=daily, coherence="bridge")) == (1, 5)


def test_a_sensitivity_is_of_independent_draws(bottle):
    from xr_cbottle import sensitivity

    with pytest.raises(ValueError, match=r"^tas is drawn between other instants: open the bottle without coherence="):
        sensitivity(xr.open_dataset(bottle, engine="cbottle", coherence="bridge").tas.isel(time=[3]))


def test_who_has_no_bridge_says_so(tmp_path):
    plain = bottles.synthetic_bottle(tmp_path / "plain.cbottle")
    with pytest.raises(ValueError, match=r"^coherence is 'bridge': plain has no network that draws weather [^\n]*$"):
        cube(plain)
    with pytest.raises(ValueError, match=r"^plain has no bridge: choose a bottle that has one$"):
        Bridge(Emulator(plain))
    with pytest.raises(ValueError, match=r"^an emulator draws no instants between others: open a data set with "):
        Emulator(plain, coherence="bridge").draw("1980-01-01")
    one = bottles.synthetic_bottle(
        tmp_path / "one.cbottle", bridge=BridgeSpec("PT6H", "P2D", ("b",)),
        labels={"a": LabelSpec(0), "b": LabelSpec(1)},
    )  # fmt: skip
    with pytest.raises(
        ValueError, match=r"^coherence is 'bridge': that of one was trained on b and knows nothing of a"
    ):
        cube(one)
    assert cube(one, label="b").spec.tree is not None
