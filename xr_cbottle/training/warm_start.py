"""Warm start: form, weights and statistics of a network that is there, such as a bottle's, for a run of other data.

Channels, labels and conditions are matched by name, never by place. What the old network does not have begins at 0
where it enters and where it leaves, and a new label as an old one: the new network draws what the old one did.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from xr_cbottle.bottle import checkpoint
from xr_cbottle.bottle.architecture import PATCH_ARCHITECTURES, BatchInfo, ModelConfig
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.network.edm import expert
from xr_cbottle.network.unet import Network, SphereUNet
from xr_cbottle.training.data import TrainingData

SEA, SEA_ANOMALY = "sst", "sst_anomaly"
_GROWN = ("out_channels", "condition_channels", "label_dim", "label_dropout", "enable_classifier")
_SHIFT, _RATIO = 0.05, 1.05  # of a deviation, and of deviations: what is said


@dataclass(frozen=True)
class Known:
    """A coarse network that is there: its description without its weights.

    Attributes
    ----------
    source
        As it was named.
    config, info
        Its form, and its channels with their statistics.
    labels
        Number of each label; empty where nothing is known of them.
    default_label
        The one that is drawn if nobody asks.
    conditions
        Names of the fields that it is told.
    bottle
        It is a part of this one, or a file by itself.
    part
        Its place among the bottle's parts.
    """

    source: str
    config: ModelConfig
    info: BatchInfo
    labels: Mapping[str, int]
    default_label: str | None
    conditions: tuple[str, ...]
    bottle: Bottle | None = None
    part: int = 0

    @property
    def climatology(self) -> Climatology | None:
        """Climatology about which it draws."""
        return None if self.bottle is None else self.bottle.climatology()

    def state(self) -> dict[str, Tensor]:
        """Weights, read anew each time."""
        return (checkpoint.read_part(self.source) if self.bottle is None else self.bottle.read_part(self.part)).state


def conditions(forcings: Sequence[str], anomalies: bool) -> tuple[str, ...]:
    """Names of the fields that a network is told: the sea, its anomaly where it draws anomalies, and the forcings."""
    return (SEA, SEA_ANOMALY, *forcings) if anomalies else (SEA,)


def known(source: str | os.PathLike[str], sigma_min: float, sigma_max: float) -> Known:
    """The coarse network of a bottle that is meant for some noise levels: its expert for the middle of them.

    Parameters
    ----------
    source
        A ``.cbottle`` file, its URL, the name of a bundled one, or a v1 checkpoint (``.checkpoint``). It may hold ``~``
        and environment variables.
    sigma_min, sigma_max
        The noise levels; their middle is that of their logarithms.

    Raises
    ------
    BottleError, FileNotFoundError
        If there is no such bottle.
    ValueError
        If the network is of several frames or of patches.
    """
    source = os.path.expanduser(os.path.expandvars(source))
    if Path(source).suffix == ".checkpoint":
        config, info = checkpoint.read_part_specs(source)
        told = (SEA, SEA_ANOMALY, *(f"condition {i}" for i in range(2, config.condition_channels)))
        found = Known(source, config, info, {}, None, told[: config.condition_channels])
    else:
        bottle = open_bottle(source)
        manifest = bottle.manifest
        coarse = [(part.sigma_min, i) for i, part in enumerate(manifest.coarse)]  # the first of the parts
        place = expert(coarse, math.sqrt(sigma_min * sigma_max))
        with bottle.open_part(place) as file:
            config, info = checkpoint.read_part_specs(file, manifest.parts[place].location)
        labels = {name: label.index for name, label in manifest.labels.items()}
        told = conditions(tuple(manifest.forcings), manifest.climatology is not None)
        found = Known(source, config, info, labels, manifest.default_label, told, bottle, place)
    if config.time_length > 1 or config.architecture in PATCH_ARCHITECTURES:
        kind = "of several frames" if config.time_length > 1 else "of patches"
        raise ValueError(f"network: from is {source}, a network {kind}: give one that draws single instants")
    return found


def numbers(labels: Sequence[str], old: Known) -> dict[str, int]:
    """Number of each label of a run: that of the old network, or the next that is free."""
    found = {name: old.labels[name] for name in labels if name in old.labels}
    free = (number for number in range(len(old.labels) + len(labels)) if number not in old.labels.values())
    return {name: found[name] if name in found else next(free) for name in labels}


def form(
    old: Known, *, channels: Sequence[str], told: Sequence[str], labels: Mapping[str, int], zoom: int, dropout: float
) -> ModelConfig:
    """Form of a network that goes on from an old one, with a run's channels, conditions and labels.

    Raises
    ------
    ValueError
        If the old network is of another zoom, or makes none of the channels.
    """
    if old.config.zoom != zoom:
        raise ValueError(
            f"network: from is {old.source}, whose network is of zoom {old.config.zoom}, but data: zoom is {zoom}: "
            "make them the same"
        )
    if not set(channels) & set(old.info.channels):
        raise ValueError(
            f"network: from is {old.source}, which makes none of the channels of this run: it makes "
            f"{', '.join(old.info.channels)}"
        )
    return dataclasses.replace(
        old.config, out_channels=len(channels), condition_channels=len(told), label_dropout=dropout,
        label_dim=max(old.config.label_dim, *(number + 1 for number in labels.values())), enable_classifier=False,
    )  # fmt: skip


@torch.no_grad()
def widened(
    old: Known,
    net: Network,
    wanted: ModelConfig,
    channels: Sequence[str],
    told: Sequence[str],
    labels: Mapping[str, int],
    like: Mapping[str, str] | None = None,
) -> dict[str, Tensor]:
    """Weights of an old network as a start for another one, which may make other channels and be told more.

    Parameters
    ----------
    old
        Whose weights are read.
    net, wanted
        The new network with its initial weights, and its description.
    channels, told, labels
        Of the new network: names of channels and of conditions, and the number of each label.
    like
        Old label as which a new one begins; the default of the old network if nothing is said.

    Raises
    ------
    ValueError
        If the two differ in more than channels, conditions and labels, or the old one is told what the new is not.
    """
    rest = dataclasses.replace(old.config, **{name: getattr(wanted, name) for name in _GROWN})
    if rest != wanted or wanted.label_dim < old.config.label_dim:
        grown = () if wanted.label_dim < old.config.label_dim else ("label_dim",)
        same = set(_GROWN) - {"label_dim"} | set(grown)
        names = [f.name for f in dataclasses.fields(wanted) if f.name not in same]
        differ = [name for name in names if getattr(old.config, name) != getattr(wanted, name)]
        raise ValueError(f"another network than this run: they differ in {', '.join(differ)}")
    if more := [name for name in old.conditions if name not in told]:
        raise ValueError(
            f"a network that is told of {', '.join(more)}, which this run does not tell it: add that to data"
        )
    model = cast(SphereUNet, net.model)
    pairs = [(i, list(channels).index(name)) for i, name in enumerate(old.info.channels) if name in channels]
    before, after = (list(places) for places in zip(*pairs, strict=True)) if pairs else ([], [])
    out = {name: value.clone() for name, value in net.state_dict().items()}
    first, last = (
        next(name for name in out if name.endswith(ending))
        for ending in (f"enc.{model.embed_name}.weight", f"dec.{model.aux_name}_conv.weight")
    )
    entering = {  # columns of the first layer: channels, conditions, calendar
        "old": [*before, *range(old.config.out_channels, old.config.out_channels + len(old.conditions))],
        "new": [*after, *(len(channels) + list(told).index(name) for name in old.conditions)],
    }
    for name, value in old.state().items():
        value = value.to(torch.float32)
        if name == first:
            calendar = value.shape[1] - old.config.out_channels - old.config.condition_channels
            out[name][:] = 0
            out[name][:, entering["new"]] = value[:, entering["old"]]
            out[name][:, -calendar:] = value[:, -calendar:]
        elif name in (last, last.replace(".weight", ".bias")):
            out[name][:] = 0
            out[name][after] = value[before]
        elif name.endswith("map_label.weight"):
            out[name][:] = _labels(value, old, wanted.label_dim, labels, like or {})
        elif name in out:  # the head of a classifier is not learnt
            out[name] = value
    return out


def _labels(weight: Tensor, old: Known, count: int, labels: Mapping[str, int], like: Mapping[str, str]) -> Tensor:
    """(width, count) of the labels; they are multiplied by the root of how many there may be."""
    known = weight * math.sqrt(weight.shape[1] / count)
    found = torch.zeros(len(weight), count)
    found[:, : weight.shape[1]] = known
    for name, number in labels.items():
        model = like.get(name, name if name in old.labels else old.default_label)
        if model is not None and model in old.labels:
            found[:, number] = known[:, old.labels[model]]
    return found


def check_like(like: Mapping[str, str], old: Known, labels: Sequence[str]) -> None:
    """Refuse labels that are to begin as others and cannot."""
    for name, model in like.items():
        if name not in labels:
            raise ValueError(f"network: like has {name!r}, but the sources are {', '.join(labels)}")
        if model not in old.labels:
            have = ", ".join(old.labels) or "none by name"
            raise ValueError(f"network: like is {model!r} for {name!r}; {old.source} has the labels {have}")


def summary(old: Known, data: TrainingData, kept: Collection[str] = ()) -> Iterator[str]:
    """Lines for people that say what a start from an old network takes over and what not, and which labels it keeps."""
    labels = [label.label for label in data.labels]
    new = {
        "channels begin at 0": [name for name in data.channels if name not in old.info.channels],
        "channels are not learnt": [name for name in old.info.channels if name not in data.channels],
        "labels are new": [name for name in labels if old.labels and name not in old.labels],
        "labels are kept": [name for name in old.labels if name in kept],
        "labels are not learnt": [name for name in old.labels if name not in labels and name not in kept],
    }
    yield f"starts from {old.source}: {sum(name in old.info.channels for name in data.channels)} channels that it makes"
    for what, names in new.items():
        if names:
            yield f"  {what}: {', '.join(names)}"
    differ = [*differences(old, data)]
    if differ:
        yield "  statistics of this run that are others than its own:"
    yield from (f"    {line}" for line in differ)


def differences(old: Known, data: TrainingData) -> Iterator[str]:
    """Channels whose statistics are others in a run than in the bottle that it starts from, a line each."""
    theirs, ours = old.climatology, data.climatology
    if (theirs is None) != (ours is None):
        yield "it draws " + ("fields" if theirs is None else "anomalies") + ", and this run learns the other"
        return
    if theirs is not None and ours is not None:
        for label in [name for name in ours.labels if name in theirs.labels]:
            yield from _of_climatologies(label, theirs, ours)
        return
    statistics = data.statistics
    for i, name in enumerate(old.info.channels):
        if name in data.channels:
            j = data.channels.index(name)
            mine = float(statistics.center[j]), float(statistics.scale[j])
            yield from _told(name, (old.info.center[i], old.info.scales[i]), mine)


def _of_climatologies(label: str, theirs: Climatology, ours: Climatology) -> Iterator[str]:
    for name in [name for name in ours.channels if name in theirs.channels]:
        found = []
        for one in (theirs, ours):
            c, i = one.channels.index(name), one.labels.index(label)
            mean = float(one.center[c] + one.scale[c] * one.mean[i, c, 0, 0].mean())
            found.append((mean, float(one.scale[c] * np.sqrt(np.mean(one.spread[i, c].astype(np.float64) ** 2)))))
        yield from _told(f"{name} of {label}", *found)


def _told(name: str, theirs: tuple[float, float], ours: tuple[float, float]) -> Iterator[str]:
    (mean, spread), (my_mean, my_spread) = theirs, ours
    ratio = my_spread / spread if spread else math.inf
    if not abs(my_mean - mean) <= _SHIFT * spread or not 1 / _RATIO <= ratio <= _RATIO:
        yield f"{name}: mean {my_mean:.5g} instead of {mean:.5g}, deviation {my_spread:.4g} instead of {spread:.4g}"
