"""Super-resolution by overlapping patches: what a patch network makes of a region of the fine level.

The state of a region is (cell, channel): a patch is then one gather of rows, and its channels lie together as the
convolutions like them. Patches are denoised in batches of one shape, and a cell gets the weighted mean of what the
patches that own it say. How often they say it is the sampler's: see `PatchSampler`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xr_cbottle.grid import healpix
from xr_cbottle.grid.healpix import Indices
from xr_cbottle.grid.patches import Region, face_coordinates
from xr_cbottle.network import edm

Field = npt.NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class PatchSampler:
    """Way from noise to a field, in legs.

    Attributes
    ----------
    legs
        Noise levels of each leg of the way, descending. A leg follows the ODE by Heun's method; one that ends at 0
        gives a clean state, to which the next leg first adds fresh noise of its own first level. Within a leg patches
        go their ways alone; between legs their states become one. Two legs of one level and 0 are the sampler of
        distilled networks.
    alpha
        Of the Kaiser-Bessel-derived window that weighs the patches; None for plain means.
    """

    legs: tuple[tuple[float, ...], ...]
    alpha: float | None = None

    @property
    def draws(self) -> int:
        """Number of fields of noise that drawing takes."""
        return 1 + sum(leg[-1] == 0 for leg in self.legs[:-1])

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Evaluations of the network in each leg: two a step, one if it is to 0."""
        return tuple(2 * (len(leg) - 1) - (leg[-1] == 0) for leg in self.legs)

    @property
    def exact(self) -> bool:
        """Whether each leg is one evaluation: all that a tile depends on can then be drawn."""
        return all(count == 1 for count in self.evaluations)


def heun_sampler(
    num_steps: int,
    sigma_min: float,
    sigma_max: float,
    rho: float = 7.0,
    *,
    exchange: Sequence[float] = (),
    alpha: float | None = None,
) -> PatchSampler:
    """Sampler of Heun's method, in legs that end at the levels nearest (by ratio) to those of ``exchange``."""
    levels = edm.edm_schedule(num_steps, sigma_min, sigma_max, rho).tolist()
    inner = np.log(levels[1:-1])
    cuts = sorted({1 + int(np.abs(inner - math.log(sigma)).argmin()) for sigma in exchange}) if len(inner) else []
    bounds = [0, *cuts, len(levels) - 1]
    return PatchSampler(tuple(tuple(levels[a : b + 1]) for a, b in itertools.pairwise(bounds)), alpha)


def few_step_sampler(sigmas: Sequence[float], alpha: float | None = 1.0) -> PatchSampler:
    """Sampler of distilled networks: one evaluation for each level, with fresh noise between."""
    return PatchSampler(tuple((float(sigma), 0.0) for sigma in sigmas), alpha)


def window(size: int, alpha: float | None) -> npt.NDArray[np.float64]:
    """Weights of a patch's pixels along one axis: all 1, or the Kaiser-Bessel-derived window of ``alpha``."""
    if alpha is None:
        return np.ones(size)
    sums = np.cumsum(np.kaiser(size // 2 + 1, math.pi * alpha))
    half = np.sqrt(sums[:-1] / sums[-1])
    return np.concatenate([half, half[::-1]])


def overview(coarse: Field, zoom: int, size: int) -> npt.NDArray[np.float32]:
    """Coarse globe as every patch is told it: (channel, size, size), from south to north, 0 to 360 east.

    Networks of cBottle were trained on an interpolation that, at exactly 360 degrees east, takes for the first cell
    of a ring that begins there the first cell of the next ring; so the last column is made like that here too.
    """
    import healpy

    lon, lat = np.meshgrid(np.linspace(0, 360, size) % 360, np.linspace(-90, 90, size))
    rings, weights = healpy.get_interp_weights(healpix.nside(zoom), lon, lat, lonlat=True)
    last = rings[:, :, -1]
    begins = healpy.pix2ang(healpix.nside(zoom), last)[1] == 0
    last[begins] += 4 * healpix.nside(zoom)
    cells = healpy.ring2nest(healpix.nside(zoom), rings)
    return (coarse.astype(np.float64)[:, cells] * weights).sum(1).astype(np.float32)


def local_view(coarse: Field, zoom: int, fine_zoom: int, cells: Indices) -> npt.NDArray[np.float32]:
    """Coarse field at some cells of the fine level, bilinear: (channel, cell)."""
    return healpix.interpolate(coarse, zoom, *healpix.lonlat(fine_zoom, cells), dtype=np.float32).astype(np.float32)


class RegionModel:
    """A patch network with what it is told of a region: the coarse field around, and where it is.

    Parameters
    ----------
    denoiser
        A patch network as a denoiser.
    region
        The patches of the region; ``region.cells`` are the rows of states.
    coarse, coarse_zoom
        (channel, cell NEST) the coarse field, normalised.
    batch_size
        Patches denoised at once; batches are padded to it, because the last bits depend on it.
    detail
        (channel,) if the state of the network is not the field but what differs from the coarse one, over these.

    Attributes
    ----------
    evaluated
        Patches denoised so far; padding of batches does not count.
    """

    def __init__(
        self,
        denoiser: edm.Denoiser,
        region: Region,
        coarse: Field,
        coarse_zoom: int,
        *,
        batch_size: int = 16,
        detail: Sequence[float] = (),
    ) -> None:
        grid = region.grid
        self.denoiser, self.region, self.batch_size = denoiser, region, batch_size
        embedding = denoiser.network.model.pos_embed
        self.device = embedding.device
        self._seen = self.put(region.seen)
        self.local = self.put(local_view(coarse, coarse_zoom, grid.zoom, region.cells).T)
        self._detail = self.put(np.array(detail)) if len(detail) else None
        self._overview = self.put(overview(coarse, coarse_zoom, grid.size))[None]
        # The embedding is a parameter of the whole level: only the region's columns are copied.
        self._position = embedding.detach()[:, self.put(region.cells)].T.contiguous()
        self.evaluated = 0

    @property
    def background(self) -> Tensor:
        """State that the interpolated coarse field is, (cell, channel)."""
        return self.local if self._detail is None else torch.zeros_like(self.local)

    def field(self, state: Tensor) -> Tensor:
        """Normalised field of a clean state, (cell, channel)."""
        return state if self._detail is None else self.local + self._detail * state

    def put(self, values: npt.NDArray) -> Tensor:
        """Bring an array to the network's device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def batches(self, chosen: Sequence[int]) -> Iterator[list[int]]:
        """Cut some patches, given by their positions in the region, into batches."""
        for start in range(0, len(chosen), self.batch_size):
            yield list(chosen[start : start + self.batch_size])

    def padded(self, batch: list[int]) -> list[int]:
        """Repeat the last patch of a batch to the size that all batches have."""
        return batch + batch[-1:] * (self.batch_size - len(batch))

    def gather(self, rows: Tensor, patches: Sequence[int]) -> Tensor:
        """Values of patches, (patch, channel, row, column) in channels-last memory, from (cell, channel) rows."""
        size = self.region.grid.size
        pixels = rows[self._seen[list(patches)].long()]
        for place, i in enumerate(patches):
            if i in self._pairs:
                pixel, partner = self._pairs[i]
                pixels[place, pixel] = (pixels[place, pixel] + rows[partner]) * 0.5
        return pixels.view(len(patches), size, size, -1).permute(0, 3, 1, 2)

    def denoise(self, patches: list[int]) -> edm.Denoise:
        """Denoiser of a padded batch of patches, of states (patch, channel, row, column)."""
        local, position = self.gather(self.local, patches), self.gather(self._position, patches)
        condition = torch.cat(
            [local, self._overview.expand(len(patches), -1, -1, -1), position.to(local.dtype)], 1
        ).contiguous(memory_format=torch.channels_last)

        def answer(x: Tensor, sigma: Tensor) -> Tensor:
            self.evaluated += len(set(patches))
            return self.denoiser(x, sigma.to(self.device).expand(len(patches)), condition=condition)

        return answer

    def cells_of(self, i: int) -> tuple[Tensor, tuple[slice, slice]]:
        """Rows of the cells that patch ``i`` of the region owns, and which of its pixels they are."""
        owned = self.region.grid.owned(int(self.region.patches[i]))
        size = self.region.grid.size
        return self._seen[i].view(size, size)[owned].reshape(-1).long(), owned

    def full_weight(self, alpha: float | None) -> Tensor:
        """Sum of the weights of all patches of the globe that own a cell, (cell, 1)."""
        grid = self.region.grid
        n, along = healpix.nside(grid.zoom), window(grid.size, alpha)
        line = np.zeros(n + 2 * grid.overlap)
        for p in range(grid.side):
            line[p * grid.stride : p * grid.stride + grid.size] += along
        line = line[grid.overlap : grid.overlap + n]
        _, row, column = face_coordinates(grid.zoom, self.region.cells)
        return self.put((line[row] * line[column])[:, None])

    @functools.cached_property
    def _pairs(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Averaged pixels of a patch and the second cells of these, by patch; few patches have any."""
        region = self.region
        patch, pixel = np.divmod(region.averaged, region.seen.shape[1])
        return {int(i): (self.put(pixel[patch == i]), self.put(region.partner[patch == i])) for i in np.unique(patch)}


class Mean:
    """Weighted mean of what patches say of the cells they own, gathered patch by patch."""

    def __init__(self, model: RegionModel, state: Tensor, alpha: float | None) -> None:
        along = window(model.region.grid.size, alpha)
        self.model, self.window = model, model.put(np.outer(along, along))
        self.total, self.weight = torch.zeros_like(state), torch.zeros_like(state[:, :1])

    def add(self, i: int, answer: Tensor) -> None:
        """Take in (channel, row, column) of one patch; its cells all differ, so that no order of threads matters."""
        cells, owned = self.model.cells_of(i)
        share = self.window[owned].reshape(-1, 1)
        rows = answer.permute(1, 2, 0)[owned].reshape(len(cells), -1)
        self.total[cells] += share * rows
        self.weight[cells] += share


def together(model: RegionModel, alpha: float | None = None, *, stand_in: bool = True) -> edm.Denoise:
    """Make the denoiser of a region whose patches become one at every evaluation, of states (cell, channel).

    Parameters
    ----------
    model
        The network, told of the region.
    alpha
        Shape of the window, see `PatchSampler`.
    stand_in
        Whether the interpolated coarse field stands in for those of a cell's patches that are not in the region, as
        in NVlabs/cBottle's regional super-resolution; otherwise those that are share the cell. Cells that no patch
        of the region owns are the coarse field in any case.
    """
    full = model.full_weight(alpha) if stand_in else None
    background = model.background
    patches = range(len(model.region.patches))

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        mean = Mean(model, x, alpha)
        for batch in model.batches(patches):
            padded = model.padded(batch)
            for i, answer in zip(batch, model.denoise(padded)(model.gather(x, padded), sigma), strict=False):
                mean.add(i, answer)
        if full is None:
            return torch.where(mean.weight > 0, mean.total / mean.weight, background.to(x.dtype))
        return (mean.total + (full - mean.weight) * background) / full

    return denoise


def draw_together(model: RegionModel, noise: Tensor, sampler: PatchSampler, *, stand_in: bool = True) -> Tensor:
    """Draw a region with its patches made one at every evaluation.

    Parameters
    ----------
    model
        The network, told of the region.
    noise
        (draw, cell, channel) standard normal numbers, float64.
    sampler
        Where its legs end does not matter here.
    stand_in
        See `together`.
    """
    denoise = together(model, sampler.alpha, stand_in=stand_in)
    return _walk(sampler, noise, lambda x, levels, _: edm.heun(denoise, x, levels))


def draw_by_legs(model: RegionModel, noise: Tensor, sampler: PatchSampler, rounds: Sequence[Sequence[int]]) -> Tensor:
    """Draw a region leg by leg: its patches become one only between legs.

    A cell then depends on as many rounds of neighbours as there are legs, and on nothing else: with the patches of
    `PatchGrid.cone` in each round it has the value that it has on the whole globe.

    Parameters
    ----------
    model, noise, sampler
        As for `draw_together`.
    rounds
        For each leg the patches that take part, by their positions in the region. Cells that none of them owns keep
        a state without a meaning.
    """

    def leg(x: Tensor, levels: Tensor, number: int) -> Tensor:
        mean = Mean(model, x, sampler.alpha)
        for batch in model.batches(rounds[number]):
            padded = model.padded(batch)
            ends = edm.heun(model.denoise(padded), model.gather(x, padded), levels)
            for i, end in zip(batch, ends, strict=False):
                mean.add(i, end)
        return torch.where(mean.weight > 0, mean.total / mean.weight, x)

    return _walk(sampler, noise, leg)


def _walk(sampler: PatchSampler, noise: Tensor, leg: Callable[[Tensor, Tensor, int], Tensor]) -> Tensor:
    fresh = iter(noise)
    x = torch.zeros_like(noise[0])
    clean = True
    for number, levels in enumerate(sampler.legs):
        if clean:
            x = x + levels[0] * next(fresh)
        x = leg(x, torch.tensor(levels, dtype=torch.float64), number)
        clean = levels[-1] == 0
    return x
