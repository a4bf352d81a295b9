"""Preconditioning, schedule and solver, where the answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from xr_cbottle.bottle import sampler
from xr_cbottle.network import edm


def gaussian(mean: float, std: float) -> edm.Denoise:
    """The exact denoiser of data drawn from N(mean, std^2)."""
    return lambda x, sigma: (std**2 * x + sigma**2 * mean) / (std**2 + sigma**2)


def test_schedule_is_edm_equation_5() -> None:
    sigmas = edm.edm_schedule(18, 0.02, 200.0)
    assert sigmas.dtype == torch.float64
    assert sigmas[-1] == 0
    assert len(sigmas) == 19
    torch.testing.assert_close(sigmas[[0, 17]], torch.tensor([200.0, 0.02], dtype=torch.float64))
    torch.testing.assert_close(torch.diff(sigmas[:-1] ** (1 / 7)).std(), torch.tensor(0.0, dtype=torch.float64))


def test_heun_finds_the_exact_solution_for_a_gaussian() -> None:
    mean, std, start = 0.3, 0.7, torch.tensor([-150.0, 20.0, 100.0])
    sampled = edm.heun(gaussian(mean, std), start, edm.edm_schedule(200, 0.002, 80.0))
    exact = mean + (start.double() - mean) * std / math.hypot(std, 80.0)
    torch.testing.assert_close(sampled, exact, rtol=1e-3, atol=1e-3)


def test_heun_is_of_second_order() -> None:
    start, exact = torch.tensor([60.0]), 60.0 * 0.7 / math.hypot(0.7, 80.0)
    errors = [
        abs(float(edm.heun(gaussian(0, 0.7), start, edm.edm_schedule(n, 0.002, 80.0))) - exact) for n in (20, 40, 80)
    ]
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3


def test_encoding_and_sampling_are_inverse() -> None:
    data = torch.linspace(-1, 1, 7, dtype=torch.float64)
    sigmas = edm.edm_schedule(100, 0.02, 200.0)[:-1]
    latents = edm.heun(gaussian(0.0, 0.5), data, sigmas.flip(0))
    torch.testing.assert_close(edm.heun(gaussian(0.0, 0.5), latents, sigmas), data, atol=2e-3, rtol=0)


def test_heun_takes_two_evaluations_a_step_and_one_in_the_last() -> None:
    calls = []

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        calls.append(float(sigma))
        return x / 2

    edm.heun(denoise, torch.ones(2), edm.edm_schedule(5, 0.02, 10.0))
    assert len(calls) == 2 * 5 - 1
    assert min(calls) > 0


@pytest.mark.parametrize(("solver", "calls"), [("heun", 35), ("dpmpp_2m", 18), ("ipndm3", 18)])
def test_a_solver_follows_the_ode(solver: str, calls: int) -> None:
    mean, spread, count = 0.3, 0.5, []
    sigmas = edm.edm_schedule(18, 0.02, 80.0)
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        count.append(float(sigma))
        return gaussian(mean, spread)(x, sigma)

    drawn = edm.SOLVERS[solver](denoise, x * sigmas[0], sigmas)
    exact = mean + (x * sigmas[0] - mean) * spread / (spread**2 + sigmas[0] ** 2).sqrt()
    torch.testing.assert_close(drawn, exact, atol=0.1, rtol=0)
    assert (len(count), sampler.evaluations(solver, 18)) == (calls, calls)
    assert min(count) > 0


def test_every_solver_that_a_bottle_may_name_is_there_and_costs_what_is_said() -> None:
    assert list(edm.SOLVERS) == list(sampler.SOLVERS)
    for solver, solve in edm.SOLVERS.items():
        levels: list[float] = []

        def denoise(x: torch.Tensor, sigma: torch.Tensor, levels: list[float] = levels) -> torch.Tensor:
            levels.append(float(sigma))
            return x / 2

        solve(denoise, torch.ones(2), edm.edm_schedule(7, 0.02, 10.0))
        assert len(levels) == sampler.evaluations(solver, 7)


@pytest.mark.parametrize("solver", list(sampler.SOLVERS))
def test_solvers_are_of_second_order(solver: str) -> None:
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)

    def error(steps: int) -> float:
        sigmas = torch.logspace(1, -1, steps + 1, dtype=torch.float64)
        drawn = edm.SOLVERS[solver](gaussian(0.0, 0.5), x * sigmas[0], sigmas)
        exact = x * sigmas[0] * ((0.25 + sigmas[-1] ** 2) / (0.25 + sigmas[0] ** 2)).sqrt()
        return float((drawn - exact).abs().max())

    assert 3.3 < error(32) / error(64) < 4.7


def test_preconditioning_keeps_unit_variance() -> None:
    sigma = torch.logspace(-2, 2, 9, dtype=torch.float64)
    c_skip, c_out, c_in, c_noise = edm.preconditioning(sigma)
    torch.testing.assert_close(c_in**2 * (sigma**2 + 0.25), torch.ones_like(sigma))
    # The target of the network, (y - c_skip x) / c_out, has unit variance for data of variance sigma_data^2.
    torch.testing.assert_close((1 - c_skip) ** 2 * 0.25 + c_skip**2 * sigma**2, c_out**2)
    torch.testing.assert_close(c_noise, sigma.log() / 4)


def test_experts_are_chosen_by_noise_level() -> None:
    experts = [(100.0, "high"), (10.0, "middle"), (0.0, "low")]
    chosen = [edm.expert(experts, sigma) for sigma in (200.0, 100.0, 99.0, 10.0, 9.9, 0.0)]  # type: ignore[arg-type]
    assert chosen == ["high", "high", "middle", "middle", "low", "low"]
    with pytest.raises(ValueError, match="no expert"):
        edm.expert([(1.0, "high")], 0.5)  # type: ignore[list-item]


def test_masked_channels_are_lent() -> None:
    seen = []

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x + 1

    masked = torch.tensor([False, True])[:, None]
    x = torch.full((1, 2, 3), 5.0)
    y = edm.lend_channels(denoise, lambda x, sigma: x * 10, masked)(x, torch.tensor(1.0))
    assert y[0, :, 0].tolist() == [6.0, 50.0]
    assert seen[0][0, :, 0].tolist() == [5.0, 0.0]
