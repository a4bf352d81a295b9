"""A user's data super-resolved: lazily, reproducibly, and with what was done in the attributes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

import xr_cbottle
from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.grid import healpix

NATIVE, FINE = 3, 6
SIZE = 4**5
TIMES = np.array(["1990-07-01T06", "2031-01-01"], "datetime64[ns]")  # any, not only the bottle's


@pytest.fixture(scope="session")
def bottle(tmp_path_factory):
    specs = bottles.fine_specs(FINE, ("tas", "pr", "sst"), overlap=0)
    path = tmp_path_factory.mktemp("downscaling") / "small.cbottle"
    return bottles.synthetic_bottle(path, NATIVE, ("T850", "tas", "pr", "sst"), superres=specs)


@pytest.fixture
def drawn(bottle):
    cache.shared().clear()
    resolver = Cube(bottle, zoom=FINE).source.resolver()
    before = resolver.drawn
    return lambda: resolver.drawn - before


def data(zoom=NATIVE, land=True):
    """On cells, with SST that is missing over land."""
    rng = np.random.default_rng(4)
    tas = 286 + 10 * rng.standard_normal((2, healpix.n_cells(zoom)))
    sst = tas + 2
    if land:
        sst[:, 5:40:4] = np.nan
    values = {"tas": (tas, "K"), "pr": (1e-5 * rng.standard_normal(tas.shape) * 86400, "mm day-1"), "sst": (sst, "K")}
    ds = xr.Dataset({n: (("time", "cell"), v, {"units": u}) for n, (v, u) in values.items()}, {"time": TIMES})
    return ds.assign_attrs(history="made by a test")


def test_lazy_and_by_tiles(bottle, drawn):
    ds = xr_cbottle.downscale(data(), bottle, seed=3, member=2)
    assert dict(ds.sizes) == {"time": 2, "cell": healpix.n_cells(FINE)}
    assert repr(ds)
    assert drawn() == 0
    part = ds[["tas", "pr"]].isel(time=1, cell=slice(SIZE - 3, SIZE + 3)).compute()
    assert drawn() == 2
    again = xr_cbottle.downscale(data(), bottle, seed=3, member=2)
    whole = again[["tas", "pr"]].isel(cell=slice(0, 2 * SIZE)).compute()
    xr.testing.assert_equal(part, whole.isel(time=1, cell=slice(SIZE - 3, SIZE + 3)))
    assert drawn() == 6  # data are not known again: they may have changed
    np.testing.assert_array_equal(ds.time.values, TIMES)


def test_it_is_what_the_bottle_makes_of_its_own_instants(bottle, drawn):
    """The bottle's own coarse fields, downscaled with their seed, are the bottle's fine fields."""
    own = Cube(bottle, time=["1980-03-01T06"], seed=5).to_dataset()[["tas", "pr"]]
    label = "a"
    raw = Cube(bottle).emulator().draw("1980-03-01T06", seed=5, label=label).sel(channel="sst", drop=True)
    coarse = own.compute().assign(sst=(("time", "cell"), raw.values, {"units": "K"}))
    got = xr_cbottle.downscale(coarse, bottle, seed=5).tas.isel(time=0, cell=slice(0, 50)).values
    fine = Cube(bottle, zoom=FINE, time=["1980-03-01T06"], seed=5).to_dataset().tas
    np.testing.assert_allclose(got, fine.isel(time=0, cell=slice(0, 50)).values, atol=1e-4 * 15.6)


def test_seed_member_and_time_choose_the_noise(bottle):
    def read(ds=None, **keywords):
        result = xr_cbottle.downscale(data() if ds is None else ds, bottle, **keywords)
        return result.tas.isel(time=0, cell=slice(0, 9)).values

    base = read()
    np.testing.assert_array_equal(read(), base)
    later = data().assign_coords(time=TIMES + np.timedelta64(1, "h"))
    for other in (read(seed=1), read(member=1), read(later)):
        assert np.abs(other - base).max() > 1


def test_what_is_missing_over_land(bottle):
    ds = xr_cbottle.downscale(data(), bottle).isel(time=0, cell=slice(0, SIZE)).compute()
    expected = np.repeat(np.isnan(data().sst.values[0, :16]), 64)
    np.testing.assert_array_equal(np.isnan(ds.sst.values), expected)
    assert np.isfinite(ds.tas.values).all()
    assert "missing" in ds.sst.attrs["comment"]
    assert "comment" not in ds.tas.attrs


def test_zooms(bottle, drawn):
    finest = xr_cbottle.downscale(data(), bottle).tas.isel(time=0, cell=slice(0, SIZE)).values
    half = xr_cbottle.downscale(data(), bottle, zoom=5).tas.isel(time=0, cell=slice(0, SIZE // 4)).values
    np.testing.assert_allclose(half, finest.reshape(-1, 4).mean(1), rtol=1e-6)
    finer = data(NATIVE + 1, land=False)
    averaged = finer.coarsen(cell=4).mean()
    for name in averaged.data_vars:
        averaged[name].attrs = finer[name].attrs
    a, b = (xr_cbottle.downscale(ds, bottle).tas.isel(time=0, cell=slice(0, 9)).values for ds in (finer, averaged))
    np.testing.assert_allclose(a, b, atol=1e-3)
    for zoom in (3, 7, "6", True):
        with pytest.raises(ValueError, match=r"zoom is .*: it must be an integer from 4 to 6"):
            xr_cbottle.downscale(data(), bottle, zoom=zoom)


def test_latitudes_and_longitudes(bottle, drawn):
    lat, lon = np.arange(90, -91, -5.0), np.arange(0, 360, 5.0)
    warm = 280 + 20 * np.cos(np.deg2rad(lat))[:, None] + 0 * lon
    dims, coords = ("latitude", "longitude"), {"latitude": lat, "longitude": lon, "time": TIMES[0]}
    ds = xr.Dataset(
        {
            "t2m": (dims, warm - 273.15, {"units": "degC"}),
            "mtpr": (dims, 0 * warm, {"units": "kg m**-2 s**-1"}),
            "sst": (dims, warm, {"units": "K"}),
        },
        coords,
    )
    got = xr_cbottle.downscale(ds, bottle)
    assert got.tas.dims == ("cell",)
    assert got.time.values == TIMES[0]
    assert got.tas.isel(cell=[4, 0]).values.shape == (2,)
    assert drawn() == 1
    history = got.attrs["history"]
    assert "37 x 72 latitudes and longitudes, interpolated bilinearly to HEALPix zoom 4, averaged to zoom 3" in history
    assert "t2m taken for tas, tas from degC to K; mtpr taken for pr" in history


def test_attributes(bottle):
    ds = xr_cbottle.downscale(data(), bottle, seed=3, member=2, zoom=5, sr_network="full")
    attrs = ds.attrs
    assert (attrs["bottle"], attrs["seed"], attrs["member"], attrs["zoom"], attrs["native_zoom"]) == (
        "small", 3, 2, 5, NATIVE
    )  # fmt: skip
    assert attrs["superres_evaluations"] == 3
    first, last = attrs["history"].split("\n")
    assert first == "made by a test"
    assert "downscaled zero-shot by small (HEALPix zoom 3; pr from mm day-1 to kg m-2 s-1)" in last
    assert "label" not in attrs
    assert "num_steps" not in attrs
    assert ds.tas.attrs["units"] == "K"
    assert ds.pr.attrs["units"] == "kg m-2 s-1"
    assert "cell_methods" not in ds.tas.attrs
    mean = data()
    mean.tas.attrs["cell_methods"] = "time: mean"
    assert xr_cbottle.downscale(mean, bottle).tas.attrs["cell_methods"] == "time: mean"
    assert ds.crs.attrs["refinement_level"] == 5
    assert not any(value is None for value in attrs.values())


def test_dask_pickle_and_files(bottle, drawn, tmp_path):
    lazy = data().chunk(time=1)
    ds = xr_cbottle.downscale(lazy, bottle, chunks={})
    assert ds.tas.chunks == ((2,), (48 * SIZE,))
    part = ds.isel(time=[0], cell=slice(0, SIZE))
    expected = xr_cbottle.downscale(data(), bottle).isel(time=[0], cell=slice(0, SIZE)).compute()
    xr.testing.assert_equal(part.compute(), expected)
    again = pickle.loads(pickle.dumps(xr_cbottle.downscale(data(), bottle).tas))
    np.testing.assert_array_equal(again.isel(time=0, cell=slice(0, SIZE)).values, expected.tas.values[0])
    part.to_netcdf(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as back:
        np.testing.assert_array_equal(back.tas.values, expected.tas.values)
        assert back.attrs["bottle"] == "small"


def test_refusals(bottle, tmp_path):
    plain = bottles.synthetic_bottle(tmp_path / "plain.cbottle")
    with pytest.raises(ValueError, match="plain has no super-resolution: choose a bottle that has"):
        xr_cbottle.downscale(data(), plain)
    with pytest.raises(ValueError, match="small super-resolves 3 fields together and the data set has no pr"):
        xr_cbottle.downscale(data().drop_vars("pr"), bottle)
    with pytest.raises(TypeError, match="unknown keyword label, time: downscale takes sr_mode"):
        xr_cbottle.downscale(data(), bottle, label="a", time="P1D")
    for keywords, says in (
        ({"seed": -1}, "seed is -1"),
        ({"member": None}, "member is None"),
        ({"sr_mode": "box"}, "choose one of tiles, global"),
        ({"sr_network": "few"}, "small has distilled and full"),
    ):
        with pytest.raises(ValueError, match=says):
            xr_cbottle.downscale(data(), bottle, **keywords)
    spoiled = data()
    spoiled.tas[0, 7] = np.nan
    ds = xr_cbottle.downscale(spoiled, bottle)
    with pytest.raises(ValueError, match="tas has missing values"):
        ds.tas.isel(time=0, cell=0).load()
    assert np.isfinite(ds.tas.isel(time=1, cell=0).values)
