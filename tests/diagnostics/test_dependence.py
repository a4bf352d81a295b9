"""Correlations and joint distributions."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle.diagnostics import correlation, joint_distribution


def test_correlation() -> None:
    a, noise = (
        analytic_fields.noise(analytic_fields.times(400)),
        analytic_fields.noise(analytic_fields.times(400), seed=4),
    )
    b = (0.6 * a + 0.8 * noise).rename("psl")
    over_time = correlation(a, b)
    assert over_time.dims == ("cell",)
    assert float(over_time.mean()) == pytest.approx(0.6, abs=0.01)
    np.testing.assert_allclose(over_time[7], np.corrcoef(a[:, 7], b[:, 7])[0, 1], rtol=1e-5)
    np.testing.assert_allclose(correlation(a, 2 - 3 * a), -1)
    assert float(correlation(a, b, ("time", "cell"))) == pytest.approx(0.6, abs=0.01)
    assert correlation(a, xr.zeros_like(b)).isnull().all()


def test_only_common_times_are_paired() -> None:
    a = analytic_fields.noise(analytic_fields.times(50))
    np.testing.assert_allclose(correlation(a, a[10:]), 1)


def test_joint_density_of_independent_normals() -> None:
    a, b = (
        analytic_fields.noise(analytic_fields.times(600)),
        analytic_fields.noise(analytic_fields.times(600), "pr", seed=9),
    )
    edges = np.linspace(-5, 5, 21)
    density = joint_distribution(a, b, (edges, edges))
    assert density.attrs["units"] == "K-1 (kg m-2 s-1)-1"
    np.testing.assert_allclose(density.sum() * 0.25, 1)
    x = density.first
    assert x.attrs["units"] == "K"
    exact = np.exp(-(density.first**2 + density.second**2) / 2) / 2 / np.pi
    assert float(abs(density - exact).max()) < 0.012
    np.testing.assert_allclose(density.sum("second") * 0.5, np.histogram(a, edges, density=True)[0], rtol=1e-3)


def test_bins_may_be_counted_and_missing_pairs_are_not() -> None:
    a, b = analytic_fields.noise(analytic_fields.times(30)), analytic_fields.noise(analytic_fields.times(30), seed=9)
    b[:, :96] = np.nan
    for density in (joint_distribution(a, b, 7), joint_distribution(a.chunk(time=10), b.chunk(cell=50), 7).compute()):
        widths = [float(density[d][1] - density[d][0]) for d in density.dims]
        np.testing.assert_allclose(density.sum() * widths[0] * widths[1], 1)
        assert density.shape == (7, 7)
    for bins in (0, ([1, 0], [0, 1])):
        with pytest.raises(ValueError, match=r"bins? "):
            joint_distribution(a, b, bins)
    with pytest.raises(ValueError, match="same value everywhere"):
        joint_distribution(a * 0, b)
