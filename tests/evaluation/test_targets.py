"""Targets on analytic fields: what equals the reference meets all, what is wrong misses the right ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from tests import evaluation_data
from xr_cbottle.evaluation import (
    cycle_targets,
    label_comparison,
    mean_targets,
    response_targets,
    tail_targets,
    variability_targets,
)
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.quantity_case import QuantityCase
from xr_cbottle.evaluation.resampling import Copies, error
from xr_cbottle.evaluation.row import TARGETS, ReportTarget, Row, counted
from xr_cbottle.grid import healpix

ZOOM = 2
WHEN = evaluation_data.times("1981-01-01", 365, 30)  # 292 instants at four hours of the day
LAND = healpix.lonlat(ZOOM)[1] > 10


def case(name, bottle=None, reference=None, pairs=(), copies=8, when=WHEN, **others):
    mine = evaluation_data.field(name, when, ZOOM) if bottle is None else bottle
    theirs = evaluation_data.field(name, when, ZOOM) if reference is None else reference
    return QuantityCase(Quantity(name), "made", mine, theirs, pairs, LAND, copies, **others)


def verdicts(rows):
    return {row.key: row.verdict for row in rows}


def missed(rows):
    return {row.key for row in rows if row.verdict == "missed"}


@pytest.mark.parametrize("name", ["tas", "pr", "rlut", "psl", "uas", "rsds", "prw"])
def test_a_bottle_equal_to_the_reference_meets_all_targets(name):
    rows = [row for row in label_comparison.judged(case(name)) if "too few for a ratio" not in row.reason]
    # The shape of anomalies is left out: instants of the reference are measured against the others, and a bottle's
    # against all, which are its own here.
    rows = [row for row in rows if row.target != "i"]
    assert set(verdicts(rows).values()) == {"met"}
    assert {row.target for row in rows} >= {"b", "c"}
    assert all(row.figure in (0, 1) or row.target == "d" or row.figure == pytest.approx(1) for row in rows)


@pytest.mark.parametrize("name", ["tas", "pr", "psl"])
def test_another_year_of_the_same_climate_is_judged_by_its_noise_floor(name):
    other, third = (evaluation_data.field(name, WHEN, ZOOM, seed) for seed in (1, 2))
    reference = evaluation_data.field(name, WHEN, ZOOM)
    rows = label_comparison.judged(case(name, other, reference, ((reference, third),)))
    rmse = [row for row in rows if ".rmse." in row.key]
    assert len(rmse) == 3
    for row in rmse:
        assert row.verdict == "met"
        assert row.figure == pytest.approx(row.noise_floor, rel=0.2)
        assert row.upper >= 2 * row.noise_floor * (1 - 1e-9)
    assert all(row.noise_floor is not None for row in rows if row.verdict != "not evaluated")


def test_a_bias_misses_the_global_mean_by_what_it_is_too_much():
    reference = evaluation_data.field("tas", WHEN, ZOOM)
    (row,) = mean_targets.global_mean_rows(case("tas", reference + 0.5, reference))
    assert row.verdict == "missed"
    assert row.figure == pytest.approx(0.5, abs=1e-4)
    assert row.missed_by == pytest.approx(0.2, abs=1e-4)
    assert row.value - row.reference == pytest.approx(0.5, abs=1e-4)
    rain = evaluation_data.field("pr", WHEN, ZOOM)
    (row,) = mean_targets.global_mean_rows(case("pr", rain * 1.02, rain))
    assert (row.verdict, row.figure_units) == ("met", "%")
    assert row.figure == pytest.approx(2, abs=1e-3)
    assert mean_targets.global_mean_rows(case("psl")) == []


def test_the_sampling_error_of_a_mean_is_that_of_independent_instants():
    rng = np.random.default_rng(0)
    noise = xr.DataArray(rng.standard_normal((292, 1)) + np.zeros(192), {"time": WHEN}, ("time", "cell"))
    reference = xr.zeros_like(noise)
    (row,) = mean_targets.global_mean_rows(case("tas", noise, reference, copies=400))
    assert row.sampling_error == pytest.approx(1 / np.sqrt(292), rel=0.12)


def test_the_seasons_are_no_sampling_error():
    season = xr.DataArray(20 * np.cos(2 * np.pi * np.arange(292) * 30 / 24 / 365), {"time": WHEN}, "time")
    within, anywhere = (error(Copies.of(WHEN, 200, 0, window=window).mean(season)) for window in (30.0, None))
    assert anywhere == pytest.approx(20 / np.sqrt(2 * 292), rel=0.15)
    assert within < 0.5 * anywhere


def test_a_shift_within_a_season_misses_that_season_only():
    reference = evaluation_data.field("tas", WHEN, ZOOM)
    winter = reference["time"].dt.month.isin([12, 1, 2])
    rows = mean_targets.climatology_rows(case("tas", reference + 4.0 * winter, reference))
    assert missed(rows) == {"b.rmse.tas.DJF"}  # a shift leaves the patterns as they are
    assert rows[0].upper == pytest.approx(0.1 * float(reference.std()), rel=1e-4)


def test_a_wrong_pattern_is_missed():
    reference = evaluation_data.field("psl", WHEN, ZOOM)
    wrong = reference + 300 * np.cos(np.deg2rad(healpix.lonlat(ZOOM)[0]))
    assert "b.pattern.psl" in missed(mean_targets.climatology_rows(case("psl", wrong, reference)))


def test_seasons_without_an_instant_are_not_evaluated():
    when = evaluation_data.times("1981-06-01", 60, 30)
    rows = mean_targets.climatology_rows(case("tas", when=when))
    found = verdicts(rows)
    assert found["b.rmse.tas.DJF"] == found["b.pattern.tas.DJF"] == "not evaluated"
    assert found["b.rmse.tas.JJA"] == "met"
    assert "lies in DJF" in next(row.reason for row in rows if row.season == "DJF")


def test_too_much_variability_misses_the_standard_deviation_and_not_the_mean():
    reference = evaluation_data.field("rlut", WHEN, ZOOM)
    loud = reference.mean("time") + 1.3 * (reference - reference.mean("time"))
    rows = label_comparison.judged(case("rlut", loud.transpose("time", "cell"), reference))
    (row,) = [row for row in rows if row.key == "c.standard_deviation.rlut"]
    assert row.figure == pytest.approx(1.3, abs=1e-3)
    assert row.missed_by == pytest.approx(0.2, abs=1e-3)
    assert {"b.rmse.rlut", "b.pattern.rlut", "a.global_mean.rlut"}.isdisjoint(missed(rows))


def test_a_spectrum_is_judged_where_it_differs_most():
    import healpy

    lat = np.deg2rad(healpix.lonlat(ZOOM)[1])
    rng = np.random.default_rng(1)
    reference = evaluation_data.field("rlut", WHEN, ZOOM)
    third = 15 * np.sin(lat) * (5 * np.sin(lat) ** 2 - 3) / 2  # Legendre's polynomial of degree 3
    loud = reference + third * rng.standard_normal((len(WHEN), 1))
    row = variability_targets.variability_rows(case("rlut", loud, reference))[1]
    assert row.verdict == "missed"
    assert row.remark.startswith("degree 3;")
    ring = healpy.reorder(loud.values.astype(float), n2r=True)[:, :]
    power = np.mean([healpy.anafast(one, lmax=8, iter=3)[3] for one in ring])
    same = np.mean([healpy.anafast(one, lmax=8, iter=3)[3] for one in healpy.reorder(reference.values * 1.0, n2r=True)])
    assert row.figure == pytest.approx(power / same, rel=1e-3)
    assert variability_targets.last_degree(4) == 21


def test_cells_without_a_value_have_no_spectrum_and_the_rest_is_judged():
    sea = evaluation_data.field("ts", WHEN, ZOOM).where(~LAND)
    rows = variability_targets.variability_rows(case("ts", sea, sea))
    assert [row.verdict for row in rows] == ["met", "not evaluated"]


def test_a_late_season_misses_the_phase_and_a_weak_one_the_amplitude():
    reference = evaluation_data.field("tas", WHEN, ZOOM)
    late = evaluation_data.field("tas", WHEN - np.timedelta64(20, "D"), ZOOM).assign_coords(time=WHEN)
    rows = {row.key: row for row in cycle_targets.seasonal_rows(case("tas", late, reference))}
    assert len(rows) == 2 * len(cycle_targets.BANDS)
    north = rows["d.annual_phase.tas.60N-90N"]
    assert north.figure == pytest.approx(20, abs=0.5)
    assert north.missed_by == pytest.approx(10, abs=0.5)
    assert rows["d.annual_amplitude.tas.60N-90N"].verdict == "met"
    weak = reference.mean("time") + 0.8 * (reference - reference.mean("time"))
    rows = {row.key: row for row in cycle_targets.seasonal_rows(case("tas", weak.transpose("time", "cell"), reference))}
    assert rows["d.annual_amplitude.tas.60S-30S"].figure == pytest.approx(0.8, abs=1e-3)
    assert rows["d.annual_amplitude.tas.60S-30S"].verdict == "missed"
    assert rows["d.annual_phase.tas.60S-30S"].verdict == "met"


def test_a_season_has_no_annual_cycle():
    rows = cycle_targets.seasonal_rows(case("tas", when=evaluation_data.times("1981-01-01", 45, 30)))
    assert {row.verdict for row in rows} == {"not evaluated"}
    assert "too much of the year" in rows[0].reason


def test_a_sun_in_the_wrong_place_is_seen():
    reference = evaluation_data.field("rsds", WHEN, ZOOM)
    rows = verdicts(cycle_targets.diurnal_rows(case("rsds")))
    assert set(rows.values()) == {"met"}
    assert len(rows) == 3
    assert cycle_targets.sun_at_six(reference) == pytest.approx(90, abs=1)
    late = evaluation_data.field("rsds", WHEN - np.timedelta64(2, "h"), ZOOM).assign_coords(time=WHEN)
    rows = {row.key: row for row in cycle_targets.diurnal_rows(case("rsds", late, reference))}
    assert rows["d.diurnal_phase.rsds"].figure == pytest.approx(2, abs=0.1)
    assert rows["d.sun.rsds"].figure == pytest.approx(30, abs=1)
    assert missed(rows.values()) == {"d.diurnal_phase.rsds", "d.sun.rsds"}


def test_a_reference_without_a_diurnal_cycle_is_not_held_against_anyone():
    rng = np.random.default_rng(3)
    level = xr.DataArray(200 + rng.standard_normal((292, 192)), {"time": WHEN}, ("time", "cell"))
    rows = cycle_targets.diurnal_rows(case("rsds", evaluation_data.field("rsds", WHEN, ZOOM), level, copies=20))
    assert {row.verdict for row in rows} == {"not evaluated"}
    assert "no diurnal cycle" in rows[0].reason


def test_the_day_over_land_needs_land():
    given = case("tas")
    assert (
        "not known"
        in cycle_targets.diurnal_rows(QuantityCase(given.quantity, "", given.bottle, given.reference))[0].reason
    )


def test_tails_and_rain_below_zero():
    reference = evaluation_data.field("pr", WHEN, ZOOM)
    heavy = reference.where(reference < reference.quantile(0.993), reference * 1.5)
    assert missed(tail_targets.tail_rows(case("pr", heavy, reference))) == {"e.quantile_99.9.pr"}
    wrong = reference.copy()
    wrong[:, :2] = -2e-6
    rows = {row.key: row for row in tail_targets.tail_rows(case("pr", wrong, reference))}
    assert rows["e.below_zero.pr"].verdict == "missed"
    assert rows["e.below_zero.pr"].figure == pytest.approx(100 * 2 / 192)
    wrong[:, :2] = -0.9e-6
    assert verdicts(tail_targets.tail_rows(case("pr", wrong, reference)))["e.below_zero.pr"] == "met"


def months(years, sign=1.0, noise=0.0, seed=0):
    """Monthly means in which tas answers to the Pacific with one pattern."""
    when = (np.datetime64("1980-01", "M") + np.arange(12 * years)).astype("datetime64[ns]")
    lon, lat = (np.deg2rad(a) for a in healpix.lonlat(ZOOM))
    rng = np.random.default_rng(seed)
    index = np.sin(2 * np.pi * np.arange(12 * years) / 45)[:, None]
    sea = 300 + index * np.ones(192)
    pattern = sign * np.cos(lat) * np.cos(lon - 3.5)
    values = 280 + index * pattern + noise * rng.standard_normal((12 * years, 192))
    fields = {"ts": sea, "tas": values, "pr": 1e-5 * values}
    return {
        name: xr.DataArray(field, {"time": when}, ("time", "cell"), name, {"units": evaluation_data.UNITS[name]})
        for name, field in fields.items()
    }


def test_the_response_to_the_pacific():
    reference = response_targets.Months.of(months(8, noise=0.2))
    good = response_targets.response_rows("made", (response_targets.Months.of(months(8, noise=0.2, seed=1)), reference))
    assert [row.verdict for row in good] == ["met"] * 4
    assert all(row.noise_floor > 0.8 for row in good)
    assert all(0 < row.sampling_error < 0.2 for row in good)
    assert good[1].key == "f.nino34_amplitude.tas"
    assert good[1].figure == pytest.approx(1, abs=0.1)
    bad = response_targets.response_rows("made", (response_targets.Months.of(months(8, sign=-1)), reference))
    assert [row.verdict for row in bad] == ["missed"] * 4
    # Half of the answer in the right places, and no answer at all: the pattern alone does not tell.
    weak = response_targets.Months.of(months(8, sign=0.5))
    nothing = response_targets.Months.of(months(8, sign=0, noise=0.2, seed=3))
    pattern, amplitude, *_ = response_targets.response_rows("made", (weak, reference), null=nothing)
    assert (pattern.verdict, amplitude.verdict) == ("met", "missed")
    assert amplitude.figure == pytest.approx(0.5, abs=0.05)
    assert pattern.counts
    assert amplitude.null == pytest.approx(0, abs=0.1)
    assert bad[0].figure < -0.9
    assert bad[0].missed_by == pytest.approx(0.7 - bad[0].figure)
    short = response_targets.response_rows("made", (response_targets.Months.of(months(1)), reference))
    assert "1 year is too few" in short[0].reason


def test_months_of_several_samples_are_put_together():
    whole = months(4)["tas"]
    parts = [whole.isel(time=slice(20, None)), whole.isel(time=slice(0, 24))]
    xr.testing.assert_equal(response_targets.joined(parts), whole)


def test_the_difference_between_labels():
    lon, lat = (np.deg2rad(a) for a in healpix.lonlat(ZOOM))
    first, second = (xr.DataArray(values, dims="cell") for values in (np.sin(lat), np.sin(lat) + np.cos(lon)))

    def climate(bottle, reference):
        copies = tuple(side.expand_dims(copy=3) for side in (bottle, reference))
        return response_targets.Climate(bottle, reference, (reference, reference), copies)

    good = {("jcm", "tas"): climate(first, first), ("plasim", "tas"): climate(second, second)}
    rows = {row.key: row for row in response_targets.difference_rows(("jcm", "plasim"), good)}
    assert rows["g.difference.tas"].verdict == "met"
    assert rows["g.difference.tas"].label == "plasim - jcm"
    assert rows["g.difference.rlut"].verdict == "not evaluated"
    blurred = {("jcm", "tas"): climate(first, first), ("plasim", "tas"): climate(first + 0.1 * first, second)}
    (row, *_) = response_targets.difference_rows(("jcm", "plasim"), blurred)
    assert row.verdict == "missed"
    assert row.figure == pytest.approx(0, abs=0.05)


def test_rows_say_by_how_much_they_miss_and_whether_that_is_noise():
    between = {"lower": -1, "upper": 1}
    row = Row(ReportTarget.GLOBAL_MEAN, "k", "w", "tas", figure=-1.5, noise_floor=2.0, **between)
    assert (row.verdict, row.missed_by, row.within_noise) == ("missed", 0.5, True)
    assert not Row(ReportTarget.GLOBAL_MEAN, "k", "w", "tas", figure=3.0, noise_floor=2.0, **between).within_noise
    ratio = {"lower": 0.9, "upper": 1.1}
    assert Row(ReportTarget.VARIABILITY, "k", "w", "tas", figure=0.8, noise_floor=1.25, **ratio).within_noise
    assert not Row(ReportTarget.VARIABILITY, "k", "w", "tas", figure=0.8, noise_floor=1.15, **ratio).within_noise
    likeness = Row(ReportTarget.CLIMATOLOGY, "k", "w", "tas", figure=0.9, lower=0.95, noise_floor=0.85)
    assert (likeness.missed_by, likeness.within_noise) == (pytest.approx(0.05), True)
    assert Row(ReportTarget.GLOBAL_MEAN, "k", "w", "tas", figure=float("nan")).verdict == "not evaluated"
    assert counted([row, likeness, Row(ReportTarget.GLOBAL_MEAN, "k", "w", "tas", reason="none")]) == {
        "met": 0, "missed": 2, "not evaluated": 1, "missed within the noise floor": 2, "tests": 2, "met of tests": 0,
        "met by null": 0, "old met": 0, "old missed": 0,
    }  # fmt: skip
    assert json.loads(json.dumps(row.plain(), allow_nan=False))["verdict"] == "missed"
    assert list(TARGETS) == list("abcdefghijklmn")


def test_copies_are_means_of_resampled_instants():
    values = xr.DataArray(np.arange(12.0).reshape(6, 2), dims=("time", "cell"))
    copies = Copies.of(WHEN[:6], 5, 0, block=2)
    assert (copies.counts.sum(1) == 6).all()
    again = np.stack([np.repeat(values.values, row.astype(int), axis=0).mean(0) for row in copies.counts])
    np.testing.assert_allclose(copies.mean(values), again)
    spread = np.stack([np.repeat(values.values, row.astype(int), axis=0).std(0, ddof=1) for row in copies.counts])
    np.testing.assert_allclose(copies.standard_deviation(values), spread)
