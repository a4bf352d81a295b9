"""A bridge as a case: instants of the globe, told of the states before and after them."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from torch import Tensor

from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.network import unet
from xr_cbottle.training import warm_start
from xr_cbottle.training.bridge_batches import BridgeBatches
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.data import prepare
from xr_cbottle.training.globe_case import GlobeCase, sized
from xr_cbottle.training.run_sources import expanded


class BridgeCase(GlobeCase):
    """The case of a network between two states."""

    config: BridgeConfig

    def __init__(self, config: BridgeConfig, folder: str | os.PathLike[str], *, progress: bool = True) -> None:
        self.config, self.packing = config, config.part
        self.numbers = _numbers(config)
        self.data = prepare(config.data, folder, progress=progress)
        self.batches = BridgeBatches(config, self.data, self.numbers)
        coarse = sized(config)
        told = coarse.condition_channels + 2 * coarse.out_channels + 3
        self.model_config = dataclasses.replace(coarse, condition_channels=told)

    def begun(self, net: unet.Network, source: str | None) -> tuple[dict[str, Tensor], list[str]] | None:
        """Weights of a network that knows nothing of the states, and what is to be said; None without one."""
        if source is None:
            return None
        optim, told = self.config.training, sized(self.config).condition_channels
        old = warm_start.known(source, optim.sigma_min, optim.sigma_max)
        ends = [f"end {i}" for i in range(self.model_config.condition_channels - told)]
        return self.started(net, old, "training: initial", more=ends)

    def facts(self) -> dict[str, Any]:
        """Facts for the manifest about the data and the network."""
        ends = dataclasses.asdict(self.config.bridge)
        return {**super().facts(), "ends": {**ends, "end_noise": list(self.config.bridge.end_noise)}}


def _numbers(config: BridgeConfig) -> dict[str, int]:
    """Number of each label: that of the bottle by which the data are standardised, or its place among the sources."""
    labels, standard = config.data.labels, config.data.standardised_as
    if standard is None:
        return {label: i for i, label in enumerate(labels)}
    known = open_bottle(expanded(standard)).manifest.labels
    if missing := [label for label in labels if label not in known]:
        raise ValueError(
            f"data: standardised_as is {standard}, which has no label {', '.join(missing)}: a bridge is for the labels "
            "of its bottle"
        )
    numbers = {label: known[label].index for label in labels}
    if max(numbers.values()) >= config.network.label_dim:
        raise ValueError(
            f"network: label_dim is {config.network.label_dim}, but {standard} numbers its labels "
            f"up to {max(numbers.values())}; make it at least one more"
        )
    return numbers
