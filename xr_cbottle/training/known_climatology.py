"""The climatology of a bottle by which data are standardised, and labels that are added to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.calibration import Calibration
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.training import statistics
from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.gathered import Gathered
from xr_cbottle.training.regression import Borrowed, Predicting
from xr_cbottle.training.run_sources import expanded

Array = npt.NDArray[Any]


def climatology_of(config: DataConfig) -> Climatology:
    """Climatology of the bottle by which data are standardised, without its calibration, which is of its networks.

    Raises
    ------
    ValueError
        If it has none, or one of other channels or forcings, or a label that it lacks has not all of its channels.
    """
    assert config.standardised_as is not None
    bottle = open_bottle(expanded(config.standardised_as))
    known, name = bottle.climatology(), bottle.manifest.name
    if known is None:
        raise ValueError(f"data: standardised_as is {name}, which has no climatology: give a bottle that has one")
    if known.channels != config.channels:
        raise ValueError(f"data: standardised_as is {name}, whose channels are {','.join(known.channels)}: take these")
    forcings = known.response.predictors if known.response is not None else ()
    if forcings != (*config.sst_modes, *sorted(config.forcings)):
        raise ValueError(
            f"data: standardised_as is {name}, whose climatology moves with {', '.join(forcings) or 'nothing'}: "
            "sst_modes and forcings must be these"
        )
    for forcing, spec in bottle.manifest.forcings.items():
        one = config.forcings[forcing]
        if (one.units, one.reference, one.transform) != (spec.units, spec.reference, spec.transform):
            raise ValueError(
                f"data: standardised_as is {name}, whose {forcing} is in {spec.units} about {spec.reference:g}, "
                f"transform {spec.transform}: forcings must say the same"
            )
    new = {source.label: source for source in config.sources if source.label not in known.labels}
    if unknown := sorted({*config.response_of.values()} - {*known.labels}):
        raise ValueError(
            f"data: response_of names {', '.join(unknown)}, and {name} has the labels {', '.join(known.labels)}"
        )
    if lacking := [label for label, source in new.items() if source.missing]:
        raise ValueError(
            f"data: standardised_as is {name}; {', '.join(lacking)} is added to it and must have all of its channels"
        )
    return dataclasses.replace(known, calibration=None)


def with_new_labels(
    known: Climatology,
    parts: Sequence[Gathered],
    sst: SeaSurfaceTemperature,
    *,
    lenders: Mapping[str, str],
    incomplete: Mapping[str, Array] | None = None,
    progress: bool,
) -> Climatology:
    """A climatology with the labels of some sources that it lacks, measured as it was; what it has stays bit for bit.

    Parameters
    ----------
    known
        Of a bottle.
    parts
        Of each run of each label; those of labels that it has are not looked at.
    sst
        Of the run.
    lenders
        Label whose response to sea and forcings each new one is given; the first if it is not there.
    incomplete
        {label: (channel, cell) bool} where some instants lack a value.
    progress
        Show bars.
    """
    new = [part for part in parts if part.source.label not in known.labels]
    if not new:
        return known
    roots = dict(zip(known.channels, known.root.tolist(), strict=True))
    rows = {
        label: known.labels.index(lenders.get(label, known.labels[0])) for label in {one.source.label for one in new}
    }
    borrowed = None
    if known.response is not None:
        predicting = Predicting(known.sst, known.response.patterns)
        borrowed = Borrowed(known.response, known.scale, predicting, rows)
    found = statistics.measure_climatology(
        new, known.harmonics[0], sst, roots, incomplete=incomplete, borrowed=borrowed, progress=progress
    )
    return joined(known, found, [rows[label] for label in found.labels])


def joined(known: Climatology, new: Climatology, lenders: Sequence[int]) -> Climatology:
    """A climatology with the labels of another added, about its own zero points and in its own units.

    Parameters
    ----------
    known, new
        The climatology, and that of the labels to add, without a response.
    lenders
        Number of the label in ``known`` whose response each of them is given.
    """
    factor, shift = new.scale / known.scale, (new.center - known.center) / known.scale
    mean = new.mean * factor[:, None, None, None]
    mean[:, :, 0, 0] += shift[:, None]
    deepest = max(known.mean.shape[3], mean.shape[3])

    def both(one: Array, two: Array) -> Array:
        deep = [np.pad(x, [(0, 0)] * 3 + [(0, deepest - x.shape[3]), (0, 0)]) for x in (one, two)]
        return np.concatenate(deep).astype(np.float32)

    response, rows = known.response, [*range(len(known.labels)), *lenders]
    if response is not None:
        every = {name: getattr(response, name)[rows] for name in ("mean", "error", "spread")}
        response = dataclasses.replace(response, **every)
    return dataclasses.replace(
        known,
        response=response,
        labels=(*known.labels, *new.labels),
        mean=both(known.mean, mean),
        cycle=both(known.cycle, new.cycle),
        spread=np.concatenate([known.spread, new.spread * factor[:, None]]).astype(np.float32),
    )


def with_calibration(climatology: Climatology, old: Climatology) -> Climatology:
    """A climatology with the calibration that another has of its labels; of those that it lacks, its own or none.

    Parameters
    ----------
    climatology
        Of all labels of the other, and more. It may have been calibrated for those.
    old
        Of a bottle.

    Raises
    ------
    ValueError
        If both match the distributions of channels, and not of the same ones.
    """
    mine, theirs = climatology.calibration, old.calibration
    if theirs is None:
        return climatology
    if mine is not None and mine.matched.tolist() != theirs.matched.tolist():
        names = [old.channels[c] for c in theirs.matched]
        raise ValueError(f"bottle: matched must be {names}, as of the bottle whose labels are kept")
    places = [old.labels.index(label) if label in old.labels else None for label in climatology.labels]

    def of_all(theirs: Array, mine: Array | None, neutral: Array) -> Array:
        own = [neutral] * len(places) if mine is None else [*mine]
        return np.stack([own[i] if place is None else theirs[place] for i, place in enumerate(places)])

    gain = of_all(theirs.gain, None if mine is None else mine.gain, np.ones_like(theirs.gain[0]))
    drawn, quantiles = (
        of_all(getattr(theirs, name), None if mine is None else getattr(mine, name), theirs.known[0])
        for name in ("drawn", "known")
    )  # of equal quantiles nothing is mapped
    rest = None
    if any(one is not None and one.rest is not None for one in (mine, theirs)):
        own = None if mine is None else np.stack([mine.rest_of(i) for i in range(len(places))])
        rest = of_all(np.stack([theirs.rest_of(i) for i in range(len(old.labels))]), own, np.ones(gain.shape[1]))
    scaled = None
    if any(one is not None and one.scaled is not None for one in (mine, theirs)):
        none = np.zeros(drawn.shape[1], bool)
        of_theirs, of_mine = (
            None if one is None else np.zeros(one.drawn.shape[:2], bool) if one.scaled is None else one.scaled
            for one in (theirs, mine)
        )
        scaled = of_all(of_theirs, of_mine, none)  # type: ignore[arg-type]
    kept = Calibration(gain, theirs.matched, drawn, quantiles, rest, scaled)
    return dataclasses.replace(climatology, calibration=kept)
