"""Stored data sets as the evaluation reads them: one quantity at some times, on the cells of one zoom.

Files are read one after the other and only at the times asked for, without dask: what is stored in chunks of one
instant would make a task of each.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.fields import dates, reader
from xr_cbottle.fields.cells import Cells
from xr_cbottle.fields.channels import VARIABLES
from xr_cbottle.fields.opening import open_data
from xr_cbottle.fields.reader import Field, Grid

_LAND_NAMES = ("sftlf", "land_sea_mask", "lsm", "land")


@dataclass(frozen=True, eq=False)
class StoredFile:
    """One file of a data set, not read yet.

    Attributes
    ----------
    name
        Of the file.
    fields
        {our name or its own: the field, and the sign that turns it into ours}.
    times
        (time,) datetime64[s], ascending.
    places
        (time,) where each of them is in the file.
    grid
        Where its values lie.
    fixed
        Fields without a time.
    path
        Where it is.
    attributes
        Of the file.
    """

    name: str
    fields: Mapping[str, tuple[Field, float]]
    times: npt.NDArray[np.datetime64]
    places: npt.NDArray[np.int64]
    grid: Grid
    fixed: Mapping[str, Field]
    path: str
    attributes: Mapping[str, Any]

    @property
    def quantities(self) -> list[Quantity]:
        """Quantities that the file has."""
        found = []
        for name, (field, _) in self.fields.items():
            levels = [None] if field.pressures is None else sorted(np.round(field.pressures).astype(int).tolist())
            found += [Quantity(name, level) for level in levels]
        return found

    def units(self, name: str) -> str:
        """The unit in which a variable is read: ours if it can be made ours, else its own; empty if it says none."""
        field, sign = self.fields[name]
        if not field.units or name not in VARIABLES:
            return field.units or ""
        try:
            reader.conversion_of(field, VARIABLES[name], sign)
        except ValueError:
            return field.units
        return VARIABLES[name].units

    def read(self, quantity: Quantity, positions: npt.NDArray[np.int64], zoom: int) -> npt.NDArray[np.float32]:
        """(position, cell NEST) of a quantity at some of its times, each once, in our unit where it has one."""
        whole, sign = self.fields[quantity.name]
        field = whole.at_level(quantity.pressure)
        assert field is not None  # it is one of `quantities`
        places = self.places[positions]
        low, high = int(places.min()), int(places.max())
        run = high - low + 1 == len(places)
        values = field.array.isel(time=slice(low, high + 1) if run else np.sort(places)).values
        values = values[np.argsort(np.argsort(places))].astype(np.float32)
        variable = VARIABLES.get(quantity.name)
        if variable is not None and field.units:
            try:
                factor, offset = reader.conversion_of(field, variable, sign)
            except ValueError:
                factor, offset = sign, 0.0  # `comparable` refuses it, if the other side has another unit
            if (factor, offset) != (1.0, 0.0):
                values = (values.astype(np.float64) * factor + offset).astype(np.float32)
        spread = not isinstance(self.grid, Cells) and not (variable is not None and variable.ocean_only)
        return self.grid.averaged(values, zoom, spread).astype(np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class StoredReference:
    """A data set of one or several files.

    Attributes
    ----------
    parts
        Its files, ascending in time.
    times
        (time,) of all of them, datetime64[s].
    native_zoom, zoom
        HEALPix level as stored (or as fine as its latitudes and longitudes), and that at which it is read: 4-cell
        means.
    """

    parts: tuple[StoredFile, ...]
    times: npt.NDArray[np.datetime64]
    native_zoom: int
    zoom: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its files."""
        return tuple(part.name for part in self.parts)

    def at(self, zoom: int) -> StoredReference:
        """Make a reader of the same files at another zoom.

        Raises
        ------
        ValueError
            If it is finer than what is stored.
        """
        if not 0 <= zoom <= self.native_zoom:
            raise ValueError(
                f"{self.names[0]} is at zoom {self.native_zoom} and is to be read at zoom {zoom}: choose a zoom from "
                f"0 to {self.native_zoom} with --zoom, or give data at a finer one"
            )
        return replace(self, zoom=zoom)

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Quantities that all files have."""
        found = [part.quantities for part in self.parts]
        return tuple(one for one in found[0] if all(one in other for other in found[1:]))

    def units(self, quantity: Quantity) -> str:
        """The unit in which a quantity is read, as its first file says; empty if it does not."""
        return self.parts[0].units(quantity.name)

    def read(self, quantity: Quantity, positions: npt.ArrayLike | None = None) -> xr.DataArray:
        """A quantity at some times, in any order, or at all.

        Returns
        -------
        (time, cell), float32, with the attributes that the variable has in a bottle's data set.
        """
        asked = np.arange(len(self.times)) if positions is None else np.asarray(positions)
        wanted, back = np.unique(asked, return_inverse=True)
        values, offset = [], 0
        for part in self.parts:
            inside = wanted[(wanted >= offset) & (wanted < offset + len(part.times))] - offset
            offset += len(part.times)
            if inside.size:
                values.append(part.read(quantity, inside, self.zoom))
        attrs = dict(self.parts[0].fields[quantity.name][0].array.attrs)
        if quantity.name in VARIABLES:
            attrs |= VARIABLES[quantity.name].attrs
        coords: dict[str, object] = {"time": self.times[asked].astype("datetime64[ns]")}
        if quantity.pressure is not None:
            coords["pressure"] = quantity.pressure
        found = np.concatenate(values)
        found = found if np.array_equal(asked, wanted) else found[back]
        return xr.DataArray(found, coords, ("time", "cell"), quantity.name, attrs)

    def land(self) -> npt.NDArray[np.bool_] | None:
        """(cell,) True over land: of its land fraction, or where its SST has no value; None if it has neither."""
        part = self.parts[0]
        for name in _LAND_NAMES:
            if name in part.fixed:
                # Where there is no fraction there is no land.
                fraction = np.nan_to_num(np.asarray(part.fixed[name].array.values, np.float64))
                return part.grid.averaged(fraction / (100.0 if fraction.max() > 1.5 else 1.0), self.zoom) > 0.5
        if "sst" in part.fields:
            missing = np.isnan(part.fields["sst"][0].array.isel(time=int(part.places[0])).values).astype(np.float64)
            if 0 < missing.mean() < 1:
                return part.grid.averaged(missing, self.zoom) > 0.5
        return None


def is_stored(location: str) -> bool:
    """Whether a location is that of stored data rather than of a bottle: netCDF, zarr, or a pattern of such."""
    end = location.rstrip("/").lower()
    marks = (".nc", ".nc4", ".zarr", ".h5")
    return end.endswith(marks) or glob.has_magic(location) or os.path.isfile(os.path.join(location, ".zgroup")) or (
        os.path.isfile(os.path.join(location, "zarr.json"))
    )  # fmt: skip


def open_stored(locations: Sequence[str]) -> StoredReference:
    """Open netCDF files, patterns of them, or a zarr store, as one data set.

    Raises
    ------
    FileNotFoundError
        If a file is not there, or a pattern matches none.
    ValueError
        If a file has no field on the globe, they do not fit together, or a time is in two of them.
    """
    return joined(open_files(locations))


def open_files(locations: Sequence[str]) -> list[StoredFile]:
    """Open netCDF files, patterns of them, or zarr stores, each by itself; ascending by their first times."""
    paths = dict.fromkeys(path for location in locations for path in _found(location))
    return sorted((_part(open_data(path), path) for path in paths), key=lambda part: part.times[0])


def joined(parts: Sequence[StoredFile]) -> StoredReference:
    """One data set of files that ascend by their first times; see `open_stored`."""
    names = ", ".join(part.name for part in parts)
    if len({part.grid.key for part in parts}) > 1:
        raise ValueError(f"{names} are on different grids: give files of one data set")
    times = np.concatenate([part.times for part in parts])
    wrong = np.flatnonzero(np.diff(times) <= np.timedelta64(0, "s"))
    if wrong.size:
        raise ValueError(
            f"the times of {names} overlap, or one is there twice ({times[wrong[0] + 1]}): give each file once and "
            "none that overlaps another"
        )
    zoom = parts[0].grid.zoom
    stored = StoredReference(tuple(parts), times, zoom, zoom)
    if not stored.quantities:
        raise ValueError(
            f"{names} have no variable in common that has the dimensions (time, cell) or (time, pressure, cell)"
        )
    return stored


def _found(location: str) -> list[str]:
    if "://" in location or os.path.exists(location):
        return [location]
    matching = sorted(glob.glob(os.path.expanduser(location)))
    if not matching:
        what = "nothing matches" if glob.has_magic(location) else "there is no file"
        raise FileNotFoundError(f"{what} {location}: give netCDF files, patterns of them in quotes, or a zarr store")
    return matching


def _part(ds: xr.Dataset, path: str) -> StoredFile:
    """A file's fields, each understood."""
    attributes = ds.attrs
    ds = reader.as_dataset(ds, path)
    known = reader.fields_of(ds)
    if not known:
        raise ValueError(f"{path} has dimensions {', '.join(map(str, ds.dims))} and no field on the globe")
    ours = {name: (field, sign) for name, (field, sign) in _named(ds, known, path).items()}
    fields = {name: one for name, one in ours.items() if one[0].has_time}
    if not fields:
        raise ValueError(f"{path} has no field with times: it cannot be compared")
    first = next(iter(fields.values()))[0]
    if any(field.grid.key != first.grid.key for field, _ in fields.values()):
        raise ValueError(f"{path} has fields on different grids: give those of one")
    fixed = {
        name: field for name, (field, _) in ours.items() if not field.has_time and field.grid.key == first.grid.key
    }
    assert first.times is not None
    if any(field.times is None or not np.array_equal(field.times, first.times) for field, _ in fields.values()):
        raise ValueError(f"{path} has fields at different times: give those of one time axis")
    times = dates.each_once(first.times.astype("datetime64[s]"), path)
    places = np.argsort(times, kind="stable")
    return StoredFile(
        _short(path), fields, times[places], places, first.grid, fixed, path, dict(attributes)
    )  # fmt: skip


def _named(ds: xr.Dataset, known: Sequence[str], path: str) -> dict[str, tuple[Field, float]]:
    """{our name where there is one, else its own: field and sign} of variables of a data set."""
    called: dict[str, tuple[str, float]] = {}
    for variable in VARIABLES.values():
        try:
            found = reader.find_variable(ds, variable)
        except ValueError:
            continue  # several with its standard name: they keep their own
        if found is not None and found[0] in known:
            called.setdefault(found[0], (variable.name, found[1]))
    named, refused = {}, []
    for name in known:
        try:
            ours, sign = called.get(name, (name, 1.0))
            field = reader.read_field(ds, name, f"{path}: ")
            is_flat = ours in VARIABLES and not VARIABLES[ours].on_pressure
            named[ours] = (field.at_level(None) or field) if is_flat else field, sign
        except ValueError as error:
            refused.append(error)
    if not named:
        raise refused[0]
    return named


def _short(path: str) -> str:
    return path if "://" in path else Path(path).name
