"""The time axis: steps, times, slices, means, and what is refused."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xr_cbottle.grid.time_axis import format_period, make_axis, parse_period, range_of

START, END, NATIVE = range_of("1980-01-01", "1981-12-31T18:00:00", "PT6H")
HOUR = np.timedelta64(1, "h")


def axis(time=None, method="inst", start=START, end=END, native=NATIVE):
    return make_axis(time, method, start=start, end=end, native=native)


def times(*args, **kwargs):
    return axis(*args, **kwargs).values


def test_default_is_every_instant():
    values = times()
    assert values.dtype == "datetime64[ns]"
    assert len(values) == 731 * 4
    assert values[0] == np.datetime64("1980-01-01")
    assert values[-1] == np.datetime64("1981-12-31T18")
    assert set(np.diff(values)) == {6 * HOUR}


def test_a_step():
    values = times("P1D")
    assert len(values) == 731
    assert set(np.diff(values)) == {24 * HOUR}
    np.testing.assert_array_equal(times("PT24H"), values)


@pytest.mark.parametrize(
    "given",
    [
        "1980-06-01T12",
        np.datetime64("1980-06-01T12"),
        datetime.datetime(1980, 6, 1, 12),
        pd.Timestamp("1980-06-01T12"),
        ["1980-06-01T12:00"],
        np.array(["1980-06-01T12"], "datetime64[ns]"),
        pd.DatetimeIndex(["1980-06-01T12"]),
        pd.Series(pd.DatetimeIndex(["1980-06-01T12"])),
        xr.DataArray(np.datetime64("1980-06-01T12", "ns")),
        xr.DataArray(np.array(["1980-06-01T12"], "datetime64[ns]"), dims="time"),
        slice("1980-06-01T12", "1980-06-01T12"),
        slice("1980-06-01T07", "1980-06-01T17"),
    ],
)
def test_one_time_however_given(given):
    np.testing.assert_array_equal(times(given), np.array(["1980-06-01T12"], "datetime64[ns]"))


def test_listed_times_keep_their_order():
    given = ["1981-01-01", "1980-01-01T06"]
    assert times(given).tolist() == np.array(given, "datetime64[ns]").tolist()
    assert axis(given).instants(1).tolist() == [START + NATIVE]


def test_slices_are_as_in_xarray():
    full = xr.DataArray(times(), dims="time", coords={"time": times()})
    for part in (
        slice("1980-03", "1980-04"),
        slice(None, "1980"),
        slice("1981-12-30", None),
        slice("1980-01-01T05", "1980-01-02"),
    ):
        np.testing.assert_array_equal(times(part), full.sel(time=part).values)
    assert len(times(slice("1980-03", "1980-03", "P1D"))) == 31


def test_means_end_at_their_time():
    days = axis("P1D", "mean")
    assert days.instants_per_value == 4
    assert days.count == 731
    assert days.values[0] == np.datetime64("1980-01-02")
    assert days.values[-1] == np.datetime64("1982-01-01")
    expected = START + NATIVE * np.arange(4)
    np.testing.assert_array_equal(days.instants(0), expected)
    january = axis(slice("1980-01", "1980-01", "P1D"), "mean")
    assert january.count == 31
    assert january.values[-1] == np.datetime64("1980-02-01")
    assert axis("PT6H", "mean").instants_per_value == 1


def test_every_instant_is_in_one_mean():
    days = axis("P1D", "mean")
    touched = np.concatenate([days.instants(i) for i in range(days.count)])
    np.testing.assert_array_equal(touched, axis().seconds)


def test_before_1970_and_far_away():
    start, end, native = range_of("1850-01-01", "2300-12-31", "P1D")
    values = times(start=start, end=end, native=native)
    assert values.dtype == "datetime64[s]"
    assert values[0] == np.datetime64("1850-01-01")
    assert values[-1] == np.datetime64("2300-12-31")


def test_a_century_of_hours_is_cheap_to_make():
    start, end, native = range_of("1940-01-01", "2022-12-31T23:00:00", "PT1H")
    hours = axis(start=start, end=end, native=native)
    assert hours.count == 727_584 == len(hours.values)
    assert len(repr(hours)) < 200


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT1H", 3600), ("P1D", 86400), ("P1DT6H", 108000), ("PT90M", 5400), ("PT1S", 1)]
)
def test_periods(text, seconds):
    assert parse_period(text) == seconds
    assert parse_period(format_period(seconds)) == seconds


@pytest.mark.parametrize(
    ("time", "says"),
    [
        ("PT1H", "no multiple of the bottle's PT6H: choose for example PT6H, PT12H, P1D"),
        ("P1M", "not an ISO-8601 step in days"),
        ("PT0H", "nothing long"),
        ("P", "not an ISO-8601 step"),
        ("P800D", None),
        ("6h", "neither a step nor times"),
        (6, "neither a step nor times"),
        (True, "neither"),
        ([], "empty list"),
        ([1, 2], "neither"),
        ("1979-12-31", "out of range: there are 1980-01-01T00:00 to 1981-12-31T18:00 every PT6H"),
        (["1980-01-01", "1999-01-01"], "1999-01-01T00:00 is out of range"),
        ("1980-01-01T02", "between two instants.*nearest is 1980-01-01T00:00"),
        ("NaT", "neither"),
        ("1980-01-01T00:00:00.5", "neither"),
        (slice("1999", None), "out of range"),
        (slice("1981", "1980"), "leaves no time"),
        (slice("1980", "1981", 2), "not an ISO-8601 step"),
        ({"a": 1}, "neither"),
    ],
)
def test_wrong_times(time, says):
    if says is None:
        assert axis(time).count == 1
        with pytest.raises(ValueError, match="leaves no time"):
            axis(time, "mean")
        return
    with pytest.raises(ValueError, match=says):
        axis(time)


def test_wrong_methods():
    with pytest.raises(ValueError, match="choose one of inst, mean"):
        axis(method="max")
    with pytest.raises(ValueError, match="over the steps of a regular axis"):
        axis(["1980-01-01"], "mean")
