"""One run under another climate compared: the bottle at the same instants with the same sea and CO2, and the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.evaluation import climate_run, climate_targets, instants
from xr_cbottle.evaluation.climate_change import CHANGING, TAS, Change, Trends, stratosphere
from xr_cbottle.evaluation.climate_run import ClimateRun, FileClimate
from xr_cbottle.evaluation.joint_case import Fields
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.reference import StoredFile, StoredReference, joined
from xr_cbottle.evaluation.row import Row
from xr_cbottle.evaluation.sampling import NONE, Drawing

_OF_SIMULATION = 8
"""Instants of the simulation for each of the bottle, whose two climates share their noise: a simulation's do not."""
_LEAST_OF_FILE = 8
_VARIABLES = ("tas", "pr", "prw", "rlut", "ta")


@dataclass(frozen=True, eq=False)
class ClimateComparison:
    """Results of one run.

    Attributes
    ----------
    run
        The run.
    instants, of_simulation
        How many were drawn under it, and how many of the simulation were read.
    outside
        What the bottle said of it that is outside of what it has learnt, each sentence once.
    refused
        Whether the bottle refused it until it was asked to extrapolate.
    rows
        Figures.
    changes
        Of bottle and simulation, if there is a base run of the same instants; not of a run that changes with time.
    trends
        Of bottle and simulation, and of the bottle that is told of no change, if the run changes with time.
    """

    run: ClimateRun
    instants: int
    of_simulation: int
    outside: tuple[str, ...]
    refused: bool
    rows: list[Row]
    changes: tuple[Change, Change] | None
    trends: tuple[Trends, Trends, Trends] | None


@dataclass(frozen=True, eq=False)
class ClimateSides:
    """Data that a run is compared with.

    Attributes
    ----------
    label
        Of the bottle.
    drawing
        The bottle.
    known
        Data sets of the simulation under the observed sea.
    land
        (cell,) True over land, if it is known.
    drawn, times
        Instants that are drawn already, under the observed sea, and their times.
    """

    label: str
    drawing: Drawing
    known: Sequence[StoredReference]
    land: npt.NDArray[np.bool_] | None
    drawn: StoredReference
    times: npt.NDArray[np.datetime64]


def compare_climate(sides: ClimateSides, run: ClimateRun, count: int) -> ClimateComparison:
    """Draw, read and judge one run.

    Parameters
    ----------
    sides
        What it is compared with.
    run
        The run, at the zoom of the comparison.
    count
        Instants to draw of it.

    Raises
    ------
    ValueError
        If the bottle has none of its times, or a file that it needs is not there.
    """
    drawing, stored = sides.drawing, run.stored
    base = climate_run.base_of(sides.known, stored)
    asked = NONE if base is None else climate_run.base_keywords(base, drawing.bottle.manifest)
    reused = not asked and base is not None
    times = [_chosen(part, base, sides, count // len(stored.parts), reused) for part in stored.parts]
    drawn, said, refused = _under(sides, run, times)
    deaf = climate_run.untold(run, base, drawing.bottle.manifest)
    outside = (*said, deaf) if deaf else said
    whole = np.concatenate(times)
    common = [one for one in (*CHANGING, *_tops(stored)) if one in drawn.quantities and one in stored.quantities]
    mine, about = _read(drawn, whole, common), f"{run.words}; {len(whole)} instants"
    rows: list[Row] = []
    changes, trends, read = None, None, 0
    own = {} if base is None and not run.rises else _unchanged(sides, whole, asked, common)
    if base is not None and not run.rises:
        both = np.intersect1d(stored.times, base.times)
        both = both[instants.choose(both, _OF_SIMULATION * count)]
        shared, inside = [one for one in common if one in base.quantities], np.isin(whole, base.times)
        changes = (
            Change.of(_some(own, shared, inside), _some(mine, shared, inside), sides.land, True),
            Change.of(_read(base, both, shared), _read(stored, both, shared), sides.land, False),
        )
        rows += climate_targets.change_rows(sides.label, run.name, *changes, sides.land, warms=run.warms, about=about)
        read = len(both)
    if run.rises and TAS in common:
        every = np.concatenate([part.times[instants.choose(part.times, count)] for part in stored.parts])
        theirs = _read(stored, every, [TAS])
        found = [Trends.of(side[TAS.key], sides.land) for side in (mine, theirs, own)]
        trends, read = (found[0], found[1], found[2]), max(read, len(every))
        rows += climate_targets.trend_rows(sides.label, run.name, *trends, about)
    if not rows:
        rows.append(climate_targets.without_base(sides.label, run.name))
    return ClimateComparison(run, len(whole), read, outside, refused, rows, changes, trends)


def _chosen(
    part: StoredFile, base: StoredReference | None, sides: ClimateSides, count: int, reused: bool
) -> npt.NDArray[np.datetime64]:
    """Times of a file at which to draw: of the base run too, and where the bottle is drawn already, if they can be."""
    times = part.times[sides.drawing.on_axis(part.times)]
    if not times.size:
        name = sides.drawing.bottle.manifest.name
        raise ValueError(f"no time of {part.name} is an instant of {name}: give a run within the times of the bottle")
    shared = np.intersect1d(times, base.times) if base is not None else times
    times = shared if shared.size else times
    there = np.intersect1d(times, sides.times.astype(times.dtype)) if reused else times[:0]
    count = max(count, _LEAST_OF_FILE)
    times = there if len(there) >= count else times
    return times[instants.choose(times, count)]


def _under(
    sides: ClimateSides, run: ClimateRun, times: Sequence[npt.NDArray[np.datetime64]]
) -> tuple[StoredReference, tuple[str, ...], bool]:
    """The bottle at these times under the run's climate, what it said of it, and whether it refused it first."""
    parts: list[StoredFile] = []
    said: dict[str, None] = {}
    refused = False
    for part, climate, chosen in zip(run.stored.parts, run.climates, times, strict=True):
        asked, sentences, no = _asked(sides, climate, part.name, chosen)
        said |= dict.fromkeys(sentences)
        refused = refused or no
        parts += sides.drawing.draw(sides.label or None, chosen, _VARIABLES, asked).parts
    return joined(parts).at(sides.drawing.zoom), tuple(said), refused


def _asked(
    sides: ClimateSides, climate: FileClimate, name: str, times: npt.NDArray[np.datetime64]
) -> tuple[Mapping[str, Any], tuple[str, ...], bool]:
    """Keywords of a climate; what is outside of what was learnt; whether it was refused without asking for it."""
    asked = climate.keywords(sides.drawing.bottle.manifest, name)
    try:
        return asked, sides.drawing.outside(sides.label or None, times, asked), False
    except ValueError as error:
        if "extrapolate=True" not in str(error):
            raise
    asked = {**asked, "extrapolate": True}
    return asked, sides.drawing.outside(sides.label or None, times, asked), True


def _unchanged(
    sides: ClimateSides, times: npt.NDArray[np.datetime64], asked: Mapping[str, Any], wanted: Sequence[Quantity]
) -> Fields:
    """The bottle at the same times under its own sea: read where it is drawn already."""
    if not asked and np.isin(times, sides.times.astype(times.dtype)).all():
        return _read(sides.drawn, times, wanted)
    return _read(sides.drawing.draw(sides.label or None, times, _VARIABLES, asked), times, wanted)


def _read(
    stored: StoredReference, times: npt.NDArray[np.datetime64], wanted: Sequence[Quantity]
) -> dict[str, xr.DataArray]:
    """(time, cell) of some quantities at times that a data set has."""
    positions = np.searchsorted(stored.times, times.astype(stored.times.dtype))
    return {one.key: stored.read(one, positions) for one in wanted}


def _some(fields: Fields, wanted: Sequence[Quantity], inside: npt.NDArray[np.bool_]) -> Fields:
    return {one.key: fields[one.key].isel(time=np.flatnonzero(inside)) for one in wanted}


def _tops(stored: StoredReference) -> list[Quantity]:
    """The level of the stratosphere, if there is one."""
    top = stratosphere({one.key: xr.DataArray() for one in stored.quantities if one.name == "ta"})
    return [] if top is None else [top]
