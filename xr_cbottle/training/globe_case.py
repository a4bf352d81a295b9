"""Cases whose images are instants of the globe: the common parts of the coarse network and the bridge."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.network import unet
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.training import warm_start
from xr_cbottle.training.batches import Batch, Batches
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.case import Losses, digest_of, seen
from xr_cbottle.training.config import Config, OptimConfig
from xr_cbottle.training.data import TrainingData
from xr_cbottle.training.look import DrawnFigures, look
from xr_cbottle.training.loss import Answers, edm_loss
from xr_cbottle.training.start import start
from xr_cbottle.training.warm_start import Known


class GlobeCase:
    """A case of instants of the globe; `xr_cbottle.training.case.TrainingCase` documents its methods.

    Attributes
    ----------
    config
        Of the run.
    data, batches
        What is learnt from, prepared, and its images.
    model_config
        Description of the network that learns.
    numbers
        Number of each label in it.
    answers
        What it is to say of images that are replayed; None if there are none.
    kept
        Labels of the network that it starts from which are replayed.
    """

    config: Config | BridgeConfig
    data: TrainingData
    batches: Batches
    model_config: ModelConfig
    numbers: dict[str, int]
    answers: Answers | None = None
    kept: tuple[str, ...] = ()

    @property
    def data_digest(self) -> str:
        """Digest of times, statistics and some instants of all runs."""
        parts = [self.data.statistics.center, self.data.statistics.scale]
        for run in self.data.runs:
            parts += [np.frombuffer(run.label.encode(), np.uint8), run.times, run.validation]
            parts += [np.nan_to_num(np.asarray(run.values[i])) for i in (0, -1)]
        return digest_of(*parts)

    def network(self) -> unet.Network:
        """The network with its initial weights."""
        net = unet.build(self.model_config)
        if self.config.network.start == "informed":
            start(net, self.data.statistics)
        return net

    def loss(self, denoiser: Denoiser, batch: Batch, optim: OptimConfig) -> Losses:
        """Losses of EDM, of the state and of its means over ever larger squares of cells."""
        return globe_loss(denoiser, batch, optim, self.answers)

    def look(self, net: unet.Network, instants: int) -> DrawnFigures:
        """Draw some instants of each label by a network, and hold them against the data, see `look`."""
        return look(net, self.batches.looking(instants), self.data, self.config.training)

    def started(
        self,
        net: unet.Network,
        old: Known,
        where: str,
        *,
        more: Sequence[str] = (),
        like: Mapping[str, str] | None = None,
    ) -> tuple[dict[str, Tensor], list[str]]:
        """Weights of a network that is there as a start for another, and what is to be said of it.

        Parameters
        ----------
        net
            That begins, with its initial weights.
        old
            What it begins as.
        where
            Key of the configuration that names it.
        more
            Conditions that the network is told beyond sea and forcings.
        like
            Old label as which a new one begins.

        Raises
        ------
        ValueError
            If they are not alike.
        """
        told = warm_start.conditions(tuple(self.data.forcings), self.data.climatology is not None)
        try:
            state = warm_start.widened(
                old, net, self.model_config, self.data.channels, (*told, *more), self.numbers, like
            )
        except ValueError as error:
            raise ValueError(f"{where} is {old.source}, which has {error}") from None
        return state, [*warm_start.summary(old, self.data, self.kept)]

    def facts(self) -> dict[str, Any]:
        """Facts for the manifest about the data, the network and its noise levels."""
        optim, size, begun = self.config.training, self.model_config, self.config.network.from_
        return {
            "data": {
                label.label: {**_seen(self.data, label.label), "time_of_day_jitter_hours": label.jitter_hours}
                for label in self.data.labels
            },
            "started_from": os.path.basename(optim.initial or begun or "") or None,
            "network": {
                "model_channels": size.model_channels,
                "channel_mult": list(size.channel_mult),
                "num_blocks": size.num_blocks,
                "attn_resolutions": list(size.attn_resolutions),
            },
            "sigma": [optim.sigma_min, optim.sigma_max],
        }


def globe_loss(denoiser: Denoiser, batch: Batch, optim: OptimConfig, answers: Answers | None = None) -> Losses:
    """`edm_loss` with the configured weight of coarse errors, as the loop takes it."""
    return Losses(*edm_loss(denoiser, batch, optim.coarse_weight, answers), batch.sigma)


def sized(config: Config | BridgeConfig) -> ModelConfig:
    """Description of the network whose size a configuration gives.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    size, data = config.network, config.data
    try:
        return ModelConfig(
            architecture="unet_healpix",
            model_channels=size.model_channels,
            label_dim=size.label_dim,
            label_dropout=size.label_dropout,
            out_channels=len(data.channels),
            condition_channels=2 + len(data.forcings) if data.scale == "climatology" else 1,
            level=data.zoom,
            calendar_include_legacy_bug=False,
            channel_mult=size.channel_mult,
            attn_resolutions=size.attn_resolutions,
            num_blocks=size.num_blocks,
        )
    except ValueError as error:
        raise ValueError(str(error).replace("model.json", "network")) from None


def _seen(data: TrainingData, label: str) -> dict[str, Any]:
    """What was seen of a label, over all its runs."""
    runs = [run for run in data.runs if run.label == label]
    times, held_out = (np.concatenate([getattr(run, name) for run in runs]) for name in ("times", "validation"))
    order = np.argsort(times, kind="stable")
    found = seen(times[order], held_out[order])
    gappy = {"gappy_instants": runs[0].gappy} if runs[0].gappy else {}
    return {**found, **gappy, **({} if len(runs) == 1 else {"runs": len(runs)})}
