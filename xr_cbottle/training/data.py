"""HEALPix data sets in, one normalised array per label out.

Everything the training loop reads is prepared once: files are read, variables become channels in cBottle's
units, mean and spread are measured, and each label's instants are written as one memory-mapped float16 array
(instant, channel, cell) in the network's PAD_XY order. NaN is a channel that the label does not have.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import healpix
from ..conditions import SeaSurfaceTemperature
from . import sources
from .config import DataConfig, as_dict
from .sst import write_sst
from .store import SourceConfig

Array = npt.NDArray[Any]
FORMAT = 1  # counted up when the prepared arrays change form
DAYS = 365.25


@dataclass(frozen=True)
class Statistics:
    """What normalises the channels, and their mean year on the cells.

    Attributes
    ----------
    center, scale : (channel,) float64
        physical = normalised * scale + center.
    climatology : (3, channel, cell) float32
        Mean and the cosine and sine of the annual cycle, normalised, PAD_XY order.
    """

    center: Array
    scale: Array
    climatology: Array


@dataclass(frozen=True)
class LabelData:
    """The prepared instants of one label.

    Attributes
    ----------
    label : str
    times : (n,) datetime64[s]
    values : (n, channel, cell) float16 memory map
        Normalised, PAD_XY order; NaN: the label does not have the channel.
    validation : (n,) bool
        Instants that training does not see.
    jitter_hours : float
    missing : tuple of str
    """

    label: str
    times: Array
    values: Array
    validation: Array
    jitter_hours: float
    missing: tuple[str, ...]


@dataclass(frozen=True)
class TrainingData:
    """All that a run learns from."""

    channels: tuple[str, ...]
    zoom: int
    labels: tuple[LabelData, ...]
    statistics: Statistics
    sst: SeaSurfaceTemperature
    sst_path: Path


def prepare(config: DataConfig, folder: str | os.PathLike[str], *, progress: bool = True) -> TrainingData:
    """Read the sources, or what an earlier call has prepared from the same files.

    Parameters
    ----------
    config : DataConfig
    folder : path-like
        Where prepared data go, in a sub-folder named by a digest of the configuration and of the files.
    progress : bool
        Show a bar.

    Raises
    ------
    ValueError
        If a source lacks a variable, level or cells that the configuration asks for.
    FileNotFoundError
        If a pattern matches no file.
    """
    files = {source.label: sources.addresses(source) for source in config.sources}
    folder = prepared_folder(config, folder)
    sst_path = folder / "sst.nc"
    if not (folder / "done").exists():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write_sst(config, partial / "sst.nc", progress=progress)
        statistics = _measure(config, files, progress)
        np.savez(
            partial / "statistics.npz",
            center=statistics.center,
            scale=statistics.scale,
            climatology=statistics.climatology,
        )
        for source in config.sources:
            _write_values(config, source, files[source.label], statistics, partial, progress)
        (partial / "done").touch()
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    with np.load(folder / "statistics.npz") as stored:
        statistics = Statistics(stored["center"], stored["scale"], stored["climatology"])
    with xr.open_dataset(sst_path) as dataset:
        sst = SeaSurfaceTemperature.from_dataset(dataset.load(), config.zoom, "sst")
    labels = tuple(_open_label(source, folder) for source in config.sources)
    return TrainingData(config.channels, config.zoom, labels, statistics, sst, sst_path)


def prepared_folder(config: DataConfig, folder: str | os.PathLike[str]) -> Path:
    """Where `prepare` puts its arrays; there is a file ``done`` in it when they are whole.

    What is behind URLs and in catalogs is taken to be what it was: remove the folder when it changes.
    """
    stores = [store for source in config.sources for store in (source, *source.also)]
    paths = [path for store in stores if store.catalog is None for path in sources.addresses(store)]
    paths += [path for path in (config.sst.path, config.sst.land_path) if path is not None]
    text = json.dumps([FORMAT, {**as_dict(config), "cache": None}, sources.fingerprint(paths)], sort_keys=True)
    return Path(sources.expanded(config.cache or str(folder))) / hashlib.sha256(text.encode()).hexdigest()[:16]


def _blocks(
    config: DataConfig, source: SourceConfig, paths: tuple[str, ...], progress: bool, what: str
) -> Iterator[tuple[Array, Array]]:
    """(times, (n, channel, cell) float32 in channel units, NEST order) of the instants that are asked for."""
    from tqdm import tqdm

    for path in tqdm(paths, desc=f"{what} {source.label}", unit="file", disable=not progress):
        with sources.opened(source, path) as instants:
            for part in instants.blocks():
                yield (
                    instants.times[part].astype("datetime64[s]"),
                    instants.read(part, config.channels, config.zoom),
                )


def _measure(config: DataConfig, files: dict[str, tuple[str, ...]], progress: bool) -> Statistics:
    """Moments on every cell, over the training instants of all labels (cells of HEALPix have equal areas)."""
    shape = (len(config.channels), healpix.n_cells(config.zoom))
    count = np.zeros((shape[0], 1))
    square, annual = np.zeros(shape), np.zeros((3, *shape))
    shift = np.full((shape[0], 1), np.nan)  # about the first instant's mean, lest x^2 - mean^2 cancel
    for source in config.sources:
        for times, values in _blocks(config, source, files[source.label], progress, "measure"):
            values = values[~_validation(source, times)].astype(np.float64)
            times = times[~_validation(source, times)]
            if not len(times):
                continue
            shift = np.where(np.isnan(shift), values[0].mean(-1, keepdims=True), shift)
            have = ~np.isnan(values[0, :, :1])
            anomaly = np.where(have, values - np.where(np.isnan(shift), 0, shift), 0)
            phase = 2 * np.pi * (times - times.astype("datetime64[Y]")) / np.timedelta64(86400, "s") / DAYS
            count += len(times) * have
            square += np.einsum("tcx,tcx->cx", anomaly, anomaly)
            annual += np.einsum("kt,tcx->kcx", np.stack([np.ones(len(phase)), np.cos(phase), np.sin(phase)]), anomaly)
    if not count.all():
        missing = [name for name, n in zip(config.channels, count[:, 0], strict=True) if not n]
        raise ValueError(f"no source has a training instant of channel(s) {missing}")
    mean = annual[0] / count
    variance = square / count - mean**2
    center = mean.mean(1)
    total = np.sqrt(variance.mean(1) + mean.var(1))
    in_time = np.sqrt(variance.mean(1))
    scale = total if config.scale == "std" else np.clip(2 * in_time, total / 2, total)
    climatology = np.stack([mean - center[:, None], 2 * annual[1] / count, 2 * annual[2] / count]) / scale[:, None]
    order = healpix.nest_to_padxy(config.zoom)
    return Statistics(center + np.nan_to_num(shift[:, 0]), scale, climatology[..., order].astype(np.float32))


def _write_values(
    config: DataConfig,
    source: SourceConfig,
    paths: tuple[str, ...],
    statistics: Statistics,
    folder: Path,
    progress: bool,
) -> None:
    shape = (sources.count(source), len(config.channels), healpix.n_cells(config.zoom))
    out = np.lib.format.open_memmap(folder / f"{source.label}.npy", "w+", np.float16, shape)
    order, done, stamps = healpix.nest_to_padxy(config.zoom), 0, []
    center, scale = (x.astype(np.float32)[:, None] for x in (statistics.center, statistics.scale))
    for times, values in _blocks(config, source, paths, progress, "write"):
        out[done : done + len(times)] = ((values - center) / scale)[..., order]
        done += len(times)
        stamps.append(times)
    out.flush()
    np.save(folder / f"{source.label}_times.npy", np.concatenate(stamps))


def _open_label(source: SourceConfig, folder: Path) -> LabelData:
    times = np.load(folder / f"{source.label}_times.npy")
    values = np.load(folder / f"{source.label}.npy", mmap_mode="r")
    return LabelData(source.label, times, values, _validation(source, times), source.time_jitter_hours, source.missing)


def _validation(source: SourceConfig, times: Array) -> Array:
    if source.validation_start is None:
        return np.zeros(len(times), bool)
    return times >= np.datetime64(source.validation_start, "s")
