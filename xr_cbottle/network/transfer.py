"""A state of one data set carried to another: up the diffusion ODE under one label and down under the other.

Su et al. 2022 (https://arxiv.org/abs/2203.08382) go up to the highest noise. A lower one keeps more of the state
(Meng et al. 2021, https://arxiv.org/abs/2108.01073).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from xr_cbottle.network import edm
from xr_cbottle.network.edm import Denoise

Solver = Callable[[Denoise, Tensor, Tensor], Tensor]


class Transfer(NamedTuple):
    """A state that was carried over.

    Attributes
    ----------
    clean
        The state under the other label.
    turned
        The state at the noise level at which it was turned, where there was data; elsewhere what was drawn.
    """

    clean: Tensor
    turned: Tensor


def up_to(sigmas: Tensor, strength: float | None) -> tuple[Tensor, Tensor]:
    """Split noise levels, which descend to 0, at a noise level; None is the highest.

    Returns
    -------
    Those down from it, which is the first of them, and those above it. A level within 5 % of it is left out.
    """
    if strength is None or strength >= float(sigmas[0]):
        return sigmas, sigmas[:0]
    turn = torch.tensor([strength], dtype=sigmas.dtype)
    return torch.cat([turn, sigmas[sigmas < strength / 1.05]]), sigmas[sigmas > strength * 1.05]


def translate(
    encode: Denoise | None,
    decode: Denoise,
    x: Tensor,
    known: Tensor,
    sigmas: Tensor,
    noise: tuple[Tensor, Tensor],
    solver: Solver,
    strength: float | None = None,
) -> Transfer:
    """Follow a state up to a noise level under one label, and down again under another.

    What is not known starts as noise at the highest level. Where the state is turned lower than that, what is known has
    on each level down to there the value that it had on the way up.

    Parameters
    ----------
    encode
        Denoiser under the label of ``x``. None where no label knows it: noise is added instead of going up the ODE.
    decode
        Denoiser under the other label.
    x
        Clean state; whatever it holds where it is not ``known`` is not looked at.
    known
        Boolean, of the shape of ``x`` or one that broadcasts: where there is data.
    sigmas
        From `xr_cbottle.network.edm.edm_schedule`.
    noise
        Two standard normal fields: of what is known (the first step up, or all of the noise without ``encode``), and of
        what is not.
    solver
        One of `xr_cbottle.network.edm.SOLVERS`, of the ODE on the way down; Heun's method is used on the way up.
    strength
        Noise level at which it is turned; None for the highest.
    """
    down, above = up_to(sigmas, strength)
    start = x.to(torch.float64).masked_fill(~known, 0.0)
    levels = torch.cat([above, down[:-1]])  # all of them, from the highest
    complete = bool(known.all())
    needed = down[:-1] if complete else levels
    way = _noised(start, needed, noise[0]) if encode is None else _climb(encode, start, known, needed, noise[0])
    turned = way[len(needed) - len(down) + 1]
    if not complete:
        state = torch.where(known, way[0], levels[0] * noise[1])
        under = decode if encode is None else encode
        if len(above):
            pinned = _pinned(under, known, dict(zip(needed.tolist(), way, strict=True)))
            state = solver(pinned, state, levels[: len(above) + 1])
        turned = torch.where(known, turned, state)
    return Transfer(solver(decode, turned, down), turned)


def _climb(encode: Denoise, start: Tensor, known: Tensor, levels: Tensor, noise: Tensor) -> list[Tensor]:
    """States on descending levels, reached from below up the ODE."""

    def masked(state: Tensor, sigma: Tensor) -> Tensor:
        return encode(state.masked_fill(~known, 0.0), sigma)

    ascending = levels.flip(0)
    states = [start + ascending[0] * noise]
    for here in range(len(ascending) - 1):
        states.append(edm.heun(masked, states[-1], ascending[here : here + 2]))
    return states[::-1]


def _noised(start: Tensor, levels: Tensor, noise: Tensor) -> list[Tensor]:
    """States on descending levels: the clean one and noise, the same on all."""
    return [start + level * noise for level in levels]


def _pinned(denoise: Denoise, known: Tensor, way: dict[float, Tensor]) -> Denoise:
    """Make a denoiser that sees a given state on each level where it is known."""
    return lambda x, sigma: denoise(torch.where(known, way[float(sigma)], x), sigma)
