"""HEALPix data sets in, one normalised array per label out.

Everything the training loop reads is prepared once: files are read, variables become channels in cBottle's
units, mean and spread are measured, and each label's instants are written as one memory-mapped float16 array
(instant, channel, cell) in the network's PAD_XY order. NaN is a channel that the label does not have.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import channels as channel_names
from .. import healpix
from ..climatology import SMALLEST_SPREAD, Climatology, Fit, basis
from ..conditions import SeaSurfaceTemperature
from .config import DataConfig, SourceConfig, SstConfig, as_dict

Array = npt.NDArray[Any]
BLOCK = 128  # instants read at a time
FORMAT = 2  # counted up when the prepared arrays change form
DAYS = 365.25
SIGNIFICANCE = 2.5  # standard errors, below which a diurnal harmonic is left out
SIGMA_DATA = 0.5  # as in diffusion.py, which would import torch: the deviation of what the network sees


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
    climatology: Climatology | None = None
    climatology_path: Path | None = None


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
        If a file lacks a variable, level or cells that the configuration asks for.
    FileNotFoundError
        If a pattern matches no file.
    """
    files = {source.label: _expand(source) for source in config.sources}
    folder = Path(os.path.expanduser(os.path.expandvars(config.cache or folder))) / _key(config, files)
    sst_path = folder / "sst.nc"
    if not (folder / "done").exists():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for source in config.sources:
            _gather(config, source, files[source.label], partial, progress)
        write_sst(config.sst, config.zoom, partial / "sst.nc")
        climatology = None
        if config.scale == "climatology":
            climatology = _measure_climatology(config, partial, _open_sst(partial / "sst.nc", config.zoom), progress)
            climatology.write(partial / "climatology.nc")
            climatology = _open_climatology(partial / "climatology.nc")  # rounded, as the bottle will have it
            statistics = _about(climatology)
        else:
            statistics = _measure(config, partial, progress)
        np.savez(
            partial / "statistics.npz",
            center=statistics.center,
            scale=statistics.scale,
            climatology=statistics.climatology,
        )
        for source in config.sources:
            _write_values(config, source, climatology or statistics, partial, progress)
            _raw(partial, source).unlink()
        (partial / "done").touch()
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    with np.load(folder / "statistics.npz") as stored:
        statistics = Statistics(stored["center"], stored["scale"], stored["climatology"])
    labels = tuple(_open_label(source, folder) for source in config.sources)
    sst = _open_sst(sst_path, config.zoom)
    path = folder / "climatology.nc"
    known = (_open_climatology(path), path) if path.exists() else (None, None)
    return TrainingData(config.channels, config.zoom, labels, statistics, sst, sst_path, *known)


def _open_sst(path: Path, zoom: int) -> SeaSurfaceTemperature:
    with xr.open_dataset(path) as dataset:
        return SeaSurfaceTemperature.from_dataset(dataset.load(), zoom, "sst")


def _open_climatology(path: Path) -> Climatology:
    with xr.open_dataset(path) as dataset:
        return Climatology.from_dataset(dataset.load(), str(path))


def write_sst(config: SstConfig, zoom: int, path: Path) -> None:
    """Write the monthly SST (K, NaN over land) as packed netCDF, the form in which a bottle carries it."""
    with _open(config.path) as dataset:
        if config.variable not in dataset:
            raise ValueError(
                f"{config.path} has no variable {config.variable!r}; it has {sorted(map(str, dataset.data_vars))}"
            )
        sst = dataset[[config.variable]].load()
    if config.land_path is not None:
        with _open(config.land_path) as land:
            sst = sst.where(land[config.land_variable].load() < config.land_threshold)
    source = SeaSurfaceTemperature.from_dataset(sst, zoom, config.variable)
    packed = xr.Dataset(
        {"sst": (("time", "cell"), source.values, dict(units="K", standard_name="sea_surface_temperature"))},
        coords={"time": source.times.astype("datetime64[ns]")},
        attrs={"healpix_nside": healpix.nside(zoom), "healpix_order": "nest"},
    )
    encoding = dict(dtype="int16", scale_factor=0.002, add_offset=300.0, _FillValue=-32768, zlib=True, complevel=9,
                    shuffle=True)  # fmt: skip
    packed.to_netcdf(path, encoding={"sst": encoding})


def _expand(source: SourceConfig) -> tuple[str, ...]:
    found: list[str] = []
    for pattern in source.files:
        matches = sorted(glob.glob(os.path.expanduser(os.path.expandvars(pattern))))
        if not matches:
            raise FileNotFoundError(f"source {source.label!r}: no file matches {pattern!r}")
        found += matches
    return tuple(found)


def _key(config: DataConfig, files: dict[str, tuple[str, ...]]) -> str:
    stats = {path: (os.stat(path).st_size, os.stat(path).st_mtime_ns) for paths in files.values() for path in paths}
    text = json.dumps([FORMAT, {**as_dict(config), "cache": None}, files, stats], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _open(path: str) -> xr.Dataset:
    path = os.path.expanduser(os.path.expandvars(path))
    return xr.open_zarr(path) if os.path.isdir(path) else xr.open_dataset(path)


def _blocks(
    config: DataConfig, source: SourceConfig, paths: tuple[str, ...], progress: bool, what: str
) -> Iterator[tuple[Array, Array]]:
    """(times, (n, channel, cell) float32 in channel units, NEST order) of the instants that are asked for."""
    from tqdm import tqdm

    start, end = np.datetime64(source.start, "ns"), np.datetime64(source.end, "ns")
    for path in tqdm(paths, desc=f"{what} {source.label}", unit="file", disable=not progress):
        with _open(path) as dataset:
            times = dataset["time"].values.astype("datetime64[ns]")
            wanted = np.flatnonzero((times >= start) & (times < end))
            for first in range(0, len(wanted), BLOCK):
                part = wanted[first : first + BLOCK]
                yield (
                    times[part].astype("datetime64[s]"),
                    _read(dataset.isel(time=slice(part[0], part[-1] + 1)), config, source, path),
                )


def _gather(config: DataConfig, source: SourceConfig, paths: tuple[str, ...], folder: Path, progress: bool) -> None:
    """Read a source once, into a file of float32 instants that measuring and normalising go through several times."""
    stamps = []
    with open(_raw(folder, source), "wb") as out:
        for times, values in _blocks(config, source, paths, progress, "read"):
            values.tofile(out)
            stamps.append(times)
    if not stamps:
        raise ValueError(f"source {source.label!r}: its files have no instant from {source.start} to {source.end}")
    np.save(folder / f"{source.label}_times.npy", np.concatenate(stamps))


def _raw(folder: Path, source: SourceConfig) -> Path:
    return folder / f"{source.label}.raw"


def _again(
    config: DataConfig, source: SourceConfig, folder: Path, progress: bool, what: str
) -> Iterator[tuple[Array, Array]]:
    """The blocks that `_gather` has written."""
    from tqdm import tqdm

    times = np.load(folder / f"{source.label}_times.npy")
    shape = (len(times), len(config.channels), healpix.n_cells(config.zoom))
    values = np.memmap(_raw(folder, source), np.float32, "r", shape=shape)
    firsts = range(0, len(times), BLOCK)
    for first in tqdm(firsts, desc=f"{what} {source.label}", unit="block", disable=not progress):
        yield times[first : first + BLOCK], np.asarray(values[first : first + BLOCK])


def _read(dataset: xr.Dataset, config: DataConfig, source: SourceConfig, path: str) -> Array:
    out = np.full((dataset.sizes["time"], len(config.channels), healpix.n_cells(config.zoom)), np.nan, np.float32)
    loaded: dict[str, xr.DataArray] = {}
    for index, name in enumerate(config.channels):
        if name in source.missing:
            continue
        channel = channel_names.parse(name)
        variable = channel.variable.name
        if variable not in dataset:
            raise ValueError(
                f"{path} has no variable {variable!r} for channel {name!r}; "
                f"list the channel under 'missing' of source {source.label!r}, or take it out"
            )
        if variable not in loaded:  # all levels of a variable lie in one stored chunk
            loaded[variable] = dataset[variable].astype(np.float32).load()
        field = loaded[variable]
        if channel.level is not None:
            if channel.level not in field["pressure"].values:
                raise ValueError(f"{path}: {variable} has no level {channel.level} Pa for channel {name!r}")
            field = field.sel(pressure=channel.level)
        values = field.transpose("time", "cell").values / np.float32(channel.factor)
        out[:, index] = _to_zoom(values, config.zoom, path)
    return out


def _to_zoom(values: Array, zoom: int, path: str) -> Array:
    steps = round(np.log2(values.shape[-1] / healpix.n_cells(zoom)) / 2)
    if steps < 0 or values.shape[-1] != healpix.n_cells(zoom + max(steps, 0)):
        raise ValueError(f"{path} has {values.shape[-1]} cells: not a HEALPix grid of zoom {zoom} or finer")
    return healpix.coarsen(values, steps) if steps else values


def _measure(config: DataConfig, folder: Path, progress: bool) -> Statistics:
    """Moments on every cell, over the training instants of all labels (cells of HEALPix have equal areas)."""
    shape = (len(config.channels), healpix.n_cells(config.zoom))
    count = np.zeros((shape[0], 1))
    square, annual = np.zeros(shape), np.zeros((3, *shape))
    shift = np.full((shape[0], 1), np.nan)  # about the first instant's mean, lest x^2 - mean^2 cancel
    for source in config.sources:
        for times, values in _again(config, source, folder, progress, "measure"):
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


def _measure_climatology(config: DataConfig, folder: Path, sst: SeaSurfaceTemperature, progress: bool) -> Climatology:
    """Harmonics of mean and variance of every label, over its training instants.

    A channel that a label lacks has those of the first label that has it, under which it will be drawn.
    """
    shape = (len(config.channels), healpix.n_cells(config.zoom))

    def fit(source: SourceConfig, what: str, quantity: Callable[[Array, Array], Array]) -> Array:
        found = Fit(config.annual_harmonics, source.diurnal_harmonics, shape)
        for times, values in _again(config, source, folder, progress, what):
            training = ~_validation(source, times)
            if training.any():
                found.add(times[training], quantity(times[training], values[training]))
        return found.solve(SIGNIFICANCE)

    means = [fit(source, "mean of", lambda _, values: values) for source in config.sources]
    variances = []
    for source, mean in zip(config.sources, means, strict=True):

        def squared(times: Array, values: Array, mean: Array = mean, source: SourceConfig = source) -> Array:
            rows = basis(times, config.annual_harmonics, source.diurnal_harmonics).reshape(len(times), -1)
            return (values - (rows @ mean.reshape(rows.shape[1], -1)).reshape(values.shape)) ** 2

        variances.append(fit(source, "variance of", squared))
    deepest = max(source.diurnal_harmonics for source in config.sources)
    for part in (means, variances):
        for i, source in enumerate(config.sources):
            part[i] = np.pad(part[i], [(0, 0), (0, 2 * (deepest - source.diurnal_harmonics)), (0, 0), (0, 0)])
        for i, source in enumerate(config.sources):
            for name in source.missing:
                donors = [j for j, other in enumerate(config.sources) if name not in other.missing]
                if not donors:
                    raise ValueError(f"no source has a training instant of channel(s) [{name!r}]")
                part[i][:, :, config.channels.index(name)] = part[donors[0]][:, :, config.channels.index(name)]
    mean, variance = (np.stack(part).transpose(0, 3, 1, 2, 4) for part in (means, variances))
    constant = np.maximum(variance[:, :, 0, 0], 0)
    center = mean[:, :, 0, 0].mean((0, 2))
    scale = np.sqrt(constant.mean((0, 2))) / SIGMA_DATA
    if not (scale > 0).all():
        still = [name for name, s in zip(config.channels, scale, strict=True) if not s]
        raise ValueError(f"channel(s) {still} never vary: take them out")
    mean[:, :, 0, 0] -= center[:, None]
    spread = np.sqrt(constant) / SIGMA_DATA / scale[:, None]
    cycle = np.where(
        spread[:, :, None, None] < SMALLEST_SPREAD, 0, variance / np.maximum(constant, 1e-300)[:, :, None, None]
    )
    cycle[:, :, 0, 0] = 1
    months = Fit(config.annual_harmonics, 0, shape[1:])
    months.add(sst.times, sst.values)
    return Climatology(
        tuple(source.label for source in config.sources), config.channels, center, scale,
        (mean / scale[:, None, None, None]).astype(np.float32), spread.astype(np.float32),
        np.clip(cycle, -30, 30).astype(np.float32), months.solve()[:, 0].astype(np.float32),
    )  # fmt: skip


def _about(climatology: Climatology) -> Statistics:
    """What normalises anomalies, and the mean year of all labels together."""
    maps = climatology.mean[:, :, :3, 0].mean(0).transpose(1, 0, 2)
    order = healpix.nest_to_padxy(_zoom_of(maps.shape[-1]))
    return Statistics(np.zeros(len(climatology.scale)), climatology.scale, maps[..., order].astype(np.float32))


def _zoom_of(cells: int) -> int:
    return round(np.log2(cells / healpix.FACES) / 2)


def _write_values(
    config: DataConfig, source: SourceConfig, about: Statistics | Climatology, folder: Path, progress: bool
) -> None:
    times = np.load(folder / f"{source.label}_times.npy")
    shape = (len(times), len(config.channels), healpix.n_cells(config.zoom))
    out = np.lib.format.open_memmap(folder / f"{source.label}.npy", "w+", np.float16, shape)
    order, done = healpix.nest_to_padxy(config.zoom), 0
    center, scale = (x.astype(np.float32)[:, None] for x in (about.center, about.scale))
    for part, values in _again(config, source, folder, progress, "write"):
        if isinstance(about, Climatology):
            standardised = about.standardised(values, source.label, part)
        else:
            standardised = (values - center) / scale
        out[done : done + len(part)] = standardised[..., order]
        done += len(part)
    out.flush()


def _open_label(source: SourceConfig, folder: Path) -> LabelData:
    times = np.load(folder / f"{source.label}_times.npy")
    values = np.load(folder / f"{source.label}.npy", mmap_mode="r")
    return LabelData(source.label, times, values, _validation(source, times), source.time_jitter_hours, source.missing)


def _validation(source: SourceConfig, times: Array) -> Array:
    if source.validation_start is None:
        return np.zeros(len(times), bool)
    return times >= np.datetime64(source.validation_start, "s")
