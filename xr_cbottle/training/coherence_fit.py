"""Fit of coherence: how long the noise of a bottle should last, and how fast it should travel, from simulations.

Lag covariances of a simulation's standardised anomalies are measured for each channel, latitude and zonal wavenumber.
Three things then lie between them and the noise. A part of the anomalies follows the sea, which the network is told
anyway: the covariance of two independent draws of one time. Each channel is made of the noise of all channels: how much
of each is measured by drawing again with one channel's noise changed. And what lasts may stand or travel: the noise
is a sum of parts that last differently long, each with a speed. All else is linear least squares with shares that are
not negative.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.coherence import Coherence
from xr_cbottle.draw import noise
from xr_cbottle.draw.coherent_noise import correlation
from xr_cbottle.grid import healpix
from xr_cbottle.grid.rings import Rings, rings
from xr_cbottle.training import run_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xr_cbottle.bottle.climatology import Climatology
    from xr_cbottle.draw.emulator import Emulator
    from xr_cbottle.fields.channels import Variable
    from xr_cbottle.training.source_config import SourceConfig

Floats = npt.NDArray[np.floating[Any]]
Seconds = npt.NDArray[np.int64]

HOUR, DAY = 3600, 86400
SPACINGS = tuple(round(hours * HOUR) for hours in (3, 8, 16, 32, 64, 128, 288))
"""Seconds between knots of the parts: they last 5 hours to 19 days."""
LATITUDES = np.arange(-90.0, 91.0, 15.0)
WAVENUMBERS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 22])
FINEST_ZOOM = 4
"""Finer fields are averaged to this zoom: what is smaller has the memory of the smallest scales here."""
MEMBER = 2**20
"""Realisation that is drawn here, and the next one: none that anybody is likely to read."""
PAIRS, CHANGED = 24, 4
"""Times of which two independent draws are compared, and of which each channel's noise is changed."""
_EVERY, _DENSE_DAYS, _WEEKS_DAYS, _LONGEST_DAYS = 3 * HOUR, 4, 15, 24
_MOST_AT_ONCE = 1500
_SHARE_EDGES = (0, 4, 10, 16)  # wavenumbers from which shares of noise are measured together
_BELTS = (25.0, 60.0)  # degrees between which the part that follows the sea is measured together
_PULL = 3e-3  # towards what all channels have in common, for what the data leave open
_SPEEDS = np.arange(-60.0, 61.0, 2.0)
_BETTER = 0.98  # by what a part must fit better to have a speed of its own
_SUM = 100.0  # weight of shares' adding up to 1


@dataclass(frozen=True, eq=False)
class LagCovariance:
    """Lag covariances of anomalies.

    Attributes
    ----------
    lags
        (lag,) seconds, ascending from 0.
    values
        (lag, channel, latitude, wavenumber) complex128: of what is later with what was earlier, in sum over rings
        about each of `LATITUDES`.
    """

    lags: Seconds
    values: npt.NDArray[np.complex128]


# Measuring ----------------------------------------------------------------------------------------------------------


def lag_covariance(
    source: SourceConfig,
    climatology: Climatology,
    zoom: int,
    *,
    progress: bool = True,
    own: Mapping[str, Variable] | None = None,
) -> LagCovariance:
    """Lag covariances of a source's anomalies, of the instants that training sees.

    Parameters
    ----------
    source
        Where the simulation is.
    climatology
        About which anomalies are.
    zoom
        HEALPix level of its cells.
    progress
        Show a bar.
    own
        Variables that the bottle defines.

    Raises
    ------
    ValueError
        If its instants do not follow each other at a regular step of a day at most.
    """
    from tqdm import tqdm

    plain = dataclasses.replace(climatology, calibration=None)
    total: npt.NDArray[np.complex128] | None = None
    lags: Seconds | None = None
    for address in tqdm(
        run_sources.addresses(source), desc=f"correlate {source.label}", unit="file", disable=not progress
    ):
        with run_sources.opened(source, address) as instants:
            for times, modes in _modes(instants, source, plain, zoom, own or {}):
                lags = _lags(times, source.label) if lags is None else lags
                found = pooled_covariance(times, modes, lags, rings(min(zoom, FINEST_ZOOM)))
                total = found if total is None else total + found
    if total is None or lags is None:
        raise ValueError(f"source {source.label!r} has no instants to fit coherence to")
    there = total.any((1, 2, 3))  # a lag that no two instants are apart says nothing
    return LagCovariance(lags[there], total[there])


def _modes(
    instants: run_sources.Instants,
    source: SourceConfig,
    climatology: Climatology,
    zoom: int,
    own: Mapping[str, Variable],
) -> Iterator[tuple[Seconds, npt.NDArray[np.complex64]]]:
    """Seconds and (n, channel, mode) anomalies of stretches of learnt instants, some hours apart at least."""
    chosen = instants.wanted[~source.held_out(instants.times[instants.wanted])]
    seconds = instants.times[chosen].astype("datetime64[s]").astype(np.int64)
    if not len(seconds):
        return
    step = max(1, -(-_EVERY // max(int(np.median(np.diff(seconds))) if len(seconds) > 1 else _EVERY, 1)))
    chosen, seconds = chosen[::step], seconds[::step]
    level = min(zoom, FINEST_ZOOM)
    for first in range(0, len(chosen), _MOST_AT_ONCE):
        part = slice(first, first + _MOST_AT_ONCE)
        found = []
        for block in np.array_split(chosen[part], -(-len(chosen[part]) // 64)):
            values = instants.read(block, climatology.channels, zoom, own)
            x = climatology.standardised(values, source.label, instants.times[block])
            # What a label lacks is lent by another: it must not spoil what is there.
            x = np.nan_to_num(healpix.coarsen(x.astype(np.float64), zoom - level))
            found.append(rings(level).to_modes(x).astype(np.complex64))
        yield seconds[part], np.concatenate(found)


def _lags(times: Seconds, label: str) -> Seconds:
    """Lags at which covariances are taken: all of some days, and one a day of some weeks."""
    steps = np.diff(times)
    step = int(np.median(steps)) if len(steps) else 0
    if not 0 < step <= DAY:
        raise ValueError(
            f"the instants of source {label!r} do not follow each other within a day: coherence is fitted to a series"
        )
    dense = np.arange(0, _DENSE_DAYS * DAY + 1, step)
    sparse = np.arange(_DENSE_DAYS + 1, _LONGEST_DAYS + 1) * DAY // step * step
    return np.unique(np.concatenate([dense, sparse]))


def pooled_covariance(
    times: Seconds, modes: npt.NDArray[np.complexfloating[Any]], lags: Seconds, sphere: Rings
) -> npt.NDArray[np.complex128]:
    """Covariances of (n, channel, mode) anomalies at ascending times: (lag, channel, latitude, wavenumber).

    Each is scaled to as many pairs as the first lag has.
    """
    weights = _hats(sphere) * np.where(sphere.real, 1, 2)
    most = int(sphere.wavenumber.max()) + 1
    out = np.zeros((len(lags), modes.shape[1], len(LATITUDES), most), np.complex128)
    pairs = []
    for lag in lags.tolist():
        at = np.minimum(np.searchsorted(times, times + lag), len(times) - 1)
        early = np.flatnonzero(times[at] == times + lag)
        pairs.append((early, at[early]))
    for c in range(modes.shape[1]):
        one = np.ascontiguousarray(modes[:, c])  # a channel at a time stays in the processor's cache
        conjugate = one.conj()
        for i, (early, late) in enumerate(pairs):
            if len(early):
                found = np.einsum("tm,tm->m", one[late], conjugate[early]).astype(np.complex128)
                out[i, c] = _pool(found * (len(times) / len(early)), weights, sphere)
    return out


def _pool(values: Floats, weights: Floats, sphere: Rings) -> npt.NDArray[Any]:
    """Sum (..., mode) over rings with (latitude, mode) weights: (..., latitude, wavenumber)."""
    order = np.argsort(sphere.wavenumber, kind="stable")
    starts = np.searchsorted(sphere.wavenumber[order], np.arange(sphere.wavenumber.max() + 1))
    return np.add.reduceat((values[..., None, :] * weights)[..., order], starts, axis=-1)


def _hats(sphere: Rings) -> Floats:
    """(latitude, mode) weights that fall linearly from each of `LATITUDES` to its neighbours."""
    step = LATITUDES[1] - LATITUDES[0]
    return np.maximum(0, 1 - np.abs(sphere.latitude[sphere.ring] - LATITUDES[:, None]) / step)


@dataclass(frozen=True, eq=False)
class Composition:
    """Composition of the anomalies that a bottle draws: of the noise of channels, and of what follows the sea.

    Attributes
    ----------
    share
        (group, channel, channel): how much of the variance of each channel (first) the noise of each one (second)
        makes, in groups of wavenumbers; rows add up to 1.
    forced
        (channel, latitude, wavenumber): how much of the variance follows the sea.
    """

    share: Floats
    forced: Floats


def response(
    emulator: Emulator, label: str | None, times: npt.NDArray[np.datetime64], *, progress: bool = True
) -> Composition:
    """Measure what a label's anomalies are made of, by drawing.

    Parameters
    ----------
    emulator
        Of a bottle with a climatology, that draws independent instants.
    label
        One that it has.
    times
        (n,) at which it is drawn; of the first few, each channel's noise is changed, too.
    """
    from tqdm import tqdm

    known = emulator.climatology
    assert known is not None  # whoever fits has asked
    sphere, level = rings(min(emulator.zoom, FINEST_ZOOM)), min(emulator.zoom, FINEST_ZOOM)
    shape = len(emulator.channels), healpix.n_cells(emulator.zoom)

    def drawn(latents: list[npt.NDArray[np.float32]], time: np.datetime64) -> npt.NDArray[np.complex128]:
        found = []
        for first in range(0, len(latents), emulator.batch_size):
            some = np.stack(latents[first : first + emulator.batch_size])
            stamps = np.repeat(time.astype("datetime64[s]"), len(some))
            x = known.standardised(emulator.from_latents(some, label, stamps).astype(np.float64), label, stamps)
            found.append(sphere.to_modes(healpix.coarsen(x, emulator.zoom - level)))
        return np.concatenate(found)

    power: Floats = np.zeros((2, shape[0], len(LATITUDES), int(sphere.wavenumber.max()) + 1))
    changed: Floats = np.zeros((2, len(_SHARE_EDGES), shape[0], shape[0]))
    twice = np.where(sphere.real, 1, 2)
    weights = _hats(sphere) * twice
    group = np.searchsorted(_SHARE_EDGES, sphere.wavenumber, side="right") - 1
    groups = (group == np.arange(len(_SHARE_EDGES))[:, None]) * twice
    for i, time in enumerate(tqdm(times, desc=f"respond {label or ''}".strip(), unit="time", disable=not progress)):
        one, other = (noise.normals(shape, seed=0, stage="coarse", member=MEMBER + k, time=time) for k in (0, 1))
        latents = [one, other]
        if i < CHANGED:
            for c in range(shape[0]):
                mixed = one.copy()
                mixed[c] = other[c]
                latents.append(mixed)
        modes = drawn(latents, time)
        a, b = modes[:2]
        power[0] += _pool(np.real(a * b.conj()), weights, sphere)
        power[1] += _pool((np.abs(a) ** 2 + np.abs(b) ** 2) / 2, weights, sphere)
        if i < CHANGED:
            for c, with_other in enumerate(modes[2:]):
                # Half of the mean square difference is the variance that changed.
                changed[0, :, :, c] += ((np.abs(a - with_other) ** 2 / 2) @ groups.T).T
            changed[1] += ((np.abs(a) ** 2) @ groups.T).T[:, :, None]
    share = changed[0] / np.maximum(changed[1], 1e-300)
    total = share.sum(-1, keepdims=True)
    # Where there are no such wavenumbers every channel is made of its own noise.
    return Composition(np.where(total > 0, share / np.maximum(total, 1e-300), np.eye(shape[0])), _forced(power))


def _forced(power: Floats) -> Floats:
    """The share that two draws of one time have in common, measured in belts and groups of wavenumbers."""
    belt = np.searchsorted(_BELTS, np.abs(LATITUDES), side="right")
    group = np.searchsorted(_SHARE_EDGES, np.arange(power.shape[-1]), side="right") - 1
    out = np.zeros(power.shape[1:])
    for i in range(len(_BELTS) + 1):
        for j in range(len(_SHARE_EDGES)):
            place = np.ix_(np.arange(power.shape[1]), np.flatnonzero(belt == i), np.flatnonzero(group == j))
            common, all_of_it = (part[place].sum((1, 2)) for part in power)
            out[place] = np.clip(common / np.maximum(all_of_it, 1e-300), 0, 0.95)[:, None, None]
    return out


# Fitting ------------------------------------------------------------------------------------------------------------


def fitted(
    labels: Sequence[str], channels: Sequence[str], measured: Sequence[LagCovariance], responses: Sequence[Composition]
) -> Coherence:
    """Coherence whose noise gives draws the lag correlations that were measured, label by label."""
    share = np.empty((len(labels), len(channels), len(LATITUDES), len(WAVENUMBERS), len(SPACINGS)))
    speed = np.empty((len(labels), len(LATITUDES), len(WAVENUMBERS), len(SPACINGS)))
    for i, (covariance, of_draws) in enumerate(zip(measured, responses, strict=True)):
        share[i], speed[i] = fit_label(covariance, of_draws)
    return Coherence(
        tuple(labels), tuple(channels), np.array(SPACINGS), LATITUDES, WAVENUMBERS.astype(np.int64), share, speed
    )


def fit_label(covariance: LagCovariance, of_draws: Composition) -> tuple[Floats, Floats]:
    """Shares (channel, latitude, band, memory) and speeds (latitude, band, memory) of one label."""
    lags = covariance.lags[1:]
    shapes = np.stack([correlation(lags.astype(float), spacing) for spacing in SPACINGS], 1)
    power = np.real(covariance.values[0])
    most = power.shape[-1]
    bands = [np.arange(a, min(b, most)) for a, b in zip(WAVENUMBERS, [*WAVENUMBERS[1:], most], strict=True)]
    share = np.zeros((power.shape[0], len(LATITUDES), len(bands), len(SPACINGS)))
    speed: Floats = np.zeros((len(LATITUDES), len(bands), len(SPACINGS)))
    weight = np.zeros_like(speed)
    targets = {}
    for j in range(len(LATITUDES)):
        for k, wavenumbers in enumerate(bands):
            found = _target(covariance, of_draws.forced, j, wavenumbers)  # None where rings have no such waves
            if found is not None:
                targets[j, k] = found
                speed[j, k], weight[j, k] = _speeds(found, wavenumbers, lags, shapes)
    speed = _smooth(speed, weight)
    for (j, k), found in targets.items():
        group = int(np.searchsorted(_SHARE_EDGES, bands[k][0], side="right") - 1)
        design = _design(shapes, bands[k], lags, speed[j, k])
        share[:, j, k] = _shares(found, design, of_draws.share[group])
    return _filled(share, speed, targets)


@dataclass(frozen=True, eq=False)
class _Target:
    """What is to be met at one latitude, in one band: correlations, and the weight of each wavenumber."""

    correlation: npt.NDArray[np.complex128]  # (channel, wavenumber, lag)
    weight: Floats  # (wavenumber,)


def _target(covariance: LagCovariance, forced: Floats, j: int, wavenumbers: npt.NDArray[Any]) -> _Target | None:
    values = covariance.values[:, :, j, wavenumbers]
    power = np.real(values[0])
    have = (power > 0).any(-1)
    if not have.any():
        return None
    weight = (power[have] / power[have].sum(-1, keepdims=True)).mean(0)
    correlations = values[1:].transpose(1, 2, 0) / np.maximum(power, 1e-300)[..., None]
    # What follows the sea is still there after weeks: no more than what is still there in these very years.
    last = np.real(correlations[..., covariance.lags[1:] >= _WEEKS_DAYS * DAY])
    most = np.clip(last.mean(-1), 0, None) if last.size else np.inf
    sea = np.minimum(forced[:, j, wavenumbers], most)[..., None]
    correlations = (correlations - sea) / (1 - sea)
    correlations[~have] = correlations[have].mean(0)  # what a label lacks is drawn with what it has
    return _Target(correlations, weight)


def _design(shapes: Floats, wavenumbers: npt.NDArray[Any], lags: Seconds, speed: Floats) -> npt.NDArray[np.complex128]:
    """(wavenumber, lag, memory) correlations of parts that travel at (memory,) degrees a day."""
    turn = np.deg2rad(speed) / DAY * lags[:, None]
    return np.asarray(shapes * np.exp(-1j * wavenumbers[:, None, None] * turn), np.complex128)


def _speeds(target: _Target, wavenumbers: npt.NDArray[Any], lags: Seconds, shapes: Floats) -> tuple[Floats, Floats]:
    """Speeds of the parts, in degrees a day, that fit the mean over channels best, and the shares of the parts then.

    One is sought for all parts, then for each by itself where that fits clearly better.
    """
    best = np.zeros(len(SPACINGS))
    wanted = _rows(target.correlation.mean(0)[..., None], target)[:, 0]

    def fit(speed: Floats) -> tuple[Floats, float]:
        return _nonnegative(_rows(_design(shapes, wavenumbers, lags, speed), target), wanted)

    def miss(speed: Floats) -> float:
        return fit(speed)[1]

    if wavenumbers[-1] == 0:
        return best, fit(best)[0]
    together = [miss(np.full(len(SPACINGS), s)) for s in _SPEEDS]
    best[:] = _SPEEDS[int(np.argmin(together))]
    lowest = min(together)
    for _ in range(2):
        for i in range(len(SPACINGS)):
            tried = [miss(np.where(np.arange(len(SPACINGS)) == i, s, best)) for s in _SPEEDS]
            if min(tried) < _BETTER * lowest:
                best[i], lowest = _SPEEDS[int(np.argmin(tried))], min(tried)
    return best, fit(best)[0]


def _rows(values: npt.NDArray[np.complex128], target: _Target) -> Floats:
    """Real rows of (wavenumber, lag, column) numbers, weighed."""
    weighed = values * np.sqrt(target.weight)[:, None, None]
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


def _filled(share: Floats, speed: Floats, targets: dict[tuple[int, int], _Target]) -> tuple[Floats, Floats]:
    """Where rings have no such wavenumber, what the nearest latitude has that does."""
    have = np.array(sorted(targets))
    for j in range(share.shape[1]):
        for k in range(share.shape[2]):
            if (j, k) in targets:
                continue
            same = have[have[:, 1] == k]
            near = same if len(same) else have
            a, b = near[np.argmin(np.abs(near[:, 0] - j) + 100 * np.abs(near[:, 1] - k))]
            share[:, j, k], speed[j, k] = share[:, a, b], speed[a, b]
    return share, speed
