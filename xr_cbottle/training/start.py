"""Start of training: weights that are known beforehand, beyond chance.

A U-Net that is hardly wider than its fields spends most of a short training on two things that can be written
down: the mean year, and that what differs from cell to cell is mostly noise. Both are only a start: every weight
stays free. The state dict is that of any other network of its size. Better still are the weights of a bottle that was
trained on something alike.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.checkpoint import Part
from xr_cbottle.network.edm import expert
from xr_cbottle.network.unet import Conv, GroupNorm, Network, SphereUNet, UNet
from xr_cbottle.training.statistics import Statistics


def from_bottle(bottle: str | os.PathLike[str], sigma_min: float, sigma_max: float) -> Part:
    """The coarse network of a bottle that is meant for some noise levels: its expert for the middle of them.

    Parameters
    ----------
    bottle
        A ``.cbottle`` file, its URL, or the name of a bundled one.
    sigma_min, sigma_max
        The noise levels; their middle is that of their logarithms.

    Raises
    ------
    BottleError, FileNotFoundError
        If there is no such bottle.
    """
    opened = open_bottle(bottle)
    coarse = [(part.sigma_min, i) for i, part in enumerate(opened.manifest.coarse)]  # the first of the parts
    return opened.read_part(expert(coarse, math.sqrt(sigma_min * sigma_max)))


@torch.no_grad()
def widened(
    state: Mapping[str, Tensor],
    known: ModelConfig,
    channels: Sequence[str],
    net: Network,
    wanted: ModelConfig,
    all_channels: Sequence[str],
) -> dict[str, Tensor]:
    """Weights of a network as a start for a larger one, which makes more channels or is told more.

    What the smaller network does not have begins at 0, where it enters and where it leaves: the larger one draws what
    the smaller did, whatever it is told beside.

    Parameters
    ----------
    state, known, channels
        Weights of the smaller network, its description, and the names of its channels.
    net, wanted, all_channels
        The larger network with its initial weights, its description, and the names of its channels, those of the
        smaller among them in any order.

    Raises
    ------
    ValueError
        If the two differ in more than channels, conditions and labels.
    """  # fmt: skip
    grown = ("out_channels", "condition_channels", "label_dim")
    rest = dataclasses.replace(known, **{name: getattr(wanted, name) for name in grown})
    fewer = all(getattr(known, name) <= getattr(wanted, name) for name in grown)
    if rest != dataclasses.replace(wanted, label_dropout=rest.label_dropout) or not fewer:
        differ = [f.name for f in dataclasses.fields(wanted) if getattr(known, f.name) != getattr(wanted, f.name)]
        raise ValueError(f"another network than this run: they differ in {', '.join(differ)}")
    if missing := [name for name in channels if name not in all_channels]:
        raise ValueError(f"a network of channels that this run has not: {', '.join(missing)}")
    model = cast(SphereUNet, net.model)
    places = [list(all_channels).index(name) for name in channels]
    out = {name: value.clone() for name, value in net.state_dict().items()}
    first, last = (
        next(name for name in out if name.endswith(ending))
        for ending in (f"enc.{model.embed_name}.weight", f"dec.{model.aux_name}_conv.weight")
    )
    total = wanted.out_channels
    told = list(range(total, total + known.condition_channels))
    calendar = list(range(total + wanted.condition_channels, out[first].shape[1]))
    for name, value in state.items():
        if name == first:
            out[name][:] = 0
            out[name][:, [*places, *told, *calendar]] = value.to(out[name].dtype)
        elif name in (last, last.replace(".weight", ".bias")):
            out[name][:] = 0
            out[name][places] = value.to(out[name].dtype)
        elif name.endswith("map_label.weight"):
            # Labels are multiplied by the root of how many there may be.
            out[name][:] = 0
            out[name][:, : known.label_dim] = value * math.sqrt(known.label_dim / wanted.label_dim)
        else:
            out[name] = value.to(out[name].dtype)
    return out


@torch.no_grad()
def start(net: Network, statistics: Statistics) -> None:
    """Set the first and last layers and the position embedding.

    The first ``2 out_channels`` of the network's channels (as many as fit) are each field at its cell and the
    difference of that from its neighbours; the last block begins by passing them on, so that the last convolution
    sees them normalised: at low noise the second half *is* the noise. The other channels begin with the position
    embedding, the leading patterns of the mean year.
    """
    model = cast(SphereUNet, net.model)
    kept = pass_on(model, statistics.center.size)
    patterns = mean_year_patterns(statistics, model.width - kept)
    model.pos_embed[:kept] = 0
    model.pos_embed[kept : kept + len(patterns), 0] = torch.from_numpy(patterns)


@torch.no_grad()
def pass_on(model: UNet, fields: int) -> int:
    """Set the first and last layers as `start` says; returns how many of the network's channels that takes."""
    width = model.width
    cells, edges = min(fields, width // 3), min(fields, width // 3)
    if width >= 2 * fields + 4:
        cells = edges = fields
    kept = cells + edges

    first = cast(Conv, model.enc[model.embed_name]).weight
    first[:kept] = 0
    for i in range(cells):
        first[i, i, 1, 1] = 1
    for i in range(edges):
        first[cells + i, i] = -0.125
        first[cells + i, i, 1, 1] = 1

    last = list(model.blocks(model.dec))[-1]
    skip = cast(Conv, last.skip).weight[:, :, 0, 0]  # of (what comes from below, output of the first layer)
    below = skip.shape[1] - width
    skip[:kept, :below] = 0
    skip[:, below:] = torch.eye(width)
    norm = cast(GroupNorm, model.dec[f"{model.aux_name}_norm"])
    norm.bias[cells:kept] = 2  # where silu is nearly linear
    return kept


def mean_year_patterns(statistics: Statistics, count: int) -> np.ndarray:
    """(at most count, cell PAD_XY) leading patterns of all channels' mean, cosine and sine maps, of unit variance."""
    maps = statistics.climatology.reshape(-1, statistics.climatology.shape[-1]).astype(np.float64)
    maps = maps[np.isfinite(maps).all(1)]
    maps = maps - maps.mean(1, keepdims=True)
    maps /= np.sqrt(maps.std(1, keepdims=True)) + 1e-6  # strong maps first, without drowning the others
    patterns = np.linalg.svd(maps, full_matrices=False)[2][:count]
    return (patterns / (patterns.std(1, keepdims=True) + 1e-12)).astype(np.float32)
