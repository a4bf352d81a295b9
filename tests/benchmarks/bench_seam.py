"""The seam of tiles: how far a tile drawn alone is from the same tile of a globe drawn at once, against its halo.

python -m tests.benchmarks.bench_seam [BOTTLE] [-o FOLDER] [--tiles 4] [--instants 1] [--halos 0 2 4 ...] [--steps 18]

Of a bottle: its full network on instants that it draws itself; and its distilled network, whose tiles must be those of
the globe to the last bit. Differences are RMS over the channels, each in units of the standard deviation of what it has
beyond the interpolated coarse field. Wanted: under 2 % at the borders of tiles. The cost is patches denoised for all
tiles over those of the globe. With ``-o`` there is a plot, seam.png, and its numbers, seam.json.

Without a bottle the denoiser is the exact one of a Gaussian field of spectrum k**(-5/3), given its coarse field: the
posterior mean of a patch that sees nothing but itself. It needs no training, and its patches disagree where they
overlap for the right reason, that they lack what is beyond their edges. Patches of 32 cells that overlap by 8 and
coarse cells of 4 x 4 have the proportions of the published 128, 32 and 16 x 16: a halo of 16 here is one of 64 there.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import math
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from tests.benchmarks.measure import table
from xr_cbottle import Emulator, open_bottle
from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.draw import resolver as tiles_module
from xr_cbottle.draw.fine import NETWORKS, finest_zoom, make_fine
from xr_cbottle.draw.resolver import Resolver
from xr_cbottle.evaluation import pictures
from xr_cbottle.grid import healpix
from xr_cbottle.grid.patches import PatchGrid, Region, face_coordinates
from xr_cbottle.grid.tiling import Tiling
from xr_cbottle.network import multidiffusion

GRID = PatchGrid(6, 32, 8)
COARSE_ZOOM = 4
FACTOR = 4
SLOPE = 11 / 3  # of the density in the plane: k**(-5/3) along a line
BORDER = 2  # cells on each side of a tile's edge that count as its border
WANTED = 0.02


class GaussianDenoiser:
    """The posterior mean of each patch, as if it were flat and alone; it takes the place of an `edm.Denoiser`."""

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

    def model(self, region: Region) -> multidiffusion.RegionModel:
        coarse = np.zeros((1, healpix.n_cells(COARSE_ZOOM)), np.float32)
        return multidiffusion.RegionModel(self.denoiser, region, coarse, COARSE_ZOOM, batch_size=len(region.patches))

    def draw(self, region: Region, sampler: multidiffusion.PatchSampler, *, by_legs: bool = False) -> np.ndarray:
        """(cell,) of a region; by legs only of the globe."""
        fresh = torch.from_numpy(self.noise[:, region.cells])
        with torch.inference_mode():
            if by_legs:
                rounds = [range(len(region.patches))] * len(sampler.legs)
                state = multidiffusion.draw_by_legs(self.model(region), fresh, sampler, rounds)
            else:
                state = multidiffusion.draw_together(self.model(region), fresh, sampler, stand_in=False)
        return state[:, 0].numpy() / self.denoiser.std


def border(tiling: Tiling, cells: np.ndarray) -> np.ndarray:
    """Which cells are at the border of their tile."""
    edge = healpix.nside(tiling.grid.zoom - tiling.zoom)
    _, row, column = (k % edge for k in face_coordinates(tiling.grid.zoom, cells))
    return np.minimum.reduce([row, column, edge - 1 - row, edge - 1 - column]) < BORDER


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


Row = dict[str, float]


def measure(tiling: Tiling, chosen: list[int], difference: Callable[[Tiling, int], np.ndarray]) -> Row:
    """Differences of some tiles, (..., cell) in units of the small scales, and the cost of all of them."""
    at_border, inside = [], []
    for tile in chosen:
        edge = border(tiling, tiling.cells(tile))
        found = difference(tiling, tile)
        at_border.append(rms(found[..., edge]))
        inside.append(rms(found[..., ~edge]))
    patches = [len(tiling.grid.around(tiling.zoom, tile, tiling.halo)) for tile in range(tiling.count)]
    row = {
        "tile_edge": healpix.nside(tiling.grid.zoom - tiling.zoom), "halo": tiling.halo,
        "patches_per_tile": float(np.mean(patches)), "cost": sum(patches) / tiling.grid.count,
        "border": rms(np.array(at_border)), "inside": rms(np.array(inside)),
    }  # fmt: skip
    print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    return row


def of_gaussian(tiles: int, steps: int, halos: Sequence[int]) -> dict[str, Any]:
    """The study without a bottle."""
    rng = np.random.default_rng(0)
    study = Study(GaussianDenoiser(GRID), rng.standard_normal((1, healpix.n_cells(GRID.zoom), 1)))
    sampler = multidiffusion.heun_sampler(steps, 0.002, 800.0)
    everywhere = Region.of(GRID, np.arange(GRID.count))
    globe = study.draw(everywhere, sampler)

    def difference(tiling: Tiling, tile: int) -> np.ndarray:
        region = Region.of(GRID, GRID.around(tiling.zoom, tile, tiling.halo))
        cells = tiling.cells(tile)
        return study.draw(region, sampler)[np.searchsorted(region.cells, cells)] - globe[cells]

    rows = []
    for tile_zoom in (2, 1):
        chosen = rng.choice(healpix.n_cells(tile_zoom), tiles, replace=False).tolist()
        rows += [measure(Tiling(GRID, tile_zoom, halo), chosen, difference) for halo in halos]

    # By legs nothing is cut off: tiles are exactly those of a globe drawn by legs, which differs from one whose
    # patches become one at every evaluation.
    by_legs = []
    edge = border(Tiling(GRID, 2, 0), everywhere.cells)
    for exchange in ((), (3.0,), (3.0, 1.4, 0.6), (6.7, 3.0, 1.4, 0.6, 0.2)):
        cut = multidiffusion.heun_sampler(steps, 0.002, 800.0, exchange=exchange, alpha=1.0)
        apart = study.draw(everywhere, cut, by_legs=True) - study.draw(everywhere, cut)
        by_legs.append((len(cut.legs), sum(cut.evaluations), f"{rms(apart[edge]):.4f}", f"{rms(apart[~edge]):.4f}"))
        print(*by_legs[-1], flush=True)
    print(table(("legs", "evaluations", "RMS at borders", "RMS inside"), by_legs))
    return {"what": "a Gaussian field's exact denoiser", "patch": GRID.size, "overlap": GRID.overlap,
            "default_halo": GRID.size // 2, "evaluations": sum(sampler.evaluations), "rows": rows}  # fmt: skip


@dataclasses.dataclass
class Drawn:
    """One instant of a bottle: its coarse fields, and the globe drawn at once."""

    resolver: Resolver
    coarse: np.ndarray
    time: np.datetime64
    seed: int = 0

    def __post_init__(self) -> None:
        self.globe = self.resolver.draw_globe(self.coarse, seed=self.seed, member=0, time=self.time)
        zoom = self.resolver.tiling.grid.zoom
        smooth = multidiffusion.local_view(
            self.coarse, self.resolver.coarse_zoom, zoom, np.arange(healpix.n_cells(zoom))
        )
        self.small = (self.globe - smooth).std(-1)

    def difference(self, tiling: Tiling, tile: int) -> np.ndarray:
        """(channel, cell) of a tile, with other tiles or another halo than the bottle's."""
        other = copy.copy(self.resolver)
        other.tiling = tiling
        drawn = other.draw_tile(self.coarse, tile, seed=self.seed, member=0, time=self.time)
        return (drawn - self.globe[:, tiling.cells(tile)]) / self.small[:, None]


def resolver_of(bottle: Bottle, network: str) -> Resolver:
    fine = make_fine(bottle.manifest, finest_zoom(bottle.manifest), network=network)
    assert fine is not None  # above the native zoom
    return tiles_module.get(bottle, fine.part, fine.spec, bottle.manifest.zoom, tiling=fine.tiling)


def instants(bottle: Bottle, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Times, evenly spread, and (time, channel, cell) of what is super-resolved, drawn by the bottle."""
    axis = bottle.manifest.time
    first, last = (np.datetime64(end, "s") for end in (axis.start, axis.end))
    times = first + (last - first) * (np.arange(count) + 1) // (count + 1)
    times = times.astype("datetime64[D]").astype("datetime64[s]") + np.timedelta64(6, "h")
    spec = bottle.manifest.superres[0].superres
    assert spec is not None  # its role demands it
    fields = Emulator(bottle).draw(times).sel(channel=list(spec.channels))
    return times, fields.transpose("time", "channel", "cell").values


def of_bottle(path: str, tiles: int, count: int, halos: Sequence[int], tile_zooms: Sequence[int]) -> dict[str, Any]:
    """The study of a bottle's networks."""
    bottle = open_bottle(path)
    roles = {part.role for part in bottle.manifest.parts}
    there = [name for name in ("full", "distilled") if NETWORKS[name] in roles]
    if not there:
        raise SystemExit(f"{bottle.manifest.name} has no super-resolution: choose a bottle that has")
    times, coarse = instants(bottle, count)
    resolver = resolver_of(bottle, there[0])
    grid, native = resolver.tiling.grid, resolver.tiling.zoom
    rng = np.random.default_rng(0)
    report: dict[str, Any] = {
        "what": bottle.manifest.name, "digest": bottle.digest, "patch": grid.size, "overlap": grid.overlap,
        "default_halo": resolver.tiling.halo, "times": [str(time) for time in times],
        "evaluations": sum(resolver.sampler.evaluations), "rows": [],
    }  # fmt: skip
    if "full" in there:
        drawn = [Drawn(resolver, *pair) for pair in zip(coarse, times, strict=True)]

        def difference(tiling: Tiling, tile: int) -> np.ndarray:
            return np.concatenate([one.difference(tiling, tile) for one in drawn])

        for tile_zoom in tile_zooms or (native, native + 1):
            available = healpix.n_cells(tile_zoom)
            chosen = rng.choice(available, min(tiles, available), replace=False).tolist()
            report["rows"] += [measure(Tiling(grid, tile_zoom, halo), chosen, difference) for halo in halos]
    if "distilled" in there:
        resolver = resolver_of(bottle, "distilled")
        one = Drawn(resolver, coarse[0], times[0])
        chosen = rng.choice(resolver.tiling.count, min(tiles, resolver.tiling.count), replace=False).tolist()
        largest = max(float(np.abs(one.difference(resolver.tiling, tile)).max()) for tile in chosen)
        legs, exact = len(resolver.sampler.legs), resolver.sampler.exact
        rounds = [
            sum(len(r) for r in resolver.tiling.rounds(t, legs, exact=exact)) for t in range(resolver.tiling.count)
        ]
        cost = sum(rounds) / (resolver.tiling.grid.count * legs)
        report["distilled"] = {"tiles": len(chosen), "largest_difference": largest, "cost": cost}
        print(f"distilled: largest difference {largest:g} of {len(chosen)} tiles, cost {cost:.3g}")
    return report


def draw(report: dict[str, Any]) -> Figure:
    """RMS at borders and inside against the halo, and the cost on a second axis."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    ax = figure.subplots()
    right = ax.twinx()
    edges = sorted({row["tile_edge"] for row in report["rows"]}, reverse=True)
    for edge, colour in zip(edges, ("#0072b2", "#d55e00", "#009e73"), strict=False):
        rows = [row for row in report["rows"] if row["tile_edge"] == edge]
        halo = [row["halo"] for row in rows]
        for key, line in (("border", "o-"), ("inside", "o--")):
            label = f"tiles of {edge:g} x {edge:g} cells: {'at borders' if key == 'border' else 'inside'}"
            ax.plot(halo, [100 * row[key] for row in rows], line, color=colour, ms=4, lw=1.6, label=label)
        right.plot(halo, [row["cost"] for row in rows], ":", color=colour, lw=1.4)
    ax.axhline(100 * WANTED, color="0.5", lw=0.9)
    ax.axvline(report["default_halo"], color="0.8", lw=0.9, zorder=0)
    # What is zero has no place on a logarithmic axis.
    if any(row[key] > 0 for row in report["rows"] for key in ("border", "inside")):
        ax.set_yscale("log")
    ax.set(xlabel="halo (cells)", ylabel="RMS difference (% of the small scales' std)")
    right.set_ylabel("patches denoised / those of the globe (dotted)")
    right.set_ylim(0)
    ax.set_title(
        f"{report['what']}: patches of {report['patch']} cells, overlap {report['overlap']}", fontsize="medium"
    )
    ax.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bottle", nargs="?")
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--tiles", type=int, default=4)
    parser.add_argument("--instants", type=int, default=1)
    parser.add_argument("--halos", type=int, nargs="+", help="cells")
    parser.add_argument("--tile-zooms", type=int, nargs="+", default=(), help="the bottle's, and one finer")
    parser.add_argument("--steps", type=int, default=18, help="without a bottle, whose own are used")
    options = parser.parse_args()
    if options.bottle is None:
        report = of_gaussian(options.tiles, options.steps, options.halos or (0, 4, 8, 12, 16, 24, 32))
    else:
        halos = options.halos or (0, 2, 4, 6, 8, 12, 16)
        report = of_bottle(options.bottle, options.tiles, options.instants, halos, options.tile_zooms)
    if report["rows"]:
        heads = tuple(report["rows"][0])
        print(table(heads, [[f"{row[head]:.4g}" for head in heads] for row in report["rows"]]))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "seam.json").write_text(json.dumps(report, indent=1) + "\n")
        if report["rows"]:
            (options.out / "seam.png").write_bytes(pictures.png(draw(report)))
    if report.get("distilled", {}).get("largest_difference", 0) > 0:
        raise SystemExit("the distilled network's tiles are not those of the globe")


if __name__ == "__main__":
    main()
