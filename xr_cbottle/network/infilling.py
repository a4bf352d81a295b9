"""Draws of a state of which a part is known, from a denoiser that was not trained for it.

At each noise level what is known takes the noise of that level (replacement, Song et al. 2021,
https://arxiv.org/abs/2011.13456). One pass of that hardly lets the rest know of it: at the middle levels the step down
is undone by noise and taken again, some rounds (RePaint, Lugmayr et al. 2022, https://arxiv.org/abs/2201.09865). The
step down is one of Heun's method, and the noise back up has exactly the variance that it undoes: ancestral steps lose
variance, and so make draws that are too sure of themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from xr_cbottle.network.edm import Denoise

Clean = Callable[[Tensor], Tensor]
"""From a denoised state to the clean one that is known; what it holds elsewhere is not looked at."""
Noise = Callable[[int], Tensor]
"""From a number to a standard normal field."""


@dataclass(frozen=True)
class Rounds:
    """How often a step is taken.

    Attributes
    ----------
    number
        Rounds at the middle levels; 1 at others.
    low, high
        Noise levels that are the middle ones.
    """

    number: int = 3
    low: float = 0.05
    high: float = 20.0

    def at(self, sigma: float) -> int:
        """Rounds at a level."""
        return self.number if self.low <= sigma <= self.high else 1


def infill(
    denoise: Denoise, clean: Clean, known: Tensor, sigmas: Tensor, noise: Noise, rounds: Rounds = Rounds()
) -> Tensor:
    """Draw a state given a part of it.

    Parameters
    ----------
    denoise
        Called with the float64 state and a 0-d float64 noise level.
    clean
        See `Clean`; called once a level.
    known
        Boolean, of the shape of the state.
    sigmas
        Descending noise levels, then 0.
    noise
        See `Noise`; number 0 is the state at the highest level, and each number is asked for once.
    rounds
        How often steps are taken.

    Returns
    -------
    The clean state, float64; what is known is so up to what ``clean`` gave at the lowest level.
    """
    x = sigmas[0] * noise(0).to(torch.float64)
    given = clean(torch.zeros_like(x)).to(torch.float64)
    number = 0
    for here, there in itertools.pairwise(sigmas):
        for left in range(rounds.at(float(here)) - 1, -1, -1):
            number += 1
            x = noised(x, given, known, here, noise(number))
            down, denoised = _step(denoise, x, given, known, here, there)
            if left:
                number += 1
                x = down + (here**2 - there**2).sqrt() * noise(number)
        given = clean(denoised).to(torch.float64)
        x = down
    return torch.where(known, given, x)


def noised(x: Tensor, given: Tensor, known: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """The state with what is known at a noise level: the clean value and noise of exactly that deviation."""
    return torch.where(known, given + sigma * noise, x)


def _step(
    denoise: Denoise, x: Tensor, given: Tensor, known: Tensor, here: Tensor, there: Tensor
) -> tuple[Tensor, Tensor]:
    """A step of Heun's method, Euler's to 0, in which what is known is denoised to itself; and what was denoised."""
    denoised = torch.where(known, given, denoise(x, here))
    slope = (x - denoised) / here
    down = x + (there - here) * slope
    if there > 0:
        denoised = torch.where(known, given, denoise(down, there))
        down = x + (there - here) * (slope + (down - denoised) / there) / 2
    return down, denoised
