"""Super-resolution as a case: a network learns to denoise patches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.bottle.manifest import SamplerDefaults
from xr_cbottle.bottle.records import SUPERRES, SuperresSpec
from xr_cbottle.network import unet
from xr_cbottle.network.edm import SIGMA_DATA, Denoise, Denoiser
from xr_cbottle.network.unet import PatchUNet
from xr_cbottle.training.case import Losses, seen
from xr_cbottle.training.config import OptimConfig
from xr_cbottle.training.patchwise.patch_batches import PatchBatch, PatchBatches
from xr_cbottle.training.patchwise.patch_config import PatchDataConfig, SuperresConfig
from xr_cbottle.training.patchwise.patch_data import PatchData, prepare
from xr_cbottle.training.start import pass_on

LEAST_SPREAD = 1e-3


class Denoising:
    """A run of super-resolution; `xr_cbottle.training.case.TrainingCase` documents its methods."""

    role = SUPERRES

    def __init__(self, config: SuperresConfig, folder: Path, *, progress: bool = True) -> None:
        self.config, self.patches, self.packing = config, config.superres, config.part
        self.data = prepare(config.superres, folder, progress=progress)
        self.batches = PatchBatches(config.training, self.data)
        self.model_config = config.model_config

    @property
    def data_digest(self) -> str:
        """Digest of the data."""
        return self.data.digest

    def network(self) -> unet.Network:
        """The network with its initial weights."""
        net = unet.build(self.model_config)
        if self.config.network.start == "informed":
            start(net, self.data)
        return net

    def begun(self, net: unet.Network, source: str | None) -> None:
        """Refuse a bottle to start from; a run's state is taken by the loop."""
        if source is not None:
            raise ValueError(
                f"training: initial is {source}, which is no folder of a run of super-resolution: give one"
            )

    def loss(self, denoiser: Denoiser, batch: PatchBatch, optim: OptimConfig) -> Losses:
        """Losses of EDM, see `denoising_loss`."""
        return denoising_loss(denoiser, batch, optim)

    def spec(self) -> SuperresSpec:
        """Specification of how the network is used, for the manifest."""
        part = self.config.part
        sampler = SamplerDefaults(part.num_steps, part.sigma_min, part.sigma_max, part.rho)
        return specification(self.patches, self.data, sampler=sampler, window=part.window)

    def facts(self) -> dict[str, Any]:
        """Facts for the manifest about the data and the network."""
        optim = self.config.training
        return {**patch_facts(self.data, self.model_config), "sigma": [optim.sigma_min, optim.sigma_max]}


def denoising_loss(denoiser: Denoiser, batch: PatchBatch, optim: OptimConfig) -> Losses:
    """Losses of EDM (Karras et al. 2022, https://arxiv.org/abs/2206.00364), means over channels and pixels."""
    denoise = conditioned(denoiser, batch)
    noisy = batch.clean + batch.sigma.view(-1, 1, 1, 1) * batch.noise
    plain = weighted_error(denoise(noisy, batch.sigma), batch.clean, batch.sigma)
    return Losses(plain, plain, batch.sigma)


def specification(
    patches: PatchDataConfig,
    data: PatchData,
    *,
    window: float | None,
    sampler: SamplerDefaults | None = None,
    sigmas: tuple[float, ...] = (),
) -> SuperresSpec:
    """Specification of a network on these data and of its sampler, for the manifest."""
    return SuperresSpec(
        patches.zoom, patches.channels, patches.patch, patches.overlap, sampler, sigmas, window,
        tuple(data.detail.tolist()) if patches.residual else (), patches.conserve,
    )  # fmt: skip


def patch_facts(data: PatchData, size: ModelConfig) -> dict[str, Any]:
    """Facts for the manifest about the patches that a network learnt from, and about its size."""
    sources = {
        source.label: seen(data.times[data.source == i], data.validation[data.source == i])
        for i, source in enumerate(data.config.sources)
    }
    return {
        "data": sources,
        "patches_of_an_instant": data.grid.count,
        "offset": dict(data.config.offset),
        "network": {
            "model_channels": size.model_channels,
            "channel_mult": list(size.channel_mult),
            "num_blocks": size.num_blocks,
            "position_embed_channels": size.position_embed_channels,
        },
    }


def conditioned(denoiser: Denoiser, batch: PatchBatch) -> Denoise:
    """Denoiser of a batch's patches that is told what `xr_cbottle.network.multidiffusion.RegionModel` tells it."""
    model = cast(PatchUNet, denoiser.network.model)
    rows = model.pos_embed.t().contiguous()
    position = torch.nn.functional.embedding(batch.cells, rows)
    twice = batch.cells != batch.partners
    if bool(twice.any()):
        other = torch.nn.functional.embedding(batch.partners[twice], rows)
        position = position.index_put((twice,), (position[twice] + other) * 0.5)
    condition = torch.cat([batch.local, batch.overview, position.permute(0, 3, 1, 2)], 1)
    return lambda x, sigma: denoiser(x, sigma.to(x.dtype).expand(len(x)), condition=condition)


def weighted_error(denoised: Tensor, wanted: Tensor, sigma: Tensor) -> Tensor:
    """(b,) mean square over channels and pixels of (sigma^2 + sd^2)/(sigma sd)^2 (D - y)^2, as EDM weighs it."""
    root_weight = (sigma**2 + SIGMA_DATA**2).sqrt() / (sigma * SIGMA_DATA)
    return (root_weight.view(-1, 1, 1, 1) * (denoised.float() - wanted)).square().mean((1, 2, 3))


@torch.no_grad()
def start(net: unet.Network, data: PatchData) -> None:
    """Set the first and last layers, and tell each cell its mean detail and how much that varies.

    The last rows of the position embedding, two for each channel (as many as fit beside four of the harmonics),
    become the mean and the logarithm of the standard deviation in time, standardised. That is a start: all stays free.
    """
    model = cast(PatchUNet, net.model)
    pass_on(model, len(data.center))
    maps = np.concatenate([data.mean, np.log(np.maximum(data.spread, LEAST_SPREAD))])
    maps = (maps - maps.mean(1, keepdims=True)) / (maps.std(1, keepdims=True) + 1e-6)
    room = max(len(model.pos_embed) - 4, 0)
    if room:
        maps = maps[:room]
        model.pos_embed[-len(maps) :] = torch.from_numpy(maps.astype(np.float32))
