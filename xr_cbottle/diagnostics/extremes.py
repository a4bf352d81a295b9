"""Rare values: wet instants, and values that are reached once in so many years."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, units
from xr_cbottle.diagnostics.means import require_time
from xr_cbottle.diagnostics.uncertainty import resample

HOURS_PER_YEAR = 365.25 * 24
_FEWEST_IN_TAIL = 20


def wet_days(pr: xr.DataArray, threshold: float = 1 / 86400, tolerance: float = 1e-6) -> xr.Dataset:
    """Frequency of rain, and its mean where it rains.

    Parameters
    ----------
    pr
        (time, ...) in kg m-2 s-1. The instants count as they are: for wet days in the usual sense give daily means,
        which a bottle has with ``time_method="mean"`` (those of 24 independent draws, though, are smoother than days).
    threshold
        From which on an instant is wet, kg m-2 s-1: 1 mm a day by default.
    tolerance
        How far below zero a value may be before it counts as negative, kg m-2 s-1.

    Returns
    -------
    (...): ``frequency``, the fraction of wet instants; ``intensity``, the mean of these in kg m-2 s-1, NaN where there
    are none; ``contribution``, their share of all that falls; ``negative``, the fraction of negative instants, which
    should be 0.
    """
    require_time(pr)
    known, wet = pr.notnull(), pr >= threshold
    count = known.sum("time")
    rain, wet_rain = (part.sum("time", dtype=np.float64) for part in (pr, pr.where(wet)))
    frequency, unit = wet.sum("time") / count, units(pr)
    return xr.Dataset(
        {
            "frequency": described(frequency, "fraction of wet instants", "1", threshold=threshold),
            "intensity": described(wet_rain / wet.sum("time"), "mean of wet instants", unit, threshold=threshold),
            "contribution": described(wet_rain / rain, "share of wet instants in the total", "1", threshold=threshold),
            "negative": described(
                (pr < -tolerance).sum("time") / count, "fraction of negative instants", "1", tolerance=tolerance
            ),
        }
    )


def return_values(
    field: xr.DataArray,
    periods: Sequence[float],
    *,
    step: str | pd.Timedelta,
    tail: float = 0.05,
    n: int = 100,
    seed: int = 0,
    block: int = 1,
    window: float | None = 30.0,
    confidence: float = 0.9,
) -> xr.Dataset:
    """Values that one instant in so many years exceeds, with their error by block bootstrap.

    The value of a period of N years is the quantile that one in N * 365.25 * 24 h / step instants exceeds. For instants
    that are independent draws that is all there is to it: no persistence, and years are a number of draws. In a series
    exceedances come in clusters, so that the time between *events* is longer than the period; the value still has the
    same meaning, which is why the two can be compared.

    Beyond the threshold that a fraction ``tail`` of the instants exceeds, a generalised Pareto distribution is fitted
    by L-moments (Hosking and Wallis 1987, doi:10.2307/1269343); periods too short to lie there give plain quantiles.

    Parameters
    ----------
    field
        (time, ...); low extremes are the negative of those of the negative field.
    periods
        In years.
    step
        How long an instant stands for, e.g. "PT1H" for hourly instants, "P1D" for daily means. It cannot be told from
        the times: 96 instants of a year of hourly data are hourly instants.
    tail
        Fraction of the instants in the tail; at least 20 are taken.
    n
        Number of resamples; 0 for no errors.
    seed, block, window, confidence
        As in `bootstrap`.

    Returns
    -------
    ``value`` (period, ...) in the field's unit and, if n, ``standard_error``, ``lower`` and ``upper``; NaN where a
    value is missing. ``period`` is in years. Periods much longer than the instants' number times step are extrapolated
    far: look at the errors, and remember that they do not know of a wrong distribution.

    Raises
    ------
    ValueError
        If there are fewer than 40 instants, or a period, step or fraction makes no sense.
    """
    require_time(field)
    years = np.atleast_1d(np.asarray(periods, float))
    length = pd.Timedelta(step) / pd.Timedelta(hours=1)
    count = field.sizes["time"]
    in_tail = max(int(np.ceil(tail * count)), _FEWEST_IN_TAIL)
    if not length > 0 or not len(years) or not (years * HOURS_PER_YEAR > length).all():
        raise ValueError("periods are numbers of years, and each longer than a step, which is longer than 0")
    if not 0 < tail <= 0.5 or 2 * in_tail > count:
        raise ValueError(
            f"a tail is a fraction up to 0.5 that holds {_FEWEST_IN_TAIL} instants or more: {tail:g} of {count} "
            f"instants does not; give {2 * _FEWEST_IN_TAIL} instants at least"
        )
    if not 1 <= block <= count:
        raise ValueError(f"blocks must have between 1 and {count} instants, got {block}")
    if n and not 0 < confidence < 1:
        raise ValueError(f"confidence is a probability between 0 and 1, got {confidence}")
    generator = np.random.default_rng(seed)
    choices = [np.arange(count)] + [resample(field["time"].values, block, generator, window) for _ in range(n)]
    statistics = ["value", "standard_error", "lower", "upper"] if n else ["value"]
    result = xr.apply_ufunc(
        _return_values,
        field.drop_vars("time").chunk(time=-1) if field.chunks is not None else field.drop_vars("time"),
        input_core_dims=[["time"]],
        output_core_dims=[["statistic", "period"]],
        kwargs={
            "choices": choices, "exceedance": length / (years * HOURS_PER_YEAR), "in_tail": in_tail,
            "confidence": confidence,
        },
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"statistic": len(statistics), "period": len(years)}},
    ).transpose("statistic", "period", ...)  # fmt: skip
    period = xr.DataArray(years, dims="period", attrs={"units": "years", "long_name": "return period"})
    attrs: dict[str, str | int] = {
        "comment": f"exceeded by one in period * 365.25 * 24 h / {length:g} h independent instants: no persistence",
        "instants": count, "instants_in_tail": in_tail, "resamples": n, "block": block,
    }  # fmt: skip
    meanings = {"value": "", "standard_error": "standard error of the ", "lower": "lower bound of the ",
                "upper": "upper bound of the "}  # fmt: skip
    return xr.Dataset(
        {
            name: described(
                result.isel(statistic=i).assign_coords(period=period),
                f"{meanings[name]}return value of {name_of(field)}",
                units(field),
                **attrs,
            )
            for i, name in enumerate(statistics)
        }
    )


def _return_values(
    values: npt.NDArray[np.floating],
    choices: list[npt.NDArray[np.int64]],
    exceedance: npt.NDArray[np.float64],
    in_tail: int,
    confidence: float,
) -> npt.NDArray[np.float64]:
    """(..., time) -> (..., statistic, period)."""
    double = np.asarray(values, np.float64)
    estimates = np.stack([_pareto_levels(double[..., choice], exceedance, in_tail) for choice in choices])
    value, resamples = estimates[0], estimates[1:]
    if not len(resamples):
        return value[..., None, :]
    # np.quantile of NaN is NaN, which is meant.
    lower, upper = np.quantile(resamples, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return np.stack([value, resamples.std(0, ddof=1), lower, upper], -2)


def _pareto_levels(
    values: npt.NDArray[np.float64], exceedance: npt.NDArray[np.float64], in_tail: int
) -> npt.NDArray[np.float64]:
    """(..., time) -> (..., period): levels exceeded with these probabilities, by a fit to the largest ``in_tail``.

    With L-moments l1, l2 of the excesses over a known threshold: k = l1 / l2 - 2, scale = (1 + k) l1, and
    x(p) = threshold + scale / k (1 - (p / fraction)^k).
    """
    count = values.shape[-1]
    missing = np.isnan(values).any(-1, keepdims=True)
    ordered = np.sort(np.partition(values, count - in_tail - 1, axis=-1)[..., count - in_tail - 1 :], -1)
    threshold, excess = ordered[..., 0], ordered[..., 1:] - ordered[..., :1]
    b0 = excess.mean(-1)
    b1 = (excess * (np.arange(in_tail) / (in_tail - 1))).mean(-1)
    l2 = 2 * b1 - b0
    flat = (b0 <= 0) | (l2 <= 0)  # all excesses equal: the level is theirs
    k = np.where(flat, 0.0, b0 / np.where(flat, 1.0, l2) - 2)
    scale = (1 + k) * b0
    fraction = in_tail / count
    rarity = np.log(np.minimum(exceedance / fraction, 1.0))
    with np.errstate(over="ignore"):
        # -expm1(k r) / k, which is -r for k = 0.
        shape = np.where(abs(k) < 1e-9, 1e-9, k)[..., None]
        growth = -np.expm1(shape * rarity) / shape
    levels = threshold[..., None] + np.where(flat, b0, 0.0)[..., None] + np.where(flat, 0.0, scale)[..., None] * growth
    frequent = np.flatnonzero(exceedance >= fraction)
    if len(frequent):
        plain = np.quantile(values, 1 - exceedance[frequent], axis=-1)
        levels[..., frequent] = np.moveaxis(plain, 0, -1)
    return np.where(missing, np.nan, levels)
