"""Standardised anomalies, kurtosis and values far out; correlations of distant places; wind and geostrophic wind."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import evaluation_data
from xr_cbottle import diagnostics
from xr_cbottle.grid import healpix

WHEN = evaluation_data.times("1981-01-01", 365, 30)


def test_two_samples_are_measured_by_the_climate_of_one():
    climate, other = (
        xr.DataArray(280 + evaluation_data.weather(WHEN, 2, seed), {"time": WHEN}, ("time", "cell")) for seed in (1, 2)
    )
    own = diagnostics.standardised(climate)
    known = diagnostics.month_climate(climate)
    xr.testing.assert_allclose(diagnostics.standardised(climate, known, inside=True), own)
    plain = diagnostics.standardised(climate, known)
    assert float((plain**2).mean()) == pytest.approx(1)
    # By hand: the first instant by the others alone.
    rest = climate.isel(time=slice(1, None))
    by_others = diagnostics.standardised(climate.isel(time=[0]), diagnostics.month_climate(rest))
    np.testing.assert_allclose(own[0], by_others[0])
    fresh = diagnostics.standardised(other, known)
    assert float((own**2).mean()) == pytest.approx(float((fresh**2).mean()), rel=0.02)
    shifted = diagnostics.standardised(other + 2.0, known)
    assert float(shifted.mean()) > 0.5
    assert shifted.dims == ("time", "cell")
    summer = climate.isel(time=np.flatnonzero(climate["time"].dt.month.isin([6, 7, 8])))
    assert bool(diagnostics.standardised(other, summer).isel(time=0).isnull().all())


def test_kurtosis_and_shares_far_out():
    rng = np.random.default_rng(0)
    normal, double = (xr.DataArray(make, {"time": WHEN}, ("time", "cell")) for make in
                      (rng.standard_normal((292, 192)), rng.laplace(size=(292, 192))))  # fmt: skip
    assert float(diagnostics.kurtosis(normal)) == pytest.approx(3, abs=0.1)
    assert float(diagnostics.kurtosis(double)) == pytest.approx(6, abs=0.4)
    assert diagnostics.kurtosis(normal, "time").dims == ("cell",)
    assert float(diagnostics.exceedance(normal, 3)) == pytest.approx(0.00135, rel=0.3)
    assert float(diagnostics.exceedance(normal.where(normal < 1), -1)) == pytest.approx(0.159 / 0.841, abs=0.01)
    assert bool(np.isnan(diagnostics.kurtosis(normal * 0)))


def test_places_far_apart_that_go_together():
    rng = np.random.default_rng(3)
    lon, _ = (np.deg2rad(part) for part in healpix.lonlat(3))
    wave = rng.standard_normal((292, 1)) * np.cos(2 * lon) + 0.3 * rng.standard_normal((292, 768))
    found = diagnostics.distant_correlations(xr.DataArray(wave, {"time": WHEN}, ("time", "cell"), "psl"))
    assert float(found["apart"].min()) >= 30
    assert found.sizes["pair"] < 192 * 191 / 2
    coarse = healpix.coarsen(wave, 1)
    i, j = int(found["first"][100]), int(found["second"][100])
    assert float(found[100]) == pytest.approx(np.corrcoef(coarse[:, i], coarse[:, j])[0, 1], abs=0.05)
    where = np.cos(2 * np.deg2rad(healpix.lonlat(2)[0]))
    expected = np.sign(where[found["first"]] * where[found["second"]])
    strong = abs(where[found["first"]] * where[found["second"]]) > 0.5
    assert (np.sign(found.values[strong]) == expected[strong]).all()
    with pytest.raises(ValueError, match="a value at each cell"):
        diagnostics.distant_correlations(xr.DataArray(wave * np.nan, {"time": WHEN}, ("time", "cell")))


def test_wind_that_is_geostrophic_goes_with_it():
    when = WHEN[:24]
    height = 5500 + 60 * evaluation_data.weather(WHEN, 3, 1)[:24]
    zg = xr.DataArray(height, {"time": when}, ("time", "cell")).expand_dims(pressure=[50000])
    calm = xr.zeros_like(zg)
    wind = diagnostics.geostrophic_residual(xr.Dataset({"zg": zg, "ua": calm, "va": calm}))
    ds = xr.Dataset({"zg": zg, **{f"{c}a": wind[f"{c}g"].expand_dims(pressure=[50000]) for c in "uv"}})
    assert float(diagnostics.geostrophic_correlation(ds)) == pytest.approx(1)
    noise = np.random.default_rng(0).standard_normal(zg.shape) * float(wind["ug"].std())
    loose = diagnostics.geostrophic_correlation(ds.assign(ua=ds.ua + noise, va=ds.va + noise))
    assert 0.5 < float(loose) < 0.9
    assert loose.attrs["units"] == "1"
