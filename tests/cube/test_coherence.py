"""Coherent data sets: the same values through any way of reading, and each other's weather; on a real small bottle."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

from tests import bottles
from tests.bottle.test_coherence import coherence
from xr_cbottle import Cube, events
from xr_cbottle.cube import cache

SOME = slice(3, 11)


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coherent")
    return bottles.synthetic_bottle(folder / "small.cbottle", coherence=coherence(), superres=bottles.fine_specs())


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return bottles.synthetic_bottle(tmp_path_factory.mktemp("plain") / "small.cbottle")


@pytest.fixture(autouse=True)
def empty_cache():
    cache.shared().clear()


def opened(bottle, **keywords):
    return Cube(bottle, **keywords).to_dataset()


@pytest.mark.parametrize("how", ["latents", "2D"])
def test_any_way_of_reading_gives_the_same_values(bottle, how):
    ds = opened(bottle, coherence=how)
    whole = ds.tas.isel(time=SOME).values
    cache.shared().clear()
    again = np.stack([opened(bottle, coherence=how).tas.isel(time=i).values for i in range(10, 2, -1)][::-1])
    scale = whole.std()
    np.testing.assert_allclose(again, whole, rtol=0, atol=1e-4 * scale)
    chunked = Cube(bottle, coherence=how, cache_size=0).to_dataset(chunks={"time": 3})
    np.testing.assert_allclose(chunked.tas.isel(time=SOME).values, whole, rtol=0, atol=1e-4 * scale)


def test_neighbours_are_alike_only_if_they_are_asked_to_be(bottle):
    def jumps(how):
        ta = opened(bottle, coherence=how).ta.isel(time=slice(0, 8)).values
        return (np.diff(ta, axis=0) ** 2).mean()

    alone, slow, fitted = (jumps(how) for how in ("none", "5D", "latents"))
    assert slow < 0.3 * alone
    assert slow < fitted < 0.7 * alone


def test_coherence_is_part_of_what_a_value_is_a_function_of(bottle):
    hows = ("none", "latents", "2D", "PT47H")
    assert len({Cube(bottle, coherence=how).spec.namespace for how in hows}) == 4
    assert len({Cube(bottle, coherence=how).spec.token for how in hows}) == 4
    assert Cube(bottle, coherence="2D").spec == Cube(bottle, coherence=np.timedelta64(48, "h")).spec
    assert Cube(bottle, coherence="latents").spec == Cube(bottle).spec == Cube(bottle, coherence=None).spec


def test_the_default_is_what_the_bottle_was_fitted_for(bottle, plain):
    """A bottle's own memory where it has one and nothing needs independent draws."""
    assert Cube(bottle).spec.coherence == "latents"
    assert Cube(plain).spec.coherence is None
    assert Cube(plain, coherence="none").spec == Cube(plain).spec
    guide = events.Guide(events.box("tas", 0, 90, -30, 30, above=290, softness=3), 1.0)
    assert Cube(bottle, guide=guide).spec.coherence is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.open_dataset(bottle, engine="cbottle", time="P1D", time_method="mean")


def test_labels_have_memories_of_their_own(bottle):
    a, b = (Cube(bottle, coherence="latents", label=label).emulator() for label in "ab")
    assert a is b
    from xr_cbottle.draw.emulator import Instant

    one, other = (a.latents(label, Instant(label, 0, 0, np.datetime64("1980-01-03", "s"))) for label in "ab")
    assert one.shape == other.shape == (8, 192)
    assert not np.array_equal(one, other)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.8


def test_the_fine_level_changes_slowly_too(bottle):
    def tile(i, **keywords):
        fine = opened(bottle, zoom=5, **keywords).tas.isel(time=i, cell=slice(0, 1024)).values
        return fine - fine.reshape(-1, 64).mean(1).repeat(64)  # without the cells that it refines

    def likeness(**keywords):
        return np.corrcoef(tile(4, **keywords), tile(5, **keywords))[0, 1]

    assert likeness(coherence="none") < 0.5
    assert likeness(coherence="8D") > 0.8


def test_attributes_say_what_a_sequence_means(bottle):
    assert "independent draws" in opened(bottle, coherence="none").attrs["coherence"]
    means = dict(time="P1D", time_method="mean", coherence="none")
    assert "vary far less" in opened(bottle, **means).attrs["coherence"]
    ds = opened(bottle, coherence="36h", zoom=5)
    assert "after P1DT12H" in ds.attrs["coherence"]
    assert "does not travel" in ds.attrs["superres_coherence"]
    assert "coherence=36h" in ds.attrs["history"]
    assert "no dynamics" in opened(bottle, coherence="latents").attrs["coherence"]


@pytest.mark.parametrize(
    "wrong", ["bridges", "-2D", "0h", "2", 2, 2.5, True, "400D", "1.5s", "NaT", "", [], np.timedelta64("NaT")]
)
def test_nonsense_is_refused_in_a_sentence(bottle, wrong):
    with pytest.raises(ValueError, match=r"^coherence is .*: choose none, latents, bridge, video, or how long[^\n]*$"):
        Cube(bottle, coherence=wrong)


def test_a_bottle_that_carries_none_says_so(plain):
    with pytest.raises(ValueError, match=r"^coherence is 'latents': small does not carry [^\n]*$"):
        Cube(plain, coherence="latents")
    assert Cube(plain, coherence="2D").spec.coherence == 2 * 86400


def test_means_of_independent_draws_warn(plain):
    with pytest.warns(UserWarning, match="time_method='mean' of independent draws"):
        xr.open_dataset(plain, engine="cbottle", time="P1D", time_method="mean")
