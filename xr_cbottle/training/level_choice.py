"""Noise levels chosen for a bottle: the same draws with fewer evaluations of the networks, without any training.

Levels that ``rho`` spaces know nothing of the data. Here some instants are drawn with very many levels, and few levels
are moved until they draw the same from the same noise, as near as they can. LD3 (Tong et al. 2025,
https://arxiv.org/abs/2405.15506) chooses levels so by gradients through the network; they are few numbers, so that
here Gauss and Newton's method finds them by differences, and the network may be any. It begins from the better of two
starts: levels spaced by ``rho``, and those at which the solver is right on linear modes of the variances that the
draws have (`xr_cbottle.network.linear_modes`), which costs no evaluation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.sampler import SamplerDefaults
from xr_cbottle.draw.emulator import Emulator, Instant, Sampler
from xr_cbottle.grid import time_axis
from xr_cbottle.network import edm
from xr_cbottle.network.linear_modes import deviation_ratio

MEMBER = 2**20 + 1
"""Realisation that is drawn here: none that a report or a calibration is likely to read."""
TRUTH_STEPS, TRUTH_FINER = 60, 5.0
"""Steps of what is held for true, and by how much its lowest level lies below the bottle's own."""
ROUNDS = 6
"""Steps of Gauss and Newton's method at most."""
_GAP_MOVED = 0.02  # by which the logarithm of a gap is moved for a difference: far above the network's rounding
_GAPS = (np.log(0.02), np.log(12.0))  # bounds of the logarithm of a gap, itself one of logarithms of levels
_MODES = 64  # variances of modes that stand for all of them
_MOST_LABELS = 4  # of which an instant is drawn

Floats = npt.NDArray[np.floating[Any]]
Solve = Callable[[edm.Denoise, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Choice:
    """Noise levels that were chosen for a number of steps, and how near to the truth they draw.

    Attributes
    ----------
    sigmas
        The levels, descending.
    error
        Root mean square of what is drawn less the truth, over the deviation of its channel.
    spaced_error
        The same with as many levels that ``rho`` spaces.
    """

    sigmas: tuple[float, ...]
    error: float
    spaced_error: float

    def __str__(self) -> str:
        levels = ", ".join(f"{level:.5g}" for level in self.sigmas)
        off = f"{100 * self.error:.1f} % of a deviation from the truth; spaced by rho {100 * self.spaced_error:.1f} %"
        return f"{len(self.sigmas)} levels, {off}: {levels}"


def choose_levels(
    bottle: Bottle, sampler: SamplerDefaults, steps: Sequence[int], *, progress: bool = True
) -> list[Choice]:
    """Choose noise levels for some numbers of steps of a solver: one choice for each number.

    Parameters
    ----------
    bottle
        An open bottle. One instant of each label, of four at most, is drawn many times: about ``ROUNDS * steps ** 2``
        evaluations of its networks.
    sampler
        The solver, the highest level, and where the levels that ``rho`` spaces end.
    steps
        Numbers of noise levels, each at least 2.
    progress
        Show a bar.
    """
    from tqdm.auto import tqdm

    trials = _trials(bottle, Sampler.of(dataclasses.replace(sampler, sigmas=())))
    variances = np.concatenate([mode_variances(trial.truth) for trial in trials])
    found = []
    for count in tqdm(steps, unit="list", disable=not progress):
        spaced = Sampler.of(dataclasses.replace(sampler, num_steps=count, sigmas=()))
        starts = [spaced.levels()[:-1].numpy(), linear_levels(edm.SOLVERS[sampler.solver], spaced, variances)]
        found.append(_nearest(trials, spaced, starts))
    return found


def gaps(levels: Floats) -> Floats:
    """Logarithms of the steps in log(sigma) between (level,) descending levels: (level - 1,) numbers of any size."""
    return np.log(-np.diff(np.log(levels)))


def levels_of(gaps: Floats, top: float) -> Floats:
    """The inverse of `gaps`: (level,) levels that descend from the first one."""
    return top * np.exp(-np.concatenate([[0.0], np.cumsum(np.exp(gaps))]))


def mode_variances(x: Floats) -> Floats:
    """Variances of spherical harmonics of fields, in the squared unit of a cell's noise: (channel * degree,).

    Parameters
    ----------
    x
        (instant, channel, cell NEST), as the networks draw.
    """
    power = diagnostics.power_spectrum(xr.DataArray(x, dims=("time", "channel", "cell"), name="x")).values[:, 1:]
    return (power * x.shape[-1] / (4 * np.pi)).ravel()


def linear_levels(solve: Solve, spaced: Sampler, variances: Floats) -> Floats:
    """Levels at which a solver draws linear modes with the deviation that they have: (level,), descending.

    Parameters
    ----------
    solve
        One of `xr_cbottle.network.edm.SOLVERS`.
    spaced
        How many levels, the first of them, and levels to begin from.
    variances
        (mode,) variances of the data's modes.
    """
    from scipy import optimize

    start = spaced.levels()[:-1].numpy()
    modes = torch.from_numpy(np.quantile(variances, np.linspace(0.01, 1, _MODES)).clip(1e-6))
    top = spaced.sigma_max
    exact = top / (modes + top**2).sqrt()

    def error(z: Floats) -> tuple[float, Floats]:
        with torch.inference_mode(False), torch.enable_grad():
            moved = torch.tensor(z, dtype=torch.float64, requires_grad=True)
            falls = torch.cat([moved.new_zeros(1), moved.exp().cumsum(0)])
            sigmas = torch.cat([top * (-falls).exp(), moved.new_zeros(1)])
            loss = ((deviation_ratio(solve, sigmas, modes) - exact) ** 4).mean().log()
            loss.backward()
        return float(loss.detach()), np.asarray(moved.grad)

    found = optimize.minimize(error, gaps(start), jac=True, method="L-BFGS-B", bounds=[_GAPS] * (len(start) - 1))
    return levels_of(found.x, top)


@dataclass(frozen=True, eq=False)
class _Trial:
    """One instant, the truth of which is known: (1, channel, cell) as the networks draw it."""

    emulator: Emulator
    instant: Instant
    truth: Floats

    def residual(self, sampler: Sampler) -> Floats:
        """Differences of what a sampler draws from the truth, over the channels' deviations: (value,)."""
        drawn = self.emulator.solve(self.instant.label, [self.instant], sampler)
        return ((drawn - self.truth) / np.maximum(self.truth.std(-1, keepdims=True), 1e-6)).ravel()


def _trials(bottle: Bottle, sampler: Sampler) -> list[_Trial]:
    """One instant of each label, of four at most, at times that are spread over the bottle's."""
    manifest, single = bottle.manifest, Emulator(bottle, batch_size=1)
    labels: tuple[str | None, ...] = tuple(manifest.labels)[:_MOST_LABELS] or (None,)
    start, end, step = time_axis.range_of(manifest.time.start, manifest.time.end, manifest.time.step)
    dense = dataclasses.replace(
        sampler, num_steps=TRUTH_STEPS, sigma_min=sampler.sigma_min / TRUTH_FINER, solver="dpmpp_2m"
    )
    trials = []
    for i, label in enumerate(labels):
        seconds = start + ((end - start) * (2 * i + 1) // (2 * len(labels))) // step * step
        instant = Instant(label, 0, MEMBER, np.datetime64(seconds, "s"))
        truth = single.solve(label, [instant], dense)
        if not np.isfinite(truth).all():
            raise BottleError(
                f"{manifest.name} gave values that are not finite: its networks were spoilt, get it again"
            )
        trials.append(_Trial(single, instant, truth))
    return trials


def _nearest(trials: Sequence[_Trial], spaced: Sampler, starts: Sequence[Floats]) -> Choice:
    """Levels from the best start on that draw nearest to the truth; the spaced ones are the first start."""
    from scipy import optimize

    top = spaced.sigma_max

    def at(z: Floats) -> Sampler:
        return dataclasses.replace(spaced, sigmas=tuple(levels_of(z, top).tolist()))

    def residual(z: Floats) -> Floats:
        values = np.concatenate([trial.residual(at(z)) for trial in trials])
        return values / np.sqrt(len(values))

    def jacobian(z: Floats) -> Floats:
        here = residual(z)
        moved = (z + _GAP_MOVED * unit for unit in np.eye(len(z)))
        return np.stack([(residual(other) - here) / _GAP_MOVED for other in moved], 1)

    inside = [np.clip(gaps(levels), _GAPS[0] + 1e-6, _GAPS[1] - 1e-6) for levels in starts]
    errors = [float(np.linalg.norm(residual(z))) for z in inside]
    found = optimize.least_squares(
        residual, inside[int(np.argmin(errors))], jacobian, bounds=_GAPS, max_nfev=ROUNDS, xtol=1e-2, ftol=1e-2
    )
    return Choice(at(found.x).sigmas, float(np.linalg.norm(found.fun)), errors[0])
