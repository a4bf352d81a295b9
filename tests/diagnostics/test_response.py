"""Niño 3.4, and regressions whose slope is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle.diagnostics import bootstrap, monthly, nino34, regression
from xr_cbottle.grid import healpix


def test_nino34_is_the_mean_of_its_region() -> None:
    lon, lat = healpix.lonlat(4)
    inside = (abs(lat) <= 5) & (lon >= 190) & (lon <= 240)
    assert inside.sum() > 30
    sst = np.where(inside, 27.0, np.nan)[None] + np.array([[0.0], [1.5]])
    ds = xr.Dataset({"ts": analytic_fields.field(sst * 0, analytic_fields.times(2), "ts")})
    ds["tos"] = analytic_fields.field(sst, analytic_fields.times(2), "tas").assign_attrs(units="degC")
    np.testing.assert_allclose(nino34(ds), [300.15, 301.65])
    assert nino34(ds).attrs["units"] == "K"
    assert nino34(ds).dims == ("time",)
    with pytest.raises(ValueError, match="one of sst, tos, ts"):
        nino34(ds.drop_vars(["ts", "tos"]))
    with pytest.raises(ValueError, match="take a finer zoom"):
        nino34(xr.Dataset({"ts": analytic_fields.noise(analytic_fields.times(2), "ts", zoom=0)}))


def series(months: int, seed: int = 0) -> xr.DataArray:
    """A monthly index that persists, with a year of its own."""
    stamps = pd.date_range("1980-01-01", periods=months, freq="MS")
    walk = np.random.default_rng(seed).standard_normal(months).cumsum() * 0.3
    values = 300 + walk + 2 * np.sin(2 * np.pi * stamps.month.values / 12)
    return xr.DataArray(values, {"time": stamps.values}, ["time"], "nino34", {"units": "K"})


def test_regression_recovers_a_slope() -> None:
    index = series(120)
    slope = np.linspace(-2, 2, 12)
    season = 10 * np.cos(2 * np.pi * index.time.dt.month.values / 12)[:, None]
    exact = analytic_fields.field(280 + season + slope * (index.values[:, None] - 300), index.time.values)
    found = regression(exact, index)
    np.testing.assert_allclose(found.slope, slope, atol=1e-9)
    np.testing.assert_allclose(found.standard_error, 0, atol=1e-9)
    assert found.slope.attrs["units"] == "1"  # K per K
    assert found.slope.attrs["months"] == 120
    rain = exact.rename("pr").assign_attrs(units="kg m-2 s-1")
    assert regression(rain, index).slope.attrs["units"] == "(kg m-2 s-1) K-1"


def test_its_error_is_that_of_least_squares() -> None:
    """The slopes of many cells scatter as the standard error says, and as a fit with monthly constants says."""
    index = series(96)
    noise = np.random.default_rng(1).standard_normal((96, 768))
    found = regression(analytic_fields.field(1.5 * index.values[:, None] + noise, index.time.values), index)
    assert float(found.slope.std()) == pytest.approx(float(found.standard_error.mean()), rel=0.1)
    assert float(found.slope.mean()) == pytest.approx(1.5, abs=0.02)
    months = np.eye(12)[index.time.dt.month.values - 1]
    design = np.column_stack([months, index.values])
    target = 1.5 * index.values + noise[:, 7]
    solution, residual, *_ = np.linalg.lstsq(design, target, rcond=None)
    error = np.sqrt(residual[0] / (96 - 13) * np.linalg.inv(design.T @ design)[-1, -1])
    np.testing.assert_allclose([found.slope[7], found.standard_error[7]], [solution[-1], error])


def test_hours_are_averaged_to_months_first() -> None:
    index = series(48)
    stamps = (index.time.values[:, None] + pd.to_timedelta([0, 9, 20], "D").values).ravel()
    values = (2 * index.values[:, None] + np.array([-1, 0, 1])).ravel()
    field = analytic_fields.field(np.repeat(values[:, None], 12, 1), stamps)
    found = regression(field, index)
    np.testing.assert_allclose(found.slope, 2)
    assert found.slope.attrs["degrees_of_freedom"] == 48 - 13


def test_months_that_are_drawn_twice_count_twice() -> None:
    """The bootstrap's error of a slope is that of least squares, where residuals are independent."""
    index = series(96)
    noise = np.random.default_rng(1).standard_normal((96, 48))
    field = analytic_fields.field(1.5 * index.values[:, None] + noise, index.time.values)
    found = bootstrap(lambda y, x: regression(y, x).slope, monthly(field), monthly(index), n=60)
    expected = regression(field, index).standard_error.mean()
    assert float(found.standard_error.mean()) == pytest.approx(float(expected), rel=0.2)


def test_too_few_months() -> None:
    index = series(14)
    with pytest.raises(ValueError, match="give several years"):
        regression(analytic_fields.noise(index.time.values), index)
    with pytest.raises(ValueError, match="give several years"):
        regression(analytic_fields.noise(analytic_fields.times(9)), index)
