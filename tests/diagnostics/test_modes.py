"""EOFs of a field made of two patterns."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle.diagnostics import eofs


@pytest.fixture(scope="module")
def psl() -> xr.DataArray:
    """Two orthogonal patterns of 300 and 100 Pa, with scores that are orthogonal."""
    lon, lat = analytic_fields.radians(3)
    angle = 2 * np.pi * np.arange(64) / 64
    scores = np.sqrt(2) * np.stack([np.cos(3 * angle), np.sin(5 * angle)])
    patterns = np.stack([np.cos(lat) * np.cos(lon), np.sin(lat)])
    patterns *= np.array([[300], [100]]) / np.sqrt((patterns**2).mean(1, keepdims=True))
    return analytic_fields.field(1e5 + scores.T @ patterns, analytic_fields.times(64), "psl")


def test_patterns_and_their_share(psl: xr.DataArray) -> None:
    found = eofs(psl, modes=2)
    np.testing.assert_allclose(found.explained_variance, [0.9, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found.explained_variance_error, np.sqrt(2 / 64) * np.array([0.9, 0.1]), rtol=1e-6)
    size = np.sqrt((found.pattern**2).mean("cell"))
    np.testing.assert_allclose(size, np.sqrt(64 / 63) * np.array([300, 100]), rtol=1e-6)
    np.testing.assert_allclose(found.score.std("time", ddof=1), 1)
    lon, lat = analytic_fields.radians(3)
    assert abs(np.corrcoef(found.pattern[0], np.cos(lat) * np.cos(lon))[0, 1]) == pytest.approx(1)
    assert abs(np.corrcoef(found.pattern[1], np.sin(lat))[0, 1]) == pytest.approx(1)
    assert (found.pattern.max("cell") >= -found.pattern.min("cell") - 1e-6).all()
    rebuilt = psl.mean("time") + xr.dot(found.score, found.pattern, dim="mode")
    np.testing.assert_allclose(rebuilt.transpose(*psl.dims), psl, rtol=1e-9)
    assert found.pattern.attrs["units"] == "Pa"


def test_a_region_and_missing_cells(psl: xr.DataArray) -> None:
    _, lat = analytic_fields.radians(3)
    missing = psl.where(xr.DataArray(np.arange(768) != 100, dims="cell"))
    found = eofs(missing, modes=1, latitudes=(20, 90))
    inside = (np.rad2deg(lat) >= 20) & (np.arange(768) != 100)
    np.testing.assert_array_equal(found.pattern[0].notnull(), inside)
    assert found.pattern.sizes["cell"] == 768


def test_what_has_no_eofs(psl: xr.DataArray) -> None:
    with pytest.raises(ValueError, match="64 modes need more"):
        eofs(psl, modes=64)
    with pytest.raises(ValueError, match="select a level"):
        eofs(psl.expand_dims(pressure=[50000]), modes=1)
