"""SST in all its forms, in time and on the sphere."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix

MONTHS = np.array([f"1980-{m:02d}-16T12" for m in range(1, 13)], "datetime64[ns]")
OPEN = SeaSurfaceTemperature.from_dataset


def on_cells(zoom=2, land=True):
    lat = healpix.lonlat(zoom)[1]
    values = 285 + 15 * np.cos(np.radians(lat)) + np.arange(12)[:, None] * 0.1
    if land:
        values[:, :5] = np.nan
    return xr.DataArray(
        values.astype("f4"), dims=("time", "cell"), coords={"time": MONTHS}, name="sst", attrs={"units": "K"}
    )


def on_latlon(units="K"):
    lat, lon = np.arange(-89.5, 90), np.arange(0.5, 360)
    field = 280 + 10 * np.sin(np.radians(lat))[:, None] + 5 * np.cos(np.radians(lon))
    values = field + np.arange(12)[:, None, None] * 0.1 - (273.15 if units == "degC" else 0)
    return xr.DataArray(
        values.astype("f4"),
        dims=("time", "lat", "lon"),
        coords={"time": MONTHS, "lat": lat, "lon": lon},
        name="tosbcs",
        attrs={"units": units},
    )


def truth(zoom):
    lon, lat = healpix.lonlat(zoom)
    return 280 + 10 * np.sin(np.radians(lat)) + 5 * np.cos(np.radians(lon))


def test_at_its_own_times_and_zoom_it_is_what_was_given():
    given = on_cells()
    sst = OPEN(given, 2)
    np.testing.assert_array_equal(sst.at(MONTHS), given.values)
    np.testing.assert_array_equal(sst.values, given.values)
    np.testing.assert_array_equal(sst.land, np.arange(192) < 5)
    assert sst.at(MONTHS[:1]).dtype == np.float32


def test_linear_in_time_and_clamped():
    sst = OPEN(on_cells(land=False), 2)
    january, february = sst.at(MONTHS[:2])
    middle = MONTHS[0] + (MONTHS[1] - MONTHS[0]) // 2
    np.testing.assert_allclose(sst.at([middle])[0], (january + february) / 2, rtol=1e-6)
    np.testing.assert_array_equal(sst.at(["1970-01-01"])[0], january)
    np.testing.assert_array_equal(sst.at(["2070-01-01"])[0], sst.at(MONTHS[-1:])[0])


def test_one_month_only():
    sst = OPEN(on_cells().isel(time=[3]), 2)
    np.testing.assert_array_equal(sst.at(["1979-01-01", "1990-01-01"]), np.stack([sst.values[0]] * 2))


@pytest.mark.parametrize("units", ["K", "degC"])
@pytest.mark.parametrize("attribute", [True, False])
def test_latitudes_and_longitudes_and_units(units, attribute):
    given = on_latlon(units=units)
    if not attribute:
        del given.attrs["units"]
    got = OPEN(given, 3).at(MONTHS[:1])[0]
    assert np.isfinite(got).all()  # the poles too, beyond the last latitude
    np.testing.assert_allclose(got, truth(3), atol=0.1)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.isel(lat=slice(None, None, -1)),
        lambda a: a.transpose("lon", "time", "lat"),
        lambda a: a.rename(lat="latitude", lon="longitude"),
        lambda a: a.to_dataset(),
        lambda a: a.assign_coords(lon=(a.lon + 180) % 360 - 180).sortby("lon"),
        lambda a: xr.concat([a, a.isel(lon=[0]).assign_coords(lon=[360.5])], "lon"),
        lambda a: a.assign_coords(area=("lat", np.ones(180)), month=3),
    ],
)
def test_however_it_is_written(change):
    expected = OPEN(on_latlon(), 2).at(MONTHS[:2])
    np.testing.assert_allclose(OPEN(change(on_latlon()), 2).at(MONTHS[:2]), expected, atol=1e-4)


def test_coarser_and_finer_cells():
    given = on_cells(3)
    coarse = OPEN(given, 2)
    np.testing.assert_allclose(coarse.at(MONTHS[:1]), given[:1].coarsen(cell=4).mean(), rtol=1e-6)
    assert coarse.land.sum() == 1  # cell 0 is all land, cell 1 a quarter
    assert OPEN(given, 4).at(MONTHS[:1]).shape == (1, healpix.n_cells(4))


def test_more_months_than_memory_and_from_a_file(tmp_path):
    times = np.arange("1970-01", "1980-01", dtype="datetime64[M]").astype("datetime64[ns]")
    values = 280 + np.arange(len(times))[:, None] * np.ones(12) * 0.1
    path = tmp_path / "sst.nc"
    xr.Dataset({"sst": (("time", "cell"), values, {"units": "K"})}, {"time": times}).to_netcdf(path)
    sst = SeaSurfaceTemperature.open(path, 0)
    np.testing.assert_allclose(sst.at(times), values, rtol=1e-6)
    np.testing.assert_allclose(sst.at(times[::-1]), values[::-1], rtol=1e-6)


@pytest.mark.parametrize("given", ["2K", "no/such/file.nc"])
def test_what_is_neither_a_file_nor_an_offset(given):
    with pytest.raises(FileNotFoundError, match=rf"no sea surface temperature '{given}': .*such as '\+2K'"):
        SeaSurfaceTemperature.open(given, 2)


@pytest.mark.parametrize("make", [on_cells, on_latlon])
def test_opening_reads_the_first_month_only(make, tmp_path):
    """A century of a degree is half a gigabyte."""
    read = []

    class Watched(xr.backends.BackendArray):
        shape, dtype = make().shape, np.dtype("f4")

        def __getitem__(self, key):
            return xr.core.indexing.explicit_indexing_adapter(
                key, self.shape, xr.core.indexing.IndexingSupport.OUTER, self._read
            )

        def _read(self, key):
            read.append(key[0])
            return make().values[np.ix_(*(np.arange(n)[np.atleast_1d(k) if not isinstance(k, slice) else k].ravel()
                                          for n, k in zip(self.shape, key, strict=True)))]  # fmt: skip

    like = make()
    lazy = xr.Variable(like.dims, xr.core.indexing.LazilyIndexedArray(Watched()), like.attrs)
    sst = OPEN(xr.Dataset({"sst": lazy}, like.coords), 2)
    assert len(read) == 1
    assert np.size(read[0]) == 1 or read[0] in (0, slice(0, 1, 1))
    assert np.isfinite(sst.at(MONTHS[3:4])).any()
    assert len(read) == 2


def test_token_is_of_the_content():
    assert OPEN(on_cells(), 2).token == OPEN(on_cells(), 2).token
    assert OPEN(on_cells(), 2).token != OPEN(on_cells() + 0.01, 2).token
    assert OPEN(on_cells(), 2).token != OPEN(on_cells(), 1).token
    later = on_cells().assign_coords(time=MONTHS + np.timedelta64(1, "h"))
    assert OPEN(on_cells(), 2).token != OPEN(later, 2).token


def test_later_changes_of_the_callers_array_do_not_reach_it():
    given = on_cells()
    sst = OPEN(given, 2)
    given.values[:] = 300
    assert sst.at(MONTHS[:1])[0, 10] != 300


def test_pickles():
    sst = OPEN(on_cells(), 2)
    again = pickle.loads(pickle.dumps(sst))
    assert again.token == sst.token
    np.testing.assert_array_equal(again.at(MONTHS), sst.at(MONTHS))


def test_coverage():
    assert OPEN(on_cells(), 2).coverage == (np.datetime64("1980-01-01"), np.datetime64("1980-12-31T23:59:59"))
    daily = on_cells().assign_coords(time=MONTHS[0] + np.arange(12) * np.timedelta64(1, "D"))
    assert OPEN(daily, 2).coverage == (MONTHS[0], MONTHS[0] + np.timedelta64(11, "D"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda: on_cells().isel(cell=slice(100)), "100 cells"),
        (lambda: on_cells().rename(cell="station"), "dimensions"),
        (lambda: on_latlon().drop_vars("lat"), "no coordinate lat"),
        (lambda: on_cells().isel(time=[0, 1, 1]), "has the time 1980-02-16T12:00:00 twice: keep each one once"),
        (lambda: on_cells().isel(time=[]), "no time at all"),
        (lambda: on_cells().assign_coords(time=np.arange(12)), "int64 and no dates: decode them"),
        (lambda: on_cells().assign_attrs(units="m"), "units are 'm'"),
        (lambda: on_cells() * np.nan, "no value"),
        (lambda: on_cells() * 2, "no sea"),
        (lambda: on_cells().fillna(0), "no sea"),
        (lambda: 5, "not int"),
        (lambda: xr.Dataset({"a": on_cells(), "b": on_cells()}), "which variable"),
    ],
)
def test_what_is_no_sst_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        OPEN(given(), 2)


def test_a_named_variable():
    ds = xr.Dataset({"a": on_cells(), "b": on_cells() + 1})
    assert OPEN(ds, 2, "b").token == OPEN(on_cells() + 1, 2).token
    with pytest.raises(ValueError, match="no field 'c': choose one of a, b"):
        OPEN(ds, 2, "c")
