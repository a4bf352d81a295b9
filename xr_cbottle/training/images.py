"""Parts shared by batches of all kinds of images: random streams, noise levels, and tensors that go together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xr_cbottle.training.config import OptimConfig

Array = npt.NDArray[Any]
T = TypeVar("T", bound="Tensors")

# First words of the keys of independent streams.
ORDER, IMAGE, VALIDATION, REPLAY, TURNS, LOOK = range(6)
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclasses.dataclass(frozen=True)
class Tensors:
    """Tensors of the same images, along their first dimension.

    Attributes
    ----------
    sigma
        (b,) float32. Noise levels.
    """

    sigma: Tensor

    def to(self: T, device: torch.device | str) -> T:
        """Copy on a device, where noise of which there are only seeds is made."""
        found = self._each(lambda tensor: tensor.to(device, non_blocking=True))
        seeds: Tensor | None = getattr(self, "noise", None)
        if seeds is None or seeds.is_floating_point():
            return found
        changed: dict[str, Any] = {"noise": normals(seeds, found.clean.shape, device)}  # type: ignore[attr-defined]
        return dataclasses.replace(found, **changed)

    def pinned(self: T) -> T:
        """Copy in memory that a GPU can read while it computes."""
        return self._each(lambda tensor: tensor.pin_memory())

    def part(self: T, first: int, count: int) -> T:
        """Images ``first`` to ``first + count`` of the batch."""
        return self._each(lambda tensor: tensor[first : first + count])

    def _each(self: T, change: Any) -> T:
        return type(self)(**{f.name: change(getattr(self, f.name)) for f in dataclasses.fields(self)})


def normals(seeds: Tensor, shape: Sequence[int], device: torch.device | str) -> Tensor:
    """(b, ...) float32 standard normals, made on a device, each image's of its own seed, of (b,) int64 on the CPU."""
    found = torch.empty(tuple(shape), device=device)
    for seed, image in zip(seeds.tolist(), found, strict=True):
        torch.randn(image.shape, generator=torch.Generator(device).manual_seed(seed), device=device, out=image)
    return found


def drawn_noise(streams: Sequence[np.random.Generator], shape: Sequence[int], seeds: bool) -> Array:
    """(b, ...) float32 standard normals, each image's of its own stream; or (b,) int64 seeds for `normals`."""
    if seeds:
        return np.array([random.integers(2**63) for random in streams], np.int64)
    found = np.empty(tuple(shape), np.float32)
    for random, image in zip(streams, found, strict=True):
        random.standard_normal(out=image, dtype=np.float32)
    return found


def stream(seed: int, kind: int, number: int) -> np.random.Generator:
    """The random numbers of an image, or of another thing that is counted."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(kind, number))))


def noise_levels(optim: OptimConfig, place: Array) -> Array:
    """Noise level at a place in [0, 1): the inverse of its distribution function, one range after the other."""
    low, high = optim.sigma_focus_range
    wide = optim.sigma_min * (optim.sigma_max / optim.sigma_min) ** (place / (1 - optim.sigma_focus))
    narrow = low * (high / low) ** ((place - 1 + optim.sigma_focus) / max(optim.sigma_focus, 1e-9))
    return np.where(place < 1 - optim.sigma_focus, wide, narrow)
