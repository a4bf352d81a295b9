"""Losses of a run between two lines of its log."""

from __future__ import annotations

import itertools
import time
from typing import Any

import torch
from torch import Tensor

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


class Watch:
    """Looks at each step when the next one is due, so that nobody waits for a device, and stops what has gone wrong.

    Parameters
    ----------
    case
        Of the run, whose labels are named.
    """

    def __init__(self, case: Any) -> None:
        self._names = {number: label for label, number in getattr(case, "numbers", {}).items()}
        self._step: tuple[int, Any, Tensor, Tensor, Tensor] | None = None

    def note(self, first: int, batch: Any, losses: Tensor, sigma: Tensor, norm: Tensor) -> None:
        """Note a step: its first image, its images, (n,) losses and noise levels, and the norm of its gradient."""
        self._step = first, batch, losses, sigma, norm

    def check(self) -> None:
        """Look at the last step that was noted.

        Raises
        ------
        ValueError
            If its losses or its gradient are not finite; whoever is asked after that is never to save.
        """
        if self._step is None:
            return
        first, batch, losses, sigma, norm = self._step
        bad = (~torch.isfinite(losses)).nonzero()[:, 0].cpu()
        if not len(bad) and bool(torch.isfinite(norm)):
            return
        images = len(batch.sigma)
        told = [self._image(first, batch, sigma, int(i), images) for i in (bad if len(bad) else range(images))[:4]]
        what = "the loss is not finite" if len(bad) else "the gradient is not finite, and one of these made it so"
        raise ValueError(
            f"training stops: {what}: {'; '.join(told)}; the last state that was saved is good: go on from it with a "
            "lower lr or matrix_lr, or look at these instants"
        )

    def _image(self, first: int, batch: Any, sigma: Tensor, place: int, images: int) -> str:
        image = place * images // len(sigma)  # a case may have several losses of an image
        labels = getattr(batch, "labels", None)
        told = f"image {first + image} at noise level {float(sigma[place]):.4g}"
        if labels is None or not bool(labels[image].any()):
            return told
        number = int(labels[image].argmax())
        return f"{told} of label {self._names.get(number, number)}"


def by_sigma(sigma: torch.Tensor, losses: torch.Tensor) -> dict[str, float]:
    """Mean loss in each of `SIGMA_BINS` that has one: {"low-high": mean}."""
    bins: dict[str, float] = {}
    for low, high in itertools.pairwise(SIGMA_BINS):
        inside = (sigma >= low) & (sigma < high)
        if inside.any():
            bins[f"{low:g}-{high:g}"] = round(float(losses[inside].mean()), 5)
    return bins
