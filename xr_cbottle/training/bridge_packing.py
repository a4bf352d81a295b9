"""Packing: a run of a bridge becomes a part of a bottle that is there already."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xr_cbottle.bottle import checkpoint
from xr_cbottle.bottle.architecture import BatchInfo
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.records import BRIDGE, BridgeSpec, PartSpec
from xr_cbottle.bottle.repacking import repack
from xr_cbottle.training.bridge_case import BridgeCase
from xr_cbottle.training.data import TrainingData
from xr_cbottle.training.loop import Run
from xr_cbottle.training.provenance import packed_network, trained_on

_TOLERANCE = 1e-3  # of a deviation: what is rounded twice


def pack_bridge(
    run: Run,
    out: str | os.PathLike[str],
    into: str | os.PathLike[str],
    *,
    experts: Sequence[tuple[float, Run]] = (),
) -> Path:
    """Write a bottle with the network of a run between two states, added or in the place of those it has.

    Parameters
    ----------
    run
        Of a bridge.
    out
        The ``.cbottle``; it appears whole or not at all, and may be ``into`` itself.
    into
        The bottle it is added to, all other files of which stay as they are, byte for byte.
    experts
        Other runs of the same bridge, each with the noise level from which it is used, highest first; ``run`` is used
        below.

    Raises
    ------
    ValueError
        If the bottle has another zoom, other channels or labels, or anomalies from another climatology than the run.
    BottleError
        If the bottle is damaged.
    """
    bottle, cases = open_bottle(into), []
    manifest, runs = bottle.manifest, [*experts, (0.0, run)]
    for _, one in runs:
        if not isinstance(one.case, BridgeCase):
            raise ValueError(f"{one.folder} is no run of a bridge")
        if one.case.config.bridge != run.config.bridge:
            raise ValueError(f"{one.folder} is of other ends than {run.folder}: experts must share them")
        _check(one, one.case, bottle)
        cases.append(one.case)
    ends = run.config.bridge
    labels = tuple(name for name in manifest.labels if name in cases[-1].numbers)
    spec = BridgeSpec(ends.step, ends.interval, labels)
    names = [f"{BRIDGE}.checkpoint"] if not experts else [f"{BRIDGE}-{sigma:g}.checkpoint" for sigma, _ in runs]
    parts = [PartSpec(BRIDGE, sigma, name, bridge=spec) for (sigma, _), name in zip(runs, names, strict=True)]
    facts = {name: trained_on(one) | one.case.packing.trained_on for (_, one), name in zip(runs, names, strict=True)}
    known = {key: value for key, value in manifest.trained_on.items() if not key.startswith(BRIDGE)}
    kept = tuple(part for part in manifest.parts if part.role != BRIDGE)
    changed = dataclasses.replace(manifest, parts=(*kept, *parts), trained_on={**known, **facts})
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in names}
        for (_, one), file in zip(runs, files.values(), strict=True):
            statistics = one.data.statistics
            info = BatchInfo(one.data.channels, tuple(statistics.scale.tolist()), tuple(statistics.center.tolist()))
            state = packed_network(one).state_dict()
            checkpoint.write_part(file, one.model_config, info, state, dtype=one.config.part.dtype)
        return repack(out, bottle, changed, files)


def _check(run: Run, case: BridgeCase, bottle: Bottle) -> None:
    manifest, data = bottle.manifest, case.data
    if (data.zoom, data.channels) != (manifest.zoom, manifest.channels):
        raise ValueError(
            f"{run.folder} bridges {', '.join(data.channels)} at zoom {data.zoom}, but {manifest.name} has "
            f"{', '.join(manifest.channels)} at zoom {manifest.zoom}: they must agree"
        )
    if tuple(data.forcings) != tuple(manifest.forcings):
        raise ValueError(f"{run.folder} and {manifest.name} have other forcings: they must agree")
    for label, number in case.numbers.items():
        if manifest.labels and (label not in manifest.labels or manifest.labels[label].index != number):
            raise ValueError(
                f"{run.folder} has the label {label} as number {number}, which {manifest.name} has not: train with "
                "standardised_as this bottle, or with its labels in their order"
            )
    if not _same(data, bottle):
        raise ValueError(
            f"{run.folder} saw its data standardised in another way than {manifest.name} draws them: train with "
            "standardised_as this bottle, or with the sources that it was trained on"
        )


def _same(data: TrainingData, bottle: Bottle) -> bool:
    """Whether data are standardised as the bottle's networks draw them."""
    known = bottle.climatology()
    if known is None or data.climatology is None:
        info = bottle.read_part(0).info
        mine = data.statistics
        return known is data.climatology and bool(
            np.allclose(info.scales, mine.scale, rtol=_TOLERANCE)
            and (np.abs(np.array(info.center) - mine.center) < _TOLERANCE * mine.scale).all()
        )
    return _alike(data.climatology, known, [label.label for label in data.labels])


def _alike(one: Climatology, two: Climatology, labels: Sequence[str]) -> bool:
    if one.harmonics != two.harmonics or not np.allclose(one.root, two.root):
        return False
    year = np.datetime64("2001-01-10T03", "s") + np.arange(0, 365, 73) * np.timedelta64(86400, "s")
    units = one.scale[:, None] / two.scale[:, None]
    shift = (one.center - two.center)[:, None] / two.scale[:, None]
    for label in labels:
        still = [
            None if of.response is None else np.zeros((len(year), len(of.response.predictors))) for of in (one, two)
        ]
        (mean, spread), (wanted, width) = (of.at(label, year, zero) for of, zero in zip((one, two), still, strict=True))
        if not (np.abs(mean * units + shift - wanted) < 10 * _TOLERANCE * width).all():
            return False
        if not np.allclose(spread * units, width, rtol=10 * _TOLERANCE):
            return False
    return True
