"""The update of optimal interpolation: against its formula, and the taper against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xr_cbottle.draw.local_update import LocalUpdate, taper
from xr_cbottle.network import edm


def test_the_taper_is_that_of_gaspari_and_cohn():
    """5/24 at half of the distance where it ends; its slope is continuous there."""
    got = taper(np.array([0.0, 500, 1000, 1500, 2000, 5000]), 2000)
    assert got[0] == 1
    assert got[2] == pytest.approx(5 / 24)
    assert got[1] == pytest.approx(263 / 384)  # 1 - 5/12 + 5/64 + 1/32 - 1/128
    np.testing.assert_array_equal(got[4:], 0)
    assert (np.diff(got) <= 0).all()


def test_it_is_the_formula_with_tapered_covariances():
    rng = np.random.default_rng(1)
    samples, cells, places = rng.standard_normal((6, 2, 5)), 5, np.array([0, 1, 1])
    h = np.zeros((3, 10))
    h[0, 2], h[1, 3], h[2, 9] = 1, 0.5, 2.0
    seen = samples.reshape(6, 10) @ h.T
    near_cells, near_places = rng.uniform(size=(cells, 2)), np.array([[1, 0.3], [0.3, 1]])
    variance, innovation = np.array([0.1, 0.2, 0.3]), rng.standard_normal(3)
    got = LocalUpdate(samples, seen, places, near_cells, near_places, variance).increment(innovation)
    x = samples.reshape(6, 10) - samples.reshape(6, 10).mean(0)
    covariance = x.T @ x / 5
    to_observed = (covariance @ h.T) * np.tile(near_cells, (2, 1))[:, places]
    between = (h @ covariance @ h.T) * near_places[np.ix_(places, places)]
    expected = to_observed @ np.linalg.solve(between + np.diag(variance + 1e-6 * np.diag(between)), innovation)
    np.testing.assert_allclose(got.ravel(), expected, rtol=1e-9)


def test_draws_by_the_corrected_mean_have_the_law_of_the_posterior():
    """Two cells of a known Gaussian, of which one is observed: mean, variance and covariance, by the ODE alone."""
    rng, n = np.random.default_rng(2), 4000
    covariance, r, y = 0.25 * np.array([[1.0, 0.8], [0.8, 1.0]]), 0.02, 0.7
    clean = rng.multivariate_normal([0, 0], covariance, n)
    whole = np.ones((2, 1)), np.ones((1, 1))

    def denoise(x, sigma):
        return x @ np.linalg.solve(covariance + sigma**2 * np.eye(2), covariance)

    def given(x, sigma):
        sigma = float(sigma)
        errors = clean - denoise(clean + sigma * rng.standard_normal((n, 2)), sigma)
        update = LocalUpdate(errors[:, None], errors[:, :1], np.zeros(1, int), *whole, np.array([r]))
        mean = denoise(x.numpy(), sigma)
        unit = update.increment(np.ones(1))[0]
        return torch.from_numpy(mean + (y - mean[:, :1]) * unit)

    sigmas = edm.edm_schedule(40, 0.01, 80.0)
    drawn = edm.heun(given, 80 * torch.from_numpy(rng.standard_normal((n, 2))), sigmas).numpy()
    gain = covariance[:, 0] / (covariance[0, 0] + r)
    np.testing.assert_allclose(drawn.mean(0), gain * y, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), covariance - np.outer(gain, covariance[0]), rtol=0.12, atol=1e-3)
