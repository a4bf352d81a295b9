"""The time axis of a data set: which times it has, and which instants each of its values is made of.

An axis stands for hundreds of thousands of steps, so it is a start, a step and a count until it is asked
for; only times that were given one by one are kept one by one.
"""

from __future__ import annotations

import datetime
import functools
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.plain_text import shown

METHODS = ("inst", "mean")
"""``inst``: the instant itself. ``mean``: the mean over the step that ends at the time."""

Seconds = npt.NDArray[np.int64]

_PERIOD = re.compile(r"P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_PARTIAL = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_ZONE = re.compile(r"T.*(Z|[+-]\d\d:?\d\d)\s*$")
_NANO = 10**9
_NANOSECONDS_REACH = 9_223_000_000  # seconds on either side of 1970 that datetime64[ns] can hold


@dataclass(frozen=True)
class TimeAxis:
    """Times of a data set, in seconds since 1970.

    Attributes
    ----------
    start, step, count
        A regular axis: its first time, its step and how many times there are.
    native
        Step between the instants of the bottle.
    method
        One of `METHODS`.
    listed
        Times that were given one by one, instead of start and step; else None.
    """

    start: int
    step: int
    count: int
    native: int
    method: str = "inst"
    listed: tuple[int, ...] | None = None

    @property
    def instants_per_value(self) -> int:
        """How many instants one value is made of: what it costs."""
        return self.step // self.native if self.method == "mean" else 1

    @property
    def seconds(self) -> Seconds:
        """(time,) the times."""
        if self.listed is not None:
            return np.array(self.listed, np.int64)
        return self.start + self.step * np.arange(self.count, dtype=np.int64)

    @property
    def values(self) -> npt.NDArray[np.datetime64]:
        """(time,) the times as datetime64, in nanoseconds as pandas has them or, too far from 1970, in seconds."""
        last = self.start + self.step * (self.count - 1)
        reach = (min(self.listed), max(self.listed)) if self.listed is not None else (self.start, last)
        if max(-reach[0], reach[1]) >= _NANOSECONDS_REACH:
            return self.seconds.view("datetime64[s]")
        if self.listed is not None:
            return (self.seconds * _NANO).view("datetime64[ns]")
        step = self.step * _NANO
        return np.arange(self.start * _NANO, last * _NANO + step, step, dtype=np.int64).view("datetime64[ns]")

    def instants(self, index: int) -> Seconds:
        """The instants that time ``index`` is made of, ascending.

        A mean is of those from one step before its time up to, not including, its time.
        """
        time = self.listed[index] if self.listed is not None else self.start + self.step * index
        if self.method == "inst":
            return np.array([time], np.int64)
        return np.arange(time - self.step, time, self.native, dtype=np.int64)


def make_axis(time: Any, method: str, *, start: int, end: int, native: int) -> TimeAxis:
    """The axis that keywords ``time`` and ``time_method`` ask for.

    Parameters
    ----------
    time
        None, an ISO-8601 step (``PT6H``), one time, several times, or a slice of times with or without a step:
        ``slice("1990", "1991", "P1D")``, ends included as in xarray. Text of a day, month or year (``"1990-07"``) is
        all of it, as in `xarray.Dataset.sel`. Times of a zone are brought to UTC.
    method
        One of `METHODS`.
    start, end
        First and last instant of the bottle, in seconds since 1970.
    native
        Step between them, in seconds.

    Raises
    ------
    ValueError
        If the step is no multiple of the native one, or a time is out of range, between two instants or
        no time at all.
    """
    if method not in METHODS:
        raise ValueError(f"time_method is {method!r}: choose one of {', '.join(METHODS)}")
    step, first, last = native, start, end
    if isinstance(time, str) and time.startswith("P"):
        step = _step(time, native)
    elif method == "inst" and _is_period(time, native):
        first, last = _ends(slice(time, time), start, end, native)
    elif isinstance(time, slice):
        step = _step(time.step, native) if time.step is not None else step
        first, last = _ends(time, start, end, native)
    elif time is not None:
        if method == "mean":
            raise ValueError(
                "time_method='mean' is over the steps of a regular axis: give time as a step such as 'P1D', "
                "or as a slice with one, and select the times from it"
            )
        listed = _listed(time)
        _check_within(listed, start, end, native)
        return TimeAxis(int(listed[0]), native, len(listed), native, method, tuple(listed.tolist()))
    if method == "mean":
        count = (last + native - first) // step
        begin = first + step
    else:
        count = (last - first) // step + 1
        begin = first
    if count < 1:
        raise ValueError(
            f"time={shown(time)} leaves no time: the bottle has {describe(start, end, native)}, "
            f"{(end - start) // native + 1} instants"
        )
    return TimeAxis(begin, step, count, native, method)


def parse_period(text: str) -> int:
    """Seconds of an ISO-8601 duration of days, hours, minutes and seconds.

    Raises
    ------
    ValueError
        If it is none, or nothing long. Months and years are no fixed length.
    """
    match = _PERIOD.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"{text!r} is not an ISO-8601 step in days, hours, minutes or seconds: write for example PT1H, PT6H or P1D"
        )
    seconds = sum(int(n or 0) * unit for n, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True))
    if not seconds:
        raise ValueError(f"the step {text!r} is nothing long: write for example PT1H")
    return seconds


def format_period(seconds: int) -> str:
    """The ISO-8601 duration of some seconds, e.g. ``PT6H`` or ``P1D``."""
    days, rest = divmod(seconds, 86400)
    clock = "".join(f"{n}{unit}" for n, unit in ((rest // 3600, "H"), (rest // 60 % 60, "M"), (rest % 60, "S")) if n)
    return f"P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"


def format_time(seconds: int) -> str:
    """ISO-8601 text of a time, without seconds if there are none."""
    text = str(np.datetime64(int(seconds), "s"))
    return text.removesuffix(":00")


def describe(start: int, end: int, native: int) -> str:
    """``1940-01-01T00:00 to 2022-12-31T23:00 every PT1H``."""
    return f"{format_time(start)} to {format_time(end)} every {format_period(native)}"


def _step(text: Any, native: int) -> int:
    step = parse_period(text)
    if step % native:
        raise ValueError(
            f"the step {text} is no multiple of the bottle's {format_period(native)}: choose for example "
            + ", ".join(dict.fromkeys(format_period(native * n) for n in (1, 2, 4)))
        )
    return step


def _seconds(time: Any) -> Seconds:
    """Any one or several times as whole seconds, 1-d."""
    if getattr(time, "tz", None) is not None:  # an index of pandas, of a zone; in its words None is UTC
        time = time.tz_convert(None)
    values = getattr(time, "values", time)
    if isinstance(values, (bool, int, float, bytes)):
        raise TypeError
    stamps = np.atleast_1d(np.asarray(values))
    if not stamps.size:
        return np.empty(0, np.int64)
    if stamps.dtype.kind in "OU":
        stamps = np.array([np.datetime64(_in_utc(t)) for t in stamps.ravel().tolist()])
    if stamps.dtype.kind != "M" or stamps.ndim != 1 or np.isnat(stamps).any():
        raise TypeError
    whole = stamps.astype("datetime64[s]")
    if (whole != stamps).any():
        raise TypeError
    return whole.astype(np.int64)


def _in_utc(time: Any) -> Any:
    """A time of a zone, as an object or as text that ends in Z or an offset, as that of UTC without one."""
    if isinstance(time, str) and _ZONE.search(time):
        time = datetime.datetime.fromisoformat(time.strip())
    if isinstance(time, datetime.datetime) and time.tzinfo is not None:
        return time.astimezone(datetime.UTC).replace(tzinfo=None)
    return time


def _is_period(time: Any, native: int) -> bool:
    """Whether a time is text of a day, month or year that is longer than the native step: all of it is meant."""
    if not isinstance(time, str) or not _PARTIAL.fullmatch(time):
        return False
    try:
        stamp = np.datetime64(time)
    except ValueError:
        return False
    length = (stamp + 1).astype("datetime64[s]") - stamp.astype("datetime64[s]")
    return bool(length > np.timedelta64(native, "s"))


def _listed(time: Any) -> Seconds:
    try:
        seconds = _seconds(time)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"time={shown(time)} is neither a step nor times: give an ISO-8601 step such as 'PT6H', or times "
            "on whole seconds, as a string, datetime64, a list or an index of them, or a slice"
        ) from None
    if not len(seconds):
        raise ValueError("time is an empty list: give at least one time, or a step such as 'PT6H'")
    return seconds


def _check_within(seconds: Seconds, start: int, end: int, native: int) -> None:
    outside = (seconds < start) | (seconds > end)
    if outside.any():
        raise ValueError(
            f"{format_time(seconds[outside][0])} is out of range: there are {describe(start, end, native)}"
        )
    between = (seconds - start) % native != 0
    if between.any():
        time = int(seconds[between][0])
        near = start + round((time - start) / native) * native
        raise ValueError(
            f"{format_time(time)} lies between two instants: there are {describe(start, end, native)}; "
            f"the nearest is {format_time(min(near, end))}"
        )


def _ends(time: slice, start: int, end: int, native: int) -> tuple[int, int]:
    """First and last instant within a slice; a date without a clock time ends with its last second."""
    first, last = start, end
    if time.start is not None:
        wanted = int(_listed(time.start)[0])
        _check_overlap(wanted, time.start, start, end, native)
        first = max(start, start + -(-(wanted - start) // native) * native)
    if time.stop is not None:
        wanted = int(_listed(time.stop)[0])
        if isinstance(time.stop, str):
            stamp = np.datetime64(time.stop)
            wanted = int((stamp + 1).astype("datetime64[s]").astype(np.int64)) - 1
        last = start + (min(wanted, end) - start) // native * native
        _check_overlap(last, time.stop, start, end, native)
    return first, last


def _check_overlap(seconds: int, given: Any, start: int, end: int, native: int) -> None:
    if not start <= seconds <= end:
        raise ValueError(f"the slice's end {shown(given)} is out of range: there are {describe(start, end, native)}")


@functools.lru_cache(maxsize=64)
def range_of(start: str, end: str, step: str) -> tuple[int, int, int]:
    """(first, last, step) in seconds of a manifest's time axis."""
    first, last = (int(np.datetime64(t, "s").astype(np.int64)) for t in (start, end))
    native = parse_period(step)
    return first, first + (last - first) // native * native, native
