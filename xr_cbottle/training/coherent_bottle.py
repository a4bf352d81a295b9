"""Packing: a bottle is given how long its weather lasts and how fast it travels, fitted to what it imitates."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.coherence import Coherence
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import ConditionSpec
from xr_cbottle.bottle.repacking import repack
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.training import coherence_fit, coherence_measures, run_sources
from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.source_config import SourceConfig

NAME = "coherence.nc"


def add_coherence(
    into: str | os.PathLike[str], out: str | os.PathLike[str], data: DataConfig, *, progress: bool = True
) -> Path:
    """Write a bottle with coherence fitted to the simulations that it imitates, added or replaced.

    Parameters
    ----------
    into
        The bottle, all other files of which stay as they are, byte for byte.
    out
        The ``.cbottle``; it appears whole or not at all, and may be ``into`` itself.
    data
        Its sources are the simulations, by label (the longest, where there are several); of their instants those are
        used that training sees.
    progress
        Show bars.

    Raises
    ------
    ValueError
        If the bottle has no climatology, or a label without a source.
    BottleError
        If the bottle is damaged.
    """
    bottle = open_bottle(into)
    manifest = bottle.manifest
    found = fit(Emulator(bottle), data, progress=progress)
    changed = dataclasses.replace(
        manifest,
        coherence=ConditionSpec(NAME),
        trained_on={**manifest.trained_on, NAME: {label.label: _years(label) for label in _sources(manifest, data)}},
    )
    with tempfile.TemporaryDirectory() as folder:
        found.write(Path(folder) / NAME)
        return repack(out, bottle, changed, {NAME: Path(folder) / NAME})


def fit(emulator: Emulator, data: DataConfig, *, progress: bool = True) -> Coherence:
    """Coherence of a bottle, fitted to the simulations that it imitates; see `add_coherence`."""
    manifest, climatology = emulator.bottle.manifest, emulator.climatology
    if climatology is None:
        raise ValueError(
            f"{manifest.name} has no climatology, and coherence is fitted to anomalies from it: train with "
            "scale: climatology"
        )
    measured, responses = [], []
    for source in _sources(manifest, data):
        measured.append(
            coherence_measures.lag_covariance(
                source, climatology, manifest.zoom, progress=progress, own=manifest.own, predictors=emulator.predictors
            )
        )
        responses.append(coherence_measures.response(emulator, source.label, _times(source), progress=progress))
    labels = tuple(manifest.labels) or climatology.labels
    return coherence_fit.fitted(labels, manifest.channels, measured, responses)


def _sources(manifest: Manifest, data: DataConfig) -> list[SourceConfig]:
    """The longest source of each label, in the bottle's order: runs under another sea than the bottle's are short."""
    by_label: dict[str, SourceConfig] = {}
    for source in sorted(data.sources, key=lambda source: np.datetime64(source.start) - np.datetime64(source.end)):
        by_label.setdefault(source.label, source)
    missing = sorted(set(manifest.labels) - set(by_label))
    if missing:
        raise ValueError(
            f"the configuration has no source of label {', '.join(missing)}, which {manifest.name} has: give one for "
            "each label"
        )
    return [by_label[label] for label in manifest.labels] or [data.sources[0]]


def _times(source: SourceConfig) -> npt.NDArray[np.datetime64]:
    """Times that training sees, spread over them and over the year."""
    times: list[npt.NDArray[np.datetime64]] = []
    for address in run_sources.addresses(source):
        with run_sources.opened(source, address) as instants:
            some = instants.times[instants.wanted]
            times.append(some[~source.held_out(some)])
    known = np.concatenate(times)
    # A stride that is no divisor of a year, so that few times have all seasons too.
    order = np.arange(coherence_measures.PAIRS) * 0.381966 % 1
    return known[(order * len(known)).astype(int)]


def _years(source: SourceConfig) -> str:
    return f"{source.start} to {source.validation_start or source.end}"
