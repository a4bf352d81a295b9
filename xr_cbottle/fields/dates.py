"""Times of a data set as datetime64: which coordinate they are, and dates of other calendars."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields import names

if TYPE_CHECKING:
    import xarray as xr

CONVERT = "convert_calendar('standard', align_on='year')"


def time_of(array: xr.DataArray) -> str | None:
    """Name of the coordinate that says when an array is valid; None if it has none.

    A coordinate along a dimension comes before a single time, and the time of validity before that at which a
    forecast began.
    """
    found = [(rank, str(name)) for name in array.coords if (rank := _rank(str(name), array.coords[name])) is not None]
    return min(found)[1] if found else None


def datetimes(values: npt.ArrayLike, where: str) -> npt.NDArray[np.datetime64]:
    """Times as (n,) datetime64[ns] or [s] in UTC; dates of other calendars are taken as the same dates of ours.

    Parameters
    ----------
    values
        datetime64, or objects of cftime.
    where
        What they are of, for messages.

    Raises
    ------
    ValueError
        If they are no dates, one is missing, or our calendar has not all of them.
    """
    times = np.atleast_1d(np.asarray(values))
    if times.dtype.kind != "M":
        if times.dtype.kind != "O":
            raise ValueError(
                f"{where} has times that are {times.dtype} and no dates: decode them with xarray.decode_cf"
            )
        times = _of_calendar(times, where)
    if np.isnat(times).any():
        raise ValueError(f"{where} has a missing time: drop it, for example with .dropna('time')")
    return times


def values_of(coordinate: xr.DataArray) -> npt.NDArray[Any]:
    """The values of a coordinate of times; those with a time zone as objects, which keep it."""
    if coordinate.ndim == 1 and (not isinstance(coordinate.dtype, np.dtype) or coordinate.dtype.kind == "O"):
        return np.asarray(coordinate.to_index(), object)
    return np.asarray(coordinate.values)


def each_once(times: npt.NDArray[np.datetime64], where: str) -> npt.NDArray[np.datetime64]:
    """The times as they are, in whatever order.

    Raises
    ------
    ValueError
        If there is none, or one is there twice.
    """
    if not times.size:
        raise ValueError(f"{where} has no time at all")
    known, counts = np.unique(times, return_counts=True)
    if (counts > 1).any():
        twice = str(known[counts > 1][0].astype("datetime64[s]"))
        raise ValueError(f"{where} has the time {twice} twice: keep each one once, with .drop_duplicates('time')")
    return times


def _of_calendar(times: npt.NDArray[Any], where: str) -> npt.NDArray[np.datetime64]:
    try:
        # cftime's dates may be a few microseconds off what they stand for.
        milliseconds = np.array([np.datetime64(_in_utc(time).isoformat(), "us") for time in times.tolist()])
        return (milliseconds + np.timedelta64(500, "us")).astype("datetime64[ms]").astype("datetime64[s]")
    except (ValueError, AttributeError):
        raise ValueError(
            f"{where} has times that are no dates of our calendar ({times[0]!r}, ...): convert them, for example by "
            f"xarray's .{CONVERT}"
        ) from None


def _rank(name: str, coordinate: xr.DataArray) -> tuple[bool, bool, int] | None:
    """How well a coordinate serves as the time, the lower the better; None if it is none."""
    if coordinate.ndim > 1 or coordinate.dtype.kind == "m":
        return None
    attrs = coordinate.attrs
    is_date = coordinate.dtype.kind == "M" or (coordinate.dtype.kind == "O" and _has_dates(coordinate))
    is_said = attrs.get("standard_name") == "time" or attrs.get("axis") == "T"
    if not (is_date or is_said or (name in names.TIMES[:4] and coordinate.dtype.kind in "iuf")):
        return None
    place = names.TIMES.index(name) if name in names.TIMES else len(names.TIMES) + (not is_said)
    return coordinate.ndim == 0, attrs.get("standard_name") == "forecast_reference_time", place


def _has_dates(coordinate: xr.DataArray) -> bool:
    first = np.ravel(values_of(coordinate))[:1].tolist()
    return any(isinstance(one, datetime.datetime) or hasattr(one, "calendar") for one in first)


def _in_utc(time: Any) -> Any:
    if isinstance(time, datetime.datetime) and time.tzinfo is not None:
        return time.astimezone(datetime.UTC).replace(tzinfo=None)
    return time
