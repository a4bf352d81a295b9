"""Densities of Gaussians, which are known."""

from __future__ import annotations

import math

import pytest
import torch

from xr_cbottle.network import edm, likelihood

COVARIANCE = 0.25 * torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=torch.float64)
LOWEST = 0.02


def denoise(x, sigma):
    return x @ torch.linalg.solve(COVARIANCE + sigma**2 * torch.eye(2, dtype=torch.float64), COVARIANCE)


def exact(x):
    law = torch.distributions.MultivariateNormal(
        torch.zeros(2, dtype=torch.float64), COVARIANCE + LOWEST**2 * torch.eye(2)
    )
    return law.log_prob(x)


def probes(n):
    generator = torch.Generator().manual_seed(2)
    fields = [torch.randn(n, 2, generator=generator, dtype=torch.float64).sign() for _ in range(64)]
    return lambda number: fields[number]


def test_gaussians():
    """Within the error of 64 levels and of 64 probes; with fewer levels the differences of states are right still."""
    x = torch.tensor([[0.0, 0.0], [0.5, 0.7], [-1.0, 0.9]], dtype=torch.float64)
    found, each = likelihood.log_density(denoise, x, edm.edm_schedule(64, LOWEST, 80.0), probes(3), 64)
    assert each.shape == (3, 64)
    error = (each.std(1) / math.sqrt(64)).tolist()
    for mine, right, allowed in zip(found.tolist(), exact(x).tolist(), error, strict=True):
        assert mine == pytest.approx(right, abs=4 * allowed + 0.02)
    assert max(error) < 0.5


def test_differences_need_few_levels():
    x = torch.tensor([[0.0, 0.0], [0.5, 0.7]], dtype=torch.float64)
    found, _ = likelihood.log_density(denoise, x, edm.edm_schedule(18, LOWEST, 80.0), lambda k: torch.ones(2, 2), 1)
    assert float(found[0] - found[1]) == pytest.approx(float(exact(x)[0] - exact(x)[1]), rel=0.08)
