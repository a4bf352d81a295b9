"""Screening of values as they are read: fill values that a file does not declare, and numbers that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FILL = 1e30
"""Magnitude from which a number is a fill value: netCDF's own is 9.97e36, others are 1e30 and more."""
FAR = 5.0
"""A value that is there more than once is a fill value if it lies so many ranges of all others away from them."""


def check_block(values: Array, channels: Sequence[str], times: Array, where: str) -> tuple[Array, Array]:
    """Refuse what is no number of a field.

    Parameters
    ----------
    values
        (n, channel, cell). NaN where there is no value.
    channels
        Their names.
    times
        (n,) datetime64.
    where
        The source and the file, at the beginning of messages.

    Returns
    -------
    Two of (channel,) float64
        Least and largest value; NaN where there is none.

    Raises
    ------
    ValueError
        With channel, value and time.
    """
    low = np.array([np.fmin.reduce(values[:, c], axis=None) for c in range(len(channels))], np.float64)
    high = np.array([np.fmax.reduce(values[:, c], axis=None) for c in range(len(channels))], np.float64)
    for c, name in enumerate(channels):
        for value in (low[c], high[c]):
            if np.isnan(value):
                continue
            field = values[:, c]
            if not abs(value) < FILL or _is_far(field, value):
                place = int(np.argmax((field == np.float32(value)).any(-1)))
                raise ValueError(
                    f"{where}: {name} is {value:g} at {times[place]}, which looks like a fill value that the file does "
                    "not declare: set its attribute _FillValue, or make it NaN"
                )
    return low, high


def _is_far(field: Array, value: float) -> bool:
    """Whether a least or largest value is there more than once, far from all others."""
    same = field == np.float32(value)
    if np.count_nonzero(same) < 2:
        return False
    low = np.fmin.reduce(np.where(same, np.nan, field), axis=None)
    high = np.fmax.reduce(np.where(same, np.nan, field), axis=None)
    width = float(high) - float(low)
    return width > 0 and min(abs(value - float(low)), abs(value - float(high))) > FAR * width
