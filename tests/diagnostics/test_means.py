"""Seasons, climatologies, months and anomalies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle.diagnostics import anomalies, bias, climatology, monthly, pattern_correlation, rmse, season


@pytest.fixture
def numbered() -> xr.DataArray:
    """Two years of days whose value is the number of the month."""
    stamps = pd.date_range("1990-01-01", "1991-12-31", freq="D")
    return analytic_fields.field(np.repeat(stamps.month.values[:, None], 12, 1).astype(float), stamps.values)


@pytest.mark.parametrize(("name", "months"), [("DJF", {12, 1, 2}), ("JJA", {6, 7, 8}), ("annual", set(range(1, 13)))])
def test_a_season_has_its_months(numbered: xr.DataArray, name: str, months: set) -> None:
    assert set(season(numbered, name).values.ravel()) == months
    expected = np.mean(numbered.values[np.isin(numbered.values[:, 0], list(months)), 0])
    np.testing.assert_allclose(climatology(numbered, name), expected)
    assert climatology(numbered, name).attrs == numbered.attrs


def test_seasons_that_are_not_there(numbered: xr.DataArray) -> None:
    with pytest.raises(ValueError, match="no season 'winter': choose one of annual, DJF, MAM, JJA, SON"):
        season(numbered, "winter")
    with pytest.raises(ValueError, match="no time lies in JJA"):
        climatology(numbered[:31], "JJA")
    with pytest.raises(ValueError, match="decode them"):
        climatology(numbered.assign_coords(time=np.arange(730)))


def test_data_sets_too(numbered: xr.DataArray) -> None:
    ds = xr.Dataset({"a": numbered, "b": numbered + 1})
    np.testing.assert_allclose(climatology(ds, "MAM").b - climatology(ds, "MAM").a, 1)
    np.testing.assert_allclose(monthly(ds).b[:, 0], [*range(2, 14)] * 2)


def test_months_that_have_data(numbered: xr.DataArray) -> None:
    means = monthly(numbered.where(numbered != 4, drop=True))
    assert means.sizes["time"] == 22
    np.testing.assert_array_equal(means.time.dt.month, means[:, 0])
    np.testing.assert_array_equal(means.time.values.astype("datetime64[M]"), means.time.values)
    xr.testing.assert_identical(monthly(means), means)
    xr.testing.assert_identical(monthly(means.isel(time=[0, 0, 3])), means.isel(time=[0, 0, 3]))


def test_a_month_of_one_instant_may_be_left_out() -> None:
    field = analytic_fields.noise(analytic_fields.times(4 * 59 + 1, "6h"), zoom=0)
    assert monthly(field).sizes["time"] == 3
    np.testing.assert_array_equal(monthly(field, least=28).time.dt.month, [1, 2])
    with pytest.raises(ValueError, match="no month has 200 instants: the fullest has 124"):
        monthly(field, least=200)


def test_anomalies_are_from_the_month_of_the_year() -> None:
    stamps = pd.date_range("1990-01-01", periods=36, freq="MS")
    year, month = stamps.year.values - 1991.0, stamps.month.values
    field = analytic_fields.field(np.repeat((100 * month + year)[:, None], 12, 1), stamps.values)
    np.testing.assert_allclose(anomalies(field)[:, 0], year)
    xr.testing.assert_allclose(anomalies(anomalies(field)), anomalies(field))
    assert anomalies(field).dims == field.dims


def test_comparisons_of_maps() -> None:
    stamps = analytic_fields.times(50)
    a, b = analytic_fields.noise(stamps, seed=1), analytic_fields.noise(stamps[:20], seed=2, mean=3)
    np.testing.assert_allclose(bias(a, b), a.values.mean(0, float) - b.values.mean(0, float), rtol=1e-6)
    first, second = climatology(a), climatology(b)
    np.testing.assert_allclose(rmse(first, second), np.sqrt(np.mean((first.values - second.values) ** 2)))
    np.testing.assert_allclose(pattern_correlation(first, second), np.corrcoef(first, second)[0, 1])
    np.testing.assert_allclose(pattern_correlation(first, 5 - 2 * first), -1)
    over_time = rmse(a, b, "time")  # of the 20 instants that both have
    np.testing.assert_allclose(over_time, np.sqrt(((a[:20] - b).values.astype(float) ** 2).mean(0)), rtol=1e-6)


def test_comparisons_leave_out_the_land() -> None:
    stamps = analytic_fields.times(3)
    a = analytic_fields.noise(stamps).where(xr.DataArray(np.arange(192) > 9, dims="cell"))
    b = analytic_fields.noise(stamps, seed=5)
    assert int(bias(a, b).isnull().sum()) == 10
    np.testing.assert_allclose(rmse(a, b), rmse(a, b.where(a.notnull())))
    np.testing.assert_allclose(pattern_correlation(a, b)[0], np.corrcoef(a[0, 10:], b[0, 10:])[0, 1], rtol=1e-5)


def test_levels_in_common_are_compared() -> None:
    values = np.arange(36.0).reshape(1, 3, 12)
    a = analytic_fields.field(values, analytic_fields.times(1), "ta", [25000, 50000, 85000])
    b = analytic_fields.field(values[:, 1:] + 1, analytic_fields.times(1), "ta", [50000.0, 85000.0])
    np.testing.assert_array_equal(rmse(climatology(a), climatology(b)), [1, 1])
