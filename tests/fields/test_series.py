"""Series in time and offsets of the sea: whatever a user gives is understood, or refused by a sentence."""

from __future__ import annotations

import csv
import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.bottles import latlon_sst, sst_cells
from xr_cbottle.fields import series
from xr_cbottle.fields.series import PATHWAYS, Series
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.fields.sst_offset import SstOffset, is_offset
from xr_cbottle.grid import healpix

YEARS = pd.to_datetime(["1979-01-01", "1980-01-01", "1981-01-01"])


def along_time(values, units: str | None = "ppmv", times=YEARS) -> xr.DataArray:
    attrs = {} if units is None else {"units": units}
    return xr.DataArray(np.asarray(values, float), {"time": times}, ("time",), "co2", attrs)


@pytest.mark.parametrize("given", [560, 560.0, "560", " 560 ", np.float32(560), "5.6e2"])
def test_a_number_always_holds(given):
    found = Series.of(given, "co2", "ppmv")
    assert found.at(["0001-01-01", "9999-01-01"]).tolist() == [560, 560]
    assert found.coverage is None
    assert found.name == "560 ppmv"


@pytest.mark.parametrize(
    ("units", "factor"),
    [("ppmv", 1), (None, 1), ("ppm", 1), ("mol mol-1", 1e-6), ("1", 1e-6), ("1e-6", 1), ("ppb", 1e3)],
)
def test_units_of_mole_fractions_are_converted(units, factor):
    found = Series.of(along_time(np.array([340.0, 342, 344]) * factor, units), "co2", "ppmv")
    np.testing.assert_allclose(found.values, [340, 342, 344])


def test_values_are_linear_between_times_in_any_order_and_cover_whole_years(tmp_path):
    given = along_time([340, 342, 346]).isel(time=[2, 0, 1])
    found = Series.of(given, "co2", "ppmv")
    np.testing.assert_allclose(found.at(["1979-07-02T12", "1980-07-02"]), [341, 344], atol=0.01)
    assert [str(t) for t in found.coverage] == ["1979-01-01T00:00:00", "1981-12-31T23:59:59"]
    assert found.range(np.datetime64("1980-01-01"), np.datetime64("1980-07-02")) == pytest.approx((342, 344), abs=0.01)
    given.to_netcdf(tmp_path / "co2.nc")
    stored = Series.of(tmp_path / "co2.nc", "co2", "ppmv")
    assert stored.token == found.token != Series.of(along_time([340, 342, 347]), "co2", "ppmv").token
    assert pickle.loads(pickle.dumps(found)).token == found.token
    months = Series.of(along_time([340, 342], times=pd.to_datetime(["1979-01-16", "1979-02-15"])), "co2", "ppmv")
    assert str(months.coverage[1]) == "1979-02-28T23:59:59"
    days = Series.of(along_time([340, 342], times=pd.to_datetime(["1979-01-16", "1979-01-17"])), "co2", "ppmv")
    assert str(days.coverage[1]) == "1979-01-17T00:00:00"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "co2 is None: give a number of ppmv, one of historical"),
        (True, "co2 is True: give a number"),
        (float("nan"), "co2 is nan: give a number"),
        ("ssp999", "co2 is 'ssp999', and there is no such file: give a number of ppmv, one of historical"),
        (along_time([340, np.nan, 342]), "a value that is missing or not finite"),
        (along_time([340, 341, 342], "K"), "co2 has the units 'K': they must be ppmv"),
        (along_time([340, 341, 342]).expand_dims(x=2), "it must have time alone"),
        (xr.Dataset({"a": along_time([1, 2, 3]), "b": along_time([1, 2, 3])}), "which variable is it"),
        (xr.DataArray([1.0], dims="x"), "there are: none with a time"),
        (along_time([1, 2, 3], times=YEARS[[0, 1, 1]]), "twice"),
    ],
)
def test_what_is_no_series_is_refused(given, says):
    with pytest.raises(ValueError, match=says) as error:
        Series.of(given, "co2", "ppmv")
    assert "\n" not in str(error.value)


def test_experiments_of_cmip6():
    """Values of Meinshausen et al. 2017 and 2020, as their tables and figures have them."""
    published = {"historical": {1850: 284.317, 2014: 397.547}, "ssp585": {2014: 397.547, 2100: 1135.21},
                 "ssp126": {2100: 445.625}, "ssp245": {2100: 602.782}, "ssp370": {2100: 867.191}}  # fmt: skip
    for name, years in published.items():
        found = Series.of(name, "co2", "ppmv")
        for year, value in years.items():
            middle = found.times[found.times.astype("datetime64[Y]").astype(int) + 1970 == year]
            assert found.at(middle)[0] == pytest.approx(value, abs=0.001)
    assert str(Series.of("historical", "co2", "ppmv").coverage[1]) == "2014-12-31T23:59:59"
    assert str(Series.of("ssp245", "co2", "ppmv").coverage[0]) == "1750-01-01T00:00:00"
    rising = Series.of("1pctCO2", "co2", "ppmv").values
    np.testing.assert_allclose(rising[1:] / rising[:-1], 1.01, rtol=1e-5)
    assert len(rising) == 150
    with pytest.raises(ValueError, match="no such file"):
        Series.of("ssp245", "ch4", "ppbv")


def test_the_table_says_where_it_is_from_and_is_smooth():
    text = series._TABLE.read_text()
    assert "https://doi.org/10.5194/gmd-13-3571-2020" in text
    assert "Apache-2.0" in text
    header = next(csv.reader([line for line in text.splitlines() if not line.startswith("#")]))
    assert tuple(header[1:]) == PATHWAYS
    for name in PATHWAYS:
        values = Series.of(name, "co2", "ppmv").values
        assert abs(np.diff(values)).max() < 15
        assert (values > 270).all()


def test_times_that_are_not_covered_are_said():
    with pytest.raises(ValueError, match=r"co2 .historical. is known from 1750-01-01 to 2014-12-31 and the times go"):
        Series.of("historical", "co2", "ppmv").check_covers(
            np.datetime64("2000-01-01"), np.datetime64("2050-01-01"), "co2"
        )


# Offsets ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sst():
    return SeaSurfaceTemperature.from_dataset(sst_cells(2), 2)


@pytest.mark.parametrize("given", [2, 2.0, "+2K", "2", "+2.0 K", np.float32(2)])
def test_a_number_warms_all_of_the_sea(sst, given):
    warm = sst.changed(SstOffset.of(given, 2))
    times = np.array(["1980-05-16", "1981-01-16"], "datetime64[s]")
    before, after = sst.at(times), warm.at(times)
    open_sea = before > 275
    assert open_sea.mean() > 0.5
    np.testing.assert_allclose((after - before)[open_sea], 2, atol=1e-4)
    assert (np.isnan(after) == sst.land).all()
    assert warm.token != sst.token
    assert (warm.land == sst.land).all()
    assert SstOffset.of(given, 2).name == "+2 K"


def test_the_sea_under_ice_stays_and_none_falls_below_freezing():
    """As in CFMIP's amip-p4K, whose sea is warmer where it is free of ice."""
    kelvin = np.array([[270.0, 271.35, 271.85, 272.35, 290.0, np.nan]])
    warm, cold = (SstOffset.of(k, 2).added(kelvin)[0] for k in (4, -4))
    np.testing.assert_allclose(warm, [270.0, 271.35, 273.85, 276.35, 294.0, np.nan])
    np.testing.assert_allclose(cold, [270.0, 271.35, 271.35, 271.35, 286.0, np.nan])


def test_none_is_none(sst):
    assert SstOffset.of(0, 2) is None
    assert sst.changed(None) is sst


def test_fields_come_on_any_grid(sst, tmp_path):
    lat = healpix.lonlat(2)[1]
    cells = xr.DataArray(np.where(lat > 0, 3.0, 1.0), dims="cell", name="offset", attrs={"units": "degC"})
    latlon = latlon_sst(months=1).tosbcs.isel(time=0, drop=True).fillna(0)
    latlon = xr.where(latlon.lat > 0, 3.0, 1.0) + 0 * latlon
    latlon.attrs["units"] = "K"
    for given in (cells, latlon, latlon.expand_dims(time=pd.to_datetime(["2000-01-01"]))):
        change = SstOffset.of(given, 2)
        warm = sst.changed(change)
        there = abs(lat) > 12
        wanted = np.where(sst.land, np.nan, np.where(lat > 0, 3, 1))
        found = (warm.at("1980-03-01") - sst.at("1980-03-01"))[0]
        there &= ~(sst.at("1980-03-01")[0] < 275)
        np.testing.assert_allclose(found[there], wanted[there], atol=1e-3)
        assert change.name.startswith("a field of +1 to +3 K, sha256:")
    cells.to_netcdf(tmp_path / "o.nc")
    assert SstOffset.of(str(tmp_path / "o.nc"), 2).token == SstOffset.of(cells, 2).token


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (40, "sst_offset is 40 K: it must be from -15 to 15 K"),
        ("-40K", "sst_offset is -40 K: it must be"),
        (float("nan"), "sst_offset is nan K"),
        (None, "give K as a number"),
        ("nowhere.nc", "or a file of a field"),
        (latlon_sst(months=3), "sst_offset has times or levels"),
        (sst_cells(2).sst[0], "and an SST itself as sst"),
        (xr.DataArray(np.ones(192), dims="cell", attrs={"units": "Pa"}), "sst_offset has the units 'Pa'"),
    ],
)
def test_what_is_no_offset_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        SstOffset.of(given, 2)


def test_a_field_must_know_all_of_the_sea(sst):
    given = xr.DataArray(np.where(healpix.lonlat(2)[1] > 0, 1.0, np.nan), dims="cell", attrs={"units": "K"})
    with pytest.raises(ValueError, match=r"has no value in \d+ cells of the sea: fill them"):
        sst.changed(SstOffset.of(given, 2))


def test_the_text_of_an_offset_has_sign_and_unit():
    assert is_offset("+2K")
    assert is_offset(" -1.5 K ")
    assert not any(is_offset(text) for text in ("2K", "+2", "sst+2K.nc", 2))
