"""The seam of tiles: how far a tile drawn alone is from the same tile of a globe drawn at once, against its halo.

The denoiser is the exact one of a Gaussian field of spectrum k**(-5/3), given its coarse field: the posterior mean of
a patch that sees nothing but itself. It needs no training, and its patches disagree where they overlap for the right
reason, that they lack what is beyond their edges. Patches of 32 cells that overlap by 8 and coarse cells of 4 x 4
have the proportions of the published 128, 32 and 16 x 16: a halo of 16 here is one of 64 there.

Wanted: RMS difference at the borders of tiles under 2 % of the standard deviation of what the coarse field lacks.

python -m tests.benchmarks.bench_seam [TILES [STEPS]]
"""

from __future__ import annotations

import dataclasses
import math
import sys
import types

import numpy as np
import torch

from tests.benchmarks.measure import table
from xr_cbottle import healpix, superres
from xr_cbottle.patches import PatchGrid, Region, face_coordinates
from xr_cbottle.tiles import Tiling

GRID = PatchGrid(6, 32, 8)
COARSE_ZOOM = 4
FACTOR = 4
SLOPE = 11 / 3  # of the density in the plane: k**(-5/3) along a line
BORDER = 2  # cells on each side of a tile's edge that count as its border


class GaussianDenoiser:
    """The posterior mean of each patch, as if it were flat and alone; it takes the place of a `diffusion.Denoiser`."""

    def __init__(self, grid: PatchGrid) -> None:
        covariance = _covariance(grid.size)
        values, vectors = np.linalg.eigh(covariance)
        self.values, self.vectors = torch.from_numpy(values.clip(1e-12)), torch.from_numpy(vectors)
        self.std = math.sqrt(covariance[0, 0])
        embedding = torch.zeros(1, 1).expand(1, healpix.n_cells(grid.zoom))
        self.network = types.SimpleNamespace(model=types.SimpleNamespace(pos_embed=embedding))

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, *, condition: torch.Tensor) -> torch.Tensor:
        local = condition[:, : x.shape[1]].double()
        rest = (x - local).reshape(-1, x.shape[2] * x.shape[3])
        gain = self.values / (self.values + float(sigma[0]) ** 2)
        return local + ((rest @ self.vectors) * gain @ self.vectors.T).view(x.shape)


def _covariance(size: int, n: int = 512) -> np.ndarray:
    """(pixel, pixel) covariance of what bilinear interpolation of the coarse field lacks, of a field of variance 1."""
    k = 2 * np.pi * np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n), indexing="ij"))
    k[0, 0] = np.inf
    density = k**-SLOPE
    lacking = np.fft.ifft2(density * (1 - np.exp(-((k * FACTOR / np.pi) ** 2)))).real
    variance = np.fft.ifft2(density * (k > 2 * np.pi / (32 * FACTOR))).real[0, 0]
    lag = np.abs(np.arange(size)[:, None] - np.arange(size))
    return lacking[lag[:, None, :, None], lag[None, :, None, :]].reshape(size**2, size**2) / variance


@dataclasses.dataclass
class Study:
    """One globe and its noise; differences are in units of the small scales' standard deviation."""

    denoiser: GaussianDenoiser
    noise: np.ndarray

    def model(self, region: Region) -> superres.RegionModel:
        coarse = np.zeros((1, healpix.n_cells(COARSE_ZOOM)), np.float32)
        return superres.RegionModel(self.denoiser, region, coarse, COARSE_ZOOM, batch_size=len(region.patches))

    def draw(self, region: Region, sampler: superres.Sampler, *, by_legs: bool = False) -> np.ndarray:
        """(cell,) of a region; by legs only of the globe."""
        fresh = torch.from_numpy(self.noise[:, region.cells])
        with torch.inference_mode():
            if by_legs:
                rounds = [range(len(region.patches))] * len(sampler.legs)
                state = superres.draw_by_legs(self.model(region), fresh, sampler, rounds)
            else:
                state = superres.draw_together(self.model(region), fresh, sampler, stand_in=False)
        return state[:, 0].numpy() / self.denoiser.std


def border(tiling: Tiling, cells: np.ndarray) -> np.ndarray:
    """Which cells are at the border of their tile."""
    edge = healpix.nside(tiling.grid.zoom - tiling.zoom)
    _, row, column = (k % edge for k in face_coordinates(tiling.grid.zoom, cells))
    return np.minimum.reduce([row, column, edge - 1 - row, edge - 1 - column]) < BORDER


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def main(tiles: int = 4, steps: int = 18) -> None:
    rng = np.random.default_rng(0)
    study = Study(GaussianDenoiser(GRID), rng.standard_normal((1, healpix.n_cells(GRID.zoom), 1)))
    sampler = superres.heun_sampler(steps, 0.002, 800.0)
    everywhere = Region.of(GRID, np.arange(GRID.count))
    globe = study.draw(everywhere, sampler)
    rows = []
    for tile_zoom in (2, 1):
        chosen = rng.choice(healpix.n_cells(tile_zoom), tiles, replace=False).tolist()
        for halo in (0, 4, 8, 12, 16, 24, 32):
            tiling = Tiling(GRID, tile_zoom, halo)
            at_border, inside, patches = [], [], []
            for tile in chosen:
                region = Region.of(GRID, GRID.around(tile_zoom, tile, halo))
                cells = tiling.cells(tile)
                difference = study.draw(region, sampler)[np.searchsorted(region.cells, cells)] - globe[cells]
                edge = border(tiling, cells)
                at_border.append(rms(difference[edge]))
                inside.append(rms(difference[~edge]))
                patches.append(len(region.patches))
            size = healpix.nside(GRID.zoom - tile_zoom)
            rows.append((size, halo, f"{np.mean(patches):.1f}", f"{rms(np.array(at_border)):.4f}",
                         f"{rms(np.array(inside)):.4f}"))  # fmt: skip
            print(*rows[-1], flush=True)
    print(table(("tile edge", "halo", "patches", "RMS at borders", "RMS inside"), rows))

    # By legs nothing is cut off: tiles are exactly those of a globe drawn by legs, which differs from one whose
    # patches become one at every evaluation.
    rows = []
    tiling = Tiling(GRID, 2, 0)
    edge = border(tiling, everywhere.cells)
    for exchange in ((), (3.0,), (3.0, 1.4, 0.6), (6.7, 3.0, 1.4, 0.6, 0.2)):
        cut = superres.heun_sampler(steps, 0.002, 800.0, exchange=exchange, alpha=1.0)
        difference = study.draw(everywhere, cut, by_legs=True) - study.draw(everywhere, dataclasses.replace(cut))
        rows.append((len(cut.legs), cut.evaluations, f"{rms(difference[edge]):.4f}", f"{rms(difference[~edge]):.4f}"))
        print(*rows[-1], flush=True)
    print(table(("legs", "evaluations", "RMS at borders", "RMS inside"), rows))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3]))
