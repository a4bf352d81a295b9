"""Preparing the data of a run apart from its training: on nodes that see the data, with many processes and no GPU."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from xr_cbottle.bottle import facts
from xr_cbottle.training import data, preparation
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.coarse import model_config, old_network
from xr_cbottle.training.config import Config
from xr_cbottle.training.globe_case import sized
from xr_cbottle.training.patchwise import patch_data
from xr_cbottle.training.patchwise.distillation import teacher_config
from xr_cbottle.training.patchwise.patch_config import AnyConfig, DistilConfig, SuperresConfig
from xr_cbottle.training.replay import kept_labels
from xr_cbottle.training.run_sources import expanded


def prepare_run(
    config: AnyConfig, run: str | os.PathLike[str], *, processes: int | None = None, progress: bool = True
) -> str:
    """Prepare the data of a run of any kind, or go on where an earlier call was killed, and verify them.

    Parameters
    ----------
    config
        Of the run. The data of a distillation are those of its teacher.
    run
        Folder of the run.
    processes
        How many read and write at the same time; as many as there are cores for this process if None.
    progress
        Show bars.

    Returns
    -------
    str
        Lines that say what there is now, and what was noticed.

    Raises
    ------
    ValueError
        If the data cannot be learnt from, another process prepares them, or what is there has changed.
    """
    if isinstance(config, Config):
        model_config(config)  # what cannot be trained is not prepared
        kept_labels(config, old_network(config))
    elif isinstance(config, BridgeConfig):
        sized(config)
    workers = processes or len(os.sched_getaffinity(0))
    folder, began = _folder(config, Path(run)), time.monotonic()
    new = not (folder / "done").exists()
    if isinstance(config, (Config, BridgeConfig)):
        data.prepare(config.data, Path(run) / "data", progress=progress, processes=workers)
    else:
        superres, where = _superres(config, Path(run))
        patch_data.prepare(superres.superres, where / "data", progress=progress, processes=workers)
    size = facts.size(preparation.verify(folder))
    state = f"prepared in {time.monotonic() - began:.0f} s by {workers} processes" if new else "were there, verified"
    return "\n".join([f"{size} in {folder}, {state}", *_noticed(folder)])


def _superres(config: SuperresConfig | DistilConfig, run: Path) -> tuple[SuperresConfig, Path]:
    if isinstance(config, SuperresConfig):
        return config, run
    folder = Path(expanded(config.distil.run))
    return teacher_config(folder), folder


def _folder(config: AnyConfig, run: Path) -> Path:
    if isinstance(config, (Config, BridgeConfig)):
        return data.prepared_folder(config.data, run / "data")
    superres, where = _superres(config, run)
    return patch_data.prepared_folder(superres.superres, where / "data")


def _noticed(folder: Path) -> list[str]:
    """Extent of each channel, and what is missing or strange."""
    path = folder / "said.json"
    if not path.exists():
        return []
    said = json.loads(path.read_text())
    rows = [
        "{:12} mean {mean:.5g}, deviation {deviation:.4g}, from {low:.5g} to {high:.5g}".format(name, **one)
        for name, one in said["channels"].items()
    ]
    return [*rows, *(f"note: {line}" for line in said["lines"])]
