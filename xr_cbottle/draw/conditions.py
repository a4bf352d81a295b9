"""What a network is told about a time: sea surface temperature, second of the day, day of the year.

SST comes as a few hundred months, on latitudes and longitudes or on HEALPix cells. It is brought to the
network's cells month by month when it is needed, so that opening a century costs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.draw.forks import Lock
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr

    from xr_cbottle.bottle.climatology import Climatology

SST_MEAN = 287.6897
SST_STD = 15.5862
"""Mean and standard deviation of the SST that cBottle's networks are conditioned on, K."""
LAND_KELVIN = 290.0
"""What cBottle's networks are given over land, K."""

_PLAUSIBLE_KELVIN = (260.0, 325.0)
_VARIABLE_NAMES = ("tosbcs", "sst", "tos", "analysed_sst", "ts")
_MONTHS_IN_MEMORY = 64
_MONTHS_AT_A_TIME = 12


class _Months:
    """The last months that were brought to the cells, shared by threads."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.fields: dict[int, npt.NDArray[np.float32]] = {}

    def __reduce__(self) -> tuple[type, tuple]:
        return _Months, ()


@dataclass(frozen=True, eq=False)
class SeaSurfaceTemperature:
    """Monthly SST on the cells of one zoom; make it with `from_dataset` or `open`.

    Attributes
    ----------
    source
        (time, cell) or (time, lat, lon), in K or degC as found, possibly still in its file.
    times
        (month,) datetime64[s], ascending: the moments at which the field takes these values.
    zoom
        HEALPix level of what `at` returns.
    offset
        Added to the source to make K: 0 or 273.15.
    """

    source: xr.DataArray
    times: npt.NDArray[np.datetime64]
    zoom: int
    offset: float
    _months: _Months = field(default_factory=_Months, repr=False)

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

            source = xr.open_dataset(source)
        return cls.from_dataset(source, zoom, variable)

    @classmethod
    def from_dataset(
        cls, ds: xr.Dataset | xr.DataArray, zoom: int, variable: str | None = None
    ) -> SeaSurfaceTemperature:
        """Make an SST of a data set.

        Parameters
        ----------
        ds
            (time, cell) on HEALPix cells of any zoom in NEST order, or (time, lat, lon). NaN is land.
            K or degC by the attribute ``units``, without one by the values.
        zoom
            HEALPix level to bring it to.
        variable
            Its name, if the data set has several and none is called like an SST.

        Raises
        ------
        ValueError
            If the variable, its dimensions, its times or its values are not those of an SST.
        """
        array = _choose(ds, variable)
        array = _normalised(array)
        times = array["time"].values
        if times.dtype.kind != "M":
            raise ValueError(
                f"the SST's times are {times.dtype}, not datetime64: decode them, on the standard calendar"
            )
        times = times.astype("datetime64[s]")
        if not len(times) or np.isnat(times).any() or (np.diff(times) <= np.timedelta64(0)).any():
            raise ValueError("the SST's times must be ascending, each one once: sort them with sortby('time')")
        array = array.copy(deep=True)  # what the caller does to it later must not change what is drawn
        first = np.asarray(array.isel(time=0).values, np.float64)
        offset = _kelvin_offset(str(array.attrs.get("units", "")), first)
        low, high = np.nanmin(first) + offset, np.nanmax(first) + offset
        if not _PLAUSIBLE_KELVIN[0] <= low <= high <= _PLAUSIBLE_KELVIN[1]:
            raise ValueError(
                f"the SST ranges from {low:.1f} to {high:.1f} K, which is no sea: check its units attribute "
                "(K or degC), and that land is NaN"
            )
        return cls(array, times, zoom, offset)

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
        wanted = np.atleast_1d(np.asarray(times, "datetime64[s]")).astype(np.int64)
        known = self.times.astype(np.int64)
        after = np.clip(np.searchsorted(known, wanted, side="right"), 1, max(len(known) - 1, 1))
        before = after - 1
        after = np.minimum(after, len(known) - 1)
        span = np.maximum(known[after] - known[before], 1)
        weight = np.clip((wanted - known[before]) / span, 0.0, 1.0)
        fields = self._fields(np.union1d(before, after).tolist())
        return np.stack(
            [
                (1 - w) * fields[b].astype(np.float64) + w * fields[a] if 0 < w < 1 else fields[a if w else b]
                for b, a, w in zip(before.tolist(), after.tolist(), weight.tolist(), strict=True)
            ]
        ).astype(np.float32)

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
        digest = hashlib.sha256(f"sst {self.source.dims} {self.zoom} {self.offset}".encode())
        digest.update(self.times.astype("<i8").tobytes())
        for name in self.source.dims[1:]:
            if name in self.source.coords and name != "cell":
                digest.update(np.ascontiguousarray(self.source[name].values, "<f8").tobytes())
        for start in range(0, len(self.times), _MONTHS_AT_A_TIME):
            part = self.source.isel(time=slice(start, start + _MONTHS_AT_A_TIME)).values
            digest.update(np.ascontiguousarray(part, "<f4").tobytes())
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

    def _on_cells(self, months: list[int]) -> npt.NDArray[np.float32]:
        part = self.source.isel(time=months)
        kelvin = np.asarray(part.values, np.float64) + self.offset
        if part.dims[-1] == "cell":
            cells = healpix.resample(kelvin, _zoom(part.sizes["cell"]), self.zoom)
        else:
            lon = part["lon"].values % 360
            once = np.unique(lon, return_index=True)[1]  # 0 and 360 may both be there
            cells = healpix.bilinear_from_latlon(kelvin[..., once], part["lat"].values, lon[once], self.zoom)
        return cells.astype(np.float32)


def encode_sst(kelvin: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Encode an SST for a network: normalised, land filled with `LAND_KELVIN`; same shape, float32."""
    values = np.asarray(kelvin, np.float64)
    return ((np.where(np.isnan(values), LAND_KELVIN, values) - SST_MEAN) / SST_STD).astype(np.float32)


def encode(
    kelvin: npt.ArrayLike, times: npt.ArrayLike, climatology: Climatology | None = None
) -> npt.NDArray[np.float32]:
    """Encode all fields that a network gets beside the noisy state.

    Parameters
    ----------
    kelvin
        (n, cell NEST) SST, NaN over land.
    times
        (n,) datetime64.
    climatology
        Of a bottle that draws anomalies: its network is told the anomaly of the SST too.

    Returns
    -------
    (n, 1 or 2, cell NEST) float32.
    """
    fields = [encode_sst(kelvin)]
    if climatology is not None:
        fields.append(climatology.sst_anomaly(np.asarray(kelvin), times))
    return np.stack(fields, 1)


def second_of_day(times: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Seconds since 00 UTC, (n, 1) float32, of (n,) datetime64."""
    seconds = np.atleast_1d(np.asarray(times, "datetime64[s]")).astype(np.int64)
    return (seconds % 86400).astype(np.float32)[:, None]


def day_of_year(times: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Days since 1 January 00 UTC with the fraction of the day, (n, 1) float32, of (n,) datetime64."""
    stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
    start = stamps.astype("datetime64[Y]").astype("datetime64[s]")
    return ((stamps - start).astype(np.int64) / 86400).astype(np.float32)[:, None]


def _choose(ds: xr.Dataset | xr.DataArray, variable: str | None) -> xr.DataArray:
    import xarray as xr

    if isinstance(ds, xr.DataArray):
        return ds
    if not isinstance(ds, xr.Dataset):
        raise ValueError(f"an SST is a path, a Dataset or a DataArray, not {type(ds).__name__}")
    names = [str(name) for name in ds.data_vars if "time" in ds[name].dims and ds[name].ndim >= 2]
    if variable is None:
        called = [name for name in _VARIABLE_NAMES if name in names]
        called += [n for n in names if ds[n].attrs.get("standard_name") == "sea_surface_temperature"]
        if not called and len(names) != 1:
            raise ValueError(f"which variable is the SST? Pass it as a DataArray; there are: {', '.join(names)}")
        variable = (called or names)[0]
    if variable not in names:
        raise ValueError(f"the SST data set has no field {variable!r} over time: choose one of {', '.join(names)}")
    return ds[variable]


def _normalised(array: xr.DataArray) -> xr.DataArray:
    """Dimensions renamed and ordered to (time, cell) or (time, lat, lon)."""
    array = array.rename({k: v for k, v in {"latitude": "lat", "longitude": "lon"}.items() if k in array.dims})
    for dims in (("time", "cell"), ("time", "lat", "lon")):
        if set(dims) == set(array.dims):
            array = array.transpose(*dims)
            break
    else:
        raise ValueError(f"an SST has dimensions (time, cell) or (time, lat, lon), not {array.dims}")
    if array.dims[-1] == "cell":
        _zoom(array.sizes["cell"])
    elif missing := {"lat", "lon"} - set(array.coords):
        raise ValueError(f"the SST has no coordinate {' and no '.join(sorted(missing))}: it needs degrees")
    elif array.sizes["lat"] < 2 or array.sizes["lon"] < 2:
        raise ValueError("the SST's grid has fewer than two latitudes or longitudes")
    return array.drop_vars([name for name in array.coords if name not in array.dims])


def _zoom(cells: int) -> int:
    for zoom in range(16):
        if healpix.n_cells(zoom) == cells:
            return zoom
    raise ValueError(f"the SST has {cells} cells: a HEALPix field has 12 * 4**zoom, over the whole globe")


def _kelvin_offset(units: str, field: npt.NDArray[np.float64]) -> float:
    if not np.isfinite(field).any():
        raise ValueError("the SST's first month has no value")
    name = units.strip().lower().replace("degrees", "degree").replace("deg_", "deg").replace("degree_", "degree")
    if name in ("k", "kelvin", "degk", "degreekelvin"):
        return 0.0
    if name in ("c", "°c", "degc", "celsius", "degreec", "degreecelsius"):
        return 273.15
    if name:
        raise ValueError(f"the SST's units are {units!r}: they must be K or degC")
    return 273.15 if np.nanmax(field) < 100 else 0.0
