"""The response: what a climatology does where the climate changes, its file, and manifests with forcings."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import xarray as xr
from hypothesis import strategies as st

from tests import forcings
from tests.bottles import sst_cells
from xr_cbottle import open_bottle
from xr_cbottle.bottle.calibration import Calibration
from xr_cbottle.bottle.climate_response import MODES, pattern, projected
from xr_cbottle.bottle.climatology import Climatology, departure
from xr_cbottle.bottle.errors import BottleError, SchemaError
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import ForcingSpec
from xr_cbottle.draw import conditions
from xr_cbottle.fields.series import Series
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.fields.sst_offset import SstOffset
from xr_cbottle.grid import healpix

TIMES = np.array(["1980-01-16T06", "1980-07-16T18", "1981-03-01T00"], "datetime64[s]")
SST = SeaSurfaceTemperature.from_dataset(sst_cells(2), 2)


@pytest.fixture(scope="module")
def known() -> Climatology:
    return forcings.climatology()


def predictors(known: Climatology, kelvin: float, doublings: float, times=TIMES):
    sst = SST.changed(SstOffset.of(kelvin, 2))
    return known.predictors(sst.at(times), times, np.full((len(times), 1), doublings))


def test_mean_is_linear_and_spread_log_linear_in_the_sea_and_in_doublings(known):
    x = np.random.default_rng(0).normal(size=(3, 2, 192))
    at = {k: known.physical(x, "a", TIMES, predictors(known, *k)) for k in ((0, 0), (2, 0), (4, 0), (0, 1), (2, 1))}
    base = predictors(known, 0, 0)[:, 0]
    for (kelvin, doublings), values in at.items():
        warming = (predictors(known, kelvin, doublings)[:, 0] - base)[:, None]  # there is ice
        assert (abs(warming - kelvin) <= 0.15 * kelvin).all()
        wanted = np.broadcast_to(forcings.PER_KELVIN * warming + forcings.PER_DOUBLING * doublings, (3, 192))
        np.testing.assert_allclose((values - at[0, 0])[:, 0], wanted, atol=0.02)
        spread = (values[:, 1] - known.center[1]) / (at[0, 0][:, 1] - known.center[1])
        np.testing.assert_allclose(spread, np.broadcast_to(np.exp(forcings.MOIST * warming), (3, 192)), rtol=2e-3)
    back = known.standardised(at[4, 0], "a", TIMES, predictors(known, 4, 0))
    np.testing.assert_allclose(back, x, atol=1e-5)


def moving(known: Climatology, scaled: bool = True) -> Climatology:
    """With the square root of moisture, and a mapping of it that makes heavy values heavier."""
    knots = np.array([0.0, 2e-5, 2e-4])
    gain = np.ones((len(known.labels), 2, 3))
    shape = (len(known.labels), 1, 3)
    calibrated = Calibration(
        gain, np.array([1]), np.broadcast_to(knots, shape), np.broadcast_to(knots * [1, 0.5, 1.0], shape),
        scaled=np.full(shape[:2], scaled),
    )  # fmt: skip
    only_spread = known.mean * np.array([1, 0], "f4")[:, None, None, None]
    return dataclasses.replace(
        known, calibration=calibrated, root=np.array([1.0, 2.0]), center=np.array([280.0, 0.0]),
        scale=np.array([known.scale[0], 5e-3]), mean=only_spread,
    )  # fmt: skip


def test_a_mapping_goes_with_the_climate(known, tmp_path: Path):
    x = np.random.default_rng(1).normal(size=(3, 2, 192))
    growth = {}
    for scaled in (True, False):
        one = moving(known, scaled)
        bare = dataclasses.replace(one, calibration=None)
        means = [
            [each.physical(x, "a", TIMES, predictors(known, kelvin, 0))[:, 1].mean() for kelvin in (0, 3)]
            for each in (bare, one)
        ]
        growth[scaled] = [after / before - 1 for before, after in means]
    assert growth[True][0] > 0.2  # without a mapping
    assert growth[True][1] == pytest.approx(growth[True][0], rel=0.05)
    assert growth[False][1] > 1.2 * growth[False][0]
    one, at = moving(known), predictors(known, 3, 0)
    _, _, ratio = one.about("a", TIMES, at)
    assert (ratio[:, 0] == 1).all()
    assert (ratio[:, 1] > 1.1).all()
    back = one.standardised(one.physical(x, "a", TIMES, at), "a", TIMES, at)
    np.testing.assert_allclose(np.maximum(back, 0)[:, 1], np.maximum(x, 0)[:, 1], atol=1e-4)
    one.write(tmp_path / "moving.nc")
    with xr.open_dataset(tmp_path / "moving.nc") as file:
        read = Climatology.from_dataset(file)
    assert read.calibration.scaled.tolist() == one.calibration.scaled.tolist()
    np.testing.assert_allclose(read.about("a", TIMES, at)[2], ratio, rtol=1e-2)


def test_far_outside_the_spread_stays_within_a_factor_of_four(known):
    _, spread = known.at("a", TIMES, predictors(known, 14, 0))
    _, base = known.at("a", TIMES, predictors(known, 0, 0))
    assert (spread / base).max() < 2.8
    wild = dataclasses.replace(known.response, spread=10 * known.response.spread)
    _, spread = dataclasses.replace(known, response=wild).at("a", TIMES, predictors(known, 14, 0))
    np.testing.assert_allclose((spread / base)[:, 1], 4, rtol=1e-3)


@hypothesis.given(st.integers(0, 10**9), st.floats(-3, 3), st.floats(-1, 1))
@hypothesis.settings(max_examples=20, deadline=None)
def test_each_instant_is_for_itself_to_the_last_bit(seconds, kelvin, doublings):
    known = forcings.climatology()
    times = np.datetime64(seconds, "s") + np.arange(3) * np.timedelta64(7, "D")
    x = np.random.default_rng(seconds).normal(size=(3, 2, 192))
    numbers = predictors(known, kelvin, doublings, times)
    together = known.physical(x, "b", times, numbers)
    for i in range(3):
        one = slice(i, i + 1)
        alone = predictors(known, kelvin, doublings, times[one])
        np.testing.assert_array_equal(alone[0], numbers[i])
        np.testing.assert_array_equal(known.physical(x[one], "b", times[one], alone)[0], together[i])


def test_predictors_must_be_said(known):
    with pytest.raises(ValueError, match="moves with the sea and with forcings: say what its predictors are"):
        known.at("a", TIMES)


def test_modes_are_means_of_the_sea_and_what_differs_from_it():
    lon, lat = healpix.lonlat(4)
    land = (lon > 20) & (lon < 70) & (lat > -20)
    patterns = np.stack([pattern(mode, lon, lat, land) for mode in MODES])
    uniform = np.where(land, np.nan, 1.5)[None]
    np.testing.assert_allclose(projected(uniform, patterns)[0], [1.5, *[0] * (len(MODES) - 1)], atol=1e-6)
    nino = (lon > 190) & (lon < 240) & (abs(lat) < 5)
    field = np.where(land, np.nan, np.where(nino, 2.0, 0.0))[None]
    found = dict(zip(MODES, projected(field, patterns)[0], strict=True))
    assert found["global"] == pytest.approx(2 * nino.sum() / (~land).sum(), rel=1e-5)
    assert found["nino34"] == pytest.approx(2 - found["global"], rel=1e-5)
    some = uniform.copy()
    some[0, ::3] = np.nan  # somebody's own sea, which lacks cells
    assert projected(some, patterns)[0, 0] == pytest.approx(1.5, rel=1e-6)
    with pytest.raises(ValueError, match="choose among global, nino34"):
        pattern("amo", lon, lat, land)
    with pytest.raises(ValueError, match="'nino34', of which there is no sea"):
        pattern("nino34", lon, lat, np.ones(len(lon), bool))


def test_file_keeps_the_response(known, tmp_path: Path):
    known.write(tmp_path / "c.nc")
    with xr.open_dataset(tmp_path / "c.nc") as dataset:
        read = Climatology.from_dataset(dataset.load())
    assert read.response.predictors == ("global", "tropics", "co2")
    for name in ("mean", "error", "spread"):
        np.testing.assert_allclose(getattr(read.response, name), getattr(known.response, name), atol=2.0**-10)
    np.testing.assert_array_equal(read.response.patterns, known.response.patterns)
    np.testing.assert_array_equal(read.response.learnt, known.response.learnt)
    assert "response" not in dataclasses.replace(known, response=None).to_dataset()


def test_file_of_a_response_to_forcings_alone(tmp_path: Path):
    known = forcings.climatology(modes=())
    known.write(tmp_path / "c.nc")
    with xr.open_dataset(tmp_path / "c.nc") as dataset:
        read = Climatology.from_dataset(dataset.load())
    assert read.response.predictors == ("co2",)
    assert read.response.patterns.shape == (0, 192)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.drop_vars("response_error"), "response_error"),
        (lambda ds: ds.isel(season=slice(0, 2)), "odd number of seasons"),
        (lambda ds: ds.assign(response=ds.response * np.nan), "values must be finite"),
        (lambda ds: ds.assign(learnt=-ds.learnt), "from the lower to the higher"),
        (lambda ds: ds.assign_coords(predictor=["a", "b", "c"]), "must begin with the modes"),
        (lambda ds: ds.assign_coords(predictor=["global", "tropics", "global"]), "different names"),
        (
            lambda ds: ds.drop_vars("patterns").assign(patterns=(("mode", "cells"), np.zeros((2, 48)))),
            "is no climatology",
        ),
    ],
)
def test_what_is_no_response_is_refused(known, change, message):
    with pytest.raises(BottleError, match=message):
        Climatology.from_dataset(change(known.to_dataset()), "c.nc")


def test_a_response_of_other_cells_is_refused(known):
    small = forcings.climatology(zoom=1)
    with pytest.raises(ValueError, match="same labels, channels and cells"):
        dataclasses.replace(known, response=small.response)


# The network is told ------------------------------------------------------------------------------------------------


def test_a_network_is_never_told_of_more_than_it_has_learnt(known):
    specs = {"co2": forcings.CO2}
    learnt = [forcings.CO2.learnt]
    for kelvin, co2, told_kelvin, told in (
        (1, 560, 1, 560),
        (3, 1120, 2, 1120),
        (4, 2240, 2, 1120),
        (-6, 140, -2, 280),
    ):
        sst = SST.changed(SstOffset.of(kelvin, 2))
        values = conditions.forced(specs, {"co2": Series.of(co2, "co2", "ppmv")}, TIMES)
        fields = conditions.encode(sst.at(TIMES), TIMES, known, values, learnt)
        assert fields.shape == (3, 3, 192)
        np.testing.assert_allclose(fields[:, 2], np.log2(told / 360), rtol=1e-6)
        sea = ~SST.land
        truth = departure(sst.at(TIMES), TIMES, known.sst)[:, sea]
        shift = truth - fields[:, 1][:, sea]
        assert abs(shift - shift.mean(1, keepdims=True)).max() < 1e-3  # the pattern stays
        if (kelvin, co2) in ((1, 560), (2, 1120)):
            assert abs(shift).max() < 0.03
        else:
            assert abs(fields[:, 1][:, sea].mean(1) - told_kelvin).max() < 0.02
        assert (fields[:, 1][:, ~sea] == 0).all()


def test_series_must_cover_what_is_drawn():
    specs = {"co2": forcings.CO2}
    with pytest.raises(ValueError, match="is known from 1980-01-01 to 1981-12-31 and the times go from 1999"):
        conditions.forced(specs, {"co2": forcings.CO2.series("co2")}, np.array(["1999-01-01"], "datetime64[s]"))


# Manifests ----------------------------------------------------------------------------------------------------------


def manifest(tmp_path: Path, **changes) -> dict:
    values = json.loads(open_bottle(forcings.bottle(tmp_path / "b.cbottle")).manifest.to_json())
    values["forcings"]["co2"] |= changes
    return values


def test_forcings_are_in_the_manifest_in_the_order_of_their_names(tmp_path):
    pytest.importorskip("torch")
    values = manifest(tmp_path)
    values["forcings"] = {"co2": values["forcings"]["co2"], "ch4": dict(
        units="ppbv", low=800, high=4000, reference=1800, values=[1800])}  # fmt: skip
    read = Manifest.from_json(json.dumps(values))
    assert list(read.forcings) == ["ch4", "co2"]
    assert Manifest.from_json(read.to_json()) == read
    assert read.forcings["ch4"].predictor([1800, 2600]).tolist() == [0, 0.25]
    assert read.forcings["co2"].predictor([360, 720]).tolist() == [0, 1]
    assert read.forcings["co2"].series("co2").at(["1980-12-31"])[0] == pytest.approx(350, abs=0.1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"low": 0}, "low"), ({"low": 2000}, "high"), ({"reference": 5000}, "reference"),
        ({"values": [1, 2]}, "values"),
        ({"values": [340.0]}, "values"), ({"values": []}, "values"), ({"times": ["1981-01-01", "1980-01-01"]}, "times"),
        ({"times": ["1980-01-01", "1980-06-01"]}, "forcings.co2.times"), ({"transform": "exp"}, "transform"),
        ({"units": "\u202eppmv"}, "units"), ({"high": 1e300}, "high"), ({"high": float("inf")}, "Infinity is not"),
        ({"low": True}, "low"), ({"values": ["340", "341"]}, "values"), ({"unknown": 1}, "unknown"),
        ({"values": [340.0] * 20_000}, "values"), ({"long_name": "x" * 10_000}, "long_name"),
    ],
)  # fmt: skip
def test_wrong_forcings_are_named(tmp_path, changes, field):
    pytest.importorskip("torch")
    spec = dataclasses.asdict(forcings.CO2) | {"times": list(forcings.CO2.times), "values": list(forcings.CO2.values)}
    values = json.loads(_text()) | {"forcings": {"co2": {**spec, **changes}}}
    with pytest.raises((SchemaError, BottleError), match=field):
        Manifest.from_json(json.dumps(values))


def _text() -> str:
    from tests.bottles import TimeSpec
    from xr_cbottle.bottle.records import ConditionSpec, PartSpec

    return Manifest(
        name="b", zoom=2, channels=("tas",), parts=(PartSpec("coarse", 0.0, "c.checkpoint"),),
        time=TimeSpec("1980-01-01", "1981-12-31T18:00:00", "PT6H"), climatology=ConditionSpec("c.nc"),
    ).to_json()  # fmt: skip


@pytest.mark.parametrize("name", ["CO2", "", "c o", "x" * 40, "__", "9"])
def test_names_of_forcings_are_plain(name):
    values = json.loads(_text()) | {"forcings": {name: dict(units="1", low=0, high=1, reference=0, values=[0.5])}}
    with pytest.raises(BottleError, match="a name of small letters"):
        Manifest.from_json(json.dumps(values))


def test_forcings_need_a_climatology_and_are_few():
    spec = dict(units="1", low=0, high=1, reference=0, values=[0.5])
    values = json.loads(_text()) | {"forcings": {"co2": spec}, "climatology": None}
    with pytest.raises(BottleError, match="absent, as there is no climatology"):
        Manifest.from_json(json.dumps(values))
    values = json.loads(_text()) | {"forcings": {f"f{i}": spec for i in range(99)}}
    with pytest.raises(BottleError, match="at most 32 names"):
        Manifest.from_json(json.dumps(values))


def test_older_bottles_keep_their_text_and_digest():
    assert "forcings" not in open_bottle("icon").manifest.to_json()
    assert "forcings" not in open_bottle("icon").manifest.canonical()


def test_a_bottle_whose_files_disagree_is_refused(tmp_path):
    pytest.importorskip("torch")
    from tests.bottles import synthetic_bottle

    other = {"ch4": dataclasses.replace(forcings.CO2, units="ppbv")}
    path = synthetic_bottle(
        tmp_path / "c.cbottle", channels=("tas", "pr"), climatology=forcings.climatology(), forcings=other
    )
    with pytest.raises(BottleError, match="responds to other forcings than the manifest has"):
        open_bottle(path).climatology()
    with pytest.raises(BottleError, match=r"takes 2 conditions.*its anomaly, and co2: it must take 3"):
        forcings.bottle(tmp_path / "d.cbottle", conditions=2)


@pytest.mark.parametrize("given", [[1.0], [2.0, 1.0], [1, 2, 3], [0, 1e9], ["a", "b"], [0, True]])
def test_wrong_ranges_of_the_sea_are_named(given):
    with pytest.raises(BottleError, match="sea_range"):
        Manifest.from_json(json.dumps(json.loads(_text()) | {"sea_range": given}))


def test_a_bottle_that_says_it_responds_to_the_sea_does(tmp_path):
    pytest.importorskip("torch")
    path = forcings.still(tmp_path / "s.cbottle", sea_range=(-1.0, 1.0))
    for ask in (lambda: open_bottle(path).climatology(), open_bottle(path).mean_sea):
        with pytest.raises(BottleError, match="does not respond to the sea, and the manifest says it does"):
            ask()
    with pytest.raises(BottleError, match="this bottle does not respond to the sea; take one"):
        open_bottle("icon").mean_sea()


def test_linear_transforms_are_shares_of_the_range():
    spec = ForcingSpec("W m-2", -2.0, 6.0, 0.0, (0.0,))
    assert spec.predictor([-2, 0, 6]).tolist() == [-0.25, 0, 0.75]
    assert spec.learnt == (-0.25, 0.75)
