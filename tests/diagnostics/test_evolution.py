"""Evolution: correlations, speeds and spells of fields whose own are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle import diagnostics
from xr_cbottle.grid import healpix

DAYS = np.arange(480) / 4


def wave(number: int, degrees_a_day: float, zoom: int = 3) -> xr.DataArray:
    """A wave along all rings that travels eastward at a speed."""
    lon = np.deg2rad(healpix.lonlat(zoom)[0])
    phase = number * (lon - np.deg2rad(degrees_a_day) * DAYS[:, None])
    return analytic_fields.field(np.cos(phase), analytic_fields.times(len(DAYS), "6h"))


def test_waves_have_the_speed_that_they_travel_at():
    field = 2 * wave(3, 12.0) + wave(5, -8.0)
    found = diagnostics.phase_speed(field, 45, [3, 5])
    metres = np.deg2rad(1) * 6.371e6 * np.cos(np.deg2rad(found.speed.attrs["latitude"])) / 86400
    np.testing.assert_allclose(found.speed, np.array([12, -8]) * metres, rtol=0.02)
    np.testing.assert_allclose(found.coherence, 1, atol=0.02)
    assert -8 * metres < found.mean_speed < 12 * metres
    with pytest.raises(ValueError, match="has wavenumbers 1 to"):
        diagnostics.phase_speed(field, 45, [0])


def test_travelling_eastward_is_a_positive_frequency():
    spectrum = diagnostics.wavenumber_frequency(wave(4, 15.0), 0)
    best = spectrum.where(spectrum == spectrum.max(), drop=True)
    assert int(best.wavenumber[0]) == 4
    assert float(best.frequency[0]) == pytest.approx(4 * 15 / 360, abs=0.01)
    assert float(spectrum.sum()) == pytest.approx(0.5, rel=0.03)


def test_correlation_with_itself_later():
    found = diagnostics.lag_correlation(wave(1, 30.0), [0, 1, 3, 6, 500])
    np.testing.assert_allclose(found[:4], np.cos(np.deg2rad([0, 30, 90, 180])), atol=1e-6)
    assert np.isnan(found[4])


def test_means_of_independent_draws_vary_by_their_number():
    noise = analytic_fields.noise(analytic_fields.times(960, "6h"))
    field = noise - noise.mean("time")
    found = diagnostics.variance_of_means(field, (0.25, 1, 5))
    np.testing.assert_allclose(found, [1, 1 / 4, 1 / 20], rtol=0.15)


def test_cycles_are_taken_away_and_weather_is_left():
    stamps = analytic_fields.times(4 * 366, "6h")
    days = np.arange(len(stamps)) / 4
    cycle = 5 * np.sin(2 * np.pi * days / 366 + 1) + 2 * np.cos(2 * np.pi * days) + 280
    noise = analytic_fields.noise(stamps)
    left = diagnostics.weather_anomalies(noise + cycle[:, None])
    assert float(abs(left.mean("time")).max()) < 1e-9
    assert float(left.std() / noise.std()) == pytest.approx(1, abs=0.02)


def test_spells():
    hot = np.zeros((20, 1))
    hot[[2, 5, 6, 7, 8]] = 1
    daily = analytic_fields.field(np.repeat(hot, 12, 1), analytic_fields.times(20, "1D"))
    found = diagnostics.spells(daily, quantile=0.7, least=3)
    np.testing.assert_allclose(found.mean_length, 2.5)
    np.testing.assert_allclose(found.in_long, 0.8)
    assert np.isnan(diagnostics.spells(daily * 0).in_long).all()
