"""Tiles: how the fine level is cut, and which patches are denoised for one of them. Needs no torch."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from xr_cbottle.grid import healpix
from xr_cbottle.grid.healpix import Indices
from xr_cbottle.grid.patches import PatchGrid

#: Patches denoised at once when nobody says; a constant, because the last bits of values depend on it.
PATCHES_AT_ONCE = 8


@dataclasses.dataclass(frozen=True)
class Tiling:
    """The tiles of a level, and what is drawn for each.

    Attributes
    ----------
    grid
        Patches of the level.
    zoom
        HEALPix level whose cells are the tiles.
    halo
        Cells around a tile for which patches are denoised too.
    """

    grid: PatchGrid
    zoom: int
    halo: int

    def __post_init__(self) -> None:
        if not 0 <= self.zoom <= self.grid.zoom:
            raise ValueError(f"tiles are of zoom {self.zoom}: it must be from 0 to {self.grid.zoom}")
        if not 0 <= self.halo <= healpix.nside(self.grid.zoom):
            raise ValueError(
                f"halo is {self.halo} cells: it must be from 0 to {healpix.nside(self.grid.zoom)}, a face's edge"
            )

    @property
    def count(self) -> int:
        """Tiles of the globe."""
        return healpix.n_cells(self.zoom)

    @property
    def cells_per_tile(self) -> int:
        """Cells of the fine level in a tile."""
        return 4 ** (self.grid.zoom - self.zoom)

    def cells(self, tile: int) -> Indices:
        """NEST cells of a tile."""
        return np.arange(tile * self.cells_per_tile, (tile + 1) * self.cells_per_tile)

    def tiles(self, cells: npt.ArrayLike) -> Indices:
        """Tiles that hold some NEST cells, ascending."""
        return np.unique(np.asarray(cells, np.int64) // self.cells_per_tile)

    def rounds(self, tile: int, legs: int, *, exact: bool) -> list[Indices]:
        """Patches that are denoised for a tile in each leg of a sampler.

        Parameters
        ----------
        tile
            Its number.
        legs
            How many legs the sampler has, see `xr_cbottle.network.multidiffusion.PatchSampler`.
        exact
            Whether all that the tile depends on is denoised, which takes legs of one evaluation; otherwise what
            lies in its halo.
        """
        if exact:
            return self.grid.cone(self.cells(tile), legs)
        return [self.grid.around(self.zoom, tile, self.halo)] * legs


def default_tiling(grid: PatchGrid, tile_zoom: int | None = None, halo: int | None = None) -> Tiling:
    """Make tiles of about two patches along an edge, with a halo of half a patch.

    Smaller tiles cost a small box less and a large one more: their halos overlap.
    """
    steps = min(grid.zoom, max(0, (2 * grid.size).bit_length() - 1))
    tile_zoom = grid.zoom - steps if tile_zoom is None else tile_zoom
    return Tiling(grid, tile_zoom, min(grid.size // 2, healpix.nside(grid.zoom)) if halo is None else halo)
