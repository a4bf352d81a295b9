"""What a video network is told of the frames that are given."""

from __future__ import annotations

import torch

from xr_cbottle.network.given_frames import told_frames


def test_given_frames_then_conditions_then_the_mask():
    """As NVlabs/cBottle has it: 45 masked frames, the SST, the mask."""
    frames = torch.arange(1.0, 13).view(1, 2, 3, 2).repeat(2, 1, 1, 1)
    frames[0, 1, 2] = torch.nan
    have = torch.tensor([[True, False, True], [False, False, False]])
    told = told_frames(frames, have, torch.full((2, 1, 3, 2), 7.0))
    assert told.shape == (2, 4, 3, 2)
    assert told[0, :, :, 0].tolist() == [[1, 0, 5], [7, 0, 0], [7, 7, 7], [1, 0, 1]]
    assert told[1, :, :, 0].tolist() == [[0, 0, 0], [0, 0, 0], [7, 7, 7], [0, 0, 0]]
