"""Data sets along time, as training reads them: joined, in blocks, by the names of its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.fields import channels as channel_names
from xr_cbottle.fields import dates, names, reader
from xr_cbottle.fields.cells import Cells
from xr_cbottle.fields.channels import VARIABLES
from xr_cbottle.fields.reader import Field
from xr_cbottle.fields.units import conversion
from xr_cbottle.grid import healpix
from xr_cbottle.training.source_config import VariableConfig

Array = npt.NDArray[Any]
BLOCK = 128  # instants that are read at a time, if the chunks they are stored in are not larger
BLOCK_BYTES = 2**30  # of a variable


class StoredSource:
    """The data sets of one store, joined along time.

    Parameters
    ----------
    datasets
        ``(time, [pressure], cell)`` with the same variables, not yet read.
    name
        What they are, in messages.
    variables
        What variables and channels are called in them.

    Attributes
    ----------
    times : (n,) datetime64[ns]
    block
        Instants to read at a time.
    """

    def __init__(
        self, datasets: Sequence[xr.Dataset], name: str, variables: Mapping[str, VariableConfig] | None = None
    ) -> None:
        self.name, self.variables = name, dict(variables or {})
        self._fields_known: dict[tuple[int, str], Field] = {}
        self.datasets = tuple(reader.as_dataset(dataset, name) for dataset in datasets)
        stamps = [_times(dataset, name) for dataset in self.datasets]
        self.times = np.concatenate(stamps)
        self._starts = np.cumsum([0, *(len(part) for part in stamps)])
        self.block = _block(self.datasets[0])

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
        field = self._understood(dataset, name)
        picked = [self._level(field, level) for level in levels]
        array = field.array
        if field.pressures is not None:
            used = sorted({level for level in picked if level is not None})
            array = array.isel(pressure=used)
            picked = [used.index(level) for level in picked if level is not None]
        if field.has_time:
            # A stride is read as such; anything else by what lies around it.
            step = int(places[1] - places[0]) if len(places) > 1 else 1
            even = step > 0 and bool((np.diff(places) == step).all())
            low = int(places.min())
            array = array.isel(time=slice(low, int(places.max()) + 1, step if even else 1))
            places = np.arange(len(places)) if even else places - low
        else:
            array, places = array.expand_dims("time"), np.zeros(1, int)
        values = array.astype(np.float32).values[places]
        found = [values if level is None else values[:, level] for level in picked]
        return [self._on_cells(field, one) for one in found]

    def _understood(self, dataset: xr.Dataset, name: str) -> Field:
        """A variable of one of the data sets, looked at once."""
        key = id(dataset), name
        if key not in self._fields_known:
            self._fields_known[key] = reader.read_field(dataset, name, f"{self.name}: ")
        return self._fields_known[key]

    def _on_cells(self, field: Field, values: Array) -> Array:
        """(n, cell) NEST at the zoom of the data, or one as fine as their latitudes and longitudes."""
        return field.grid.averaged(values, field.grid.zoom, self.spreads(field))

    def spreads(self, field: Field | str) -> bool:
        """Whether a missing value leaves each cell that needs it without one: on latitudes and longitudes."""
        if isinstance(field, str):
            field = self._understood(self.datasets[0], field)
        known = VARIABLES.get(self._ours(field.name))
        return not isinstance(field.grid, Cells) and not (known is not None and known.ocean_only)

    def _ours(self, name: str) -> str:
        """Our name of a variable as far as it is known, else its own."""
        said = [key for key, stored in self.variables.items() if stored.name == name]
        own = [key for key, others in names.VARIABLES.items() if name in others]
        return (said + own + [name])[0]

    def _level(self, field: Field, level: int | None) -> int | None:
        """Position of a pressure among those of a field; None where it has none and needs none."""
        if field.pressures is None:
            if level is not None and not self._is_single(field.name, level):
                raise ValueError(
                    f"{self.name}: {field.name} has dimensions {field.array.dims}, and none of them is pressure; if it "
                    f"is a level, say under 'variables' of which channel, such as T850: {field.name}"
                )
            return None
        if level is None:
            if field.pressures.size == 1:
                return 0
            raise ValueError(f"{self.name}: {field.name} has dimensions {field.array.dims}: pressure is one too many")
        place = field.place_of(level)
        if place is None:
            have = ", ".join(f"{p:g}" for p in field.pressures)
            raise ValueError(f"{self.name}: {field.name} has no level {level} Pa; it has {have} Pa")
        return place

    def find(self, channel: channel_names.Channel) -> VariableConfig | None:
        """Find what a channel is called in the data: as the configuration says, else by names that are known."""
        said = self.variables.get(channel.name) or self.variables.get(channel.variable.name)
        if said is not None:
            return said if said.name in self else None
        try:
            found = reader.find_variable(self.datasets[0], channel.variable, channel.name)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        return None if found is None else VariableConfig(found[0], factor=found[1])

    def _is_single(self, name: str, level: int) -> bool:
        """Whether a variable without pressures is one level of another: as the configuration says, or by its name."""
        keys = [key for key, stored in self.variables.items() if stored.name == name]
        if keys:
            return any(key not in VARIABLES for key in keys)
        return name.endswith(str(level // 100))

    def described(self, stored: VariableConfig, channel: channel_names.Channel, zoom: int) -> str:
        """Words about where a channel is, from metadata alone.

        Raises
        ------
        ValueError
            If a level, a unit or cells are not there.
        """
        words = ""
        for dataset in self.datasets:
            field = self._understood(dataset, stored.name)
            self._level(field, channel.level)
            if field.grid.zoom < zoom:
                raise ValueError(
                    f"{self.name}: {stored.name} is on a grid of zoom {field.grid.zoom}: not of zoom {zoom} or finer"
                )
            self.converted(np.zeros(1, np.float32), stored, channel.variable)
            at = "" if channel.level is None else f" at {channel.level} Pa"
            words = words or f"{stored.name}{at} in {stored.units or self.units(stored.name) or 'no unit'}"
        return words

    def has_time(self, name: str) -> bool:
        """Whether a variable changes with time."""
        return self._understood(self.datasets[0], name).has_time

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


def to_zoom(values: Array, zoom: int, where: str, spread: bool = False) -> Array:
    """(..., cell) NEST fields at their own zoom or a coarser one, see `healpix.coarsen`.

    Raises
    ------
    ValueError
        If they are on other cells, or on coarser ones.
    """
    own = healpix.zoom_of(values.shape[-1])
    if own is None or own < zoom:
        raise ValueError(f"{where} has {values.shape[-1]} cells: not a HEALPix grid of zoom {zoom} or finer")
    return healpix.coarsen(values, own - zoom, spread) if own > zoom else values


def _times(dataset: xr.Dataset, name: str) -> Array:
    """(time,) datetime64[ns] of the coordinate of time that the most fields have."""
    found = [time for key in reader.fields_of(dataset) if (time := dates.time_of(dataset[key])) is not None]
    if not found:
        raise ValueError(f"{name} has no coordinate 'time'")
    times = dates.datetimes(dates.values_of(dataset[max(found, key=found.count)]), name)
    return dates.each_once(times, name).astype("datetime64[ns]")


def _block(dataset: xr.Dataset) -> int:
    """As many whole chunks as come near `BLOCK`, or a chunk if it is larger, within `BLOCK_BYTES`."""
    chunk, bytes_each = 1, 1
    for variable in dataset.data_vars.values():
        time = dates.time_of(variable)
        if time in variable.dims and variable.ndim > 1:
            sizes = variable.chunksizes.get(time) or (variable.encoding.get("preferred_chunks") or {}).get(time)
            chunk = max(chunk, int(sizes if isinstance(sizes, int) else sizes[0] if sizes else 1))
            bytes_each = max(bytes_each, 4 * variable.size // variable.sizes[time])
    block = max(BLOCK // chunk, 1) * chunk
    return max(min(block, BLOCK_BYTES // bytes_each), 1)
