"""HEALPix fields on latitudes and longitudes: values that are known, means that are kept, what stays lazy."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
import xarray as xr

import xr_cbottle
from xr_cbottle.fields.onto_latlon import to_latlon
from xr_cbottle.grid import healpix, regular

ZOOM = 4


def field(values=None, dims=("time", "cell")):
    """A smooth field, x + 2 y + 3 z on the sphere, at two times."""
    lon, lat = np.deg2rad(healpix.lonlat(ZOOM))
    smooth = np.cos(lat) * np.cos(lon) + 2 * np.cos(lat) * np.sin(lon) + 3 * np.sin(lat)
    values = np.stack([smooth, -smooth]).astype("f4") if values is None else values
    time = np.array(["1990-01-01", "1990-01-02"], "M8[ns]")
    attrs = {"units": "K", "grid_mapping": "crs", "cell_methods": "time: point"}
    return xr.DataArray(values, {"time": time}, dims, "tas", attrs)


def exact(lat, lon):
    lat, lon = np.deg2rad(lat), np.deg2rad(lon)
    return np.cos(lat) * np.cos(lon) + 2 * np.cos(lat) * np.sin(lon) + 3 * np.sin(lat)


@pytest.mark.parametrize(("method", "error"), [("bilinear", 0.03), ("conservative", 0.25)])
def test_values_lie_where_they_should(method, error):
    made = to_latlon(field(), 2.0, method)
    assert made.dims == ("time", "lat", "lon")
    assert made.dtype == np.float32
    assert float(abs(made.isel(time=0) - exact(made.lat, made.lon)).max()) < error
    assert float(abs(made.isel(time=1) + exact(made.lat, made.lon)).max()) < error


def test_bilinear_is_healpys():
    made = to_latlon(field(), 5.0)
    lon, lat = np.meshgrid(made.lon, made.lat)
    value = healpy.get_interp_val(field().values[0].astype(float), lon.ravel(), lat.ravel(), nest=True, lonlat=True)
    np.testing.assert_allclose(made.values[0].ravel(), value, atol=1e-6)


def test_means_over_boxes_keep_the_mean_of_the_globe():
    noise = np.random.default_rng(0).normal(size=(2, 3072)).astype("f4")
    for spacing in (1.0, (10.0, 5.0)):
        made = to_latlon(field(noise), spacing, "conservative")
        mean = made.weighted(np.cos(np.deg2rad(made.lat))).mean(("lat", "lon"))
        assert abs(mean.values - noise.mean(axis=1, dtype=float)).max() < 5e-5
    # Boxes wider than cells are means over many, which points are not.
    wide = (30.0, 30.0)
    assert float(to_latlon(field(noise), wide, "conservative").std()) < 0.4 * float(to_latlon(field(noise), wide).std())


def test_a_box_within_one_cell_has_its_value():
    one = np.zeros((2, 3072), "f4")
    lon, lat = (float(axis[1234]) for axis in healpix.lonlat(ZOOM))
    one[:, 1234] = 1
    made = to_latlon(field(one), 0.25, "conservative")
    assert made.isel(time=0).sel(lat=lat, lon=lon, method="nearest") == 1
    area = float(made.isel(time=0).weighted(np.cos(np.deg2rad(made.lat))).mean())
    assert area == pytest.approx(1 / 3072, rel=1e-2)


def test_the_grid_is_cdos_r360x180_with_cfs_attributes():
    made = to_latlon(field().to_dataset().assign_attrs(history="before"), 1.0)
    assert (made.lon.values[[0, 1, -1]] == [0, 1, 359]).all()
    assert (made.lat.values[[0, -1]] == [-89.5, 89.5]).all()
    assert (made.lat.attrs["units"], made.lon.attrs["standard_name"]) == ("degrees_north", "longitude")
    assert made.tas.attrs == {"units": "K", "cell_methods": "time: point"}
    assert made.attrs["history"] == "before\nbrought to 1 x 1 degrees of longitude and latitude (bilinear)"
    assert to_latlon(field(), 9, "conservative").attrs["cell_methods"] == "time: point area: mean"


def test_coordinates_are_written_without_a_fill_value(tmp_path):
    """CF forbids it there, and xarray writes one for numbers unless it is told not to."""
    to_latlon(field(), 10.0).to_netcdf(tmp_path / "grid.nc")
    with xr.open_dataset(tmp_path / "grid.nc", mask_and_scale=False) as written:
        assert [name for name in ("lat", "lon", "time") if "_FillValue" in written[name].attrs] == []


def test_what_is_not_there_stays_so():
    values = field().values.copy()
    _, lat = healpix.lonlat(ZOOM)
    values[:, lat > 0] = np.nan
    for method in ("bilinear", "conservative"):
        made = to_latlon(field(values), 2.0, method).isel(time=0)
        assert bool(made.sel(lat=slice(5, 90)).isnull().all())
        assert bool(made.sel(lat=slice(-90, -5)).notnull().all())
        south = made.sel(lat=slice(-90, -5))
        assert float(abs(south - exact(south.lat, south.lon)).max()) < 0.25


def test_ring_order_is_not_taken_for_nested():
    ring = field().isel(cell=np.argsort(healpix.nest_to_ring(ZOOM))).to_dataset()
    ring["crs"] = ((), 1, {"grid_mapping_name": "healpix", "healpix_order": "ring"})
    np.testing.assert_array_equal(to_latlon(ring, 5.0).tas, to_latlon(field(), 5.0))


def test_dask_stays_lazy_and_gives_the_same():
    lazy = to_latlon(field().chunk(time=1, cell=1000).to_dataset(), 5.0)
    assert lazy.tas.chunks is not None
    np.testing.assert_array_equal(lazy.tas.compute(), to_latlon(field(), 5.0))


def test_a_bottle_comes_to_latitudes_and_longitudes(tmp_path):
    from tests.bottles import synthetic_bottle

    path = synthetic_bottle(tmp_path / "b.cbottle", 2, ("tas", "T850"))
    ds = xr.open_dataset(path, engine="cbottle", time="P1D").isel(time=slice(0, 2))
    made = xr_cbottle.to_latlon(ds, 10.0)
    assert dict(made.sizes) == {"time": 2, "pressure": 1, "lat": 18, "lon": 36}
    assert set(made.coords) == {"time", "pressure", "lat", "lon"}
    made.to_netcdf(tmp_path / "grid.nc")
    assert "seed" in made.attrs


@pytest.mark.parametrize(
    ("spacing", "method", "says"),
    [
        (7.0, "bilinear", "360 degrees are no whole number of 7 degrees"),
        (0.0, "bilinear", "such as 1x1"),
        ((1.0, 2.0, 3.0), "bilinear", "such as 1x1"),
        (1.0, "cubic", "choose bilinear or conservative"),
    ],
)
def test_what_is_no_grid(spacing, method, says):
    with pytest.raises(ValueError, match=says):
        to_latlon(field(), spacing, method)


def test_what_is_no_globe():
    with pytest.raises(ValueError, match="no HEALPix cells: the dimensions are time, x"):
        to_latlon(field(np.zeros((2, 5), "f4"), ("time", "x")))
    with pytest.raises(ValueError, match="the whole globe of HEALPix"):
        to_latlon(field().isel(cell=slice(0, 100)))


@pytest.mark.parametrize("box", [(-10, 30, 40, 60), (350, 30, 40, 60), (170, -20, -170, 20), (-180, -90, 180, 90)])
def test_cells_within_a_box(box):
    found = regular.cells_within(regular.checked_box(box), ZOOM)
    lon, lat = healpix.lonlat(ZOOM)
    west, south, east, north = box
    turned = (lon[found] - west) % 360
    assert ((lat[found] >= south) & (lat[found] <= north)).all()
    assert (turned <= ((east - west) % 360 or 360)).all()
    share = found.size / 3072
    expected = (((east - west) % 360 or 360) / 360) * (np.sin(np.deg2rad(north)) - np.sin(np.deg2rad(south))) / 2
    assert share == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("box", "says"),
    [((0, 10, 5, 5), "SOUTH < NORTH"), ((0, 0, 0, 5), "WEST and EAST"), ((0, 0, 400, 5), "WEST and EAST"),
     ((0, -91, 5, 5), "SOUTH < NORTH"), ((0, 0, float("nan"), 1), "four numbers"), ((1, 2), "four numbers")],
)  # fmt: skip
def test_what_is_no_box(box, says):
    with pytest.raises(ValueError, match=says):
        regular.checked_box(box)
