"""Balances of atmospheres that keep them exactly."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle.diagnostics import geostrophic_residual, hydrostatic_residual, radiation_budget, water_budget
from xr_cbottle.diagnostics.balances import EARTH_RADIUS, GAS_CONSTANT, ROTATION, insolation
from xr_cbottle.fields.channels import GRAVITY

LEVELS = np.array([25000, 50000, 85000])


def column(moisture: float = 0.0) -> xr.Dataset:
    """Virtual temperature linear in ln p, height by integrating it."""
    log_p = np.log(LEVELS / 1e5)[:, None] * np.ones(12)
    warmth = np.linspace(280, 300, 12)
    virtual = warmth + 40 * log_p
    height = -GAS_CONSTANT / GRAVITY * (warmth * log_p + 20 * log_p**2)
    ds = xr.Dataset({"zg": analytic_fields.field(height[None], analytic_fields.times(1), "zg", LEVELS)})
    ds["ta"] = analytic_fields.field((virtual / (1 + 0.608 * moisture))[None], analytic_fields.times(1), "ta", LEVELS)
    if moisture:
        ds["hus"] = analytic_fields.field(
            np.full_like(virtual, moisture)[None], analytic_fields.times(1), "hus", LEVELS
        )
    return ds


@pytest.mark.parametrize("moisture", [0.0, 0.01])
@pytest.mark.parametrize("order", [1, -1])
def test_a_hydrostatic_column_has_no_residual(moisture: float, order: int) -> None:
    found = hydrostatic_residual(column(moisture).isel(pressure=slice(None, None, order)))
    np.testing.assert_allclose(found.residual, 0, atol=1e-6)
    np.testing.assert_array_equal(found.upper, LEVELS[:-1])
    np.testing.assert_array_equal(found.lower, LEVELS[1:])
    assert 5000 < float(found.thickness.sel(layer=0).mean()) < 6000
    assert ("hus is absent" in found.residual.attrs["comment"]) == (moisture == 0)


def test_a_warmer_layer_is_thicker() -> None:
    ds = column()
    ds["ta"] = ds.ta + 2.0
    depth = GAS_CONSTANT / GRAVITY * np.log(LEVELS[1:] / LEVELS[:-1])
    np.testing.assert_allclose(hydrostatic_residual(ds).residual[0, :, 0], -2 * depth)
    with pytest.raises(ValueError, match="two pressure levels or more"):
        hydrostatic_residual(ds.isel(pressure=[0]))
    with pytest.raises(ValueError, match="needs ta"):
        hydrostatic_residual(ds[["zg"]])


def test_geostrophic_wind_of_solid_rotation() -> None:
    """z = -a omega u0 / g sin^2(latitude) has ug = u0 cos(latitude), and no vg."""
    _, lat = analytic_fields.radians(3)
    height = 5600 - EARTH_RADIUS * ROTATION * 30 / GRAVITY * np.sin(lat) ** 2
    wind = 30 * np.cos(lat)
    ds = xr.Dataset(
        {
            "zg": analytic_fields.field(height[None, None], analytic_fields.times(1), "zg", [50000]),
            "ua": analytic_fields.field(wind[None, None], analytic_fields.times(1), "ua", [50000]),
            "va": analytic_fields.field(np.full_like(wind, 2.0)[None, None], analytic_fields.times(1), "va", [50000]),
        }
    )
    found = geostrophic_residual(ds)
    outside = abs(np.rad2deg(lat)) > 20
    np.testing.assert_array_equal(found.ug[0].notnull(), outside)
    np.testing.assert_allclose(found.u_residual[0, outside], 0, atol=0.03)
    np.testing.assert_allclose(found.v_residual[0, outside], 2, atol=0.03)
    with pytest.raises(ValueError, match="no level at 85000 Pa: choose one of 50000"):
        geostrophic_residual(ds, 85000)
    with pytest.raises(ValueError, match="between 1 and 23"):
        geostrophic_residual(ds, degrees=24)


def test_geostrophic_wind_along_a_wave() -> None:
    """z = z1 cos^2(latitude) sin(2 longitude): vg = g z1 cos(latitude) cos(2 longitude) / (a omega sin(latitude))."""
    lon, lat = analytic_fields.radians(3)
    height = 100 * np.cos(lat) ** 2 * np.sin(2 * lon)
    zero = analytic_fields.field(np.zeros((1, 1, 768)), analytic_fields.times(1), "ua", [50000])
    ds = xr.Dataset(
        {
            "zg": analytic_fields.field(height[None, None], analytic_fields.times(1), "zg", [50000]),
            "ua": zero,
            "va": zero,
        }
    )
    found = geostrophic_residual(ds)
    outside = abs(np.rad2deg(lat)) > 20
    lon, lat = lon[outside], lat[outside]
    scale = GRAVITY * 100 / EARTH_RADIUS / ROTATION * np.cos(lat)
    np.testing.assert_allclose(found.vg[0, outside], scale * np.cos(2 * lon) / np.sin(lat), atol=1e-3)
    np.testing.assert_allclose(found.ug[0, outside], scale * np.sin(2 * lon), atol=1e-3)


def test_water() -> None:
    ds = xr.Dataset({"pr": analytic_fields.field(np.full((2, 12), 3e-5), analytic_fields.times(2), "pr")})
    assert "hfls" in water_budget(ds).attrs["absent"]
    assert list(water_budget(ds)) == ["precipitation"]
    ds["hfls"] = analytic_fields.field(np.full((2, 12), 2.501e6 * 2e-5), analytic_fields.times(2), "rlut")
    found = water_budget(ds)
    np.testing.assert_allclose(found.evaporation, 2e-5)
    np.testing.assert_allclose(found.residual, 1e-5)
    with pytest.raises(ValueError, match="needs pr"):
        water_budget(ds[["hfls"]])


def test_the_sun_is_nearest_in_january() -> None:
    year = insolation(analytic_fields.times(365, "1D"))
    assert np.argmax(year) in range(1, 6)
    assert np.argmin(year) in range(182, 188)
    np.testing.assert_allclose(year.mean(), 1361 / 4 * 1.00014, rtol=1e-4)  # <(a/r)^2> = 1 / sqrt(1 - e^2)
    np.testing.assert_allclose(year.max() / year.min(), (1.0167086 / 0.9832914) ** 2, rtol=1e-4)


def test_radiation() -> None:
    stamps = analytic_fields.times(2, "180D")
    ds = xr.Dataset(
        {name: analytic_fields.field(np.full((2, 12), v), stamps, name) for name, v in (("rsut", 100), ("rlut", 240))}
    )
    found = radiation_budget(ds)
    np.testing.assert_allclose(found.net, insolation(stamps) - 340)
    assert "1361 W m-2" in found.rsdt.attrs["source"]
    ds["rsdt"] = ds.rlut + 105
    np.testing.assert_allclose(radiation_budget(ds).net, 5)
    assert radiation_budget(ds).rsdt.attrs["source"] == "the data set"
    assert radiation_budget(ds).net.attrs["units"] == "W m-2"
