"""Regular latitudes and longitudes of a data set of others: any orientation, and longitudes from anywhere."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields import names
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr

CELL_DEGREES = math.degrees(math.sqrt(4 * math.pi / 12))
"""Edge of a HEALPix cell at zoom 0, degrees."""
_POLE = 89.999
_UNITS = {axis: re.compile(rf"deg(?:ree)?s?_?{side}") for axis, side in (("lat", "n(?:orth)?"), ("lon", "e(?:ast)?"))}
_CALLED = {"lat": ("latitude", names.LATITUDES), "lon": ("longitude", names.LONGITUDES)}


@dataclass(frozen=True, eq=False)
class LatLon:
    """A grid of latitudes and longitudes of the globe.

    Attributes
    ----------
    lat, lon
        Degrees as they are stored.
    once
        Positions of longitudes, each one once: 0 and 360 may both be there.
    """

    lat: npt.NDArray[np.float64]
    lon: npt.NDArray[np.float64]
    once: healpix.Indices

    @property
    def key(self) -> tuple[Any, ...]:
        """Key of the grid, which two fields of one grid have in common."""
        return "latitudes and longitudes", self.lat.tobytes(), self.lon.tobytes()

    @property
    def spacing(self) -> float:
        """Largest distance between neighbours, degrees."""
        return max(float(np.diff(np.sort(axis)).max()) for axis in (self.lat, self.lon[self.once]))

    @property
    def zoom(self) -> int:
        """HEALPix level whose cells are as fine as the grid, or a little finer."""
        return max(0, math.ceil(math.log2(CELL_DEGREES / self.spacing) - 1e-9))

    @property
    def words(self) -> str:
        """The grid, for people."""
        return f"{self.lat.size} x {self.once.size} latitudes and longitudes"

    def sampled(self, values: npt.NDArray[np.floating], zoom: int, spread: bool = False) -> npt.NDArray[np.floating]:
        """(..., cell NEST) by bilinear interpolation of stored values.

        Parameters
        ----------
        values
            (..., lat, lon) as stored.
        zoom
            HEALPix level of the result.
        spread
            Whether a point without a value leaves every cell that needs it without one. A row of a pole without any
            value is as if it were not there.
        """
        lat, lon, values = self.lat, self.lon, values
        if self.once.size < lon.size:
            lon, values = lon[self.once], values[..., self.once]
        if spread:
            there = [abs(at) < _POLE or np.isfinite(values[..., row, :]).any() for row, at in enumerate(lat)]
            lat, values = lat[there], values[..., there, :]
        return healpix.bilinear_from_latlon(values, lat, lon, zoom, spread)

    def averaged(self, values: npt.NDArray[np.floating], zoom: int, spread: bool = False) -> npt.NDArray[np.floating]:
        """(..., cell NEST) means of stored values, interpolated bilinearly to cells as fine as the grid first.

        Parameters
        ----------
        values, zoom, spread
            As for `sampled`.
        """
        fine = max(zoom, self.zoom)
        return healpix.coarsen(self.sampled(values, fine, spread), fine - zoom, spread)


def axes_of(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """{"lat": ..., "lon": ...} coordinates of latitude and longitude, of any shape, as far as they are there."""
    found = {}
    for axis, (standard_name, known) in _CALLED.items():
        names_ = [
            str(name)
            for name, coordinate in array.coords.items()
            if coordinate.attrs.get("standard_name") == standard_name
            or _UNITS[axis].fullmatch(str(coordinate.attrs.get("units", "")).lower())
            or name in known
        ]
        names_.sort(key=lambda name: (array.coords[name].ndim != 1, name not in array.dims, name not in known))
        if names_:
            found[axis] = array.coords[names_[0]]
    return found


def find_latlon(lat: npt.ArrayLike, lon: npt.ArrayLike, where: str, open_poles: float | None = None) -> LatLon:
    """The grid of some latitudes and longitudes, which must be of the whole globe.

    Parameters
    ----------
    lat, lon
        (n,) degrees.
    where
        What is on them, for messages.
    open_poles
        Degrees around the poles that the grid may lack; one spacing if None.

    Raises
    ------
    ValueError
        If they are no degrees, one is there twice, or a part of the globe is lacking.
    """
    lat, lon = np.asarray(lat, np.float64), np.asarray(lon, np.float64)
    known = np.isfinite(lat).all() and np.isfinite(lon).all()
    once = np.sort(np.unique(np.round(lon % 360, 6) % 360, return_index=True)[1])
    if not known or lat.size < 2 or once.size < 2 or np.abs(lat).max() > 90.001 or len(np.unique(lat)) < lat.size:
        raise ValueError(
            f"latitudes and longitudes of {where} must be degrees, at least two of each, no latitude twice"
        )
    rising = np.sort(lon[once] % 360)
    steps = np.diff(rising, append=rising[:1] + 360)
    spacing = float(np.median(np.diff(np.sort(lat))))
    gap = max(90 - lat.max(), 90 + lat.min())
    if steps.max() > 1.5 * np.median(steps) or gap > max(1.01 * spacing, open_poles or 0):
        raise ValueError(
            f"the grid of {where} spans {lat.min():g} to {lat.max():g} degrees north and {lon.min():g} to "
            f"{lon.max():g} east: all of the globe is needed, as the network is told of all of it"
        )
    return LatLon(lat, lon, once)
