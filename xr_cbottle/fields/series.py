"""Series of one number in time, such as the carbon dioxide of a scenario: what forces a climate beside the sea.

A series is a number that holds always, or values at some times: linear between them. Those of CMIP6's experiments come
with the package (``co2_cmip6.csv``, whose first lines say where it is from).
"""

from __future__ import annotations

import csv
import functools
import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.plain_text import one_line, shown
from xr_cbottle.fields import dates, reader, units

if TYPE_CHECKING:
    import xarray as xr

_TABLE = Path(__file__).with_name("co2_cmip6.csv")
PATHWAYS = (
    "historical", "ssp119", "ssp126", "ssp245", "ssp370", "ssp434", "ssp460", "ssp534-over", "ssp585", "1pctCO2",
)  # fmt: skip
"""Names of CMIP6's experiments whose carbon dioxide comes with the package; the ssp begin with historical."""
CITED = "Meinshausen et al. 2017, 2020"
"""Where the carbon dioxide of CMIP6 is published."""
_PARTS = {
    **dict.fromkeys(("ppmv", "ppm", "1e-6", "1.e-6", "umol mol-1", "umol/mol", "micromol mol-1", "µmol mol-1"), 1.0),
    **dict.fromkeys(("ppbv", "ppb", "1e-9", "1.e-9", "nmol mol-1", "nmol/mol"), 1e-3),
    **dict.fromkeys(("1", "mol mol-1", "mol/mol", "mole mole-1"), 1e6),
}
"""Units of a mole fraction, in ppmv."""
_MOST_TIMES = 1_000_000
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, eq=False)
class Series:
    """One number in time; make it with `Series.of`.

    Attributes
    ----------
    times
        (n,) datetime64[s], ascending; empty if the number always holds.
    values
        (n,) float64, in the unit that was asked for; one if it always holds.
    name
        What it is in a few words: ``560 ppmv``, ``ssp585``.
    """

    times: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]
    name: str

    @classmethod
    def of(cls, given: Any, what: str, unit: str) -> Series:
        """Make a series of what a user gives.

        Parameters
        ----------
        given
            A number, the name of one of `PATHWAYS` (of carbon dioxide only), a DataArray or a data set along time, a
            path or URL of one, or a series.
        what
            Its name in messages.
        unit
            In which its values are wanted.

        Raises
        ------
        ValueError
            If it is none of these, has no time, a value that is not finite, or another unit.
        """
        import xarray as xr

        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            text = given.strip()
            if what == "co2" and text in PATHWAYS:
                return pathway(text)
            if _NUMBER.fullmatch(text):
                return constant(float(text), what, unit)
        if isinstance(given, (int, float, np.number)) and not isinstance(given, (bool, np.bool_)):
            return constant(float(given), what, unit)
        if isinstance(given, (str, os.PathLike)):
            return cls._opened(given, what, unit)
        if isinstance(given, (xr.Dataset, xr.DataArray)):
            return _read(reader.as_dataset(given, what), what, unit)
        raise ValueError(f"{what} is {shown(given)}: {_allowed(what, unit)}")

    @classmethod
    def _opened(cls, path: str | os.PathLike[str], what: str, unit: str) -> Series:
        import xarray as xr

        text = os.path.expanduser(os.path.expandvars(os.fspath(path)))
        if "://" not in text and not os.path.exists(text):
            raise ValueError(f"{what} is {shown(os.fspath(path))}, and there is no such file: {_allowed(what, unit)}")
        try:
            opened = xr.open_zarr(text, chunks=None) if os.path.isdir(text) else xr.open_dataset(text)
        except Exception as error:
            raise ValueError(f"{what}: {one_line(text, 200)} cannot be opened ({one_line(error, 200)})") from None
        with opened:
            return _read(reader.as_dataset(opened, what), what, unit)

    def at(self, times: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(n,) float64 at (n,) datetime64: linear in time, and the first or last value before and after them."""
        wanted = np.atleast_1d(np.asarray(times, "datetime64[s]")).astype(np.int64)
        if not len(self.times):
            return np.full(len(wanted), self.values[0])
        return np.interp(wanted, self.times.astype(np.int64), self.values)

    @property
    def coverage(self) -> tuple[np.datetime64, np.datetime64] | None:
        """First and last second of which it speaks: whole years or months of annual or monthly values; None: always."""
        if not len(self.times):
            return None
        first, last = self.times[0], self.times[-1]
        days = np.diff(self.times).astype(np.int64).min() / 86400 if len(self.times) > 1 else 0
        period = "datetime64[Y]" if days > 350 else "datetime64[M]" if days >= 27 else None
        if period is None:
            return first, last
        end = (last.astype(period) + 1).astype("datetime64[s]") - np.timedelta64(1, "s")
        return first.astype(period).astype("datetime64[s]"), end

    def check_covers(self, first: np.datetime64, last: np.datetime64, what: str) -> None:
        """Refuse times of which the series does not speak.

        Raises
        ------
        ValueError
            With both periods.
        """
        covered = self.coverage
        if covered is None or (covered[0] <= first and last <= covered[1]):
            return
        spans = [f"{a.astype('datetime64[D]')} to {b.astype('datetime64[D]')}" for a, b in (covered, (first, last))]
        raise ValueError(
            f"{what} ({self.name}) is known from {spans[0]} and the times go from {spans[1]}: give more of it, a "
            "number, or other times"
        )

    def range(self, first: np.datetime64, last: np.datetime64) -> tuple[float, float]:
        """Smallest and largest value from ``first`` to ``last``."""
        inside = self.values[(self.times >= first) & (self.times <= last)] if len(self.times) else self.values
        values = np.concatenate([inside, self.at([first, last])])
        return float(values.min()), float(values.max())

    @functools.cached_property
    def token(self) -> str:
        """Digest (sha256) of times and values, as hexadecimal digits."""
        digest = hashlib.sha256(b"series")
        digest.update(self.times.astype("<i8").tobytes())
        digest.update(self.values.astype("<f8").tobytes())
        return digest.hexdigest()


def constant(value: float, what: str, unit: str) -> Series:
    """A number that always holds.

    Raises
    ------
    ValueError
        If it is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value}: {_allowed(what, unit)}")
    return Series(np.zeros(0, "datetime64[s]"), np.array([value]), f"{value:.10g} {unit}")


def at_times(times: npt.ArrayLike, values: npt.ArrayLike, name: str) -> Series:
    """Values at some ascending times."""
    return Series(np.asarray(times, "datetime64[s]"), np.asarray(values, np.float64), name)


@functools.cache
def pathway(name: str) -> Series:
    """Carbon dioxide of one of `PATHWAYS`, ppmv: annual means in the middle of their years."""
    table = _table()
    rows = {**(table["historical"] if name.startswith("ssp") else {}), **table[name]}
    years = np.array(sorted(rows)).astype(str).astype("datetime64[Y]")
    begins, ends = years.astype("datetime64[s]"), (years + 1).astype("datetime64[s]")
    return at_times(begins + (ends - begins) // 2, [rows[year] for year in sorted(rows)], name)


@functools.cache
def _table() -> Mapping[str, dict[int, float]]:
    with open(_TABLE, encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return {name: {int(row["year"]): float(row[name]) for row in rows if row[name]} for name in PATHWAYS}


def _read(ds: xr.Dataset, what: str, unit: str) -> Series:
    """The one series of a data set, or that of the forcing's own name."""
    found = [str(name) for name in ds.data_vars if dates.time_of(ds[name]) is not None]
    name = what if what in found else found[0] if len(found) == 1 else None
    if name is None:
        there = ", ".join(found) or "none with a time"
        raise ValueError(f"{what}: which variable is it? Pass it as a DataArray along time; there are: {there}")
    array = ds[name].squeeze(drop=False)
    time = dates.time_of(array)
    if time is None or array.ndim > 1 or (array.ndim == 1 and time not in array.dims):
        raise ValueError(f"{what} has the dimensions {', '.join(map(str, array.dims))}: it must have time alone")
    if array.size > _MOST_TIMES:
        raise ValueError(f"{what} has {array.size} times: at most {_MOST_TIMES} are taken; give its monthly means")
    times = dates.each_once(dates.datetimes(dates.values_of(array[time]), what).astype("datetime64[s]"), what)
    values = np.atleast_1d(np.asarray(array.values, np.float64)) * _factor(array.attrs.get("units"), what, unit)
    if not np.isfinite(values).all():
        raise ValueError(f"{what} has a value that is missing or not finite: drop it, for example with .dropna('time')")
    order = np.argsort(times, kind="stable")
    made = Series(times[order], values[order], "")
    return Series(made.times, made.values, f"a series, sha256:{made.token[:12]}")


def _factor(given: Any, what: str, unit: str) -> float:
    """Values in a given unit times this are in the wanted one; without a unit they are taken to be."""
    text = "" if given is None else str(given).strip()
    if text in ("", unit):
        return 1.0
    if text in _PARTS and unit in _PARTS:
        return _PARTS[text] / _PARTS[unit]
    try:
        factor, offset = units.conversion(text, unit)
    except ValueError:
        factor, offset = 0.0, 0.0
    if not factor or offset:
        raise ValueError(f"{what} has the units {shown(text)}: they must be {unit}, or can be left out")
    return factor


def _allowed(what: str, unit: str) -> str:
    names = f"one of {', '.join(PATHWAYS)}, " if what == "co2" else ""
    return f"give a number of {unit}, {names}or a DataArray along time or the path of one"
