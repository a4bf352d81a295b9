"""Inputs of a bridge beside the conditions of a coarse network: the states before and after, and how far they lie.

A bridge draws the state half way between two states, or at some distance after or before the only one that there is. It
is the coarse network with further inputs: where these are 0 it draws as that does.
"""

from __future__ import annotations

import torch
from torch import Tensor

DAY = 86400
_OCTAVES = 4.0  # of distance, by which the number that tells it changes by 1


def told_ends(before: Tensor, after: Tensor, have: Tensor, seconds: Tensor) -> Tensor:
    """Fields that tell a bridge of the states before and after, (batch, 2 channel + 3, 1, cell).

    Parameters
    ----------
    before, after
        (batch, channel, 1, cell) states as a network draws them; NaN, where a data set lacks a channel, is told as 0.
    have
        (batch, 2) whether there is a state before, and one after; what is not there is told as 0.
    seconds
        (batch,) from the state that is there to the one that is drawn: the same for both if both are there.

    Returns
    -------
    The two states, whether they are there (1 or 0), and a quarter of the binary logarithm of the distance in days; 0 if
    neither is there.
    """
    shape = len(before), 1, 1, before.shape[-1]
    there = have.to(before.dtype).reshape(-1, 2, 1, 1)
    far = torch.where(have.any(1), torch.log2(seconds.to(torch.float64) / DAY) / _OCTAVES, 0.0).to(before.dtype)
    known = [torch.nan_to_num(state).masked_fill(there[:, [i]] == 0, 0) for i, state in enumerate((before, after))]
    flags = [there[:, [i]].expand(shape) for i in range(2)]
    return torch.cat([*known, *flags, far.reshape(-1, 1, 1, 1).expand(shape)], 1)


def turned(before: Tensor, after: Tensor, share: Tensor) -> Tensor:
    """States between two that are so near that nothing happens between them but a turn from one into the other.

    Along the great circle from one to the other (Shoemake 1985, doi:10.1145/325165.325242), each channel by itself: the
    variance over the cells stays that of the two, as that of a straight line between them would not.

    Parameters
    ----------
    before, after
        (batch, channel, cell) states.
    share
        (batch,) of the way from one to the other, 0 to 1.

    Returns
    -------
    (batch, channel, cell)
    """
    norms = before.norm(dim=-1) * after.norm(dim=-1)
    cosine = ((before * after).sum(-1) / norms.clamp(min=1e-300)).clamp(-1, 1)
    angle, way = torch.acos(cosine)[..., None], share.to(before.dtype).reshape(-1, 1, 1)
    sine = torch.sin(angle)
    straight = sine < 1e-6  # the same state twice, or its opposite: a straight line
    sine = torch.where(straight, 1.0, sine)
    first = torch.where(straight, 1 - way, torch.sin((1 - way) * angle) / sine)
    second = torch.where(straight, way, torch.sin(way * angle) / sine)
    return first * before + second * after
