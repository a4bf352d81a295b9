"""Stored HEALPix data sets as the evaluation reads them: one quantity at some times, on the cells of one zoom.

Files are read one after the other and only at the times asked for, without dask: what is stored in chunks of one
instant would make a task of each.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.fields.channels import VARIABLES
from xr_cbottle.grid import healpix

_PRESSURE_NAMES = ("pressure", "plev", "level", "lev", "pressure_level")
_LAND_NAMES = ("sftlf", "land_sea_mask", "lsm", "land")
_HECTOPASCALS = ("hPa", "mbar", "millibar", "millibars")


@dataclass(frozen=True, eq=False)
class Stored:
    """A data set of one or several files.

    Attributes
    ----------
    names
        Of its files.
    parts
        Data sets with dimensions ``time``, ``pressure`` (Pa) and ``cell`` (NEST), not read yet, ascending in time.
    times
        (time,) of all of them, datetime64[s].
    native_zoom, zoom
        HEALPix level as stored, and that at which it is read: 4-cell means.
    """

    names: tuple[str, ...]
    parts: tuple[xr.Dataset, ...]
    times: npt.NDArray[np.datetime64]
    native_zoom: int
    zoom: int

    def at(self, zoom: int) -> Stored:
        """The same, read at another zoom.

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
        """What all of its files have."""
        found = [list(_quantities(part)) for part in self.parts]
        return tuple(one for one in found[0] if all(one in other for other in found[1:]))

    def units(self, quantity: Quantity) -> str:
        """Of a quantity as its first file says; empty if it does not."""
        return str(self.parts[0][quantity.name].attrs.get("units", ""))

    def read(self, quantity: Quantity, positions: npt.ArrayLike | None = None) -> xr.DataArray:
        """A quantity at some times, or all.

        Returns
        -------
        (time, cell), float32, with the attributes that the variable has in a bottle's data set.
        """
        wanted = np.arange(len(self.times)) if positions is None else np.asarray(positions)
        values, offset = [], 0
        for part in self.parts:
            inside = wanted[(wanted >= offset) & (wanted < offset + part.sizes["time"])] - offset
            offset += part.sizes["time"]
            if inside.size:
                values.append(self._values(part, quantity, inside))
        attrs = dict(self.parts[0][quantity.name].attrs)
        if quantity.name in VARIABLES:
            attrs |= VARIABLES[quantity.name].attrs
        coords: dict[str, object] = {"time": self.times[wanted].astype("datetime64[ns]")}
        if quantity.pressure is not None:
            coords["pressure"] = quantity.pressure
        return xr.DataArray(np.concatenate(values), coords, ("time", "cell"), quantity.name, attrs)

    def _values(self, part: xr.Dataset, quantity: Quantity, positions: npt.NDArray[np.int64]) -> npt.NDArray:
        field = part[quantity.name]
        if quantity.pressure is not None:
            field = field.isel(pressure=int(np.flatnonzero(field["pressure"].values == quantity.pressure)[0]))
        run = len(positions) == positions[-1] - positions[0] + 1
        chosen = slice(positions[0], positions[-1] + 1) if run else positions
        values = field.isel(time=chosen).transpose("time", "cell").values.astype(np.float32)
        return healpix.coarsen(values, self.native_zoom - self.zoom)

    def land(self) -> npt.NDArray[np.bool_] | None:
        """(cell,) True over land: of its land fraction, or where its SST has no value; None if it has neither."""
        part = self.parts[0]
        steps = self.native_zoom - self.zoom
        for name in _LAND_NAMES:
            if name in part and part[name].dims == ("cell",):
                fraction = part[name].values.astype(np.float64)
                return healpix.coarsen(fraction / (100.0 if fraction.max() > 1.5 else 1.0), steps) > 0.5
        for name in ("sst", "tos"):
            if name in part and part[name].dims == ("time", "cell"):
                missing = np.isnan(part[name].isel(time=0).values).astype(np.float64)
                if 0 < missing.mean() < 1:
                    return healpix.coarsen(missing, steps) > 0.5
        return None


def is_stored(location: str) -> bool:
    """Whether a location is that of stored data rather than of a bottle: netCDF, zarr, or a pattern of such."""
    end = location.rstrip("/").lower()
    marks = (".nc", ".nc4", ".zarr", ".h5")
    return end.endswith(marks) or glob.has_magic(location) or os.path.isfile(os.path.join(location, ".zgroup")) or (
        os.path.isfile(os.path.join(location, "zarr.json"))
    )  # fmt: skip


def open_stored(locations: Sequence[str]) -> Stored:
    """Open netCDF files, patterns of them, or a zarr store, as one data set.

    Raises
    ------
    FileNotFoundError
        If a file is not there, or a pattern matches none.
    ValueError
        If a file is no HEALPix data set, they do not fit together, or a time is in two of them.
    """
    paths = [path for location in locations for path in _found(location)]
    opened = [_normalised(_open(path), path) for path in dict.fromkeys(paths)]
    order = sorted(range(len(opened)), key=lambda i: opened[i]["time"].values[0])
    parts = [opened[i] for i in order]
    names = [_short(list(dict.fromkeys(paths))[i]) for i in order]
    cells = {part.sizes["cell"] for part in parts}
    if len(cells) > 1:
        raise ValueError(f"{', '.join(names)} differ in their number of cells: give files of one data set")
    zoom = next((zoom for zoom in range(16) if healpix.n_cells(zoom) == parts[0].sizes["cell"]), None)
    if zoom is None:
        raise ValueError(
            f"{names[0]} has {parts[0].sizes['cell']} cells, which is no whole HEALPix globe of 12 * 4**zoom: "
            "regrid it to HEALPix first"
        )
    times = np.concatenate([part["time"].values.astype("datetime64[s]") for part in parts])
    wrong = np.flatnonzero(np.diff(times) <= np.timedelta64(0, "s"))
    if wrong.size:
        raise ValueError(
            f"the times of {', '.join(names)} do not ascend, or one is there twice ({times[wrong[0] + 1]}): give each "
            "file once and none that overlaps another"
        )
    stored = Stored(tuple(names), tuple(parts), times, zoom, zoom)
    if not stored.quantities:
        raise ValueError(
            f"{', '.join(names)} have no variable in common that has the dimensions (time, cell) or "
            "(time, pressure, cell)"
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


def _open(path: str) -> xr.Dataset:
    is_zarr = path.rstrip("/").endswith(".zarr") or os.path.isdir(path) or "://" in path
    try:
        # By name: xarray would guess that a bottle is to be drawn.
        return xr.open_zarr(path, chunks=None) if is_zarr else xr.open_dataset(path, engine="netcdf4")
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} cannot be read as {'zarr' if is_zarr else 'netCDF'} ({reason})") from None


def _normalised(ds: xr.Dataset, path: str) -> xr.Dataset:
    """A data set with dimensions called time, pressure (Pa) and cell."""
    if "time" not in ds.dims or "time" not in ds.coords or ds["time"].dtype.kind != "M" or not ds.sizes["time"]:
        raise ValueError(f"{path} has no times on the standard calendar (datetime64): it cannot be compared")
    others = [name for name in ("cell", "cells", "value", "values", "ncells", "healpix") if name in ds.dims]
    if not others:
        raise ValueError(f"{path} has dimensions {', '.join(map(str, ds.dims))} and no cell: it is not on HEALPix")
    ds = ds.rename({others[0]: "cell"}) if others[0] != "cell" else ds
    pressure = next((name for name in _PRESSURE_NAMES if name in ds.dims and name in ds.coords), None)
    if pressure is not None:
        levels = ds[pressure]
        factor = 100.0 if str(levels.attrs.get("units", "Pa")) in _HECTOPASCALS else 1.0
        ds = ds.rename({pressure: "pressure"}) if pressure != "pressure" else ds
        ds = ds.assign_coords(pressure=np.round(levels.values * factor).astype(np.int64))
    order = str(ds.attrs.get("healpix_order", ds["crs"].attrs.get("healpix_order", "nest") if "crs" in ds else "nest"))
    if order.startswith("ring"):
        import healpy

        ds = ds.isel(cell=healpy.nest2ring(healpy.npix2nside(ds.sizes["cell"]), np.arange(ds.sizes["cell"])))
    return ds.drop_vars([name for name in ds.coords if name not in ("time", "pressure")])


def _quantities(ds: xr.Dataset) -> list[Quantity]:
    found = []
    for name, field in ds.data_vars.items():
        if set(field.dims) == {"time", "cell"}:
            found.append(Quantity(str(name)))
        elif set(field.dims) == {"time", "pressure", "cell"}:
            found += [Quantity(str(name), int(level)) for level in sorted(ds["pressure"].values)]
    return found


def _short(path: str) -> str:
    return path if "://" in path else Path(path).name
