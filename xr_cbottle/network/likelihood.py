"""How probable a state is, by following it up the ODE of the diffusion (Song et al. 2021, section 4.3).

Along the ODE dx/dsigma = (x - D(x; sigma)) / sigma the logarithm of the density falls by the divergence of its right
side, and at the highest level the density is that of noise. The trace in the divergence is estimated by probes
(Hutchinson 1990), of which each is one product with the Jacobian's transpose.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from xr_cbottle.network.edm import Denoise

Probes = Callable[[int], Tensor]
"""From a number to a field of independent values of mean 0 and variance 1."""


def log_density(denoise: Denoise, x: Tensor, sigmas: Tensor, probes: Probes, count: int) -> tuple[Tensor, Tensor]:
    """Logarithm of the density of states at the lowest noise level.

    Parameters
    ----------
    denoise
        Called with the float64 state and a 0-d float64 noise level; must be differentiable.
    x
        (sample, ...) states at the lowest level above 0.
    sigmas
        Descending noise levels, then 0.
    probes
        See `Probes`; the same ones are used at all levels.
    count
        How many, at least 1.

    Returns
    -------
    (sample,) natural logarithms in the state's own units, and (sample, probe) what each probe alone gives; float64.
    """
    levels = sigmas[:-1].flip(0)
    fields = [probes(number).to(torch.float64) for number in range(count)]
    x = x.to(torch.float64)
    denoised, traces = _traced(denoise, x, levels[0], fields)
    size = x[0].numel()
    gathered = torch.zeros(len(x), count, dtype=torch.float64, device=x.device)
    for here, there in itertools.pairwise(levels):
        slope = (x - denoised) / here
        euler = x + (there - here) * slope
        with torch.no_grad():
            ahead = denoise(euler, there)
        x = x + (there - here) * (slope + (euler - ahead) / there) / 2
        before = size - traces
        denoised, traces = _traced(denoise, x, there, fields)
        # By the trapezoidal rule in log sigma, in which the divergence times sigma is smooth.
        gathered += (there / here).log() * (before + size - traces) / 2
    highest = float(levels[-1])
    noise = -(x.flatten(1) ** 2).sum(1) / (2 * highest**2) - size * (math.log(highest) + math.log(2 * math.pi) / 2)
    found = noise[:, None] + gathered
    return found.mean(1), found


def _traced(denoise: Denoise, x: Tensor, sigma: Tensor, probes: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The denoised state, and (sample, probe) estimates of the trace of its Jacobian."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        denoised = denoise(leaf, sigma)
    traces = []
    for number, probe in enumerate(probes):
        kept = number + 1 < len(probes)
        (product,) = torch.autograd.grad(denoised, leaf, probe.to(denoised.dtype), retain_graph=kept)
        traces.append((product * probe).flatten(1).sum(1))
    return denoised.detach().to(torch.float64), torch.stack(traces, 1)
