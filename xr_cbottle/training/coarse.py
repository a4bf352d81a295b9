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
from xr_cbottle.training import warm_start
from xr_cbottle.training.batches import Batches
from xr_cbottle.training.case import digest_of
from xr_cbottle.training.config import Config
from xr_cbottle.training.data import LabelData, TrainingData, prepare
from xr_cbottle.training.globe_case import GlobeCase, sized
from xr_cbottle.training.replay import OldAnswers, kept_labels, replayed
from xr_cbottle.training.run_sources import expanded
from xr_cbottle.training.warm_start import Known


class Coarse(GlobeCase):
    """The case of the network that draws instants.

    Attributes
    ----------
    old
        The network that it starts from.
    """

    config: Config

    def __init__(self, config: Config, folder: str | os.PathLike[str], *, progress: bool = True) -> None:
        self.config, self.packing = config, config.bottle
        self.model_config = model_config(config)  # refused before hours of reading
        self.old = old_network(config)
        self.kept = kept_labels(config, self.old)
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
        self.numbers = label_numbers(labels, self.old)
        if self.old is not None:
            warm_start.check_like(config.network.like, self.old, labels)
            if config.network.statistics == "bottle":
                self.data = renormalised(self.data, self.old.info, self.old.source)
        self.batches = Batches(
            config, self.data, self.numbers, self.model_config.label_dim, *self._replayed(folder, progress)
        )

    @property
    def data_digest(self) -> str:
        """Digest of the data, and of the bottle whose labels are kept."""
        found = super().data_digest
        if self.old is None or self.old.bottle is None or not self.kept:
            return found
        return digest_of(np.frombuffer(f"{found} {self.old.bottle.digest}".encode(), np.uint8))

    def _replayed(self, folder: str | os.PathLike[str], progress: bool) -> tuple[tuple[LabelData, ...], int]:
        """Instants of the labels that are kept, and how often they come."""
        replay, old = self.config.network.replay, self.old
        if replay is None or old is None or old.bottle is None:
            return (), 0
        self.numbers |= {label: old.labels[label] for label in self.kept}
        self.answers = OldAnswers(old.bottle)
        where = self.config.data.cache or folder
        return replayed(old, self.kept, replay.instants, where, progress=progress), replay.every

    def begun(self, net: unet.Network, source: str | None) -> tuple[dict[str, Tensor], list[str]] | None:
        """Weights of the network or bottle that the run starts from, and what is to be said; None without one."""
        optim = self.config.training
        old = self.old if source is None else warm_start.known(source, optim.sigma_min, optim.sigma_max)
        if old is None:
            return None
        where = "network: from" if source is None else "training: initial"
        return self.started(net, old, where, like=self.config.network.like)

    def facts(self) -> dict[str, Any]:
        """Facts for the manifest about the data and the network."""
        replay = self.config.network.replay
        kept = {} if replay is None else {"replayed": {"labels": [*self.kept], **dataclasses.asdict(replay)}}
        return {**super().facts(), **kept, **_response(self.data)}


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


def _response(data: TrainingData) -> dict[str, Any]:
    """Ranges of what the climatology moves with."""
    known = None if data.climatology is None else data.climatology.response
    if known is None:
        return {}
    return {"response": {name: known.learnt[i].tolist() for i, name in enumerate(known.predictors)}}


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


def model_config(config: Config) -> ModelConfig:
    """Description of the network that a configuration asks for, or has by the one that it starts from.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    if (old := old_network(config)) is None:
        return sized(config)
    data = config.data
    told = warm_start.conditions(tuple(data.forcings), data.scale == "climatology")
    try:
        return warm_start.form(
            old, channels=data.channels, told=told, labels=label_numbers(data.labels, old), zoom=data.zoom,
            dropout=config.network.label_dropout,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(str(error).replace("model.json", "network")) from None
