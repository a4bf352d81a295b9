"""Sampling errors: the figures of means over instants, again for instants drawn with replacement.

What is compared are functions of sums over instants. All copies of a mean are then one matrix product, which for maps
is a hundred times cheaper than selecting the instants of each copy (`xr_cbottle.diagnostics.bootstrap`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.uncertainty import resample

#: Neighbouring instants of a stored series are no independent draws.
STORED_BLOCK = 5
#: Instants were spread over the year on purpose: the seasons are no sampling error.
WINDOW = 30.0


@dataclass(frozen=True)
class Copies:
    """Resampled copies of a record: how often each instant is in each.

    Attributes
    ----------
    counts
        (copy, time) of integers, as floats; rows add up to about the number of instants.
    """

    counts: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls, times: npt.NDArray[np.datetime64], copies: int, seed: int, block: int = 1, window: float | None = WINDOW
    ) -> Copies:
        """Draw instants again, in blocks of neighbours, each from within some days of its time of the year."""
        rng = np.random.default_rng(seed)
        chosen = [resample(times, min(block, len(times)), rng, window) for _ in range(copies)]
        return cls(np.stack([np.bincount(one, minlength=len(times)) for one in chosen]).astype(np.float64))

    def mean(self, field: xr.DataArray, season: npt.NDArray[np.bool_] | None = None) -> xr.DataArray:
        """(time, ...) -> (copy, ...) means, over a season if (time,) says which instants are in it.

        A copy without an instant in the season is NaN.
        """
        weights = self.counts if season is None else self.counts * season
        with np.errstate(invalid="ignore", divide="ignore"):
            weights = weights / weights.sum(1, keepdims=True)
        dims = ("copy", *(str(dim) for dim in field.dims[1:]))
        values = np.asarray(field.values, np.float64)
        means = (weights @ values.reshape(len(values), -1)).reshape(len(weights), *values.shape[1:])
        coords = {name: field.coords[name] for name in field.dims[1:] if name in field.coords}
        return xr.DataArray(means, coords, dims, field.name, field.attrs)

    def standard_deviation(self, field: xr.DataArray) -> xr.DataArray:
        """(time, ...) -> (copy, ...) standard deviations over time."""
        centred = field.astype(np.float64) - field.mean("time", dtype=np.float64)
        variance = self.mean(centred**2) - self.mean(centred) ** 2
        n = field.sizes["time"]
        return (variance.clip(0) * n / max(n - 1, 1)) ** 0.5


def error(copies: xr.DataArray | npt.NDArray[np.float64]) -> float:
    """Standard deviation of a figure over its copies, those without a value left out."""
    values = np.asarray(copies, np.float64).ravel()
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
