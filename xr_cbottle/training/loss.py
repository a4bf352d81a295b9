"""The denoising loss of EDM (Karras et al. 2022, https://arxiv.org/abs/2206.00364), per image."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from xr_cbottle.grid import healpix
from xr_cbottle.network.edm import SIGMA_DATA, Denoiser
from xr_cbottle.training.batches import Batch

Answers = Callable[[Tensor, Batch, Tensor], Tensor]
"""From noisy states, what is told of them and the states without noise, to what is wanted in place of the latter."""


def edm_loss(
    denoiser: Denoiser, batch: Batch, coarse_weight: float = 0.0, answers: Answers | None = None
) -> tuple[Tensor, Tensor]:
    """Weighted squared error of the denoised state.

    Parameters
    ----------
    denoiser
        The network that learns, preconditioned.
    batch
        NaN in ``batch.clean`` is not counted. Where a channel has no value at all it is not shown either: the network
        sees 0 without noise. Where it has some, the network sees noise on 0, as it does where a bottle with gaps draws.
    coarse_weight
        Weight of the errors of means over 2x2, 4x4, ... cells of a face and over whole faces.
    answers
        What is wanted of the network, if not the state without noise.

    Returns
    -------
    objective, plain
        (b,) Tensors. What is minimised, and its first term alone (mean over channels and cells of
        (sigma^2 + sd^2)/(sigma sd)^2 (D - y)^2), which does not depend on ``coarse_weight``.
    """
    have = ~torch.isnan(batch.clean)
    clean = torch.where(have, batch.clean, 0.0)
    sigma = batch.sigma.view(-1, 1, 1, 1)
    shown = have.any(-1, keepdim=True)
    noisy = torch.where(shown, clean + sigma * batch.noise, 0.0)
    wanted = clean if answers is None else answers(noisy, batch, clean)
    denoised = denoiser(
        noisy,
        batch.sigma,
        condition=batch.condition,
        labels=batch.labels,
        second_of_day=batch.second_of_day,
        day_of_year=batch.day_of_year,
    )
    root_weight = (sigma**2 + SIGMA_DATA**2).sqrt() / (sigma * SIGMA_DATA)
    error = torch.where(have, root_weight * (denoised.float() - wanted), 0.0)
    share = have.float().mean((1, 2, 3)).clamp(min=1e-6)  # each image counts the same, however much it lacks
    plain = error.square().mean((1, 2, 3)) / share
    objective = plain
    if coarse_weight:
        b, c, t, cells = error.shape
        size = round((cells / healpix.FACES) ** 0.5)
        means = error.reshape(b, c * t * healpix.FACES, size, size)
        while means.shape[-1] > 1:
            # Each scale counts more than its few degrees of freedom would make it, by 2 for each halving.
            means = 2**0.5 * F.avg_pool2d(means, 2)
            objective = objective + coarse_weight * means.square().mean((1, 2, 3)) / share
    return objective, plain
