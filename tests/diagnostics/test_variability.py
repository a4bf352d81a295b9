"""Standard deviations, in all and by time scale."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle.diagnostics import standard_deviation, variability_by_time_scale


def test_standard_deviation() -> None:
    field = analytic_fields.noise(analytic_fields.times(30), "psl", mean=1e5)
    np.testing.assert_allclose(standard_deviation(field), field.values.astype(float).std(0, ddof=1))
    assert standard_deviation(field).attrs["units"] == "Pa"


def test_waves_are_in_the_band_of_their_period() -> None:
    stamps = analytic_fields.times(4 * 320, "6h")
    days = np.arange(4 * 320) / 4
    waves = 1 * np.sin(2 * np.pi * days / 1.25) + 2 * np.sin(2 * np.pi * days / 5) + 3 * np.sin(2 * np.pi * days / 160)
    scales = variability_by_time_scale(analytic_fields.field(np.repeat(waves[:, None], 12, 1) + 7, stamps))
    np.testing.assert_allclose(scales[:, 0] * np.sqrt(2), [1, 2, 0, 3], atol=1e-9)
    np.testing.assert_array_equal(scales.shortest, [0, 2, 10, 90])
    np.testing.assert_array_equal(scales.longest, [2, 10, 90, np.inf])
    assert "independent draws" in scales.attrs["comment"]


@pytest.mark.parametrize("count", [100, 101])
def test_the_bands_add_up_to_the_variance(count: int) -> None:
    field = analytic_fields.noise(analytic_fields.times(count, "1D"))
    scales = variability_by_time_scale(field, (3, 20))
    np.testing.assert_allclose((scales**2).sum("band"), field.values.astype(float).var(0))


def test_only_a_regular_series_has_time_scales() -> None:
    field = analytic_fields.noise(analytic_fields.times(20, "1D"))
    for irregular in (field.isel(time=[0, 1, 3, 4]), field[::-1], field[:2]):
        with pytest.raises(ValueError, match="one regular step"):
            variability_by_time_scale(irregular)
    with pytest.raises(ValueError, match="positive and ascending"):
        variability_by_time_scale(field, (10, 2))
    missing = field.where(xr.DataArray(np.arange(192) > 0, dims="cell"))
    assert variability_by_time_scale(missing).isnull().any("band").sum() == 1
