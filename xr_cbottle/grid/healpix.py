"""The HEALPix sphere: cell orders, padding of the twelve faces, changes of zoom, bilinear weights.

Fields are NEST ordered along their last axis everywhere but inside a network, which works on faces
in PAD_XY order: flat = f n^2 + r n + c, with the in-face HEALPix x = n-1-r, y = n-1-c.
healpy is imported where it is needed, because opening a bottle must not pay for it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FACES = 12
Indices = npt.NDArray[np.int64]


def nside(zoom: int) -> int:
    """Cells along the edge of a base face, 2**zoom."""
    return 1 << zoom


def n_cells(zoom: int) -> int:
    """Cells of the sphere, 12 * 4**zoom."""
    return FACES * 4**zoom


def zoom_of(cells: int) -> int | None:
    """HEALPix level of a globe of so many cells; None if no whole globe has that number."""
    zoom = max(cells // FACES, 1).bit_length() // 2
    return zoom if n_cells(zoom) == cells else None


@functools.lru_cache(maxsize=4)
def nest_to_ring(zoom: int) -> Indices:
    """Gather indices from RING to NEST: ``nest = ring[..., nest_to_ring(zoom)]``, the RING number of each NEST cell."""
    import healpy

    indices = healpy.nest2ring(nside(zoom), np.arange(n_cells(zoom)))
    indices.flags.writeable = False
    return indices


def lonlat(zoom: int, cells: Indices | None = None) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Longitude [0, 360) and latitude in degrees of the centres of all cells, or some, NEST order."""
    import healpy

    lon, lat = healpy.pix2ang(nside(zoom), np.arange(n_cells(zoom)) if cells is None else cells, nest=True, lonlat=True)
    return lon, lat


def interleave(x: Indices, y: Indices, zoom: int) -> Indices:
    """Morton code of in-face coordinates: bits of x on even places, of y on odd ones."""
    code = np.zeros(np.broadcast(x, y).shape, np.int64)
    for bit in range(zoom):
        code |= ((x >> bit) & 1) << (2 * bit) | ((y >> bit) & 1) << (2 * bit + 1)
    return code


@functools.lru_cache(maxsize=32)
def nest_to_padxy(zoom: int) -> Indices:
    """Gather indices from NEST to PAD_XY: ``padxy = nest[..., nest_to_padxy(zoom)]``."""
    n = nside(zoom)
    face, row, column = np.meshgrid(np.arange(FACES), np.arange(n), np.arange(n), indexing="ij")
    indices = (face * n * n + interleave(n - 1 - row, n - 1 - column, zoom)).reshape(-1)
    indices.flags.writeable = False
    return indices


@functools.lru_cache(maxsize=32)
def padxy_to_nest(zoom: int) -> Indices:
    """Gather indices from PAD_XY to NEST: ``nest = padxy[..., padxy_to_nest(zoom)]``."""
    indices = np.argsort(nest_to_padxy(zoom))
    indices.flags.writeable = False
    return indices


class FacePadding(NamedTuple):
    """How to pad twelve faces by their neighbours with one gather and a fix-up.

    Attributes
    ----------
    gather
        (12 * (n + 2p)**2,) flat PAD_XY source cell of every padded pixel.
    averaged
        (k,) flat padded pixels that are the mean of two cells: the diagonal beyond the corners at
        which only three faces meet.
    partner
        (k,) the second of the two cells; the first is ``gather[averaged]``.
    """

    gather: Indices
    averaged: Indices
    partner: Indices


def neighbour_cells(face: int, r: Indices, c: Indices, n: int) -> tuple[Indices, Indices, Indices]:
    """(face, row, column) beside ``face`` at rows and columns in [-n, 2n), the averaged diagonal aside.

    The array's top left is the face's N corner and its top right the E corner, so that the face to
    the NE lies above it and the one to the SE on its right. Around the poles neighbours come turned;
    at the two corners where only three faces meet, the neighbours' rows go on into the gap.
    """
    k = face % 4
    east, west, opposite = (k + 1) % 4, (k + 3) % 4, (k + 2) % 4
    above, below, left, right = r < 0, r >= n, c < 0, c >= n
    up, down, across, back = r + n, r - n, c - n, c + n  # row and column in a neighbour that is not turned
    if face < 4:  # around the north pole
        cells = [
            (above & left, opposite, -1 - r, -1 - c), (above & right, east, up, across),
            (below & left, west, down, back), (below & right, 8 + k, down, across),
            (above, east, c, -1 - r), (left, west, -1 - c, r),
            (below, 4 + k, down, c), (right, 4 + east, r, across),
        ]  # fmt: skip
    elif face < 8:  # along the equator: the N and S corners are gaps
        row, column = np.clip(down, 0, n - 1), np.clip(across, 0, n - 1)
        cells = [
            (above & left & (c >= r), k, up, np.maximum(c - r - 1, 0)), (above & left, west, r - c - 1, back),
            (below & right & (c >= r), 8 + k, np.minimum(n - (c - r), n - 1), column),
            (below & right, 8 + west, row, n - (r - c)),
            (above & right, 4 + east, up, across), (below & left, 4 + west, down, back),
            (above, k, up, c), (left, west, r, back), (below, 8 + west, down, c), (right, 8 + k, r, across),
        ]  # fmt: skip
    else:  # around the south pole
        cells = [
            (above & left, k, up, back), (above & right, 8 + east, up, across), (below & left, 8 + west, down, back),
            (below & right, 8 + opposite, 2 * n - 1 - r, 2 * n - 1 - c),
            (above, 4 + east, up, c), (left, 4 + k, r, back),
            (below, 8 + west, c, 2 * n - 1 - r), (right, 8 + east, 2 * n - 1 - c, r),
        ]  # fmt: skip
    where = [condition for condition, *_ in cells]
    return tuple(
        np.select(where, [np.broadcast_to(cell[i], r.shape) for cell in cells], own)
        for i, own in ((1, np.full_like(r, face)), (2, r), (3, c))
    )  # type: ignore[return-value]


def gap_partners(
    face: int, r: Indices, c: Indices, n: int
) -> tuple[npt.NDArray[np.bool_], tuple[Indices, Indices, Indices]] | None:
    """Where a pixel beside ``face`` is the mean of two cells, and the second of them; None if it nowhere is.

    Only beyond the N and S corners of the faces along the equator, on the diagonal of the gap.
    """
    if not 4 <= face < 8:
        return None
    gap = (r == c) & ((r < 0) | (r >= n))
    if not gap.any():
        return None
    west, at = (face - 1) % 4, r[gap]
    north = at < 0
    row, column = np.where(north, 0, at - n), np.where(north, n + at, n - 1)
    return gap, (np.where(north, west, 8 + west), row, column)


@functools.lru_cache(maxsize=32)
def face_padding(n: int, padding: int) -> FacePadding:
    """Tables that pad twelve faces of ``n`` x ``n`` cells by ``padding`` <= n on each side.

    Only faces 4 to 7 have averaged pixels: beyond their N and S corners there is no face, and the
    diagonal of the gap is the mean of the W and E neighbours.
    """
    if not 0 <= padding <= n:
        raise ValueError(f"padding must be between 0 and the face's {n} cells, got {padding}")
    size = n + 2 * padding
    r, c = np.meshgrid(np.arange(-padding, n + padding), np.arange(-padding, n + padding), indexing="ij")
    tables = [neighbour_cells(face, r, c, n) for face in range(FACES)]
    gather = np.stack([(f * n + row) * n + column for f, row, column in tables])

    i = np.arange(padding)
    averaged, partner = [], []
    for k in range(4):
        west = (k + 3) % 4
        origin = (4 + k) * size * size
        averaged += [origin + i * (size + 1), origin + (n + padding + i) * (size + 1)]
        partner += [(west * n + 0) * n + n - padding + i, ((8 + west) * n + i) * n + n - 1]
    return FacePadding(gather.reshape(-1), np.concatenate(averaged), np.concatenate(partner))


def coarsen(values: npt.NDArray[np.floating], steps: int, spread: bool = False) -> npt.NDArray[np.floating]:
    """Means of 4 cells, ``steps`` times, along the last axis in NEST order.

    Cells without a value (NaN) are left out of a mean, as xarray's ``coarsen(cell=4).mean()`` does, unless they are
    to spread: then a mean that needs one has none.
    """
    for _ in range(steps):
        quads = values.reshape(*values.shape[:-1], -1, 4)
        if not spread and np.isnan(quads).any():
            count = (~np.isnan(quads)).sum(-1)
            total = np.nansum(quads, -1)
            with np.errstate(invalid="ignore"):
                values = np.where(count > 0, total / count, np.nan).astype(values.dtype)
        else:
            values = quads.mean(-1)
    return values


def resample(values: npt.NDArray[np.floating], from_zoom: int, to_zoom: int) -> npt.NDArray[np.floating]:
    """NEST fields at another zoom: 4-cell means downwards, healpy's bilinear weights upwards."""
    if to_zoom <= from_zoom:
        return coarsen(values, from_zoom - to_zoom)
    import healpy

    lon, lat = lonlat(to_zoom)
    cells, weights = healpy.get_interp_weights(nside(from_zoom), lon, lat, nest=True, lonlat=True)
    return _weighted(values, cells, weights)


def interpolate(
    values: npt.NDArray[np.floating],
    zoom: int,
    lon: npt.ArrayLike,
    lat: npt.ArrayLike,
    dtype: npt.DTypeLike = np.float64,
) -> npt.NDArray[np.floating]:
    """NEST fields (..., cell) at points, by healpy's bilinear weights in a precision; NaN spreads.

    Points at the poles and at any longitude are fine; the result is (..., *points).
    """
    import healpy

    lon, lat = np.broadcast_arrays(np.asarray(lon, float), np.asarray(lat, float))
    cells, weights = healpy.get_interp_weights(nside(zoom), lon.ravel(), lat.ravel(), nest=True, lonlat=True)
    values = values.astype(dtype, copy=False)
    total = values[..., cells[0]] * weights[0].astype(dtype)
    for neighbour, weight in zip(cells[1:], weights[1:].astype(dtype), strict=True):
        total += values[..., neighbour] * weight
    return total.reshape(*values.shape[:-1], *lon.shape)


def bilinear_from_latlon(
    values: npt.NDArray[np.floating], lat: npt.ArrayLike, lon: npt.ArrayLike, zoom: int, spread: bool = False
) -> npt.NDArray[np.floating]:
    """Bilinear interpolation of (..., lat, lon) to the cells of a zoom, NEST order.

    Parameters
    ----------
    values
        (..., lat, lon); NaN where there is no value.
    lat, lon
        Degrees, each monotonic; longitudes may start anywhere and are periodic. Beyond the last
        latitude the field goes on unchanged, so that the poles have values.
    zoom
        HEALPix level.
    spread
        Whether a point without a value leaves every cell that needs it without one.

    Returns
    -------
    (..., cell), NaN where the points with a value carry less than half of the weight, or less than all of it if
    missing values spread.
    """
    lat, lon = np.asarray(lat, float), np.asarray(lon, float) % 360
    rows, columns = np.argsort(lat), np.argsort(lon)
    lat, lon = lat[rows], lon[columns]
    values = np.asarray(values)[..., rows, :][..., columns]
    cell_lon, cell_lat = lonlat(zoom)

    j = np.clip(np.searchsorted(lat, cell_lat) - 1, 0, len(lat) - 2)
    v = np.clip((cell_lat - lat[j]) / (lat[j + 1] - lat[j]), 0, 1)
    i = np.searchsorted(lon, cell_lon, side="right") - 1  # -1: between the last longitude and the first
    after = (i + 1) % len(lon)
    u = ((cell_lon - lon[i]) % 360) / ((lon[after] - lon[i]) % 360)
    i %= len(lon)

    cells = np.stack([j * len(lon) + i, j * len(lon) + after, (j + 1) * len(lon) + i, (j + 1) * len(lon) + after])
    weights = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u])
    return _weighted(values.reshape(*values.shape[:-2], -1), cells, weights, spread)


def _weighted(
    values: npt.NDArray[np.floating], cells: Indices, weights: npt.NDArray[np.float64], spread: bool = False
) -> npt.NDArray[np.floating]:
    """Sum of weights (k, cell) times values[..., cells (k, cell)], over those that are not NaN."""
    neighbours = values[..., cells]
    known = ~np.isnan(neighbours)
    total = np.where(known, neighbours * weights, 0).sum(-2)
    weight = np.where(known, weights, 0).sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(weight >= 0.5, total / weight, np.nan).astype(values.dtype)
    return np.where((~known & (weights > 0)).any(-2), np.nan, found).astype(values.dtype) if spread else found
