"""Normalisation of the channels: two numbers for each, or a climatology of each label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.climate_response import Response, pattern
from xr_cbottle.bottle.climatology import SMALLEST_SPREAD, Climatology, rooted
from xr_cbottle.bottle.harmonics import Fit, basis
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix
from xr_cbottle.training.gathered import Gathered
from xr_cbottle.training.regression import (
    Borrowed,
    Predicting,
    Responses,
    ResponseSettings,
    check_identifiable,
    fit_label,
    ranges_of,
)

Array = npt.NDArray[Any]
DAYS = 365.25
SIGNIFICANCE = 2.5  # standard errors, below which a diurnal harmonic is left out
SIGMA_DATA = 0.5  # as in diffusion.py, which would import torch: the deviation of what the network sees


@dataclass(frozen=True)
class Statistics:
    """Numbers that normalise the channels, and their mean year on the cells.

    Attributes
    ----------
    center, scale
        (channel,) float64. physical = normalised * scale + center.
    climatology
        (3, channel, cell) float32. Mean and the cosine and sine of the annual cycle, normalised, PAD_XY order.
    deviation
        (channel,) float64. Over cells and time; None where that is not known any more.
    """

    center: Array
    scale: Array
    climatology: Array
    deviation: Array | None = None


def measure(parts: Sequence[Gathered], scaling: str, *, progress: bool) -> Statistics:
    """Moments on every cell, over the training instants of all labels (cells of HEALPix have equal areas).

    Parameters
    ----------
    parts
        One for each label.
    scaling
        ``std`` or ``anomaly``, see `xr_cbottle.training.data_config.DataConfig.scale`.

    Raises
    ------
    ValueError
        If no label has a training instant of a channel.
    """
    channels, zoom = parts[0].channels, parts[0].zoom
    shape = (len(channels), healpix.n_cells(zoom))
    count = np.zeros(shape)
    square, annual = np.zeros(shape), np.zeros((3, *shape))
    shift = np.full((shape[0], 1), np.nan)  # about the first instant's mean, lest x^2 - mean^2 cancel
    for part in parts:
        for times, block in part.training("measure", progress):
            values = block.astype(np.float64)
            have = ~np.isnan(values)
            first = values[0].sum(-1, keepdims=True, where=have[0]) / np.maximum(have[0].sum(-1, keepdims=True), 1)
            shift = np.where(np.isnan(shift) & have[0].any(-1, keepdims=True), first, shift)
            anomaly = np.where(have, values - np.where(np.isnan(shift), 0, shift), 0)
            phase = 2 * np.pi * (times - times.astype("datetime64[Y]")) / np.timedelta64(86400, "s") / DAYS
            count += have.sum(0)
            square += np.einsum("tcx,tcx->cx", anomaly, anomaly)
            annual += np.einsum("kt,tcx->kcx", np.stack([np.ones(len(phase)), np.cos(phase), np.sin(phase)]), anomaly)
    _require(channels, np.asarray((count > 0).any(1)))
    with np.errstate(invalid="ignore"):
        mean, cosine, sine = annual / count
        variance = square / count - mean**2
    center = np.nanmean(mean, 1)
    total = np.sqrt(np.nanmean(variance, 1) + np.nanvar(mean, 1))
    in_time = np.sqrt(np.nanmean(variance, 1))
    scale = total if scaling == "std" else np.clip(2 * in_time, total / 2, total)
    _require_variation(channels, scale, shift[:, 0] + center)
    maps = np.nan_to_num(np.stack([mean - center[:, None], 2 * cosine, 2 * sine]) / scale[:, None])
    order = healpix.nest_to_padxy(zoom)
    return Statistics(center + np.nan_to_num(shift[:, 0]), scale, maps[..., order].astype(np.float32), total)


def measure_climatology(
    parts: Sequence[Gathered],
    annual: int,
    sst: SeaSurfaceTemperature,
    roots: Mapping[str, float] | None = None,
    response: ResponseSettings | None = None,
    *,
    incomplete: Mapping[str, Array] | None = None,
    borrowed: Borrowed | None = None,
    progress: bool,
) -> Climatology:
    """Harmonics of mean and variance of every label, over its training instants, and what they do where it changes.

    A channel that a label lacks has those of the first label that has it, under which it will be drawn.

    Parameters
    ----------
    parts
        One for each run of each label.
    annual
        Highest harmonic of the year, see `resolved`; that of the day is each source's.
    sst
        Whose mean year is taken over all its months.
    roots
        Of which root of a channel it is, where it is not of the channel itself.
    response
        What it moves with; None, or nothing of it: it stays.
    incomplete
        {label: (channel, cell) bool} where some instants lack a value.
    borrowed
        A response that is known, and taken out of the values, in place of one that is found.

    Raises
    ------
    ValueError
        If instants are too few, a channel never varies or is nowhere, or what a forcing does cannot be told.
    """
    channels, zoom = parts[0].channels, parts[0].zoom
    shape = (len(channels), healpix.n_cells(zoom))
    root = np.array([(roots or {}).get(name, 1.0) for name in channels])
    settings = response or ResponseSettings()
    mean_year = _mean_year(sst, annual)
    lon, lat = healpix.lonlat(zoom)
    patterns = np.stack([np.zeros(shape[1], np.float32), *(pattern(m, lon, lat, sst.land) for m in settings.modes)])[1:]
    predicting = Predicting(mean_year, patterns)
    by_label: dict[str, list[Gathered]] = {}
    for part in parts:
        by_label.setdefault(part.source.label, []).append(part)

    torn = {label: np.flatnonzero((incomplete or {}).get(label, False)) for label in by_label}
    if settings.names and any(map(len, torn.values())):
        raise ValueError(
            "some instants lack values, and sst_modes and forcings are found from whole ones: give gaps: skip"
        )
    highest = {
        label: resolved(np.concatenate([_trained(part) for part in runs]), annual) for label, runs in by_label.items()
    }

    def steady(part: Gathered, times: Array, values: Array) -> tuple[Array, Array | float]:
        """Roots of values as they would be if the climate stayed, but for their spread, and the factor of that."""
        if borrowed is None:
            return rooted(values, root), 1.0
        added, factor = borrowed.change(part, times)
        return rooted(values, root) - added, factor

    def fit(runs: Sequence[Gathered], what: str, quantity: Quantity, moving: bool = False, power: int = 0) -> Fit:
        label, diurnal = runs[0].source.label, runs[0].source.diurnal_harmonics
        count = len(settings.names) if moving else 0
        found = Fit(highest[label], diurnal, shape, count, settings.harmonics, settings.ridge, torn[label])
        for part in runs:
            for times, values in part.training(what, progress):
                numbers = predicting(part, times) if settings.names else np.zeros((len(times), 0))
                steadied, factor = steady(part, times, values)
                fitted = quantity(times, steadied, numbers)
                found.add(times, fitted if borrowed is None else fitted / factor**power, numbers)
        return found

    learnt = ranges_of(parts, predicting) if settings.names else np.zeros((0, 2))
    means, variances, responses = [], [], []
    for label, runs in by_label.items():
        of_mean = fit(runs, "mean of", lambda times, values, numbers: values, moving=True)
        if settings.names:
            check_identifiable(of_mean, settings, learnt, label)
            mean, found, at = fit_label(
                runs, of_mean, predicting, lambda values: rooted(values, root), SIGNIFICANCE, progress=progress
            )
            responses.append(found)
            variances.append(fit(runs, "variance of", _steadied(at, found.spread)).solve(SIGNIFICANCE))
        else:
            mean = of_mean.solve(SIGNIFICANCE)
            diurnal = runs[0].source.diurnal_harmonics
            about = _squared_about(mean, highest[label], diurnal)
            variances.append(fit(runs, "variance of", about, power=2).solve(SIGNIFICANCE))
        means.append(mean)
    mean, variance = (_joined(fits, parts, 2 * annual + 1) for fits in (means, variances))
    constant = np.maximum(variance[:, :, 0, 0], 0)
    center = np.nanmean(mean[:, :, 0, 0], (0, 2))
    scale = np.sqrt(np.nanmean(constant, (0, 2))) / SIGMA_DATA
    _require_variation(channels, scale, center)
    mean[:, :, 0, 0] -= center[:, None]
    gaps = np.isnan(constant)  # there the mean is that of all cells, so that nothing of it stands out
    mean, variance = (np.where(gaps[:, :, None, None], 0.0, part) for part in (mean, variance))
    constant = np.where(gaps, np.nanmean(constant, 2, keepdims=True), constant)
    spread = np.sqrt(constant) / SIGMA_DATA / scale[:, None]
    cycle = variance / np.maximum(constant, 1e-300)[:, :, None, None]
    cycle = np.where(spread[:, :, None, None] < SMALLEST_SPREAD, 0, np.clip(cycle, -30, 30))
    cycle[:, :, 0, 0] = 1
    return Climatology(
        tuple(by_label), channels, center, scale, (mean / scale[:, None, None, None]).astype(np.float32),
        spread.astype(np.float32), cycle.astype(np.float32), mean_year, root,
        response=_response(responses, settings, patterns, learnt, scale) if settings.names else None,
    )  # fmt: skip


def resolved(times: Array, asked: int) -> int:
    """Highest harmonic of the year, at most the one asked for, that some times tell.

    None of the days of the year between two of them, in whatever year, may be more than a quarter of its period: a year
    of which three months are missing has no second harmonic, one of which six are missing none at all.

    Parameters
    ----------
    times
        (n,) datetime64.
    asked
        The highest that is wanted.
    """
    stamps = times.astype("datetime64[s]")
    days = np.unique((stamps - stamps.astype("datetime64[Y]")).astype("timedelta64[D]").astype(np.int64))
    longest = max(np.diff(days, append=days[:1] + DAYS))
    return next((h for h in range(asked, 0, -1) if longest <= DAYS / 4 / h), 0)


def _mean_year(sst: SeaSurfaceTemperature, annual: int) -> Array:
    """(annual, cell) float32 harmonics of the sea surface temperature, as far as its months tell them."""
    whole = len(np.unique(sst.times.astype("datetime64[M]").astype(np.int64) % 12)) == 12
    told = annual if whole else resolved(sst.times, annual)
    months = Fit(min(told, max(len(sst.times) - 2, 0) // 2), 0, sst.values.shape[1:])
    months.add(sst.times, sst.values)
    return _padded(months.solve()[:, 0].astype(np.float32), 2 * annual + 1)


def _trained(part: Gathered) -> Array:
    return part.times[~part.source.held_out(part.times)]


def _padded(coefficients: Array, length: int) -> Array:
    """Coefficients with zeros for the harmonics that were not found, along the first axis."""
    return np.pad(coefficients, [(0, length - len(coefficients))] + [(0, 0)] * (coefficients.ndim - 1))


def _require_variation(channels: Sequence[str], scale: Array, center: Array) -> None:
    """Refuse channels that are one number: float32 tells 1e-7 of it apart."""
    still = [name for name, s, c in zip(channels, scale, center, strict=True) if not s > 1e-7 * abs(c)]
    if still:
        raise ValueError(f"channel(s) {still} never vary: take them out")


Quantity = Callable[[Array, Array, Array], Array]
"""From (n,) times, (n, channel, cell) roots of values and (n, predictor) numbers to what is fitted."""


def _squared_about(mean: Array, annual: int, diurnal: int) -> Quantity:
    """Squares of what differs from the harmonics of a mean."""

    def squared(times: Array, values: Array, numbers: Array) -> Array:
        rows = basis(times, annual, diurnal).reshape(len(times), -1)
        return (values - (rows @ mean.reshape(rows.shape[1], -1)).reshape(values.shape)) ** 2

    return squared


def _steadied(at: Callable[[Array, Array], Array], spread: Array) -> Quantity:
    """Squares of what differs from a mean that moves, as they would be if the spread did not."""

    def squared(times: Array, values: Array, numbers: Array) -> Array:
        return (values - at(times, numbers)) ** 2 / np.exp(2 * np.einsum("np,pcx->ncx", numbers, spread))

    return squared


def _response(
    found: Sequence[Responses], settings: ResponseSettings, patterns: Array, learnt: Array, scale: Array
) -> Response:
    """Responses of all labels, over the scale; a channel that a label lacks has that of the first that has it."""

    def joined(name: str) -> Array:
        every = np.stack([getattr(one, name) for one in found])
        for c in range(len(scale)):
            channel = every[..., c, :]
            have = ~np.isnan(channel.reshape(len(every), -1)).all(1)
            channel[~have] = channel[int(np.argmax(have))]
        return np.nan_to_num(every)  # what is left are gaps

    mean = joined("mean").transpose(0, 1, 3, 2, 4) / scale[:, None, None]
    error = joined("error") / scale[:, None]
    floats = (part.astype(np.float32) for part in (mean, error, joined("spread")))
    return Response(settings.modes, settings.forcings, patterns, learnt, *floats)


def _joined(fits: Sequence[Array], parts: Sequence[Gathered], annual: int) -> Array:
    """(annual, diurnal, channel, cell) of each label -> (label, channel, annual, diurnal, cell), no channel missing."""
    deepest = max(fit.shape[1] for fit in fits)
    deep = [np.pad(fit, [(0, 0), (0, deepest - fit.shape[1]), (0, 0), (0, 0)]) for fit in fits]
    joined = np.stack([_padded(fit, annual) for fit in deep])
    have = ~np.isnan(joined[:, 0, 0]).all(-1)
    _require(parts[0].channels, have.any(0))
    for i, c in zip(*np.nonzero(~have), strict=True):
        joined[i, :, :, c] = joined[int(np.argmax(have[:, c])), :, :, c]
    return joined.transpose(0, 3, 1, 2, 4)


def about(climatology: Climatology, zoom: int) -> Statistics:
    """Numbers that normalise anomalies, and the mean year of all labels together."""
    maps = climatology.mean[:, :, :3, 0].mean(0).transpose(1, 0, 2)
    order = healpix.nest_to_padxy(zoom)
    return Statistics(np.zeros(len(climatology.scale)), climatology.scale, maps[..., order].astype(np.float32))


def deviations(climatology: Climatology) -> tuple[Array, Array]:
    """Mean and deviation over cells and time of the channels, or of their roots: two of (channel,) float64."""
    mean = climatology.mean.astype(np.float64)
    between = (mean[:, :, 0, 0] ** 2).mean((0, 2)) + ((mean**2).sum((2, 3)) - mean[:, :, 0, 0] ** 2).mean((0, 2)) / 2
    within = (SIGMA_DATA * climatology.spread.astype(np.float64)) ** 2
    return climatology.center, climatology.scale * np.sqrt(between + within.mean((0, 2)))


def _require(channels: Sequence[str], have: Array) -> None:
    if not have.all():
        missing = [name for name, found in zip(channels, have, strict=True) if not found]
        raise ValueError(f"no source has a training instant of channel(s) {missing}")
