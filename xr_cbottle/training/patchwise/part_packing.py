"""From a run of super-resolution, or of its distillation, to a part of a bottle that is there already."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from xr_cbottle.bottle import checkpoint
from xr_cbottle.bottle.architecture import BatchInfo
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.bottle.manifest import COARSE, ConditionSpec, PartSpec
from xr_cbottle.bottle.packing import pack
from xr_cbottle.training.loop import VALIDATION_IMAGES, Run, validate
from xr_cbottle.training.patchwise.denoising import Denoising
from xr_cbottle.training.patchwise.distillation import Distillation


def pack_part(run: Run, out: str | os.PathLike[str], into: str | os.PathLike[str]) -> Path:
    """Write a bottle with the network of a run added, or in the place of the one that has its role.

    Parameters
    ----------
    run : Run
        Of super-resolution or of its distillation.
    out : path-like
        The ``.cbottle``; it appears whole or not at all, and may be ``into`` itself.
    into : path-like
        The bottle it is added to, all other files of which stay as they are, byte for byte.

    Raises
    ------
    ValueError
        If the bottle has another zoom than the network refines, or lacks a channel.
    BottleError
        If the bottle is damaged, or its other super-resolution is of another zoom or other channels.
    """
    case: Any = run.case
    if not isinstance(case, (Denoising, Distillation)):
        raise ValueError(f"{run.folder} is a run of a coarse network, which makes a bottle by itself: leave --into out")
    bottle = open_bottle(into)
    manifest, spec = bottle.manifest, case.spec()
    if manifest.zoom != case.patches.coarse_zoom:
        raise ValueError(
            f"{run.folder} refines zoom {case.patches.coarse_zoom}, but {manifest.name} is of zoom {manifest.zoom}"
        )
    if missing := sorted(set(spec.channels) - set(manifest.channels)):
        raise ValueError(f"{run.folder} refines {', '.join(missing)}, which {manifest.name} has not")
    name = f"{case.role}.checkpoint"
    order = [part.role for part in manifest.parts if part.role not in (COARSE, case.role)]
    kept = [part for part in manifest.parts if part.role != case.role]
    new = PartSpec(case.role, 0.0, name, superres=spec)
    # The teacher before its student.
    place = len(kept) - len(order) if isinstance(case, Denoising) else len(kept)
    parts = (*kept[:place], new, *kept[place:])
    changed = dataclasses.replace(manifest, parts=parts, trained_on={**manifest.trained_on, name: trained_on(run)})
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / str(i) for i in range(len(parts))]
        for part, file in zip(parts, files, strict=True):
            if part is new:
                info = BatchInfo(spec.channels, tuple(case.data.scale.tolist()), tuple(case.data.center.tolist()))
                state = _packed(run).state_dict()
                checkpoint.write_part(file, case.model_config, info, state, dtype=run.config.part.dtype)
            else:
                _copy(bottle, part, file)
        conditions = []
        for i, condition in enumerate((manifest.sst, manifest.climatology)):
            conditions.append(None if condition is None else Path(folder) / f"condition{i}")
            if condition is not None:
                _copy(bottle, condition, Path(folder) / f"condition{i}")
        return pack(out, changed, files, *conditions)


def trained_on(run: Run) -> dict[str, Any]:
    """What the run saw and how long it took, as plain JSON values."""
    case: Any = run.case
    optim = run.config.training
    data, size = case.data, case.model_config
    sources = {}
    for i, source in enumerate(data.config.sources):
        own = data.source == i
        times, held_out = data.times[own], data.validation[own]
        sources[source.label] = {
            "first": str(times[~held_out].min()) if (~held_out).any() else None,
            "last": str(times[~held_out].max()) if (~held_out).any() else None,
            "instants": int((~held_out).sum()),
            "validation_instants": int(held_out.sum()),
        }
    facts: dict[str, Any] = {
        "data": sources,
        "images": run.images,
        "patches_of_an_instant": data.grid.count,
        "batch_size": optim.batch_size,
        "training_seconds": round(run.seconds),
        "parameters": sum(p.numel() for p in run.net.parameters()),
        "network": {
            "model_channels": size.model_channels,
            "channel_mult": list(size.channel_mult),
            "num_blocks": size.num_blocks,
            "position_embed_channels": size.position_embed_channels,
        },
        "offset": dict(data.config.offset),
        "optimizer": f"Muon {optim.matrix_lr:g}, AdamW {optim.lr:g}" if optim.matrix_lr else f"AdamW {optim.lr:g}",
        "seed": optim.seed,
        "weights": f"{run.config.part.weights}, stored as {run.config.part.dtype}",
        **case.facts(),
    }
    if len(run.batches.validation):
        result = validate(_packed(run), run.batches.validating(VALIDATION_IMAGES), optim, case.loss)
        facts["validation_loss"] = result["validation"]
        facts["validation_loss_by_sigma"] = result["validation_by_sigma"]
    return facts | run.config.part.trained_on


def _packed(run: Run) -> Any:
    return run.net if run.config.part.weights == "last" else run.average


def _copy(bottle: Bottle, spec: PartSpec | ConditionSpec, path: Path) -> None:
    with contextlib.closing(bottle.open_file(spec)) as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
