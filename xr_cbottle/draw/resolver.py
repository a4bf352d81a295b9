"""Tiles of the fine level, each of which can be drawn without the others.

A tile is one NEST cell of a coarser level. Its noise is that of the fixed blocks of cells it touches, and the patches
that are denoised for it depend on nothing but the tile: a value is then the same whatever else is asked for.

How near a tile comes to the same tile of a globe drawn at once is the sampler's. With Heun's method patches are made
one at every evaluation, so that in principle all of the globe matters; a halo of half a patch around the tile leaves a
difference that `tests/benchmarks/bench_seam.py` measures. A distilled network's few evaluations reach no further than
as many rounds of neighbours, all of which are drawn: then there is no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.forks import Lock
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.draw import coherent_noise, noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.defaults import BRIDGE, FROM_STATES, LATENTS
from xr_cbottle.draw.models import PatchModel, choose_device, load_superres
from xr_cbottle.draw.noise import Time
from xr_cbottle.draw.once import Once
from xr_cbottle.grid import conservation, healpix, time_axis
from xr_cbottle.grid.healpix import Indices
from xr_cbottle.grid.patches import Region
from xr_cbottle.grid.tiling import PATCHES_AT_ONCE, Tiling
from xr_cbottle.network import multidiffusion
from xr_cbottle.network.multidiffusion import Field, PatchSampler, RegionModel

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle
    from xr_cbottle.bottle.records import SuperresSpec

#: Noise is drawn for blocks of 4**5 cells; a constant, because values are a function of it.
BLOCK_STEPS = 5


def block_noise(
    zoom: int,
    cells: Indices,
    channels: int,
    *,
    draws: int = 1,
    seed: int,
    member: int,
    time: Time,
    spacing: int | None = None,
) -> npt.NDArray[np.float32]:
    """Draw standard normal numbers of some cells of an instant, each by the block of cells it lies in.

    Parameters
    ----------
    zoom, cells
        HEALPix level, and NEST cells, ascending.
    channels
        How many channels.
    draws
        How many fields; the first is the same however many there are.
    seed, member, time
        As in `xr_cbottle.draw.noise.normals`.
    spacing
        None: independent at each time. Seconds: changing slowly, see `xr_cbottle.draw.coherent_noise`; it stays in its
        place.

    Returns
    -------
    (draw, cell, channel) float32.
    """
    size = 4 ** min(BLOCK_STEPS, zoom)
    blocks, begins = np.unique(cells // size, return_index=True)
    out = np.empty((draws, len(cells), channels), np.float32)
    for block, begin, end in zip(blocks.tolist(), begins, [*begins[1:], len(cells)], strict=True):
        whole = _of_block((draws, channels, size), spacing, seed=seed, member=member, time=time, block=block)
        out[:, begin:end] = whole[:, :, cells[begin:end] - block * size].transpose(0, 2, 1)
    return out


def _of_block(
    shape: tuple[int, int, int], spacing: int | None, *, time: Time, **stream: int
) -> npt.NDArray[np.floating[Any]]:
    """Noise of one block, of an instant by itself, or as the sum of that of knots of time."""
    if spacing is None:
        return noise.normals(shape, stage="superres", time=time, **stream)
    total = np.zeros(shape)
    for knot, weight in zip(*coherent_noise.knots(noise.seconds_since_1970(time), spacing), strict=True):
        at = np.datetime64(knot, "s")
        total += weight * noise.normals(shape, stage="coherent-superres", time=at, spacing=spacing, **stream)
    return total


class Resolver:
    """A super-resolution network that draws tiles, or the globe at once, from coarse fields.

    Parameters
    ----------
    network
        Gives the patch network; called for each draw, so that none is kept in memory here.
    scales, center
        (channel,) physical = normalised * scale + centre, of the coarse and the fine fields.
    coarse_zoom
        HEALPix level of the coarse fields.
    tiling, sampler
        What is drawn for a tile, and how.
    batch_size
        Patches denoised at once; the last bits of values depend on it.
    precision
        The precision in which the network was loaded.
    detail
        See `xr_cbottle.network.multidiffusion.RegionModel`.
    conserve
        Whether coarse cells keep their means.
    nonnegative
        (channel,) where nothing that is drawn is to be below 0, if coarse cells keep their means.
    spacing
        Of `block_noise`.

    Attributes
    ----------
    evaluated
        Patches denoised so far, once for each evaluation; padding of batches does not count.
    drawn
        Tiles drawn so far; the globe counts as all of them.
    """

    def __init__(
        self,
        network: Callable[[], PatchModel],
        scales: npt.ArrayLike,
        center: npt.ArrayLike,
        coarse_zoom: int,
        tiling: Tiling,
        sampler: PatchSampler,
        *,
        batch_size: int = PATCHES_AT_ONCE,
        precision: str = "float32",
        detail: Sequence[float] = (),
        conserve: bool = False,
        nonnegative: Sequence[bool] = (),
        spacing: int | None = None,
    ) -> None:
        if conserve and tiling.zoom > coarse_zoom:
            raise ValueError(
                f"tiles of zoom {tiling.zoom} cut coarse cells of zoom {coarse_zoom}, whose means are to be kept: "
                f"use tiles of zoom {coarse_zoom} at most"
            )
        self.detail, self.conserve, self.nonnegative = tuple(detail), conserve, tuple(nonnegative)
        self._network, self.coarse_zoom, self.tiling = network, coarse_zoom, tiling
        self.sampler, self.batch_size, self.precision, self.spacing = sampler, batch_size, precision, spacing
        self.scales, self.center = np.asarray(scales, np.float64), np.asarray(center, np.float64)
        self.evaluated = self.drawn = 0
        self._turn = Lock()

    def draw_tile(self, coarse: Field, tile: int, *, seed: int, member: int, time: Time) -> npt.NDArray[np.float32]:
        """Draw one tile of an instant.

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
        rounds = self.tiling.rounds(tile, len(self.sampler.legs), exact=self.sampler.exact)
        own = self.tiling.cells(tile)
        with drawing(self.precision):
            drawn, cells = self._draw(coarse, rounds, seed, member, time, tiles=1)
            return self._finished(drawn[:, np.searchsorted(cells, own)], coarse, own)

    def draw_globe(self, coarse: Field, *, seed: int, member: int, time: Time) -> npt.NDArray[np.float32]:
        """Draw all cells of an instant at once, (channel, cell NEST), with the noise that tiles have."""
        rounds = [np.arange(self.tiling.grid.count)] * len(self.sampler.legs)
        with drawing(self.precision):
            drawn, cells = self._draw(coarse, rounds, seed, member, time, tiles=self.tiling.count)
            return self._finished(drawn, coarse, cells)

    def _finished(self, drawn: npt.NDArray[np.float64], coarse: Field, cells: Indices) -> npt.NDArray[np.float32]:
        """Values as they are given, float32, of what is drawn on NEST cells that are whole coarse ones."""
        if self.conserve:
            size = 4 ** (self.tiling.grid.zoom - self.coarse_zoom)
            wanted = coarse[:, cells[::size] // size].astype(np.float64)
            drawn = conservation.with_means(drawn, wanted, self.nonnegative)
        return drawn.astype(np.float32)

    def _draw(
        self, coarse: Field, rounds: list[Indices], seed: int, member: int, time: Time, *, tiles: int
    ) -> tuple[npt.NDArray[np.float64], Indices]:
        """Draw the cells that patches see, (channel, cell), for some tiles; returns these cells too."""
        expected = (len(self.scales), healpix.n_cells(self.coarse_zoom))
        if coarse.shape != expected:
            raise ValueError(f"the coarse field has shape {coarse.shape}: it must be (channel, cell), {expected}")
        if not np.isfinite(coarse).all():
            raise ValueError("the coarse field has values that are not finite: fill them first")
        normalised = (coarse - self.center[:, None]) / self.scales[:, None]
        region = Region.of(self.tiling.grid, np.concatenate(rounds))
        normals = block_noise(
            region.grid.zoom, region.cells, len(self.scales), draws=self.sampler.draws,
            seed=seed, member=member, time=time, spacing=self.spacing,
        )  # fmt: skip
        network = self._network()  # in memory as long as it is used here
        with self._turn:
            model = RegionModel(
                network.denoiser, region, normalised, self.coarse_zoom, batch_size=self.batch_size, detail=self.detail
            )
            fresh = model.put(normals).double()
            if self.sampler.exact:
                places = [np.searchsorted(region.patches, patches).tolist() for patches in rounds]
                state = multidiffusion.draw_by_legs(model, fresh, self.sampler, places)
            else:
                state = multidiffusion.draw_together(model, fresh, self.sampler, stand_in=False)
            state = model.field(state)
            self.evaluated += model.evaluated
            self.drawn += tiles
        values = state.cpu().numpy().T * self.scales[:, None] + self.center[:, None]
        if not np.isfinite(values).all():
            gave = f"super-resolution gave values that are not finite in precision {self.precision!r}"
            if self.precision == "float32":
                raise BottleError(f"{gave}; its network was spoilt, or does not suit its sampler: get the bottle again")
            raise FloatingPointError(f"{gave}; use precision='float32'")
        return values, region.cells


def get(
    bottle: Bottle,
    part: int,
    spec: SuperresSpec,
    coarse_zoom: int,
    *,
    tiling: Tiling,
    batch_size: int = PATCHES_AT_ONCE,
    device: str | None = None,
    precision: str = "float32",
    coherence: int | str | None = None,
) -> Resolver:
    """Give the process's one resolver for these settings, made at the first call for all who wait for it.

    Parameters
    ----------
    bottle, part
        A bottle, and which of its parts is the network.
    spec
        The network's channels and sampler.
    coarse_zoom
        HEALPix level of the coarse fields.
    tiling, batch_size
        See `Resolver`.
    device, precision, coherence
        As for `xr_cbottle.draw.emulator.Emulator`.
    """
    chosen = choose_device(device)

    def make() -> Resolver:
        info = load_superres(bottle, part, chosen, precision).info
        return Resolver(
            lambda: load_superres(bottle, part, chosen, precision),
            info.scales, info.center, coarse_zoom, tiling, _sampler(spec),
            batch_size=batch_size, precision=precision, detail=spec.detail, conserve=spec.conserve,
            nonnegative=[name in bottle.manifest.nonnegative for name in spec.channels],
            spacing=_spacing(bottle, coherence),
        )  # fmt: skip

    file = bottle.file_digest(part)  # not in the digest of the bottle, as it may never be fetched
    key = (bottle.digest, file, part, spec, coarse_zoom, tiling, batch_size, str(chosen), precision, coherence)
    return _resolvers.get(key, make)


def _spacing(bottle: Bottle, coherence: int | str | None) -> int | None:
    """Seconds between the knots of fine noise: as long as the smallest scales of the coarse noise last."""
    if coherence is None:
        return None
    if coherence not in (LATENTS, *FROM_STATES):
        return coherent_noise.spacing_of(float(coherence))
    carried, manifest = bottle.coherence(), bottle.manifest
    if carried is not None:
        return carried.finest_spacing
    spec = manifest.bridge if coherence == BRIDGE else manifest.video
    assert spec is not None  # it was asked whether it has one
    return coherent_noise.spacing_of(2 * time_axis.parse_period(spec.step))


def _sampler(spec: SuperresSpec) -> PatchSampler:
    way = spec.sampler
    if way is None:
        return multidiffusion.few_step_sampler(spec.sigmas, spec.window)
    return multidiffusion.heun_sampler(way.num_steps, way.sigma_min, way.sigma_max, way.rho, alpha=spec.window)


_resolvers = Once(16)
