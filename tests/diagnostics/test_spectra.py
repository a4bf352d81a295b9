"""Angular power spectra of fields that have one degree."""

from __future__ import annotations

import numpy as np
import pytest

from tests import analytic_fields
from xr_cbottle.diagnostics import power_spectrum


@pytest.mark.parametrize("degree", [1, 3, 6])
def test_one_harmonic_has_one_degree(degree: int) -> None:
    """cos^l(latitude) cos(l longitude) is a harmonic of degree l only."""
    lon, lat = analytic_fields.radians(3)
    values = np.cos(lat) ** degree * np.cos(degree * lon)
    x, w = np.polynomial.legendre.leggauss(40)
    variance = ((1 - x**2) ** degree * w).sum() / 4
    spectrum = power_spectrum(analytic_fields.field(values))
    assert spectrum.attrs["units"] == "K2"
    np.testing.assert_array_equal(spectrum.degree, np.arange(17))
    np.testing.assert_allclose(spectrum[degree], 4 * np.pi * variance / (2 * degree + 1), rtol=1e-4)
    assert float(spectrum.drop_sel(degree=degree).max()) < 1e-6 * float(spectrum[degree])


def test_the_spectrum_adds_up_to_the_variance() -> None:
    lon, lat = analytic_fields.radians(4)
    rng = np.random.default_rng(2)
    values = sum(
        rng.standard_normal() * np.cos(lat) ** m * np.sin(lat) ** k * np.cos(m * lon + rng.uniform(0, 6))
        for m in range(6)
        for k in range(4)
    )
    spectrum = power_spectrum(analytic_fields.field(values))
    variance = ((2 * spectrum.degree + 1) * spectrum)[1:].sum() / 4 / np.pi
    np.testing.assert_allclose(variance, values.var(), rtol=2e-3)
    np.testing.assert_allclose(spectrum[0], 4 * np.pi * values.mean() ** 2, rtol=1e-3)


def test_it_is_the_mean_of_the_instants_spectra() -> None:
    field = analytic_fields.noise(analytic_fields.times(5))
    each = [power_spectrum(instant) for instant in field]
    np.testing.assert_allclose(power_spectrum(field), np.mean(each, 0))
    assert float(power_spectrum(field).mean()) > 3 * float(power_spectrum(field.mean("time")).mean())


def test_a_missing_cell_has_no_spectrum() -> None:
    field = analytic_fields.noise(analytic_fields.times(2), name="pr")
    assert power_spectrum(field).attrs["units"] == "(kg m-2 s-1)2"
    field[1, 7] = np.nan
    assert power_spectrum(field).isnull().all()
    assert power_spectrum(field[:1]).notnull().all()
