"""Start of training: weights that are known beforehand, beyond chance.

A U-Net that is hardly wider than its fields spends most of a short training on two things that can be written
down: the mean year, and that what differs from cell to cell is mostly noise. Both are only a start: every weight
stays free. The state dict is that of any other network of its size. Better still are the weights of a bottle that was
trained on something alike, see `xr_cbottle.training.warm_start`.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from xr_cbottle.network.unet import Conv, GroupNorm, Network, SphereUNet, UNet
from xr_cbottle.training.statistics import Statistics


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
