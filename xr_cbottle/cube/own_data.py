"""A user's own data through a bottle: translated to one of its labels, or with what is missing filled in."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.cube import keywords as keyword
from xr_cbottle.cube import metadata
from xr_cbottle.cube.checks import integer, positive
from xr_cbottle.cube.climate import AskedClimate
from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.instant_figures import figure
from xr_cbottle.cube.keywords import KEYWORDS
from xr_cbottle.cube.own_instants import FIGURES, OwnGiven, OwnInstants, Work
from xr_cbottle.cube.reading import Reading
from xr_cbottle.cube.spec import make_spec
from xr_cbottle.draw.own_work import (
    BANDS,
    DEFAULT_ROUNDS,
    DEFAULT_STRENGTH,
    Assimilation,
    Infilling,
    Likelihood,
    Translation,
)
from xr_cbottle.fields import channels
from xr_cbottle.fields.coarse_fields import read_given
from xr_cbottle.grid import time_axis
from xr_cbottle.grid.time_axis import TimeAxis

if TYPE_CHECKING:
    import os

    import xarray as xr

    from xr_cbottle.bottle.manifest import Manifest
    from xr_cbottle.fields.sst import SeaSurfaceTemperature

_OF_DRAWS = ("time", "time_method", "members", "label", "guide", "coherence")
OWN_KEYWORDS = tuple(name for name in KEYWORDS if name not in _OF_DRAWS)
"""Keywords of a data set that `translate` and `infill` take too: not those of which times and members are drawn."""
MOST_ROUNDS = 32


@keyword.documented(names=OWN_KEYWORDS)
def translate(
    ds: xr.Dataset,
    bottle: str | os.PathLike[str] | Bottle,
    *,
    source: str | None = None,
    target: str | None = None,
    strength: float = DEFAULT_STRENGTH,
    member: int = 0,
    chunks: Any = None,
    **keywords: Any,
) -> xr.Dataset:
    """Show what each instant of a data set would look like in another model. Nothing is read or drawn until values are.

    Fields are taken as anomalies from the climate of their own label, followed up the ODE of the diffusion to a noise
    level, and down again under the other label, to its climate. The sea is the same on both sides. Variables and values
    that are missing start from noise, and come out filled.

    Parameters
    ----------
    ds
        The globe with datetime64 ``time``: some variables of the bottle, on HEALPix cells of its native zoom or a finer
        one, or on latitudes and longitudes as fine. It is not copied.
    bottle
        Path, URL or name of a bottle, or an open `Bottle`.
    source
        Label of the data. None: none knows them; they are then anomalies from the target's climate, and noise is added.
    target
        Label of the result; the bottle's default if None.
    strength
        Noise level at which the fields are turned, in units of the network, whose data have a deviation of 0.5. Low
        ones keep the day's weather, high ones only what survives as noise; the sampler's highest keeps least.
    member
        Chooses the noise, with the seed and the time.
    chunks
        None: lazy arrays; ``{}``: dask arrays of a batch of times; or lengths.
    {keywords}

    Returns
    -------
    (time, cell) or (time, pressure, cell) float32 of all variables of the bottle, without time where the data set has
    none as a dimension. ``latent_deviation`` and other variables over time say how usual each instant is to the bottle.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If the bottle has no such label, or the data set is not what it takes; one sentence says what is.
    """
    asked = keyword.checked(keywords, "translate", OWN_KEYWORDS)
    cube = translated(ds, bottle, asked, source=source, target=target, strength=strength, member=member)
    return _with_figures(cube, described(cube, cube.to_dataset(chunks), ds), chunks)


@keyword.documented(names=OWN_KEYWORDS)
def infill(
    ds: xr.Dataset,
    bottle: str | os.PathLike[str] | Bottle,
    *,
    label: str | None = None,
    rounds: int = DEFAULT_ROUNDS,
    member: int = 0,
    chunks: Any = None,
    **keywords: Any,
) -> xr.Dataset:
    """Draw what is missing in a data set, given what is there. Nothing is read or drawn until values are.

    Missing may be cells, regions, swaths (NaN), levels and whole variables. What is there comes out to the last bit. Of
    a time of which all is missing the plain draw of this seed and member comes; nothing is drawn where nothing lacks.
    Another member is another filling, and the spread of several says how much is known of what was missing.

    Parameters
    ----------
    ds
        The globe with datetime64 ``time``: some variables of the bottle, on HEALPix cells of its native zoom or a finer
        one, or on latitudes and longitudes as fine. It is not copied.
    bottle
        Path, URL or name of a bottle, or an open `Bottle`.
    label
        Data set that what is missing is drawn from; the bottle's default if None.
    rounds
        How often the steps at the middle noise levels are taken, 1 to 32. More let what is there tell more of the
        rest, at their price.
    member
        Chooses the noise, with the seed and the time.
    chunks
        None: lazy arrays; ``{}``: dask arrays of a batch of times; or lengths.
    {keywords}

    Returns
    -------
    (time, cell) or (time, pressure, cell) float32 of all variables of the bottle, without time where the data set has
    none as a dimension.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If the bottle has no such label, or the data set is not what it takes; one sentence says what is.
    """
    asked = keyword.checked(keywords, "infill", OWN_KEYWORDS)
    cube = filled(ds, bottle, asked, label=label, rounds=rounds, member=member)
    return as_given(cube, described(cube, cube.to_dataset(chunks), ds))


# Cubes ----------------------------------------------------------------------------------------------------------------


def translated(
    ds: xr.Dataset,
    bottle: str | os.PathLike[str] | Bottle,
    asked: Mapping[str, Any],
    *,
    source: str | None = None,
    target: str | None = None,
    strength: float = DEFAULT_STRENGTH,
    member: int = 0,
) -> Cube:
    """The cube behind `translate`, whose parameters these are; ``asked`` are all keywords, checked."""
    opened = bottle if isinstance(bottle, Bottle) else open_bottle(bottle, weights=asked["weights"])
    level = positive("strength", strength)
    known = None if source is None else opened.manifest.label(source)
    return own_cube(ds, opened, Translation(known, opened.manifest.label(target), level), asked, member)


def filled(
    ds: xr.Dataset,
    bottle: str | os.PathLike[str] | Bottle,
    asked: Mapping[str, Any],
    *,
    label: str | None = None,
    rounds: int = DEFAULT_ROUNDS,
    member: int = 0,
) -> Cube:
    """The cube behind `infill`, whose parameters these are; ``asked`` are all keywords, checked."""
    opened = bottle if isinstance(bottle, Bottle) else open_bottle(bottle, weights=asked["weights"])
    work = Infilling(opened.manifest.label(label), integer("rounds", rounds, 1, MOST_ROUNDS + 1))
    return own_cube(ds, opened, work, asked, member)


def own_cube(ds: xr.Dataset, bottle: Bottle, work: Work, asked: Mapping[str, Any], member: int) -> Cube:
    """The cube of work on a user's data set; ``asked`` are all keywords, checked, and ``member`` its only member."""
    manifest = bottle.manifest
    number = integer("member", member, 0, 2**32)
    given = read_given(ds, manifest.channels, manifest.zoom, manifest.name, with_holes=True, own=manifest.own)
    return cube_of(given, bottle, work, asked, number)


def cube_of(given: OwnGiven, bottle: Bottle, work: Work, asked: Mapping[str, Any], number: int = 0) -> Cube:
    """The cube of work on what a user gave; ``asked`` are all keywords, checked, and ``number`` its only member."""
    manifest = bottle.manifest
    asked = {**asked, "label": work.target if isinstance(work, Translation) else work.label}
    climate = AskedClimate.of(manifest, asked)
    check_sea(given.seconds, manifest, climate.sst)
    # The data are not looked at to name them: each call has instants of its own, which are shared by what they are of.
    spec = make_spec(manifest, bottle.digest, asked, climate)
    spec = dataclasses.replace(spec, axis=axis_of(given), given=uuid.uuid4().hex)
    reading = Reading.of(asked)
    instants = OwnInstants(given, work, bottle, spec, climate, reading)
    # Above the native zoom nothing tells in a folder what a piece was made of.
    return Cube.over(instants, bottle, spec, dataclasses.replace(reading, cache_dir=None), {}, number)


def axis_of(given: OwnGiven) -> TimeAxis:
    """The times of some data as the axis of a data set."""
    seconds = given.seconds.tolist()
    return TimeAxis(seconds[0], 1, len(seconds), 1, "inst", tuple(seconds))


def check_sea(seconds: npt.NDArray[np.int64], manifest: Manifest, sst: SeaSurfaceTemperature | None) -> None:
    """Refuse times of which the sea is not known: that of another year would be taken, without a word."""
    if sst is not None:
        first, last = (int(time.astype("datetime64[s]").astype(np.int64)) for time in sst.coverage)
    elif manifest.sst is not None:
        first, last, _ = time_axis.range_of(manifest.time.start, manifest.time.end, manifest.time.step)
    else:
        return
    outside = seconds[(seconds < first) | (seconds > last)]
    if len(outside):
        whose = "the bottle's" if sst is None else "your"
        raise ValueError(
            f"the data are of {time_axis.format_time(int(outside[0]))} and {whose} sea surface temperature is of "
            f"{time_axis.format_time(first)} to {time_axis.format_time(last)}: give sst= of their times"
        )


# The data set ---------------------------------------------------------------------------------------------------------


def described(cube: Cube, result: xr.Dataset, ds: xr.Dataset) -> xr.Dataset:
    """The data set of a cube with attributes that say what was done to which data."""
    instants = instants_of(cube)
    manifest, whole = cube.bottle.manifest, metadata.global_attrs(cube.spec, cube.bottle.manifest, {})
    about, done = _words(instants.work, manifest)
    line = f"xr_cbottle {whole['xr_cbottle_version']}: {done} ({instants.given.changes})"
    for source in instants.given.found:
        name = channels.parse(source.channel, manifest.own).variable.name
        methods = source.array.attrs.get("cell_methods")
        if name in result.variables and methods:
            result.variables[name].attrs["cell_methods"] = str(methods)
    result.attrs = {
        **{name: value for name, value in whole.items() if name not in ("summary", "source", "time_method")},
        **about,
        "own_variables": " ".join(source.channel for source in instants.given.found),
        **({"member": cube.member} if cube.spec.members is None else {}),
        "history": "\n".join(part for part in (str(ds.attrs.get("history", "")), line) if part),
    }
    return result


def made_of(cube: Cube) -> dict[str, Any]:
    """All else that the values are a function of: what is done to which data."""
    instants = instants_of(cube)
    work = dataclasses.asdict(instants.work)
    return {**work, "work": type(instants.work).__name__, "member": cube.member, "data": instants.digest()}


def instants_of(cube: Cube) -> OwnInstants:
    """Instants of the cube of a user's data."""
    assert isinstance(cube.instants, OwnInstants)
    return cube.instants


def as_given(cube: Cube, result: xr.Dataset) -> xr.Dataset:
    """Without a dimension of time where the data have none."""
    return result if instants_of(cube).given.has_time else result.isel(time=0)


def _words(work: Work, manifest: Manifest) -> tuple[dict[str, Any], str]:
    """Attributes, and what was done."""
    if isinstance(work, Assimilation):
        how = "optimal interpolation of its draws" if work.method == "enoi" else "draws given what is observed"
        title = f"Analysis of observations by the bottle {manifest.name}"
        strength = {} if work.strength is None else {"strength": work.strength}
        analysed = {"title": title, "method": work.method, "draws": np.int32(work.draws), **strength}
        return analysed, f"observations assimilated by {manifest.name}, {how}"
    if isinstance(work, Infilling):
        done = f"missing values drawn by {manifest.name}"
        return {"title": f"Missing values drawn by the bottle {manifest.name}", "rounds": work.rounds}, done
    if isinstance(work, Likelihood):
        done = f"likelihood under {work.label or manifest.name} by {manifest.name}"
        return {"title": f"Likelihood by the bottle {manifest.name}", "probes": work.probes}, done
    source = "data that no label knows" if work.source is None and manifest.labels else work.source or manifest.name
    target = work.target or manifest.name
    about: dict[str, Any] = {
        "title": f"Translated to {target} by the bottle {manifest.name}",
        "translated_from": source,
        "strength": work.strength,
    }
    return about, f"translated from {source} to {target} by {manifest.name}, turned at noise level {work.strength:g}"


def _with_figures(cube: Cube, result: xr.Dataset, chunks: Any) -> xr.Dataset:
    """With variables that say how usual each instant is to the bottle."""
    times = None if chunks is None else result.chunksizes.get("time")
    result = result.assign(_figures(cube, instants_of(cube), times))
    return as_given(cube, result.assign_coords(degree=("degree", [first for first, _ in BANDS], _DEGREE)))


def _figures(cube: Cube, instants: OwnInstants, chunks: Any) -> dict[str, Any]:
    layout = dataclasses.replace(cube.layout, spec=dataclasses.replace(cube.spec, fine=None))
    columns: dict[str, Any] = {name: i for i, name in enumerate(FIGURES)}
    columns["latent_power"] = [len(FIGURES) + i for i in range(len(BANDS))]
    made = {
        name: figure(layout, instants, at, {"long_name": _MEANINGS[name], "units": "1"}, "degree")
        for name, at in columns.items()
    }
    return {name: one if chunks is None else one.chunk({"time": chunks}) for name, one in made.items()}


_MEANINGS = {
    "given_mean": "mean of the standardised anomalies that were given, usually 0",
    "given_deviation": "deviation of the standardised anomalies that were given, usually 1",
    "latent_mean": "mean of the noise that the field was turned to, usually 0",
    "latent_deviation": "deviation of the noise that the field was turned to, usually 1",
    "latent_power": "power of the noise that the field was turned to over that of white noise, by degree",
}
_DEGREE = {
    "long_name": "first spherical harmonic degree of a band, which ends before the next",
    "comment": f"the last band ends at {BANDS[-1][1]}",
    "units": "1",
}
