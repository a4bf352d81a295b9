"""A training case: a network, the batches that it learns from, and a loss. The loop knows no more of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Sized
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.network.unet import Network
from xr_cbottle.training.config import OptimConfig
from xr_cbottle.training.packing_config import PackingConfig


class Losses(NamedTuple):
    """Losses of the images of a batch.

    Attributes
    ----------
    objective
        (n,) whose mean is minimised.
    plain
        (n,) that are written down: they do not depend on the settings of training.
    sigma
        (n,) noise level of each of ``plain``.
    """

    objective: Tensor
    plain: Tensor
    sigma: Tensor


def digest_of(*arrays: Any) -> str:
    """Digest of arrays that tell one set of data from another: their shapes and values."""
    found = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(array)
        found.update(f"{values.dtype} {values.shape} ".encode())
        found.update(values.view(np.uint8).data if values.size else b"")
    return found.hexdigest()[:16]


def seen(times: npt.NDArray[np.datetime64], held_out: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Count the instants of one source that training saw and held out, with the first and last of those seen."""
    trained = times[~held_out]
    return {
        "first": str(trained.min()) if len(trained) else None,
        "last": str(trained.max()) if len(trained) else None,
        "instants": len(trained),
        "validation_instants": len(times) - len(trained),
    }


class ImageBatches(Protocol):
    """Batches as a pure function of the number of images seen; with seeds in place of noise if ``noise_later``."""

    noise_later: bool

    @property
    def validation(self) -> Sized:
        """Images that training does not see."""

    def training(self, first: int, count: int) -> Any:
        """Images ``first`` to ``first + count`` of the run."""

    def validating(self, count: int) -> Any:
        """A fixed set of ``count`` held-out images."""


class TrainingCase(Protocol):
    """One kind of run with its data: of a coarse network, a bridge, super-resolution or its distillation."""

    @property
    def data(self) -> Any:
        """Data that the network learns from."""

    @property
    def data_digest(self) -> str:
        """Digest of the data: a state that was trained on others is not gone on with."""

    @property
    def batches(self) -> ImageBatches:
        """Batches of the data."""

    @property
    def model_config(self) -> ModelConfig:
        """Description of the network that learns."""

    @property
    def packing(self) -> PackingConfig:
        """Section of the configuration that says how the network is packed."""

    def network(self) -> Network:
        """Make the network with its initial weights."""

    def begun(self, net: Network, source: str | None) -> tuple[dict[str, Tensor], list[str]] | None:
        """Weights to start from, of ``source`` or of what the configuration names, and what to say of them.

        None if there is nothing to start from.
        """

    def loss(self, denoiser: Denoiser, batch: Any, optim: OptimConfig) -> Losses:
        """Losses of the images of a batch."""

    def facts(self) -> dict[str, Any]:
        """Facts for the manifest about the data and the network, as plain JSON values; ``data`` is one of the keys."""
