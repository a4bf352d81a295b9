"""What a bridge is told, and turns from a state into another."""

from __future__ import annotations

import numpy as np
import torch

from xr_cbottle.network.bridging import DAY, told_ends, turned


def test_what_is_there_is_told_and_what_is_not_is_0():
    before, after = torch.full((4, 2, 1, 12), 3.0), torch.full((4, 2, 1, 12), -5.0)
    before[0, 1] = torch.nan
    have = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0]], dtype=torch.bool)
    told = told_ends(before, after, have, torch.tensor([DAY // 4, DAY, 8 * DAY, DAY]))
    assert told.shape == (4, 7, 1, 12)
    assert torch.equal(told, told[..., :1].expand_as(told))
    assert told[:, :, 0, 0].tolist() == [
        [3, 0, -5, -5, 1, 1, -0.5],
        [3, 3, 0, 0, 1, 0, 0],
        [0, 0, -5, -5, 0, 1, 0.75],
        [0, 0, 0, 0, 0, 0, 0],
    ]


def test_a_turn_keeps_the_variance_and_ends_where_it_should():
    rng = np.random.default_rng(0)
    before = torch.from_numpy(rng.normal(size=(3, 2, 5000)))
    after = 0.8 * before + 0.6 * torch.from_numpy(rng.normal(size=(3, 2, 5000)))
    for share in (0.0, 0.5, 1.0):
        made = turned(before, after, torch.full((3,), share))
        np.testing.assert_allclose(made.var(-1), 1, atol=0.05)
        straight = (1 - share) * before + share * after
        assert abs(float(straight.var(-1).mean()) - (0.9 if share == 0.5 else 1)) < 0.02
    np.testing.assert_allclose(turned(before, after, torch.zeros(3)), before, atol=1e-12)
    np.testing.assert_allclose(turned(before, after, torch.ones(3)), after, atol=1e-12)
    np.testing.assert_allclose(turned(before, before, torch.full((3,), 0.3)), before, atol=1e-12)
    assert torch.isfinite(turned(0 * before, after, torch.full((3,), 0.3))).all()
    one, two = (
        turned(before, after, torch.tensor([0.2, 0.4, 0.6])),
        turned(before[1:2], after[1:2], torch.tensor([0.4])),
    )
    assert torch.equal(one[1:2], two)  # in any company
