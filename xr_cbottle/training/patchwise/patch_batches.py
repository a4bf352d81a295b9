"""Batches of patches as a pure function of (seed, number of images seen).

Image ``i`` of a run is one patch of one instant with its noise level, its noise and its offset, each drawn from a
stream of its own, as in `xr_cbottle.training.batches`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xr_cbottle.training.config import OptimConfig
from xr_cbottle.training.epochs import Epochs
from xr_cbottle.training.images import (
    GOLDEN,
    IMAGE,
    ORDER,
    TURNS,
    VALIDATION,
    Tensors,
    drawn_noise,
    noise_levels,
    stream,
)
from xr_cbottle.training.patchwise.patch_data import PatchData

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class PatchBatch(Tensors):
    """A batch of patches: fields, noise and conditions.

    Attributes
    ----------
    sigma
        (b,) float32. Noise levels.
    clean, noise
        (b, channel, row, column) float32. The state of the network without noise, and standard normals; or (b,) int64
        seeds of these, see `Tensors.to`.
    local, overview
        (b, channel, row, column) float32. The coarse field around, and on the globe.
    cells, partners
        (b, row, column) int32.
        A pixel is the mean of these two NEST cells, which are the same one nearly everywhere.
    """

    clean: Tensor
    noise: Tensor
    local: Tensor
    overview: Tensor
    cells: Tensor
    partners: Tensor


class PatchBatches:
    """Draws batches of patches; every patch of every training instant comes once in an epoch.

    Parameters
    ----------
    optim, data
        Of the run.
    share
        Held-out images are so many times those that the loop asks for: a patch says less than a globe.

    Attributes
    ----------
    noise_later
        Images of training have seeds in place of noise.
    """

    def __init__(self, optim: OptimConfig, data: PatchData, *, share: int = 8) -> None:
        self.share, self.noise_later = share, False
        self.optim, self.data, self.grid = optim, data, data.grid
        self.train = np.flatnonzero(~data.validation)
        self.validation = np.flatnonzero(data.validation)
        config = data.config
        counts = [int((data.source[self.train] == i).sum()) * self.grid.count for i in range(len(config.sources))]
        self._epochs = Epochs(
            counts,
            [source.weight for source in config.sources],
            lambda number: self._stream(ORDER if number >= 0 else TURNS, abs(number)),
        )
        self._offset = np.array([config.offset.get(name, 0.0) for name in config.channels], np.float32)
        self._detail = data.detail.astype(np.float32) if config.residual else None

    def training(self, first: int, count: int) -> PatchBatch:
        """Images ``first`` to ``first + count`` of the run."""
        numbers = range(first, first + count)
        places = [divmod(self._epochs.member(i), self.grid.count) for i in numbers]
        chosen = [(int(self.train[instant]), patch) for instant, patch in places]
        # A Kronecker sequence: any run of consecutive images covers the noise levels evenly.
        offset = self._stream(ORDER, 2**32 - 1).uniform()
        sigma = noise_levels(self.optim, (offset + np.array(numbers) * GOLDEN) % 1)
        return self._assemble(chosen, [self._stream(IMAGE, i) for i in numbers], sigma, seeds=self.noise_later)

    def validating(self, count: int) -> PatchBatch:
        """A fixed set of held-out images, evenly spread in time, over patches and noise levels."""
        count = self.share * count
        instants = self.validation[np.linspace(0, len(self.validation) - 1, count).round().astype(int)]
        patches = self._stream(VALIDATION, 2**32 - 1).permutation(max(count, self.grid.count)) % self.grid.count
        chosen = list(zip(instants.tolist(), patches[:count].tolist(), strict=True))
        sigma = noise_levels(self.optim, ((np.arange(count) + 0.5) * GOLDEN) % 1)
        return self._assemble(chosen, [self._stream(VALIDATION, i) for i in range(count)], sigma)

    def _stream(self, kind: int, number: int) -> np.random.Generator:
        return stream(self.optim.seed, kind, number)

    @functools.lru_cache(maxsize=4096)  # noqa: B019  (a run has one of these objects)
    def _seen(self, patch: int) -> tuple[Array, Array]:
        first, second = self.grid.seen([patch])
        return first[0].astype(np.int32), second[0].astype(np.int32)

    def _assemble(
        self,
        chosen: Sequence[tuple[int, int]],
        streams: Sequence[np.random.Generator],
        sigma: Array,
        *,
        seeds: bool = False,
    ) -> PatchBatch:
        data, size = self.data, self.grid.size
        shape = (len(chosen), size, size, len(self._offset))
        clean, local = (np.empty(shape, np.float32) for _ in range(2))
        noise = drawn_noise(streams, shape, seeds)
        overview = np.empty((len(chosen), shape[-1], size, size), np.float32)
        cells, partners = np.empty(shape[:3], np.int32), np.empty(shape[:3], np.int32)
        for i, ((instant, patch), random) in enumerate(zip(chosen, streams, strict=True)):
            cells[i], partners[i] = self._seen(patch)
            local[i] = _pixels(data.local[instant], cells[i], partners[i])
            clean[i] = _pixels(data.fine[instant], cells[i], partners[i])
            offset = self._offset * random.standard_normal(shape[-1], dtype=np.float32)
            if self._detail is None:
                clean[i] += offset
            else:
                clean[i] = (clean[i] - local[i]) / self._detail
            local[i] += offset
            overview[i] = data.overview[instant] + offset[:, None, None]

        def put(values: Array) -> Tensor:
            return torch.from_numpy(values).permute(0, 3, 1, 2)

        return PatchBatch(
            sigma=torch.from_numpy(sigma.astype(np.float32)),
            clean=put(clean), noise=torch.from_numpy(noise) if seeds else put(noise), local=put(local),
            overview=torch.from_numpy(overview),
            cells=torch.from_numpy(cells), partners=torch.from_numpy(partners),
        )  # fmt: skip


def _pixels(rows: Array, cells: Array, partners: Array) -> Array:
    """(row, column, channel) of (cell, channel) values: pixels that are the mean of two cells are few."""
    values = rows[cells]
    twice = cells != partners
    if twice.any():
        values[twice] = (values[twice] + rows[partners[twice]]) * np.float32(0.5)
    return np.asarray(values)
