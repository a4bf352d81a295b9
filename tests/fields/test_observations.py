"""Point observations in all their forms, and what is wrong with some."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xr_cbottle.fields.observations import LAPSE_RATE, brought_to_surface, read_observations
from xr_cbottle.fields.observed_times import about
from xr_cbottle.grid import healpix

CHANNELS = ("T850", "Z500", "tas", "pres_msl", "uas")
TIME = np.datetime64("1980-07-01T06", "ns")


def table(**columns):
    base = {
        "lat": [10.0, -20.0, 50.0],
        "lon": [-10.0, 20.0, 359.0],
        "time": TIME,
        "variable": "tas",
        "value": [20.0, 15.0, -3.0],
        "error": 1.0,
        "units": "degC",
    }
    return pd.DataFrame({**base, **columns})


def read(data=None, **keywords):
    return read_observations(table() if data is None else data, CHANNELS, "small", **keywords)


def test_a_long_table_comes_out_in_our_units_and_order():
    late = table(time=TIME + np.timedelta64(6, "h"), variable="msl", value=1013.0, error=0.5, units="hPa")
    aloft = table(variable="ta", level=850.0, value=280.0, units="K")
    got = read(pd.concat([late, table(), aloft], ignore_index=True))
    assert len(got) == 9
    assert (np.diff(got.seconds) >= 0).all()
    np.testing.assert_array_equal(got.channel, [2, 2, 2, 0, 0, 0, 3, 3, 3])
    np.testing.assert_allclose(got.value[:3], [293.15, 288.15, 270.15])
    np.testing.assert_allclose(got.value[-3:], 101300)
    np.testing.assert_allclose(got.error, [1] * 6 + [50] * 3)
    np.testing.assert_allclose(got.lon[:3], [350, 20, 359])


def test_names_of_others_and_of_levels_are_known():
    got = read(table(variable=["2t", "t2m", "tas"]).rename(columns={"lat": "latitude", "lon": "longitude"}))
    np.testing.assert_array_equal(got.channel, 2)
    got = read(table(variable=["T850", "ta850", "z500"], value=[280, 280, 54000.0], units=["K", "K", "m2 s-2"]))
    np.testing.assert_array_equal(got.channel, [0, 0, 1])
    assert got.value[2] == pytest.approx(54000 / 9.80665)


def test_values_that_are_missing_are_left_out():
    got = read(table(value=[20.0, np.nan, -3.0]))
    np.testing.assert_allclose(got.lat, [10, 50])


def test_errors_by_variable_fill_what_is_not_said():
    got = read(table(error=[np.nan, 2.0, np.nan]), errors={"tas": 0.5})
    np.testing.assert_allclose(got.error, [0.5, 2.0, 0.5])
    got = read(table().drop(columns="error"), errors={"tas": 0.5})
    np.testing.assert_allclose(got.error, 0.5)


def stations():
    """A series of two stations at two times, as CF has it, with one value missing."""
    ds = xr.Dataset(
        {
            "t": (("station", "time"), [[20.0, 21.0], [15.0, np.nan]],
                  {"units": "degC", "standard_name": "air_temperature"}),
            "t_error": (("station", "time"), np.full((2, 2), 0.3)),
            "slp": (("station", "time"), [[1013.0, 1012.0], [1000.0, 1001.0]],
                    {"units": "hPa", "ancillary_variables": "how_sure"}),
            "how_sure": ((), 0.7, {"standard_name": "air_pressure_at_mean_sea_level standard_error"}),
            "alt": ("station", [100.0, 900.0], {"standard_name": "height", "units": "m"}),
        },
        {
            "lat": ("station", [10.0, -20.0]),
            "lon": ("station", [-10.0, 20.0]),
            "time": [TIME, TIME + np.timedelta64(6, "h")],
        },
        {"featureType": "timeSeries"},
    )  # fmt: skip
    return ds.rename(t="near_ground", t_error="near_ground_error")


def test_a_series_of_stations_is_the_same_as_its_table():
    got = read(stations())
    assert len(got) == 7
    np.testing.assert_array_equal(got.channel, [2, 2, 3, 3, 2, 3, 3])
    np.testing.assert_allclose(got.value, [293.15, 288.15, 101300, 100000, 294.15, 101200, 100100])
    np.testing.assert_allclose(got.error, [0.3, 0.3, 70, 70, 0.3, 70, 70])
    np.testing.assert_allclose(got.height, [100, 900, 100, 900, 100, 100, 900])


def test_ragged_arrays_of_both_kinds():
    """CF 9.3.3 and 9.3.4: three observations of two stations, which say for themselves how they are packed."""
    values = {"t2m": ("obs", [20.0, 21.0, 15.0], {"units": "degC"}), "t2m_error": ("obs", [0.1, 0.2, 0.3])}
    coords = {"lat": ("station", [10.0, -20.0]), "lon": ("station", [-10.0, 20.0]),
              "time": ("obs", [TIME, TIME + np.timedelta64(1, "h"), TIME])}  # fmt: skip
    contiguous = xr.Dataset({**values, "row_size": ("station", [2, 1], {"sample_dimension": "obs"})}, coords)
    indexed = xr.Dataset({**values, "which": ("obs", [0, 0, 1], {"instance_dimension": "station"})}, coords)
    for ds in (contiguous, indexed):
        got = read(ds)
        np.testing.assert_allclose(got.lat, [10, -20, 10])
        np.testing.assert_allclose(got.value, [293.15, 288.15, 294.15])
        np.testing.assert_allclose(got.error, [0.1, 0.3, 0.2])


def test_a_profile_has_levels():
    ds = xr.Dataset(
        {"ta": ("pressure", [280.0], {"units": "K"}), "zg": ("pressure", [5500.0], {"units": "m"})},
        {"pressure": ("pressure", [850.0], {"units": "hPa"}), "lat": 10.0, "lon": 20.0, "time": TIME},
    )
    with pytest.raises(ValueError, match="1 observations of zg are at 85000 Pa and small has it at 50000 Pa"):
        read(ds, errors={"ta": 1.0, "zg": 10.0})
    got = read(ds.drop_vars("zg"), errors={"ta": 1.0})
    assert got.channel.tolist() == [0]
    assert got.lon.tolist() == [20.0]


def test_a_data_set_along_observations():
    ds = xr.Dataset({name: ("obs", column) for name, column in table().items()})
    got = read(ds)
    np.testing.assert_allclose(got.value, read().value)


def test_temperatures_are_brought_to_the_surface():
    zoom = 2
    heights = xr.DataArray(np.full(healpix.n_cells(zoom), 500.0), dims="cell", attrs={"units": "m"}, name="orog")
    given = read(table(height=[1500.0, np.nan, 500.0]))
    got = brought_to_surface(given, heights, CHANNELS, zoom)
    np.testing.assert_allclose(got.value - given.value, [1000 * LAPSE_RATE, 0, 0], atol=1e-9)
    np.testing.assert_allclose(got.error, [np.hypot(1, 1000 * LAPSE_RATE / 3), 1, 1])
    wind = read(table(variable="uas", units="m s-1", height=1500.0))
    np.testing.assert_array_equal(brought_to_surface(wind, heights, CHANNELS, zoom).value, wind.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (table(lat=[10, 95.0, 0]), "outside the globe, the first at latitude 95 and longitude 20: give"),
        (table(lon=[10, 20, 500.0]), "1 of 3 observations lie outside the globe, the first at latitude 50 and"),
        (table(lat=[np.nan, 0, 0]), "1 of 3 observations lie outside the globe"),
        (table().drop(columns="error"), "3 observations of tas have no error: give a column error, or errors="),
        (table(error=[1, 0, 1.0]), "the errors of observations of tas must be positive"),
        (table(variable="visibility"), "small has no variable 'visibility' that is observed: it has ta, zg, tas"),
        (table(units="m"), "the units of tas: 'm' cannot be converted to 'K'"),
        (table(units=None), "3 observations of tas are not possible, such as 20 K, and no units are said"),
        (table(time="yesterday"), "the times of the observations are no dates"),
        (table(time=5), "the times of the observations are no dates"),
        (table(time=pd.NaT), "has a missing time"),
        (table(value=np.nan), "no observation has a value"),
        (table(value="much"), "the column value of the observations holds something that is no number"),
        (table(variable="ta", units="K", value=280.0), "observations of ta have no level and small has it at 85000 Pa"),
        (table().drop(columns=["lat", "time"]), "the observations have no column lat and no time"),
        (table(latitude=0.0), r"several columns for lat \(lat, latitude\)"),
        ([1, 2], "observations are a pandas.DataFrame or an xarray.Dataset, not list"),
        (xr.Dataset({"a": ("x", ["b"])}), "the data set of observations has none"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(data, says):
    with pytest.raises(ValueError, match=says) as raised:
        read(data)
    assert "\n" not in str(raised.value)


def test_times_of_an_analysis():
    given = read(table(time=[TIME, TIME + np.timedelta64(20, "m"), TIME + np.timedelta64(3, "h")]))
    each = about(given, None, 0, None)
    assert [len(one.observed) for one in each.at(range(3))] == [1, 1, 1]
    seconds = np.array([TIME.astype("datetime64[s]").astype(int)])
    hour = about(given, seconds, 1800, None)
    assert len(hour.at([0])[0].observed) == 2
    assert len(about(given, seconds, 1199, None).at([0])[0].observed) == 1
    assert len(about(given, seconds, 1200, None).at([0])[0].observed) == 2
    assert hour.changes == "2 observations of 1 times"
    assert hour.at([0])[0].digest() == about(read(table(time=given.seconds.astype("datetime64[s]"))), seconds, 1800,
                                             None).at([0])[0].digest()  # fmt: skip
    with pytest.raises(ValueError, match="nothing was observed within 0 s of the times of the analysis"):
        about(given, seconds + 60, 0, None)
    many = read(pd.concat([table()] * 1400, ignore_index=True))
    with pytest.raises(ValueError, match=r"there are 4200 observations about .* and at most 4000 are taken"):
        about(many, None, 0, None)


def test_times_with_a_zone_are_of_utc():
    got = read(table(time=pd.Timestamp("1980-07-01T08:00+02:00")))
    np.testing.assert_array_equal(got.seconds, TIME.astype("datetime64[s]").astype(int))
    got = read(table(time="1980-07-01T06:00"))
    np.testing.assert_array_equal(got.seconds, TIME.astype("datetime64[s]").astype(int))
