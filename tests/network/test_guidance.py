"""Steered draws of Gaussians: weights whose mean is 1, odds that are known, and the law without steering."""

from __future__ import annotations

import math

import pytest
import torch

from xr_cbottle.network import edm, guidance

SIGMAS = edm.edm_schedule(18, 0.02, 80.0)
N = 200_000


def gaussian(variance):
    return lambda x, sigma: variance / (variance + sigma**2) * x


def drawn(pull, n=N, variance=0.25):
    generator = torch.Generator().manual_seed(7)
    noise = lambda number: torch.randn(n, 1, generator=generator, dtype=torch.float64)  # noqa: E731
    start = 80 * noise(-1)
    return guidance.steered(gaussian(variance), start, SIGMAS, noise, pull, edm.dpmpp_2m)


def towards(threshold, strength, softness=0.1, variance=0.25):
    """The gradient of log sigmoid((clean - threshold) / softness)."""

    def pull(x, sigma):
        share = variance / (variance + sigma**2)
        return strength * share / softness * torch.sigmoid(-(share * x - threshold) / softness)

    return pull


@pytest.mark.parametrize("variance", [50.0, 5.0, 0.5, 0.25, 0.05, 0.005])
def test_unsteered_draws_have_the_law_of_the_sampler(variance):
    """Within 1 % of its deviation, so that calibration, which mends what the sampler does, holds for them too."""
    states, log_weight = drawn(None, 100_000, variance)
    plain = edm.dpmpp_2m(gaussian(variance), torch.full((1, 1), 80.0), SIGMAS)
    assert (log_weight == 0).all()
    assert float(states.std()) == pytest.approx(float(plain), rel=0.015)


@pytest.mark.parametrize("strength", [0.25, 0.5])
def test_weights_are_exact(strength):
    threshold = 1.25
    states, log_weight = drawn(towards(threshold, strength))
    weight = log_weight.exp()
    assert float(weight.mean()) == pytest.approx(1, abs=0.01)
    unsteered, _ = drawn(None)
    probability = float((unsteered > threshold).double().mean())
    assert 0.002 < probability < 0.02
    event = weight * (states > threshold)[:, 0]
    error = math.hypot(float(event.std()), math.sqrt(probability)) / math.sqrt(N)
    assert float(event.mean()) == pytest.approx(probability, abs=3 * error)
    gain = probability * (1 - probability) / float(event.var())
    assert gain > 2
    assert float(weight.sum()) ** 2 / float((weight**2).sum()) / N > 0.2


def test_steered_draws_reach_the_event_more_often():
    threshold = 1.25
    often = [float((drawn(towards(threshold, s))[0] > threshold).double().mean()) for s in (0.0, 0.25, 0.5)]
    assert often[0] * 3 < often[1]
    assert often[1] * 1.5 < often[2]


def test_a_sample_does_not_depend_on_others():
    states, log_weight = drawn(towards(1.25, 0.5), 1000)
    one = torch.Generator().manual_seed(7)
    noise = lambda number: torch.randn(1000, 1, generator=one, dtype=torch.float64)[500:]  # noqa: E731
    pull = towards(1.25, 0.5)
    alone, weights = guidance.steered(gaussian(0.25), 80 * noise(-1), SIGMAS, noise, pull, edm.dpmpp_2m)
    torch.testing.assert_close(alone, states[500:])
    torch.testing.assert_close(weights, log_weight[500:])


def test_a_sampler_without_middle_levels_is_refused():
    with pytest.raises(ValueError, match="no noise level from 1 to 20"):
        guidance.steered(gaussian(1), torch.zeros(1, 1), torch.tensor([80.0, 0.5, 0.0]), lambda k: 0, None, edm.heun)
