"""Bounds: nothing beyond them, the mean kept, nothing moved that need not be."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests import bottles
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import BoundSpec
from xr_cbottle.bottle.static_fields import StaticFields
from xr_cbottle.draw import bounds
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.fields import humidity, open_water, sun
from xr_cbottle.fields.sst_offset import SstOffset
from xr_cbottle.grid import healpix

fields = hnp.arrays(np.float64, (3, 48), elements=st.floats(-2, 3, width=32))


@given(fields)
def test_within_and_with_the_same_mean(values):
    found = bounds.within(values, np.zeros((1, 1)), np.ones((1, 1)))
    assert found.min() >= 0
    assert found.max() <= 1
    for before, after in zip(values, found, strict=True):
        # What can be had: nothing but the cells above the least can be raised.
        most = (before > 0).mean()
        if 0 <= before.mean() <= most * (1 - 1e-9):
            largest = 1 / max(np.clip(before, 0, 1)[before > 0].min(initial=1), 1e-300)
            if largest < 1e3:
                assert after.mean() == pytest.approx(before.mean(), abs=1e-9)


@given(fields, st.permutations(range(3)))
def test_each_field_is_on_its_own(values, order):
    together = bounds.within(values, np.zeros((1, 1)), np.ones((1, 1)))
    np.testing.assert_array_equal(bounds.within(values[order], np.zeros((1, 1)), np.ones((1, 1))), together[order])
    np.testing.assert_array_equal(bounds.within(values[1:2], np.zeros((1, 1)), np.ones((1, 1))), together[1:2])


def test_what_is_within_stays_to_the_bit():
    values = np.random.default_rng(0).uniform(0, 1, (4, 192))
    np.testing.assert_array_equal(bounds.within(values, np.zeros((1, 1)), np.ones((1, 1))), values)


def test_one_bound_alone():
    values = np.random.default_rng(0).normal(size=(4, 768))
    above, below = bounds.within(values, np.full((1, 1), -0.5), None), bounds.within(values, None, np.full((1, 1), 0.5))
    assert above.min() == -0.5
    assert below.max() == 0.5
    np.testing.assert_allclose([above.mean(1), below.mean(1)], [values.mean(1)] * 2, atol=1e-12)


def test_a_night_stays_dark_and_the_day_has_its_light():
    lon, lat = healpix.lonlat(3)
    most = sun.insolation(np.array(["2001-01-01T05", "2001-06-01T17"], "datetime64[s]"), lon, lat)
    values = 0.6 * most + np.random.default_rng(0).normal(scale=20, size=most.shape)
    found = bounds.within(values, np.zeros((1, 1)), most)
    assert (found[most == 0] == 0).all()
    assert (found <= most).all()
    np.testing.assert_allclose(found.mean(1), values.mean(1), rtol=1e-12)


def test_no_room_at_all_is_no_error():
    found = bounds.within(np.full((1, 12), 5.0), np.zeros((1, 1)), np.zeros((1, 1)))
    np.testing.assert_array_equal(found, 0)


def test_a_mean_is_steadied_and_the_pattern_kept():
    values = np.random.default_rng(0).normal(size=(5, 48)) + np.arange(5)[:, None]
    found = bounds.steadied(values, np.zeros_like(values), 0.25)
    np.testing.assert_allclose(found.mean(1), 0.25 * values.mean(1))
    np.testing.assert_allclose(found - found.mean(1)[:, None], values - values.mean(1)[:, None])


# Bottles ------------------------------------------------------------------------------------------------------------

CHANNELS = ("clt", "rsds", "rsut", "T850", "Q850", "pres_msl")
BOUNDS = {
    "clt": {"least": 0, "most": 1},
    "rsds": {"least": 0, "sun": {"a": 0, "b": 24}},
    "rsut": {"least": 0, "sun": {"a": 0, "b": 24}, "below": "rsds"},
    "Q850": {"least": 0, "saturation": {"a": 1.1, "b": 0.5}, "temperature": "T850"},
}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    path = tmp_path_factory.mktemp("bound") / "b.cbottle"
    bottles.synthetic_bottle(path, 2, CHANNELS, bounds=BOUNDS)
    return Emulator(path)


@pytest.mark.parametrize("label", ["a", "b"])
def test_a_bottle_keeps_its_bounds(emulator, label):
    times = np.arange("1990-01-01", "1990-12-31", np.timedelta64(331, "h"), "datetime64[h]").astype("datetime64[s]")
    drawn = dict(
        zip(CHANNELS, emulator.draw(times, label=label, progress=False).values.transpose(1, 0, 2), strict=True)
    )
    lon, lat = healpix.lonlat(2)
    most = sun.insolation(times, lon, lat, {"a": 0, "b": 24}[label]).astype(np.float32)
    assert 0 <= drawn["clt"].min() < drawn["clt"].max() <= 1
    for name in ("rsds", "rsut"):
        assert (drawn[name] <= most).all()
        assert (drawn[name][most == 0] == 0).all()
        assert drawn[name].max() > 100
    assert (drawn["rsut"] <= drawn["rsds"]).all()
    assert (drawn["rsut"] < drawn["rsds"])[most > 0].any()
    # float32 of both: the last digit of the temperature moves saturation.
    assert (drawn["Q850"] <= {"a": 1.1, "b": 0.5}[label] * humidity.saturation(drawn["T850"], 85000) * (1 + 1e-5)).all()
    assert (drawn["Q850"] >= 0).all()


def test_company_does_not_matter(emulator):
    times = np.array(["1990-01-01", "1990-05-01", "1990-09-01T05"], "datetime64[s]")
    together = emulator.draw(times, label="a", progress=False).values
    alone = emulator.draw(times[1:2], label="a", progress=False).values
    np.testing.assert_array_equal(together[1:2], alone)


def test_bounds_are_part_of_the_bottle(tmp_path):
    paths = [
        bottles.synthetic_bottle(tmp_path / f"{i}.cbottle", 2, CHANNELS, bounds=given)
        for i, given in enumerate(({}, BOUNDS, {**BOUNDS, "clt": {"least": 0, "most": 0.9}}))
    ]
    opened = [Emulator(path).bottle for path in paths]
    assert len({bottle.digest for bottle in opened}) == 3
    assert "bounds" not in opened[0].manifest.to_json()
    again = Manifest.from_json(opened[1].manifest.to_json())
    assert again == opened[1].manifest
    assert again.bounds["clt"] == BoundSpec(least=0, most=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tos": {"least": 0}}, r"bounds\.tos.*one of channels"),
        ({"clt": {}}, r"bounds\.clt.*one bound at least"),
        ({"clt": {"least": 1, "most": 1}}, r"bounds\.clt\.most.*more than least"),
        ({"clt": {"least": "0"}}, r"bounds\.clt\.least.*a number"),
        ({"clt": {"under": 0}}, r"bounds\.clt\.under.*absent or spelled otherwise"),
        ({"clt": {"most": float("nan")}}, r"bounds\.clt\.most.*a number"),
        ({"rsds": {"sun": {"c": 0}}}, r"bounds\.rsds\.sun\.c.*one of labels"),
        ({"rsds": {"sun": {"a": 25}}}, r"bounds\.rsds\.sun\.a.*<= 24"),
        ({"clt": {"saturation": 1, "temperature": "T850"}}, r"bounds\.clt\.saturation.*specific humidity"),
        ({"Q850": {"saturation": 1}}, r"bounds\.Q850\.temperature.*given with saturation"),
        ({"Q850": {"saturation": 1, "temperature": "clt"}}, r"bounds\.Q850\.temperature.*temperature at 85000 Pa"),
        ({"Q850": {"saturation": {"c": 1}, "temperature": "T850"}}, r"bounds\.Q850\.saturation\.c.*one of labels"),
        ({"Q850": {"saturation": {"a": 0}, "temperature": "T850"}}, r"bounds\.Q850\.saturation\.a.*a number > 0"),
        ({"rsds": {"below": "tos"}}, r"bounds\.rsds\.below.*another channel in W m-2"),
        ({"rsds": {"below": "clt"}}, r"bounds\.rsds\.below.*another channel in W m-2"),
        ({"rsds": {"below": "rsds"}}, r"bounds\.rsds\.below.*not below this one"),
        ({"rsds": {"below": "rsut"}, "rsut": {"below": "rsds"}}, r"bounds\.rsds\.below.*not below this one"),
        ({"clt": {"sea": True}}, r"bounds\.clt\.sea.*a channel in K"),
        ({"pres_msl": {"mean": 0.2}}, r"bounds\.pres_msl\.mean.*no climatology"),
    ],
)
def test_wrong_bounds_are_a_sentence(tmp_path, given, message):
    with pytest.raises(BottleError, match=message):
        bottles.synthetic_bottle(tmp_path / "x.cbottle", 2, CHANNELS, bounds=given)


# The sea ------------------------------------------------------------------------------------------------------------


@given(hnp.arrays(np.float64, (2, 192), elements=st.one_of(st.just(np.nan), st.floats(265, 305, width=32))))
def test_open_water_is_far_from_land_and_ice(sst):
    found = open_water.share(sst)
    assert found.min() >= 0
    assert found.max() <= 1
    around = np.array(healpy.get_all_neighbours(4, np.arange(192), nest=True)).T
    for field, share in zip(sst, found, strict=True):
        beside = np.where(around < 0, np.arange(192)[:, None], around)
        coldest = np.minimum(field, np.where(np.isnan(field[beside]), -np.inf, field[beside]).min(1))
        assert (share[np.isnan(coldest) | (coldest <= 272.35)] == 0).all()
        assert (share[coldest >= 273.35] == 1).all()


@pytest.fixture(scope="module")
def washed(tmp_path_factory):
    land = np.zeros((2, 192), np.float32)
    land[1, :96] = 0.5
    path = tmp_path_factory.mktemp("washed") / "b.cbottle"
    bottles.synthetic_bottle(
        path, 2, ("ts", "tas"), bounds={"ts": {"sea": True}}, static=StaticFields(("a", "b"), {"sftlf": land})
    )
    return path


@pytest.mark.parametrize(("label", "offset"), [("a", None), ("b", None), ("a", "+3K")])
def test_open_water_is_as_warm_as_the_sea_that_is_given(washed, label, offset):
    times = np.array(["1980-01-20T06", "1980-02-01", "1981-07-01T18"], "datetime64[s]")
    emulator = Emulator(washed, sst_offset=SstOffset.of(offset, 2) if offset else None)
    drawn = emulator.draw(times, label=label, progress=False)
    sst = emulator.sst.at(times)
    share = open_water.share(sst)
    if label == "b":
        share[:, :96] = 0  # where this model has land
    sea = share == 1
    assert 0.1 < sea.mean() < 0.9
    np.testing.assert_allclose(drawn.sel(channel="ts").values[sea], sst[sea], atol=1e-4)
    assert (np.abs(drawn.sel(channel="ts").values - np.nan_to_num(sst))[share == 0] > 1e-2).mean() > 0.9
    assert np.abs(drawn.sel(channel="tas").values - np.nan_to_num(sst))[sea].mean() > 0.1
