"""A look at what a network draws while it is trained: a few instants, beside those of the data at the same times.

The loss says little of what a bottle will draw. So a few held-out instants of each label are drawn from noise (or,
where a network is for low noise levels alone, from the data with noise of its highest level), and global means, spread
and power by the size of patterns are held against those of the data. A few instants say these only roughly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle.grid import healpix
from xr_cbottle.grid.regular import regular_grid
from xr_cbottle.grid.spherical_harmonics import power, resolved
from xr_cbottle.network import edm
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.network.unet import Network
from xr_cbottle.training.batches import Looked
from xr_cbottle.training.config import OptimConfig
from xr_cbottle.training.data import TrainingData
from xr_cbottle.training.step import autocast

Floats = npt.NDArray[np.floating[Any]]
STEPS = 16
"""Noise levels of the solver, each with one evaluation of the network."""
SIZES = {"large": slice(1, 5), "middle": slice(5, 17), "small": slice(17, None)}
"""Spherical degrees of the sizes of patterns."""
SPACING = 3.0
"""Degrees between points of a map."""
_SHOWN = (2, 98)  # percent of the data's values, which are black and white


@dataclass(frozen=True)
class ChannelLook:
    """Figures of a channel of a label.

    Attributes
    ----------
    mean, wanted
        Global mean of what was drawn, and of the data, in the channel's unit.
    deviation
        Of the data over cells and instants, in the channel's unit.
    spread
        Deviation of what was drawn over that of the data, as the network sees both.
    power
        Square root of the power of what was drawn over that of the data, as the network sees both, by `SIZES`.
    """

    mean: float
    wanted: float
    deviation: float
    spread: float
    power: Mapping[str, float]

    @property
    def error(self) -> float:
        """How far the mean is off, in deviations."""
        return (self.mean - self.wanted) / self.deviation


@dataclass(frozen=True, eq=False)
class DrawnFigures:
    """Figures of what a network drew.

    Attributes
    ----------
    channels
        By "label/channel".
    maps
        (row, column) of 0 to 1 by "label/channel", north up, of the first channel of each label: an instant that was
        drawn, and below it the data's of that time.
    """

    channels: Mapping[str, ChannelLook]
    maps: Mapping[str, npt.NDArray[np.float32]]

    @property
    def line(self) -> dict[str, dict[str, float]]:
        """Line of the log, by figure."""
        known = self.channels.items()
        return {
            "look_mean": {name: _rounded(one.mean) for name, one in known},
            "look_mean_error": {name: _rounded(one.mean - one.wanted) for name, one in known},
            "look_spread": {name: _rounded(one.spread) for name, one in known},
            "look_power": {f"{name}/{size}": _rounded(x) for name, one in known for size, x in one.power.items()},
        }

    @property
    def words(self) -> str:
        """The figures that are farthest from the data, in a line for people."""
        powers = {(name, size): x for name, one in self.channels.items() for size, x in one.power.items()}
        mean = max(self.channels, key=lambda name: abs(self.channels[name].error))
        spread = max(self.channels, key=lambda name: _off(self.channels[name].spread))
        name, size = max(powers, key=lambda key: _off(powers[key]))
        error, width = self.channels[mean].error, self.channels[spread].spread
        return (
            f"farthest from the data: mean of {mean}, by {error:+.2f} deviations; spread of {spread}, {width:.2f}; "
            f"{size} patterns of {name}, {powers[name, size]:.2f} times the data's"
        )


def look(net: Network, looked: Looked, data: TrainingData, optim: OptimConfig) -> DrawnFigures:
    """Draw some instants of the data by a network, and hold them against what they are.

    Parameters
    ----------
    net
        The averaged network.
    looked
        Instants, with noise and what the network is told.
    data
        Of the run.
    optim
        Settings of training: the noise levels are its own.
    """
    clean = looked.batch.clean[:, :, 0].double().numpy()
    states = drawn_states(net, looked, optim)[:, :, 0].double().numpy()
    order = healpix.padxy_to_nest(data.zoom)
    pairs = [(x[..., order], _physical(x[..., order], looked, data)) for x in (states, clean)]
    channels: dict[str, ChannelLook] = {}
    maps: dict[str, npt.NDArray[np.float32]] = {}
    weights = regular_grid(SPACING).weights(data.zoom)
    for label in dict.fromkeys(run.label for run in looked.runs):
        mine = [i for i, run in enumerate(looked.runs) if run.label == label]
        for c, channel in enumerate(data.channels):
            (state, drawn), (wanted_state, wanted) = ([x[mine, c] for x in pair] for pair in pairs)
            if np.isfinite(wanted).any():
                name = f"{label}/{channel}"
                channels[name] = _compared(state, wanted_state, drawn, wanted)
                if not any(known.startswith(f"{label}/") for known in maps):
                    maps[name] = _shown(weights.apply(np.stack([drawn[0], wanted[0]])))
    return DrawnFigures(channels, maps)


@torch.no_grad()
def drawn_states(net: Network, looked: Looked, optim: OptimConfig) -> torch.Tensor:
    """States (n, channel, 1, cell PAD_XY) float32 that a network draws, NaN where the data have no value."""
    device, batch = next(net.parameters()).device, looked.batch
    told = {name: getattr(batch, name).to(device) for name in ("condition", "labels", "second_of_day", "day_of_year")}
    absent, denoiser = torch.isnan(batch.clean).to(device), Denoiser(net)

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        with autocast(optim, device):
            return denoiser(x.float(), sigma.float().to(device).expand(len(x)), **told).double()

    sigmas = edm.edm_schedule(STEPS, optim.sigma_min, optim.sigma_max)
    state = (torch.nan_to_num(batch.clean) + optim.sigma_max * batch.noise).to(device).double()
    state = torch.where(absent, 0.0, state)
    found = edm.dpmpp_2m(edm.known_zeros(denoise, absent), state, sigmas)
    return torch.where(absent, torch.nan, found.float()).cpu()


def _physical(states: Floats, looked: Looked, data: TrainingData) -> Floats:
    """Values in the channels' units of (n, channel, cell NEST) states."""
    about = data.climatology
    if about is None:
        return np.asarray(states * data.statistics.scale[:, None] + data.statistics.center[:, None])
    found = []
    for i, run in enumerate(looked.runs):
        time, moved = looked.times[i : i + 1], None
        if about.response is not None and run.climate is not None:
            moved = about.predictors(run.climate.sst.at(time), time, run.climate.told(time))
        found.append(about.physical(states[i : i + 1], run.label, time, moved)[0])
    return np.stack(found)


def _compared(state: Floats, wanted_state: Floats, drawn: Floats, wanted: Floats) -> ChannelLook:
    """Figures of (n, cell NEST) states of a network and values of a channel, drawn and of the data."""
    states = np.nan_to_num(np.stack([state, wanted_state], 1))
    powers = np.sqrt(power(states, resolved(states.shape[-1])))
    sizes = {size: powers[:, degrees] for size, degrees in SIZES.items()}
    return ChannelLook(
        mean=float(np.nanmean(drawn)),
        wanted=float(np.nanmean(wanted)),
        deviation=max(float(np.nanstd(wanted)), 1e-300),
        spread=_ratio(np.nanstd(state), np.nanstd(wanted_state)),
        power={
            size: _ratio(np.linalg.norm(both[0]), np.linalg.norm(both[1]))
            for size, both in sizes.items()
            if both.shape[1]
        },
    )


def _shown(maps: Floats) -> npt.NDArray[np.float32]:
    """(2, lat, lon) values as one picture: the second's usual values are black to white, the first is above it."""
    low, high = np.nanpercentile(maps[1], _SHOWN)
    shades = np.clip((maps - low) / max(high - low, 1e-300), 0, 1)
    return np.nan_to_num(shades[:, ::-1], nan=0.5).reshape(-1, maps.shape[2]).astype(np.float32)


def _ratio(one: Any, other: Any) -> float:
    return float(one) / max(float(other), 1e-300)


def _off(ratio: float) -> float:
    return abs(math.log(max(ratio, 1e-9)))


def _rounded(number: float) -> float:
    return float(f"{number:.5g}")
