"""Batches of a bridge: instants with the states before and after them, as a pure function of (seed, images seen)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from xr_cbottle.grid.time_axis import format_period
from xr_cbottle.network.bridging import told_ends
from xr_cbottle.training.batches import Batch, Batches
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.data import Array, LabelData, TrainingData


class ToldStates(NamedTuple):
    """The states that an image is told of.

    Attributes
    ----------
    before, after
        Their positions in the run; None where there is none.
    seconds
        How far they lie from the image.
    """

    before: int | None
    after: int | None
    seconds: int


class BridgeBatches(Batches):
    """Draws batches for a bridge; of images of training no state is taken that is held out of training.

    Parameters
    ----------
    config, data
        Of the run.
    numbers
        Number of each label in the bottle that the network is for.
    """

    def __init__(self, config: BridgeConfig, data: TrainingData, numbers: dict[str, int]) -> None:
        super().__init__(config, data, numbers)
        self.ends = config.bridge
        self._seconds = [run.times.astype("datetime64[s]").astype(np.int64) for run in data.runs]
        step = self.ends.tree.step
        if not any(self._has(run, index, -step) and self._has(run, index, step) for run, index in self.train.tolist()):
            raise ValueError(
                f"bridge: no two instants of training lie {format_period(2 * step)} apart with one half way between: "
                "give sources that are series, or a longer step"
            )

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
        batch = super()._assemble(chosen, streams, sigma, jitter, dropped, seeds=seeds)
        shape = (2, *batch.clean.shape[:2], batch.clean.shape[-1])
        states, have, seconds = np.zeros(shape, np.float32), np.zeros((shape[1], 2), bool), np.ones(shape[1])
        for i, ((run, index), stream) in enumerate(zip(chosen, streams, strict=True)):
            sides = self._sides(int(run), int(index), *stream.uniform(size=2))
            low, high = self.ends.end_noise
            level = low * (high / low) ** stream.uniform()
            for side, place in enumerate((sides.before, sides.after)):
                noise = stream.standard_normal(shape[2:], dtype=np.float32)
                if place is not None:
                    known = np.nan_to_num(self.data.runs[run].values[place])  # what lacks a value is 0, as when drawn
                    states[side, i] = known + np.float32(level) * noise
                    have[i, side] = True
            seconds[i] = sides.seconds
        before, after = (torch.from_numpy(side)[:, :, None] for side in states)
        told = told_ends(before, after, torch.from_numpy(have), torch.from_numpy(seconds))
        return dataclasses.replace(batch, condition=torch.cat([batch.condition, told], 1))

    def _sides(self, run: int, index: int, kind: float, far: float) -> ToldStates:
        """The states of an image, by two numbers from 0 to 1: one says which there are, the other how far they lie."""
        tree, ends = self.ends.tree, self.ends
        distances = [tree.distance(depth) for depth in range(tree.depth, -1, -1)]  # the last is for one state alone
        both = lambda gap: self._has(run, index, -gap) and self._has(run, index, gap)  # noqa: E731
        if kind < ends.neither:
            return ToldStates(None, None, 1)
        if kind < ends.neither + ends.before_only:
            gap = _one_of(distances, lambda gap: self._has(run, index, -gap), far)
            return ToldStates(None, None, 1) if gap is None else ToldStates(self._at(run, index, -gap), None, gap)
        if kind < ends.neither + ends.before_only + ends.after_only:
            gap = _one_of(distances, lambda gap: self._has(run, index, gap), far)
            return ToldStates(None, None, 1) if gap is None else ToldStates(None, self._at(run, index, gap), gap)
        gap = _one_of(distances[:-1], both, far)
        if gap is None:
            return ToldStates(None, None, 1)
        return ToldStates(self._at(run, index, -gap), self._at(run, index, gap), gap)

    def _at(self, run: int, index: int, shift: int) -> int | None:
        """Position of the state so many seconds later; None if there is none that may be told of."""
        seconds, data = self._seconds[run], self.data.runs[run]
        wanted = seconds[index] + shift
        place = int(np.searchsorted(seconds, wanted))
        if place == len(seconds) or seconds[place] != wanted:
            return None
        return None if _unseen(data, place) and not _unseen(data, index) else place

    def _has(self, run: int, index: int, shift: int) -> bool:
        return self._at(run, index, shift) is not None


def _unseen(data: LabelData, place: int) -> bool:
    return bool(data.validation[place])


def _one_of(distances: Sequence[int], there: Callable[[int], bool], share: float) -> int | None:
    known = [gap for gap in distances if there(gap)]
    return known[int(share * len(known))] if known else None
