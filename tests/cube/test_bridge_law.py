"""The law of bridged series, with networks that are exact: of waves that travel, and forget what they were.

What a network that has learnt perfectly would say is known in closed form there. All else is the real thing: the tree,
the cache, the sampler, and what the network is told.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from tests import bottles
from xr_cbottle import Cube, continue_from
from xr_cbottle.bottle.records import BridgeSpec
from xr_cbottle.bottle.sampler import SamplerDefaults
from xr_cbottle.cube import cache
from xr_cbottle.draw import bridge, emulator, models
from xr_cbottle.grid import healpix
from xr_cbottle.network.edm import Denoiser, preconditioning
from xr_cbottle.network.unet import Network

HOURS = np.array([60.0, 20.0])
"""After which the correlation of the two channels has fallen to 1 / e, for who travels with them."""
CELLS = np.array([1, -2])
"""By how many cells, in the network's order of them, each channel travels in six hours."""
CHANNELS = ("tas", "Z500")
TREE = BridgeSpec("PT6H", "P16D", ("a", "b")).tree()


class Exact(Network):
    """The network of an exact denoiser of such waves, of variance 1, given the states that it is told of."""

    def __init__(self, told: bool) -> None:
        nn.Module.__init__(self)
        self.model = nn.Module()
        self.model.map_layer0 = nn.Linear(1, 1)
        self.told = told

    def forward(self, inputs, c_noise, *_):
        sigma = (4 * c_noise.double()).exp()
        c_skip, c_out, c_in, _ = (factor.view(-1, 1, 1, 1) for factor in preconditioning(sigma))
        x, mean, variance = inputs[:, :2].double() / c_in, 0.0, torch.ones(len(sigma), 2, 1, 1, dtype=torch.float64)
        if self.told:
            before, after, have, far = inputs[:, -7:-5], inputs[:, -5:-3], inputs[:, -3:-1], inputs[:, -1:]
            hours = 24 * 2 ** (4 * far[..., :1].double())
            rho = torch.exp(-hours / torch.from_numpy(HOURS).view(1, 2, 1, 1))
            count = have[..., :1].sum(1, keepdim=True).double()
            share = torch.where(count == 2, rho / (1 + rho**2), rho)
            mean = share * (moved(before.double(), hours / 6) + moved(after.double(), -hours / 6))
            one, two = 1 - rho**2, (1 - rho**2) / (1 + rho**2)
            variance = torch.where(count == 2, two, torch.where(count == 1, one, 1.0))
        square = sigma.view(-1, 1, 1, 1) ** 2
        denoised = (variance * x + square * mean) / (variance + square)
        return ((denoised - c_skip * x) / c_out).float(), None


def moved(state, steps):
    """States (batch, channel, 1, cell) as they have travelled after so many steps (batch, 1, 1, 1) of six hours."""
    far = steps.round().long() * torch.from_numpy(CELLS).view(1, 2, 1, 1)
    return state.gather(-1, (torch.arange(state.shape[-1]) - far) % state.shape[-1])


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    spec = BridgeSpec("PT6H", "P16D", ("a", "b"))
    return bottles.synthetic_bottle(
        tmp_path_factory.mktemp("law") / "law.cbottle", channels=CHANNELS, bridge=spec,
        sampler=SamplerDefaults(num_steps=24, sigma_max=40.0),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Put the exact networks in the place of the bottle's."""
    coarse, between = models.load_model, models.load_bridge

    def with_exact(load, told):
        known = {}

        def loaded(*asked):
            if asked not in known:
                known[asked] = dataclasses.replace(load(*asked), experts=((0.0, Denoiser(Exact(told))),))
            return known[asked]

        return loaded

    monkeypatch.setattr(emulator, "load_model", with_exact(coarse, False))
    monkeypatch.setattr(bridge, "load_bridge", with_exact(between, True))
    monkeypatch.setattr(emulator, "_emulators", emulator.Once(8))
    cache.shared().clear()
    yield
    cache.shared().clear()


def travelling(ds, origin):
    """(..., channel, cell) of the two channels, as who travels with them from a time on sees them."""
    scales = bottles.batch_info(CHANNELS)
    values = [ds.tas.values, ds.zg.values[..., 0, :] * 9.80665]
    x = np.stack([(v - c) / s for v, c, s in zip(values, scales.center, scales.scales, strict=True)], -2)
    x = x[..., healpix.nest_to_padxy(2)]
    steps = np.asarray((ds.time.values - origin) / np.timedelta64(6, "h")).round().astype(int)
    places = (np.arange(192) + steps[..., None, None] * CELLS[:, None]) % 192
    return np.take_along_axis(x, np.broadcast_to(places, x.shape), -1)


def test_correlations_in_time_and_variance_are_right_wherever_one_looks(bottle):
    ds = Cube(bottle, coherence="bridge", members=2, batch_size=16).to_dataset().isel(time=slice(0, 257))
    x = travelling(ds, ds.time.values[0])
    start = int(ds.time.values[0].astype("datetime64[s]").astype(np.int64))
    times = start + 6 * 3600 * np.arange(x.shape[1])
    depth = np.array([TREE.depth_of(time) for time in times.tolist()])
    variance = (x**2).mean((0, -1))
    for d in range(7):
        np.testing.assert_allclose(variance[depth == d].mean(0), 1, atol=0.12 if d < 3 else 0.06)
    np.testing.assert_allclose(variance.mean(0), 1, atol=0.03)
    for steps in (1, 2, 3, 4, 7, 8, 12, 20):
        found = (x[:, steps:] * x[:, :-steps]).mean((0, 1, -1))
        np.testing.assert_allclose(found, np.exp(-6 * steps / HOURS), atol=0.03)
    change = np.sqrt(((x[:, 1:] - x[:, :-1]) ** 2).mean((0, -1)))
    at = np.minimum(depth[1:], depth[:-1])
    usual = change[at == 5].mean(0)
    np.testing.assert_allclose(usual, np.sqrt(2 * (1 - np.exp(-6 / HOURS))), rtol=0.03)
    for d in range(5):
        np.testing.assert_allclose(change[at == d].mean(0) / usual, 1, atol=0.05)
    daily = x[:, :256].reshape(2, 64, 4, 2, 192).mean(2)
    lags = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))[..., None] * 6 / HOURS
    np.testing.assert_allclose((daily**2).mean((0, 1, -1)), np.exp(-lags).mean((0, 1)), rtol=0.06)


@pytest.mark.parametrize("until", ["P18D", "-P18D"])
def test_what_follows_a_state_forgets_it_as_it_should(bottle, until):
    state = Cube(bottle, seed=3).to_dataset().isel(time=120).load()
    ds = continue_from(state, bottle, until=until, members=6, batch_size=16)
    x, given = (travelling(one, state.time.values) for one in (ds, state))
    if until[0] == "-":
        x = x[:, ::-1]
    np.testing.assert_allclose(x[:, 0], np.broadcast_to(given, x[:, 0].shape), atol=1e-5)
    for steps in (1, 4, 12, 32, 64, 72):
        rho = np.exp(-6 * steps / HOURS)
        kept = (x[:, steps] * given).mean((0, -1)) / (given**2).mean(-1)
        np.testing.assert_allclose(kept, rho, atol=0.11)
        rest = x[:, steps] - rho[:, None] * given
        np.testing.assert_allclose((rest**2).mean((0, -1)), 1 - rho**2, rtol=0.12)
