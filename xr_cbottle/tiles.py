"""Tiles of the fine level, each of which can be drawn without the others.

A tile is one NEST cell of a coarser level. Its noise is that of the fixed blocks of cells it touches, and the patches
that are denoised for it depend on nothing but the tile: a value is then the same whatever else is asked for.

How near a tile comes to the same tile of a globe drawn at once is the sampler's. With Heun's method patches are made
one at every evaluation, so that in principle all of the globe matters; a halo of half a patch around the tile leaves a
difference that `tests/benchmarks/bench_seam.py` measures. A distilled network's few evaluations reach no further than
as many rounds of neighbours, all of which are drawn: then there is no difference.
"""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle import diffusion, healpix, noise, superres
from xr_cbottle.healpix import Indices
from xr_cbottle.noise import Time
from xr_cbottle.patches import PatchGrid, Region
from xr_cbottle.superres import Field, RegionModel, Sampler

#: Noise is drawn for blocks of 4**5 cells; a constant, because values are a function of it.
BLOCK_STEPS = 5
PATCHES_AT_ONCE = 8


def block_noise(
    zoom: int, cells: Indices, channels: int, *, draws: int = 1, seed: int, member: int, time: Time
) -> npt.NDArray[np.float32]:
    """Standard normal numbers of some cells of an instant, each by the block of cells it lies in.

    Parameters
    ----------
    zoom, cells
        HEALPix level, and NEST cells, ascending.
    channels
        How many channels.
    draws
        How many fields; the first is the same however many there are.
    seed, member, time
        As in `xr_cbottle.noise.normals`.

    Returns
    -------
    (draw, cell, channel) float32.
    """
    size = 4 ** min(BLOCK_STEPS, zoom)
    blocks, begins = np.unique(cells // size, return_index=True)
    out = np.empty((draws, len(cells), channels), np.float32)
    for block, begin, end in zip(blocks.tolist(), begins, [*begins[1:], len(cells)], strict=True):
        whole = noise.normals(
            (draws, channels, size), seed=seed, stage="superres", member=member, time=time, block=block
        )
        out[:, begin:end] = whole[:, :, cells[begin:end] - block * size].transpose(0, 2, 1)
    return out


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

    def rounds(self, tile: int, sampler: Sampler) -> list[Indices]:
        """Patches that are denoised for a tile in each leg of a sampler."""
        if is_exact(sampler):
            return self.grid.cone(self.cells(tile), len(sampler.legs))
        return [self.grid.around(self.zoom, tile, self.halo)] * len(sampler.legs)


def is_exact(sampler: Sampler) -> bool:
    """Whether all that a tile depends on is drawn: each leg is one evaluation."""
    return all(count == 1 for count in sampler.evaluations)


def default_tiling(grid: PatchGrid, tile_zoom: int | None = None, halo: int | None = None) -> Tiling:
    """Tiles of about two patches along an edge, with a halo of half a patch.

    Smaller tiles cost a small box less and a large one more: their halos overlap.
    """
    steps = min(grid.zoom, max(0, (2 * grid.size).bit_length() - 1))
    tile_zoom = grid.zoom - steps if tile_zoom is None else tile_zoom
    return Tiling(grid, tile_zoom, min(grid.size // 2, healpix.nside(grid.zoom)) if halo is None else halo)


class Resolver:
    """A super-resolution network that draws tiles, or the globe at once, from coarse fields.

    Parameters
    ----------
    denoiser
        Of the patch network.
    scales, center
        (channel,) physical = normalised * scale + centre, of the coarse and the fine fields.
    coarse_zoom
        HEALPix level of the coarse fields.
    tiling, sampler
        What is drawn for a tile, and how.
    batch_size
        Patches denoised at once; the last bits of values depend on it.

    Attributes
    ----------
    evaluated : int
        Patches denoised so far, once for each evaluation; padding of batches does not count.
    drawn : int
        Tiles drawn so far; the globe counts as all of them.
    """

    def __init__(
        self,
        denoiser: diffusion.Denoiser,
        scales: npt.ArrayLike,
        center: npt.ArrayLike,
        coarse_zoom: int,
        tiling: Tiling,
        sampler: Sampler,
        *,
        batch_size: int = PATCHES_AT_ONCE,
    ) -> None:
        self.denoiser, self.coarse_zoom, self.tiling = denoiser, coarse_zoom, tiling
        self.sampler, self.batch_size = sampler, batch_size
        self.scales, self.center = np.asarray(scales, np.float64), np.asarray(center, np.float64)
        self.evaluated = self.drawn = 0
        self.lock = threading.Lock()

    def draw_tile(self, coarse: Field, tile: int, *, seed: int, member: int, time: Time) -> npt.NDArray[np.float32]:
        """One tile of an instant.

        Parameters
        ----------
        coarse
            (channel, cell NEST) the coarse instant in the channels' units.
        tile
            Its number.
        seed, member, time
            Of the instant: they choose the noise.

        Returns
        -------
        (channel, cell of the tile) in the channels' units.
        """
        if not 0 <= tile < self.tiling.count:
            raise ValueError(f"tile is {tile}: it must be from 0 to {self.tiling.count - 1}")
        rounds = self.tiling.rounds(tile, self.sampler)
        drawn, cells = self._draw(coarse, rounds, seed, member, time)
        self.drawn += 1
        return drawn[:, np.searchsorted(cells, self.tiling.cells(tile))]

    def draw_globe(self, coarse: Field, *, seed: int, member: int, time: Time) -> npt.NDArray[np.float32]:
        """All cells of an instant at once, (channel, cell NEST), with the noise that tiles have."""
        everywhere = np.arange(self.tiling.grid.count)
        drawn, _ = self._draw(coarse, [everywhere] * len(self.sampler.legs), seed, member, time)
        self.drawn += self.tiling.count
        return drawn

    def _draw(
        self, coarse: Field, rounds: list[Indices], seed: int, member: int, time: Time
    ) -> tuple[npt.NDArray[np.float32], Indices]:
        """(channel, cell) of the cells that patches see, and these cells."""
        expected = (len(self.scales), healpix.n_cells(self.coarse_zoom))
        if coarse.shape != expected:
            raise ValueError(f"the coarse field has shape {coarse.shape}: it must be (channel, cell), {expected}")
        if not np.isfinite(coarse).all():
            raise ValueError("the coarse field has values that are not finite: fill them first")
        normalised = (coarse - self.center[:, None]) / self.scales[:, None]
        region = Region.of(self.tiling.grid, np.concatenate(rounds))
        normals = block_noise(
            region.grid.zoom, region.cells, len(self.scales), draws=self.sampler.draws,
            seed=seed, member=member, time=time,
        )  # fmt: skip
        with self.lock, torch.inference_mode():
            model = RegionModel(self.denoiser, region, normalised, self.coarse_zoom, batch_size=self.batch_size)
            fresh = model.put(normals).double()
            if is_exact(self.sampler):
                places = [np.searchsorted(region.patches, patches).tolist() for patches in rounds]
                state = superres.draw_by_legs(model, fresh, self.sampler, places)
            else:
                state = superres.draw_together(model, fresh, self.sampler, stand_in=False)
            self.evaluated += model.evaluated
        values = state.cpu().numpy().T * self.scales[:, None] + self.center[:, None]
        if not np.isfinite(values).all():
            raise FloatingPointError("super-resolution gave values that are not finite; use precision='float32'.")
        return values.astype(np.float32), region.cells
