"""Overlapping square patches of the twelve faces: which there are, which cells they see and which they answer for.

A face of n x n cells is padded by ``overlap`` cells of its neighbours and cut into patches of ``size`` cells along
an edge, ``size - overlap`` apart. A patch *sees* all its cells and *owns* those that lie in its own face. Everything
is computed for the patches asked for: there are no tables of the globe's size.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt

from xr_cbottle.grid import healpix
from xr_cbottle.grid.healpix import FACES, Indices


@dataclasses.dataclass(frozen=True)
class PatchGrid:
    """All patches of a HEALPix level, numbered by face, then row, then column (PAD_XY).

    Attributes
    ----------
    zoom
        HEALPix level of the cells.
    size
        Cells along an edge of a patch.
    overlap
        Cells that a patch shares with the next one, and by which faces are padded.
    """

    zoom: int
    size: int
    overlap: int

    def __post_init__(self) -> None:
        n = healpix.nside(self.zoom)
        if not 0 <= self.overlap < self.size:
            raise ValueError(f"overlap is {self.overlap}: it must be from 0 to {self.size - 1}, less than a patch")
        room = n + 2 * self.overlap - self.size
        if self.overlap > n or room < 0 or room % self.stride:
            raise ValueError(
                f"patches of {self.size} cells that overlap by {self.overlap} do not tile a face of zoom {self.zoom}: "
                f"size - overlap must divide {n} + 2 * overlap - size, and overlap be at most {n}"
            )

    @property
    def stride(self) -> int:
        """Cells from one patch to the next."""
        return self.size - self.overlap

    @property
    def side(self) -> int:
        """Patches along an edge of a face."""
        return (healpix.nside(self.zoom) + 2 * self.overlap - self.size) // self.stride + 1

    @property
    def count(self) -> int:
        """Patches of the globe."""
        return FACES * self.side**2

    def corners(self, patches: npt.ArrayLike) -> tuple[Indices, Indices, Indices]:
        """Face of each patch, and the row and column of its first cell in that face (negative in the padding)."""
        face, place = np.divmod(np.asarray(patches, np.int64), self.side**2)
        row, column = np.divmod(place, self.side)
        return face, row * self.stride - self.overlap, column * self.stride - self.overlap

    def seen(self, patches: npt.ArrayLike) -> tuple[Indices, Indices]:
        """NEST cells that patches see.

        Returns
        -------
        Two arrays (patch, row, column): a pixel is the mean of the two cells, which are the same one except on the
        diagonal beyond the corners at which only three faces meet.
        """
        faces, rows, columns = self.corners(patches)
        steps = np.arange(self.size)
        r, c = rows[:, None, None] + steps[:, None], columns[:, None, None] + steps
        return square(self.zoom, faces, *np.broadcast_arrays(r, c))

    def owned(self, patch: int) -> tuple[slice, slice]:
        """Rows and columns of a patch that lie in its face, where its answer counts."""
        _, row, column = (int(corner) for corner in self.corners(patch))
        n = healpix.nside(self.zoom)
        return tuple(slice(max(0, -k), min(self.size, n - k)) for k in (row, column))  # type: ignore[return-value]

    def owners(self, cells: npt.ArrayLike) -> Indices:
        """Patches that own any of some NEST cells, ascending."""
        face, row, column = face_coordinates(self.zoom, np.asarray(cells, np.int64))
        # A cell is in at most this many patches along an axis.
        reach = -(-self.size // self.stride)
        found = []
        for i in range(reach):
            for j in range(reach):
                p, q = (row + self.overlap) // self.stride - i, (column + self.overlap) // self.stride - j
                inside = (p >= 0) & (q >= 0) & (p < self.side) & (q < self.side)
                inside &= (row + self.overlap < p * self.stride + self.size) & (
                    column + self.overlap < q * self.stride + self.size
                )
                found.append(np.unique(((face * self.side + p) * self.side + q)[inside]))
        return np.unique(np.concatenate(found))

    def around(self, tile_zoom: int, tile: int, halo: int) -> Indices:
        """Patches that own any cell of a tile or within ``halo`` cells of its edges, ascending.

        Parameters
        ----------
        tile_zoom, tile
            The tile is the NEST cell ``tile`` of the coarser level ``tile_zoom``.
        halo
            Cells, at most the edge of a face.
        """
        edge = healpix.nside(self.zoom - tile_zoom)
        face, row, column = face_coordinates(tile_zoom, np.array([tile]))
        steps = np.arange(-halo, edge + halo)
        r, c = np.meshgrid(row * edge + steps, column * edge + steps, indexing="ij")
        return self.owners(np.concatenate([cells.ravel() for cells in square(self.zoom, face[0], r, c)]))

    def cone(self, cells: npt.ArrayLike, rounds: int) -> list[Indices]:
        """Patches that must answer, round by round, for the last answer at some cells to be right.

        In each round all patches that own a cell answer for it from what they see, which is the answer of the round
        before. The last round needs the owners of the cells; each earlier one the owners of all that those see.
        """
        needed = [self.owners(cells)]
        while len(needed) < rounds:
            needed.append(np.unique(np.concatenate([_asked(self, patch) for patch in needed[-1].tolist()])))
        return needed[::-1]


@functools.lru_cache(maxsize=8192)
def _asked(grid: PatchGrid, patch: int) -> Indices:
    """Patches that own any of the cells a patch sees."""
    return grid.owners(np.concatenate(grid.seen([patch])))


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """Some patches and the cells they see.

    Attributes
    ----------
    grid
        All patches of the level.
    patches
        Those of the region, ascending.
    cells
        (cell,) NEST numbers of the cells they see, ascending.
    seen
        (patch, pixel) position in ``cells`` of each pixel of each patch.
    averaged, partner
        Flat positions in ``seen`` of the pixels that are the mean of two cells, and the second cell of each.
    """

    grid: PatchGrid
    patches: Indices
    cells: Indices
    seen: npt.NDArray[np.int32]
    averaged: Indices
    partner: Indices

    @classmethod
    def of(cls, grid: PatchGrid, patches: npt.ArrayLike) -> Region:
        """The region of some patches; its tables are of the region's size."""
        patches = np.unique(np.asarray(patches, np.int64))
        first, second = grid.seen(patches)
        averaged = np.flatnonzero(first != second)
        both = np.concatenate([first.ravel(), second.ravel()[averaged]])
        cells, places = np.unique(both, return_inverse=True)
        seen = places[: first.size].reshape(len(patches), -1).astype(np.int32)
        return cls(grid, patches, cells, seen, averaged, places[first.size :])


def face_coordinates(zoom: int, cells: Indices) -> tuple[Indices, Indices, Indices]:
    """Face, row and column (PAD_XY) of NEST cells."""
    n = healpix.nside(zoom)
    face, code = np.divmod(cells, n * n)
    x, y = np.zeros_like(code), np.zeros_like(code)
    for bit in range(zoom):
        x |= ((code >> (2 * bit)) & 1) << bit
        y |= ((code >> (2 * bit + 1)) & 1) << bit
    return face, n - 1 - x, n - 1 - y


def nest_cells(zoom: int, face: Indices, row: Indices, column: Indices) -> Indices:
    """NEST cells of faces, rows and columns (PAD_XY)."""
    n = healpix.nside(zoom)
    return face * n * n + healpix.interleave(n - 1 - row, n - 1 - column, zoom)


def square(zoom: int, faces: Indices, r: Indices, c: Indices) -> tuple[Indices, Indices]:
    """NEST cells at rows and columns in [-n, 2n) of faces, as `PatchGrid.seen` gives them."""
    n = healpix.nside(zoom)
    faces = np.broadcast_to(faces.reshape(faces.shape + (1,) * (r.ndim - faces.ndim)), r.shape)
    first, second = np.empty(r.shape, np.int64), np.empty(r.shape, np.int64)
    for face in np.unique(faces).tolist():
        here = faces == face
        rows, columns = r[here], c[here]
        cells = nest_cells(zoom, *healpix.neighbour_cells(face, rows, columns, n))
        first[here] = second[here] = cells
        gap = healpix.gap_partners(face, rows, columns, n)
        if gap is not None:
            where, partner = gap
            cells = cells.copy()
            cells[where] = nest_cells(zoom, *partner)
            second[here] = cells
    return first, second
