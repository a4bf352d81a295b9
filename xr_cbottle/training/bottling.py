"""Packing: a bottle is written from a run of a coarse network."""

from __future__ import annotations

import dataclasses
import datetime
import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from xr_cbottle.bottle import checkpoint
from xr_cbottle.bottle.architecture import BatchInfo
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.bottle.climate_response import GLOBAL
from xr_cbottle.bottle.gaps import Gaps
from xr_cbottle.bottle.manifest import Manifest, SamplerDefaults
from xr_cbottle.bottle.packing import pack
from xr_cbottle.bottle.records import ConditionSpec, GapsSpec, LabelSpec, PartSpec, TimeSpec, VariableSpec
from xr_cbottle.draw.emulator import Emulator, Sampler
from xr_cbottle.grid import healpix
from xr_cbottle.training import level_choice
from xr_cbottle.training.added_labels import pack_added
from xr_cbottle.training.calibrator import calibrated
from xr_cbottle.training.coarse import Coarse, bottle_forcings
from xr_cbottle.training.data import TrainingData
from xr_cbottle.training.loop import Run
from xr_cbottle.training.provenance import packed_network, trained_on


def pack_run(
    run: Run,
    out: str | os.PathLike[str],
    figures: Mapping[str, Any] | None = None,
    *,
    experts: Sequence[tuple[float, Run]] = (),
    calibrate: int = 0,
    choose_levels: Sequence[int] = (),
) -> Path:
    """Write the weights of a run as a bottle, with its SST and what it was trained on.

    Where the run has kept the labels of a bottle that it started from (``network: replay``), that bottle is written,
    with the new labels beside them.

    Parameters
    ----------
    run
        Its configuration describes the bottle.
    out
        The ``.cbottle``; it appears whole or not at all.
    figures
        Results of an evaluation, kept in the manifest's ``trained_on``.
    experts
        Other runs on the same data, each with the noise level from which it is used, highest first; ``run`` is
        used below.
    calibrate
        Instants of each label to draw, at times that were learnt, for mending what the network still gets wrong (see
        `xr_cbottle.training.calibrator`); 0: it is left as it is.
    choose_levels
        Numbers of steps for which noise levels are chosen, before anything is calibrated (see
        `xr_cbottle.training.level_choice`).

    Returns
    -------
    Path
        Of the bottle.
    """
    data, about = run.data, run.config.bottle
    runs = [*experts, (0.0, run)]
    old = _kept_from(run)
    names = ["coarse.checkpoint"] if not experts else [f"coarse-{sigma:g}.checkpoint" for sigma, _ in runs]
    facts: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    for (_, expert), name in zip(runs, names, strict=True):
        if not isinstance(expert.case, Coarse):
            raise ValueError(f"{expert.folder} is no run of a coarse network: it cannot be an expert of one")
        if _info(expert) != _info(run):
            raise ValueError(f"{expert.folder} was trained on other data than {run.folder}: experts must share them")
        if numbers not in ({}, expert.case.numbers):
            raise ValueError(f"{expert.folder} has other numbers of labels than other runs: start all from one bottle")
        if _digest(_kept_from(expert)) != _digest(old):
            raise ValueError(f"{expert.folder} keeps labels of another bottle than {run.folder}: experts must share it")
        numbers = expert.case.numbers
        facts |= {name: trained_on(expert)} if experts else trained_on(expert)
    gaps = data.gaps if about.lend else without_missing(data)
    own, chosen = [label.label for label in data.labels], about.default_label
    manifest = Manifest(
        name=about.name,
        title=about.title,
        summary=about.summary,
        licence=about.licence,
        references=about.references,
        source=about.source,
        created=_created(),
        zoom=data.zoom,
        channels=data.channels,
        labels={
            label.label: LabelSpec(
                numbers[label.label], label.missing, run.config.data.donor(label.label) if about.lend else None
            )
            for label in data.labels
        },
        default_label=chosen if chosen in own else own[0],
        parts=tuple(PartSpec("coarse", sigma, name) for (sigma, _), name in zip(runs, names, strict=True)),
        sst=ConditionSpec("sst.nc", variable="sst"),
        climatology=None if data.climatology is None else ConditionSpec("climatology.nc"),
        gaps=None if gaps is None else GapsSpec("gaps.nc", shares=gaps.shares),
        variables={
            name: VariableSpec(one.units, one.long_name, one.standard_name, one.levels)
            for name, one in run.config.data.define.items()
        },
        nonnegative=tuple(dict.fromkeys([*about.nonnegative, *run.config.data.nonnegative])),
        bounds=about.bounds,
        forcings=bottle_forcings(run.config, data),
        sea_range=_sea_range(data),
        time=TimeSpec(about.start, about.end, about.step),
        sampler=SamplerDefaults(about.num_steps, about.sigma_min, about.sigma_max, about.rho, about.solver),
        trained_on={**facts, **about.trained_on, **(figures or {})},
    )
    with tempfile.TemporaryDirectory() as folder:
        parts = [Path(folder) / name for name in names]
        for (_, expert), part in zip(runs, parts, strict=True):
            state = packed_network(expert).state_dict()
            checkpoint.write_part(part, expert.model_config, _info(expert), state, dtype=about.dtype)
        climatology, gaps_path = data.climatology_path, None
        if gaps is not None:
            gaps_path = Path(folder) / "gaps.nc"
            gaps.write(gaps_path)
        if calibrate and climatology is None:
            raise ValueError("calibrate needs a climatology: train with scale: climatology")
        draft = Path(folder) / "draft.cbottle"
        if calibrate or choose_levels:
            # As the network draws it: what was set to 0 at an unchanged mean is no longer that.
            raw = dataclasses.replace(manifest, nonnegative=(), bounds={})
            pack(draft, raw, parts, data.sst_path, climatology, gaps_file=gaps_path)
        if choose_levels:
            choices = level_choice.choose_levels(
                open_bottle(draft), manifest.sampler, choose_levels, progress=run.progress
            )
            sampler = manifest.sampler.offering([choice.sigmas for choice in choices])
            manifest = dataclasses.replace(manifest, sampler=sampler)
        if calibrate:
            emulator = Emulator(draft, sampler=Sampler.of(manifest.sampler))
            # Of what is never negative and has no other end: a share more rain is a share more everywhere.
            ends = {name for name, bound in manifest.bounds.items() if bound.most is not None}
            moving = [name for name in about.matched if name in manifest.nonnegative and name not in ends]
            mended = calibrated(emulator, data, calibrate, matched=about.matched, moving=moving, progress=run.progress)
            climatology = Path(folder) / "climatology.nc"
            mended.write(climatology)
            manifest = dataclasses.replace(manifest, trained_on={**manifest.trained_on, "calibrated_on": calibrate})
        if old is not None:
            about_all = mended if calibrate else data.climatology
            return pack_added(
                out, old, manifest, dict(zip(names, parts, strict=True)), Path(folder),
                default_label=chosen, like=run.config.network.like, climatology=about_all, gaps=gaps,
            )  # fmt: skip
        return pack(out, manifest, parts, data.sst_path, climatology, gaps_file=gaps_path)


def without_missing(data: TrainingData) -> Gaps | None:
    """Gaps of prepared data, with all cells of the channels that a label lacks; None if there are none."""
    labels = tuple(label.label for label in data.labels) if data.gaps is None else data.gaps.labels
    if data.gaps is None and not any(label.missing for label in data.labels):
        return None
    shape = (len(labels), len(data.channels), healpix.n_cells(data.zoom))
    absent = np.zeros(shape, bool) if data.gaps is None else data.gaps.absent.copy()
    for label in data.labels:
        absent[labels.index(label.label), np.isin(data.channels, label.missing)] = True
    return Gaps(labels, data.channels, absent)


def _kept_from(run: Run) -> Bottle | None:
    """The bottle whose labels a run keeps while it learns others."""
    case = run.case
    return case.old.bottle if isinstance(case, Coarse) and case.kept and case.old is not None else None


def _digest(bottle: Bottle | None) -> str | None:
    return None if bottle is None else bottle.digest


def _info(run: Run) -> BatchInfo:
    statistics = run.data.statistics
    return BatchInfo(run.data.channels, tuple(statistics.scale.tolist()), tuple(statistics.center.tolist()))


def _sea_range(data: TrainingData) -> tuple[float, ...]:
    """Lowest and highest global mean of the sea that was learnt; nothing if the climatology does not respond to it."""
    response = None if data.climatology is None else data.climatology.response
    if response is None or GLOBAL not in response.modes:
        return ()
    low, high = response.learnt[response.modes.index(GLOBAL)].tolist()
    return low, high


def _created() -> str:
    try:
        program = f"xr_cbottle {version('xr_cbottle')}"
    except PackageNotFoundError:
        program = "xr_cbottle"
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ} by {program}"
