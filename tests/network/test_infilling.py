"""Infilling on Gaussians, where the conditional is known: its mean, its variance, and the noise of each level."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xr_cbottle.network import edm, infilling
from xr_cbottle.network.infilling import Rounds

SIGMAS = edm.edm_schedule(18, 0.02, 80.0)
CORRELATION = 0.8
COVARIANCE = 0.25 * torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]], dtype=torch.float64)


def denoise(x, sigma):
    """Of pairs of correlated numbers, (n, 2)."""
    return x @ torch.linalg.solve(COVARIANCE + sigma**2 * torch.eye(2, dtype=torch.float64), COVARIANCE)


def filled(n, rounds, given=0.6):
    generator = torch.Generator().manual_seed(3)
    known = torch.tensor([True, False]).expand(n, 2)
    clean = torch.full((n, 2), given, dtype=torch.float64)
    noise = lambda number: torch.randn(n, 2, generator=generator, dtype=torch.float64)  # noqa: E731
    return infilling.infill(denoise, lambda guess: clean, known, SIGMAS, noise, Rounds(rounds))


def test_what_is_drawn_is_the_conditional():
    drawn = filled(10_000, 32)
    assert (drawn[:, 0] == 0.6).all()
    rest = drawn[:, 1]
    assert float(rest.mean()) == pytest.approx(CORRELATION * 0.6, abs=0.035)
    assert float(rest.std()) == pytest.approx(0.5 * np.sqrt(1 - CORRELATION**2), rel=0.06)


def test_rounds_let_the_known_tell_more():
    errors = [abs(float(filled(10_000, rounds)[:, 1].mean()) - CORRELATION * 0.6) for rounds in (1, 3, 8)]
    assert errors[2] < errors[1] / 1.8 < errors[0] / 3


def test_the_noise_of_what_is_known_has_the_variance_of_the_level():
    """With 0.4 of it, what is known would look cleaner than it is."""
    n = 40_000
    seen = {}
    known = torch.tensor([True, False]).expand(n, 2)
    generator = torch.Generator().manual_seed(5)

    def watched(x, sigma):
        seen.setdefault(float(sigma), x[:, 0].clone())
        return denoise(x, sigma)

    noise = lambda number: torch.randn(n, 2, generator=generator, dtype=torch.float64)  # noqa: E731
    clean = torch.full((n, 2), 0.6, dtype=torch.float64)
    infilling.infill(watched, lambda guess: clean, known, SIGMAS, noise)
    for sigma in SIGMAS[:-1].tolist():
        deviation = float((seen[sigma] - 0.6).std())
        assert deviation == pytest.approx(sigma, rel=0.02), sigma


def test_each_number_of_noise_is_asked_for_once():
    asked = []

    def noise(number):
        asked.append(number)
        return torch.zeros(1, 2, dtype=torch.float64)

    infilling.infill(denoise, torch.zeros_like, torch.tensor([[True, False]]), SIGMAS, noise)
    assert asked == list(range(len(asked)))
    middle = sum(0.05 <= sigma <= 20 for sigma in SIGMAS.tolist())
    assert len(asked) == 1 + len(SIGMAS) - 1 + 4 * middle  # two more rounds, each up and down


def test_plain_where_nothing_is_known_in_law():
    known = torch.zeros(20_000, 2, dtype=torch.bool)
    generator = torch.Generator().manual_seed(1)
    noise = lambda number: torch.randn(20_000, 2, generator=generator, dtype=torch.float64)  # noqa: E731
    drawn = infilling.infill(denoise, torch.zeros_like, known, SIGMAS, noise)
    covariance = torch.cov(drawn.T)
    assert torch.allclose(covariance, COVARIANCE, rtol=0.12)
