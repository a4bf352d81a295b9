"""The instants of a source, read once into a file that measuring and normalising go through several times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.grid import healpix
from xr_cbottle.training import run_sources
from xr_cbottle.training.run_climate import RunClimate
from xr_cbottle.training.source_config import SourceConfig

Array = npt.NDArray[Any]
BLOCK = 128  # instants at a time


@dataclass(frozen=True)
class Gathered:
    """Instants of a source on this machine's disk.

    Attributes
    ----------
    source
        Where they come from.
    channels
        Names of the channels.
    times
        (n,) datetime64[s]. In the order of the files.
    path
        (n, channel, cell NEST) float32 in the channels' units; NaN where the source lacks a channel.
    zoom
        HEALPix level of the cells.
    climate
        Sea and forcings of the source, where that matters.
    """

    source: SourceConfig
    channels: tuple[str, ...]
    times: Array
    path: Path
    zoom: int
    climate: RunClimate | None = None

    def blocks(self, what: str, progress: bool) -> Iterator[tuple[Array, Array]]:
        """(times, values) of blocks of instants, with a bar that says ``what`` is done."""
        from tqdm import tqdm

        shape = (len(self.times), len(self.channels), healpix.n_cells(self.zoom))
        values = np.memmap(self.path, np.float32, "r", shape=shape)
        firsts = range(0, len(self.times), BLOCK)
        for first in tqdm(firsts, desc=f"{what} {self.source.label}", unit="block", disable=not progress):
            part = slice(first, first + BLOCK)
            yield self.times[part], np.asarray(values[part])

    def training(self, what: str, progress: bool) -> Iterator[tuple[Array, Array]]:
        """(times, values) of blocks of instants, without those held out for validation."""
        for times, values in self.blocks(what, progress):
            chosen = ~self.source.held_out(times)
            if chosen.any():
                yield times[chosen], values[chosen]


def gather(
    source: SourceConfig,
    channels: tuple[str, ...],
    zoom: int,
    folder: Path,
    *,
    progress: bool,
    number: int | None = None,
    climate: RunClimate | None = None,
) -> Gathered:
    """Read a source into a folder.

    Parameters
    ----------
    source, channels, zoom
        Where from, which channels, and on the cells of which HEALPix level.
    folder
        For the file, which is named by the label, and by ``number`` if there are several of it.
    progress
        Show a bar.
    number
        Number of the source.
    climate
        Its sea and forcings.

    Raises
    ------
    ValueError
        If it lacks a variable, level or cells, or has no instant in its time.
    FileNotFoundError
        If a pattern matches no file.
    """
    from tqdm import tqdm

    path, stamps = folder / f"{source.label}{'' if number is None else f'_{number}'}.raw", []
    with open(path, "wb") as out:
        for address in tqdm(
            run_sources.addresses(source), desc=f"read {source.label}", unit="file", disable=not progress
        ):
            with run_sources.opened(source, address) as instants:
                for part in instants.blocks():
                    instants.read(part, channels, zoom).astype(np.float32, copy=False).tofile(out)
                    stamps.append(instants.times[part].astype("datetime64[s]"))
    if not stamps:
        raise ValueError(f"source {source.label!r}: it has no instant from {source.start} to {source.end}")
    return Gathered(source, channels, np.concatenate(stamps), path, zoom, climate)
