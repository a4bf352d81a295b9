"""The one reader of data sets that come from outside: finds a variable, its time, its levels and its grid.

Nothing is read but coordinates. What can be understood in one way only is taken, whatever its names, order, units or
calendar; what cannot is refused by a sentence that says what to do. `docs/data-formats.md` has the table of both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields import channels, dates, latlon, names, units
from xr_cbottle.fields.cells import Cells, find_cells, is_healpix
from xr_cbottle.fields.latlon import LatLon

if TYPE_CHECKING:
    import xarray as xr

Grid: TypeAlias = "Cells | LatLon"

_PASCAL_FROM = 1100  # pressures without a unit whose largest is above this are in Pa, not in hPa
_PACKED = ("scale_factor", "add_offset", "_FillValue", "missing_value")
_LEVEL_IN_NAME = re.compile(r".*\d{2,4}(hPa|mb)?")
_PRESSURE_IN_CHANNEL = re.compile(r"[A-Za-z_]+?(\d+)")
_UNSTRUCTURED = "bring it to HEALPix or to latitudes and longitudes first, for example with cdo remapbil or xESMF"


@dataclass(frozen=True, eq=False)
class Field:
    """A variable of a data set, understood and not read.

    Attributes
    ----------
    name
        As the data set calls it.
    array
        (time, pressure, cell) or (time, pressure, lat, lon) under these names, without time and pressure where it has
        none; no coordinates.
    times
        (time,) datetime64 as found, or of other calendars; one if it is no dimension; None without.
    pressures
        (pressure,) Pa as stored; None without.
    grid
        Where its values lie.
    """

    name: str
    array: xr.DataArray
    times: npt.NDArray[np.datetime64] | None
    pressures: npt.NDArray[np.float64] | None
    grid: Grid

    @property
    def units(self) -> str | None:
        """The attribute of this name; None without."""
        text = self.array.attrs.get("units")
        return None if text is None else str(text)

    @property
    def has_time(self) -> bool:
        """Whether time is a dimension."""
        return "time" in self.array.dims

    @property
    def spatial(self) -> tuple[str, ...]:
        """(cell,) or (lat, lon)."""
        return ("cell",) if isinstance(self.grid, Cells) else ("lat", "lon")

    def place_of(self, pressure: int) -> int | None:
        """Position of a pressure in Pa, within 1 Pa; None if there is no such level."""
        near = np.flatnonzero(np.abs((np.empty(0) if self.pressures is None else self.pressures) - pressure) < 1)
        return int(near[0]) if near.size else None

    def at_level(self, pressure: int | None) -> Field | None:
        """The field of one pressure in Pa, or of none; None if it has no such level."""
        if self.pressures is None:
            return self if pressure is None else None
        if pressure is None:
            single = self.array.isel(pressure=0) if self.pressures.size == 1 else None
            return None if single is None else replace(self, array=single, pressures=None)
        place = self.place_of(pressure)
        return None if place is None else replace(self, array=self.array.isel(pressure=place), pressures=None)


def as_dataset(data: xr.Dataset | xr.DataArray, where: str) -> xr.Dataset:
    """Make a data set of what a user gave, whose packed integers, fill values and times are decoded, lazily.

    Raises
    ------
    ValueError
        If it cannot be decoded.
    """
    import xarray as xr

    if isinstance(data, xr.DataArray):
        data = data.rename(data.name if data.name is not None and data.name not in data.coords else "field")
        data = data.to_dataset(promote_attrs=False)
    if not any(_is_raw(variable) for variable in data.variables.values()):
        return data
    try:
        return xr.decode_cf(data, decode_timedelta=False)
    except (ValueError, OverflowError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{where} cannot be decoded ({reason}): open it with decode_cf, or mend its times") from None


def read_field(ds: xr.Dataset, name: str, where: str = "", open_poles: float | None = None) -> Field:
    """A variable of a data set with its dimensions understood. Reads coordinates only.

    Parameters
    ----------
    ds
        See `as_dataset`.
    name
        Of the variable.
    where
        Where it comes from, at the beginning of messages.
    open_poles
        Degrees around the poles that latitudes may lack; one spacing if None.

    Raises
    ------
    ValueError
        If it is on no grid that is known, not on the whole globe, or has another dimension.
    """
    try:
        return _read_field(ds, name, open_poles)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None


def in_order(field: Field) -> xr.DataArray:
    """(time, pressure, cell NEST) or (time, pressure, lat, lon) of a field, as far as it has them, read."""
    coords: dict[str, Any] = {"time": field.times} if field.has_time else {}
    if field.pressures is not None:
        coords["pressure"] = field.pressures
    array = field.array.load()
    if isinstance(field.grid, Cells):
        return array.copy(data=field.grid.nested(array.values)).assign_coords(coords)
    return array.assign_coords(coords | {"lat": field.grid.lat, "lon": field.grid.lon})


def find_variable(ds: xr.Dataset, variable: channels.Variable, channel: str | None = None) -> tuple[str, float] | None:
    """Name and sign of the variable of a data set that is one of ours; None if there is none.

    It is found by our name, the channel's, those of `names.VARIABLES` and then by its standard name.

    Parameters
    ----------
    ds
        The data set.
    variable
        Ours.
    channel
        Its channel's name, where one level is looked for: that level may be a variable of its own.

    Raises
    ------
    ValueError
        If several have the standard name.
    """
    others = names.VARIABLES.get(variable.name, {})
    exact = {} if channel is None else _of_level(variable, channel, others)
    for candidate, sign in {**exact, variable.name: 1.0, **others}.items():
        if candidate not in ds.data_vars:
            continue
        if candidate in exact or _has_levels(ds, candidate) == variable.on_pressure or candidate == variable.name:
            return candidate, -sign if sign > 0 and _is_opposite(ds[candidate], variable) else sign
    called = [
        str(n)
        for n in ds.data_vars
        if ds[n].attrs.get("standard_name") == variable.standard_name
        and _has_levels(ds, str(n)) == variable.on_pressure
        and (variable.on_pressure or not _is_of_a_level(ds[n]))
    ]
    if len(called) > 1:
        raise ValueError(
            f"{', '.join(called)} are all {variable.standard_name}: call the one that is meant {variable.name}"
        )
    return (called[0], 1.0) if called else None


def fields_of(ds: xr.Dataset) -> list[str]:
    """Names of the variables that may be fields: those with a dimension that is neither time nor bounds'."""
    bounds = {str(v.attrs.get(key)) for v in ds.variables.values() for key in ("bounds", "climatology")}
    return [
        str(name)
        for name, array in ds.data_vars.items()
        if str(name) not in bounds
        and array.dtype.kind in "fiu"
        and any(_is_spatial(ds, str(name), str(dim)) for dim in array.dims)
    ]


def _is_raw(variable: xr.Variable) -> bool:
    attrs = variable.attrs
    undated = variable.dtype.kind in "iuf" and " since " in str(attrs.get("units", ""))
    return undated or (variable.dtype.kind in "iuf" and any(key in attrs for key in _PACKED))


def _read_field(ds: xr.Dataset, name: str, open_poles: float | None) -> Field:
    array = ds[name]
    time = dates.time_of(array)
    time_dim = None if time is None or array.coords[time].ndim == 0 else str(array.coords[time].dims[0])
    if time_dim is None and (undated := [str(dim) for dim in array.dims if dim in names.TIMES[:4]]):
        raise ValueError(f"{name} has no coordinate 'time' along its dimension {undated[0]}: add its dates")
    spatial, grid_of = _place(ds, array, [str(dim) for dim in array.dims if dim != time_dim], open_poles)
    rest = [str(dim) for dim in array.dims if dim != time_dim and dim not in spatial]
    level = next((dim for dim in rest if _is_pressure(array, dim)), None)
    others = [dim for dim in rest if dim != level and array.sizes[dim] != 1]
    if others:
        raise ValueError(_too_many(name, others))
    grid = grid_of()
    pressures = None if level is None else _pascals(array.coords[level])
    times = None if time is None else dates.datetimes(dates.values_of(array.coords[time]), name)
    array = array.isel({dim: 0 for dim in rest if dim != level})
    array = array.drop_vars(list(array.coords))
    called = ("cell",) if len(spatial) == 1 else ("lat", "lon")
    ours = {**({time_dim: "time"} if time_dim else {}), **({level: "pressure"} if level else {})}
    ours |= dict(zip(spatial, called, strict=True))
    array = array.rename({old: new for old, new in ours.items() if old != new}).transpose(*ours.values())
    return Field(name, array, times, pressures, grid)


def _too_many(name: str, dims: Sequence[str]) -> str:
    if "expver" in dims:
        return (
            f"{name} has the dimension expver, ERA5 and its first release side by side: join them, with "
            ".sel(expver=1).combine_first(ds.sel(expver=5))"
        )
    if any(dim in names.LEVELS for dim in dims):
        return (
            f"{name} has the dimension {', '.join(dims)} too, and its levels are no pressures with a coordinate in Pa "
            "or hPa: give that coordinate, or choose one level with .isel"
        )
    return f"{name} has the dimension {', '.join(dims)} too: choose one of it with .isel"


def _place(
    ds: xr.Dataset, array: xr.DataArray, dims: Sequence[str], open_poles: float | None
) -> tuple[tuple[str, ...], Callable[[], Grid]]:
    """Names of the dimensions of space, and what finds the grid on them."""
    axes = latlon.axes_of(array)
    known_cells = [dim for dim in dims if dim in names.CELLS and array.sizes[dim] > 1]
    if len(axes) == 2:
        lat, lon = axes["lat"], axes["lon"]
        if lat.ndim == lon.ndim == 1 and lat.dims != lon.dims and not known_cells:
            spatial = str(lat.dims[0]), str(lon.dims[0])
            return spatial, lambda: latlon.find_latlon(lat.values, lon.values, str(array.name), open_poles)
        if lat.ndim > 1 and not known_cells:
            where = ", ".join(map(str, lat.dims))
            raise ValueError(f"{array.name} is on a curvilinear grid ({where}): {_UNSTRUCTURED}")
        if lat.ndim == 1 and lat.dims == lon.dims:
            known_cells = known_cells or [str(lat.dims[0])]
    if not known_cells and is_healpix(array, ds):
        known_cells = [dim for dim in dims if array.sizes[dim] > 1 and not _is_pressure(array, dim)][-1:]
    if known_cells:
        return (known_cells[0],), lambda: find_cells(array, known_cells[0], ds)
    lacking = [dim for dim in dims if dim in (*names.LATITUDES, *names.LONGITUDES)]
    if len(lacking) == 2:
        missing = [dim for dim in lacking if dim not in array.coords]
        raise ValueError(f"{array.name} has no coordinate {' and no '.join(missing)}: add its degrees")
    raise ValueError(
        f"{array.name} has the dimensions {', '.join(map(str, array.dims)) or 'none'}: it must be on HEALPix cells "
        f"(dimension cell) or on latitudes and longitudes (lat, lon); {_UNSTRUCTURED}"
    )


def _is_pressure(array: xr.DataArray, dim: str) -> bool:
    """Whether a dimension has a coordinate of pressures."""
    if dim not in array.coords or array.coords[dim].dtype.kind not in "iuf":
        return False
    attrs = array.coords[dim].attrs
    if "hybrid" in str(attrs.get("standard_name", "")) or "sigma" in str(attrs.get("standard_name", "")):
        return False
    text = attrs.get("units")
    if text is None:
        return dim in names.LEVELS
    try:
        return bool(units.conversion(str(text), "Pa"))
    except ValueError:
        return False


def _pascals(levels: xr.DataArray) -> npt.NDArray[np.float64]:
    stored = np.asarray(levels.values, np.float64)
    text = levels.attrs.get("units") or ("Pa" if stored.max() > _PASCAL_FROM else "hPa")
    return stored * units.conversion(str(text), "Pa").factor


def _is_opposite(array: xr.DataArray, variable: channels.Variable) -> bool:
    """Whether a flux says that it is downward where ours is upward, or the other way round, as ICON's of heat do."""
    said, ours = str(array.attrs.get("standard_name", "")), variable.standard_name
    turned = {"upward": "downward", "downward": "upward"}
    return said != ours and said.split("_") == [turned.get(word, word) for word in ours.split("_")]


def _has_levels(ds: xr.Dataset, name: str) -> bool:
    array = ds[name]
    return any(
        (dim in names.LEVELS or _is_pressure(array, str(dim))) and array.sizes[dim] > 1 for dim in array.dims
    ) or any(_is_pressure(array, str(dim)) for dim in array.dims)


def _is_of_a_level(array: xr.DataArray) -> bool:
    """Whether a field without levels is of one, by its name (t850, u100) or by a single pressure."""
    single = any(name in array.coords and array.coords[name].ndim == 0 for name in names.LEVELS)
    return single or bool(_LEVEL_IN_NAME.fullmatch(str(array.name)))


def _of_level(variable: channels.Variable, channel: str, others: Iterable[str]) -> dict[str, float]:
    """Names of one level of a variable as a variable of its own: Z500, zg500, z500."""
    digits = _PRESSURE_IN_CHANNEL.fullmatch(channel) if variable.on_pressure else None
    if digits is None:
        return {channel: 1.0}
    stems = dict.fromkeys((variable.name, *others))
    return {channel: 1.0, **{f"{stem}{int(digits[1])}": 1.0 for stem in stems}}


def _is_spatial(ds: xr.Dataset, name: str, dim: str) -> bool:
    if dim in (*names.CELLS, *names.LATITUDES, *names.LONGITUDES):
        return True
    axes = latlon.axes_of(ds[name])
    return any(dim in axis.dims for axis in axes.values()) or (
        ds[name].ndim > 0 and is_healpix(ds[name], ds) and dim == ds[name].dims[-1] and dim not in names.TIMES
    )


def conversion_of(field: Field, variable: channels.Variable, sign: float = 1.0) -> units.Conversion:
    """Factor and offset from a field as it is stored to one of our variables.

    Raises
    ------
    ValueError
        If it has no units, or they are those of something else.
    """
    text: Any = field.units
    if text is None:
        raise ValueError(f"{field.name} has no units: set its attribute, such as attrs['units'] = {variable.units!r}")
    try:
        factor, offset = units.conversion(text, variable.units)
    except ValueError as error:
        rate = units.rate_of(text, variable.units)
        if rate:
            raise ValueError(
                f"{field.name} in {text!r} is a sum over time: divide by its seconds and set units to {rate!r}"
            ) from None
        raise ValueError(f"the units of {field.name}: {error}; mend its attribute units") from None
    return units.Conversion(sign * factor, sign * offset)
