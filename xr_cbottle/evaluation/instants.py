"""Choice of instants of a record: evenly over the record, every hour of the day as often as any other."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.datetime64]
Indices = npt.NDArray[np.int64]

_GOLDEN = (3 - math.sqrt(5)) / 2


def choose(times: Times, count: int) -> Indices:
    """Positions of ``count`` times of a record, ascending.

    A fixed stride would visit one hour of the day only, or, coprime to the day, allow few counts. Instead the
    hours of the day that the record has take turns, in steps of about the golden section of the day, and each
    takes the time of its hour that lies nearest to an even division of the record.

    Parameters
    ----------
    times
        (time,) of the record, ascending; steps may be uneven and years may be missing.
    count
        How many; all of them if there are not more.

    Returns
    -------
    (count,) positions, each once.
    """
    total = len(times)
    if count >= total:
        return np.arange(total)
    marks = (np.arange(count) + 0.5) * total / count - 0.5
    clock = (times - times.astype("datetime64[D]")).astype("timedelta64[s]")
    hours, hour = np.unique(clock, return_inverse=True)
    if len(hours) > count:  # times with no order in the day: they visit its hours by themselves
        return np.unique(np.round(marks).astype(np.int64))
    turn = np.arange(count) * _coprime(len(hours)) % len(hours)
    free = np.ones(total, bool)
    for mark, wanted in zip(marks, turn, strict=True):
        left = np.flatnonzero(free & (hour == wanted))
        left = left if left.size else np.flatnonzero(free)
        free[left[np.abs(left - mark).argmin()]] = False
    return np.flatnonzero(~free)


def halves(times: Times, days: int = 10) -> tuple[Indices, Indices]:
    """Positions of a record's two halves, blocks of days by turns."""
    block = (times.astype("datetime64[D]").astype(np.int64) // days) % 2
    return np.flatnonzero(block == 0), np.flatnonzero(block == 1)


def years(times: Times, like: Times, most: int) -> list[Indices]:
    """Positions of up to ``most`` stretches of a record, each as long in calendar years as another record.

    Those nearest in time to the other come first: the climate of the two should differ least.
    """
    calendar = times.astype("datetime64[Y]").astype(np.int64)
    length = len(np.unique(like.astype("datetime64[Y]")))
    there = np.unique(calendar)
    middle = float(np.mean(like.astype("datetime64[Y]").astype(np.int64)))
    stretches = [there[i : i + length] for i in range(len(there) % length, len(there), length)]
    stretches.sort(key=lambda stretch: abs(float(stretch.mean()) - middle))
    return [np.flatnonzero(np.isin(calendar, stretch)) for stretch in stretches[:most]]


def months(times: Times) -> int:
    """Number of calendar months that a record touches."""
    return len(np.unique(times.astype("datetime64[M]")))


def _coprime(hours: int) -> int:
    """The step nearest to the golden section of some hours that visits all of them."""
    return min(
        (step for step in range(1, hours + 1) if math.gcd(step, hours) == 1),
        key=lambda step: abs(step - _GOLDEN * hours),
    )
