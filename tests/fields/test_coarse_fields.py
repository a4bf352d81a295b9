"""A user's data on the cells of a network: the right places, the right units, and a sentence for what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xr_cbottle.fields import channels
from xr_cbottle.fields.coarse_fields import read_given
from xr_cbottle.grid import healpix

ZOOM = 3
TIMES = np.array(["2000-01-01", "2000-01-02T06"], "datetime64[ns]")


def analytic(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """A smooth field without symmetry: it differs wherever it is moved, turned or mirrored."""
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    return np.cos(lat) * np.cos(lon - 0.7) + 0.5 * np.sin(lat) + 0.3 * np.cos(lat) ** 2 * np.sin(2 * lon)


def latlon(lat: np.ndarray, lon: np.ndarray, **names: str) -> xr.Dataset:
    """tas = 10 degC + 20 K times the field, one degree more at the second time."""
    field = 10 + 20 * analytic(*np.meshgrid(lon, lat)) + np.arange(2)[:, None, None]
    ds = xr.Dataset(
        {"tas": (("time", "lat", "lon"), field, {"units": "degC"})}, {"time": TIMES, "lat": lat, "lon": lon}
    )
    return ds.rename(names)


def cells(zoom: int, units: str = "K") -> xr.Dataset:
    field = 283.15 + 20 * analytic(*healpix.lonlat(zoom))
    return xr.Dataset({"tas": (("time", "cell"), np.stack([field, field + 1]), {"units": units})}, {"time": TIMES})


def truth() -> np.ndarray:
    """Means of cells, from much smaller ones."""
    return healpix.coarsen(283.15 + 20 * analytic(*healpix.lonlat(7)), 7 - ZOOM)


GRIDS = {
    "from north, from 0": (np.arange(90, -91, -2.0), np.arange(0, 360, 2.0)),
    "from south, from -180": (np.arange(-90, 91, 2.0), np.arange(-180, 180, 2.0)),
    "centres of cells": (np.arange(-89, 90, 2.0), np.arange(1, 360, 2.0)),
    "0 and 360": (np.arange(-90, 91, 2.0), np.arange(0, 361, 2.0)),
    "not as far as the poles": (np.arange(-88.5, 89, 1.5), np.arange(0, 360, 1.5)),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_registration(grid: str) -> None:
    """Half a cell of a grid of 2 degrees would be ten times what is allowed."""
    given = read_given(latlon(*GRIDS[grid]), ("tas",), ZOOM, "x")
    got = given.at([0, 1])
    assert got.shape == (2, 1, healpix.n_cells(ZOOM))
    np.testing.assert_allclose(got[0, 0], truth(), atol=0.04)
    np.testing.assert_allclose(got[1], got[0] + 1, atol=1e-4)
    shifted = read_given(
        latlon(GRIDS[grid][0], GRIDS[grid][1]).assign_coords(lon=GRIDS[grid][1] + 1), ("tas",), ZOOM, "x"
    )
    assert np.abs(shifted.at([0])[0, 0] - truth()).max() > 0.3


@pytest.mark.parametrize("zoom", [ZOOM, ZOOM + 2])
def test_cells(zoom: int) -> None:
    given = read_given(cells(zoom), ("tas",), ZOOM, "x")
    expected = healpix.coarsen(283.15 + 20 * analytic(*healpix.lonlat(zoom)), zoom - ZOOM)
    np.testing.assert_allclose(given.at([0])[0, 0], expected, rtol=1e-6)
    assert given.grid == (f"HEALPix zoom {zoom}" + (", averaged to zoom 3" if zoom > ZOOM else ""))
    np.testing.assert_array_equal(given.seconds, TIMES.astype("datetime64[s]").astype(int))


def test_names_units_and_levels() -> None:
    lat, lon = GRIDS["from north, from 0"]
    one = latlon(lat, lon).tas.values
    dims = ("time", "latitude", "longitude")
    level = ("time", "pressure_level", "latitude", "longitude")
    both = np.stack([one, one + 5], 1)
    ds = xr.Dataset(
        {
            "t2m": (dims, one + 273.15, {"units": "K"}),
            "rain": (dims, one * 0 + 8.64, {"units": "mm day**-1", "standard_name": "precipitation_flux"}),
            "z": (level, both * 100, {"units": "m**2 s**-2"}),
            "mtnlwrf": (dims, one * 0 - 240, {"units": "W m**-2"}),
            "siconc": (dims, np.where(one < 5, np.nan, 0.5), {"units": "(0 - 1)"}),
        },
        {"time": TIMES, "latitude": lat, "longitude": lon, "pressure_level": ("pressure_level", [850.0, 500.0])},
    )
    names = ("tas", "pr", "Z500", "rlut", "sic")
    given = read_given(ds, names, ZOOM, "x")
    tas, pr, z500, rlut, sic = given.at([0])[0]
    np.testing.assert_allclose(tas, truth(), atol=0.04)
    np.testing.assert_allclose(pr, 1e-4, rtol=1e-5)
    np.testing.assert_allclose(z500, 100 * (tas - 273.15 + 5), rtol=1e-4, atol=0.1)
    np.testing.assert_allclose(rlut, 240, rtol=1e-6)
    assert 0 < np.isnan(sic).sum() < sic.size
    words = "; ".join(source.converted for source in given.found)
    assert "t2m taken for tas" in words
    assert "pr from mm day**-1 to kg m-2 s-1" in words
    assert "sign of mtnlwrf changed" in words
    assert given.found[2].factor / given.found[2].scale == pytest.approx(1.0)  # geopotential is what the channel has
    assert channels.parse("Z500").factor < 1


def test_one_time_without_a_dimension() -> None:
    given = read_given(cells(ZOOM).isel(time=1), ("tas",), ZOOM, "x")
    assert not given.has_time
    assert given.at([0]).shape == (1, 1, healpix.n_cells(ZOOM))


def without(ds: xr.Dataset, **attrs: object) -> xr.Dataset:
    ds = ds.copy()
    ds.tas.attrs = {k: v for k, v in {**ds.tas.attrs, **attrs}.items() if v is not None}
    return ds


LAT, LON = GRIDS["from north, from 0"]
WRONG = {
    "nothing": (lambda: xr.Dataset(), "the data set has no tas .near-surface air temperature, K.; it has none"),
    "an array": (lambda: cells(ZOOM).tas, "is an xarray.Dataset, not DataArray"),
    "no units": (lambda: without(cells(ZOOM), units=None), r"tas has no units: set its attribute, such as .* 'K'"),
    "wrong units": (
        lambda: without(cells(ZOOM), units="Pa"),
        "units of tas: 'Pa' cannot be converted to 'K': they measure different things; mend",
    ),
    "coarse": (
        lambda: cells(ZOOM - 1),
        "the data are of zoom 2 and x takes zoom 3 from them: give that or",
    ),
    "a part": (
        lambda: cells(ZOOM).isel(cell=slice(100)),
        "tas has 100 cells along cell: the whole globe of HEALPix has 12",
    ),
    "numbers from 1": (
        lambda: cells(ZOOM).assign_coords(cell=np.arange(1, 769)),
        "cell of tas does not count the cells of the globe from 0",
    ),
    "a box": (lambda: latlon(LAT[:40], LON), "spans 12 to 90 degrees north .* all of the globe is needed"),
    "a sector": (lambda: latlon(LAT, LON[:100]), "0 to 198 east: all of the globe is needed"),
    "wide": (lambda: latlon(np.arange(-90, 91, 15.0), np.arange(0, 360, 15.0)), "spacing of 15 degrees and x needs"),
    "no degrees": (lambda: latlon(LAT * 100, LON), "must be degrees"),
    "no coordinate": (lambda: latlon(LAT, LON).drop_vars("lat"), "tas has no coordinate lat: add its degrees"),
    "a member": (lambda: cells(ZOOM).expand_dims(member=2), "has the dimension member too: choose one of it"),
    "another grid": (
        lambda: cells(ZOOM).rename(cell="station"),
        "has the dimensions time, station: it must be on HEALPix",
    ),
    "no time": (lambda: cells(ZOOM).isel(time=0, drop=True), "no time, by which the noise is chosen"),
    "no dates": (lambda: cells(ZOOM).assign_coords(time=[0, 1]), "tas has times that are int64 and no dates"),
    "twice": (lambda: cells(ZOOM).isel(time=[0, 0]), "keep each one once"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_data(case: str) -> None:
    make, says = WRONG[case]
    with pytest.raises(ValueError, match=says) as caught:
        read_given(make(), ("tas",), ZOOM, "x")
    assert "\n" not in str(caught.value)


def test_wrong_together() -> None:
    ds = cells(ZOOM)
    ds["pr"] = ds.tas.assign_attrs(units="m")
    with pytest.raises(
        ValueError, match="pr in 'm' is a sum over time: divide by its seconds and set units to 'm s-1'"
    ):
        read_given(ds, ("tas", "pr"), ZOOM, "x")
    ds = cells(ZOOM).merge(latlon(LAT, LON).rename(tas="ts"))
    with pytest.raises(ValueError, match="on different grids"):
        read_given(ds, ("tas", "ts"), ZOOM, "x")
    ds = cells(ZOOM).rename(tas="a")
    ds["b"] = ds.a
    for name in "ab":
        ds[name] = ds[name].assign_attrs(standard_name="air_temperature")
    with pytest.raises(ValueError, match="a, b are all air_temperature: call the one that is meant tas"):
        read_given(ds, ("tas",), ZOOM, "x")


def test_missing_values_are_found_when_they_are_read() -> None:
    ds = cells(ZOOM)
    ds.tas[1, 5] = np.nan
    given = read_given(ds, ("tas",), ZOOM, "x")
    assert np.isfinite(given.at([0])).all()
    with pytest.raises(ValueError, match="tas has missing values, and super-resolution needs all of the globe"):
        given.at([1])


def test_holes_are_taken_where_they_may_be() -> None:
    """What is whole stays as it is to the last bit, in the units of variables."""
    values = truth()[None].astype(np.float32)
    holes = values.copy()
    holes[0, 3:9] = np.nan
    dims = ("time", "pressure", "cell")
    ds = xr.Dataset(
        {
            "tas": (("time", "cell"), holes, {"units": "K"}),
            "zg": (dims, 20 * values[:, None], {"units": "m"}),
            "other": (("time", "cell"), values, {"units": "1"}),
        },
        {"time": TIMES[:1], "pressure": ("pressure", [50000.0], {"units": "Pa"})},
    )
    given = read_given(ds, ("tas", "Z850", "pr", "Z500"), ZOOM, "x", with_holes=True)
    tas, z850, pr, z500 = given.at([0], as_variables=True)[0]
    np.testing.assert_array_equal(tas, holes[0])
    np.testing.assert_array_equal(z500, 20 * values[0])
    assert np.isnan(z850).all()
    assert np.isnan(pr).all()
    np.testing.assert_allclose(given.at([0])[0, 3], 20 * 9.80665 * values[0], rtol=1e-6)
    assert [one.channel for one in given.found] == ["tas", "Z500"]
    with pytest.raises(ValueError, match=r"none of the variables of x: rename those that it has \(other\) to some of"):
        read_given(ds[["other"]], ("tas", "pr"), ZOOM, "x", with_holes=True)
