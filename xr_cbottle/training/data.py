"""HEALPix data sets in, one normalised array per label out.

Everything the training loop reads is prepared once: files are read, variables become channels in cBottle's
units, mean and spread are measured, and each label's instants are written as one memory-mapped float16 array
(instant, channel, cell) in the network's PAD_XY order. NaN is a channel that the label does not have.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix
from xr_cbottle.training import preparation, statistics
from xr_cbottle.training.config import DataConfig, as_dict
from xr_cbottle.training.gathered import Gathered, gather
from xr_cbottle.training.source_config import SourceConfig
from xr_cbottle.training.sst_condition import write_sst
from xr_cbottle.training.statistics import Statistics

Array = npt.NDArray[Any]
FORMAT = 2  # counted up when the prepared arrays change form


@dataclass(frozen=True)
class LabelData:
    """The prepared instants of one label.

    Attributes
    ----------
    label
        Name of the label.
    times
        (n,) datetime64[s]. Ascending.
    values
        (n, channel, cell) float16 memory map. Normalised, PAD_XY order; NaN: the label does not have the channel.
    validation
        (n,) bool. Instants that training does not see.
    jitter_hours
        Largest shift of the time that the network is told, hours.
    missing
        Channels that the label does not have.
    """

    label: str
    times: Array
    values: Array
    validation: Array
    jitter_hours: float
    missing: tuple[str, ...]


@dataclass(frozen=True)
class TrainingData:
    """Prepared data of a run of the coarse network."""

    channels: tuple[str, ...]
    zoom: int
    labels: tuple[LabelData, ...]
    statistics: Statistics
    sst: SeaSurfaceTemperature
    sst_path: Path
    climatology: Climatology | None = None
    climatology_path: Path | None = None


def prepare(config: DataConfig, folder: str | os.PathLike[str], *, progress: bool = True) -> TrainingData:
    """Read the sources, or what an earlier call has prepared from the same files.

    Parameters
    ----------
    config
        Sources, channels and scale.
    folder
        Where prepared data go, in a sub-folder named by a digest of the configuration and of the files.
    progress
        Show a bar.

    Raises
    ------
    ValueError
        If a source lacks a variable, level or cells that the configuration asks for.
    FileNotFoundError
        If a pattern matches no file.
    """
    folder = preparation.once(prepared_folder(config, folder), lambda made: _prepare(config, made, progress))
    with np.load(folder / "statistics.npz") as stored:
        known = Statistics(stored["center"], stored["scale"], stored["climatology"])
    labels = tuple(_open_label(source, folder) for source in config.sources)
    sst, path = _open_sst(folder / "sst.nc", config.zoom), folder / "climatology.nc"
    return TrainingData(
        config.channels, config.zoom, labels, known, sst, folder / "sst.nc",
        *((_open_climatology(path), path) if path.exists() else (None, None)),
    )  # fmt: skip


def _prepare(config: DataConfig, folder: Path, progress: bool) -> None:
    write_sst(config, folder / "sst.nc", progress=progress)
    parts = [gather(source, config.channels, config.zoom, folder, progress=progress) for source in config.sources]
    about: Statistics | Climatology
    if config.scale == "climatology":
        sst, path = _open_sst(folder / "sst.nc", config.zoom), folder / "climatology.nc"
        measured = statistics.measure_climatology(parts, config.annual_harmonics, sst, config.roots, progress=progress)
        measured.write(path)
        about = _open_climatology(path)  # rounded, as the bottle will have it
        numbers = statistics.about(about, config.zoom)
    else:
        about = numbers = statistics.measure(parts, config.scale, progress=progress)
    np.savez(folder / "statistics.npz", center=numbers.center, scale=numbers.scale, climatology=numbers.climatology)
    for part in parts:
        _write_values(part, about, folder, progress)
        part.path.unlink()


def _open_sst(path: Path, zoom: int) -> SeaSurfaceTemperature:
    with xr.open_dataset(path) as dataset:
        return SeaSurfaceTemperature.from_dataset(dataset.load(), zoom, "sst")


def _open_climatology(path: Path) -> Climatology:
    with xr.open_dataset(path) as dataset:
        return Climatology.from_dataset(dataset.load(), str(path))


def prepared_folder(config: DataConfig, folder: str | os.PathLike[str]) -> Path:
    """Folder in which `prepare` puts its arrays; there is a file ``done`` in it when they are whole."""
    others = [path for path in (config.sst.path, config.sst.land_path) if path is not None]
    settings = {**as_dict(config), "cache": None}
    return preparation.place(config.cache or folder, (FORMAT, settings), config.sources, others)


def _write_values(part: Gathered, about: Statistics | Climatology, folder: Path, progress: bool) -> None:
    shape = (len(part.times), len(part.channels), healpix.n_cells(part.zoom))
    out = np.lib.format.open_memmap(folder / f"{part.source.label}.npy", "w+", np.float16, shape)
    order, done = healpix.nest_to_padxy(part.zoom), 0
    center, scale = (x.astype(np.float32)[:, None] for x in (about.center, about.scale))
    for times, values in part.blocks("write", progress):
        if isinstance(about, Climatology):
            standardised = about.standardised(values, part.source.label, times)
        else:
            standardised = (values - center) / scale
        out[done : done + len(times)] = standardised[..., order]
        done += len(times)
    out.flush()
    np.save(folder / f"{part.source.label}_times.npy", part.times)


def _open_label(source: SourceConfig, folder: Path) -> LabelData:
    times = np.load(folder / f"{source.label}_times.npy")
    values = np.load(folder / f"{source.label}.npy", mmap_mode="r")
    return LabelData(source.label, times, values, source.held_out(times), source.time_jitter_hours, source.missing)
