"""Linear modes: one number for each says what a solver makes of Gaussian data."""

from __future__ import annotations

import pytest
import torch

from xr_cbottle.network import edm
from xr_cbottle.network.linear_modes import deviation_ratio

VARIANCES = torch.logspace(-2, 1.5, 8, dtype=torch.float64)


@pytest.mark.parametrize("solver", list(edm.SOLVERS))
def test_the_ratio_is_that_of_gaussian_samples_themselves(solver: str) -> None:
    sigmas = edm.edm_schedule(9, 0.02, 80.0)
    noise = torch.randn(4000, len(VARIANCES), generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return x * VARIANCES / (VARIANCES + sigma**2)

    drawn = edm.SOLVERS[solver](denoise, noise * sigmas[0], sigmas)
    sampled = (drawn.square().mean(0) / noise.square().mean(0) / VARIANCES).sqrt()
    torch.testing.assert_close(deviation_ratio(edm.SOLVERS[solver], sigmas, VARIANCES).abs(), sampled)


@pytest.mark.parametrize("solver", list(edm.SOLVERS))
def test_many_levels_are_right(solver: str) -> None:
    ratio = deviation_ratio(edm.SOLVERS[solver], edm.edm_schedule(500, 0.001, 80.0), VARIANCES)
    torch.testing.assert_close(ratio, 80 / (VARIANCES + 80**2).sqrt(), rtol=2e-3, atol=0)


def test_the_spread_of_few_spaced_levels_is_known_beforehand() -> None:
    # What `gcm` was seen to do: with 18 levels of DPM-Solver++(2M) too much spread, with 10 far too much.
    many, few = (
        deviation_ratio(edm.dpmpp_2m, edm.edm_schedule(n, 0.02, 80.0), torch.tensor([0.3, 1.0, 5.0])) for n in (18, 10)
    )
    assert ((many > 1.02) & (many < 1.06)).all(), many
    assert (few > 1.06).all(), few
