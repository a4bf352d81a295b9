"""Places of cells, means over areas and bands."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle.diagnostics import area_mean, band_edges, global_mean, lonlat, zonal_mean, zoom
from xr_cbottle.diagnostics.grid import matched
from xr_cbottle.grid import healpix


@pytest.mark.parametrize("level", [0, 2, 5])
def test_zoom_and_places(level: int) -> None:
    field = analytic_fields.field(np.zeros(healpix.n_cells(level)))
    assert zoom(field) == level
    lon, lat = lonlat(field)
    np.testing.assert_array_equal([lon, lat], healpix.lonlat(level))
    assert lon.attrs["units"] == "degrees_east"


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (xr.DataArray(np.zeros(9), dims="x"), "has a dimension cell, not only x"),
        (xr.DataArray(np.zeros(100), dims="cell"), "has 100 cells along cell: the whole globe"),
        (xr.DataArray(np.zeros(12), {"cell": np.arange(12)[::-1]}, ["cell"]), "sort them with sortby"),
        (
            xr.DataArray(np.zeros(12), {"crs": ((), 1, {"healpix_order": "ring"})}, ["cell"]),
            "not in NEST order: reorder them",
        ),
    ],
)
def test_what_is_no_healpix_field_is_refused(field: xr.DataArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoom(field)


def test_global_mean_is_of_the_area() -> None:
    _, lat = analytic_fields.radians(3)
    values = np.stack([np.sin(lat) ** 2, np.sin(lat)])
    means = global_mean(analytic_fields.field(values, analytic_fields.times(2)))
    np.testing.assert_allclose(means, [1 / 3, 0], atol=1e-3)  # of x^2 and x for x = sin(latitude) in [-1, 1]
    assert means.dtype == np.float64
    assert means.attrs["units"] == "K"


def test_area_mean_takes_the_mask_and_leaves_out_what_is_missing() -> None:
    _, lat = analytic_fields.radians(2)
    values = np.where(lat > 0, 3.0, 1.0)
    values[:4] = np.nan
    field = analytic_fields.field(values)
    north = xr.DataArray(lat > 0, dims="cell")
    assert float(area_mean(field, north)) == 3
    assert float(area_mean(field, ~north)) == 1


def test_zonal_means_are_those_of_the_bands() -> None:
    _, lat = analytic_fields.radians(4)
    field = analytic_fields.field(
        np.stack([np.rad2deg(lat), np.ones_like(lat)]).astype(np.float32), analytic_fields.times(2)
    )
    zonal = zonal_mean(field, 12)
    assert zonal.dims == ("time", "lat")
    np.testing.assert_allclose(zonal.lat, np.arange(-82.5, 90, 15))
    x = np.deg2rad(band_edges(12))
    integral, area = x * np.sin(x) + np.cos(x), np.sin(x)
    np.testing.assert_allclose(zonal[0], np.rad2deg(np.diff(integral) / np.diff(area)), atol=1.7)  # half a cell
    np.testing.assert_allclose(zonal[1], 1)
    cells = np.histogram(np.rad2deg(lat), band_edges(12))[0]
    np.testing.assert_allclose(np.average(zonal[0], weights=cells), float(global_mean(field[0])), atol=1e-6)


def test_bands_by_their_edges() -> None:
    _, lat = analytic_fields.radians(3)
    field = analytic_fields.field(np.where(abs(lat) < np.pi / 6, 5.0, np.nan))
    tropics = zonal_mean(field, [-20, 20, 60, 90])
    np.testing.assert_array_equal(tropics.isel(lat=0), 5)
    assert np.isnan(tropics.isel(lat=2))
    for bands in (0, [10], [30, 10], [-100, 0]):
        with pytest.raises(ValueError, match="zonal band"):
            band_edges(bands)


def test_a_band_without_cells_is_nan() -> None:
    zonal = zonal_mean(analytic_fields.field(np.ones(12)), 18)
    assert int(zonal.notnull().sum()) == 3


def test_fields_are_matched_or_refused() -> None:
    stamps = analytic_fields.times(4)
    coarse, fine = analytic_fields.noise(stamps, zoom=1), analytic_fields.noise(stamps, zoom=2)
    with pytest.raises(ValueError, match="zooms 1 and 2: bring the finer one to 1"):
        matched(coarse, fine)
    with pytest.raises(ValueError, match="no time in common"):
        matched(fine, fine.assign_coords(time=stamps + np.timedelta64(9, "D")))
    first, second = matched(fine[:3], fine[1:].assign_coords(crs=7))
    assert first.sizes["time"] == second.sizes["time"] == 2
    assert "crs" not in second.coords
