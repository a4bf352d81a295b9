"""Denoisers under the labels of a bottle: channels that are lent, and gaps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bottles import synthetic_bottle
from xr_cbottle.bottle.gaps import Gaps
from xr_cbottle.bottle.records import GapsSpec, LabelSpec
from xr_cbottle.draw.emulator import Emulator, Sampler
from xr_cbottle.draw.label_denoisers import LabelDenoisers
from xr_cbottle.grid import healpix

LABELS = {"a": LabelSpec(0), "b": LabelSpec(1, ("rlut",), "a")}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    path: Path = tmp_path_factory.mktemp("bottles") / "x.cbottle"
    return Emulator(synthetic_bottle(path, labels=LABELS), sampler=Sampler(2, 79.0, 80.0), device="cpu")


def test_masked_channels_come_from_the_donor(one: Emulator) -> None:
    """One step, no noise left: the lent channel equals the donor's, the others do not."""
    model = one.model.experts[0][1]
    x = torch.randn(one.batch_size, 8, 1, 192, dtype=torch.float64)
    inputs = dict(
        condition=torch.zeros(one.batch_size, 1, 1, 192),
        second_of_day=torch.zeros(one.batch_size, 1), day_of_year=torch.zeros(one.batch_size, 1),
    )  # fmt: skip
    sigma = torch.tensor(5.0, dtype=torch.float64)
    with torch.inference_mode():
        lent, own = one.denoise("b", **inputs)(x, sigma), one.denoise("a", **inputs)(x, sigma)
        direct = model(x, sigma.expand(len(x)), labels=torch.eye(2)[[1] * len(x)], **inputs)
    rlut = one.channels.index("rlut")
    torch.testing.assert_close(lent[:, rlut], own[:, rlut])
    assert (lent[:, 0] - own[:, 0]).abs().max() > 1e-3
    assert (lent[:, rlut] - direct[:, rlut]).abs().max() > 1e-3


def told_apart(denoisers: LabelDenoisers, label: str, x: torch.Tensor) -> torch.Tensor:
    """Denoised by networks that give what they see, and 100 more under another label than the one asked for."""

    def under(name: str | None, without: torch.Tensor | None):
        return lambda x, sigma: x + 100.0 * (name != label) + (0.0 if without is None else 1000.0 * without)

    return denoisers.lent(label, under)(x, torch.tensor(1.0))


def test_a_donor_lends_what_is_lacking_alone_and_sees_all(one: Emulator) -> None:
    x = torch.ones(1, 8, 1, 192)
    lent = one.channels.index("rlut")
    torch.testing.assert_close(told_apart(one.denoisers, "a", x), x)
    found = told_apart(one.denoisers, "b", x)
    assert (found[:, lent] == 101).all()
    assert (np.delete(found.numpy(), lent, 1) == 1).all()


def test_without_a_donor_the_network_sees_nothing_of_what_is_lacking(one: Emulator) -> None:
    gaps = GapsSpec("gaps.nc", shares={"b": {"rlut": 1.0}})
    manifest = dataclasses.replace(one.bottle.manifest, labels={**LABELS, "b": LabelSpec(1, ("rlut",))}, gaps=gaps)
    found = told_apart(dataclasses.replace(one.denoisers, manifest=manifest), "b", torch.ones(1, 8, 1, 192))
    lacking = one.channels.index("rlut")
    assert (found[:, lacking] == 1000).all()  # which is made of 0, and told that it lacks it
    assert (np.delete(found.numpy(), lacking, 1) == 1).all()


def test_gaps_of_a_label_are_zero_and_no_others(one: Emulator) -> None:
    absent = np.zeros((2, 8, 192), bool)
    absent[0, 3, :5] = absent[1, 4, 7] = True
    known = dataclasses.replace(one.denoisers, gaps=Gaps(("a", "b"), one.channels, absent))
    for i, label in enumerate(("a", "b")):
        found = told_apart(known, label, torch.ones(1, 8, 1, 192)).numpy()[0, :, 0][:, healpix.padxy_to_nest(2)]
        np.testing.assert_array_equal(found == 0, absent[i])
