"""The instants of a source, read once into files that measuring and normalising go through several times.

They are read in blocks, in one process or several, each into a file of its own. A block that is whole has its facts
beside it: what was killed goes on with those that are not. Beside reading, a block is looked at once: which cells have
values in how many of its instants, and how large they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields.channels import NONE_OF_ITS_OWN, Variable
from xr_cbottle.training import run_sources
from xr_cbottle.training.run_climate import RunClimate
from xr_cbottle.training.screening import check_block
from xr_cbottle.training.source_config import SourceConfig
from xr_cbottle.training.survey import surveyed

Array = npt.NDArray[Any]
BLOCK = 128  # instants at a time, if they are not large
BLOCK_BYTES = 2**28  # of float32 values at a time
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A block to read.

    Attributes
    ----------
    source, address, number
        Block ``number`` of the source at one of its addresses.
    channels, zoom
        What is read of it.
    path
        Where it goes, without an ending.
    own
        Variables that the configuration defines.
    """

    source: SourceConfig
    address: str
    number: int
    channels: tuple[str, ...]
    zoom: int
    path: Path
    own: Mapping[str, Variable]


@dataclass(frozen=True)
class HeldBlock:
    """A block that was read.

    Attributes
    ----------
    path
        (n, channel, cell NEST) float32 in the channels' units, without an ending; NaN where there is no value.
    address
        Where it is from.
    times
        (n,) datetime64[s].
    low, high
        (channel,) float64. Least and largest value; NaN without any.
    present
        (channel, cell) int32. In how many of the training instants there is a value.
    absent
        (n, channel) int32. How many cells have none.
    """

    path: Path
    address: str
    times: Array
    low: Array
    high: Array
    present: Array
    absent: Array


@dataclass(frozen=True)
class Gathered:
    """Instants of a source on this machine's disk.

    Attributes
    ----------
    source
        Where they come from.
    channels
        Names of the channels.
    held
        Its blocks, in the order of time.
    zoom
        HEALPix level of the cells.
    name
        Of its files: the label, and a number if there are several of it.
    climate
        Sea and forcings of the source, where that matters.
    gaps
        (channel, cell NEST) bool. Cells whose values, if there are any, are not used.
    skipped
        (n,) bool. Instants that are left out.
    """

    source: SourceConfig
    channels: tuple[str, ...]
    held: tuple[HeldBlock, ...]
    zoom: int
    name: str
    climate: RunClimate | None = None
    gaps: Array | None = None
    skipped: Array | None = None

    @property
    def all_times(self) -> Array:
        """(n,) datetime64[s] of all instants, those that are left out too."""
        return np.concatenate([block.times for block in self.held])

    @property
    def times(self) -> Array:
        """(n,) datetime64[s], without those that are left out."""
        return self.all_times if self.skipped is None else self.all_times[~self.skipped]

    def told(self, climate: RunClimate | None) -> Gathered:
        """Give the instants another climate."""
        return dataclasses.replace(self, climate=climate)

    def without(self, *, gaps: Array | None = None, skipped: Array | None = None) -> Gathered:
        """Leave out some cells, or some of the instants."""
        return dataclasses.replace(self, gaps=gaps, skipped=skipped)

    def blocks(self, what: str, progress: bool) -> Iterator[tuple[Array, Array]]:
        """(times, values) of blocks of instants, with a bar that says ``what`` is done."""
        from tqdm import tqdm

        for number in tqdm(
            range(len(self.held)), desc=f"{what} {self.source.label}", unit="block", disable=not progress
        ):
            yield from self.of_block(number)

    def of_block(self, number: int) -> Iterator[tuple[Array, Array]]:
        """(times, values) of the instants of one block, in parts that fit in memory."""
        block = self.held[number]
        values = np.load(block.path.with_suffix(".npy"), mmap_mode="r")
        kept = np.flatnonzero(~self.skipped_of(number))
        step = max(1, min(BLOCK, BLOCK_BYTES // (4 * values[0].size)))
        for first in range(0, len(kept), step):
            chosen = kept[first : first + step]
            part = values[chosen]
            if self.gaps is not None and self.gaps.any():
                part[:, self.gaps] = np.nan
            yield block.times[chosen], part

    def skipped_of(self, number: int) -> Array:
        """(n,) bool which instants of a block are left out."""
        block, before = self.held[number], sum(len(one.times) for one in self.held[:number])
        if self.skipped is None:
            return np.zeros(len(block.times), bool)
        return np.asarray(self.skipped[before : before + len(block.times)])

    def training(self, what: str, progress: bool) -> Iterator[tuple[Array, Array]]:
        """(times, values) of blocks of instants, without those held out for validation."""
        for times, values in self.blocks(what, progress):
            chosen = ~self.source.held_out(times)
            if chosen.all():
                yield times, values
            elif chosen.any():
                yield times[chosen], values[chosen]

    def alone(self, number: int) -> Gathered:
        """One block by itself, as other processes get it."""
        nothing = np.zeros(0, np.int32)  # what has been looked at
        block = dataclasses.replace(self.held[number], present=nothing, absent=nothing)
        skipped = None if self.skipped is None else self.skipped_of(number)
        return dataclasses.replace(self, held=(block,), skipped=skipped)


def gather(
    source: SourceConfig,
    channels: tuple[str, ...],
    zoom: int,
    folder: Path,
    *,
    progress: bool,
    number: int | None = None,
    climate: RunClimate | None = None,
    processes: int = 1,
    own: Mapping[str, Variable] = NONE_OF_ITS_OWN,
) -> Gathered:
    """Read a source into a folder, or what an earlier call has not read of it.

    Parameters
    ----------
    source, channels, zoom
        Where from, which channels, and on the cells of which HEALPix level.
    folder
        For the files, which are named by the label, and by ``number`` if there are several of it.
    progress
        Show a bar.
    number
        Number of the source.
    climate
        Its sea and forcings.
    processes
        How many read at the same time.
    own
        Variables that the configuration defines.

    Raises
    ------
    ValueError
        If it lacks a variable, level or cells, has no instant in its time, a time twice or a fill value.
    FileNotFoundError
        If a pattern matches no file.
    """
    name = f"{source.label}{'' if number is None else f'_{number}'}"
    raw = folder / f"{name}.raw"
    raw.mkdir(exist_ok=True)
    jobs: list[Job] = []
    for stretch in surveyed(source, channels, zoom, own):
        for i in range(len(stretch.sizes)):
            jobs.append(Job(source, stretch.address, i, channels, zoom, raw / f"{len(jobs):06d}", dict(own)))
    left = [job for job in jobs if not _is_whole(job.path)]
    try:
        for _ in each(read_block, left, processes, f"read {source.label}", progress):
            pass
    finally:
        _opened.close()
    held = tuple(_block_of(job) for job in jobs)
    return Gathered(source, channels, held, zoom, name, climate)


def each(work: Callable[[T], Any], jobs: Sequence[T], processes: int, what: str, progress: bool) -> Iterator[Any]:
    """Results of jobs in their order, done by this process or by several, with a bar.

    Parameters
    ----------
    work
        A function that other processes can import.
    jobs
        What it is called with.
    processes
        How many work at the same time.
    what
        What is done, for the bar.
    progress
        Show it.
    """
    from tqdm import tqdm

    def shown(results: Iterable[Any]) -> Iterator[Any]:
        return iter(tqdm(results, desc=what, total=len(jobs), unit="block", disable=not progress))

    if processes == 1 or len(jobs) < 2:
        yield from shown(map(work, jobs))
        return
    # Not forked: libraries that read files do not survive it.
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=get_context("spawn")) as pool:
        try:
            yield from shown(pool.map(work, jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _Opened:
    """The instants at one address of a source, open as long as blocks of them are read one after the other."""

    def __init__(self) -> None:
        self._key: tuple[SourceConfig, str] | None = None
        self._stack = contextlib.ExitStack()

    def at(self, job: Job) -> tuple[run_sources.Instants, list[Array]]:
        """Instants at the address of a job, and their blocks."""
        if self._key != (job.source, job.address):
            self.close()
            self._instants = self._stack.enter_context(run_sources.opened(job.source, job.address))
            self._blocks = list(self._instants.blocks())
            self._key = job.source, job.address
        return self._instants, self._blocks

    def close(self) -> None:
        """Close what is open."""
        self._stack.close()
        self._key = None


_opened = _Opened()


def read_block(job: Job) -> None:
    """Read a block into its file, and then write its facts beside it.

    Raises
    ------
    ValueError
        As `gather`.
    """
    instants, blocks = _opened.at(job)
    chosen = blocks[job.number]
    times = instants.times[chosen].astype("datetime64[s]")
    values = instants.read(chosen, job.channels, job.zoom, job.own).astype(np.float32, copy=False)
    low, high = check_block(values, job.channels, times, f"source {job.source.label!r}: {job.address}")
    trained = ~job.source.held_out(times)
    there = ~np.isnan(values)
    present = np.count_nonzero(there[trained], axis=0).astype(np.int32)
    absent = values.shape[2] - np.count_nonzero(there, axis=2).astype(np.int32)
    np.save(_partial(job.path), values)
    _settle(_partial(job.path), job.path.with_suffix(".npy"))
    facts = {
        "times": times,
        "low": low,
        "high": high,
        "present": present,
        "absent": absent,
        "sha256": np.array(digest_of(values)),
    }
    with open(_partial(job.path), "wb") as file:
        np.savez(file, **facts)
    _settle(_partial(job.path), job.path.with_suffix(".npz"))


def _is_whole(path: Path) -> bool:
    """Whether a block was read, and is as it was then, or is no longer needed."""
    facts, stored = path.with_suffix(".npz"), path.with_suffix(".npy")
    if not facts.exists():
        return False
    with np.load(facts) as known:
        return not stored.exists() or digest_of(np.load(stored, mmap_mode="r")) == str(known["sha256"])


def digest_of(values: Array) -> str:
    """sha256 (hexadecimal) of the bytes of an array."""
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def _block_of(job: Job) -> HeldBlock:
    with np.load(job.path.with_suffix(".npz")) as facts:
        parts = {name: facts[name] for name in ("times", "low", "high", "present", "absent")}
    return HeldBlock(job.path, job.address, **parts)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.partial.npy")


def _settle(partial: Path, path: Path) -> None:
    """Give a file its name once its bytes are on the disk."""
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
