"""Fields that are never negative: cut at 0 with their global mean kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


def without_negatives(values: Floats, known: Mask | None = None) -> Floats:
    """Set values below 0 to 0, and scale those above such that the mean over the cells stays what it was.

    Without the second the clipped noise of dry places would be rain: a tenth of all of it.

    Parameters
    ----------
    values
        (..., cell).
    known
        (..., cell) which cells count in the mean; all if None.
    """
    kept = np.maximum(values, 0)
    if known is None or known.all():
        before, after = (np.maximum(field.mean(-1, keepdims=True), 0) for field in (values, kept))
    else:
        before, after = (np.maximum(mean_of(field, known), 0) for field in (values, kept))
    return np.asarray(kept * np.divide(before, after, out=np.ones_like(after), where=after > 0))


def mean_of(values: Floats, known: Mask) -> Floats:
    """Means over the cells (..., 1) that are known, which broadcasts with (..., cell); 0 where none is."""
    counted = np.broadcast_to(known, values.shape)
    count = counted.sum(-1, keepdims=True)
    return np.asarray(np.where(counted, values, 0.0).sum(-1, keepdims=True) / np.maximum(count, 1))
