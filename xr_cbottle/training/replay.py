"""Replay: a network that learns new labels is shown, every few images, what it knew of the old ones.

Instants of the old labels are drawn once, by the bottle that the run starts from, and kept with the prepared data.
Where such an instant is an image of training, the network does not learn the instant itself but what the bottle's own
networks, which stay as they are, make of it at its noise level. At first both say the same, so that nothing is pulled
away from what was good: the old labels move only as far as the new ones push them. The idea is that of learning without
forgetting (Li and Hoiem 2016, https://arxiv.org/abs/1606.09282) with instants of a generator (Shin et al. 2017,
https://arxiv.org/abs/1705.08690).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.draw.emulator import Emulator, Instant
from xr_cbottle.draw.models import load_model
from xr_cbottle.grid import healpix
from xr_cbottle.network.edm import expert
from xr_cbottle.training import preparation
from xr_cbottle.training.batches import Batch
from xr_cbottle.training.config import Config
from xr_cbottle.training.data import LabelData
from xr_cbottle.training.images import GOLDEN
from xr_cbottle.training.run_climate import RunClimate
from xr_cbottle.training.run_sources import expanded
from xr_cbottle.training.warm_start import Known

FORMAT = 1  # counted up when the kept instants change form
MEMBER = 2**20 + 2
"""Realisation that is drawn here: none that anybody is likely to read, nor what calibration or coherence look at."""
_KEPT_AT_ONCE = 16


def kept_labels(config: Config, old: Known | None) -> tuple[str, ...]:
    """Labels of the old network that a run keeps: those that none of its sources has; none without ``replay``.

    Raises
    ------
    ValueError
        If the run cannot keep them: its channels, conditions or statistics are not those of the bottle.
    """
    if config.network.replay is None or old is None:
        return ()
    where, data = f"network: replay keeps the labels of {old.source}", config.data
    if old.bottle is None or not old.labels:
        raise ValueError(f"{where}, which has none by name: give a bottle with labels as from, or leave replay out")
    labels = tuple(name for name in old.labels if name not in data.labels)
    if not labels:
        raise ValueError(f"{where}, and this run has sources for all of them: leave replay out")
    manifest = old.bottle.manifest
    if data.channels != manifest.channels:
        raise ValueError(f"{where}: data: channels must be its own, {', '.join(manifest.channels)}")
    about, known = config.bottle, manifest.time
    if np.datetime64(about.start) < np.datetime64(known.start) or np.datetime64(about.end) > np.datetime64(known.end):
        raise ValueError(f"{where}, and its sea: bottle: start and end must lie within {known.start} to {known.end}")
    if manifest.climatology is None:
        if data.scale == "climatology" or config.network.statistics != "bottle":
            raise ValueError(
                f"{where}: give statistics: bottle, and no scale: climatology, lest it sees them in others"
            )
    elif data.standardised_as is None or expanded(data.standardised_as) != expanded(config.network.from_ or ""):
        raise ValueError(
            f"{where}: give data: standardised_as: {config.network.from_} too, to whose climatology is added"
        )
    return labels


def replayed(
    old: Known, labels: Sequence[str], instants: int, folder: str | os.PathLike[str], *, progress: bool = True
) -> tuple[LabelData, ...]:
    """Instants of old labels, drawn by their bottle, or by an earlier call.

    Parameters
    ----------
    old
        Network of a bottle with these labels.
    labels
        Those to draw.
    instants
        How many of each, at times spread over all that the bottle stands for.
    folder
        Where they are kept, in a sub-folder named by a digest of the bottle and of the numbers.
    progress
        Show a bar.
    """
    bottle = old.bottle
    assert bottle is not None  # whoever keeps labels has asked
    text = json.dumps(["replay", FORMAT, bottle.digest, list(labels), instants])
    place = Path(expanded(str(folder))) / hashlib.sha256(text.encode()).hexdigest()[:16]
    preparation.once(place, lambda made: _draw(bottle, labels, instants, made, progress))
    manifest = bottle.manifest
    series = {name: spec.series(name) for name, spec in manifest.forcings.items()}
    climate = RunClimate(bottle.sst(), series, manifest.forcings)
    found = []
    for i, label in enumerate(labels):
        times, values = np.load(place / f"{i}_times.npy"), np.load(place / f"{i}.npy", mmap_mode="r")
        missing = manifest.labels[label].masked
        found.append(LabelData(label, times, values, np.zeros(len(times), bool), 0.0, missing, climate))
    return tuple(found)


def spread_times(start: str, end: str, count: int) -> npt.NDArray[np.datetime64]:
    """Ascending whole hours between two ISO-8601 times, at most so many, at all seasons and hours of the day."""
    first, last = (np.datetime64(time, "s") for time in (start, end))
    places = (np.arange(count) + 0.5) * GOLDEN % 1
    shifts = places * (last - first).astype(np.int64)
    return np.unique(first + (shifts // 3600 * 3600).astype(np.int64) * np.timedelta64(1, "s"))


def _draw(bottle: Bottle, labels: Sequence[str], instants: int, folder: Path, progress: bool) -> None:
    """Draw what is not yet there: each block is a file, until its label is whole."""
    from tqdm import tqdm

    emulator, manifest = Emulator(bottle), bottle.manifest
    times = spread_times(manifest.time.start, manifest.time.end, instants)
    with tqdm(total=len(labels) * len(times), desc="draw old labels", unit="instant", disable=not progress) as bar:
        for i, label in enumerate(labels):
            if not (folder / f"{i}.npy").exists():
                blocks = [times[j : j + _KEPT_AT_ONCE] for j in range(0, len(times), _KEPT_AT_ONCE)]
                paths = [folder / f"block_{i}_{j}.npy" for j in range(len(blocks))]
                for block, path in zip(blocks, paths, strict=True):
                    if not path.exists():
                        with preparation.written(path) as partial:
                            np.save(partial, _states(emulator, label, block))
                    bar.update(len(block))
                np.save(folder / f"{i}_times.npy", times)
                with preparation.written(folder / f"{i}.npy") as partial:
                    _join(paths, partial)
                for path in paths:
                    path.unlink()


def _join(paths: Sequence[Path], out: Path) -> None:
    """Write the arrays of some files as one, of which no more than one is in memory at a time."""
    count = sum(len(np.load(path, mmap_mode="r")) for path in paths)
    first = np.load(paths[0], mmap_mode="r")
    whole = np.lib.format.open_memmap(out, "w+", first.dtype, (count, *first.shape[1:]))
    at = 0
    for path in paths:
        block = np.load(path)
        whole[at : at + len(block)] = block
        at += len(block)
    whole.flush()


def _states(emulator: Emulator, label: str, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float16]:
    """(n, channel, cell PAD_XY) as networks draw them; NaN where the label's data had no value."""
    size = emulator.batch_size
    found = np.concatenate([
        emulator.solve(label, [Instant(label, 0, MEMBER, time) for time in times[i : i + size]], emulator.sampler)
        for i in range(0, len(times), size)
    ])  # fmt: skip
    if emulator.gaps is not None:
        found[:, emulator.gaps.of(label)] = np.nan
    masked = emulator.bottle.manifest.labels[label].masked
    found[:, [emulator.channels.index(name) for name in masked]] = np.nan
    return found[..., healpix.nest_to_padxy(emulator.zoom)].astype(np.float16)


class OldAnswers:
    """Answers of a bottle's networks, which do not learn, to the replayed images of a batch.

    Parameters
    ----------
    bottle
        Where the old labels are from.
    """

    def __init__(self, bottle: Bottle) -> None:
        self.bottle = bottle

    @torch.no_grad()
    def __call__(self, noisy: Tensor, batch: Batch, clean: Tensor) -> Tensor:
        """Wanted states (b, channel, 1, cell): the old answers to the replayed images, and ``clean`` for the others.

        Parameters
        ----------
        noisy
            (b, channel, 1, cell) as the network that learns is shown them.
        batch
            What it is told of them.
        clean
            (b, channel, 1, cell) without noise.
        """
        rows = batch.replayed.nonzero()[:, 0]
        if not len(rows):
            return clean
        model = load_model(self.bottle, noisy.device, "float32")
        wanted, levels = clean.clone(), batch.sigma[rows].tolist()
        by_expert: dict[int, list[int]] = {}
        experts = [denoiser for _, denoiser in model.experts]
        for row, sigma in zip(rows.tolist(), levels, strict=True):
            by_expert.setdefault(experts.index(expert(model.experts, sigma)), []).append(row)
        for number, some in by_expert.items():
            told: dict[str, Any] = {
                name: getattr(batch, name)[some] for name in ("condition", "second_of_day", "day_of_year")
            }
            labels = batch.labels[some, : model.label_dim]
            wanted[some] = experts[number](noisy[some], batch.sigma[some], labels=labels, **told).to(wanted.dtype)
        return wanted
