"""A bridge as a case: instants of the globe, told of the states before and after them."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from torch import Tensor

from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.network import unet
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.training import warm_start
from xr_cbottle.training.batches import Batch
from xr_cbottle.training.bridge_batches import BridgeBatches
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.case import Losses
from xr_cbottle.training.coarse import coarse_loss, data_digest, globe_facts, model_config
from xr_cbottle.training.config import OptimConfig
from xr_cbottle.training.data import TrainingData, prepare
from xr_cbottle.training.run_sources import expanded
from xr_cbottle.training.start import start


class BridgeCase:
    """The case of a network between two states; `xr_cbottle.training.case.TrainingCase` documents its methods."""

    def __init__(self, config: BridgeConfig, folder: str | os.PathLike[str], *, progress: bool = True) -> None:
        self.config, self.packing = config, config.part
        self.data = prepare(config.data, folder, progress=progress)
        self.numbers = _numbers(config, self.data)
        self.batches = BridgeBatches(config, self.data, self.numbers)
        coarse = model_config(config)
        told = coarse.condition_channels + 2 * coarse.out_channels + 3
        self.model_config = dataclasses.replace(coarse, condition_channels=told)

    @property
    def data_digest(self) -> str:
        """Digest of the data, see `xr_cbottle.training.coarse.data_digest`."""
        return data_digest(self.data)

    def network(self) -> unet.Network:
        """The network with its initial weights."""
        net = unet.build(self.model_config)
        if self.config.network.start == "informed":
            start(net, self.data.statistics)
        return net

    def begun(self, net: unet.Network, source: str | None) -> tuple[dict[str, Tensor], list[str]] | None:
        """Weights of a network that knows nothing of the states, and what is to be said; None without one."""
        if source is None:
            return None
        optim, data = self.config.training, self.data
        old = warm_start.known(source, optim.sigma_min, optim.sigma_max)
        told = warm_start.conditions(tuple(data.forcings), data.climatology is not None)
        ends = (f"end {i}" for i in range(self.model_config.condition_channels - len(told)))
        try:
            state = warm_start.widened(old, net, self.model_config, data.channels, (*told, *ends), self.numbers)
        except ValueError as error:
            raise ValueError(f"training: initial is {source}, which has {error}") from None
        return state, [*warm_start.summary(old, data)]

    def loss(self, denoiser: Denoiser, batch: Batch, optim: OptimConfig) -> Losses:
        """Losses of EDM, as of the coarse network."""
        return coarse_loss(denoiser, batch, optim)

    def facts(self) -> dict[str, Any]:
        """Facts for the manifest about the data and the network."""
        ends = dataclasses.asdict(self.config.bridge)
        return {
            **globe_facts(self.config, self.data, self.model_config),
            "ends": {**ends, "end_noise": list(self.config.bridge.end_noise)},
        }


def _numbers(config: BridgeConfig, data: TrainingData) -> dict[str, int]:
    """Number of each label: that of the bottle by which the data are standardised, or its place among the sources."""
    if config.data.standardised_as is None:
        return {label.label: data.number(label.label) for label in data.labels}
    labels = open_bottle(expanded(config.data.standardised_as)).manifest.labels
    numbers = {label.label: labels[label.label].index for label in data.labels}
    if max(numbers.values()) >= config.network.label_dim:
        raise ValueError(
            f"network: label_dim is {config.network.label_dim}, but {config.data.standardised_as} numbers its labels "
            f"up to {max(numbers.values())}; make it at least one more"
        )
    return numbers
