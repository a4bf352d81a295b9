"""A user's own data as the coarse fields that super-resolution refines: found by name, in our units, on our cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields import channels, units
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr

_CELLS = ("cell", "cells", "ncells", "pix", "pixel", "healpix", "hpx", "values")
_LAT, _LON = ("lat", "latitude"), ("lon", "longitude")
_LEVELS = ("pressure", "plev", "level", "pressure_level", "isobaricInhPa")
_LARGEST_ZOOM = 15
_CELL_DEGREES = math.degrees(math.sqrt(4 * math.pi / 12))  # edge of a cell at zoom 0


@dataclass(frozen=True, eq=False)
class Source:
    """Where a channel comes from: channel = data * factor + offset.

    Attributes
    ----------
    channel
        Its name.
    array
        (time, cell) or (time, lat, lon), as found.
    factor, offset
        Of the units, the sign and the channel.
    may_lack
        Whether it may have missing values, which are those over land.
    converted
        What was done to it, in words; empty if nothing.
    """

    channel: str
    array: xr.DataArray
    factor: float
    offset: float
    may_lack: bool
    converted: str


@dataclass(frozen=True, eq=False)
class Given:
    """Coarse fields of a data set; make it with `read_given`.

    Attributes
    ----------
    sources
        One for each channel, in their order.
    seconds
        (time,) since 1970, ascending or not, each one once.
    zoom
        HEALPix level of what `at` returns.
    grid
        In words: what the data are on, and how they come to the cells.
    lat, lon
        Degrees of a grid of latitudes and longitudes; None on HEALPix.
    from_zoom
        HEALPix level of the data, or to which they are interpolated before cells are averaged.
    has_time
        Whether time is a dimension.
    """

    sources: tuple[Source, ...]
    seconds: npt.NDArray[np.int64]
    zoom: int
    grid: str
    lat: npt.NDArray[np.float64] | None
    lon: npt.NDArray[np.float64] | None
    from_zoom: int
    has_time: bool

    def at(self, positions: Sequence[int]) -> npt.NDArray[np.float32]:
        """(position, channel, cell NEST) at some times, NaN only where a channel is not defined over land.

        Raises
        ------
        ValueError
            If other values are missing.
        """
        order = np.asarray(positions, np.int64)
        out = np.empty((len(order), len(self.sources), healpix.n_cells(self.zoom)), np.float32)
        for i, source in enumerate(self.sources):
            values: npt.NDArray[np.floating] = np.asarray(source.array.isel(time=order).values, np.float64)
            values = values * source.factor + source.offset
            if self.lat is not None and self.lon is not None:
                values = healpix.bilinear_from_latlon(values, self.lat, self.lon, self.from_zoom)
            values = healpix.coarsen(values, self.from_zoom - self.zoom)
            if not source.may_lack and not np.isfinite(values).all():
                raise ValueError(
                    f"{source.array.name} has missing values, and super-resolution needs all of the globe: fill them, "
                    "for example with .interpolate_na"
                )
            out[:, i] = values
        return out


def read_given(ds: xr.Dataset, names: Sequence[str], zoom: int, what: str) -> Given:
    """Find channels in a data set, and check their units, grid and times. Reads no values.

    Parameters
    ----------
    ds
        On HEALPix in NEST order of this zoom or a finer one, or on latitudes and longitudes; the whole globe.
    names
        Of the channels.
    zoom
        HEALPix level at which they are wanted.
    what
        Name of the bottle, for messages.

    Raises
    ------
    ValueError
        If a variable is missing, its units are not known, or grid or times are not those that are needed.
    """
    import xarray as xr

    if not isinstance(ds, xr.Dataset):
        raise ValueError(f"what is downscaled is an xarray.Dataset, not {type(ds).__name__}")
    found = [_find(ds, name) for name in names]
    lacking = [name for name, one in zip(names, found, strict=True) if one is None]
    if lacking:
        wanted = ", ".join(_described(name) for name in lacking)
        raise ValueError(
            f"{what} super-resolves {len(names)} fields together and the data set has no {wanted}; it has "
            f"{', '.join(map(str, ds.data_vars)) or 'none'}: rename, or add what is missing"
        )
    arrays = [_with_time(one[0]) for one in found if one is not None]
    has_time = any("time" in one[0].dims for one in found if one is not None)
    seconds = _seconds(arrays)
    grids = {_grid(array) for array in arrays}
    if len(grids) > 1:
        raise ValueError(
            f"the fields are on different grids, {' and '.join(map(str, sorted(grids)))}: bring them to one"
        )
    spatial = grids.pop()
    sources = tuple(
        _source(name, array.transpose("time", *spatial), one[1])
        for name, array, one in zip(names, arrays, found, strict=True)
        if one is not None
    )
    if len(spatial) == 1:
        from_zoom = _healpix_zoom(ds, spatial[0], arrays[0].sizes[spatial[0]], zoom)
        grid = f"HEALPix zoom {from_zoom}" + (f", averaged to zoom {zoom}" if from_zoom > zoom else "")
        return Given(sources, seconds, zoom, grid, None, None, from_zoom, has_time)
    lat, lon, sources = _latlon(arrays[0], spatial, sources)
    spacing = max(float(np.diff(np.sort(axis)).max()) for axis in (lat, lon))
    from_zoom = max(zoom, math.ceil(math.log2(_CELL_DEGREES / spacing) - 1e-9))
    if spacing > 1.5 * _CELL_DEGREES / 2**zoom:
        raise ValueError(
            f"the grid has a spacing of {spacing:g} degrees and {what} refines cells of "
            f"{_CELL_DEGREES / 2**zoom:.2g} degrees (zoom {zoom}): give data that are as fine"
        )
    averaged = f", averaged to zoom {zoom}" if from_zoom > zoom else ""
    grid = f"{lat.size} x {lon.size} latitudes and longitudes, interpolated bilinearly to HEALPix zoom {from_zoom}"
    return Given(sources, seconds, zoom, grid + averaged, lat, lon, from_zoom, has_time)


def _described(name: str) -> str:
    channel = channels.parse(name)
    level = "" if channel.level is None else f" at {channel.level} Pa"
    return f"{channel.variable.name}{level} ({channel.variable.long_name}, {channel.variable.units})"


def _find(ds: xr.Dataset, name: str) -> tuple[xr.DataArray, float] | None:
    """The field of a channel in a data set and its sign: by name, and then by standard name."""
    channel = channels.parse(name)
    variable, level = channel.variable, channel.level
    signs = {variable.name: 1.0, name: 1.0, **units.NAMES.get(variable.name, {})}
    for candidate, sign in signs.items():
        if candidate in ds.data_vars:
            array = ds[candidate]
            if level is None or candidate == name:
                return array, sign
            at_level = _at_level(array, level)
            return None if at_level is None else (at_level, sign)
    called = [str(n) for n in ds.data_vars if ds[n].attrs.get("standard_name") == variable.standard_name]
    fields = [ds[n] for n in called if (level is None) != any(dim in _LEVELS for dim in ds[n].dims)]
    if len(fields) > 1:
        raise ValueError(
            f"{', '.join(str(field.name) for field in fields)} are all {variable.standard_name}: "
            f"call the one that is meant {variable.name}"
        )
    if not fields:
        return None
    if level is None:
        return fields[0], 1.0
    at_level = _at_level(fields[0], level)
    return None if at_level is None else (at_level, 1.0)


def _at_level(array: xr.DataArray, level: int) -> xr.DataArray | None:
    dim = next((str(dim) for dim in array.dims if dim in _LEVELS), None)
    if dim is None or dim not in array.coords:
        return None
    text = str(array[dim].attrs.get("units", "hPa" if float(array[dim].max()) < 2000 else "Pa"))
    convert = units.conversion(text, "Pa")
    if convert is None:
        raise ValueError(f"the levels {dim} are in {text!r}: give them in Pa or hPa")
    pascals = np.asarray(array[dim].values, float) * convert[0]
    near = np.flatnonzero(np.abs(pascals - level) < 1)
    return array.isel({dim: int(near[0])}, drop=True) if near.size else None


def _source(name: str, array: xr.DataArray, sign: float) -> Source:
    channel = channels.parse(name)
    variable = channel.variable
    text = array.attrs.get("units")
    if text is None:
        raise ValueError(f"{array.name} has no units: set its attribute, such as attrs['units'] = {variable.units!r}")
    convert = units.conversion(str(text), variable.units)
    if convert is None:
        rate = units.accumulated(str(text), variable.units)
        sums = f" is a sum over time: divide by its seconds and set units to {rate!r}" if rate else ""
        known = f" cannot be made {variable.units}: give one of {', '.join(units.known(variable.units))}"
        raise ValueError(f"{array.name} in {text!r}{sums or known}")
    factor, offset = sign * convert[0], sign * convert[1]
    changes = [f"{array.name} taken for {variable.name}"] if array.name not in (variable.name, name) else []
    if convert != (1.0, 0.0):
        changes.append(f"{variable.name} from {text} to {variable.units}")
    if sign < 0:
        changes.append(f"sign of {array.name} changed")
    return Source(
        name, array, factor / channel.factor, offset / channel.factor, variable.ocean_only, ", ".join(changes)
    )


def _with_time(array: xr.DataArray) -> xr.DataArray:
    if "time" not in array.coords:
        raise ValueError(
            f"{array.name} has no time, by which the noise is chosen: add one with .assign_coords(time=...)"
        )
    return array if "time" in array.dims else array.expand_dims("time")


def _seconds(arrays: Sequence[xr.DataArray]) -> npt.NDArray[np.int64]:
    times = arrays[0]["time"].values
    if any(not np.array_equal(array["time"].values, times) for array in arrays):
        raise ValueError("the fields have different times: select those that they share")
    if times.dtype.kind != "M":
        raise ValueError(f"the times are {times.dtype}, not datetime64: decode them, on the standard calendar")
    whole = times.astype("datetime64[s]")
    if not times.size or np.isnat(times).any() or (whole != times).any() or len(np.unique(whole)) < len(whole):
        raise ValueError("the times must be whole seconds, each one once and none missing, as they choose the noise")
    return whole.astype(np.int64)


def _grid(array: xr.DataArray) -> tuple[str, ...]:
    """Names of the dimensions of space: (cell,) or (lat, lon)."""
    dims = [str(dim) for dim in array.dims if dim != "time"]
    if len(dims) == 1 and dims[0] in _CELLS:
        return (dims[0],)
    lat, lon = ([dim for dim in dims if dim in names] for names in (_LAT, _LON))
    if len(dims) == 2 and lat and lon:
        return lat[0], lon[0]
    others = [dim for dim in dims if dim not in (*_CELLS, *_LAT, *_LON)]
    if others and len(others) < len(dims):
        raise ValueError(f"{array.name} has the dimension {', '.join(others)} too: choose one of it with .isel")
    raise ValueError(
        f"{array.name} has the dimensions {', '.join(dims) or 'time only'}: it must be on HEALPix cells (dimension "
        "cell) or on latitudes and longitudes (lat, lon)"
    )


def _healpix_zoom(ds: xr.Dataset, dim: str, cells: int, zoom: int) -> int:
    from_zoom = next((z for z in range(_LARGEST_ZOOM) if healpix.n_cells(z) == cells), None)
    if from_zoom is None:
        raise ValueError(f"the data have {cells} cells: the whole globe has 12 * 4**zoom, and all of it is needed")
    if from_zoom < zoom:
        raise ValueError(f"the data are of zoom {from_zoom} and zoom {zoom} is refined: give that or a finer one")
    for variable in ds.variables.values():
        order = str(variable.attrs.get("healpix_order", variable.attrs.get("indexing_scheme", "nested"))).lower()
        if not order.startswith("nest"):
            raise ValueError(f"the cells are in {order} order: reorder them to nested with healpy.reorder")
    if dim in ds.coords and not np.array_equal(np.asarray(ds[dim].values), np.arange(cells)):
        raise ValueError(f"{dim} does not count the cells of the globe from 0: give all of them, in nested order")
    return from_zoom


def _latlon(
    array: xr.DataArray, spatial: tuple[str, ...], sources: tuple[Source, ...]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], tuple[Source, ...]]:
    """Latitudes, longitudes, each once, and the sources on them."""
    from dataclasses import replace

    axes: list[Any] = []
    for dim in spatial:
        if dim not in array.coords or array[dim].ndim != 1:
            raise ValueError(f"the grid has no coordinate {dim} in degrees along the dimension of this name: add it")
        axes.append(np.asarray(array[dim].values, np.float64))
    lat, lon = axes
    once = np.sort(np.unique(np.round(lon % 360, 6), return_index=True)[1])  # 0 and 360 may both be there
    steps = np.diff(np.sort(lon[once] % 360), append=np.sort(lon[once] % 360)[:1] + 360)
    if lat.size < 2 or once.size < 2 or np.abs(lat).max() > 90.001 or len(np.unique(lat)) < lat.size:
        raise ValueError(f"{spatial[0]} and {spatial[1]} must be degrees, at least two of each, no latitude twice")
    spacing = float(np.median(np.diff(np.sort(lat))))
    gap = max(90 - lat.max(), 90 + lat.min())
    if steps.max() > 1.5 * np.median(steps) or gap > 1.01 * spacing:
        raise ValueError(
            f"the grid spans {lat.min():g} to {lat.max():g} degrees north and {lon.min():g} to {lon.max():g} east: "
            "all of the globe is needed, as the network is told of all of it; give a box of the result instead"
        )
    if once.size < lon.size:
        sources = tuple(replace(one, array=one.array.isel({spatial[1]: once})) for one in sources)
    return lat, lon[once], sources
