"""Sea surface temperature: monthly fields on latitudes and longitudes or on HEALPix cells, brought to a bottle's cells.

It comes as a few hundred months, which are brought to the cells when they are needed, so that opening a century costs
nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.forks import Lock
from xr_cbottle.base.plain_text import shown
from xr_cbottle.fields import channels, dates, names, reader, units
from xr_cbottle.fields.cells import Cells
from xr_cbottle.fields.reader import Field, Grid
from xr_cbottle.fields.sst_offset import SstOffset
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr

_PLAUSIBLE_KELVIN = (260.0, 325.0)
_OPEN_POLES = 30.0
"""Degrees around the poles that an SST may lack: there is land or ice."""
_MONTHS_IN_MEMORY = 64
_MONTHS_AT_A_TIME = 12


class _Months:
    """The last months that were brought to the cells, shared by threads."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.fields: dict[int, npt.NDArray[np.float32]] = {}

    def __reduce__(self) -> tuple[type[_Months], tuple[()]]:
        return _Months, ()


@dataclass(frozen=True, eq=False)
class SeaSurfaceTemperature:
    """Monthly SST on the cells of one zoom; make it with `from_dataset` or `open`.

    Attributes
    ----------
    source
        (time, cell) or (time, lat, lon) as found, possibly still in its file; of latitudes and longitudes with these
        as coordinates.
    times
        (month,) datetime64[s], ascending: the moments at which the field takes these values.
    zoom
        HEALPix level of what `at` returns.
    offset, factor
        K = source * factor + offset.
    grid
        Where the values of the source lie.
    places
        (month,) position of each time in the source.
    change
        Offset that is added to all of it; None without.
    """

    source: xr.DataArray
    times: npt.NDArray[np.datetime64]
    zoom: int
    offset: float
    factor: float
    grid: Grid
    places: npt.NDArray[np.int64]
    _months: _Months = field(default_factory=_Months, repr=False)
    change: SstOffset | None = None

    def changed(self, change: SstOffset | None) -> SeaSurfaceTemperature:
        """The SST with an offset added at all times where it is free of ice; itself without one.

        Raises
        ------
        ValueError
            If a field of offsets lacks a cell of the sea.
        """
        if change is None:
            return self
        lacking = int((np.isnan(change.kelvin) & ~self.land).sum())
        if lacking:
            raise ValueError(
                f"the offset of the SST has no value in {lacking} cells of the sea: fill them, for example with "
                ".fillna(0)"
            )
        return dataclasses.replace(self, change=change, _months=_Months())

    @classmethod
    def open(cls, source: Any, zoom: int, variable: str | None = None) -> SeaSurfaceTemperature:
        """Open an SST: a path or URL of anything xarray opens, a data set (see `from_dataset`), or an SST as it is."""
        if isinstance(source, cls):
            if source.zoom != zoom:
                raise ValueError(
                    f"the SST was brought to zoom {source.zoom} and the bottle's is {zoom}: make it for that zoom"
                )
            return source
        if isinstance(source, (str, os.PathLike)):
            import xarray as xr

            try:
                source = xr.open_dataset(source)
            except FileNotFoundError:
                raise FileNotFoundError(
                    f"there is no sea surface temperature {shown(os.fspath(source))}: give the path of one, or kelvins "
                    "with sign and unit for the bottle's sea and so much more, such as '+2K'"
                ) from None
        return cls.from_dataset(source, zoom, variable)

    @classmethod
    def from_dataset(
        cls, ds: xr.Dataset | xr.DataArray, zoom: int, variable: str | None = None
    ) -> SeaSurfaceTemperature:
        """Make an SST of a data set.

        Parameters
        ----------
        ds
            Times of HEALPix cells of any zoom, or of latitudes and longitudes, as `docs/data-formats.md` says. NaN is
            land. Any unit of temperature by the attribute ``units``; without one K or degC by the values.
        zoom
            HEALPix level to bring it to.
        variable
            Its name, if the data set has several and none is called like an SST.

        Raises
        ------
        ValueError
            If the variable, its dimensions, its times or its values are not those of an SST.
        """
        import xarray as xr

        if not isinstance(ds, (xr.Dataset, xr.DataArray)):
            raise ValueError(f"an SST is a path, a Dataset or a DataArray, not {type(ds).__name__}")
        found = _field(reader.as_dataset(ds, "the SST"), variable)
        times, places = _ascending(found)
        array = found.array.copy(deep=True)  # what the caller does to it later must not change what is drawn
        if not isinstance(found.grid, Cells):
            array = array.assign_coords(lat=found.grid.lat, lon=found.grid.lon)
        first = np.asarray(array.isel(time=places[0]).values, np.float64)
        factor, offset = _to_kelvin(found.units or "", first)
        _check_plausible(first * factor + offset)
        return cls(array, times, zoom, offset, factor, found.grid, places)

    def at(self, times: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Interpolate the SST to given times.

        Parameters
        ----------
        times
            (n,) datetime64.

        Returns
        -------
        (n, cell) float32, K, NaN over land: linear in time, and that of the first or last month before
        and after them.
        """
        before, after, weight = self._between(times)
        fields = self._fields(np.union1d(before, after).tolist())
        return np.stack(
            [
                (1 - w) * fields[b].astype(np.float64) + w * fields[a] if 0 < w < 1 else fields[a if w else b]
                for b, a, w in zip(before.tolist(), after.tolist(), weight.tolist(), strict=True)
            ]
        ).astype(np.float32)

    def shares(self, times: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(n, month) share of each month in the field of each of (n,) times; each row sums to 1."""
        before, after, weight = self._between(times)
        found = np.zeros((len(weight), len(self.times)))
        rows = np.arange(len(weight))
        np.add.at(found, (rows, before), 1 - weight)
        np.add.at(found, (rows, after), weight)
        return found

    def _between(
        self, times: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Months before and after each of (n,) times, and the weight of the one after."""
        wanted = np.atleast_1d(np.asarray(times, "datetime64[s]")).astype(np.int64)
        known = self.times.astype(np.int64)
        after = np.clip(np.searchsorted(known, wanted, side="right"), 1, max(len(known) - 1, 1))
        before = after - 1
        after = np.minimum(after, len(known) - 1)
        span = np.maximum(known[after] - known[before], 1)
        return before, after, np.clip((wanted - known[before]) / span, 0.0, 1.0)

    @functools.cached_property
    def land(self) -> npt.NDArray[np.bool_]:
        """Land, (cell,): where the first month has no value."""
        return np.isnan(self._fields([0])[0])

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """All months on the cells, (month, cell) float32 K."""
        fields = self._fields(range(len(self.times)))
        return np.stack([fields[i] for i in range(len(self.times))])

    @functools.cached_property
    def token(self) -> str:
        """Digest (sha256) of times, coordinates and values, as hexadecimal digits; reads all of it."""
        scaled = "" if self.factor == 1 else f" {self.factor}"
        digest = hashlib.sha256(f"sst {self.source.dims} {self.zoom} {self.offset}{scaled}".encode())
        digest.update(self.times.astype("<i8").tobytes())
        for name in self.source.dims[1:]:
            if name in self.source.coords and name != "cell":
                digest.update(np.ascontiguousarray(self.source[name].values, "<f8").tobytes())
        for start in range(0, len(self.times), _MONTHS_AT_A_TIME):
            part = self._stored(range(start, min(start + _MONTHS_AT_A_TIME, len(self.times))))
            digest.update(np.ascontiguousarray(part, "<f4").tobytes())
        if self.change is not None:
            digest.update(self.change.token.encode())
        return digest.hexdigest()

    @property
    def coverage(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last second that the SST speaks of: the whole of its first and last month.

        An SST finer than monthly covers its first to its last time.
        """
        first, last = self.times[0], self.times[-1]
        if len(self.times) > 1 and np.diff(self.times).min() < np.timedelta64(27, "D"):
            return first, last
        end = (last.astype("datetime64[M]") + 1).astype("datetime64[s]") - np.timedelta64(1, "s")
        return first.astype("datetime64[M]").astype("datetime64[s]"), end

    def _fields(self, months: Any) -> dict[int, npt.NDArray[np.float32]]:
        """{month: (cell,) float32 K}, from memory or brought to the cells now."""
        with self._months.lock:
            memory = self._months.fields
            found = {month: memory[month] for month in months if month in memory}
            missing = [month for month in months if month not in found]
            for start in range(0, len(missing), _MONTHS_AT_A_TIME):
                part = missing[start : start + _MONTHS_AT_A_TIME]
                found.update(zip(part, self._on_cells(part), strict=True))
            for month in missing[-_MONTHS_IN_MEMORY:]:
                memory[month] = found[month]
            while len(memory) > _MONTHS_IN_MEMORY:
                del memory[next(iter(memory))]
        return found

    def _stored(self, months: Iterable[int]) -> npt.NDArray[np.floating]:
        """(month, cell NEST) or (month, lat, lon) as stored."""
        places = self.places[list(months)]
        low, run = int(places.min()), int(places.max()) + 1 - int(places.min())
        chosen: Any = slice(low, low + run) if run == len(places) else np.sort(places)
        values = np.asarray(self.source.isel(time=chosen).values)
        values = values[np.argsort(np.argsort(places))]
        return self.grid.nested(values) if isinstance(self.grid, Cells) else values

    def _on_cells(self, months: list[int]) -> npt.NDArray[np.float32]:
        kelvin = self._stored(months).astype(np.float64) * self.factor + self.offset
        _check_plausible(kelvin)
        if isinstance(self.grid, Cells):
            found = healpix.resample(kelvin, self.grid.zoom, self.zoom)
        else:
            found = self.grid.sampled(kelvin, self.zoom)
        return (found if self.change is None else self.change.added(found)).astype(np.float32)


def _field(ds: xr.Dataset, variable: str | None) -> Field:
    """The variable of a data set that is its SST."""
    known = reader.fields_of(ds)
    if variable is None:
        called = [name for name in names.SST if name in ds.data_vars]
        called += [n for n in known if ds[n].attrs.get("standard_name") == "sea_surface_temperature"]
        dated = [name for name in known if dates.time_of(ds[name]) is not None]
        if not called and len(dated) != 1:
            there = ", ".join(map(str, ds.data_vars)) or "none"
            raise ValueError(f"which variable is the SST? Pass it as a DataArray; there are: {there}")
        variable = (called or dated)[0]
    if variable not in ds.data_vars:
        raise ValueError(f"the SST data set has no field {variable!r}: choose one of {', '.join(map(str, known))}")
    found = reader.read_field(ds, variable, "the SST: ", _OPEN_POLES)
    if found.times is None:
        raise ValueError(f"the SST: {variable} has no time: it needs a dimension time with dates")
    surface = found.at_level(None)
    if surface is None:
        raise ValueError(f"the SST: {variable} has several pressures: choose one of them with .isel")
    return surface if surface.has_time else dataclasses.replace(surface, array=surface.array.expand_dims("time"))


def _ascending(found: Field) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.int64]]:
    """The times in ascending order and where they are."""
    assert found.times is not None
    times = dates.each_once(found.times.astype("datetime64[s]"), "the SST")
    places = np.argsort(times, kind="stable")
    return times[places], places


def _to_kelvin(text: str, first: npt.NDArray[np.float64]) -> units.Conversion:
    if not np.isfinite(first).any():
        raise ValueError("the SST's first month has no value")
    if not text.strip():
        return units.Conversion(1.0, 273.15 if np.nanmax(first) < 100 else 0.0)
    try:
        return units.conversion(text, channels.VARIABLES["sst"].units)
    except ValueError:
        raise ValueError(f"the SST's units are {text!r}: they must be those of a temperature, such as K") from None


def _check_plausible(kelvin: npt.NDArray[np.float64]) -> None:
    known = kelvin[~np.isnan(kelvin)]
    if not known.size:
        return
    low, high = known.min(), known.max()
    if not _PLAUSIBLE_KELVIN[0] <= low <= high <= _PLAUSIBLE_KELVIN[1]:
        raise ValueError(
            f"the SST ranges from {low:.1f} to {high:.1f} K, which is no sea: check its units attribute (K or degC), "
            "and that land and marks such as -1000 are NaN, for example with .where"
        )
