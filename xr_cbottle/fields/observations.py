"""Point observations of a user as values of a bottle's channels, at places and times, with their errors."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.plain_text import shown
from xr_cbottle.fields import channels, dates, names, reader, units
from xr_cbottle.fields.channels import Channel
from xr_cbottle.fields.station_table import as_table
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    Floats = npt.NDArray[np.float64]

LAPSE_RATE = 0.0065
"""Kelvins per metre by which air is colder higher up: the standard atmosphere's."""
#: What air near the ground and aloft can have. Degrees Celsius that are taken for kelvins lie outside.
_POSSIBLE = {"K": (150.0, 350.0), "Pa": (30000.0, 112000.0), "m s-1": (-200.0, 200.0), "kg kg-1": (-0.001, 0.1)}
_PASCAL_FROM = 1100  # levels whose largest is above this are in Pa, not in hPa


@dataclass(frozen=True, eq=False)
class Observations:
    """Point observations, in the order of their times.

    Attributes
    ----------
    seconds
        (observation,) since 1970, rising.
    channel
        (observation,) numbers of the channels that are observed.
    lon, lat
        (observation,) degrees.
    value, error
        (observation,) in the units of the variables, and the standard error of each.
    height
        (observation,) of the station above the sea in m; NaN where it is not said.
    """

    seconds: npt.NDArray[np.int64]
    channel: npt.NDArray[np.int64]
    lon: Floats
    lat: Floats
    value: Floats
    error: Floats
    height: Floats

    def __len__(self) -> int:
        return len(self.seconds)

    def between(self, first: int, last: int) -> Observations:
        """Observations of a span of time in whole seconds, both ends included."""
        part = slice(*np.searchsorted(self.seconds, [first, last + 1]))
        rest = (getattr(self, field.name)[part] for field in dataclasses.fields(self)[2:])
        return Observations(self.seconds[part], self.channel[part], *rest)

    def digest(self) -> str:
        """Digest of all that they say."""
        whole = hashlib.sha256()
        for field in dataclasses.fields(self):
            column = getattr(self, field.name)
            whole.update(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes())
        return whole.hexdigest()


def read_observations(
    data: pd.DataFrame | xr.Dataset,
    names_of_channels: Sequence[str],
    what: str,
    errors: Mapping[str, float] | None = None,
    own: Mapping[str, channels.Variable] = channels.NONE_OF_ITS_OWN,
) -> Observations:
    """Read point observations, and check places, times, variables, units and errors.

    Parameters
    ----------
    data
        In one of the forms of `xr_cbottle.fields.station_table.as_table`.
    names_of_channels
        Those of the bottle.
    what
        Name of the bottle, for messages.
    errors
        Standard errors by variable, in its units, of observations that do not say theirs.
    own
        Variables that the bottle defines itself.

    Raises
    ------
    ValueError
        If something is missing, is of no known variable or unit, or lies outside the globe; one sentence says what.
    """
    table = as_table(data)
    value = _numbers(table, "value")
    table, value = table[np.isfinite(value)], value[np.isfinite(value)]
    if not len(table):
        raise ValueError("no observation has a value")
    lon, lat, error, height, level = (_numbers(table, name) for name in ("lon", "lat", "error", "height", "level"))
    _check_places(lon, lat)
    seconds = _seconds(table)
    if (np.nanmax(level, initial=0)) <= _PASCAL_FROM:
        level = level * 100
    channel, known = np.empty(len(table), np.int64), [channels.parse(one, own) for one in names_of_channels]
    for (name, standard, text), rows in _groups(table, ("variable", "standard_name", "units")):
        variable, sign, own_level = _variable(name, standard, known, what)
        factor, offset = _conversion(name, text, variable)
        value[rows] = sign * (value[rows] * factor + offset)
        error[rows] = error[rows] * abs(factor)
        _check_possible(name, value[rows], variable, text)
        _complete_errors(name, error, rows, variable, errors or {})
        levels = np.full(len(rows), own_level, float) if own_level is not None else level[rows]
        channel[rows] = _channels(name, levels, variable, known, what)
    order = np.argsort(seconds, kind="stable")
    places = (one[order] for one in (lon % 360, lat, value, error, height))
    return Observations(seconds[order], channel[order], *places)


def brought_to_surface(
    observed: Observations, orography: xr.DataArray | xr.Dataset, names_of_channels: Sequence[str], zoom: int
) -> Observations:
    """Bring temperatures near the surface from the heights of stations to that of cells, by `LAPSE_RATE`.

    How steep it is at a time is not known: a third of what is added is added to the error.

    Parameters
    ----------
    observed
        Observations; those without a height stay as they are.
    orography
        Height of the surface of the globe, in m.
    names_of_channels
        Those of the bottle.
    zoom
        HEALPix level of the cells.

    Raises
    ------
    ValueError
        If it is no field of heights.
    """
    ds = reader.as_dataset(orography, "the orography")
    found = reader.fields_of(ds)
    if len(found) != 1:
        raise ValueError(f"the orography must be one field, not {', '.join(found) or 'none'}: choose it with ds[name]")
    field = reader.read_field(ds, found[0], "the orography: ")
    if field.has_time:
        raise ValueError("the orography has times: choose one with .isel(time=0)")
    factor, _ = units.conversion(field.units or "no unit", "m")
    heights = field.grid.averaged(np.asarray(field.array.values, np.float64) * factor, zoom)
    surface = healpix.interpolate(np.nan_to_num(heights), zoom, observed.lon, observed.lat)
    of_air = np.isin(observed.channel, [i for i, one in enumerate(names_of_channels) if one == "tas"])
    moved = np.where(of_air & np.isfinite(observed.height), LAPSE_RATE * (observed.height - surface), 0.0)
    return dataclasses.replace(observed, value=observed.value + moved, error=np.hypot(observed.error, moved / 3))


def _numbers(table: pd.DataFrame, name: str) -> Floats:
    """A column as float64, NaN where there is none."""
    if name not in table:
        return np.full(len(table), np.nan)
    try:
        return np.array(table[name].to_numpy(np.float64, na_value=np.nan), np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"the column {name} of the observations holds something that is no number: mend it") from None


def _groups(table: pd.DataFrame, columns: Sequence[str]) -> list[tuple[list[Any], npt.NDArray[np.int64]]]:
    """Rows that have the same text in some columns, with that text; None where there is none."""
    text = [table[name].tolist() if name in table else [None] * len(table) for name in columns]
    found: dict[tuple[Any, ...], list[int]] = {}
    for i, row in enumerate(zip(*text, strict=True)):
        found.setdefault(tuple(None if one is None or one != one else str(one) for one in row), []).append(i)
    return [(list(key), np.array(rows)) for key, rows in found.items()]


# Places and times -----------------------------------------------------------------------------------------------------


def _check_places(lon: Floats, lat: Floats) -> None:
    outside = ~(np.abs(lat) <= 90) | ~((lon >= -360) & (lon <= 360))
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"{outside.sum()} of {len(lat)} observations lie outside the globe, the first at latitude {lat[i]:g} and "
            f"longitude {lon[i]:g}: give latitudes of -90 to 90 and longitudes of -360 to 360 degrees"
        )


def _seconds(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    import pandas as pd

    column = table["time"]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    elif column.dtype.kind not in "MO" or isinstance(column.iloc[0], str):
        try:
            if column.dtype.kind in "iufb":
                raise ValueError
            column = pd.to_datetime(column, utc=True, format="ISO8601").dt.tz_localize(None)
        except (ValueError, TypeError):
            raise ValueError(
                f"the times of the observations are no dates ({shown(column.iloc[0])}, ...): give datetime64, such as "
                "pandas.to_datetime makes"
            ) from None
    values = column.to_numpy()
    return dates.datetimes(values, "the table of observations").astype("datetime64[s]").astype(np.int64)


# Variables, units and errors ------------------------------------------------------------------------------------------


def _variable(
    name: str | None, standard: str | None, known: Sequence[Channel], what: str
) -> tuple[channels.Variable, float, int | None]:
    """Which variable of a bottle an observation is of, its sign, and its level if the name has one."""
    there: dict[str, list[Channel]] = {}
    for one in known:
        there.setdefault(one.variable.name, []).append(one)
    for ours, found in there.items():
        signs = {ours: 1.0, **names.VARIABLES.get(ours, {})}
        if name in signs:
            return found[0].variable, signs[name], None
        for one in found:
            if one.level is not None and name in {one.name, *(f"{stem}{one.level // 100}" for stem in signs)}:
                return one.variable, 1.0, one.level
    for found in there.values():
        if found[0].variable.standard_name == standard and found[0].level is None:
            return found[0].variable, 1.0, None
    raise ValueError(
        f"{what} has no variable {shown(name)} that is observed: it has {', '.join(there)}; rename it, or leave these "
        "observations out"
    )


def _conversion(name: str | None, text: str | None, variable: channels.Variable) -> units.Conversion:
    """Factor and offset to our units, which those without any have."""
    if text is None:
        return units.Conversion()
    try:
        return units.conversion(text, variable.units)
    except ValueError as error:
        raise ValueError(f"the units of {name}: {error}; mend those of the observations") from None


def _check_possible(name: str | None, values: Floats, variable: channels.Variable, text: str | None) -> None:
    low, high = _POSSIBLE.get(variable.units, (-np.inf, np.inf))
    wrong = values[(values < low) | (values > high)]
    if wrong.size:
        said = "which no air has: mend it" if text is not None else "and no units are said: give a column units"
        raise ValueError(
            f"{wrong.size} observations of {name} are not possible, such as {wrong[0]:g} {variable.units}, {said}"
        )


def _complete_errors(
    name: str | None,
    error: Floats,
    rows: npt.NDArray[np.int64],
    variable: channels.Variable,
    given: Mapping[str, float],
) -> None:
    """Fill in the errors that are not said; in place."""
    usual = given.get(str(name), given.get(variable.name))
    if usual is not None and not (isinstance(usual, (int, float, np.number)) and usual > 0):
        raise ValueError(f"errors[{name!r}] is {shown(usual)}: give a positive number, in {variable.units}")
    error[rows] = np.where(np.isnan(error[rows]) & (usual is not None), usual or 0.0, error[rows])
    if np.isnan(error[rows]).any():
        raise ValueError(
            f"{int(np.isnan(error[rows]).sum())} observations of {name} have no error: give a column error, or "
            f"errors={{{variable.name!r}: ...}} in {variable.units}"
        )
    if not ((error[rows] > 0) & np.isfinite(error[rows])).all():
        raise ValueError(f"the errors of observations of {name} must be positive numbers, in the units of {name}")


def _channels(
    name: str | None, levels: Floats, variable: channels.Variable, known: Sequence[Channel], what: str
) -> npt.NDArray[np.int64]:
    """Number of the channel of each observation of a variable."""
    if not variable.on_pressure:
        return np.full(len(levels), next(i for i, one in enumerate(known) if one.variable == variable))
    there = {one.level: i for i, one in enumerate(known) if one.variable == variable}
    out = np.full(len(levels), -1)
    for level, number in there.items():
        out[np.abs(levels - float(level or 0)) < 1] = number
    if (out < 0).any():
        odd = levels[out < 0][0]
        which = "have no level" if np.isnan(odd) else f"are at {odd:g} Pa"
        levels_there = ", ".join(str(level) for level in sorted(there, key=lambda one: one or 0))
        raise ValueError(
            f"{int((out < 0).sum())} observations of {name} {which} and {what} has it at {levels_there} Pa: give "
            "a column level with one of these"
        )
    return out
