"""Stored runs of a simulation under another climate: what their files say of it, and what a bottle is asked for.

A run is files with one value of the attribute ``run``. Each file says by ``sst_offset`` (K), ``sst_pattern`` (uniform,
or the name of a file of a field) and ``co2_ppmv`` what it was driven by, and by ``sst_forcing`` which file beside it
has the sea itself; these are the attributes that training reads too. A run whose files differ changes with time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle.bottle.schema import is_member_name
from xr_cbottle.evaluation.reference import StoredFile, StoredReference, joined

if TYPE_CHECKING:
    from xr_cbottle.bottle.manifest import Manifest

UNIFORM = "uniform"
LEAST_OFFSET = 0.25
"""K below which the sea of a run is as it was."""


@dataclass(frozen=True)
class FileClimate:
    """The climate of one file.

    Attributes
    ----------
    offset
        Mean over the sea of what it is warmer, K.
    pattern
        ``uniform``, or the name of the pattern.
    co2
        ppmv; None if the file does not say.
    sea
        Path of the sea itself; empty if it is not beside the file.
    """

    offset: float
    pattern: str
    co2: float | None
    sea: str

    @classmethod
    def of(cls, part: StoredFile) -> FileClimate:
        """Read the attributes of a file.

        Raises
        ------
        ValueError
            If one of them is no number.
        """
        offset, co2 = (_number(part, name) for name in ("sst_offset", "co2_ppmv"))
        name = part.attributes.get("sst_forcing")
        sea = ""
        if isinstance(name, str) and is_member_name(name) and "://" not in part.path:
            beside = Path(part.path).parent / name
            sea = str(beside) if beside.exists() else ""
        return cls(offset or 0.0, str(part.attributes.get("sst_pattern", UNIFORM)), co2, sea)

    def keywords(self, manifest: Manifest, name: str) -> dict[str, Any]:
        """Keywords of `xr_cbottle.Cube` that ask a bottle for this climate: a bottle without CO2 is not asked for any.

        Raises
        ------
        ValueError
            If the sea has a pattern, and the file with it is not there.
        """
        found: dict[str, Any] = {}
        if self.pattern != UNIFORM:
            if not self.sea:
                raise ValueError(
                    f"the sea of {name} was changed by the pattern {self.pattern}, and the file of that sea, which its "
                    "attribute sst_forcing names, is not beside it: put it there"
                )
            found["sst"] = self.sea
        elif self.offset:
            found["sst_offset"] = self.offset
        if self.co2 is not None and "co2" in manifest.forcings:
            found["co2"] = self.co2
        return found

    @property
    def words(self) -> str:
        """Sea and CO2, for people."""
        sea = f"sea {self.offset:+.2f} K" + ("" if self.pattern == UNIFORM else f" ({self.pattern})")
        return sea + ("" if self.co2 is None else f", CO2 {self.co2:g} ppmv")


@dataclass(frozen=True, eq=False)
class ClimateRun:
    """One run under another climate.

    Attributes
    ----------
    name
        Of the run.
    stored
        Its files.
    climates
        What each file says, in the order of ``stored.parts``.
    """

    name: str
    stored: StoredReference
    climates: tuple[FileClimate, ...]

    @property
    def rises(self) -> bool:
        """Whether it changes with time: its files, three or more, are of different climates."""
        return len({(one.offset, one.co2) for one in self.climates}) > 2

    @property
    def warms(self) -> bool:
        """Whether its sea is another."""
        return any(abs(one.offset) >= LEAST_OFFSET or one.pattern != UNIFORM for one in self.climates)

    @property
    def words(self) -> str:
        """Sea and CO2, for people."""
        if len(set(self.climates)) == 1:
            return self.climates[0].words
        return f"{self.climates[0].words} to {self.climates[-1].words}"


def climate_runs(files: Sequence[StoredFile]) -> list[ClimateRun]:
    """Runs of some files, which may be of the same times in different runs, in the order of their names."""
    groups: dict[str, list[StoredFile]] = {}
    for part in files:
        name = str(part.attributes.get("run") or Path(part.name).stem)
        groups.setdefault(name, []).append(part)
    return [
        ClimateRun(name, joined(parts), tuple(FileClimate.of(part) for part in parts))
        for name, parts in sorted(groups.items())
    ]


def base_of(known: Sequence[StoredReference], run: StoredReference) -> StoredReference | None:
    """The files of data sets under the observed sea that have instants of a run; None if there are none."""
    parts = sorted((part for stored in known for part in stored.parts), key=lambda part: part.times[0])
    kept = [part for part in parts if np.isin(part.times, run.times).any()]
    return joined(kept).at(run.zoom) if kept else None


def untold(run: ClimateRun, base: StoredReference | None, manifest: Manifest) -> str:
    """A sentence on what a bottle cannot be told of a run; empty if that is nothing."""
    given = {one.co2 for one in run.climates if one.co2 is not None}
    known = set() if base is None else {FileClimate.of(part).co2 for part in base.parts}
    if "co2" in manifest.forcings or not given or given == known:
        return ""
    much = " to ".join(f"{value:g}" for value in sorted({min(given), max(given)}))
    return f"{manifest.name} knows of no co2, and is not told of {much} ppmv"


def base_keywords(base: StoredReference, manifest: Manifest) -> dict[str, Any]:
    """Keywords that ask a bottle for the climate of the base run: none where that is the bottle's own."""
    found = {part.attributes.get("co2_ppmv") for part in base.parts}
    known: Mapping[str, Any] = manifest.forcings
    if "co2" not in known or len(found) != 1 or None in found:
        return {}
    value = FileClimate.of(base.parts[0]).co2
    first, last = (base.times[i].astype("datetime64[s]") for i in (0, -1))
    low, high = known["co2"].series("co2").range(first, last)
    return {} if value is None or low == high == value else {"co2": value}


def _number(part: StoredFile, name: str) -> float | None:
    value = part.attributes.get(name)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"the attribute {name} of {part.name} is {value!r}: it must be a number")
    return number
