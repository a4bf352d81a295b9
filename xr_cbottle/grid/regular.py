"""Regular latitudes and longitudes that HEALPix fields are brought to: bilinear at points, or means over boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from xr_cbottle.grid import healpix

Method = Literal["bilinear", "conservative"]
Floats = npt.NDArray[np.float64]
_METHODS = get_args(Method)
_SUB_POINTS = 4  # along a cell, and at least along a box, where a box is averaged
_FINEST = 0.01  # degrees
_ITERATIONS = 20  # by which the mean of the globe is kept to 1e-4 of a field's spread, or better


@dataclass(frozen=True, eq=False)
class RegularGrid:
    """A grid of latitudes and longitudes, and how HEALPix fields come to it.

    Attributes
    ----------
    lat, lon
        (lat,) and (lon,) centres of the boxes in degrees, each evenly spaced and rising.
    spacing
        (of longitudes, of latitudes) in degrees.
    method
        ``bilinear``: values at the centres, by healpy's weights. ``conservative``: means over the boxes of the field
        that is constant in each cell.
    """

    lat: Floats
    lon: Floats
    spacing: tuple[float, float]
    method: Method = "bilinear"

    @property
    def is_global(self) -> bool:
        """Whether its boxes cover the globe."""
        return self.lat.size * self.spacing[1] > 179.9 and self.lon.size * self.spacing[0] > 359.9

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of latitudes and longitudes."""
        return self.lat.size, self.lon.size

    def weights(self, zoom: int) -> Weights:
        """Weights of the cells of a zoom at each point."""
        import healpy
        from scipy import sparse

        nside = healpix.nside(zoom)
        lat, lon = (axis.ravel() for axis in np.meshgrid(self.lat, self.lon, indexing="ij"))
        points, shape = np.arange(lat.size), (lat.size, healpix.n_cells(zoom))
        if self.method == "bilinear":
            cells, weights = healpy.get_interp_weights(nside, lon, lat, nest=True, lonlat=True)
            rows = np.broadcast_to(points, cells.shape)
            return Weights(sparse.csr_array((weights.ravel(), (rows.ravel(), cells.ravel())), shape), self.shape)
        width = math.degrees(math.sqrt(4 * math.pi / healpix.n_cells(zoom)))
        east, north = (_offsets(spacing, width) for spacing in self.spacing)
        total = sparse.csr_array(shape)
        for up in north:  # one row of sub-points at a time, and what falls into one cell is one number
            area = np.cos(np.deg2rad(lat + up))
            cells = [healpy.ang2pix(nside, lon + right, lat + up, nest=True, lonlat=True) for right in east]
            rows, of_all = np.tile(points, east.size), np.tile(area, east.size)
            total = total + sparse.csr_array((of_all, (rows, np.concatenate(cells))), shape)
        rows = sparse.diags_array(1 / total.sum(axis=1)) @ total
        return Weights(_balanced(rows, np.cos(np.deg2rad(lat))) if self.is_global else rows, self.shape)


@dataclass(frozen=True, eq=False)
class Weights:
    """Weighted means of cells at the points of a grid.

    Attributes
    ----------
    matrix
        (points, cells) sparse, of which each row has the sum 1.
    shape
        (lat, lon) of the points.
    """

    matrix: Any
    shape: tuple[int, int]

    def of_needed_cells(self) -> tuple[healpix.Indices, Weights]:
        """The cells that are needed, rising, and the weights of these alone."""
        needed = np.flatnonzero(np.bincount(self.matrix.indices, minlength=self.matrix.shape[1]))
        return needed, Weights(self.matrix.tocsc()[:, needed].tocsr(), self.shape)

    def apply(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """(..., lat, lon) of (..., cell): means over cells with a value, NaN where they carry less than half."""
        flat = values.reshape(-1, values.shape[-1]).T
        known = ~np.isnan(flat)
        sums = self.matrix @ np.where(known, flat, 0)
        if not known.all():
            weight = self.matrix @ known.astype(np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                sums = np.where(weight >= 0.5 - 1e-9, sums / weight, np.nan)
        return sums.T.reshape(*values.shape[:-1], *self.shape).astype(values.dtype)


def regular_grid(
    spacing: float | Iterable[float], method: str = "bilinear", box: tuple[float, float, float, float] | None = None
) -> RegularGrid:
    """A grid whose boxes cover the globe, or of which the centres lie in a box.

    Parameters
    ----------
    spacing
        Degrees, or (of longitudes, of latitudes); 360 and 180 are whole multiples of them.
    method
        ``bilinear`` or ``conservative``.
    box
        (west, south, east, north) in degrees; west may be beyond east, across the date line.

    Returns
    -------
    Longitudes from 0, and latitudes from half a box above the south pole, as CDO's ``r360x180`` has them.

    Raises
    ------
    ValueError
        If it is no such spacing, method or box, or no point lies in the box.
    """
    if method not in _METHODS:
        raise ValueError(f"the method is {method!r}: choose {' or '.join(_METHODS)}")
    east, north = _spacing(spacing)
    lat = -90 + north * (np.arange(round(180 / north)) + 0.5)
    lon = east * np.arange(round(360 / east))
    if box is not None:
        lat = lat[(lat >= box[1]) & (lat <= box[3])]
        lon = box[0] + np.sort((lon - box[0]) % 360)
        lon = lon[lon <= box[0] + width_of(box)]
        if not lat.size * lon.size:
            raise ValueError(f"no point of a grid of {east:g} x {north:g} degrees lies in the box: make it larger")
    return RegularGrid(lat, lon, (east, north), method)  # type: ignore[arg-type]


def checked_box(box: Iterable[float]) -> tuple[float, float, float, float]:
    """(west, south, east, north) of a box in degrees, if it is one.

    Raises
    ------
    ValueError
        If it is none.
    """
    values = tuple(float(value) for value in box)
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise ValueError("a box is four numbers: WEST SOUTH EAST NORTH, in degrees")
    west, south, east, north = values
    if not -90 <= south < north <= 90:
        raise ValueError(f"the box goes from {south:g} to {north:g} degrees north: give SOUTH < NORTH within -90 to 90")
    if not (-360 <= west <= 360 and -360 <= east <= 360) or west == east:
        raise ValueError(f"the box goes from {west:g} to {east:g} degrees east: give WEST and EAST, -360 to 360")
    return west, south, east, north


def width_of(box: tuple[float, float, float, float]) -> float:
    """Degrees of longitude from the west of a box to its east; 360 is the whole circle."""
    return (box[2] - box[0]) % 360 or 360.0


def cells_within(box: tuple[float, float, float, float], zoom: int) -> healpix.Indices:
    """Numbers of the cells, NEST order and rising, whose centres lie in a box.

    Raises
    ------
    ValueError
        If there are none.
    """
    lon, lat = healpix.lonlat(zoom)
    inside = (lat >= box[1]) & (lat <= box[3]) & ((lon - box[0]) % 360 <= width_of(box))
    found = np.flatnonzero(inside)
    if not found.size:
        raise ValueError(f"the box holds no centre of a cell of zoom {zoom}: make it larger, or take a finer zoom")
    return found


def _spacing(spacing: float | Iterable[float]) -> tuple[float, float]:
    pair = tuple(spacing) if isinstance(spacing, Iterable) else (spacing, spacing)
    if len(pair) != 2 or not all(isinstance(value, (int, float)) and value >= _FINEST for value in pair):
        raise ValueError(
            f"the grid is {spacing!r}: give degrees from {_FINEST} on, of longitude x latitude, such as 1x1"
        )
    for value, whole in zip(pair, (360, 180), strict=True):
        count = round(whole / value)
        if count < 1 or abs(count * value - whole) > 1e-6 * whole:
            raise ValueError(f"{whole} degrees are no whole number of {value:g} degrees: give one that divides them")
    return 360 / round(360 / pair[0]), 180 / round(180 / pair[1])


def _balanced(matrix: Any, area: Floats) -> Any:
    """Weights whose rows have the sum 1 and in which all cells count alike, by iterative proportional fitting.

    Sub-points tell how much of a box lies in a cell only roughly. Without this the mean of the globe would differ.

    Parameters
    ----------
    matrix
        (boxes, cells) sparse, of which rows have the sum 1.
    area
        (boxes,) of the boxes, in any unit.
    """
    from scipy import sparse

    share = area.sum() / matrix.shape[1]
    for _ in range(_ITERATIONS):
        found = area @ matrix
        matrix = matrix @ sparse.diags_array(np.divide(share, found, out=np.ones_like(found), where=found > 0))
        matrix = sparse.diags_array(1 / matrix.sum(axis=1)) @ matrix
    return matrix.tocsr()


def _offsets(spacing: float, width: float) -> Floats:
    """Degrees from a box's centre to the middles of its equal parts, of which a cell of some width has four."""
    parts = max(_SUB_POINTS, math.ceil(_SUB_POINTS * spacing / width))
    return spacing * ((np.arange(parts) + 0.5) / parts - 0.5)
