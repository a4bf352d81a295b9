"""The response of mean and spread to a climate that changes: linear in numbers that say how far it has changed.

The numbers, *predictors*, are anomalies of the sea surface temperature that drives a draw, projected onto patterns (its
global mean, Nino 3.4), and forcings that the sea does not tell of, such as log2 of carbon dioxide. Of a bottle with a
response the climatology moves with them::

    mean(time, cell)   = harmonics + sum_k response_k(season, cell) f_k(time)
    spread(time, cell) = spread * exp(sum_k spread_k(cell) f_k(time))

"Mean by regression, weather by diffusion": the network draws anomalies of unit size from it in any climate, and beyond
the climates that were learnt the mean goes on along a straight line. `xr_cbottle.training.regression` finds them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.harmonics import basis, combined, responses

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.floating[Any]]
GLOBAL = "global"
"""Name of the mode that is the mean over all of the sea."""
_MOST = math.log(4.0)
"""Bound of the logarithm of what the spread is multiplied by: far outside of what was learnt, exponentials run away."""
_DIMS = {
    "response": ("label", "predictor", "channel", "season", "cell"),
    "response_error": ("label", "predictor", "channel", "cell"),
    "response_spread": ("label", "predictor", "channel", "cell"),
    "patterns": ("mode", "cell"),
    "learnt": ("predictor", "bound"),
}
STEPS = {"response": 2.0**-9, "response_error": 2.0**-9, "response_spread": 2.0**-9}
"""Steps in which a file keeps them, over the scale of a channel and 1."""


@dataclass(frozen=True, eq=False)
class Response:
    """Response of the mean and the spread of the channels to one unit of each predictor.

    Attributes
    ----------
    modes
        Names of the patterns of the sea.
    forcings
        Names of the forcings, as the manifest has them. The predictors are the modes, then these.
    patterns : (mode, cell NEST) float32
        Weights of the anomaly of the sea surface temperature; 0 over land.
    learnt : (predictor, 2) float64
        Smallest and largest value in what was learnt: K, or doublings.
    mean : (label, predictor, channel, season, cell NEST) float32
        Coefficients of harmonics of the year, over the ``scale`` of the climatology.
    error : (label, predictor, channel, cell NEST) float32
        Standard error of the mean of the year of ``mean``.
    spread : (label, predictor, channel, cell NEST) float32
        Of the logarithm of the spread.
    """

    modes: tuple[str, ...]
    forcings: tuple[str, ...]
    patterns: Floats
    learnt: Floats
    mean: Floats
    error: Floats
    spread: Floats

    def __post_init__(self) -> None:
        count = len(self.predictors)
        shape = self.mean.shape if self.mean.ndim == 5 else (0,) * 5
        flat = (shape[0], count, shape[2], shape[4])
        wrong = (
            self.mean.ndim != 5
            or shape[1] != count
            or shape[3] % 2 == 0
            or self.error.shape != flat
            or self.spread.shape != flat
            or self.patterns.shape != (len(self.modes), flat[3])
            or self.learnt.shape != (count, 2)
            or not count
            or len(set(self.predictors)) != count
        )
        if wrong:
            raise ValueError(
                "a response needs response of (label, predictor, channel, season, cell) with an odd number of seasons, "
                "response_error and response_spread of the same without seasons, patterns of (mode, cell) and learnt "
                "of (predictor, 2), and different names of one predictor or more"
            )
        parts = (self.mean, self.error, self.spread, self.patterns, self.learnt)
        if not all(np.isfinite(part).all() for part in parts) or (self.learnt[:, 0] > self.learnt[:, 1]).any():
            raise ValueError("a response's values must be finite, and learnt from the lower to the higher")

    @property
    def predictors(self) -> tuple[str, ...]:
        """Names of the predictors: the modes, then the forcings."""
        return self.modes + self.forcings

    @property
    def seasons(self) -> int:
        """Highest harmonic of the year in ``mean``."""
        return int(self.mean.shape[3] // 2)

    def values(self, anomaly: Floats, told: Floats) -> Floats:
        """Predictors of some instants.

        Parameters
        ----------
        anomaly
            (n, cell NEST) of the sea surface temperature from its mean year, K; NaN over land.
        told
            (n, forcing) of the forcings, as `xr_cbottle.bottle.records.ForcingSpec.predictor` gives them.

        Returns
        -------
        (n, predictor) float64
        """
        return np.concatenate([projected(anomaly, self.patterns), np.asarray(told, np.float64)], 1)

    def change(self, label: int, times: npt.ArrayLike, predictors: Floats) -> tuple[Floats, Floats]:
        """Change of mean and spread: what is added to the one, and what the other is multiplied by.

        Parameters
        ----------
        label
            Number of the label.
        times
            (n,) datetime64.
        predictors
            (n, predictor), see `values`.

        Returns
        -------
        Two of (n, channel, cell NEST) float32.
        """
        _, count, channels, seasons, cells = self.mean.shape
        rows = responses(times, predictors, self.seasons).astype(np.float32)
        columns = self.mean[label].transpose(0, 2, 1, 3).reshape(count * seasons, -1)
        logarithm = combined(np.asarray(predictors, np.float32), self.spread[label].reshape(count, -1))
        factor = np.exp(np.clip(logarithm, -_MOST, _MOST))
        shape = (len(rows), channels, cells)
        return combined(rows, columns).reshape(shape), factor.reshape(shape)

    def change_back(
        self, label: int, times: npt.ArrayLike, predictors: Floats, by_mean: Floats, by_logarithm: Floats
    ) -> npt.NDArray[np.float64]:
        """Carry gradients back through `change`.

        Parameters
        ----------
        label, times, predictors
            As there.
        by_mean, by_logarithm
            (n, channel, cell NEST) with respect to what is added to the mean, and to the logarithm of the factor.

        Returns
        -------
        (n, predictor) with respect to the predictors.
        """
        season = basis(times, self.seasons, 0)[:, :, 0]
        found = np.einsum("ncx,pcsx,ns->np", by_mean, self.mean[label], season, optimize=True)
        logarithm = np.einsum("np,pcx->ncx", predictors, self.spread[label], optimize=True)
        kept = np.where(np.abs(logarithm) < _MOST, by_logarithm, 0.0)
        return np.asarray(found + np.einsum("ncx,pcx->np", kept, self.spread[label], optimize=True))

    def values_back(self, anomaly: Floats, gradient: Floats) -> npt.NDArray[np.float64]:
        """Carry a gradient, (n, predictor), back through `values` to that with respect to the anomaly, (n, cell)."""
        have = ~np.isnan(anomaly)
        weights = self.patterns.astype(np.float64)
        present = have @ np.abs(weights).T
        stands_for = np.divide(np.abs(weights).sum(1), present, out=np.zeros_like(present), where=present > 0)
        return np.asarray(((gradient[:, : len(self.modes)] * stands_for) @ weights) * have)

    def excess_back(self, predictors: Floats, gradient: Floats) -> npt.NDArray[np.float64]:
        """Carry a gradient, (n,), back through `excess` to that with respect to the predictors, (n, predictor)."""
        out = np.zeros(predictors.shape)
        if GLOBAL in self.modes:
            out[:, self.modes.index(GLOBAL)] = np.where(self.excess(predictors) != 0, gradient, 0.0)
        return out

    def excess(self, predictors: Floats) -> Floats:
        """How far the global mean of the sea is outside of what was learnt, (n,) K: 0 inside, and without that mode."""
        if GLOBAL not in self.modes:
            return np.zeros(len(predictors))
        k = self.modes.index(GLOBAL)
        return np.asarray(predictors[:, k] - np.clip(predictors[:, k], *self.learnt[k]))

    def to_variables(self) -> dict[str, tuple[tuple[str, ...], Any, dict[str, str]]]:
        """Variables of the file of a climatology."""
        about = {
            "response": (self.mean, "harmonics of what one unit of a predictor adds to the mean, over scale"),
            "response_error": (self.error, "standard error of the response's mean of the year, over scale"),
            "response_spread": (self.spread, "what one unit of a predictor adds to the logarithm of the spread"),
            "patterns": (self.patterns, "weights of the anomaly of the sea surface temperature"),
            "learnt": (self.learnt, "smallest and largest value of a predictor that was learnt"),
        }
        found: dict[str, tuple[tuple[str, ...], Any, dict[str, str]]] = {
            name: (_DIMS[name], values, {"long_name": words, "units": "1"}) for name, (values, words) in about.items()
        }
        found["predictor"] = (("predictor",), np.array(self.predictors, object), {"long_name": "predictor"})
        if not self.modes:
            del found["patterns"]
            return found
        found["mode"] = (("mode",), np.array(self.modes, object), {"long_name": "pattern of the sea"})
        return found

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Response | None:
        """Read what `to_variables` gives; None if a data set has none of it.

        Raises
        ------
        KeyError, ValueError
            If a variable is missing, or has another shape.
        """
        if "response" not in dataset:
            return None
        parts: dict[str, Any] = {
            name: dataset[name].transpose(*dims).values.astype(np.float64 if name == "learnt" else np.float32)
            for name, dims in _DIMS.items()
            if name != "patterns"
        }
        modes, patterns = sea_patterns(dataset)
        names = tuple(map(str, dataset["predictor"].values))
        if names[: len(modes)] != modes:
            raise ValueError("the predictors must begin with the modes")
        return cls(
            modes, names[len(modes) :], patterns, parts["learnt"], parts["response"], parts["response_error"],
            parts["response_spread"],
        )  # fmt: skip


def sea_patterns(dataset: xr.Dataset) -> tuple[tuple[str, ...], Floats]:
    """Names of the patterns of the sea in the file of a climatology, and (mode, cell NEST) float32 weights."""
    if "mode" not in dataset:
        return (), np.zeros((0, dataset.sizes["cell"]), np.float32)
    weights = dataset["patterns"].transpose(*_DIMS["patterns"]).values.astype(np.float32)
    return tuple(map(str, dataset["mode"].values)), weights


def projected(anomaly: Floats, patterns: Floats) -> Floats:
    """Anomalies of the sea projected onto patterns.

    Where an anomaly has no value though a pattern has a weight, as of somebody's own sea, the others stand for it.

    Parameters
    ----------
    anomaly
        (n, cell) K, NaN over land.
    patterns
        (mode, cell) weights.

    Returns
    -------
    (n, mode) float64
    """
    weights = patterns.astype(np.float64)
    whole = np.abs(weights).sum(1)
    out = np.empty((len(anomaly), len(weights)))
    for row, field in zip(out, np.asarray(anomaly, np.float64), strict=True):  # one by one, so that none depends on n
        have = ~np.isnan(field)
        present = (np.abs(weights) * have).sum(1)
        sums = (weights * np.where(have, field, 0.0)).sum(1)
        row[:] = sums * np.divide(whole, present, out=np.zeros_like(whole), where=present > 0)
    return out


# Patterns -----------------------------------------------------------------------------------------------------------

BOXES: Mapping[str, tuple[float, float, float, float]] = {
    "nino34": (190.0, 240.0, -5.0, 5.0),
    "nino3": (210.0, 270.0, -5.0, 5.0),
    "nino4": (160.0, 210.0, -5.0, 5.0),
    "tropics": (0.0, 360.0, -30.0, 30.0),
    "north": (0.0, 360.0, 30.0, 90.0),
    "south": (0.0, 360.0, -90.0, -30.0),
    "indian": (40.0, 110.0, -20.0, 20.0),
    "atlantic": (290.0, 380.0, -20.0, 20.0),
}
"""Boxes of the sea, west, east, south, north: their mode is their mean less that of all of the sea."""
MODES = (GLOBAL, *BOXES)
"""Names of the modes that there are."""


def pattern(mode: str, lon: Floats, lat: Floats, land: npt.NDArray[np.bool_]) -> Floats:
    """Weights of a mode.

    Parameters
    ----------
    mode
        One of `MODES`.
    lon, lat
        (cell,) degrees.
    land
        (cell,) where there is no sea.

    Returns
    -------
    (cell,) float32: those of the global mean add up to 1, those of a box to 0.

    Raises
    ------
    ValueError
        If there is no such mode, or none of its sea.
    """
    sea = ~land
    everywhere = sea / max(sea.sum(), 1)
    if mode == GLOBAL:
        box = sea
    elif mode in BOXES:
        west, east, south, north = BOXES[mode]
        box = sea & ((lon - west) % 360 <= east - west) & (lat >= south) & (lat <= north)
    else:
        raise ValueError(f"sst_modes has {mode!r}: choose among {', '.join(MODES)}")
    if not box.any():
        raise ValueError(f"sst_modes has {mode!r}, of which there is no sea in cells of this size: leave it out")
    weights = box / box.sum()
    return np.asarray(weights if mode == GLOBAL else weights - everywhere, np.float32)
