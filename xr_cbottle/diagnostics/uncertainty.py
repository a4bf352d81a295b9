"""Uncertainty of a figure: its sampling error, and the difference between two pieces of the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import T
from xr_cbottle.diagnostics.cycles import YEAR, year_fraction
from xr_cbottle.diagnostics.means import require_time


def bootstrap(
    function: Callable[..., Any],
    *fields: Any,
    n: int = 200,
    seed: int = 0,
    block: int = 1,
    window: float | None = 30.0,
    confidence: float = 0.9,
    progress: bool | None = False,
) -> xr.Dataset:
    """Sampling error of a figure, by drawing the instants again with replacement.

    Parameters
    ----------
    function
        Of the fields, to a number or a DataArray.
    *fields
        DataArrays or Datasets with a dimension ``time``. Those with the same times are resampled together, so that
        what is paired remains paired; others on their own. They are read once, into memory.
    n
        Number of resamples.
    seed
        Of their choice.
    block
        How many neighbouring instants are drawn together, in circular blocks (Politis and Romano 1992): 1 for
        independent instants, several times as many as persist for those of a series.
    window
        In days: an instant (or block) is replaced by one of the same time of the year, of any year, within so many
        days. The instants were spread over the year on purpose, so that the seasons are no sampling error: left to
        chance (None), they would make that of a mean temperature several times too large.
    confidence
        Probability between ``lower`` and ``upper``.
    progress
        Whether to show a bar; None: on a terminal.

    Returns
    -------
    ``value`` (of the fields as they are), ``standard_error`` (standard deviation of the resamples), ``lower`` and
    ``upper`` (their quantiles), in the unit of the figure.

    Raises
    ------
    ValueError
        If there is no field, or block, n or window do not fit.
    """
    from tqdm import tqdm

    if not fields:
        raise ValueError("bootstrap needs at least one field, whose instants it draws again")
    for field in fields:
        require_time(field)
    if n < 2:
        raise ValueError(f"a bootstrap needs two resamples or more, got {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is a probability between 0 and 1, got {confidence}")
    shortest = min(field.sizes["time"] for field in fields)
    if not 1 <= block <= shortest:
        raise ValueError(f"blocks must have between 1 and {shortest} instants, which is all there are, got {block}")
    if window is not None and window < 0:
        raise ValueError(f"a window is a number of days, or None for the whole year, got {window}")
    fields = tuple(field.compute() for field in fields)  # also what is lazy without dask, as an opened bottle is
    value = _array(function(*fields)).compute()
    same = _groups(fields)
    generator = np.random.default_rng(seed)
    resamples = []
    for _ in tqdm(range(n), "bootstrap", disable=None if progress is None else not progress):
        choices = {
            group: resample(fields[group]["time"].values, block, generator, window) for group in dict.fromkeys(same)
        }
        drawn = [field.isel(time=choices[group]) for field, group in zip(fields, same, strict=True)]
        resamples.append(_array(function(*drawn)).compute())
    stack = xr.concat(resamples, "resample", coords="minimal", compat="override", join="override")
    result = xr.Dataset(
        {
            "value": value,
            "standard_error": stack.std("resample", ddof=1),
            "lower": stack.quantile((1 - confidence) / 2, "resample").drop_vars("quantile"),
            "upper": stack.quantile((1 + confidence) / 2, "resample").drop_vars("quantile"),
        }
    )
    meanings = {
        "value": "value", "standard_error": f"standard error by {n} resamples",
        "lower": f"{50 * (1 - confidence):g} % of resamples", "upper": f"{50 * (1 + confidence):g} % of resamples",
    }  # fmt: skip
    for name, meaning in meanings.items():
        about = value.attrs.get("long_name")
        result[name].attrs = {**value.attrs, "long_name": f"{meaning} of {about}" if about else meaning}
    result.attrs = {"resamples": n, "block": block, "instants": shortest, "seed": seed}
    return result


def resample(
    times: npt.NDArray[np.datetime64], block: int, generator: np.random.Generator, window: float | None
) -> npt.NDArray[np.int64]:
    """(time,) indices: blocks go on from the last instant to the first, and are cut to fit.

    Where each block comes from: from anywhere, or from within ``window`` days of the time of the year of the block that
    it replaces.
    """
    count = len(times)
    replaced = np.arange(0, count, block)
    if window is None or 2 * window >= YEAR:
        starts = generator.integers(0, count, len(replaced))
    else:
        day = year_fraction(times) * YEAR
        order = np.argsort(day, kind="stable")
        # Three turns of the calendar, so that a window may reach over New Year.
        calendar = np.concatenate([day[order] + turn * YEAR for turn in (-1, 0, 1)])
        first = np.searchsorted(calendar, day[replaced] - window, side="left")
        last = np.searchsorted(calendar, day[replaced] + window, side="right")
        starts = order[generator.integers(first, last) % count]
    return ((starts[:, None] + np.arange(block)) % count).reshape(-1)[:count]


def halves(field: T, days: float = 10.0) -> tuple[T, T]:
    """Two interleaved halves of the instants: blocks of days by turns, counted from the first instant.

    Both have all seasons and all hours, and are nearly independent of each other where weather forgets within a block.

    Raises
    ------
    ValueError
        If all instants lie in the first block.
    """
    require_time(field)
    times = field["time"].values.astype("datetime64[ns]")
    number = np.floor((times - times.min()) / np.timedelta64(round(days * 86400e9), "ns")).astype(np.int64)
    if number.max() == 0:
        raise ValueError(f"all times lie within {days:g} days, so that there are no halves: give shorter blocks")
    return field.isel(time=np.flatnonzero(number % 2 == 0)), field.isel(time=np.flatnonzero(number % 2 == 1))


def thinned(field: T, instants: int) -> T:
    """So many instants of a field, evenly spread over those that it has; all if it has no more."""
    require_time(field)
    count = field.sizes["time"]
    if instants < 1:
        raise ValueError(f"there must be one instant or more, got {instants}")
    if instants >= count:
        return field
    # Golden steps within each piece: a regular step of a series would meet the same hour of the day again and again.
    within = (np.arange(instants) * 0.6180339887498949) % 1
    return field.isel(time=np.floor((np.arange(instants) + within) * count / instants).astype(int))


def noise_floor(
    compare: Callable[[Any, Any], Any], first: Any, second: Any, instants: int | None = None
) -> xr.DataArray:
    """Noise floor: a comparison of two pieces of the reference itself, where nothing but sampling differs.

    Parameters
    ----------
    compare
        The comparison of a bottle with the reference: of two fields (or data sets), to a number or a DataArray.
    first, second
        The pieces: two years of the simulation, or its `halves`.
    instants
        How many instants to take of each, as many as are drawn from the bottle, so that the floor is that of the same
        number; all if None. (A mean over n independent instants has an error that falls as 1 / sqrt(n).)

    Returns
    -------
    The figure, with the attributes of the comparison, and ``instants_first`` and ``instants_second``.
    """
    if instants is not None:
        first, second = thinned(first, instants), thinned(second, instants)
    result = _array(compare(first, second)).copy(deep=False)
    about = result.attrs.get("long_name")
    result.attrs = {
        **result.attrs,
        "long_name": f"noise floor of {about}" if about else "noise floor",
        "instants_first": first.sizes["time"],
        "instants_second": second.sizes["time"],
    }
    return result


def _array(figure: Any) -> xr.DataArray:
    if isinstance(figure, xr.Dataset):
        raise ValueError(f"a figure is a number or a DataArray: take one of {', '.join(map(str, figure.data_vars))}")
    return figure if isinstance(figure, xr.DataArray) else xr.DataArray(figure)


def _groups(fields: tuple[Any, ...]) -> list[int]:
    """Number of the first field with the same times, for each field."""
    times = [field["time"].values for field in fields]
    return [next(j for j, other in enumerate(times) if np.array_equal(other, own)) for own in times]
