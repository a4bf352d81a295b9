"""Saturation against tabled values, and at the ends of what a network may draw."""

from __future__ import annotations

import numpy as np
import pytest

from xr_cbottle.fields import humidity


@pytest.mark.parametrize(
    # Smithsonian Meteorological Tables (1951): saturation vapour pressure over water, hPa.
    ("celsius", "hectopascals"),
    [(-20, 1.2540), (0, 6.1078), (10, 12.272), (20, 23.373), (30, 42.430)],
)
def test_against_tables(celsius, hectopascals):
    wanted = 0.622 * hectopascals / (850 - 0.378 * hectopascals)
    assert humidity.saturation(np.array(celsius + 273.15), 85000) == pytest.approx(wanted, rel=4e-3)


def test_it_rises_with_temperature_and_is_never_more_than_all():
    kelvin = np.linspace(0, 600, 2000)
    found = humidity.saturation(kelvin, 50000)
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert found.max() == 1
    assert found.min() >= 0
