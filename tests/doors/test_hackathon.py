"""The tools of the hackathon, the real ones, on a data set of this engine as it comes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import bottles
from xr_cbottle.bottle import location
from xr_cbottle.grid import healpix

TIMES = ["1980-07-01T00", "1980-07-01T06"]


@pytest.fixture(scope="module", params=["synthetic", "gcm"])
def ds(request, tmp_path_factory):
    """Two instants of the fastest bottle, and the form of the real one."""
    if request.param == "gcm" and "gcm" not in location.bundled():
        pytest.skip("the bottle gcm is not here")
    if request.param == "gcm":
        return xr.open_dataset("gcm", engine="cbottle", time=TIMES, num_steps=2, batch_size=2)
    path = bottles.synthetic_bottle(tmp_path_factory.mktemp("hackathon") / "small.cbottle")
    return xr.open_dataset(path, engine="cbottle", time=TIMES, batch_size=2)


@pytest.fixture
def egh():
    pytest.importorskip("cartopy")
    return pytest.importorskip("easygems.healpix")


def test_easygems_knows_the_grid(ds, egh):
    assert egh.get_nside(ds) == 2 ** ds.attrs["zoom"]
    assert egh.get_nside(ds.tas.isel(time=0)) == 2 ** ds.attrs["zoom"]
    assert egh.is_nested(ds)
    assert egh.get_npix(ds) == ds.sizes["cell"]
    assert egh.get_index_name(ds) == "cell"


def test_easygems_shows_a_map(ds, egh):
    import matplotlib

    matplotlib.use("Agg")
    import cartopy.crs as ccrs
    import matplotlib.pyplot as plt

    # An Axes of ours: easygems would download coastlines for one of its own.
    _, ax = plt.subplots(subplot_kw={"projection": ccrs.PlateCarree()}, figsize=(3.6, 1.8), dpi=100)
    ax.set_global()
    field = ds.tas.isel(time=0)
    image = egh.healpix_show(field, ax=ax)
    picture = np.ma.filled(image.get_array(), np.nan)
    plt.close("all")
    assert np.isfinite(picture).all()
    assert picture.min() == field.min()
    assert picture.max() == field.max()


def test_easygems_attaches_coordinates(ds, egh):
    with_coordinates = egh.attach_coords(ds)
    lon, lat = healpix.lonlat(ds.attrs["zoom"])
    np.testing.assert_allclose(with_coordinates.lat, lat, atol=1e-9)
    np.testing.assert_allclose(with_coordinates.lon, lon % 360, atol=1e-9)
    north = with_coordinates.tas.where(with_coordinates.lat > 30, drop=True)
    assert north.sizes["cell"] == (lat > 30).sum()


def test_easygems_selects_a_region(ds, egh):
    region = egh.select_extent(egh.attach_coords(ds), [-20, 50, -40, 40])
    assert 0 < region.sizes["cell"] < ds.sizes["cell"]
    np.testing.assert_array_equal(region.tas.values, ds.tas.isel(cell=region.cell.values).values)


def test_easygems_before_the_cf_attributes(ds):
    """What easygems 0.1 and the notebooks of hk25 do by themselves."""
    import healpy

    crs = ds.crs.attrs
    assert healpy.nside2npix(crs["healpix_nside"]) == ds.sizes["cell"]
    assert crs["healpix_order"] == "nest"
    assert ds.crs.item() != 0


def test_xdggs_decodes(ds):
    xdggs = pytest.importorskip("xdggs")
    decoded = xdggs.decode(ds)
    info = decoded.dggs.grid_info
    assert (info.level, info.indexing_scheme) == (ds.attrs["zoom"], "nested")
    lon, lat = healpix.lonlat(ds.attrs["zoom"])
    centres = decoded.dggs.cell_centers()
    np.testing.assert_allclose(centres.latitude, lat, atol=1e-6)
    np.testing.assert_allclose(
        np.exp(1j * np.deg2rad(centres.longitude.values)), np.exp(1j * np.deg2rad(lon)), atol=1e-6
    )
    np.testing.assert_array_equal(decoded.tas.isel(time=0), ds.tas.isel(time=0))


def test_cf_xarray_finds_everything(ds):
    pytest.importorskip("cf_xarray")
    assert ds.cf["grid_mapping"].attrs["grid_mapping_name"] == "healpix"
    assert ds.tas.cf["grid_mapping"].attrs["refinement_level"] == ds.attrs["zoom"]
    assert ds.cf["air_pressure"].name == "pressure"
    assert ds.cf["T"].name == ds.cf["time"].name == "time"
    assert ds.cf["Z"].name == ds.cf["vertical"].name == "pressure"
    assert ds.cf["eastward_wind" if "uas" not in ds else "toa_outgoing_longwave_flux"].dims[-1] == "cell"
    assert ds.cf.grid_mapping_names == {"healpix": ["crs"]}
    assert ds.ta.cf.sel(vertical=50000).sizes["cell"] == ds.sizes["cell"]


def test_every_variable_is_described(ds):
    for name, variable in ds.data_vars.items():
        assert {"units", "long_name", "standard_name", "grid_mapping"} <= set(variable.attrs), name
    for variable in [ds, *ds.variables.values()]:
        assert not [v for v in variable.attrs.values() if v is None or isinstance(v, (bool, dict))]


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_netcdf_there_and_back(ds, engine, tmp_path):
    few = ds[["tas", "ta"]]
    few.to_netcdf(tmp_path / "x.nc", engine=engine)
    with xr.open_dataset(tmp_path / "x.nc", engine=engine) as back:
        xr.testing.assert_equal(back.load(), few.load())
        assert back.tas.attrs == few.tas.attrs
        assert back.crs.attrs == few.crs.attrs


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_there_and_back(ds, zarr_format, tmp_path):
    few = ds[["tas", "ta"]]
    few.to_zarr(tmp_path / "x.zarr", zarr_format=zarr_format, consolidated=False)
    back = xr.open_zarr(tmp_path / "x.zarr", consolidated=False)
    xr.testing.assert_equal(back.load(), few.load())
    assert back.tas.attrs == few.tas.attrs


def test_uxarray_reads_the_grid(ds):
    ux = pytest.importorskip("uxarray", reason="pip install 'xr-cbottle[ugrid]'")
    made = ux.UxDataset.from_healpix(ds)
    assert made.uxgrid.n_face == ds.sizes["cell"]
    np.testing.assert_array_equal(made["tas"].isel(time=0).values, ds.tas.isel(time=0).values)
    _, lat = healpix.lonlat(ds.attrs["zoom"])
    np.testing.assert_allclose(made.uxgrid.face_lat, lat, atol=1e-6)


def test_notebooks_of_the_hackathon(ds):
    """Zonal and global means, a Hovmoeller slice: what the first cells of most notebooks do."""
    _, lat = healpix.lonlat(ds.attrs["zoom"])
    band = xr.DataArray(np.digitize(lat, np.arange(-90, 91, 30)), dims="cell", name="band")
    zonal = ds.tas.groupby(band).mean()
    assert zonal.sizes["band"] == 6
    everywhere = ds.ta.sel(pressure=84000, method="nearest").mean("cell")
    np.testing.assert_allclose(everywhere, ds.ta.sel(pressure=85000).values.mean(-1), rtol=1e-5)
    assert ds.tas.resample(time="1D").mean().sizes["time"] == 1
