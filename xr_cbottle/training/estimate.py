"""Dry run: what a run will read, and the memory, disk and time that it will take, from a few steps on this device."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from xr_cbottle.bottle import facts
from xr_cbottle.training.coarse import old_network
from xr_cbottle.training.config import Config
from xr_cbottle.training.heap import keep_freed_memory
from xr_cbottle.training.patchwise.patch_config import AnyConfig
from xr_cbottle.training.replay import kept_labels
from xr_cbottle.training.run_states import RunStates, read_state
from xr_cbottle.training.source_config import SourceConfig
from xr_cbottle.training.speed import Speed, asked, loader_rate, measure
from xr_cbottle.training.survey import check_runs, survey
from xr_cbottle.training.team import Team

WIDTH = 110


@dataclass(frozen=True)
class Estimate:
    """Memory, disk and time that a run will take.

    Attributes
    ----------
    instants
        Of each label.
    channels
        {label: {channel: what it is in the data}}; nothing of data that are prepared.
    problems
        What is wrong with the data, or not there.
    data_bytes, peak_bytes
        Of the prepared data, and of the disk while they are being prepared.
    data_folder
        Folder of the prepared data.
    prepared
        Whether they are there already.
    loader
        Images a second that the loader alone gives; None if there are no data yet.
    speed
        Memory and speed of one process.
    processes
        Processes of the run.
    done, total
        Images seen so far, and in all.
    max_hours
        Hours after which the run stops, None if it does not.
    bottle_bytes
        Of the weights in a bottle.
    mixture
        Of which sources the images are, in words; empty where that follows from the number of their instants.
    """

    instants: Mapping[str, int]
    channels: Mapping[str, Mapping[str, str]]
    problems: tuple[str, ...]
    data_bytes: int
    peak_bytes: int
    data_folder: Path
    prepared: bool
    loader: float | None
    speed: Speed
    processes: int
    done: int
    total: int
    max_hours: float | None
    bottle_bytes: int
    mixture: str = ""

    @property
    def images_per_second(self) -> float:
        """Images a second of all processes, by whichever is slower, network or loader."""
        return self.processes * min(self.speed.images_per_second, self.loader or float("inf"))

    @property
    def seconds(self) -> float:
        """Seconds that the images that are left will take."""
        return (self.total - self.done) / self.images_per_second

    def text(self) -> str:
        """The estimate in lines for people."""
        speed = self.speed
        labels = ", ".join(f"{label} {n:,}" for label, n in self.instants.items())
        state = "prepared" if self.prepared else "not prepared yet"
        if not self.prepared:
            state += f"; preparing takes {facts.size(self.peak_bytes)} of disk at most"
        memory = ", ".join(f"{name} {facts.size(n)}" for name, n in speed.bytes.items())
        peak = "" if speed.peak is None else f"; {facts.size(speed.peak)} at most"
        each = f"{self.processes} processes" if self.processes > 1 else "one process"
        rows = {
            "network": f"{speed.parameters:,} parameters; {facts.size(self.bottle_bytes)} in a bottle",
            "data": f"{facts.size(self.data_bytes)} of instants ({labels}) in {self.data_folder}, {state}",
            "memory": f"{memory}{peak}, in each process",
            "speed": f"{speed.images_per_second * self.processes:.3g} images a second by {each} on {speed.device}, "
            f"measured over {speed.steps} steps of {speed.share} images",
            "time": f"{duration(self.seconds)} for {self.total - self.done:,} of {self.total:,} images",
        }
        if self.loader is not None:
            rows["loader"] = f"{self.loader * self.processes:.3g} images a second"
        if self.max_hours is not None and self.seconds > 3600 * self.max_hours:
            rows["time"] += f"; max_hours stops it after {self.max_hours:g} h of training"
        if self.mixture:
            rows["images"] = self.mixture
        lines = [f"{name:8} {text}" for name, text in rows.items()]
        for label, channels in self.channels.items():
            known = "; ".join(f"{name}: {words}" for name, words in channels.items())
            lines += textwrap.wrap(f"{label}: {known}", WIDTH, initial_indent="reads    ", subsequent_indent=9 * " ")
        return "\n".join([*lines, *(f"missing  {problem}" for problem in self.problems)])


def estimate(config: AnyConfig, run: str | os.PathLike[str], *, steps: int = 3, progress: bool = True) -> Estimate:
    """Say what a run will take. Nothing is written.

    Parameters
    ----------
    config
        Of any kind of run.
    run
        Folder of the run: images already seen, and data already prepared, are looked for there.
    steps
        Steps to time.
    progress
        Show a bar.

    Raises
    ------
    ValueError
        If a batch does not fit in the device's memory, or there is no teacher.
    """
    keep_freed_memory()
    run = Path(run)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    known = asked(config, run)
    prepared = (known.folder / "done").exists()
    device = Team(local_rank=int(os.environ.get("LOCAL_RANK", "0"))).device
    optim, loader = config.training, None
    share = max(optim.batch_size // processes, 1)
    instants: dict[str, int] = {}
    channels: dict[str, Mapping[str, str]] = {}
    problems: list[str] = []
    learnt: list[int] = []
    for source in known.sources:
        try:
            found = survey(source, known.channels, known.zoom, known.own)
        except FileNotFoundError as error:
            problems.append(str(error))
            continue
        instants[source.label] = instants.get(source.label, 0) + found.instants
        learnt.append(sum(int((~source.held_out(stretch.times)).sum()) for stretch in found.stretches))
        if not prepared:
            channels[source.label] = found.channels
        problems += found.problems
    try:
        check_runs(known.sources)
    except (ValueError, FileNotFoundError) as error:
        problems.append(str(error))
    data_bytes, peak = (sum(instants.values()) * each for each in known.instant_bytes)
    if prepared:
        batches = known.batches()
        batches.noise_later = optim.device_noise and device.type == "cuda"
        loader = loader_rate(config, batches, share, device)
        data_bytes = sum(path.stat().st_size for path in known.folder.iterdir())
    else:
        free = _free(known.folder)
        if free < peak:
            problems.append(
                f"preparing takes {facts.size(peak)} of disk, and {known.folder.parent} has {facts.size(free)}: give "
                "another folder as cache"
            )
    speed = measure(config, device, share=share, steps=steps, progress=progress, known=known)
    state = RunStates(run).file()
    done = read_state(state, mapped=True)["images"] if state.exists() else 0
    return Estimate(
        instants=instants,
        channels=channels,
        problems=tuple(dict.fromkeys(problems)),
        data_bytes=data_bytes,
        peak_bytes=peak,
        data_folder=known.folder,
        prepared=prepared,
        loader=loader,
        speed=speed,
        processes=processes,
        done=min(done, optim.total_images),
        total=optim.total_images,
        max_hours=optim.max_hours,
        bottle_bytes=speed.parameters * getattr(torch, known.dtype).itemsize,
        mixture="; ".join([*_weighed(known.sources, learnt), *_replayed(config)]),
    )


def _weighed(sources: Sequence[SourceConfig], learnt: Sequence[int]) -> Iterator[str]:
    """Share of the images that each source has, if weights say that; with the number of instants that are learnt."""
    if len(learnt) == len(sources) and any(source.weight != 1 for source in sources):
        drawn = [source.weight * count for source, count in zip(sources, learnt, strict=True)]
        shares = (part / max(sum(drawn), 1) for part in drawn)
        each = zip(sources, shares, strict=True)
        yield ", ".join(f"{source.label}: {share:.0%} (weight {source.weight:g})" for source, share in each).replace(
            "%", " %"
        )


def _replayed(config: AnyConfig) -> Iterator[str]:
    """Which images are of labels that are kept."""
    replay = config.network.replay if isinstance(config, Config) else None
    if isinstance(config, Config) and replay is not None:
        kept = kept_labels(config, old_network(config))
        yield (
            f"every {replay.every}th of {', '.join(kept)}, {replay.instants} instants of each, which "
            f"{config.network.from_} draws before"
        )


def _free(folder: Path) -> int:
    """Bytes that are free where a folder will be."""
    there = next(parent for parent in folder.absolute().parents if parent.exists())
    return shutil.disk_usage(there).free


def duration(seconds: float) -> str:
    """A time for people: ``5 s``, ``12 min``, ``3 h 20 min``, ``4 days 2 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"
