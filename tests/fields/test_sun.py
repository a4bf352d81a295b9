"""Sunshine on the top of the atmosphere: against what is known of it, and against plain numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_cbottle.fields import sun
from xr_cbottle.grid import healpix

LON, LAT = healpix.lonlat(3)


@pytest.mark.parametrize(
    ("time", "degrees"),
    [("2000-06-21", 23.44), ("2000-12-21", -23.44), ("2001-03-20T13:31", 0), ("2001-09-22T23:04", 0)],
)
def test_declination(time, degrees):
    declination, _ = sun.orbit(time)
    assert np.rad2deg(declination[0]) == pytest.approx(degrees, abs=0.3)


def test_the_earth_is_nearest_in_january():
    days = np.arange("2001-01-01", "2002-01-01", dtype="datetime64[D]")
    _, distance = sun.orbit(days)
    assert str(days[distance.argmax()])[5:] in ("01-02", "01-03", "01-04", "01-05")
    assert distance.max() == pytest.approx(1 / (1 - 0.0167) ** 2, rel=1e-3)
    assert distance.min() == pytest.approx(1 / (1 + 0.0167) ** 2, rel=1e-3)


def test_the_globe_gets_a_quarter():
    for hours in (0, 6, 24):
        shine = sun.insolation(
            np.arange("2001-01-01", "2002-01-01", np.timedelta64(30, "h"), "datetime64[h]"), *healpix.lonlat(4), hours
        )
        assert shine.mean() == pytest.approx(sun.SOLAR_CONSTANT / 4, rel=2e-3)


def test_days_and_nights_of_the_poles():
    shine = sun.insolation(["2001-06-21", "2001-12-21"], np.zeros(2), np.array([89.0, -89.0]), 24)
    assert shine[0, 1] == 0
    assert shine[1, 0] == 0
    assert shine[0, 0] == pytest.approx(sun.SOLAR_CONSTANT * np.sin(np.deg2rad(23.44)) * 0.968, rel=0.01)


def test_noon_follows_the_longitude():
    shine = sun.insolation(["2001-03-20T06:00"], np.arange(0.0, 360, 1), np.zeros(360))
    assert shine[0].argmax() == 90
    assert (shine[0, 181:359] == 0).all()


@given(
    st.integers(0, 366 * 24 * 3600), st.floats(0.01, 24), st.floats(-180, 540), st.floats(-90, 90),
)  # fmt: skip
def test_means_are_means_of_instants(second, hours, lon, lat):
    time = np.datetime64("2001-01-01", "s") + np.timedelta64(second, "s")
    n = 2000
    within = (np.arange(n) + 0.5) / n * hours - hours / 2
    # The same declination: it is held over the mean.
    declination, distance = sun.orbit(time)
    angle = (second % 86400) / 86400 * 2 * np.pi + np.deg2rad(lon) + within / 24 * 2 * np.pi - np.pi
    height = np.sin(np.deg2rad(lat)) * np.sin(declination) + np.cos(np.deg2rad(lat)) * np.cos(declination) * np.cos(
        angle
    )
    wanted = sun.SOLAR_CONSTANT * distance * np.maximum(height, 0).mean()
    found = sun.insolation([time], np.array([lon]), np.array([lat]), hours)[0, 0]
    assert found == pytest.approx(wanted[0], abs=0.3)


def test_instants_are_short_means():
    times = np.arange("2001-01-01", "2002-01-01", np.timedelta64(37, "h"), "datetime64[h]")
    np.testing.assert_allclose(sun.insolation(times, LON, LAT), sun.insolation(times, LON, LAT, 1e-3), atol=0.1)


@pytest.mark.parametrize("hours", [-1, 24.5, float("nan")])
def test_wrong_hours(hours):
    with pytest.raises(ValueError, match=r"0 \(an instant\) to 24 hours"):
        sun.insolation(["2001-01-01"], LON, LAT, hours)
