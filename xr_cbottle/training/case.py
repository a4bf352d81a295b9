"""What a run trains: a network, the batches that it learns from, and a loss. The loop knows no more of it."""

from __future__ import annotations

import os
from collections.abc import Sized
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.network.unet import Network
from xr_cbottle.training.config import Config, OptimConfig
from xr_cbottle.training.patchwise.patch_config import AnyConfig, DistilConfig


class Losses(NamedTuple):
    """What a loss says of a batch.

    Attributes
    ----------
    objective : (n,) Tensor
        Whose mean is minimised.
    plain, sigma : (n,) Tensors
        What is written down, and the noise level that it is of.
    """

    objective: Tensor
    plain: Tensor
    sigma: Tensor


class ImageBatches(Protocol):
    """Batches as a pure function of the number of images seen."""

    @property
    def validation(self) -> Sized:
        """The images that training does not see."""

    def training(self, first: int, count: int) -> Any:
        """Images ``first`` to ``first + count`` of the run."""

    def validating(self, count: int) -> Any:
        """A fixed set of held-out images."""


class Case(Protocol):
    """A kind of run with its data."""

    @property
    def data(self) -> Any:
        """What it learns from."""

    @property
    def batches(self) -> ImageBatches:
        """The same in batches."""

    @property
    def model_config(self) -> ModelConfig:
        """What network learns."""

    def network(self) -> Network:
        """The network with its initial weights."""

    def loss(self, denoiser: Denoiser, batch: Any, optim: OptimConfig) -> Losses:
        """The loss of each image of a batch."""


def prepare(config: AnyConfig, folder: str | os.PathLike[str], *, progress: bool = True) -> Case:
    """The case of a configuration, its data prepared in a folder."""
    if isinstance(config, Config):
        from xr_cbottle.training.coarse import Coarse

        return Coarse(config, folder, progress=progress)
    if isinstance(config, DistilConfig):
        from xr_cbottle.training.patchwise.distillation import Distillation

        return Distillation(config, progress=progress)
    from xr_cbottle.training.patchwise.denoising import Denoising

    return Denoising(config, Path(folder), progress=progress)
