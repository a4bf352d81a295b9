"""Samples of what a bottle's network does not know at each noise level: draws of the bottle, noised and denoised again.

The clean state x of a draw less what the network expects when it sees x + sigma n is an error of the law that the rest
of a draw has at that level. Its covariance is the one by which an observation tells of what it does not see.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.draw import noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.emulator import Emulator, Instant
from xr_cbottle.draw.once import Once
from xr_cbottle.grid import healpix

Floats = npt.NDArray[np.floating[Any]]
SEED = 2**63 - 1
"""Of the draws: nobody else's, so that no truth is among them by chance."""
_HIGHEST, _LOWEST, _FACTOR = 25.0, 0.03, 2.2


Draw = Callable[[Sequence[Instant]], list[npt.NDArray[np.float32]]]
Keep = Callable[[Sequence[Instant], Draw], Sequence[npt.NDArray[np.float32]]]
"""Gives samples of some instants, (rows, cell) each, drawn by what it is given or found where they were kept."""


@dataclass(frozen=True, eq=False)
class DenoisingErrors:
    """Samples of the errors of a denoiser at some noise levels.

    Attributes
    ----------
    levels
        (level,) descending.
    samples
        (level, sample, channel, cell NEST) float16, in the network's units.
    draws
        (sample, channel, cell NEST) float32: the states themselves, less their mean. They are the errors of whoever
        knows the climate alone.
    """

    levels: npt.NDArray[np.float64]
    samples: npt.NDArray[np.float16]
    draws: npt.NDArray[np.float32]

    def at(self, sigma: float) -> npt.NDArray[np.float32]:
        """(sample, channel, cell NEST) errors at a noise level: those of the nearest, as large as between two."""
        if sigma >= self.levels[0]:
            return self.samples[0].astype(np.float32)
        if sigma <= self.levels[-1]:  # what is left is the noise
            return self.samples[-1].astype(np.float32) * np.float32(sigma / self.levels[-1])
        place = np.log(sigma)
        known = np.log(self.levels)
        nearest = int(np.abs(known - place).argmin())
        sizes = np.log(self._deviations)
        wanted = np.array([np.interp(place, known[::-1], column[::-1]) for column in sizes.T])
        return self.samples[nearest].astype(np.float32) * np.exp(wanted - sizes[nearest]).astype(np.float32)[:, None]

    @functools.cached_property
    def _deviations(self) -> npt.NDArray[np.float64]:
        """(level, channel)"""
        sizes = [np.sqrt((one.astype(np.float32) ** 2).mean((0, 2), dtype=np.float64)) for one in self.samples]
        return np.maximum(sizes, 1e-6)


def levels_of(sigmas: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Noise levels of a sampler, which descend to 0, at which errors are sampled: not all of them."""
    chosen: list[float] = []
    for sigma in sigmas[(sigmas <= _HIGHEST) & (sigmas >= _LOWEST)].tolist():
        if not chosen or chosen[-1] / sigma >= _FACTOR:
            chosen.append(sigma)
    return np.array(chosen or [float(sigmas[0])])


def get(emulator: Emulator, label: str | None, count: int, keep: Keep | None = None) -> DenoisingErrors:
    """Give the samples of a label, made at the first call for all of this process who wait for them.

    Parameters
    ----------
    emulator
        A loaded bottle.
    label
        One of its labels; None if it has none.
    count
        How many samples.
    keep
        See `Keep`; None keeps them in memory alone.
    """
    made: DenoisingErrors = _made.get((emulator, label, count), lambda: _make(emulator, label, count, keep))
    return made


def times_of(first: int, last: int, count: int) -> npt.NDArray[np.datetime64]:
    """(sample,) times spread evenly over a span of seconds since 1970, and over the hours of the day."""
    number = np.arange(count)
    days = (first + (number + 0.5) * (last - first) / count) // 86400 * 86400
    hours = (number * (np.sqrt(5) - 1) / 2 % 1) * 86400
    return np.clip(days + hours, first, last).astype(np.int64).astype("datetime64[s]")


def _make(emulator: Emulator, label: str | None, count: int, keep: Keep | None) -> DenoisingErrors:
    levels = levels_of(emulator.sampler.levels().numpy())
    first, last = (int(time.astype("datetime64[s]").astype(np.int64)) for time in emulator.sst.coverage)
    instants = [Instant(label, SEED, k, time) for k, time in enumerate(times_of(first, last, count))]

    def draw(some: Sequence[Instant]) -> list[npt.NDArray[np.float32]]:
        states = emulator.solve(label, some, emulator.sampler)
        errors = denoised_errors(emulator, states, some, levels)
        return [np.concatenate([x, *e]).astype(np.float32) for x, e in zip(states, errors.swapaxes(0, 1), strict=True)]

    channels = len(emulator.channels)
    draws = np.empty((count, channels, healpix.n_cells(emulator.zoom)), np.float32)
    samples = np.empty((len(levels), *draws.shape), np.float16)
    for start in range(0, count, emulator.batch_size):
        some = instants[start : start + emulator.batch_size]
        for k, field in enumerate(draw(some) if keep is None else keep(some, draw), start):
            parts = field.reshape(len(levels) + 1, channels, -1)
            draws[k], samples[:, k] = parts[0], parts[1:]
    return DenoisingErrors(levels, samples, draws - draws.mean(0))


def rows(emulator: Emulator) -> int:
    """Rows of a sample as it is kept, each of all cells: those of the state, and of its error at each level."""
    return (len(levels_of(emulator.sampler.levels().numpy())) + 1) * len(emulator.channels)


def denoised_errors(
    emulator: Emulator, states: Floats, instants: Sequence[Instant], levels: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Errors of the denoiser on clean states, at most a batch of one label: (level, state, channel, cell NEST).

    Parameters
    ----------
    emulator
        A loaded bottle.
    states
        (n, channel, cell NEST) in the network's units.
    instants
        (n,) what the states are of. They choose the noise, at each level another.
    levels
        (level,) noise levels.
    """
    import torch

    def normals(number: int) -> Floats:
        return np.stack([
            noise.normals(states.shape[1:], seed=one.seed, stage="assimilate", member=one.member, time=one.time,
                          block=number)
            for one in instants
        ])  # fmt: skip

    times = np.array([one.time for one in instants], "datetime64[s]")
    out = np.empty((len(levels), *states.shape))
    with drawing(emulator.precision), emulator.batch(times) as (batch, inputs):
        denoise = emulator.denoise(instants[0].label, **inputs)
        for i, level in enumerate(levels.tolist()):
            noisy = batch.put(states + level * normals(i + 1)).double()
            out[i] = states - batch.back(denoise(noisy, torch.tensor(level, dtype=torch.float64)))
    return out


_made = Once(4)
