"""Inputs of a video network beside the conditions of a coarse network: the frames of its window that are given.

A video network draws all frames of a window at once. Any of them may be given: it was trained with none, with some at
either end, with both ends, and with some at random (NVlabs/cBottle, ``src/cbottle/training/video/frame_masker.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor


def told_frames(frames: Tensor, have: Tensor, condition: Tensor) -> Tensor:
    """Fields that a video network is told, (batch, channel + condition + 1, frame, cell).

    Parameters
    ----------
    frames
        (batch, channel, frame, cell) as the network draws them; what is not given is not looked at. NaN, where a data
        set lacks a channel, is told as 0.
    have
        (batch, frame) whether a frame is given.
    condition
        (batch, condition, frame, cell) that a coarse network is told too.

    Returns
    -------
    The given frames and 0 where none is given, the conditions, and 1 in the given frames and 0 in the others.
    """
    there = have[:, None, :, None]
    known = torch.where(there, torch.nan_to_num(frames), 0.0).to(condition.dtype)
    mask = there.to(condition.dtype).expand(-1, 1, -1, condition.shape[-1])
    return torch.cat([known, condition, mask], 1)
