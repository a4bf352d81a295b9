"""Data sets along time, as they are stored: their cells put in order, their units converted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.fields import channels as channel_names
from xr_cbottle.grid import healpix
from xr_cbottle.training.source_config import VariableConfig
from xr_cbottle.training.unit_table import conversion

Array = npt.NDArray[Any]
BLOCK = 128  # instants that are read at a time, if the chunks they are stored in are not larger
BLOCK_BYTES = 2**30  # of a variable
_CELLS = ("cell", "cells", "value", "values", "pix", "pixel")
_PASCAL_FROM = 1100  # pressures without a unit whose largest is above this are in Pa, not in hPa


class Stored:
    """The data sets of one store, joined along time.

    Parameters
    ----------
    datasets : sequence of Dataset
        ``(time, [pressure], cell)`` with the same variables, not yet read.
    name : str
        What they are, in messages.
    variables : mapping, optional
        What variables and channels are called in them.

    Attributes
    ----------
    times : (n,) datetime64[ns]
    block : int
        Instants to read at a time.
    """

    def __init__(
        self, datasets: Sequence[xr.Dataset], name: str, variables: Mapping[str, VariableConfig] | None = None
    ) -> None:
        self.datasets, self.name, self.variables = tuple(datasets), name, dict(variables or {})
        stamps = [_times(dataset, name) for dataset in datasets]
        self.times = np.concatenate(stamps)
        self._starts = np.cumsum([0, *(len(part) for part in stamps)])
        self.block = _block(datasets[0])

    def __contains__(self, name: str) -> bool:
        return name in self.datasets[0]

    def fields(self, name: str, places: Array, levels: Sequence[int | None]) -> list[Array]:
        """(n, cell) float32 NEST of a variable at each of some pressures in Pa, as it is stored."""
        parts: list[list[Array]] = [[] for _ in levels]
        number = np.searchsorted(self._starts, places, side="right") - 1
        for chosen in np.split(places, np.flatnonzero(np.diff(number)) + 1):
            dataset = self.datasets[np.searchsorted(self._starts, chosen[0], side="right") - 1]
            start = self._starts[np.searchsorted(self._starts, chosen[0], side="right") - 1]
            for part, field in zip(parts, self._fields(dataset, name, chosen - start, levels), strict=True):
                part.append(field)
        return [np.concatenate(part) for part in parts]

    def _fields(self, dataset: xr.Dataset, name: str, places: Array, levels: Sequence[int | None]) -> list[Array]:
        field = dataset[name]
        cell = next((dim for dim in _CELLS if dim in field.dims), field.dims[-1])
        others = [dim for dim in field.dims if dim not in ("time", cell)]
        if "time" in field.dims:
            # A stride is read as such; anything else by what lies around it.
            step = int(places[1] - places[0]) if len(places) > 1 else 1
            even = step > 0 and bool((np.diff(places) == step).all())
            low = int(places.min())
            field = field.isel(time=slice(low, int(places.max()) + 1, step if even else 1))
            places = np.arange(len(places)) if even else places - low
        else:
            places = np.zeros(1, int)
        single = [dim for dim in others if field.sizes[dim] == 1 and (not any(levels) or dim not in field.coords)]
        field = field.isel({dim: 0 for dim in single})
        others = [dim for dim in others if dim in field.dims]
        if not others:
            if any(levels) and name not in self._single_levels:
                raise ValueError(
                    f"{self.name}: {name} has dimensions {field.dims}, and none of them is pressure; if it is a level, "
                    f"say under 'variables' of which channel, such as T850: {name}"
                )
            picked: list[int | None] = [None] * len(levels)
        elif len(others) > 1 or None in levels:
            raise ValueError(f"{self.name}: {name} has dimensions {field.dims}: one is too many")
        else:
            picked = [self._level(field, str(others[0]), level) for level in levels]
            used = sorted({level for level in picked if level is not None})
            field = field.isel({others[0]: used})
            picked = [used.index(level) for level in picked if level is not None]
        order = _order(dataset, str(cell), field.sizes[cell])
        values = field.transpose(..., *others, cell).astype(np.float32).values
        if "time" not in field.dims:
            values = values[None]
        values = values[places]
        found = [values if level is None else values[:, level] for level in picked]
        return [one if order is None else one[:, order] for one in found]

    def _level(self, field: xr.DataArray, dim: str, level: int | None) -> int:
        if dim not in field.coords:
            raise ValueError(f"{self.name}: {field.name} has no coordinate {dim!r}, which should hold its pressures")
        stored = np.asarray(field[dim].values, np.float64)
        units = field[dim].attrs.get("units") or ("Pa" if stored.max() > _PASCAL_FROM else "hPa")
        try:
            pressures = stored * conversion(units, "Pa").factor
        except ValueError as error:
            raise ValueError(f"{self.name}: the units of {dim!r}, along which {field.name} lies: {error}") from None
        near = np.flatnonzero(np.abs(pressures - (level or 0)) < 1)
        if not len(near):
            have = ", ".join(f"{p:g}" for p in pressures)
            raise ValueError(f"{self.name}: {field.name} has no level {level} Pa; it has {have} Pa")
        return int(near[0])

    @property
    def _single_levels(self) -> set[str]:
        return {stored.name for key, stored in self.variables.items() if key not in channel_names.VARIABLES}

    def units(self, name: str) -> str:
        """The unit that a variable says it has, or nothing."""
        return str(self.datasets[0][name].attrs.get("units", ""))

    def converted(self, values: Array, stored: VariableConfig, variable: channel_names.Variable) -> Array:
        """Values in the unit of the variable that they are; without a unit they are taken to have it."""
        units = stored.units if stored.units is not None else self.units(stored.name) or variable.units
        try:
            factor, offset = conversion(units, variable.units)
        except ValueError as error:
            raise ValueError(
                f"{self.name}: the units of {stored.name!r}: {error}; say under 'variables' what they are: "
                f"{variable.name}: {{name: {stored.name}, units: ..., factor: ...}}"
            ) from None
        factor *= stored.factor
        if (factor, offset) == (1.0, 0.0):
            return values
        return (values.astype(np.float64) * factor + offset).astype(np.float32)


def to_zoom(values: Array, zoom: int, where: str) -> Array:
    """(..., cell) NEST fields at their own zoom or a coarser one.

    Raises
    ------
    ValueError
        If they are on other cells, or on coarser ones.
    """
    steps = round(np.log2(values.shape[-1] / healpix.n_cells(zoom)) / 2)
    if steps < 0 or values.shape[-1] != healpix.n_cells(zoom + max(steps, 0)):
        raise ValueError(f"{where} has {values.shape[-1]} cells: not a HEALPix grid of zoom {zoom} or finer")
    return healpix.coarsen(values, steps) if steps else values


def _times(dataset: xr.Dataset, name: str) -> Array:
    if "time" not in dataset.coords:
        raise ValueError(f"{name} has no coordinate 'time'")
    times = np.atleast_1d(dataset["time"].values)
    if times.dtype.kind == "M":
        return times.astype("datetime64[ns]")
    try:  # times of other calendars: noleap has no day that we have not
        return np.array([np.datetime64(time.isoformat(), "ns") for time in times])
    except (ValueError, AttributeError):
        raise ValueError(
            f"{name} has times that are no dates of our calendar ({times[0]!r}, ...): convert them, "
            "for instance by xarray's convert_calendar('standard', align_on='year')"
        ) from None


def _block(dataset: xr.Dataset) -> int:
    """As many whole chunks as come near `BLOCK`, or a chunk if it is larger, within `BLOCK_BYTES`."""
    chunk, bytes_each = 1, 1
    for variable in dataset.data_vars.values():
        if "time" in variable.dims and variable.ndim > 1:
            sizes = variable.chunksizes.get("time") or (variable.encoding.get("preferred_chunks") or {}).get("time")
            chunk = max(chunk, int(sizes if isinstance(sizes, int) else sizes[0] if sizes else 1))
            bytes_each = max(bytes_each, 4 * variable.size // variable.sizes["time"])
    block = max(BLOCK // chunk, 1) * chunk
    return max(min(block, BLOCK_BYTES // bytes_each), 1)


def _order(dataset: xr.Dataset, cell: str, cells: int) -> Array | None:
    """Where the cells of NEST order lie in a data set; None if they are in that order already."""
    if cell in dataset.coords and dataset[cell].dims == (cell,) and dataset[cell].dtype.kind in "iu":
        numbers = dataset[cell].values
        order = None if np.array_equal(numbers, np.arange(cells)) else np.argsort(numbers)
        if order is not None and not np.array_equal(numbers[order], np.arange(cells)):
            order = None  # a part of the globe, of which to_zoom() will complain
    else:
        order = None
    said = [
        str(variable.attrs.get(key, "")).lower()
        for variable in dataset.variables.values()
        for key in ("healpix_order", "indexing_scheme")
    ]
    if "ring" not in said:
        return order
    import healpy

    ring = healpy.nest2ring(round((cells / healpix.FACES) ** 0.5), np.arange(cells))
    return ring if order is None else order[ring]
