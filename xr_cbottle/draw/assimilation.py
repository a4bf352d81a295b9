"""Whole globes drawn from a bottle given what stations observe of them.

A clean state x given its noisy one has, to the network, the mean D. If its errors were normal with covariance V, the
mean given observations too would be D + V H^t (H V H^t + R)^-1 (y - H D), and the ODE of the diffusion with that in
place of D draws from the posterior. Rozet et al. 2024 (https://arxiv.org/abs/2405.13712) and Boys et al. 2023
(https://arxiv.org/abs/2310.06721) take for V the Jacobian of D, with a gradient through the network for each of its
products. Here V is the covariance of errors that the network was seen to make at that noise level (`denoising_errors`),
tapered with distance: no gradient is needed, and a draw costs little more than a plain one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle.bottle.climatology import powered
from xr_cbottle.draw import adjoint, denoising_errors, noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.denoising_errors import DenoisingErrors, Keep
from xr_cbottle.draw.emulator import Emulator, Instant
from xr_cbottle.draw.local_update import LocalUpdate
from xr_cbottle.draw.normalisation import Normalisation
from xr_cbottle.draw.observing import EARTH_RADIUS_KM, Operator, unresolved, visible
from xr_cbottle.draw.own_work import Assimilation
from xr_cbottle.fields import channels
from xr_cbottle.fields.nonnegative import without_negatives
from xr_cbottle.fields.observations import Observations
from xr_cbottle.grid import healpix
from xr_cbottle.network import edm, transfer

Floats = npt.NDArray[np.floating[Any]]
_REACH_KM = 6000.0
"""Where covariances are 0: of errors of large noise, which are those of the climate."""
_ENOI_REACH_KM = 5000.0
"""That of optimal interpolation: measured best with 64 draws of `gcm`, see ``docs/own-data.md``."""
_LEAST_CELLS = 6.0
"""The reach of errors of small noise, in widths of a cell."""


class Analysis(NamedTuple):
    """One member of an analysis.

    Attributes
    ----------
    values
        (channel, cell NEST) in the channels' units.
    channels
        (observed channel,) their numbers.
    representativeness
        (observed channel,) the error taken for what cells do not hold, mean over stations, in the variable's unit.
    misfit
        (observed channel,) root mean square of observation less analysis, over the error of both kinds.
    observations
        How many there were.
    """

    values: Floats
    channels: npt.NDArray[np.int64]
    representativeness: Floats
    misfit: Floats
    observations: int

    def figures(self, count: int) -> list[float]:
        """All but the values in a row: the number, and errors and misfits of all of the bottle's channels."""
        out = np.full((2, count), np.nan)
        out[:, self.channels] = self.representativeness, self.misfit
        return [float(self.observations), *out.ravel().tolist()]


@dataclass(frozen=True, eq=False)
class Case:
    """One member of one time: its key, the observations, and the background.

    Attributes
    ----------
    seed, member, time
        They choose the noise.
    observed
        The observations; none at all is a plain draw.
    background
        (channel, cell NEST) in the channels' units, NaN where there is no value; None without one.
    name
        Of the observations and the time: cases of one name share their operator.
    """

    seed: int
    member: int
    time: np.datetime64
    observed: Observations
    background: Floats | None
    name: str


def assimilate(
    emulator: Emulator, cases: Sequence[Case], work: Assimilation, keep: Keep | None = None
) -> list[Analysis]:
    """Draw members given observations.

    Parameters
    ----------
    emulator
        A loaded bottle.
    cases
        What each is made of.
    work
        Under which label, and how.
    keep
        Of the samples of the network's errors, see `denoising_errors.Keep`.
    """
    known = denoising_errors.get(emulator, work.label, work.draws, keep)
    out: list[Analysis] = []
    for start in range(0, len(cases), emulator.batch_size):
        out += _Batch(emulator, cases[start : start + emulator.batch_size], work, known).drawn()
    return out


class _Batch:
    """Cases that are drawn together."""

    def __init__(self, emulator: Emulator, cases: Sequence[Case], work: Assimilation, known: DenoisingErrors) -> None:
        self.emulator, self.work, self.known = emulator, work, known
        self.cases = _visible(emulator, cases, work.label)
        self.times = np.array([one.time for one in cases], "datetime64[s]")
        first = {one.name: one for one in self.cases if len(one.observed)}
        self.seen = {name: _Seen(emulator, one, work, known) for name, one in first.items()}
        self._updates: tuple[float, dict[str, LocalUpdate]] | None = None

    def drawn(self) -> list[Analysis]:
        emulator, label = self.emulator, self.work.label
        states = self._enoi() if self.work.method == "enoi" else self._posterior()
        with drawing(emulator.precision):
            values = emulator.finite(emulator.physical(states, label, self.times))
        return [self._analysis(one, value) for one, value in zip(self.cases, values, strict=True)]

    def _analysis(self, case: Case, values: Floats) -> Analysis:
        seen = self.seen.get(case.name)
        if seen is None:
            return Analysis(values, np.empty(0, np.int64), np.empty(0), np.empty(0), 0)
        return Analysis(values, seen.chosen, seen.representativeness, seen.misfit(values), len(case.observed))

    def _posterior(self) -> Floats:
        """(case, channel, cell) states, as the network draws them given what is observed."""
        emulator, label = self.emulator, self.work.label
        sigmas = emulator.sampler.levels()
        start = self._start(sigmas)
        with drawing(emulator.precision), emulator.batch(self.times) as (batch, inputs):
            denoise = emulator.denoise(label, **inputs)

            def given(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
                clean = batch.back(denoise(x, sigma))
                return batch.put(self._corrected(clean, self._at(float(sigma)))).double()

            solve = edm.SOLVERS[emulator.sampler.solver]
            return batch.back(solve(given, batch.put(start[0]).double(), start[1]))

    def _start(self, sigmas: torch.Tensor) -> tuple[Floats, torch.Tensor]:
        """States at the highest noise level, or backgrounds at a lower one; and the levels down from there."""
        label = self.work.label
        latents = np.stack([self.emulator.latents(label, Instant(label, one.seed, one.member, one.time))
                            for one in self.cases])  # fmt: skip
        if self.work.strength is None:
            return latents * float(sigmas[0]), sigmas
        down, _ = transfer.up_to(sigmas, self.work.strength)
        return self._backgrounds() + latents * float(down[0]), down

    def _backgrounds(self) -> Floats:
        given = np.stack([np.asarray(one.background, np.float64) for one in self.cases])
        state, _ = self.emulator.known_part(given, self.work.label, self.times)
        return state

    def _enoi(self) -> Floats:
        """(case, channel, cell) plain draws, or backgrounds with errors, updated once by perturbed observations."""
        label, instants = self.work.label, [Instant(self.work.label, c.seed, c.member, c.time) for c in self.cases]
        states: Floats = self.emulator.solve(label, instants, self.emulator.sampler)
        samples, reach = self.known.draws, max(_ENOI_REACH_KM, self._reach(0.0))
        if self.work.strength is not None:
            level = np.array([self.work.strength])
            states = self._backgrounds() + denoising_errors.denoised_errors(self.emulator, states, instants, level)[0]
            samples, reach = self.known.at(self.work.strength), self._reach(self.work.strength)
        updates = {name: one.update(samples, reach) for name, one in self.seen.items()}
        perturbed = [
            noise.normals((len(one.observed),), seed=one.seed, stage="assimilate", member=one.member, time=one.time,
                          block=0)
            for one in self.cases
        ]  # fmt: skip
        return self._corrected(states, updates, perturbed)

    def _reach(self, sigma: float) -> float:
        """Distance in km from which on covariances of errors at a noise level are taken to be 0."""
        width = EARTH_RADIUS_KM * np.sqrt(4 * np.pi / healpix.n_cells(self.emulator.zoom))
        near = float(_LEAST_CELLS * width)
        return near + (max(_REACH_KM, near) - near) * sigma**2 / (sigma**2 + edm.SIGMA_DATA**2)

    def _at(self, sigma: float) -> dict[str, LocalUpdate]:
        """The updates at a noise level by the cases' names; those of the last level are kept."""
        if self._updates is None or self._updates[0] != sigma:
            samples, reach = self.known.at(sigma), self._reach(sigma)
            self._updates = sigma, {name: one.update(samples, reach) for name, one in self.seen.items()}
        return self._updates[1]

    def _corrected(
        self, clean: Floats, updates: Mapping[str, LocalUpdate], perturbed: Sequence[Floats] | None = None
    ) -> Floats:
        out = np.array(clean, np.float64)
        for i, one in enumerate(self.cases):
            if one.name not in self.seen:
                continue
            seen = self.seen[one.name]
            innovation = one.observed.value - seen.expected(clean[i])
            if perturbed is not None:
                innovation = innovation + perturbed[i] * np.sqrt(seen.variance)
            out[i] += updates[one.name].increment(innovation)
        return out


def _visible(emulator: Emulator, cases: Sequence[Case], label: str | None) -> list[Case]:
    """Cases without what was observed in the gaps of their label, such as below its ground: nothing is drawn there."""
    known = emulator.normalisation.known(label)
    if known is None:
        return list(cases)
    seen = {one.name: visible(one.observed, emulator.zoom, known) for one in cases}
    return [dataclasses.replace(one, observed=seen[one.name]) for one in cases]


class _Seen:
    """What the observations of a time see of states of the network: values, and how these change with the state."""

    def __init__(self, emulator: Emulator, case: Case, work: Assimilation, known: DenoisingErrors) -> None:
        self.observed, units = case.observed, emulator.normalisation
        self.operator = Operator(case.observed, emulator.zoom, units.known(work.label))
        self.chosen = self.operator.channels
        self.names = [
            channels.parse(emulator.channels[c], emulator.bottle.manifest.own).variable.name for c in self.chosen
        ]
        factors = channels.factors([emulator.channels[c] for c in self.chosen], emulator.bottle.manifest.own)[:, None]
        self._units = _Units(units, work.label, case.time, self.chosen, factors)
        unresolved_variance = self._unresolved(emulator, known, work)
        # A station's error for what cells do not hold is as large as the weather of its place is.
        self.unresolved = self.operator.seen(unresolved_variance)
        self.variance = case.observed.error**2 + self.unresolved

    def _unresolved(self, emulator: Emulator, known: DenoisingErrors, work: Assimilation) -> Floats:
        """(observed channel, cell) variance within cells, in the variables' units."""
        if work.representativeness is not None:
            given = dict(work.representativeness)
            errors = np.array([given.get(name, 0.0) for name in self.names])
            return np.broadcast_to(errors[:, None] ** 2, self._units.slope.shape)
        share = unresolved(self._units.amplified(known.draws[:, self.chosen]))
        deviation = known.draws[:, self.chosen].std(0)
        return share[:, None] * (deviation * self._units.slope) ** 2

    @property
    def representativeness(self) -> Floats:
        """(observed channel,)"""
        return self._by_channel(self.unresolved)

    def expected(self, state: Floats) -> Floats:
        """(observation,) what stations see of a (channel, cell) state, in the variables' units."""
        return self.operator.seen(self._units.values(state[self.chosen]))

    def misfit(self, values: Floats) -> Floats:
        """(observed channel,) of a field in the channels' units."""
        seen = self.operator.seen(values[self.chosen] * self._units.factors)
        return self._by_channel((self.observed.value - seen) ** 2 / self.variance)

    def _by_channel(self, squares: Floats) -> Floats:
        """Root of the mean over the observations of each channel."""
        return np.array([np.sqrt(squares[self.observed.channel == c].mean()) for c in self.chosen])

    def update(self, samples: Floats, reach: float) -> LocalUpdate:
        """The update by errors of a state that are like some samples, (sample, channel, cell)."""
        seen = self.operator.seen(samples[:, self.chosen] * self._units.slope)
        return LocalUpdate(samples, seen, self.operator.places, *self.operator.tapers(reach), self.variance)


class _Units:
    """Some channels of states of the network in the variables' units, at one time, as `Normalisation` has them.

    Bounds, which move few values, are left out.

    Attributes
    ----------
    factors
        (channel, 1) from the channels' units to the variables'.
    slope
        (channel, cell) how a value changes with the state about the climate, calibration's gain left out.
    """

    def __init__(
        self,
        units: Normalisation,
        label: str | None,
        time: np.datetime64,
        chosen: npt.NDArray[np.int64],
        factors: Floats,
    ) -> None:
        self._known, self._label, self._chosen = units.climatology, label, chosen
        self.factors = factors
        self._nonnegative = np.isin(chosen, units.nonnegative)
        there = units.known(label)
        self._there = None if there is None else there[chosen[self._nonnegative]]
        known, stamps = self._known, np.array([time], "datetime64[s]")
        if known is None:
            cells = np.ones((1, healpix.n_cells(units.manifest.zoom)))
            self._center = units.center[chosen, None] * cells
            self._scale = units.scales[chosen, None] * cells
        else:
            *about, self._ratio = known.about(label, stamps, units.predictors(stamps))
            mean, spread = (one[0, chosen] for one in about)
            self._center = known.center[chosen, None] + known.scale[chosen, None] * mean
            self._scale = known.scale[chosen, None] * spread
        self.slope = self._scale * self._slope_of_units() * factors

    def amplified(self, states: Floats) -> Floats:
        """(n, channel, cell) with the gain of calibration."""
        if self._known is None:
            return states
        return self._known.amplified(states, self._label, self._chosen.tolist())

    def values(self, state: Floats) -> Floats:
        """(channel, cell) in the variables' units, of a state of the chosen channels."""
        values = self._center + self._scale * self.amplified(state[None])[0]
        if self._known is not None:
            values = powered(values, self._known.root[self._chosen])
            calibration = self._known.calibration
            if calibration is not None:
                whole = np.zeros((1, len(self._known.channels), values.shape[-1]))
                whole[0, self._chosen] = values
                values = calibration.mapped(whole, self._known.number(self._label), self._ratio)[0, self._chosen]
        values[self._nonnegative] = without_negatives(values[self._nonnegative], self._there)
        out: Floats = values * self.factors
        return out

    def _slope_of_units(self) -> Floats:
        """(channel, cell) of roots and mapping, about the climate."""
        out = np.ones_like(self._center, np.float64)
        if self._known is None:
            return out
        calibration, number = self._known.calibration, self._known.number(self._label)
        for i, c in enumerate(self._chosen.tolist()):
            power = float(self._known.root[c])
            if power != 1:
                out[i] = power * np.maximum(self._center[i], 0) ** (power - 1)
            if calibration is not None and c in calibration.matched:
                k = calibration.matched.tolist().index(c)
                over = 1.0 if self._ratio is None else float(self._ratio[0, c])
                values = np.maximum(self._center[i], 0) ** power / over
                out[i] *= adjoint.slopes(values, calibration.drawn[number, k], calibration.known[number, k])
        return out
