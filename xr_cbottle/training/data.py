"""HEALPix data sets in, one normalised array per label out.

Everything the training loop reads is prepared once: files are read, variables become channels in cBottle's
units, mean and spread are measured, and each label's instants are written as one memory-mapped float16 array
(instant, channel, cell) in the network's PAD_XY order. NaN is a channel that the label does not have.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.records import ForcingSpec
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix
from xr_cbottle.training import preparation, statistics
from xr_cbottle.training.config import DataConfig, as_dict
from xr_cbottle.training.gathered import Gathered, gather
from xr_cbottle.training.regression import ResponseSettings
from xr_cbottle.training.run_climate import RunClimate, read_climates, write_climates
from xr_cbottle.training.run_sources import expanded
from xr_cbottle.training.source_config import SourceConfig
from xr_cbottle.training.sst_condition import write_sst
from xr_cbottle.training.statistics import Statistics

Array = npt.NDArray[Any]
FORMAT = 3  # counted up when the prepared arrays change form


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
        (n, channel, cell) float16 memory map. Normalised, PAD_XY order; NaN: the label does not have the channel.
    validation
        (n,) bool. Instants that training does not see.
    jitter_hours
        Largest shift of the time that the network is told, hours.
    missing
        Channels that the label does not have.
    climate
        Sea and forcings of the run; None for the sea of all and no forcings.
    """

    label: str
    times: Array
    values: Array
    validation: Array
    jitter_hours: float
    missing: tuple[str, ...]
    climate: RunClimate | None = None


@dataclass(frozen=True)
class TrainingData:
    """Prepared data of a run of the coarse network: `runs` has several of a label where its model ran several times."""

    channels: tuple[str, ...]
    zoom: int
    runs: tuple[LabelData, ...]
    statistics: Statistics
    sst: SeaSurfaceTemperature
    sst_path: Path
    climatology: Climatology | None = None
    climatology_path: Path | None = None
    forcings: Mapping[str, ForcingSpec] = field(default_factory=dict)

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
    sst, path = _open_sst(folder / "sst.nc", config.zoom), folder / "climatology.nc"
    specs, climates = read_climates(config, sst, folder)
    runs = tuple(
        _open_label(source, number, climate, folder)
        for source, number, climate in zip(config.sources, _numbers(config), climates, strict=True)
    )
    about = _open_climatology(path) if path.exists() else None
    return TrainingData(
        config.channels, config.zoom, runs, known, sst, folder / "sst.nc", about, path if about else None, specs
    )


def _prepare(config: DataConfig, folder: Path, progress: bool) -> None:
    write_sst(config, folder / "sst.nc", progress=progress)
    sst = _open_sst(folder / "sst.nc", config.zoom)
    write_climates(config, sst, folder)
    specs, climates = read_climates(config, sst, folder)
    parts = [
        gather(source, config.channels, config.zoom, folder, progress=progress, number=number, climate=climate)
        for source, number, climate in zip(config.sources, _numbers(config), climates, strict=True)
    ]
    about: Statistics | Climatology
    if config.scale == "climatology":
        path = folder / "climatology.nc"
        if config.standardised_as is not None:
            climatology_of(config).write(path)
        else:
            response = ResponseSettings(config.sst_modes, tuple(specs), config.response_harmonics, config.ridge)
            measured = statistics.measure_climatology(
                parts, config.annual_harmonics, sst, config.roots, response, progress=progress
            )
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


def climatology_of(config: DataConfig) -> Climatology:
    """Climatology of the bottle by which data are standardised, without its calibration, which is of its networks.

    Raises
    ------
    ValueError
        If it has none, or one of other channels or without a label of the data.
    """
    assert config.standardised_as is not None
    bottle = open_bottle(expanded(config.standardised_as))
    known, name = bottle.climatology(), bottle.manifest.name
    if known is None:
        raise ValueError(f"data: standardised_as is {name}, which has no climatology: give a bottle that has one")
    if known.channels != config.channels:
        raise ValueError(
            f"data: standardised_as is {name}, whose channels are {chr(44).join(known.channels)}: take these"
        )
    if missing := [label for label in config.labels if label not in known.labels]:
        raise ValueError(f"data: standardised_as is {name}, which has no label {', '.join(missing)}")
    forcings = known.response.predictors if known.response is not None else ()
    if forcings != (*config.sst_modes, *sorted(config.forcings)):
        raise ValueError(
            f"data: standardised_as is {name}, whose climatology moves with {', '.join(forcings) or 'nothing'}: "
            "sst_modes and forcings must be these"
        )
    return dataclasses.replace(known, calibration=None)


def prepared_folder(config: DataConfig, folder: str | os.PathLike[str]) -> Path:
    """Folder in which `prepare` puts its arrays; there is a file ``done`` in it when they are whole."""
    others = [path for path in (config.sst.path, config.sst.land_path) if path is not None]
    others += [source.sst for source in config.sources if source.sst is not None]
    settings = {**as_dict(config), "cache": None}
    if config.standardised_as is None:
        del settings["standardised_as"]  # a later key: what was prepared without it is still good
    else:
        settings["standardised_as"] = open_bottle(expanded(config.standardised_as)).digest
    return preparation.place(config.cache or folder, (FORMAT, settings), config.sources, others)


def _write_values(part: Gathered, about: Statistics | Climatology, folder: Path, progress: bool) -> None:
    shape = (len(part.times), len(part.channels), healpix.n_cells(part.zoom))
    name = part.path.stem
    out = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, shape)
    order, done = healpix.nest_to_padxy(part.zoom), 0
    center, scale = (x.astype(np.float32)[:, None] for x in (about.center, about.scale))
    for times, values in part.blocks("write", progress):
        if isinstance(about, Climatology):
            standardised = about.standardised(values, part.source.label, times, _predictors(part, about, times))
        else:
            standardised = (values - center) / scale
        out[done : done + len(times)] = standardised[..., order]
        done += len(times)
    out.flush()
    np.save(folder / f"{name}_times.npy", part.times)


def _predictors(part: Gathered, about: Climatology, times: Array) -> Array | None:
    if about.response is None:
        return None
    assert part.climate is not None
    return about.predictors(part.climate.sst.at(times), times, part.climate.told(times))


def _numbers(config: DataConfig) -> list[int | None]:
    """Numbers that tell sources of one label apart; None where there is one only."""
    labels = [source.label for source in config.sources]
    return [None if labels.count(label) == 1 else labels[:i].count(label) for i, label in enumerate(labels)]


def _open_label(source: SourceConfig, number: int | None, climate: RunClimate, folder: Path) -> LabelData:
    name = f"{source.label}{'' if number is None else f'_{number}'}"
    times = np.load(folder / f"{name}_times.npy")
    values = np.load(folder / f"{name}.npy", mmap_mode="r")
    held_out = source.held_out(times)
    return LabelData(source.label, times, values, held_out, source.time_jitter_hours, source.missing, climate)
