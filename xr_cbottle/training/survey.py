"""Survey of sources before anything is read: which files have which instants, each once and in order."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields.channels import NONE_OF_ITS_OWN, Variable
from xr_cbottle.training import run_sources
from xr_cbottle.training.source_config import SourceConfig

Array = npt.NDArray[Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Stretch:
    """The instants of a source at one of its addresses.

    Attributes
    ----------
    address
        File, URL or entry of a catalog.
    times
        (n,) datetime64[s], ascending: those from the source's start to its end that all of its stores have.
    sizes
        Instants in each block, in which they are read.
    """

    address: str
    times: Array
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Survey:
    """Findings in the metadata of a source.

    Attributes
    ----------
    stretches
        Those that have instants.
    channels
        {channel: what it is there}, such as ``t at 85000 Pa in K``; without those that it lacks.
    problems
        Sentences about all that is wrong.
    """

    stretches: tuple[Stretch, ...]
    channels: Mapping[str, str]
    problems: tuple[str, ...]

    @property
    def instants(self) -> int:
        """Number of the instants."""
        return sum(len(stretch.times) for stretch in self.stretches)


def survey(
    source: SourceConfig,
    channels: Sequence[str] = (),
    zoom: int = 0,
    own: Mapping[str, Variable] = NONE_OF_ITS_OWN,
) -> Survey:
    """Look at times and metadata of a source; nothing else of it is read.

    Parameters
    ----------
    source
        What is looked at.
    channels, zoom
        Channels that it should have, and the HEALPix level that its cells must have at least.
    own
        Variables that the configuration defines.

    Raises
    ------
    FileNotFoundError
        If a pattern matches no file.
    """
    addresses = run_sources.addresses(source)
    found: list[Stretch] = []
    known: dict[str, str] = {}
    problems: dict[str, str] = {}

    def noted(what: str, check: Callable[[], T]) -> T | None:
        try:
            return check()
        except ValueError as error:
            problems.setdefault(what, str(error))
            return None

    noted("once", lambda: _check_once(source, addresses))
    for address in addresses:
        with contextlib.ExitStack() as stack:
            instants = noted(address, lambda: stack.enter_context(run_sources.opened(source, address)))  # noqa: B023
            if instants is None:
                continue
            times = instants.times[instants.wanted].astype("datetime64[s]")
            noted(address, lambda: _check_rising(times, f"source {source.label!r}: {address}"))  # noqa: B023
            if len(times):
                found.append(Stretch(address, times, tuple(map(len, instants.blocks()))))
            for name in channels:
                if name not in source.missing and name not in problems:
                    words = noted(name, lambda: instants.described(name, zoom, own))  # noqa: B023
                    known.setdefault(name, words or "")
    if not found and not problems:
        problems["instants"] = f"source {source.label!r}: it has no instant from {source.start} to {source.end}"
    if "once" not in problems:
        noted("apart", lambda: _check_apart(source, found))
    have = {name: words for name, words in known.items() if name not in problems}
    return Survey(tuple(found), have, tuple(problems.values()))


def surveyed(
    source: SourceConfig,
    channels: Sequence[str] = (),
    zoom: int = 0,
    own: Mapping[str, Variable] = NONE_OF_ITS_OWN,
) -> tuple[Stretch, ...]:
    """The stretches of a source in which nothing is wrong; see `survey`.

    Raises
    ------
    ValueError
        If a file is given twice, times fall or are there twice, there is no instant from start to end, or a channel has
        no variable, level, unit or cells.
    FileNotFoundError
        If a pattern matches no file.
    """
    found = survey(source, channels, zoom, own)
    if found.problems:
        raise ValueError(found.problems[0])
    return found.stretches


def check_runs(sources: Sequence[SourceConfig]) -> None:
    """Refuse sources of one label that read the same instants of the same file.

    Raises
    ------
    ValueError
        With the file.
    """
    seen: dict[tuple[str, str], list[SourceConfig]] = {}
    for source in sources:
        for address in run_sources.addresses(source):
            for other in seen.setdefault((source.label, _place(address)), []):
                if (
                    other is not source
                    and _asked(source)[0] < _asked(other)[1]
                    and _asked(other)[0] < _asked(source)[1]
                ):
                    raise ValueError(
                        f"source {source.label!r}: {address} is read by two sources of this label, at the same times: "
                        "leave it out of one of them"
                    )
            seen[source.label, _place(address)].append(source)


def _asked(source: SourceConfig) -> tuple[np.datetime64, np.datetime64]:
    return np.datetime64(source.start, "s"), np.datetime64(source.end, "s")


def _place(address: str) -> str:
    return os.path.realpath(address) if os.path.exists(address) else address


def _check_once(source: SourceConfig, addresses: Sequence[str]) -> None:
    seen: set[str] = set()
    for address in addresses:
        if _place(address) in seen:
            raise ValueError(f"source {source.label!r}: the file {address} is given twice: list it once")
        seen.add(_place(address))


def _check_rising(times: Array, where: str) -> None:
    falls = np.flatnonzero(np.diff(times) <= np.timedelta64(0, "s"))
    if len(falls):
        i = int(falls[0])
        raise ValueError(
            f"{where}: its times do not rise: after {times[i]} comes {times[i + 1]}; sort them, with .sortby('time')"
        )


def _check_apart(source: SourceConfig, found: Sequence[Stretch]) -> None:
    """Refuse a stretch that does not begin after the one before has ended."""
    for before, after in itertools.pairwise(found):
        if after.times[0] > before.times[-1]:
            continue
        shared = np.intersect1d(before.times, after.times)
        if len(shared):
            raise ValueError(
                f"source {source.label!r}: {after.address} has the time {shared[0]}, which {before.address} has too: "
                "keep each time in one file"
            )
        raise ValueError(
            f"source {source.label!r}: {after.address} begins at {after.times[0]}, before {before.address} ends at "
            f"{before.times[-1]}: list the files in the order of time"
        )
