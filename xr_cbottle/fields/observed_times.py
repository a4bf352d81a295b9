"""Observations as they are assimilated: those about each time of an analysis, with the background of that time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields.observations import Observations

if TYPE_CHECKING:
    from xr_cbottle.fields.coarse_fields import CoarseField, Given

MOST = 4000
"""Observations of one time that are taken: their covariances are a matrix of so many rows."""


@dataclass(frozen=True, eq=False)
class ObservedTime:
    """Observations about one time, and its background.

    Attributes
    ----------
    observed
        The observations about it.
    background
        (channel, cell NEST) in the units of variables; None without one.
    """

    observed: Observations
    background: npt.NDArray[np.float32] | None

    def digest(self) -> str:
        """Digest of all of it."""
        whole = hashlib.sha256(self.observed.digest().encode())
        if self.background is not None:
            whole.update(np.ascontiguousarray(self.background, "<f4").tobytes())
        return whole.hexdigest()


@dataclass(frozen=True, eq=False)
class ObservedTimes:
    """Observations of a user, time by time; make it with `about`.

    Attributes
    ----------
    observations
        All of them.
    seconds
        (time,) of the analyses, since 1970.
    half
        Seconds before and after a time in which what was observed counts for it.
    background
        Fields of all these times; None without.
    changes
        In words: what was read.
    """

    observations: Observations
    seconds: npt.NDArray[np.int64]
    half: int
    background: Given | None
    changes: str

    has_time = True

    @property
    def found(self) -> tuple[CoarseField, ...]:
        """The fields of the background."""
        return () if self.background is None else self.background.found

    def at(self, positions: Sequence[int], as_variables: bool = False) -> list[ObservedTime]:
        """Observations about some times, with the background, which is read."""
        fields: Any = [None] * len(positions)
        if self.background is not None:
            places = {seconds: i for i, seconds in enumerate(self.background.seconds.tolist())}
            fields = self.background.at([places[int(self.seconds[i])] for i in positions], as_variables=True)
        return [
            ObservedTime(self._about(int(self.seconds[i])), field) for i, field in zip(positions, fields, strict=True)
        ]

    def _about(self, seconds: int) -> Observations:
        return self.observations.between(seconds - self.half, seconds + self.half)


def about(
    observations: Observations, seconds: npt.NDArray[np.int64] | None, half: int, background: Given | None
) -> ObservedTimes:
    """Choose the observations of some times; None is those of the background, or each at which something was observed.

    Raises
    ------
    ValueError
        If there is no observation about any of the times, too many about one, or the background is of others.
    """
    if seconds is None:
        seconds = np.unique(observations.seconds) if background is None else background.seconds
    elif background is not None and not np.isin(seconds, background.seconds).all():
        lacking = seconds[~np.isin(seconds, background.seconds)][0].astype("datetime64[s]")
        raise ValueError(f"the background has no field of {lacking}: give one of each time of the analysis")
    counts = np.array([len(observations.between(int(one) - half, int(one) + half)) for one in seconds])
    if not counts.any():
        first, last = observations.seconds[[0, -1]].astype("datetime64[s]")
        raise ValueError(
            f"nothing was observed within {half} s of the times of the analysis: the observations are of {first} to "
            f"{last}, give these times or a longer window"
        )
    if counts.max() > MOST:
        time = seconds[counts.argmax()].astype("datetime64[s]")
        raise ValueError(
            f"there are {counts.max()} observations about {time} and at most {MOST} are taken: average those "
            "of a cell, or thin them"
        )
    used = f"{counts.sum()} observations of {len(seconds)} times"
    changes = used if background is None else f"{used}; background on {background.changes}"
    return ObservedTimes(observations, seconds, half, background, changes)
