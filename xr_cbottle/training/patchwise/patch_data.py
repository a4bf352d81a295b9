"""Fine data and what the network is told of them, prepared once.

Each instant is kept as rows of channels, cell by cell in NEST order: a patch is then one gather of rows, as in
`xr_cbottle.network.multidiffusion`. What the network is told is made as it will be when it draws: the coarse field is
the exact mean of the fine one, its local view and overview are those of `xr_cbottle.network.multidiffusion`. All is
float32: the differences between neighbouring cells are small beside the fields.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.grid import healpix
from xr_cbottle.grid.patches import PatchGrid
from xr_cbottle.network import multidiffusion
from xr_cbottle.network.edm import SIGMA_DATA
from xr_cbottle.training import preparation
from xr_cbottle.training.case import digest_of
from xr_cbottle.training.gathered import Gathered, gather
from xr_cbottle.training.patchwise.patch_config import PatchDataConfig

Array = npt.NDArray[Any]
FORMAT = 1  # counted up when the prepared arrays change form


@dataclass(frozen=True)
class PatchData:
    """The prepared instants of all sources, one after the other.

    Attributes
    ----------
    config
        Zooms, channels and patches.
    times
        (n,) datetime64[s]. Of all sources, one after the other.
    source
        (n,) int. Which source an instant is of.
    validation
        (n,) bool. Instants that training does not see.
    fine, local
        (n, cell NEST, channel) float32 memory maps.
        The fields, and the coarse ones interpolated to their cells; normalised.
    overview
        (n, channel, patch, patch) float32 memory map. The coarse field on the globe.
    center, scale
        (channel,) float64. physical = normalised * scale + center.
    detail
        (channel,) float64. Standard deviation of ``fine - local`` over `SIGMA_DATA`.
    mean, spread
        (channel, cell NEST) float32. Mean and standard deviation in time of ``fine - local``, over ``detail``.
    """

    config: PatchDataConfig
    times: Array
    source: Array
    validation: Array
    fine: Array
    local: Array
    overview: Array
    center: Array
    scale: Array
    detail: Array
    mean: Array
    spread: Array

    @property
    def digest(self) -> str:
        """Digest of times, statistics and some instants."""
        return digest_of(self.times, self.source, self.validation, self.center, self.scale, self.fine[0], self.fine[-1])

    @property
    def grid(self) -> PatchGrid:
        """The patches."""
        return PatchGrid(self.config.zoom, self.config.patch, self.config.overlap)


def prepare(
    config: PatchDataConfig, folder: str | os.PathLike[str], *, progress: bool = True, processes: int = 1
) -> PatchData:
    """Read the sources, or what an earlier call has prepared from the same files.

    Parameters
    ----------
    config
        Sources, zooms, channels and patches.
    folder
        Where prepared data go, in a sub-folder named by a digest of the configuration and of the files.
    progress
        Show a bar.
    processes
        How many read at the same time.

    Raises
    ------
    ValueError
        If a source lacks a variable, level or cells that the configuration asks for, or all is held out.
    FileNotFoundError
        If a pattern matches no file.
    """
    folder = preparation.once(prepared_folder(config, folder), lambda made: _prepare(config, made, progress, processes))
    with np.load(folder / "statistics.npz") as statistics:
        known = dict(statistics)
    large = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("fine", "local", "overview")}
    return PatchData(config=config, **known, **large)


def prepared_folder(config: PatchDataConfig, folder: str | os.PathLike[str]) -> Path:
    """Folder in which `prepare` puts its arrays; there is a file ``done`` in it when they are whole."""
    values = preparation.settings(config, *_NOT_OF_DATA)
    return preparation.place(config.cache or folder, ("patches", FORMAT, values), config.sources)


_NOT_OF_DATA = ("cache", "overlap", "residual", "conserve", "offset")


def _prepare(config: PatchDataConfig, folder: Path, progress: bool, processes: int) -> None:
    """Fill a folder: ``statistics.npz`` is written last, and what was read is removed after that."""
    if (folder / "statistics.npz").exists():
        _clear(config, folder)
        return
    parts = [
        gather(source, config.channels, config.zoom, folder, progress=progress, processes=processes)
        for source in config.sources
    ]
    center, scale = _moments(parts, progress)
    validation = np.concatenate([part.source.held_out(part.times) for part in parts])
    count, cells, channels = len(validation), healpix.n_cells(config.zoom), len(config.channels)

    def empty(name: str, *shape: int) -> np.memmap:
        return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)

    fine, local = empty("fine", count, cells, channels), empty("local", count, cells, channels)
    overview = empty("overview", count, channels, config.patch, config.patch)
    everywhere = np.arange(cells)
    total, square = np.zeros((2, cells, channels))
    for i, values in enumerate(_instants(parts, "write", progress)):
        field = (values - center[:, None]) / scale[:, None]
        coarse = healpix.coarsen(field, config.zoom - config.coarse_zoom)
        fine[i] = field.T
        local[i] = multidiffusion.local_view(coarse, config.coarse_zoom, config.zoom, everywhere).T
        overview[i] = multidiffusion.overview(coarse, config.coarse_zoom, config.patch)
        if not validation[i]:
            residual = fine[i].astype(np.float64) - local[i]
            total += residual
            square += residual**2
    seen = np.count_nonzero(~validation)
    mean, square = total / seen, square / seen
    detail = np.sqrt(square.mean(0)) / SIGMA_DATA
    for array in (fine, local, overview):
        array.flush()
    with preparation.written(folder / "statistics.npz") as path:
        np.savez(
            path,
            times=np.concatenate([part.times for part in parts]),
            source=np.repeat(np.arange(len(parts)), [len(part.times) for part in parts]),
            validation=validation, center=center, scale=scale, detail=detail,
            mean=(mean / detail).T.astype(np.float32),
            spread=(np.sqrt(np.maximum(square - mean**2, 0)) / detail).T.astype(np.float32),
        )  # fmt: skip
    _clear(config, folder)


def _clear(config: PatchDataConfig, folder: Path) -> None:
    """Remove what is not needed any more, and what a process that was killed has left there."""
    for source in config.sources:
        shutil.rmtree(folder / f"{source.label}.raw", ignore_errors=True)


def _moments(parts: Sequence[Gathered], progress: bool) -> tuple[Array, Array]:
    """Mean and standard deviation of each channel over the training instants and all cells (which have one area)."""
    channels = parts[0].channels
    _check_whole(parts)
    count, shift = 0, np.zeros(len(channels))
    total, square = np.zeros((2, len(channels)))
    held_out = [part.source.held_out(part.times) for part in parts]
    for values, out in zip(_instants(parts, "measure", progress), np.concatenate(held_out), strict=True):
        if out:
            continue
        if not count:
            shift = values.mean(1)  # lest x^2 - mean^2 cancel
        anomaly = values - shift[:, None]
        count += 1
        total += anomaly.mean(1)
        square += (anomaly**2).mean(1)
    if not count:
        raise ValueError("superres: there is no instant to train on: look at start, end and what is held out")
    scale = np.sqrt(square / count - (total / count) ** 2)
    if not (scale > 0).all():
        still = [name for name, spread in zip(channels, scale, strict=True) if not spread > 0]
        raise ValueError(f"superres: channel(s) {still} never vary: take them out")
    return total / count + shift, scale


def _check_whole(parts: Sequence[Gathered]) -> None:
    """Refuse fields with holes: a patch network is told of all that is around."""
    for part in parts:
        for block in part.held:
            holes = np.argwhere(block.absent)
            if len(holes):
                i, c = holes[0].tolist()
                raise ValueError(
                    f"superres: source {part.source.label!r}: {block.address} lacks values of {part.channels[c]} at "
                    f"{block.times[i]}, and super-resolution learns from whole fields: take the channel out, or fill it"
                )


def _instants(parts: Sequence[Gathered], what: str, progress: bool) -> Iterator[Array]:
    """(channel, cell) float64 of one instant after the other."""
    for part in parts:
        for _, values in part.blocks(what, progress):
            yield from (instant.astype(np.float64) for instant in values)
