"""Measurements that coherence is fitted to: lag covariances of a simulation, and what a bottle's anomalies are made of.

Lag covariances of a simulation's standardised anomalies are measured for each channel, latitude and zonal wavenumber.
By drawing is found what lies between them and the noise. A part of the anomalies follows the sea, which the network is
told anyway: the covariance of two independent draws of one time. And each channel is made of the noise of all channels:
how much of each is measured by drawing again with one channel's noise changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.coherence import YEAR
from xr_cbottle.draw import noise
from xr_cbottle.grid import healpix
from xr_cbottle.grid.rings import Rings, rings
from xr_cbottle.training import run_sources

if TYPE_CHECKING:
    from xr_cbottle.bottle.climatology import Climatology
    from xr_cbottle.draw.emulator import Emulator
    from xr_cbottle.fields.channels import Variable
    from xr_cbottle.training.source_config import SourceConfig

Floats = npt.NDArray[np.floating[Any]]
Seconds = npt.NDArray[np.int64]

HOUR, DAY = 3600, 86400
LATITUDES = np.arange(-90.0, 91.0, 15.0)
FINEST_ZOOM = 4
"""Finer fields are averaged to this zoom: what is smaller has the memory of the smallest scales here."""
MEMBER = 2**20
"""Realisation that is drawn here, and the next one: none that anybody is likely to read."""
PAIRS, CHANGED = 24, 4
"""Times of which two independent draws are compared, and of which each channel's noise is changed."""
SHARE_EDGES = (0, 4, 10, 16)
"""Wavenumbers from which shares of noise are measured together."""
SEASONS = 4
"""Quarters of the year from the beginning of 1970 on, which are measured apart: waves travel faster in winter."""
_EVERY, _DENSE_DAYS, _LONGEST_DAYS = 3 * HOUR, 4, 24
_MOST_AT_ONCE = 1500
_BELTS = (25.0, 60.0)  # degrees between which the part that follows the sea is measured together


@dataclass(frozen=True, eq=False)
class LagCovariance:
    """Lag covariances of anomalies.

    Attributes
    ----------
    lags
        (lag,) seconds, ascending from 0.
    values
        (season, lag, channel, latitude, wavenumber) complex128: of what is later with what was earlier, which lay in
        one of the `SEASONS` quarters of the year; in sum over rings about each of `LATITUDES`.
    """

    lags: Seconds
    values: npt.NDArray[np.complex128]


Predictors = Callable[[npt.NDArray[np.datetime64]], Floats | None]
"""What a climatology's response is told of (n,) times, (n, predictor); None of one that does not respond."""


def unmoved(times: npt.NDArray[np.datetime64]) -> None:
    """No predictors, of any times."""


def lag_covariance(
    source: SourceConfig,
    climatology: Climatology,
    zoom: int,
    *,
    progress: bool = True,
    own: Mapping[str, Variable] | None = None,
    predictors: Predictors = unmoved,
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
    predictors
        Of times, if the climatology moves with the sea and with forcings: as `Emulator.predictors`.

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
            for times, modes in _modes(instants, source, plain, zoom, own or {}, predictors):
                lags = _lags(times, source.label) if lags is None else lags
                found = pooled_covariance(times, modes, lags, rings(min(zoom, FINEST_ZOOM)))
                total = found if total is None else total + found
    if total is None or lags is None:
        raise ValueError(f"source {source.label!r} has no instants to fit coherence to")
    there = total.any((0, 2, 3, 4))  # a lag that no two instants are apart says nothing
    return LagCovariance(lags[there], total[:, there])


def _modes(
    instants: run_sources.Instants,
    source: SourceConfig,
    climatology: Climatology,
    zoom: int,
    own: Mapping[str, Variable],
    predictors: Predictors,
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
            times = instants.times[block]
            x = climatology.standardised(values, source.label, times, predictors(times))
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
    """Covariances of (n, channel, mode) anomalies at ascending times: (season, lag, channel, latitude, wavenumber).

    Each is scaled to as many pairs as the first lag has in its season.
    """
    weights = _hats(sphere) * np.where(sphere.real, 1, 2)
    most = int(sphere.wavenumber.max()) + 1
    out = np.zeros((SEASONS, len(lags), modes.shape[1], len(LATITUDES), most), np.complex128)
    season = (times / YEAR * SEASONS).astype(np.int64) % SEASONS
    pairs = []
    for i, lag in enumerate(lags.tolist()):
        at = np.minimum(np.searchsorted(times, times + lag), len(times) - 1)
        there = times[at] == times + lag
        for q in range(SEASONS):
            early = np.flatnonzero(there & (season == q))
            if len(early):
                pairs.append((q, i, early, at[early], (season == q).sum() / len(early)))
    for c in range(modes.shape[1]):
        one = np.ascontiguousarray(modes[:, c])  # a channel at a time stays in the processor's cache
        conjugate = one.conj()
        for q, i, early, late, scale in pairs:
            found = np.einsum("tm,tm->m", one[late], conjugate[early]).astype(np.complex128)
            out[q, i, c] = _pool(found * scale, weights, sphere)
    return out


def season_cycle(lags: Seconds) -> Floats:
    """Cosine and sine of the phase of the year, (season, lag, 2), half a lag after the instants of each season."""
    middle = (np.arange(SEASONS)[:, None] + 0.5) / SEASONS + lags / (2 * YEAR)
    shrunk = np.sinc(1 / SEASONS)  # the mean over a season, of which the middle has the largest value
    return shrunk * np.stack([np.cos(2 * np.pi * middle), np.sin(2 * np.pi * middle)], -1)


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
            values = emulator.from_latents(some, label, stamps).astype(np.float64)
            x = known.standardised(values, label, stamps, emulator.predictors(stamps))
            found.append(sphere.to_modes(healpix.coarsen(x, emulator.zoom - level)))
        return np.concatenate(found)

    power: Floats = np.zeros((2, shape[0], len(LATITUDES), int(sphere.wavenumber.max()) + 1))
    changed: Floats = np.zeros((2, len(SHARE_EDGES), shape[0], shape[0]))
    twice = np.where(sphere.real, 1, 2)
    weights = _hats(sphere) * twice
    group = np.searchsorted(SHARE_EDGES, sphere.wavenumber, side="right") - 1
    groups = (group == np.arange(len(SHARE_EDGES))[:, None]) * twice
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
    group = np.searchsorted(SHARE_EDGES, np.arange(power.shape[-1]), side="right") - 1
    out = np.zeros(power.shape[1:])
    for i in range(len(_BELTS) + 1):
        for j in range(len(SHARE_EDGES)):
            place = np.ix_(np.arange(power.shape[1]), np.flatnonzero(belt == i), np.flatnonzero(group == j))
            common, all_of_it = (part[place].sum((1, 2)) for part in power)
            out[place] = np.clip(common / np.maximum(all_of_it, 1e-300), 0, 0.95)[:, None, None]
    return out
