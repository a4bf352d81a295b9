"""Gradients through what turns a network's state into units: from a field's to the state's, as in `physical`.

Each function takes the gradient of a number with respect to a result and gives that with respect to what it was made
of (a vector-Jacobian product). All are exact, that of the spherical harmonics' gain too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.climatology import powered
from xr_cbottle.bottle.gaps import Mask
from xr_cbottle.draw.bounds import Bounds, at_cells, cells_of, steadied, within
from xr_cbottle.draw.normalisation import Normalisation
from xr_cbottle.fields import nonnegative
from xr_cbottle.grid.spherical_harmonics import amplified_back

Floats = npt.NDArray[np.floating[Any]]
_STEP = 1e-3
"""Of a channel that bounds another, in its unit."""


def physical(
    units: Normalisation, x: Floats, label: str | None, times: npt.NDArray[np.datetime64], gradient: Floats
) -> Floats:
    """Carry a gradient back through `Normalisation.physical`.

    Parameters
    ----------
    units
        Of an emulator.
    x
        (n, channel, cell NEST), where it is taken.
    label, times
        As there.
    gradient
        (n, channel, cell NEST) with respect to the values in the channels' units; in the gaps of the label, where
        values have no meaning, it is not looked at.

    Returns
    -------
    (n, channel, cell NEST) float64 with respect to ``x``.
    """
    return through(units, x, label, times, gradient).x


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients with respect to all that `Normalisation.physical` makes values of.

    Attributes
    ----------
    x
        (n, channel, cell NEST) of the state.
    predictors
        (n, predictor) of the response of the climatology; None without one.
    sst
        (n, cell NEST) per K of the sea where it is a bound; 0 elsewhere.
    """

    x: Floats
    predictors: Floats | None
    sst: Floats


def through(
    units: Normalisation, x: Floats, label: str | None, times: npt.NDArray[np.datetime64], gradient: Floats
) -> Gradients:
    """Carry a gradient back through `Normalisation.physical`, to state and climate; parameters as of `physical`."""
    known, there = units.climatology, units.known(label)
    gradient = np.array(gradient, np.float64)
    if there is not None:
        gradient[:, ~there] = 0
    by_usual: Floats = np.zeros_like(gradient)
    by_sst: Floats = np.zeros((len(gradient), gradient.shape[-1]))
    if units.bounds is not None:
        gradient, by_usual, by_sst = bounded(units, units.bounds, x, label, times, gradient)
    chosen = units.nonnegative
    counted = None if there is None else there[chosen]
    if known is None:
        scales, center = units.scales[:, None], units.center[:, None]
        gradient[:, chosen] = without_negatives((x * scales + center)[:, chosen], gradient[:, chosen], counted)
        return Gradients(gradient * scales, None, by_sst)
    predictors = units.predictors(times)
    mean, spread, ratio = known.about(label, times, predictors)
    anomalies = known.amplified(x, label)
    linear = known.center[:, None] + known.scale[:, None] * (mean + spread * anomalies)
    values = powered(linear, known.root)
    calibration, number = known.calibration, known.number(label)
    final = values if calibration is None else calibration.mapped(values, number, ratio)
    gradient[:, chosen] = without_negatives(final[:, chosen], gradient[:, chosen], counted)
    by_ratio = np.zeros(mean.shape[:2])
    if calibration is not None:
        for i, channel in enumerate(calibration.matched.tolist()):
            over = 1.0 if ratio is None else ratio[:, channel, None]
            moves = channel in calibration.moving(number)
            own = (nonnegative.without_negatives(values[:, channel]) if moves else values[:, channel]) / over
            slope = slopes(own, calibration.drawn[number, i], calibration.known[number, i])
            by_ratio[:, channel] = (gradient[:, channel] * (final[:, channel] / over - own * slope)).sum(-1)
            gradient[:, channel] *= slope
            if moves:
                gradient[:, channel] = without_negatives(values[:, channel], gradient[:, channel])
    usual = known.center[:, None] + known.scale[:, None] * mean.astype(np.float64)
    for channel in np.flatnonzero(known.root != 1).tolist():
        power = float(known.root[channel])
        gradient[:, channel] *= power * np.maximum(linear[:, channel], 0) ** (power - 1)
        by_usual[:, channel] *= power * np.maximum(usual[:, channel], 0) ** (power - 1)
    gradient *= known.scale[:, None]
    by_predictors = None
    if known.response is not None and predictors is not None:
        by_mean = gradient + by_usual * known.scale[:, None]
        by_logarithm = gradient * spread * anomalies
        if ratio is not None and calibration is not None:
            for c in calibration.moving(number):
                back = known.expected_mean(c).ratio_back((mean[:, c], spread[:, c]), ratio[:, c], by_ratio[:, c])
                by_mean[:, c] += back[0]
                by_logarithm[:, c] += back[1]
        by_predictors = known.response.change_back(number, times, predictors, by_mean, by_logarithm)
    gradient = gradient * spread
    if calibration is not None:
        gradient = amplified_back(gradient, calibration.gain[number], calibration.rest_of(number))
    return Gradients(gradient, by_predictors, by_sst)


def without_negatives(values: Floats, gradient: Floats, known: Mask | None = None) -> Floats:
    """Carry a gradient back through `xr_cbottle.fields.nonnegative.without_negatives`, all (..., cell)."""
    kept = np.maximum(values, 0)
    counted = np.broadcast_to(True if known is None else known, values.shape)
    before, after = (nonnegative.mean_of(field, counted) for field in (values, kept))
    positive, some = values > 0, after > 0
    ratio = np.divide(np.maximum(before, 0), after, out=np.ones_like(after), where=some)
    inner = (gradient * kept).sum(-1, keepdims=True) / np.maximum(counted.sum(-1, keepdims=True), 1)
    divided = np.divide(inner, after, out=np.zeros_like(after), where=some)
    return positive * gradient * ratio + counted * divided * ((before > 0) - ratio * positive)


def bounded(
    units: Normalisation,
    bounds: Bounds,
    x: Floats,
    label: str | None,
    times: npt.NDArray[np.datetime64],
    gradient: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Carry a gradient back through `xr_cbottle.draw.bounds.Bounds.applied`, as `through` does.

    Returns
    -------
    (n, channel, cell) with respect to the values, and to what is usual; (n, cell) with respect to the SST.
    """
    about, sst, known = units.climatology, units.driving.sst.at(times), units.known(label)
    usual = None if about is None else about.usual(label, times, units.predictors(times))
    values = units.unbounded(x, label, times)
    final = bounds.applied(values, label, times, usual, sst, known)
    out, by_usual, by_sst = np.array(gradient), np.zeros_like(gradient), np.zeros(sst.shape)
    for name in reversed(bounds.order):
        spec, c = bounds.specs[name], bounds.channels.index(name)
        there = cells_of(known, c)
        if known is not None and not known[c].any():
            continue
        own, field = out[:, c], values[:, c][:, there]  # a view, and what is moved into the bounds
        steady = spec.mean is not None and usual is not None
        if steady:
            field = steadied(field, usual[:, c][:, there], spec.mean)  # type: ignore[index, arg-type]
        least, most = (at_cells(one, there) for one in bounds.limits(name, spec, final, label, times))
        if spec.sea:
            share = bounds.water(sst, label)
            change = np.zeros(sst.shape)
            change[:, there] = np.nan_to_num(sst)[:, there] - within(field, least, most)
            by_sst += share * own + bounds.water_back(sst, label, own * change)
            own *= 1 - share
        if least is not None or most is not None:
            own[:, there], by_most = within_back(field, least, most, own[:, there])
            for above in (spec.temperature, spec.below):
                if above is None:
                    continue
                t = bounds.channels.index(above)
                shifted = [np.array(final) for _ in range(2)]
                for sign, one in zip((1, -1), shifted, strict=True):
                    one[:, t] += sign * _STEP
                ends = [bounds.limits(name, spec, one, label, times)[1] for one in shifted]
                by_unit = (ends[0] - ends[1]) / (2 * _STEP)  # type: ignore[operator]
                out[:, t][:, there] += by_most * np.broadcast_to(by_unit, final[:, t].shape)[:, there]
        if steady:
            shared = (1 - spec.mean) * own[:, there].mean(-1, keepdims=True)  # type: ignore[operator]
            own[:, there] -= shared
            by_usual[:, c][:, there] += shared
    return out, by_usual, by_sst


def within_back(values: Floats, least: Floats | None, most: Floats | None, gradient: Floats) -> tuple[Floats, Floats]:
    """Carry a gradient back through `xr_cbottle.draw.bounds.within`: by the values, and by the upper bound.

    The factor f that keeps the mean is a function of all cells: where a cell is stretched by it and has not reached the
    bound, its share of the others' change is the mean of the gradient weighted by what was stretched.
    """
    if least is None:
        assert most is not None
        by_values, _ = within_back(-values, -most, None, -gradient)
        return -by_values, gradient + by_values
    floor = np.broadcast_to(least, values.shape)
    room = np.full(values.shape, np.inf) if most is None else np.maximum(most - floor, 0)
    above = np.clip(values - floor, 0, room)
    result = within(values, least, most) - floor
    # A field whose mean is below the floor is all at it.
    free = (above > 0) & (result < room) & ((values - floor).mean(-1, keepdims=True) > 0)
    total = np.where(free, above, 0.0).sum(-1, keepdims=True)
    safe = np.where(total > 0, total, 1.0)
    factor = np.where(free, result, 0.0).sum(-1, keepdims=True) / safe
    shared = np.where(free, gradient * above, 0.0).sum(-1, keepdims=True) / safe
    own = gradient - shared
    inside = (values > floor) & (values - floor < room)
    by_values = np.where(free & inside, factor * own, 0.0) + np.where(total > 0, shared, 0.0)
    by_most = np.where(result >= room, own, 0.0) + np.where(free & (values - floor >= room), factor * own, 0.0)
    return by_values, by_most


def slopes(values: Floats, given: Floats, wanted: Floats) -> Floats:
    """Slope of `xr_cbottle.bottle.calibration.mapped` at some values."""
    pieces = np.concatenate([[1.0], np.diff(wanted) / np.diff(given)])
    return pieces[np.clip(np.searchsorted(given, values, side="right"), 0, len(given) - 1)]


def log_volume(
    units: Normalisation, values: Floats, label: str | None, times: npt.NDArray[np.datetime64]
) -> npt.NDArray[np.float64]:
    """Logarithm of how much the network's units stretch a field, which a density is multiplied by.

    Parameters
    ----------
    units
        Of an emulator.
    values
        (n, channel, cell NEST) in the channels' units.
    label, times
        As of `Normalisation.normalised`.

    Returns
    -------
    (n,), of the units, spread, roots, mapping and gain of a label; scales, which labels share, are left out.
    """
    known = units.climatology
    if known is None:
        return np.zeros(len(values))
    _, spread, ratio = known.about(label, times, units.predictors(times))
    log = -np.log(spread).sum((1, 2))
    calibration, number = known.calibration, known.number(label)
    before = values
    if calibration is not None:
        before = calibration.unmapped(values, number, ratio)
        for i, channel in enumerate(calibration.matched.tolist()):
            over = 1.0 if ratio is None else ratio[:, channel, None]
            mapped = slopes(before[:, channel] / over, calibration.drawn[number, i], calibration.known[number, i])
            log -= np.log(mapped).sum(-1)
        degrees = 2 * np.arange(calibration.gain.shape[2]) + 1
        log -= (np.log(calibration.gain[number]) * degrees).sum()
        log -= np.log(calibration.rest_of(number)).sum() * (values.shape[-1] - degrees.sum())
    for channel in np.flatnonzero(known.root != 1).tolist():
        power = float(known.root[channel])
        root = np.maximum(before[:, channel], 1e-30 ** (1 / power)) ** (1 / power)
        log -= np.log(power * root ** (power - 1)).sum(-1)
    return log
