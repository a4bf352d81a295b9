"""Stricter bounds: a target that twice the error of the simulation itself would meet is no test.

The targets were set before anybody knew how far a simulation is from itself in so many instants. Each bound is moved
towards what is right until something of half the quality fails it: to `TIMES_NOISE` times the noise floor, though not
nearer than `TIMES_ERROR` times the sampling error, within which nobody can tell. A bound that is stricter stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from xr_cbottle.evaluation.row import Row

TIMES_NOISE = {True: 2.0, False: 1.5}
"""Noise floors that a bound is away from what is right, of figures with two bounds, and of those with one.

The latter (errors, likenesses) have noise on one side only, and what is right is a little less than a noise floor away:
a reference has more instants than the samples that are held against each other.
"""
TIMES_ERROR = 2.0
LEAST = 0.05
"""Share of the old bound that is left: of two samples that agree by chance nothing more is known."""
FIXED = {"d.sun": 0.5, "l": 1.0, "m": 1.0, "n": 1.0}
"""Shares of the bounds that are left of figures that are held against what is right itself, or that were set so."""
_WITH_OLD = frozenset("abcdefg")
_NEW = ("f.nino34_amplitude",)
"""Targets of the letters above that came with the stricter bounds."""


def stricter(rows: Iterable[Row]) -> list[Row]:
    """Rows with stricter bounds, the old ones beside them."""
    return [one if one.reason else _stricter(one) for one in rows]


def was_there(row: Row) -> bool:
    """Whether the target is one of those that were there before bounds were made stricter."""
    return row.target in _WITH_OLD and not row.key.startswith(_NEW)


def _stricter(row: Row) -> Row:
    lower, upper = row.lower, row.upper
    bound = upper if lower is None else lower
    if bound is None:
        return row
    middle, old = row.middle, abs(bound - row.middle)
    within = min(old, max(_noise(row), LEAST * old))
    fixed = FIXED.get(".".join(row.key.split(".")[:2]), FIXED.get(row.target))
    if fixed is not None:
        within = fixed * old
    elif row.noise_floor is None:  # nothing is known of the noise
        within = old
    return dataclasses.replace(
        row,
        lower=None if lower is None else middle - within,
        upper=None if upper is None else middle + within,
        old_lower=lower if was_there(row) else None,
        old_upper=upper if was_there(row) else None,
    )


def _noise(row: Row) -> float:
    two_sided = row.lower is not None and row.upper is not None
    floor = 0.0 if row.noise_floor is None else abs(row.noise_floor - row.middle)
    return max(TIMES_NOISE[two_sided] * floor, TIMES_ERROR * (row.sampling_error or 0.0))
