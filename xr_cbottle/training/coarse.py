"""The coarse network as a case: instants of the globe, of several labels."""

from __future__ import annotations

import os
from typing import Any

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.network import unet
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.training.batches import Batch, Batches
from xr_cbottle.training.case import Losses, seen
from xr_cbottle.training.config import Config, OptimConfig
from xr_cbottle.training.data import prepare
from xr_cbottle.training.loss import edm_loss
from xr_cbottle.training.start import start


class Coarse:
    """The case of the network that draws instants; `xr_cbottle.training.case.TrainingCase` documents its methods."""

    def __init__(self, config: Config, folder: str | os.PathLike[str], *, progress: bool = True) -> None:
        self.config, self.packing = config, config.bottle
        self.data = prepare(config.data, folder, progress=progress)
        self.batches = Batches(config, self.data)
        self.model_config = model_config(config)

    def network(self) -> unet.Network:
        """The network with its initial weights."""
        net = unet.build(self.model_config)
        if self.config.network.start == "informed":
            start(net, self.data.statistics)
        return net

    def loss(self, denoiser: Denoiser, batch: Batch, optim: OptimConfig) -> Losses:
        """Losses of EDM, of the state and of its means over ever larger squares of cells."""
        return coarse_loss(denoiser, batch, optim)

    def facts(self) -> dict[str, Any]:
        """Facts for the manifest about the data and the network."""
        size, optim = self.config.network, self.config.training
        return {
            "data": {
                label.label: {
                    **seen(label.times, label.validation), "time_of_day_jitter_hours": label.jitter_hours,
                }
                for label in self.data.labels
            },
            "started_from": optim.initial and os.path.basename(optim.initial),
            "network": {
                "model_channels": size.model_channels,
                "channel_mult": list(size.channel_mult),
                "num_blocks": size.num_blocks,
                "attn_resolutions": list(size.attn_resolutions),
            },
            "sigma": [optim.sigma_min, optim.sigma_max],
        }  # fmt: skip


def coarse_loss(denoiser: Denoiser, batch: Batch, optim: OptimConfig) -> Losses:
    """`edm_loss` with the configured weight of coarse errors, as the loop takes it."""
    return Losses(*edm_loss(denoiser, batch, optim.coarse_weight), batch.sigma)


def model_config(config: Config) -> ModelConfig:
    """Description of the network that a configuration asks for."""
    size = config.network
    return ModelConfig(
        architecture="unet_healpix",
        model_channels=size.model_channels,
        label_dim=size.label_dim,
        label_dropout=size.label_dropout,
        out_channels=len(config.data.channels),
        condition_channels=2 if config.data.scale == "climatology" else 1,
        level=config.data.zoom,
        calendar_include_legacy_bug=False,
        channel_mult=size.channel_mult,
        attn_resolutions=size.attn_resolutions,
        num_blocks=size.num_blocks,
    )
