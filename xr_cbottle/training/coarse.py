"""The coarse network as a case: instants of the globe, of several labels."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from torch import Tensor

from xr_cbottle.bottle.architecture import BatchInfo, ModelConfig
from xr_cbottle.bottle.records import ForcingSpec
from xr_cbottle.fields.series import Series
from xr_cbottle.network import unet
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.training import warm_start
from xr_cbottle.training.batches import Batch, Batches
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.case import Losses, digest_of, seen
from xr_cbottle.training.config import Config, OptimConfig
from xr_cbottle.training.data import TrainingData, prepare
from xr_cbottle.training.loss import edm_loss
from xr_cbottle.training.run_sources import expanded
from xr_cbottle.training.start import start
from xr_cbottle.training.warm_start import Known


class Coarse:
    """The case of the network that draws instants; `xr_cbottle.training.case.TrainingCase` documents its methods."""

    def __init__(self, config: Config, folder: str | os.PathLike[str], *, progress: bool = True) -> None:
        self.config, self.packing = config, config.bottle
        self.model_config = model_config(config)  # refused before hours of reading
        self.data = prepare(config.data, folder, progress=progress)
        if progress:
            print(
                *(f"note: {line}" for line in self.data.said),
                sep="\n",
                end="\n" * bool(self.data.said),
                file=sys.stderr,
            )
        bottle_forcings(config, self.data)  # refused before hours of training
        labels = [label.label for label in self.data.labels]
        self.old = old_network(config)
        self.numbers = label_numbers(labels, self.old)
        if self.old is not None:
            warm_start.check_like(config.network.like, self.old, labels)
            if config.network.statistics == "bottle":
                self.data = renormalised(self.data, self.old.info, self.old.source)
        self.batches = Batches(config, self.data, self.numbers, self.model_config.label_dim)

    @property
    def data_digest(self) -> str:
        """Digest of the data, see `data_digest`."""
        return data_digest(self.data)

    def network(self) -> unet.Network:
        """The network with its initial weights."""
        net = unet.build(self.model_config)
        if self.config.network.start == "informed":
            start(net, self.data.statistics)
        return net

    def begun(self, net: unet.Network, source: str | None) -> tuple[dict[str, Tensor], list[str]] | None:
        """Weights of the network or bottle that the run starts from, and what is to be said; None without one."""
        optim = self.config.training
        old = self.old if source is None else warm_start.known(source, optim.sigma_min, optim.sigma_max)
        if old is None:
            return None
        told = warm_start.conditions(tuple(self.data.forcings), self.data.climatology is not None)
        try:
            state = warm_start.widened(
                old, net, self.model_config, self.data.channels, told, self.numbers, self.config.network.like
            )
        except ValueError as error:
            where = "network: from" if source is None else "training: initial"
            raise ValueError(f"{where} is {old.source}, which has {error}") from None
        return state, [*warm_start.summary(old, self.data)]

    def loss(self, denoiser: Denoiser, batch: Batch, optim: OptimConfig) -> Losses:
        """Losses of EDM, of the state and of its means over ever larger squares of cells."""
        return coarse_loss(denoiser, batch, optim)

    def facts(self) -> dict[str, Any]:
        """Facts for the manifest about the data and the network."""
        facts = globe_facts(self.config, self.data, self.model_config)
        return {**facts, **_response(self.data)}


def globe_facts(config: Config | BridgeConfig, data: TrainingData, size: ModelConfig) -> dict[str, Any]:
    """Facts of a run on globes: its data, its network and its noise levels."""
    optim, start = config.training, config.network.from_
    return {
        "data": {
            label.label: {**_seen(data, label.label), "time_of_day_jitter_hours": label.jitter_hours}
            for label in data.labels
        },
        "started_from": os.path.basename(optim.initial or start or "") or None,
        "network": {
            "model_channels": size.model_channels,
            "channel_mult": list(size.channel_mult),
            "num_blocks": size.num_blocks,
            "attn_resolutions": list(size.attn_resolutions),
        },
        "sigma": [optim.sigma_min, optim.sigma_max],
    }


def data_digest(data: TrainingData) -> str:
    """Digest of times, statistics and some instants of all runs."""
    parts = [data.statistics.center, data.statistics.scale]
    for run in data.runs:
        parts += [np.frombuffer(run.label.encode(), np.uint8), run.times, run.validation]
        parts += [np.nan_to_num(np.asarray(run.values[i])) for i in (0, -1)]
    return digest_of(*parts)


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
    gappy = {"gappy_instants": runs[0].gappy} if runs[0].gappy else {}
    return {**found, **gappy, **({} if len(runs) == 1 else {"runs": len(runs)})}


def _response(data: TrainingData) -> dict[str, Any]:
    """Ranges of what the climatology moves with."""
    known = None if data.climatology is None else data.climatology.response
    if known is None:
        return {}
    return {"response": {name: known.learnt[i].tolist() for i, name in enumerate(known.predictors)}}


def coarse_loss(denoiser: Denoiser, batch: Batch, optim: OptimConfig) -> Losses:
    """`edm_loss` with the configured weight of coarse errors, as the loop takes it."""
    return Losses(*edm_loss(denoiser, batch, optim.coarse_weight), batch.sigma)


def old_network(config: Config) -> Known | None:
    """The network that a configuration says to start from."""
    source, optim = config.network.from_, config.training
    return None if source is None else warm_start.known(source, optim.sigma_min, optim.sigma_max)


def label_numbers(labels: Sequence[str], old: Known | None) -> dict[str, int]:
    """Number of each label in the network: in their order, or as in the network that is started from."""
    return {name: i for i, name in enumerate(labels)} if old is None else warm_start.numbers(labels, old)


def renormalised(data: TrainingData, info: BatchInfo, source: str) -> TrainingData:
    """Data as a network's statistics normalise them, where they are those of channels and of no climatology."""
    if missing := [name for name in data.channels if name not in info.channels]:
        raise ValueError(f"network: statistics is 'bottle', but {source} has none of {', '.join(missing)}: say run")
    places = [info.channels.index(name) for name in data.channels]
    center, scale = np.array(info.center)[places], np.array(info.scales)[places]
    mine = data.statistics
    factor, offset = mine.scale / scale, (mine.center - center) / scale
    runs = tuple(dataclasses.replace(run, values=cast(Any, Rescaled(run.values, factor, offset))) for run in data.runs)
    return dataclasses.replace(data, runs=runs, statistics=dataclasses.replace(mine, center=center, scale=scale))


@dataclasses.dataclass(frozen=True, eq=False)
class Rescaled:
    """(n, channel, cell) array each instant of which is multiplied and shifted, by channel, when it is read."""

    values: Any
    factor: Any
    offset: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.values.shape)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self.values[index], np.float32) * self.factor[:, None] + self.offset[:, None]


def model_config(config: Config | BridgeConfig) -> ModelConfig:
    """Description of the network that a configuration asks for.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    try:
        return _model_config(config)
    except ValueError as error:
        raise ValueError(str(error).replace("model.json", "network")) from None


def _model_config(config: Config | BridgeConfig) -> ModelConfig:
    size, data = config.network, config.data
    if isinstance(config, Config) and (old := old_network(config)) is not None:
        return warm_start.form(
            old, channels=data.channels, told=warm_start.conditions(tuple(data.forcings), data.scale == "climatology"),
            labels=label_numbers(data.labels, old), zoom=data.zoom, dropout=size.label_dropout,
        )  # fmt: skip
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
