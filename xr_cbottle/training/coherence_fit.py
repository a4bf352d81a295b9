"""Fit of coherence: how long the noise of a bottle should last, and how fast it should travel, from what was measured.

What lasts may stand or travel: the noise is a sum of parts that last differently long, each with a speed, and all with
one cycle of speeds over the year. All else is linear least squares with shares that are not negative.
`xr_cbottle.training.coherence_measures` has what it is fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.coherence import Coherence
from xr_cbottle.draw.coherent_noise import correlation
from xr_cbottle.training.coherence_measures import (
    DAY,
    HOUR,
    LATITUDES,
    SHARE_EDGES,
    Composition,
    Floats,
    LagCovariance,
    Seconds,
    season_cycle,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SPACINGS = tuple(round(hours * HOUR) for hours in (3, 8, 16, 32, 64, 128, 288))
"""Seconds between knots of the parts: they last 5 hours to 19 days."""
WAVENUMBERS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 22])
_WEEKS_DAYS = 15
_PULL = 3e-3  # towards what all channels have in common, for what the data leave open
_SPEEDS = np.arange(-60.0, 61.0, 2.0)
_CYCLES, _NEAR = np.arange(-24.0, 25.0, 2.0), np.arange(-8.0, 9.0, 2.0)
_BETTER = 0.98  # by what a speed must fit better to be taken
_SUM = 100.0  # weight of shares' adding up to 1


def fitted(
    labels: Sequence[str], channels: Sequence[str], measured: Sequence[LagCovariance], responses: Sequence[Composition]
) -> Coherence:
    """Coherence whose noise gives draws the lag correlations that were measured, label by label."""
    found = [fit_label(covariance, of_draws) for covariance, of_draws in zip(measured, responses, strict=True)]
    share, speed, cycle = (np.stack(one) for one in zip(*found, strict=True))
    spacings, wavenumbers = np.array(SPACINGS), WAVENUMBERS.astype(np.int64)
    return Coherence(tuple(labels), tuple(channels), spacings, LATITUDES, wavenumbers, share, speed, cycle)


def fit_label(covariance: LagCovariance, of_draws: Composition) -> tuple[Floats, Floats, Floats]:
    """Shares (channel, latitude, band, memory), speeds (latitude, band, memory), and their cycle, of one label.

    The cycle of speeds over the year is (latitude, band, 2), and common to all parts.
    """
    lags = covariance.lags[1:]
    shapes = np.stack([correlation(lags.astype(float), spacing) for spacing in SPACINGS], 1)
    power = np.real(covariance.values[:, 0])
    most = power.shape[-1]
    bands = [np.arange(a, min(b, most)) for a, b in zip(WAVENUMBERS, [*WAVENUMBERS[1:], most], strict=True)]
    share = np.zeros((power.shape[1], len(LATITUDES), len(bands), len(SPACINGS)))
    speed: Floats = np.zeros((len(LATITUDES), len(bands), len(SPACINGS)))
    cycle: Floats = np.zeros((len(LATITUDES), len(bands), 2))
    weight = np.zeros_like(speed)
    targets = {}
    for j in range(len(LATITUDES)):
        for k, wavenumbers in enumerate(bands):
            found = _target(covariance, of_draws.forced, j, wavenumbers)  # None where rings have no such waves
            if found is not None:
                targets[j, k] = found
                speed[j, k], cycle[j, k], weight[j, k] = _speeds(found, _Waves(wavenumbers, lags, shapes))
    speed, cycle = _smooth(speed, weight), _smooth(cycle, weight.sum(-1, keepdims=True))
    for (j, k), found in targets.items():
        group = int(np.searchsorted(SHARE_EDGES, bands[k][0], side="right") - 1)
        design = _Waves(bands[k], lags, shapes).design(speed[j, k], cycle[j, k])
        share[:, j, k] = _shares(found, design, of_draws.share[group])
    return _filled(share, speed, cycle, targets)


@dataclass(frozen=True, eq=False)
class _Target:
    """What is to be met at one latitude, in one band: correlations, and the weight of each season and wavenumber."""

    correlation: npt.NDArray[np.complex128]  # (channel, season, wavenumber, lag)
    weight: Floats  # (season, wavenumber)


def _target(covariance: LagCovariance, forced: Floats, j: int, wavenumbers: npt.NDArray[Any]) -> _Target | None:
    values = covariance.values[:, :, :, j, wavenumbers].transpose(2, 0, 3, 1)
    power = np.real(values[..., 0])
    have = (power > 0).any((1, 2))
    if not have.any():
        return None
    weight = (power[have] / power[have].sum((1, 2), keepdims=True)).mean(0)
    correlations = values[..., 1:] / np.maximum(power, 1e-300)[..., None]
    # What follows the sea is still there after weeks: no more than what is still there in these very years.
    weeks = covariance.lags >= _WEEKS_DAYS * DAY
    last = np.real(values[..., weeks].sum(1)) / np.maximum(power.sum(1), 1e-300)[..., None]
    most = np.clip(last.mean(-1), 0, None) if weeks.any() else np.inf
    sea = np.minimum(forced[:, j, wavenumbers], most)[:, None, :, None]
    correlations = (correlations - sea) / (1 - sea)
    correlations[~have] = correlations[have].mean(0)  # what a label lacks is drawn with what it has
    return _Target(correlations, weight)


@dataclass(frozen=True, eq=False)
class _Waves:
    """The waves of one band, and how parts of the noise that stand still correlate."""

    wavenumbers: npt.NDArray[Any]
    lags: Seconds
    shapes: Floats  # (lag, memory)

    def design(self, speed: Floats, cycle: Floats) -> npt.NDArray[np.complex128]:
        """(season, wavenumber, lag, memory) correlations of parts at (memory,) degrees a day, with a (2,) cycle."""
        in_season = season_cycle(self.lags) @ cycle
        turn = np.deg2rad(speed + in_season[..., None]) / DAY * self.lags[:, None]
        return np.asarray(self.shapes * np.exp(-1j * self.wavenumbers[:, None, None] * turn[:, None]), np.complex128)


def _speeds(target: _Target, waves: _Waves) -> tuple[Floats, Floats, Floats]:
    """Speeds of the parts, in degrees a day, that fit the mean over channels best; their cycle; and the shares then.

    One speed is sought for all parts, then its cycle over the year, then a speed for each part by itself where that
    fits clearly better.
    """
    state = np.zeros(2 + len(SPACINGS))  # the cycle, and the speeds
    wanted = _rows(target.correlation.mean(0)[..., None], target)[:, 0]

    def fit(state: Floats) -> tuple[Floats, float]:
        return _nonnegative(_rows(waves.design(state[2:], state[:2]), target), wanted)

    def improve(place: int | slice, options: Floats, lowest: float) -> float:
        """Take the option that fits clearly better than what is there, if one does, and say by how much it misses."""
        tried = np.repeat(state[None], len(options), 0)
        tried[:, place] = options.reshape(-1, *[1] * isinstance(place, slice))
        misses = [fit(one)[1] for one in tried]
        if min(misses) >= _BETTER * lowest:
            return lowest
        state[:] = tried[int(np.argmin(misses))]
        return min(misses)

    if waves.wavenumbers[-1] > 0:
        together = slice(2, None)
        lowest = improve(together, _SPEEDS, np.inf)
        if (target.weight.sum(-1) > 0).sum() > 1:  # one season alone has no cycle
            for _ in range(2):
                for i in range(2):
                    lowest = improve(i, _CYCLES, lowest)
                lowest = improve(together, state[2] + _NEAR, lowest)
        for _ in range(2):
            for i in range(2, len(state)):
                lowest = improve(i, _SPEEDS, lowest)
    return state[2:], state[:2], fit(state)[0]


def _rows(values: npt.NDArray[np.complex128], target: _Target) -> Floats:
    """Real rows of (season, wavenumber, lag, column) numbers, weighed."""
    weighed = values * np.sqrt(target.weight)[..., None, None]
    flat = weighed.reshape(-1, values.shape[-1])
    return np.concatenate([flat.real, flat.imag])


def _nonnegative(design: Floats, wanted: Floats) -> tuple[Floats, float]:
    """Shares that are not negative, in sum about 1, and by how much they miss."""
    from scipy.optimize import nnls

    rows = np.concatenate([design, np.full((1, design.shape[1]), _SUM)])
    found, miss = nnls(rows, np.append(wanted, _SUM))
    return found, float(miss)


def _shares(target: _Target, design: npt.NDArray[np.complex128], made_of: Floats) -> Floats:
    """(channel, memory) shares of the noise, such that what is made of it correlates as it should."""
    from scipy.optimize import nnls

    rows = _rows(design, target)
    wanted = np.stack([_rows(one[..., None], target)[:, 0] for one in target.correlation])
    common, _ = _nonnegative(rows, wanted.mean(0))
    common /= common.sum()
    n, m = made_of.shape[0], rows.shape[1]
    gram = np.kron(made_of.T @ made_of, rows.T @ rows) + _PULL * len(rows) * np.eye(n * m)
    right = (made_of.T @ (wanted @ rows)).ravel() + _PULL * len(rows) * np.tile(common, n)
    ones = np.kron(np.eye(n), np.ones(m))
    gram += _SUM**2 * ones.T @ ones
    right = right + _SUM**2 * ones.T @ np.ones(n)
    root = np.linalg.cholesky(gram).T
    found, _ = nnls(root, np.linalg.solve(root.T, right), maxiter=30 * n * m)
    shares = found.reshape(n, m)
    return shares / shares.sum(-1, keepdims=True)


def _smooth(speed: Floats, share: Floats) -> Floats:
    """Speeds smoothed by 1-2-1 over latitudes, by how much travels there: shear would tear patterns apart."""
    weight = share + 1e-3
    total, sums = 2 * speed * weight, 2 * weight
    total[1:] += (speed * weight)[:-1]
    total[:-1] += (speed * weight)[1:]
    sums[1:] += weight[:-1]
    sums[:-1] += weight[1:]
    return total / sums


def _filled(
    share: Floats, speed: Floats, cycle: Floats, targets: dict[tuple[int, int], _Target]
) -> tuple[Floats, Floats, Floats]:
    """Where rings have no such wavenumber, what the nearest latitude has that does."""
    have = np.array(sorted(targets))
    for j in range(share.shape[1]):
        for k in range(share.shape[2]):
            if (j, k) in targets:
                continue
            same = have[have[:, 1] == k]
            near = same if len(same) else have
            a, b = near[np.argmin(np.abs(near[:, 0] - j) + 100 * np.abs(near[:, 1] - k))]
            share[:, j, k], speed[j, k], cycle[j, k] = share[:, a, b], speed[a, b], cycle[a, b]
    return share, speed, cycle
