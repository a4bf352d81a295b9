"""Losses of a run between two lines of its log."""

from __future__ import annotations

import itertools
import time
from typing import Any

import torch

from xr_cbottle.training.team import Team

SIGMA_BINS = (0.02, 0.1, 0.5, 2.0, 10.0, 50.0, 200.0)


class LossWindow:
    """Losses between two lines of the log."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Start anew."""
        self.sigmas: list[torch.Tensor] = []
        self.losses: list[torch.Tensor] = []
        self.norms: list[torch.Tensor] = []
        self.began = time.monotonic()

    def add(self, sigma: torch.Tensor, losses: torch.Tensor, norm: torch.Tensor) -> None:
        """Note a step: (n,) noise levels and losses, and the norm of the gradient.

        They stay on their device: nobody waits for it.
        """
        self.sigmas.append(sigma)
        self.losses.append(losses.detach())
        self.norms.append(norm.detach())

    def close(self, team: Team) -> dict[str, Any]:
        """Means over what was noted by all processes, and start anew."""
        losses, sigmas = (team.gather(torch.cat(parts)).cpu() for parts in (self.losses, self.sigmas))
        entry = {
            "loss": round(float(losses.mean()), 5),
            "by_sigma": by_sigma(sigmas, losses),
            "grad_norm": round(float(torch.stack(self.norms).double().mean()), 4),
            "images_per_second": round(len(losses) / (time.monotonic() - self.began), 2),
        }
        self.clear()
        return entry


def by_sigma(sigma: torch.Tensor, losses: torch.Tensor) -> dict[str, float]:
    """Mean loss in each of `SIGMA_BINS` that has one: {"low-high": mean}."""
    bins: dict[str, float] = {}
    for low, high in itertools.pairwise(SIGMA_BINS):
        inside = (sigma >= low) & (sigma < high)
        if inside.any():
            bins[f"{low:g}-{high:g}"] = round(float(losses[inside].mean()), 5)
    return bins
