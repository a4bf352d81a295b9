"""The kinds of runs: which training case a configuration asks for."""

from __future__ import annotations

import os
from pathlib import Path

from xr_cbottle.training.bridge_case import BridgeCase
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.case import TrainingCase
from xr_cbottle.training.coarse import Coarse
from xr_cbottle.training.config import Config
from xr_cbottle.training.patchwise.denoising import Denoising
from xr_cbottle.training.patchwise.distillation import Distillation
from xr_cbottle.training.patchwise.patch_config import AnyConfig, DistilConfig


def make_case(config: AnyConfig, folder: str | os.PathLike[str], *, progress: bool = True) -> TrainingCase:
    """Make the case of a configuration, with its data prepared in a folder."""
    if isinstance(config, Config):
        return Coarse(config, folder, progress=progress)
    if isinstance(config, BridgeConfig):
        return BridgeCase(config, folder, progress=progress)
    if isinstance(config, DistilConfig):
        return Distillation(config, progress=progress)
    return Denoising(config, Path(folder), progress=progress)
