"""HEALPix data sets in, one normalised array per label out.

Everything the training loop reads is prepared once: files are read, variables become channels in cBottle's
units, mean and spread are measured, and each label's instants are written as one memory-mapped float16 array
(instant, channel, cell) in the network's PAD_XY order. NaN is where there is no value.

That takes steps, each of which is done once however often it is killed: sources are read in blocks
(`xr_cbottle.training.gathered`); what is missing in them is found (`xr_cbottle.training.presence`), and their
statistics are measured and looked at; each block is normalised into its place, and removed. So the disk holds four
bytes for each value at most, and two in the end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.gaps import Gaps
from xr_cbottle.bottle.records import ForcingSpec
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix
from xr_cbottle.training import preparation, statistics
from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.extents import extents, strange
from xr_cbottle.training.gathered import Gathered, each, gather
from xr_cbottle.training.known_climatology import climatology_of, with_new_labels
from xr_cbottle.training.presence import find_presence
from xr_cbottle.training.regression import ResponseSettings
from xr_cbottle.training.run_climate import RunClimate, read_climates, write_climates
from xr_cbottle.training.run_sources import expanded
from xr_cbottle.training.source_config import SourceConfig
from xr_cbottle.training.sst_condition import write_sst
from xr_cbottle.training.statistics import Statistics
from xr_cbottle.training.survey import check_runs

Array = npt.NDArray[Any]
FORMAT = 4  # counted up when the prepared arrays change form


@dataclass(frozen=True)
class LabelData:
    """The prepared instants of one run of a label.

    Attributes
    ----------
    label
        Name of the label.
    times
        (n,) datetime64[s]. Ascending.
    values
        (n, channel, cell) float16 memory map. Normalised, PAD_XY order; NaN where there is no value: the label does not
        have the channel, its cell is a gap, or the instant lacks it.
    validation
        (n,) bool. Instants that training does not see.
    jitter_hours
        Largest shift of the time that the network is told, hours.
    missing
        Channels that the label does not have.
    climate
        Sea and forcings of the run; None for the sea of all and no forcings.
    gappy
        Instants of the label that lack values beside its gaps, masked or left out.
    """

    label: str
    times: Array
    values: Array
    validation: Array
    jitter_hours: float
    missing: tuple[str, ...]
    climate: RunClimate | None = None
    gappy: int = 0


@dataclass(frozen=True)
class TrainingData:
    """Prepared data of a run of the coarse network.

    ``runs`` has several of a label where its model ran several times; ``said`` are sentences about what is missing or
    strange in them.
    """

    channels: tuple[str, ...]
    zoom: int
    runs: tuple[LabelData, ...]
    statistics: Statistics
    sst: SeaSurfaceTemperature
    sst_path: Path
    climatology: Climatology | None = None
    climatology_path: Path | None = None
    forcings: Mapping[str, ForcingSpec] = field(default_factory=dict)
    gaps: Gaps | None = None
    gaps_path: Path | None = None
    said: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[LabelData, ...]:
        """First run of each label, in the order of the labels' numbers."""
        first: dict[str, LabelData] = {}
        for run in self.runs:
            first.setdefault(run.label, run)
        return tuple(first.values())

    def number(self, label: str) -> int:
        """Number of a label."""
        return [one.label for one in self.labels].index(label)


def prepare(
    config: DataConfig, folder: str | os.PathLike[str], *, progress: bool = True, processes: int = 1
) -> TrainingData:
    """Read the sources, or what an earlier call has prepared from the same files.

    Parameters
    ----------
    config
        Sources, channels and scale.
    folder
        Where prepared data go, in a sub-folder named by a digest of the configuration and of the files.
    progress
        Show a bar.
    processes
        How many read and write at the same time. What they make does not depend on it.

    Raises
    ------
    ValueError
        If a source lacks a variable, level or cells that the configuration asks for, or holds what cannot be learnt.
    FileNotFoundError
        If a pattern matches no file.
    """
    folder = preparation.once(prepared_folder(config, folder), lambda made: _prepare(config, made, progress, processes))
    with np.load(folder / "statistics.npz") as stored:
        known = Statistics(stored["center"], stored["scale"], stored["climatology"])
    sst, path, gaps = _open_sst(folder / "sst.nc", config.zoom), folder / "climatology.nc", folder / "gaps.nc"
    specs, climates = read_climates(config, sst, folder)
    said = json.loads((folder / "said.json").read_text())
    runs = tuple(
        _open_label(source, name, climate, folder, said["gappy"].get(source.label, 0))
        for source, name, climate in zip(config.sources, _names(config), climates, strict=True)
    )
    about = _open_climatology(path) if path.exists() else None
    return TrainingData(
        config.channels, config.zoom, runs, known, sst, folder / "sst.nc", about, path if about else None, specs,
        _open_gaps(gaps) if gaps.exists() else None, gaps if gaps.exists() else None, tuple(said["lines"]),
    )  # fmt: skip


def _prepare(config: DataConfig, folder: Path, progress: bool, processes: int) -> None:
    """Fill a folder, or what is not yet there of it: every step leaves a file that is whole or not there."""
    if (folder / "written").exists():
        _clear(config, folder)
        return
    check_runs(config.sources)
    if config.standardised_as is not None:
        climatology_of(config)  # refused before hours of reading
    if not (folder / "sst.nc").exists():
        with preparation.written(folder / "sst.nc") as path:
            write_sst(config, path, progress=progress)
    sst = _open_sst(folder / "sst.nc", config.zoom)
    write_climates(config, sst, folder)
    specs, climates = read_climates(config, sst, folder)
    read = [
        gather(
            source, config.channels, config.zoom, folder,
            progress=progress, number=number, climate=climate, processes=processes, own=config.own,
        )
        for source, number, climate in zip(config.sources, _numbers(config), climates, strict=True)
    ]  # fmt: skip
    if not (folder / "said.json").exists():
        _measure(config, folder, read, sst, tuple(specs), progress)
    parts = _present(folder, read)
    for part in parts:
        _write_values(part if specs or config.sst_modes else part.told(None), folder, progress, processes)
    (folder / "written").touch()
    _clear(config, folder)


def _clear(config: DataConfig, folder: Path) -> None:
    """Remove what is not needed any more."""
    for name in _names(config):
        shutil.rmtree(folder / f"{name}.raw", ignore_errors=True)
        (folder / f"{name}_skipped.npy").unlink(missing_ok=True)


def _measure(
    config: DataConfig, folder: Path, read: Sequence[Gathered], sst: SeaSurfaceTemperature, forcings: tuple[str, ...],
    progress: bool,
) -> None:  # fmt: skip
    """Find what is missing, and the statistics of all else; ``said.json`` is written last."""
    found = find_presence(config, read, progress=progress)
    if config.scale == "climatology":
        if config.standardised_as is not None:
            measured = with_new_labels(
                climatology_of(config), found.parts, sst, lenders=config.response_of, incomplete=found.incomplete,
                progress=progress,
            )  # fmt: skip
        else:
            response = ResponseSettings(config.sst_modes, forcings, config.response_harmonics, config.ridge)
            measured = statistics.measure_climatology(
                found.parts, config.annual_harmonics, sst, config.roots, response, incomplete=found.incomplete,
                progress=progress,
            )  # fmt: skip
        with preparation.written(folder / "climatology.nc") as path:
            measured.write(path)
        about = _open_climatology(folder / "climatology.nc")  # rounded, as the bottle will have it
        numbers, spread = statistics.about(about, config.zoom), statistics.deviations(about)
    else:
        numbers = statistics.measure(found.parts, config.scale, progress=progress)
        assert numbers.deviation is not None  # it was measured just now
        spread = numbers.center, numbers.deviation
    reach = extents(config, found.parts, *spread)
    if any(gaps.any() for gaps in found.gaps.values()):
        absent = np.stack([found.gaps[label] for label in config.labels])
        with preparation.written(folder / "gaps.nc") as path:
            Gaps(config.labels, config.channels, absent).write(path)
    for part in found.parts:
        skipped = np.zeros(len(part.all_times), bool) if part.skipped is None else part.skipped
        np.save(folder / f"{part.name}_skipped.npy", skipped)
        np.save(folder / f"{part.name}_times.npy", part.times)
    np.savez(folder / "statistics.npz", center=numbers.center, scale=numbers.scale, climatology=numbers.climatology)
    said = {
        "lines": [*found.said(config), *_lowered(config, found.parts), *strange(config, reach)],
        "gappy": dict(found.gappy),
        "channels": {name: dataclasses.asdict(extent) for name, extent in reach.items()},
    }
    with preparation.written(folder / "said.json") as path:
        path.write_text(json.dumps(said, indent=1) + "\n")


def _lowered(config: DataConfig, parts: Sequence[Gathered]) -> list[str]:
    """Sentences about labels whose instants tell fewer harmonics of the year than are asked for."""
    lines = []
    for label in config.labels if config.scale == "climatology" else ():
        times = [part.times[~part.source.held_out(part.times)] for part in parts if part.source.label == label]
        told = statistics.resolved(np.concatenate(times), config.annual_harmonics)
        if told < config.annual_harmonics:
            lines.append(
                f"{label}: its training instants do not cover the year, and tell {told} harmonics of it, not "
                f"{config.annual_harmonics}: outside their season what is drawn is not its climate"
            )
    return lines


def _present(folder: Path, read: Sequence[Gathered]) -> list[Gathered]:
    """The sources without what `_measure` found to be left out."""
    path = folder / "gaps.nc"
    gaps = _open_gaps(path) if path.exists() else None
    parts = []
    for part in read:
        absent = None if gaps is None else gaps.of(part.source.label)
        parts.append(part.without(gaps=absent, skipped=np.load(folder / f"{part.name}_skipped.npy")))
    return parts


def _open_sst(path: Path, zoom: int) -> SeaSurfaceTemperature:
    with xr.open_dataset(path) as dataset:
        return SeaSurfaceTemperature.from_dataset(dataset.load(), zoom, "sst")


def _open_gaps(path: Path) -> Gaps:
    with xr.open_dataset(path) as dataset:
        return Gaps.from_dataset(dataset.load(), str(path))


def _open_climatology(path: Path) -> Climatology:
    with xr.open_dataset(path) as dataset:
        return Climatology.from_dataset(dataset.load(), str(path))


def prepared_folder(config: DataConfig, folder: str | os.PathLike[str]) -> Path:
    """Folder in which `prepare` puts its arrays; there is a file ``done`` in it when they are whole."""
    others = [path for path in (config.sst.path, config.sst.land_path) if path is not None]
    others += [source.sst for source in config.sources if source.sst is not None]
    settings = {**preparation.settings(config), "cache": None}
    if not config.response_of:
        del settings["response_of"]  # a later key: what was prepared without it is still good
    if config.standardised_as is None:
        del settings["standardised_as"]  # so is this one
    else:
        settings["standardised_as"] = open_bottle(expanded(config.standardised_as)).digest
    return preparation.place(config.cache or folder, (FORMAT, settings), config.sources, others)


@dataclass(frozen=True)
class _Writing:
    """A block to normalise, and where it goes."""

    part: Gathered
    out: Path
    first: int
    folder: Path


def _write_values(part: Gathered, folder: Path, progress: bool, processes: int) -> None:
    """Write a source's normalised instants, block by block; a raw block is removed when its instants are written."""
    out, counts = folder / f"{part.name}.npy", [int((~part.skipped_of(i)).sum()) for i in range(len(part.held))]
    starts = np.cumsum([0, *counts])
    if not out.exists():
        shape = (int(starts[-1]), len(part.channels), healpix.n_cells(part.zoom))
        with preparation.written(out) as path:
            np.lib.format.open_memmap(path, "w+", np.float16, shape).flush()
    left = [i for i, block in enumerate(part.held) if block.path.with_suffix(".npy").exists()]
    jobs = [_Writing(part.alone(i), out, int(starts[i]), folder) for i in left]
    for _ in each(_write_block, jobs, processes, f"write {part.source.label}", progress):
        pass


def _write_block(job: _Writing) -> None:
    part, raw = job.part, job.part.held[0].path.with_suffix(".npy")
    path = job.folder / "climatology.nc"
    about: Statistics | Climatology
    if path.exists():
        about = _open_climatology(path)
    else:
        with np.load(job.folder / "statistics.npz") as stored:
            about = Statistics(stored["center"], stored["scale"], stored["climatology"])
    out, done = np.lib.format.open_memmap(job.out, "r+"), job.first
    order = healpix.nest_to_padxy(part.zoom)
    center, scale = (x.astype(np.float32)[:, None] for x in (about.center, about.scale))
    for times, values in part.of_block(0):
        if isinstance(about, Climatology):
            standardised = about.standardised(values, part.source.label, times, _predictors(part, about, times))
        else:
            standardised = (values - center) / scale
        out[done : done + len(times)] = standardised[..., order]
        done += len(times)
    out.flush()
    raw.unlink()


def _predictors(part: Gathered, about: Climatology, times: Array) -> Array | None:
    if about.response is None:
        return None
    assert part.climate is not None
    return about.predictors(part.climate.sst.at(times), times, part.climate.told(times))


def _numbers(config: DataConfig) -> list[int | None]:
    """Numbers that tell sources of one label apart; None where there is one only."""
    labels = [source.label for source in config.sources]
    return [None if labels.count(label) == 1 else labels[:i].count(label) for i, label in enumerate(labels)]


def _names(config: DataConfig) -> list[str]:
    """Names of the files of each source."""
    numbers = zip(config.sources, _numbers(config), strict=True)
    return [f"{source.label}{'' if number is None else f'_{number}'}" for source, number in numbers]


def _open_label(source: SourceConfig, name: str, climate: RunClimate, folder: Path, gappy: int) -> LabelData:
    times = np.load(folder / f"{name}_times.npy")
    values = np.load(folder / f"{name}.npy", mmap_mode="r")
    held_out = source.held_out(times)
    return LabelData(source.label, times, values, held_out, source.time_jitter_hours, source.missing, climate, gappy)
