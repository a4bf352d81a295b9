"""Targets that a climatology with noise does not meet: patterns, shapes, balances, rain, and what cannot be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from tests import evaluation_data
from xr_cbottle.evaluation import (
    balance_targets,
    impossible_targets,
    pattern_targets,
    rain_targets,
    shape_targets,
)
from xr_cbottle.evaluation.joint_case import JointCase
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.quantity_case import QuantityCase
from xr_cbottle.fields import humidity
from xr_cbottle.grid import healpix

ZOOM = 2
WHEN = evaluation_data.times("1981-01-01", 365, 30)
LON, LAT = healpix.lonlat(ZOOM)


def array(values, key="tas", when=WHEN):
    name, _, level = key.partition("_")
    coords = {"time": when, **({"pressure": int(level)} if level else {})}
    return xr.DataArray(np.asarray(values, np.float64), coords, ("time", "cell"), name)


def joint(bottle, reference, **values):
    return JointCase("made", bottle, reference, reference, **values)


def keyed(rows):
    return {row.key: row for row in rows}


def swinging(seed, amplitude=600.0, north=True):
    """Sea level pressure with a see-saw of the polar cap and the middle latitudes, and weather of its own."""
    rng = np.random.default_rng(seed)
    shape = np.where(LAT > 20, np.cos(np.deg2rad(3 * (LAT - 20))), 0) * (1 if north else -1)
    south = np.where(LAT < -20, np.cos(np.deg2rad(3 * (LAT + 20))), 0)
    swings = rng.standard_normal((2, len(WHEN), 1))
    noise = 250 * evaluation_data.weather(WHEN, ZOOM, seed + 50)
    return array(101000 + amplitude * (swings[0] * shape + swings[1] * south) + noise, "psl")


def test_annular_modes_and_distant_correlations_of_another_year_are_met_and_of_noise_are_not():
    reference, other, bottle = ({"psl": swinging(seed)} for seed in (1, 2, 3))
    noise = {"psl": array(101000 + 600 * evaluation_data.weather(WHEN, ZOOM, 9), "psl")}
    case = joint(bottle, reference, noise=((reference, other),), null=noise)
    rows = keyed(pattern_targets.pattern_rows(case))
    assert set(rows) == {
        *(f"h.annular_mode_{side}.{what}" for side in ("north", "south") for what in ("pattern", "variance")),
        "h.distant.psl",
    }
    assert {row.verdict for row in rows.values()} == {"met"}
    assert all(row.noise_floor is not None for row in rows.values())
    assert rows["h.distant.psl"].null_verdict == rows["h.annular_mode_north.variance"].null_verdict == "missed"
    weak = keyed(pattern_targets.pattern_rows(joint({"psl": swinging(3, 200.0)}, reference)))
    assert weak["h.annular_mode_north.variance"].verdict == "missed"
    assert weak["h.distant.psl"].verdict == "missed"


def test_a_few_instants_have_no_modes():
    few = {"psl": swinging(1)[:20]}
    assert pattern_targets.pattern_rows(joint(few, few)) == []


def test_the_kurtosis_of_a_gaussian_is_not_that_of_rare_events():
    rng = np.random.default_rng(0)
    rare = [array(280 + rng.laplace(size=(len(WHEN), 192))) for _ in range(3)]
    plain = array(280 + np.sqrt(2) * rng.standard_normal((len(WHEN), 192)))
    case = QuantityCase(Quantity("tas"), "made", rare[0], rare[1], ((rare[1], rare[2]),))
    rows = keyed(shape_targets.shape_rows(case))
    assert {row.verdict for row in rows.values()} == {"met"}
    assert rows["i.beyond_above.tas"].value > 2 * 0.00135
    rows = keyed(shape_targets.shape_rows(dataclasses.replace(case, bottle=plain)))
    missed = {key for key, row in rows.items() if row.verdict == "missed"}
    assert missed == {"i.kurtosis.tas", "i.beyond_above.tas", "i.beyond_below.tas"}
    assert rows["i.kurtosis.tas"].value == pytest.approx(3, abs=0.1)
    assert [row.key for row in shape_targets.shape_rows(dataclasses.replace(case, quantity=Quantity("ts")))] == [
        "i.kurtosis.ts"
    ]
    restless = keyed(shape_targets.shape_rows(dataclasses.replace(case, bottle=280 + 1.1 * (rare[0] - 280))))
    assert restless["i.submonthly_variance.tas"].figure == pytest.approx(1.21, abs=0.03)
    assert restless["i.submonthly_variance.tas"].verdict == "missed"


def column(seed, wind_noise=0.5, thickness_noise=2.0):
    """Heights, geostrophic winds and hydrostatic temperatures of random weather."""
    from xr_cbottle.diagnostics import geostrophic_residual

    rng = np.random.default_rng(seed)
    fields = {}
    when = WHEN[::8]
    shape = (len(when), 192)
    lower = array(1500 + 60 * evaluation_data.weather(WHEN, ZOOM, seed)[::8], "zg_85000", when)
    warmth = 260 + 5 * evaluation_data.weather(WHEN, ZOOM, seed + 1)[::8]
    thickness = 287.05 / 9.80665 * warmth * np.log(85000 / 50000) + thickness_noise * rng.standard_normal(shape)
    fields |= {"zg_85000": lower, "zg_50000": array(lower.values + thickness, "zg_50000", when)}
    fields |= {f"ta_{level}": array(warmth, f"ta_{level}", when) for level in (50000, 85000)}
    calm = array(np.zeros(shape), "ua_50000", when).expand_dims(pressure=[50000])
    upper = fields["zg_50000"].expand_dims(pressure=[50000])
    wind = geostrophic_residual(xr.Dataset({"zg": upper, "ua": calm, "va": calm}))
    for name in ("u", "v"):
        values = wind[f"{name}g"].fillna(0).values
        spread = wind_noise * values.std()
        fields[f"{name}a_50000"] = array(values + spread * rng.standard_normal(shape), f"{name}a_50000", when)
    return fields


def test_wind_without_its_height_and_thickness_without_its_temperature_are_seen():
    reference, other, bottle = (column(seed) for seed in (1, 11, 21))
    null = {key: bottle[key] if key != "va_50000" else reference[key] for key in bottle}
    rows = keyed(balance_targets.balance_rows(joint(bottle, reference, noise=((reference, other),), null=null)))
    assert set(rows) == {"j.geostrophy.50000", "j.hydrostatic.50000_85000"}
    assert {row.verdict for row in rows.values()} == {"met"}
    assert 0.8 < rows["j.geostrophy.50000"].value < 0.95
    assert rows["j.geostrophy.50000"].null_verdict == "missed"
    loose = keyed(balance_targets.balance_rows(joint(column(21, 0.8, 4.0), reference)))
    assert {row.verdict for row in loose.values()} == {"missed"}
    assert loose["j.hydrostatic.50000_85000"].figure == pytest.approx(2, abs=0.3)


def test_rain_of_a_band_in_a_season():
    reference, wrong = (evaluation_data.field("pr", WHEN, ZOOM, 1) for _ in range(2))
    wet = (wrong["time"].dt.month.isin([6, 7, 8])) & xr.DataArray(LAT > 60, dims="cell")
    case = QuantityCase(Quantity("pr"), "made", wrong.where(~wet, 1.3 * wrong), reference, (), None, 4)
    rows = keyed(rain_targets.rain_rows(case))
    assert len(rows) == 24
    assert [key for key, row in rows.items() if row.verdict == "missed"] == ["k.rain.pr.JJA.60N-90N"]
    assert rows["k.rain.pr.JJA.60N-90N"].figure == pytest.approx(1.3, abs=1e-3)
    assert rain_targets.rain_rows(dataclasses.replace(case, quantity=Quantity("tas"))) == []


def possible():
    """Fields that obey."""
    from xr_cbottle.fields.sun import insolation

    rng = np.random.default_rng(2)
    shape = (len(WHEN), 192)
    sun = insolation(WHEN, LON, LAT)
    warm = 260 + 30 * np.cos(np.deg2rad(LAT)) + rng.standard_normal(shape)
    fields = {
        "rsdt": sun, "rsut": 0.3 * sun, "rsds": 0.6 * sun, "rsus": 0.1 * sun, "clt": rng.uniform(0, 1, shape),
        "ta_85000": warm, "hus_85000": 0.8 * humidity.saturation(warm, 85000), "ts": warm + 2,
        "psl": 101000 + 300 * rng.standard_normal(shape),
    }  # fmt: skip
    return {key: array(values, key) for key, values in fields.items()}


WRONG = {
    "l.night": ("rsds", lambda x: x + 2),
    "l.cloud": ("clt", lambda x: x * 1.1),
    "l.dry.hus_85000": ("hus_85000", lambda x: x - 0.003),
    "l.saturation.hus_85000": ("hus_85000", lambda x: x * 1.5),
    "l.rsut_over_rsdt": ("rsut", lambda x: x + 1),
    "l.rsds_over_rsdt": ("rsds", lambda x: x * 2),
    "l.rsus_over_rsds": ("rsus", lambda x: x + 1),
    "l.mass": ("psl", lambda x: x + 60 * np.random.default_rng(1).standard_normal((len(WHEN), 1))),
    "l.open_sea": ("ts", lambda x: x + 0.5),
}


@pytest.mark.parametrize("key", [None, *WRONG])
def test_what_cannot_be_is_seen(key):
    reference, bottle = possible(), possible()
    sea = reference["ts"] + 0.05
    if key is not None:
        name, change = WRONG[key]
        bottle[name] = change(bottle[name])
    rows = keyed(impossible_targets.impossible_rows(joint(bottle, reference, sea=sea)))
    assert set(rows) == set(WRONG)
    missed = {one for one, row in rows.items() if row.verdict == "missed"}
    assert (key in missed) if key else not missed
    assert missed <= {key, *({"l.night", "l.rsds_over_rsdt"} if key == "l.night" else set())}


def test_a_simulation_of_daily_means_has_no_night():
    fields = {"rsds": array(np.full((len(WHEN), 192), 150.0), "rsds")}
    (row,) = impossible_targets.impossible_rows(joint(fields, fields))
    assert "no night" in row.reason
