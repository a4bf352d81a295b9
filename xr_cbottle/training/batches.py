"""Batches as a pure function of (seed, number of images seen).

Image ``i`` of a run is one instant with its noise level, its noise and its dropped or jittered conditions.
Each is drawn from a stream of its own, so that neither the batch size, nor the number of processes, nor an
interruption changes what the network sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from xr_cbottle.draw import conditions
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix
from xr_cbottle.training import images
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.config import Config
from xr_cbottle.training.data import Array, LabelData, TrainingData
from xr_cbottle.training.epochs import Epochs
from xr_cbottle.training.images import (
    GOLDEN,
    IMAGE,
    LOOK,
    ORDER,
    REPLAY,
    TURNS,
    VALIDATION,
    Tensors,
    drawn_noise,
    noise_levels,
)


@dataclass(frozen=True)
class Batch(Tensors):
    """A batch of globes: fields, noise and conditions.

    Attributes
    ----------
    clean, noise
        (b, channel, 1, cell PAD_XY) float32.
        Normalised values, NaN where a label lacks a channel, and standard normals; or (b,) int64 seeds of these, see
        `Tensors.to`.
    sigma
        (b,) float32. Noise levels.
    condition
        (b, 1 or 2 + forcings, 1, cell PAD_XY) float32. SST, its anomaly if the data are anomalies from a climatology,
        and a field of each forcing.
    labels
        (b, label_dim) float32. One-hot; all 0 where the label is hidden.
    second_of_day, day_of_year
        (b, 1) float32. Time that the network is told.
    replayed
        (b,) bool. Images of old labels, see `xr_cbottle.training.replay`.
    """

    clean: Tensor
    noise: Tensor
    sigma: Tensor
    condition: Tensor
    labels: Tensor
    second_of_day: Tensor
    day_of_year: Tensor
    replayed: Tensor


class Looked(NamedTuple):
    """Instants that a network is to draw again.

    Attributes
    ----------
    batch
        What they are, noise, and what the network is told.
    runs, times
        Of which run, and at which time, each of them is.
    """

    batch: Batch
    runs: tuple[LabelData, ...]
    times: Array


class Batches:
    """Draws batches for a configuration; images of all runs are mixed by their number, times the weight of each.

    Parameters
    ----------
    config, data
        The run.
    numbers, label_dim
        Number of each label and how many there may be, if not those of the data and the configuration.
    replayed, every
        Instants of old labels, and which images they are: those with numbers ``every``, 2 ``every``, ...; none if 0.

    Attributes
    ----------
    noise_later
        Images of training have seeds in place of noise.
    """

    def __init__(
        self,
        config: Config | BridgeConfig,
        data: TrainingData,
        numbers: Mapping[str, int] | None = None,
        label_dim: int | None = None,
        replayed: Sequence[LabelData] = (),
        every: int = 0,
    ) -> None:
        self.data, self.noise_later = data, False
        self.seed = config.training.seed
        self.label_dim = label_dim or max(config.network.label_dim, len(data.labels))
        self.label_dropout = config.network.label_dropout
        self.optim = config.training
        self.runs = (*data.runs, *replayed)
        self.train = _members(data.runs, validation=False)
        self.validation = _members(data.runs, validation=True)
        self.replayed, self.every = _members(self.runs, validation=False)[len(self.train) :], every
        weights = [source.weight for source in config.data.sources]
        self._epochs = self._mixed(ORDER, self.train, range(len(data.runs)), weights)
        kept = range(len(data.runs), len(self.runs))
        self._old_epochs = self._mixed(REPLAY, self.replayed, kept, [1.0] * len(replayed))
        if not len(self.train):
            raise ValueError("there is no instant to train on: look at start, end and validation_start of the sources")
        self._to_padxy = healpix.nest_to_padxy(data.zoom)
        self._numbers = [data.number(run.label) if numbers is None else numbers[run.label] for run in self.runs]
        self._seas: dict[int, Array] = {}

    def training(self, first: int, count: int) -> Batch:
        """Images ``first`` to ``first + count`` of the run."""
        numbers = range(first, first + count)
        chosen = [self._member(i) for i in numbers]
        streams = [self._stream(IMAGE, i) for i in numbers]
        dropped = np.array([stream.uniform() < self.label_dropout for stream in streams])
        jitter = np.array([stream.uniform(-1, 1) for stream in streams])
        # A Kronecker sequence: any run of consecutive images covers the noise levels evenly.
        offset = self._stream(ORDER, 2**32 - 1).uniform()
        sigma = noise_levels(self.optim, (offset + np.array(numbers) * GOLDEN) % 1)
        return self._assemble(chosen, streams, sigma, jitter, dropped, seeds=self.noise_later)

    def validating(self, count: int) -> Batch:
        """A fixed set of held-out images, evenly spread in time and noise level."""
        count = min(count, len(self.validation))
        chosen = self.validation[np.linspace(0, len(self.validation) - 1, count).round().astype(int)]
        sigma = noise_levels(self.optim, ((np.arange(count) + 0.5) * GOLDEN) % 1)
        streams = [self._stream(VALIDATION, i) for i in range(count)]
        return self._assemble(chosen, streams, sigma, np.zeros(count), np.zeros(count, bool))

    def looking(self, count: int) -> Looked:
        """A fixed set of at most ``count`` instants of each label, held out if there are such, with their own noise."""
        chosen: list[Array] = []
        for label in self.data.labels:
            of_label = [i for i, run in enumerate(self.data.runs) if run.label == label.label]
            held_out, learnt = (some[np.isin(some[:, 0], of_label)] for some in (self.validation, self.train))
            some = held_out if len(held_out) else learnt
            chosen += [*some[np.unique(np.linspace(0, len(some) - 1, min(count, len(some))).round().astype(int))]]
        size = len(chosen)
        streams = [self._stream(LOOK, i) for i in range(size)]
        sigma = np.full(size, self.optim.sigma_max)
        batch = self._assemble(chosen, streams, sigma, np.zeros(size), np.zeros(size, bool))
        runs = tuple(self.runs[run] for run, _ in chosen)
        return Looked(batch, runs, np.array([self.runs[run].times[index] for run, index in chosen]))

    def _stream(self, kind: int, number: int) -> np.random.Generator:
        return images.stream(self.seed, kind, number)

    def _member(self, image: int) -> Array:
        """Run and index of an image of training."""
        old, last = divmod(image, self.every) if self.every else (0, 0)
        if self.every and last == self.every - 1:
            return np.asarray(self.replayed[self._old_epochs.member(old)])
        return np.asarray(self.train[self._epochs.member(image - old)])

    def _mixed(self, kind: int, members: Array, runs: Sequence[int], weights: Sequence[float]) -> Epochs:
        counts = [int((members[:, 0] == run).sum()) for run in runs]
        return Epochs(counts, weights, lambda number: self._stream(kind if number >= 0 else TURNS, abs(number)))

    def _assemble(
        self,
        chosen: Sequence[Array] | Array,
        streams: Sequence[np.random.Generator],
        sigma: Array,
        jitter: Array,
        dropped: Array,
        *,
        seeds: bool = False,
    ) -> Batch:
        labels = [self.runs[run] for run, _ in chosen]
        shape = (len(chosen), *labels[0].values.shape[1:])
        clean = np.empty(shape, np.float32)
        for i, (label, (_, index)) in enumerate(zip(labels, chosen, strict=True)):
            clean[i] = label.values[index]
        noise = drawn_noise(streams, shape, seeds)
        times = np.array([label.times[index] for label, (_, index) in zip(labels, chosen, strict=True)])
        shift = np.array([label.jitter_hours for label in labels]) * jitter * 3600
        told = times + shift.round().astype("timedelta64[s]")
        onehot = np.zeros((len(chosen), self.label_dim), np.float32)
        onehot[np.arange(len(chosen)), [self._numbers[run] for run, _ in chosen]] = 1
        onehot[dropped] = 0
        runs = np.array([run for run, _ in chosen])
        condition = self._condition(runs, times)[..., self._to_padxy]
        return Batch(
            clean=torch.from_numpy(clean)[:, :, None],
            noise=torch.from_numpy(noise) if seeds else torch.from_numpy(noise)[:, :, None],
            sigma=torch.from_numpy(sigma.astype(np.float32)),
            condition=torch.from_numpy(condition)[:, :, None],
            labels=torch.from_numpy(onehot),
            second_of_day=torch.from_numpy(conditions.second_of_day(told)),
            day_of_year=torch.from_numpy(conditions.day_of_year(told)),
            replayed=torch.from_numpy(runs >= len(self.data.runs)),
        )

    def _condition(self, runs: Array, times: Array) -> Array:
        """(n, condition, cell NEST) of instants of runs."""
        kelvin = np.empty((len(times), healpix.n_cells(self.data.zoom)), np.float32)
        told = np.zeros((len(times), len(self.data.forcings)))
        for run in np.unique(runs).tolist():
            mine, climate = runs == run, self.runs[run].climate
            kelvin[mine] = self._sst(times[mine], None if climate is None else climate.sst)
            if climate is not None:
                told[mine] = climate.told(times[mine])
        learnt = [spec.learnt for spec in self.data.forcings.values()]
        return conditions.encode(kelvin, times, self.data.climatology, told, learnt)

    def _sst(self, times: Array, own: SeaSurfaceTemperature | None) -> Array:
        """(n, cell) K: as ``sst.at``, from months kept in memory, because training visits all of them."""
        sst = own or self.data.sst
        months, known = self._months(sst), sst.times.astype(np.int64)
        place = np.interp(times.astype("datetime64[s]").astype(np.int64), known, np.arange(len(known)))
        before = np.minimum(place.astype(int), len(known) - 2) if len(known) > 1 else np.zeros(len(place), int)
        weight = (place - before)[:, None].astype(np.float32)
        return months[before] * (1 - weight) + months[np.minimum(before + 1, len(known) - 1)] * weight

    def _months(self, sst: SeaSurfaceTemperature) -> Array:
        """(month, cell) of one of the seas, kept: runs with one sea share it."""
        if id(sst) not in self._seas:
            self._seas[id(sst)] = sst.values
        return self._seas[id(sst)]


def _members(runs: Sequence[LabelData], *, validation: bool) -> Array:
    """(n, 2) run and index of every instant of training or of validation."""
    parts = [
        np.stack([np.full(chosen.size, number), chosen], 1)
        for number, label in enumerate(runs)
        for chosen in [np.flatnonzero(label.validation == validation)]
    ]
    return np.concatenate(parts)
