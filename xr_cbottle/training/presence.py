"""Presence: which cells of which channels have values, decided for each label before anything is measured.

A cell that has a value in few of the training instants, or in none, is a *gap*: levels below ground, the sea over land.
It is never learnt, and who reads the bottle gets NaN there. What is missing beside gaps is missing now and then: such
instants are masked where they lack values, left out, or refused, as the configuration says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.gathered import Gathered

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Presence:
    """Presence of values in the sources of a configuration.

    Attributes
    ----------
    parts
        The sources, without their gaps, and without the instants that are left out.
    gaps
        {label: (channel, cell NEST) bool}. Channels that a label lacks have the gaps of the label that lends them.
    incomplete
        {label: (channel, cell NEST) bool} of cells that are no gaps and lack a value in some of the instants.
    gappy
        {label: number of instants} that lack values beside the gaps.
    """

    parts: tuple[Gathered, ...]
    gaps: Mapping[str, Array]
    incomplete: Mapping[str, Array]
    gappy: Mapping[str, int]

    def said(self, config: DataConfig) -> list[str]:
        """Sentences about all that is missing."""
        lines = []
        for label, gaps in self.gaps.items():
            shares = [
                f"{name} {100 * gaps[c].mean():.3g} %"
                for c, name in enumerate(config.channels)
                if gaps[c].any() and name not in _missing(config, label)
            ]
            if shares:
                lines.append(f"{label}: cells without values, NaN for readers: {', '.join(shares)}")
            if count := self.gappy.get(label):
                done = "left out" if config.gaps == "skip" else "masked where they do"
                lines.append(f"{label}: {count:,} instants lack values beside these: {done}")
        return lines


def find_presence(config: DataConfig, parts: Sequence[Gathered], *, progress: bool = False) -> Presence:
    """Decide what is missing.

    Parameters
    ----------
    config
        Its ``least_presence`` and ``gaps``.
    parts
        One for each source.
    progress
        Show a bar if instants are looked at again.

    Raises
    ------
    ValueError
        If a channel has no values at all, or instants lack some that the configuration wants to be whole.
    """
    gaps, incomplete, gappy, kept = {}, {}, {}, dict(enumerate(parts))
    for label in config.labels:
        mine = {i: part for i, part in kept.items() if part.source.label == label}
        lacking = [c for c, name in enumerate(config.channels) if name in _missing(config, label)]
        share = _shares(list(mine.values()))
        gaps[label] = share < config.least_presence
        gaps[label][lacking] = False
        if empty := [config.channels[c] for c in np.flatnonzero(gaps[label].all(1))]:
            raise ValueError(
                f"source {label!r}: {', '.join(empty)} has no cell with values in {100 * config.least_presence:g} % of "
                "the training instants: list it under missing, or take it out"
            )
        incomplete[label] = (share < 1) & ~gaps[label]
        incomplete[label][lacking] = False
        kept |= {i: part.without(gaps=gaps[label]) for i, part in mine.items()}
        if not incomplete[label].any() and not any(_lacks(part, gaps[label], lacking) for part in mine.values()):
            continue
        torn = {i: _torn(kept[i], lacking, progress) for i in mine}
        gappy[label] = int(sum(map(np.count_nonzero, torn.values())))
        if config.gaps == "refuse" and gappy[label]:
            raise ValueError(_refusal(label, [kept[i] for i in mine], [torn[i] for i in mine], config, lacking))
        if config.gaps == "skip":
            kept |= {i: kept[i].without(gaps=gaps[label], skipped=torn[i]) for i in mine}
            incomplete[label] = np.zeros_like(incomplete[label])
    lent = {label: _lent(config, label, gaps) for label in config.labels}
    return Presence(tuple(kept.values()), lent, incomplete, {label: n for label, n in gappy.items() if n})


def _missing(config: DataConfig, label: str) -> tuple[str, ...]:
    return next(source.missing for source in config.sources if source.label == label)


def _shares(parts: Sequence[Gathered]) -> Array:
    """(channel, cell) share of the training instants that have a value."""
    count = sum(int(np.count_nonzero(~part.source.held_out(part.all_times))) for part in parts)
    total = sum(block.present.astype(np.int64) for part in parts for block in part.held)
    if not count:
        raise ValueError("there is no instant to train on: look at start, end and validation_start of the sources")
    return np.asarray(total / count)


def _lacks(part: Gathered, gaps: Array, lacking: Sequence[int]) -> bool:
    """Whether instants must be looked at again: some lack more cells or fewer than the gaps."""
    others = np.delete(np.arange(len(gaps)), list(lacking))
    return any((block.absent[:, others] != gaps[others].sum(1)).any() for block in part.held)


def _holes(values: Array, part: Gathered, lacking: Sequence[int]) -> Array:
    """(n, channel, cell) bool where values are missing that should be there."""
    holes = np.isnan(values)
    holes[:, list(lacking)] = False
    if part.gaps is not None:
        holes &= ~part.gaps
    return holes


def _torn(part: Gathered, lacking: Sequence[int], progress: bool) -> Array:
    """(n,) bool which instants lack values beside the gaps."""
    return np.concatenate([_holes(values, part, lacking).any((1, 2)) for _, values in part.blocks("look at", progress)])


def _refusal(
    label: str, parts: Sequence[Gathered], torn: Sequence[Array], config: DataConfig, lacking: Sequence[int]
) -> str:
    for part, which in zip(parts, torn, strict=True):
        starts = np.cumsum([0, *(len(block.times) for block in part.held)])
        for place in np.flatnonzero(which)[:1].tolist():
            number = int(np.searchsorted(starts, place, side="right")) - 1
            block = part.held[number]
            values = np.concatenate([found for _, found in part.of_block(number)])[[place - starts[number]]]
            c = int(np.argmax(_holes(values, part, lacking)[0].any(1)))
            return (
                f"source {label!r}: {block.address} lacks values of {config.channels[c]} at "
                f"{block.times[place - starts[number]]}, as {int(sum(map(np.count_nonzero, torn)))} instants do: give "
                "gaps: mask or gaps: skip, or mend them"
            )
    raise AssertionError("no instant lacks values")


def _lent(config: DataConfig, label: str, gaps: Mapping[str, Array]) -> Array:
    """The gaps of a label, and of the channels that it lacks those of the label that lends them."""
    missing = _missing(config, label)
    donor = config.donor(label)
    if donor is None:
        return gaps[label]
    lacking = np.array([name in missing for name in config.channels])
    return np.where(lacking[:, None], gaps[donor], gaps[label])
