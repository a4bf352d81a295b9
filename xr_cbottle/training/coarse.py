"""The coarse network as a case: instants of the globe, of several labels."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.bottle.records import ForcingSpec
from xr_cbottle.fields.series import Series
from xr_cbottle.network import unet
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.training.batches import Batch, Batches
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.case import Losses, seen
from xr_cbottle.training.config import Config, OptimConfig
from xr_cbottle.training.data import TrainingData, prepare
from xr_cbottle.training.loss import edm_loss
from xr_cbottle.training.run_sources import expanded
from xr_cbottle.training.start import start


class Coarse:
    """The case of the network that draws instants; `xr_cbottle.training.case.TrainingCase` documents its methods."""

    def __init__(self, config: Config, folder: str | os.PathLike[str], *, progress: bool = True) -> None:
        self.config, self.packing = config, config.bottle
        self.data = prepare(config.data, folder, progress=progress)
        bottle_forcings(config, self.data)  # refused before hours of training
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
        return {**globe_facts(self.config, self.data), **_response(self.data)}


def globe_facts(config: Config | BridgeConfig, data: TrainingData) -> dict[str, Any]:
    """Facts of a run on globes: its data, its network and its noise levels."""
    size, optim = config.network, config.training
    return {
        "data": {
            label.label: {**_seen(data, label.label), "time_of_day_jitter_hours": label.jitter_hours}
            for label in data.labels
        },
        "started_from": optim.initial and os.path.basename(optim.initial),
        "network": {
            "model_channels": size.model_channels,
            "channel_mult": list(size.channel_mult),
            "num_blocks": size.num_blocks,
            "attn_resolutions": list(size.attn_resolutions),
        },
        "sigma": [optim.sigma_min, optim.sigma_max],
    }


def bottle_forcings(config: Config, data: TrainingData) -> dict[str, ForcingSpec]:
    """Forcings as the bottle has them, each with the series of the bottle's own years.

    Raises
    ------
    ValueError
        If a series leaves the range of the runs.
    """
    start, end = (np.datetime64(time, "s") for time in (config.bottle.start, config.bottle.end))
    found = {}
    for name, spec in data.forcings.items():
        series = Series.of(expanded(config.data.forcings[name].series), name, spec.units)
        between = series.times[(series.times > start) & (series.times < end)]
        stamps = np.unique([start, *between, end]) if len(series.times) else series.times
        values = series.at(stamps) if len(stamps) else series.values
        if values.min() < spec.low or values.max() > spec.high:
            raise ValueError(
                f"data: forcings: {name}: the series of the bottle's own years goes from {values.min():g} to "
                f"{values.max():g} {spec.units}, and its runs teach {spec.low:g} to {spec.high:g}: give another "
                "series, or more runs"
            )
        times = tuple(np.datetime_as_string(stamps, unit="s").tolist())
        found[name] = dataclasses.replace(spec, times=times, values=tuple(values.tolist()))
    return found


def _seen(data: TrainingData, label: str) -> dict[str, Any]:
    """What was seen of a label, over all its runs."""
    runs = [run for run in data.runs if run.label == label]
    times, held_out = (np.concatenate([getattr(run, name) for run in runs]) for name in ("times", "validation"))
    order = np.argsort(times, kind="stable")
    found = seen(times[order], held_out[order])
    return found if len(runs) == 1 else {**found, "runs": len(runs)}


def _response(data: TrainingData) -> dict[str, Any]:
    """Ranges of what the climatology moves with."""
    known = None if data.climatology is None else data.climatology.response
    if known is None:
        return {}
    return {"response": {name: known.learnt[i].tolist() for i, name in enumerate(known.predictors)}}


def coarse_loss(denoiser: Denoiser, batch: Batch, optim: OptimConfig) -> Losses:
    """`edm_loss` with the configured weight of coarse errors, as the loop takes it."""
    return Losses(*edm_loss(denoiser, batch, optim.coarse_weight), batch.sigma)


def model_config(config: Config | BridgeConfig) -> ModelConfig:
    """Description of the network that a configuration asks for."""
    size = config.network
    return ModelConfig(
        architecture="unet_healpix",
        model_channels=size.model_channels,
        label_dim=size.label_dim,
        label_dropout=size.label_dropout,
        out_channels=len(config.data.channels),
        condition_channels=2 + len(config.data.forcings) if config.data.scale == "climatology" else 1,
        level=config.data.zoom,
        calendar_include_legacy_bug=False,
        channel_mult=size.channel_mult,
        attn_resolutions=size.attn_resolutions,
        num_blocks=size.num_blocks,
    )
