"""Sampling errors that are known, halves and noise floors."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle.diagnostics import (
    bootstrap,
    climatology,
    correlation,
    global_mean,
    halves,
    noise_floor,
    rmse,
    standard_deviation,
    thinned,
)
from xr_cbottle.diagnostics.cycles import YEAR, year_fraction
from xr_cbottle.diagnostics.uncertainty import resample


def test_the_error_of_a_mean_is_sd_over_root_n() -> None:
    field = analytic_fields.noise(analytic_fields.times(100), zoom=1, mean=280)
    found = bootstrap(climatology, field, n=400)
    exact = standard_deviation(field) / np.sqrt(100) * np.sqrt(99 / 100)
    np.testing.assert_allclose(found.standard_error, exact, rtol=0.15)
    np.testing.assert_allclose(found.standard_error.mean(), exact.mean(), rtol=0.02)
    np.testing.assert_allclose((found.upper - found.lower).mean(), 2 * 1.645 * exact.mean(), rtol=0.03)
    xr.testing.assert_allclose(found.value, climatology(field))
    assert found.standard_error.attrs["units"] == "K"
    assert found.attrs["resamples"] == 400


def test_blocks_know_of_persistence() -> None:
    """Values that last for ten instants: the error of the mean is that of a tenth of them."""
    values = np.repeat(np.random.default_rng(0).standard_normal((200, 12)), 10, 0)
    field = analytic_fields.field(values, analytic_fields.times(2000))
    single, blocks = (bootstrap(climatology, field, n=200, block=b).standard_error.mean() for b in (1, 60))
    assert float(single) == pytest.approx(1 / np.sqrt(2000), rel=0.1)
    assert float(blocks) == pytest.approx(1 / np.sqrt(200), rel=0.1)


def test_seasons_are_no_sampling_error() -> None:
    """Two years of instants every third day: the mean of a year does not depend on chance in the seasons."""
    stamps = analytic_fields.times(240, "73h")
    noise = np.random.default_rng(0).standard_normal((240, 48))
    field = analytic_fields.field(noise + 3 * np.cos(2 * np.pi * np.arange(240)[:, None] / 120), stamps)
    kept, lost = (bootstrap(climatology, field, n=150, window=w).standard_error.mean() for w in (15, None))
    assert float(kept) == pytest.approx(1 / np.sqrt(240), rel=0.15)
    assert float(lost) == pytest.approx(np.sqrt(5.5 / 240), rel=0.1)


def test_what_replaces_an_instant_is_of_its_season() -> None:
    times = analytic_fields.times(3000, "13h")
    choice = resample(times, 5, np.random.default_rng(0), 20)
    days = ((year_fraction(times[choice]) - year_fraction(times)) * YEAR + YEAR / 2) % YEAR - YEAR / 2
    assert len(choice) == 3000
    assert 18 < abs(days).max() < 20 + 2  # where a block ends, the year may have been a day longer
    assert abs(days.mean()) < 1
    years = (times[choice] - times) / np.timedelta64(365, "D")
    assert abs(years).max() > 2


def test_pairs_remain_pairs_and_others_do_not() -> None:
    a = analytic_fields.noise(analytic_fields.times(50), zoom=1)
    together = bootstrap(lambda x, y: correlation(x, y).mean(), a, a.copy(), n=20)
    np.testing.assert_allclose([together.lower, together.upper], 1)
    other = analytic_fields.noise(analytic_fields.times(30, start="2000-01-01"), zoom=1, seed=3)
    difference = bootstrap(lambda x, y: global_mean(climatology(x) - climatology(y)), a, other, n=300)
    assert float(difference.standard_error) == pytest.approx(np.sqrt((1 / 50 + 1 / 30) / 48), rel=0.25)


def test_a_seed_is_a_result() -> None:
    field = analytic_fields.noise(analytic_fields.times(20), zoom=0)
    one, same, other = (bootstrap(climatology, field, n=10, seed=s) for s in (1, 1, 2))
    xr.testing.assert_identical(one, same)
    assert not np.allclose(one.standard_error, other.standard_error)


def test_numbers_and_data_sets() -> None:
    ds = xr.Dataset({"tas": analytic_fields.noise(analytic_fields.times(20), zoom=0)}).chunk(time=5)
    found = bootstrap(lambda d: float(d.tas.mean()), ds, n=5)
    assert found.value.shape == ()
    with pytest.raises(ValueError, match="take one of tas"):
        bootstrap(climatology, ds, n=5)


def test_what_cannot_be_resampled() -> None:
    field = analytic_fields.noise(analytic_fields.times(20), zoom=0)
    for arguments, keywords, message in (
        ((), {}, "at least one field"),
        ((field,), {"block": 21}, "between 1 and 20"),
        ((field,), {"n": 1}, "two resamples or more"),
        ((field,), {"confidence": 95}, "between 0 and 1"),
        ((field,), {"window": -1}, "number of days"),
        ((field[0],), {}, "needs a dimension time"),
    ):
        with pytest.raises(ValueError, match=message):
            bootstrap(climatology, *arguments, **keywords)


def test_halves_take_turns() -> None:
    field = analytic_fields.noise(analytic_fields.times(400, "1D"), zoom=0)
    first, second = halves(field)
    assert first.sizes["time"] == second.sizes["time"] == 200
    day = [((half.time.values - field.time.values[0]) / np.timedelta64(1, "D")) // 10 % 2 for half in (first, second)]
    assert set(day[0]) == {0}
    assert set(day[1]) == {1}
    assert halves(xr.Dataset({"a": field}), days=50)[0].sizes["time"] == 200
    with pytest.raises(ValueError, match="give shorter blocks"):
        halves(field[:9])


def test_thinned_keeps_every_hour() -> None:
    field = analytic_fields.noise(analytic_fields.times(24 * 365), zoom=0)
    some = thinned(field, 96)
    assert some.sizes["time"] == 96
    assert (np.diff(some.time.values) > np.timedelta64(0)).all()
    assert len(set(some.time.dt.hour.values)) == 24
    assert set(some.time.dt.month.values) == set(range(1, 13))
    assert thinned(some, 1000) is some


def test_the_noise_floor_is_that_of_so_many_instants() -> None:
    """Means of n independent instants each differ by sqrt(2 / n)."""

    def difference(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
        return rmse(climatology(a), climatology(b))

    first, second = (analytic_fields.noise(analytic_fields.times(400), zoom=3, seed=s) for s in (1, 2))
    for instants in (400, 50):
        floor = noise_floor(difference, first, second, instants=instants)
        assert float(floor) == pytest.approx(np.sqrt(2 / instants), rel=0.06)
        assert floor.attrs["instants_first"] == floor.attrs["instants_second"] == instants
        assert floor.attrs["units"] == "K"
    assert float(noise_floor(difference, *halves(first, days=1))) == pytest.approx(np.sqrt(4 / 400), rel=0.1)
    assert float(noise_floor(lambda a, b: 3.0, first, second)) == 3
