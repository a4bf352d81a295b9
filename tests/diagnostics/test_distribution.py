"""Quantiles over time and cells."""

from __future__ import annotations

import numpy as np
import pytest

from tests import analytic_fields
from xr_cbottle.diagnostics import quantiles


def test_quantiles_are_those_of_all_values() -> None:
    field = analytic_fields.noise(analytic_fields.times(40), "pr")
    field[3, 5] = np.nan
    got = quantiles(field, [0.001, 0.5, 0.99])
    np.testing.assert_allclose(got, np.nanquantile(field, [0.001, 0.5, 0.99]), rtol=1e-6)
    assert got.attrs["units"] == "kg m-2 s-1"
    assert got.dims == ("quantile",)
    assert quantiles(field, 0.5).sizes == {"quantile": 1}


def test_quantiles_of_bands() -> None:
    _, lat = analytic_fields.radians(2)
    values = np.arange(1001.0)[:, None] + 10000 * np.where(lat < -0.5, 0, np.where(lat < 0.5, 1, 2))
    got = quantiles(
        analytic_fields.field(values, analytic_fields.times(1001)), [0.1, 0.9], bands=[-90, -28.6479, 28.6479, 90]
    )
    np.testing.assert_allclose(got, [[100, 10100, 20100], [900, 10900, 20900]])
    np.testing.assert_allclose(got.lat, [-59.32395, 0, 59.32395])
    empty = quantiles(analytic_fields.noise(analytic_fields.times(3), zoom=0), [0.5], bands=18)
    assert empty.shape == (1, 18)
    assert int(empty.notnull().sum()) == 3


def test_levels_are_kept() -> None:
    values = np.random.default_rng(0).standard_normal((30, 2, 48))
    got = quantiles(analytic_fields.field(values, analytic_fields.times(30), "ta", [50000, 85000]), [0.2, 0.8], bands=2)
    assert got.dims == ("quantile", "pressure", "lat")
    north = analytic_fields.radians(1)[1] >= 0
    np.testing.assert_allclose(got[1, 0, 1], np.quantile(values[:, 0, north], 0.8))


def test_a_quantile_lies_between_0_and_1() -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1, such as 0\.999"):
        quantiles(analytic_fields.noise(analytic_fields.times(3)), 99.9)
