"""The response of a model's climate to its sea and its forcings, by regression over all of its runs.

The mean is linear in the predictors with a harmonic of the year (ridge regression, Hoerl and Kennard 1970), the spread
log-linear. Standard errors count months as what is independent (Liang and Zeger 1986), since hours are not. What no run
can tell is refused: a forcing that stays, or that rises and falls with the sea in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.climate_response import Response, projected
from xr_cbottle.bottle.climatology import departure
from xr_cbottle.bottle.harmonics import Fit
from xr_cbottle.training.gathered import Gathered

Array = npt.NDArray[Any]
MOST_SHARED = 0.5
"""Share of a forcing's variance that the sea and the season may explain: a correlation of 0.7."""
LEAST_OWN = 0.05
"""Least deviation of a forcing that they do not explain, over the range that it has in all runs."""
_FLOOR = 1e-3
"""Least variance of a season, over the mean of all: there may be none in some, as of sunshine in polar night."""


@dataclass(frozen=True)
class ResponseSettings:
    """Settings of a response: what a climatology moves with.

    Attributes
    ----------
    modes
        Patterns of the sea.
    forcings
        Names of the forcings.
    harmonics
        Of the year, in the response of the mean.
    ridge
        See `xr_cbottle.bottle.harmonics.Fit`.
    """

    modes: tuple[str, ...] = ()
    forcings: tuple[str, ...] = ()
    harmonics: int = 1
    ridge: float = 5.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the predictors."""
        return self.modes + self.forcings


@dataclass(frozen=True, eq=False)
class Predicting:
    """How the predictors of instants are found.

    Attributes
    ----------
    mean_year
        (annual, cell) harmonics of the sea surface temperature.
    patterns
        (mode, cell) weights.
    """

    mean_year: Array
    patterns: Array

    def __call__(self, part: Gathered, times: Array) -> Array:
        """(n, predictor) of instants of a run."""
        assert part.climate is not None
        anomaly = departure(part.climate.sst.at(times), times, self.mean_year)
        return np.concatenate([projected(anomaly, self.patterns), part.climate.told(times)], 1)


@dataclass(frozen=True, eq=False)
class Borrowed:
    """The response of labels that have too few runs to tell their own: that of others of a climatology.

    Attributes
    ----------
    response, scale
        Of the climatology, and what its response is in units of.
    predicting
        How its predictors are found.
    lenders
        {label: number of the label whose response it is given}.
    """

    response: Response
    scale: Array
    predicting: Predicting
    lenders: Mapping[str, int]

    def change(self, part: Gathered, times: Array) -> tuple[Array, Array]:
        """Change of mean and factor of the spread at (n,) times of a run: two of (n, channel, cell)."""
        numbers = self.predicting(part, times)
        added, factor = self.response.change(self.lenders[part.source.label], times, numbers)
        return self.scale[:, None] * added, factor


@dataclass(frozen=True, eq=False)
class Responses:
    """Responses that were found for one label.

    Attributes
    ----------
    mean : (predictor, season, \\*shape)
    error : (predictor, \\*shape)
    spread : (predictor, \\*shape)
    """

    mean: Array
    error: Array
    spread: Array


def check_identifiable(fit: Fit, settings: ResponseSettings, ranges: Array, label: str) -> None:
    """Refuse forcings whose response the runs of a label cannot tell from that of all else.

    Parameters
    ----------
    fit
        Of the mean, with all instants of the label.
    settings
        Names of the predictors.
    ranges
        (predictor, 2) smallest and largest value in the runs of all labels.
    label
        Name of the label.

    Raises
    ------
    ValueError
        With what is wrong, and what to do.
    """
    for i in range(len(settings.modes), len(settings.names)):
        name, (own, shared) = settings.names[i], _variances(fit, i)
        width = float(ranges[i, 1] - ranges[i, 0])
        if shared > MOST_SHARED:
            raise ValueError(
                f"source {label!r}: {name} rises and falls with the sea in its runs (correlation {shared**0.5:.2f}), "
                "so that nobody can tell what each of them does: add a run in which they differ, or take it out of "
                "forcings"
            )
        if own**0.5 <= LEAST_OWN * width:
            raise ValueError(
                f"source {label!r}: {name} hardly differs between its runs ({own**0.5:.2g} of a range of {width:.2g}), "
                "so that nobody can tell what it does: add a run with another, or take it out of forcings"
            )


def _variances(fit: Fit, i: int) -> tuple[float, float]:
    """Variance of predictor i that seasons and the other predictors do not explain, and the share that they do."""
    step = 2 * fit.seasons + 1
    constants = fit.harmonics + step * np.arange(fit.predictors)
    others = np.concatenate([np.arange(fit.harmonics), np.delete(constants, i)])
    own, square = constants[i], fit.square
    total = square[own, own] / fit.count - (square[0, own] / fit.count) ** 2
    explained = square[own, others] @ np.linalg.pinv(square[np.ix_(others, others)], hermitian=True, rcond=1e-10)
    left = max((square[own, own] - explained @ square[others, own]) / fit.count, 0.0)
    return left, (1 - left / total if total > 1e-12 else 0.0)


class Residuals:
    """Differences of the instants of a label from its mean: errors of the response, and how the spread moves.

    Parameters
    ----------
    fit, found
        Of the mean, and its coefficients.
    """

    def __init__(self, fit: Fit, found: Array) -> None:
        self.fit, self.found = fit, found
        step = 2 * fit.seasons + 1
        constants = fit.harmonics + step * np.arange(fit.predictors)
        self._gains = fit.inverse[:, constants]
        self._square = np.zeros((fit.predictors, found.shape[1]))
        self._sum = np.zeros_like(self._square)
        self._months = 0
        self._month: object = None
        self._seasons: dict[tuple[int, int], list[Any]] = {}

    def add(self, run: int, times: Array, values: Array, predictors: Array) -> None:
        """Take in (n,) times of a run, (n, \\*shape) values and (n, predictor) numbers."""
        rows = self.fit.rows(times, predictors)
        left = np.asarray(values, np.float64).reshape(len(values), -1) - rows @ self.found
        weights = rows @ self._gains
        months = times.astype("datetime64[M]").astype(np.int64)
        for part in np.split(np.arange(len(times)), np.flatnonzero(np.diff(months)) + 1):
            month = int(months[part[0]])
            if (run, month) != self._month:
                self._close()
                self._month = run, month
            self._sum += weights[part].T @ left[part]
            season = self._seasons.setdefault((run, (month + 1) // 3), [0, 0.0, 0.0])
            season[0] += len(part)
            season[1] += np.square(left[part]).sum(0)
            season[2] += predictors[part].sum(0)

    def _close(self) -> None:
        if self._month is not None:
            self._square += self._sum**2
            self._sum[:] = 0
            self._months += 1

    def errors(self) -> Array:
        """Standard errors of the response's mean of the year, (predictor, x); months are independent."""
        self._close()
        self._month = None
        return np.sqrt(self._square * self._months / max(self._months - 1, 1))

    def spread(self) -> Array:
        """Logarithm of the deviation that one unit of each predictor adds, (predictor, channel, cell)."""
        count = np.array([season[0] for season in self._seasons.values()], np.float64)
        power = np.stack([season[1] / season[0] for season in self._seasons.values()])
        numbers = np.stack([season[2] / season[0] for season in self._seasons.values()])
        quarters = np.array([key[1] % 4 for key in self._seasons])
        by_channel = power.reshape(len(power), *self.fit.shape)
        return np.stack(
            [half_logarithm(by_channel[:, c], numbers, quarters, count) for c in range(self.fit.shape[0])], 1
        )


def half_logarithm(power: Array, numbers: Array, quarters: Array, count: Array) -> Array:
    """Half of what one unit of each predictor adds to the logarithm of a variance.

    Cells are noisy: they keep of their difference from the mean over all what is not noise (James and Stein 1961).

    Parameters
    ----------
    power
        (season, x) variances of some seasons.
    numbers
        (season, predictor).
    quarters
        (season,) which season of the year, 0 to 3.
    count
        (season,) instants.

    Returns
    -------
    (predictor, x)
    """
    if np.isnan(power).all():  # a channel that is not there
        return np.full((numbers.shape[1], power.shape[1]), np.nan)
    there = np.unique(quarters)
    design = np.concatenate([(quarters[:, None] == there).astype(np.float64), numbers], 1)
    if len(design) < design.shape[1] + 2:  # too few to say anything of it
        return np.zeros((numbers.shape[1], power.shape[1]))
    known = np.log(power + _FLOOR * power.mean(0) + 1e-300)
    weight = count / count.mean()
    inverse = np.linalg.pinv(design.T @ (weight[:, None] * design), hermitian=True, rcond=1e-10)
    found = inverse @ (design.T @ (weight[:, None] * known))
    left = (weight[:, None] * (known - design @ found) ** 2).sum(0) / (len(design) - design.shape[1])
    raw, noise = found[len(there) :], np.diag(inverse)[len(there) :] * np.nanmean(left)
    mean = np.nanmean(raw, 1, keepdims=True)
    signal = 1 - noise[:, None] / np.maximum(np.nanmean((raw - mean) ** 2, 1, keepdims=True), 1e-300)
    return (mean + np.clip(signal, 0, 1) * (raw - mean)) / 2


def fit_label(
    parts: Sequence[Gathered],
    fit: Fit,
    predicting: Predicting,
    quantity: Callable[[Array], Array],
    significance: float,
    *,
    progress: bool,
) -> tuple[Array, Responses, Callable[[Array, Array], Array]]:
    """Fit the mean of a label, and how mean and spread move.

    Parameters
    ----------
    parts
        Runs of the label.
    fit
        With the instants of all of them.
    predicting
        Finds predictors.
    quantity
        From values to what is fitted.
    significance
        See `Fit.coefficients`.
    progress
        Show a bar.

    Returns
    -------
    Harmonics of the mean (2 annual + 1, 2 diurnal + 1, \\*shape); the responses; and a function from (n,) times and
    (n, predictor) numbers to (n, \\*shape) means.
    """
    found = fit.coefficients(significance)
    residuals = Residuals(fit, found)
    for number, part in enumerate(parts):
        for times, values in part.training("response of", progress):
            residuals.add(number, times, quantity(values), predicting(part, times))
    shape, seasons = fit.shape, 2 * fit.seasons + 1
    responses = Responses(
        found[fit.harmonics :].reshape(fit.predictors, seasons, *shape),
        residuals.errors().reshape(fit.predictors, *shape),
        residuals.spread(),
    )
    harmonics = found[: fit.harmonics].reshape(2 * fit.annual + 1, 2 * fit.diurnal + 1, *shape)
    return harmonics, responses, lambda times, numbers: (fit.rows(times, numbers) @ found).reshape(-1, *shape)


def ranges_of(parts: Sequence[Gathered], predicting: Predicting) -> Array:
    """(predictor, 2) smallest and largest predictors over the training instants of some runs."""
    found = [(numbers.min(0), numbers.max(0)) for numbers in _all(parts, predicting)]
    lows, highs = zip(*found, strict=True)
    return np.stack([np.min(lows, 0), np.max(highs, 0)], 1)


def _all(parts: Sequence[Gathered], predicting: Predicting) -> Iterator[Array]:
    for part in parts:
        times = part.times[~part.source.held_out(part.times)]
        for first in range(0, len(times), 512):
            yield predicting(part, times[first : first + 512])
