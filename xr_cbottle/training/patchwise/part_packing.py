"""Packing: a run of super-resolution, or of its distillation, becomes a part of a bottle that is there already."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

from xr_cbottle.bottle import checkpoint
from xr_cbottle.bottle.architecture import BatchInfo
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.records import COARSE, PartSpec
from xr_cbottle.bottle.repacking import repack
from xr_cbottle.training.loop import Run
from xr_cbottle.training.patchwise.denoising import Denoising
from xr_cbottle.training.patchwise.distillation import Distillation
from xr_cbottle.training.provenance import packed_network, trained_on


def pack_part(run: Run, out: str | os.PathLike[str], into: str | os.PathLike[str]) -> Path:
    """Write a bottle with the network of a run added, or in the place of the one that has its role.

    Parameters
    ----------
    run
        Of super-resolution or of its distillation.
    out
        The ``.cbottle``; it appears whole or not at all, and may be ``into`` itself.
    into
        The bottle it is added to, all other files of which stay as they are, byte for byte.

    Raises
    ------
    ValueError
        If the bottle has another zoom than the network refines, or lacks a channel.
    BottleError
        If the bottle is damaged, or its other super-resolution is of another zoom or other channels.
    """
    case = run.case
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
    facts = trained_on(run) | case.packing.trained_on
    changed = dataclasses.replace(manifest, parts=parts, trained_on={**manifest.trained_on, name: facts})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part"
        info = BatchInfo(spec.channels, tuple(case.data.scale.tolist()), tuple(case.data.center.tolist()))
        state = packed_network(run).state_dict()
        checkpoint.write_part(file, case.model_config, info, state, dtype=run.config.part.dtype)
        return repack(out, bottle, changed, {name: file})
