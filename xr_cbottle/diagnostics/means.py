"""Means over time: of all of it, of seasons, of months; and what is left without the mean month of the year."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr_cbottle.diagnostics.attributes import T

SEASONS = {
    "annual": tuple(range(1, 13)),
    "DJF": (12, 1, 2),
    "MAM": (3, 4, 5),
    "JJA": (6, 7, 8),
    "SON": (9, 10, 11),
}
"""Months of each season."""


def season(field: T, name: str) -> T:
    """The times of a season.

    Parameters
    ----------
    field
        With a dimension ``time``.
    name
        "annual" (all of them), "DJF", "MAM", "JJA" or "SON".

    Raises
    ------
    ValueError
        If there is no such season, or no time in it.
    """
    return _in_season(field, name)


def _in_season(field: T, name: str) -> T:
    if name not in SEASONS:
        raise ValueError(f"there is no season {name!r}: choose one of {', '.join(SEASONS)}")
    require_time(field)
    chosen = field["time"].dt.month.isin(SEASONS[name]).values
    if not chosen.any():
        raise ValueError(f"no time lies in {name}")
    return field if chosen.all() else field.isel(time=np.flatnonzero(chosen))


def climatology(field: T, season: str = "annual") -> T:
    """Mean over the times of a season, in double precision, missing values left out; keeps attributes.

    Each instant counts the same: take times that are spread evenly over the years.
    """
    return _in_season(field, season).mean("time", dtype=np.float64, keep_attrs=True)


def monthly(field: T, least: int = 1) -> T:
    """Means of the calendar months that have times, in double precision, stamped with the first moment of each.

    Parameters
    ----------
    field
        (time, ...). What is stamped with the first moments of months is taken for monthly means, and is left as it is:
        months that a `bootstrap` has drawn twice remain two.
    least
        How many instants a month must have: the last stamp of a year of 6-hourly data may be all that there is of the
        next January.

    Returns
    -------
    (time, ...). Of independent instants it is the mean of those in the month, with more noise than the mean of a
    simulation's hours if they are few.

    Raises
    ------
    ValueError
        If no month has so many instants.
    """
    require_time(field)
    field = double(field)
    month = field["time"].values.astype("datetime64[M]").astype("datetime64[ns]")
    if (month == field["time"].values).all():
        return field.sortby("time")
    _, number, counts = np.unique(month, return_inverse=True, return_counts=True)
    enough = counts[number] >= least
    if not enough.any():
        raise ValueError(f"no month has {least} instants: the fullest has {counts.max()}")
    labelled = field.assign_coords(month=("time", month)).isel(time=np.flatnonzero(enough))
    means = labelled.groupby("month").mean("time", keep_attrs=True).rename(month="time")
    return means.transpose(*[dim for dim in field.dims if dim in means.dims])


def anomalies(field: T) -> T:
    """The field minus the mean of the same month of the year, over all years; double precision, keeps attributes."""
    require_time(field)
    groups = double(field).groupby("time.month")
    with xr.set_options(keep_attrs=True):
        return (groups - groups.mean("time")).drop_vars("month").transpose(*field.dims)


def double(field: T) -> T:
    """The field in double precision: sums of many float32 lose digits, and differ with the chunks."""
    return field.astype(np.float64, keep_attrs=True)


def require_time(field: xr.DataArray | xr.Dataset) -> None:
    """Refuse what has no times that are known as such."""
    if "time" not in field.dims or "time" not in field.coords or field["time"].dtype.kind != "M":
        raise ValueError(
            "the field needs a dimension time with datetime64 times: decode them, on the standard calendar"
        )
    if not field.sizes["time"]:
        raise ValueError("the field has no time")
