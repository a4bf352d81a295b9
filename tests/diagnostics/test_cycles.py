"""Cycles of the year and the day whose amplitude and phase are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests import analytic_fields
from xr_cbottle.diagnostics import diurnal_cycle, seasonal_cycle, subsolar_longitude
from xr_cbottle.diagnostics.cycles import YEAR, year_fraction
from xr_cbottle.grid import healpix


def test_fractions_of_years() -> None:
    stamps = np.array(["1990-01-01", "1990-12-31T12", "1992-07-02", "1991-07-02T12"], "datetime64[ns]")
    np.testing.assert_allclose(year_fraction(stamps), [0, 364.5 / 365, 0.5, 0.5])


@settings(max_examples=15, phases=[Phase.generate])
@given(st.floats(0.1, 50), st.floats(0, 364), st.integers(0, 99))
def test_an_annual_cosine_has_its_amplitude_and_phase(amplitude: float, day: float, seed: int) -> None:
    """Whatever the times: here random ones of three years."""
    start, rng = np.datetime64("1990-01-01T00", "ns"), np.random.default_rng(seed)
    stamps = np.sort(start + rng.integers(0, 3 * 365 * 24, 60) * np.timedelta64(1, "h"))
    wave = 280 + amplitude * np.cos(2 * np.pi * (year_fraction(stamps) - day / YEAR))
    cycle = seasonal_cycle(analytic_fields.field(np.repeat(wave[:, None], 12, 1), stamps))
    np.testing.assert_allclose(cycle["mean"], 280)
    np.testing.assert_allclose(cycle.amplitude, amplitude, rtol=1e-9)
    np.testing.assert_allclose((cycle.phase - day + YEAR / 2) % YEAR, YEAR / 2, atol=1e-6)
    assert {name: part.attrs["units"] for name, part in cycle.items()} == {
        "mean": "K", "amplitude": "K", "phase": "days",
    }  # fmt: skip


def test_hemispheres_are_half_a_year_apart() -> None:
    stamps = analytic_fields.times(73, "5D")
    _, lat = analytic_fields.radians(3)
    wave = np.cos(2 * np.pi * (year_fraction(stamps) - 200 / YEAR))
    cycle = seasonal_cycle(analytic_fields.field(wave[:, None] * np.where(lat < 0, -1, 1), stamps), bands=2)
    np.testing.assert_allclose(cycle.amplitude, 1, atol=1e-9)
    np.testing.assert_allclose(cycle.phase, [200 - YEAR / 2, 200], atol=1e-6)
    np.testing.assert_array_equal(cycle.lat, [-45, 45])


def test_half_years_do_not_leak_if_they_are_fitted_too() -> None:
    """Times of ten months only, at which the two are not orthogonal."""
    stamps = analytic_fields.times(300, "1D")
    angle = 2 * np.pi * year_fraction(stamps)
    field = analytic_fields.field(np.repeat((np.cos(angle) + np.cos(2 * angle))[:, None], 12, 1), stamps)
    np.testing.assert_allclose(seasonal_cycle(field, harmonics=2).amplitude, 1)
    assert abs(seasonal_cycle(field).amplitude - 1).max() > 0.05


def test_a_year_with_too_little_of_it() -> None:
    for stamps in (analytic_fields.times(60, "1D"), analytic_fields.times(2, "180D")):
        with pytest.raises(ValueError, match="too much of the year out"):
            seasonal_cycle(analytic_fields.noise(stamps))
    with pytest.raises(ValueError, match="one harmonic or more"):
        seasonal_cycle(analytic_fields.noise(analytic_fields.times(365, "1D")), harmonics=0)


def test_missing_cells_stay_missing() -> None:
    field = analytic_fields.noise(analytic_fields.times(40, "10D")).where(
        xr.DataArray(np.arange(192) != 3, dims="cell")
    )
    cycle = seasonal_cycle(field)
    assert np.flatnonzero(cycle.amplitude.isnull()).tolist() == [3]


def by_local_time(stamps: np.ndarray, zoom: int, maximum: float, amplitude: float = 4.0) -> np.ndarray:
    """(time, cell): a cosine of local solar time, on cells of different means."""
    lon, lat = healpix.lonlat(zoom)
    utc = (stamps - stamps.astype("datetime64[D]")) / np.timedelta64(1, "h")
    local = utc[:, None] + lon / 15
    return 280 + 10 * np.sin(np.deg2rad(lon)) + lat / 9 + amplitude * np.cos(2 * np.pi * (local - maximum) / 24)


@pytest.mark.parametrize("step", ["1h", "3h", "6h", "7h", "25h"])
def test_a_diurnal_cosine_has_its_amplitude_and_phase(step: str) -> None:
    stamps = analytic_fields.times(24 * 7, step)
    cycle = diurnal_cycle(analytic_fields.field(by_local_time(stamps, 3, 14.5), stamps))
    np.testing.assert_allclose(cycle.amplitude, 4, rtol=1e-9)
    np.testing.assert_allclose(cycle.phase, 14.5, atol=1e-6)
    assert cycle.phase.attrs["units"] == "hours"
    np.testing.assert_array_equal(cycle.hour, np.arange(24))
    mean = 280
    expected = mean + 4 * np.cos(2 * np.pi * (cycle.hour - 14.5) / 24)
    np.testing.assert_allclose(cycle.composite, expected, atol=0.35)  # within the width of an hour


def test_uneven_hours_do_not_mix_places_into_hours() -> None:
    """At 00 and 06 UTC only, cells differ more by where they are than by the hour."""
    stamps = np.sort(np.r_[analytic_fields.times(9, "24h"), analytic_fields.times(4, "24h", "1990-01-01T12"),
                           analytic_fields.times(3, "24h", "1990-01-01T18")])  # fmt: skip
    cycle = diurnal_cycle(analytic_fields.field(by_local_time(stamps, 3, 3.0), stamps))
    np.testing.assert_allclose(cycle.amplitude, 4, rtol=1e-9)
    np.testing.assert_allclose(cycle.phase, 3, atol=1e-6)


def test_the_mask_says_where() -> None:
    stamps = analytic_fields.times(24)
    lon, _ = healpix.lonlat(3)
    land = xr.DataArray(lon < 180, dims="cell")
    day, night = by_local_time(stamps, 3, 13), by_local_time(stamps, 3, 1)
    field = analytic_fields.field(np.where(land, day, night), stamps)
    assert float(diurnal_cycle(field, mask=land).phase) == pytest.approx(13)
    assert float(diurnal_cycle(field, mask=~land).phase) == pytest.approx(1)
    assert float(diurnal_cycle(field).amplitude) < 1e-9
    missing = field.where(~((field.time == stamps[3]) & ~land))
    assert float(diurnal_cycle(missing).phase) == pytest.approx(13)  # cells with a missing hour are left out


def test_a_day_with_too_little_of_it() -> None:
    for stamps in (
        analytic_fields.times(9, "24h"),
        analytic_fields.times(9, "24h")[:, None] + pd.to_timedelta([0, 3], "h").values,
    ):
        with pytest.raises(ValueError, match="several times of the day"):
            diurnal_cycle(analytic_fields.noise(np.sort(stamps.ravel())))
    with pytest.raises(ValueError, match="two hours or more"):
        diurnal_cycle(analytic_fields.noise(analytic_fields.times(9)), hours=1)
    with pytest.raises(ValueError, match="round them to hours"):
        diurnal_cycle(analytic_fields.noise(analytic_fields.times(400, "181s")))


@pytest.mark.parametrize("zoom", [2, 3])
def test_at_06_utc_the_sun_stands_at_90_east(zoom: int) -> None:
    stamps = analytic_fields.times(48)
    lon, lat = analytic_fields.radians(zoom)
    hour = (stamps - stamps.astype("datetime64[D]")) / np.timedelta64(1, "h")
    sun = np.maximum(np.cos(lat) * np.cos(lon - np.pi * (1 - hour[:, None] / 12)), 0)
    found = subsolar_longitude(analytic_fields.field(1000 * sun, stamps, "rsds"))
    assert float(found.sel(utc=6)) == pytest.approx(90, abs=1)
    np.testing.assert_allclose((found - (180 - 15 * found.utc) + 180) % 360, 180, atol=1)
    np.testing.assert_allclose(found.concentration, np.pi / 4, atol=0.02)  # int cos^2 / int cos over half a turn


def test_a_sun_of_daily_means_stands_nowhere() -> None:
    stamps = analytic_fields.times(24)
    _, lat = analytic_fields.radians(2)
    found = subsolar_longitude(analytic_fields.field(np.tile(300 * np.cos(lat), (24, 1)), stamps, "rsds"))
    assert float(found.concentration.max()) < 1e-6
