"""SST in all its forms, in time and on the sphere, and the calendar."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

from xr_cbottle.draw.conditions import (
    LAND_KELVIN,
    SST_MEAN,
    SST_STD,
    SeaSurfaceTemperature,
    day_of_year,
    encode_sst,
    second_of_day,
)
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
        (lambda: on_cells().rename(cell="ncells"), "dimensions"),
        (lambda: on_latlon().drop_vars("lat"), "no coordinate lat"),
        (lambda: on_cells().isel(time=slice(None, None, -1)), "ascending"),
        (lambda: on_cells().isel(time=[]), "ascending"),
        (lambda: on_cells().assign_coords(time=np.arange(12)), "not datetime64"),
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
    with pytest.raises(ValueError, match="choose one of a, b"):
        OPEN(ds, 2, "c")


def test_encode_sst():
    encoded = encode_sst(np.array([[SST_MEAN, SST_MEAN + SST_STD, np.nan]], "f4"))
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, [[0, 1, (LAND_KELVIN - SST_MEAN) / SST_STD]], atol=1e-5)


def test_calendar():
    times = np.array(["1990-01-01T00", "1990-01-01T06", "2000-12-31T18", "1959-03-01T01:30"], "datetime64[ns]")
    np.testing.assert_array_equal(second_of_day(times), [[0], [21600], [64800], [5400]])
    np.testing.assert_array_equal(day_of_year(times), [[0], [0.25], [365.75], [59.0625]])
    assert day_of_year(times).dtype == second_of_day(times).dtype == np.float32
