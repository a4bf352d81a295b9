"""Calibration: errors of a trained network, measured on the years that it learnt and taken out of what it draws.

A network that draws standardised anomalies should draw them with the mean, the deviation and the spectrum that they
have in the data. After a finite training it does so within some hundredths, which is much in a global mean of rain, and
some tenths for patterns of a few cells. All is found on what was learnt, never on the years that a report judges by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.calibration import Calibration
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.fields.nonnegative import without_negatives
from xr_cbottle.grid import healpix
from xr_cbottle.grid.spherical_harmonics import amplified, power, resolved
from xr_cbottle.training.data import LabelData, TrainingData

MEMBER = 2**20
"""Realisation that is drawn here: none that a report is likely to read."""
MOST = 0.2
"""A spread is never changed by more than this share of itself."""
LEAST_GAIN, MOST_GAIN = 0.25, 2.0
"""Bounds of the gains. Beyond a simulation's truncation there is no power, and a network leaves some noise there."""
ROUNDS = 3
"""How often gains are found: what is amplified is standardised, so that a degree leaks into others."""
PROBABILITIES = np.concatenate(
    [[1e-4, 1e-3, 0.01], np.arange(0.02, 0.985, 0.02), [0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999]]
)
"""Of the quantiles that are matched."""
_DATA_INSTANTS = 600
"""Of the data, whose figures cost little."""

Floats = npt.NDArray[np.floating]


def calibrated(
    emulator: Emulator,
    data: TrainingData,
    instants: int,
    *,
    matched: Sequence[str] = (),
    moving: Sequence[str] = (),
    progress: bool = True,
) -> Climatology:
    """Climatology of a bottle, about which its network draws as the data are.

    Parameters
    ----------
    emulator
        Of a bottle with a climatology, as it was trained, that sets nothing to 0.
    data
        What it was trained on.
    instants
        How many are drawn of each label, at times spread evenly over those learnt.
    matched
        Channels whose distribution over cells and times is matched too.
    moving
        Those of them whose mapping goes with the climate, if the climatology responds to one: see `Calibration.scaled`.
    progress
        Show bars.

    Returns
    -------
    Climatology
        With other ``mean`` and ``spread``, and with a ``calibration``.
    """
    known = emulator.climatology
    assert known is not None  # there is nothing to calibrate without one
    mean, spread = known.mean.copy(), known.spread.copy()
    degrees = resolved(healpix.n_cells(data.zoom))
    gain, rest = np.ones((*mean.shape[:2], degrees)), np.ones(mean.shape[:2])
    numbers = np.array([known.channels.index(name) for name in matched], np.int64)
    quantiles = np.zeros((2, len(known.labels), len(numbers), len(PROBABILITIES)))
    moves = np.array([name in moving and known.response is not None for name in matched], bool)
    scaled = np.tile(moves, (len(known.labels), 1))
    rises = np.broadcast_to(np.arange(2.0), (*quantiles.shape[1:3], 2))
    neutral = Calibration(gain, numbers, rises, rises, rest, scaled)
    for label in data.labels:
        i = known.labels.index(label.label)
        have = np.array([name not in label.missing for name in known.channels])
        runs = Runs([run for run in data.runs if run.label == label.label], emulator)
        chosen, many = (_evenly(runs.learnt, count) for count in (instants, max(instants, _DATA_INSTANTS)))
        times, known_times = runs.times[chosen], runs.times[many]
        moved, known_moved = runs.predictors(chosen), runs.predictors(many)
        drawn = runs.drawn(chosen, progress)
        x, of_data = known.standardised(drawn, label.label, times, moved), runs.values(many)
        known_fields = of_data * known.at(label.label, known_times, known_moved)[1]
        drawn_spread = known.at(label.label, times, moved)[1]
        few = known_fields[_evenly(np.arange(len(known_fields)), len(x))]
        rest[i] = np.where(have, rest_gains(x * drawn_spread, few, degrees), 1.0)
        wanted = power(known_fields, degrees)
        gain[i] = np.where(have[:, None], gains(x, drawn_spread, wanted, rest[i]), 1.0)
        x = amplified(x, gain[i], rest[i])
        of_drawn, of_truth = moments(x, known.spread[i]), moments(runs.values(chosen), known.spread[i])
        shift = np.where(have, of_drawn[0] - of_truth[0], 0.0)
        factor = np.where(have, np.clip(of_drawn[1] / of_truth[1], 1 - MOST, 1 + MOST), 1.0)
        # Drawn x have the mean a and the deviation r of the data's: spread / r * (x - a) has what it should.
        mean[i, :, 0, 0] -= (shift / factor)[:, None] * known.spread[i]
        spread[i] /= factor[:, None]
        if len(numbers):
            about = dataclasses.replace(known, mean=mean, spread=spread)
            both = ((about, x, times, moved), (known, of_data, known_times, known_moved))
            for k, (one, fields, at, predictors) in enumerate(both):
                values = one.physical(fields, label.label, at, predictors)
                ratio = dataclasses.replace(one, calibration=neutral).about(label.label, at, predictors)[2]
                values[:, numbers[moves]] = without_negatives(values[:, numbers[moves]])
                over = 1.0 if ratio is None else ratio[:, numbers, None]
                quantiles[k, i] = _quantiles(values[:, numbers] / over)
    measured = [known.labels.index(label.label) for label in data.labels]
    for i in set(range(len(known.labels))) - set(measured):
        quantiles[:, i] = quantiles[1, measured[0]]  # of equal quantiles nothing is mapped
    return dataclasses.replace(
        known,
        mean=mean,
        spread=spread,
        calibration=Calibration(gain, numbers, quantiles[0], quantiles[1], rest, scaled),
    )


class Runs:
    """The runs of a label, one after the other, each under its own sea and forcings.

    Parameters
    ----------
    runs
        Their prepared instants.
    emulator
        Of the bottle, under its own sea and forcings.
    """

    def __init__(self, runs: Sequence[LabelData], emulator: Emulator) -> None:
        self.runs = tuple(runs)
        self.emulators = [_under(emulator, run) for run in runs]
        self.times = np.concatenate([run.times for run in runs])
        self.learnt = np.flatnonzero(~np.concatenate([run.validation for run in runs]))
        self._starts = np.cumsum([0, *(len(run.times) for run in runs)])

    def values(self, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(n, channel, cell NEST) of some instants; 0 where the label lacks a channel."""
        return np.concatenate([_values(self.runs[i], places) for i, places in self._parts(chosen)])

    def predictors(self, chosen: npt.NDArray[np.int64]) -> Floats | None:
        """(n, predictor) of some instants; None without a response."""
        found = [self.emulators[i].predictors(self.runs[i].times[places]) for i, places in self._parts(chosen)]
        known = [one for one in found if one is not None]
        return np.concatenate(known) if known else None

    def drawn(self, chosen: npt.NDArray[np.int64], progress: bool) -> Floats:
        """(n, channel, cell NEST) drawn at the times of some instants."""
        fields = []
        for i, places in self._parts(chosen):
            run = self.runs[i]
            drawn = self.emulators[i].draw(run.times[places], member=MEMBER, label=run.label, progress=progress)
            fields.append(drawn.values)
        return np.concatenate(fields)

    def _parts(self, chosen: npt.NDArray[np.int64]) -> list[tuple[int, npt.NDArray[np.int64]]]:
        """Number of each run, and places in it, in the order of what was chosen."""
        number = np.searchsorted(self._starts, chosen, side="right") - 1
        cuts = np.flatnonzero(np.diff(number)) + 1
        firsts = [0, *cuts.tolist()]
        return [
            (int(number[first]), part - self._starts[number[first]])
            for first, part in zip(firsts, np.split(chosen, cuts), strict=True)
        ]


def _under(emulator: Emulator, run: LabelData) -> Emulator:
    """The emulator under the sea and the forcings of a run."""
    if run.climate is None or emulator.climatology is None or emulator.climatology.response is None:
        return emulator
    return Emulator(
        emulator.bottle, device=emulator.device, precision=emulator.precision, sampler=emulator.sampler,
        batch_size=emulator.batch_size, sst=run.climate.sst, forcings=run.climate.forcings,
    )  # fmt: skip


def gains(x: Floats, spread: npt.NDArray, wanted: Floats, rest: Floats) -> Floats:
    """Factors that give drawn anomalies the power that those of the data have at each degree.

    Parameters
    ----------
    x
        (n, channel, cell NEST). Standardised anomalies as they are drawn.
    spread
        (n, channel, cell NEST). What one of them is worth.
    wanted
        (channel, degree). `power` of the data's anomalies, of degrees from 0.
    rest
        (channel,). Gain of what is finer, from `rest_gains`.

    Returns
    -------
    (channel, degree)
        From `LEAST_GAIN` to `MOST_GAIN`; 1 at degree 0, which is a matter of the mean.
    """
    gain = np.ones_like(wanted)
    for _ in range(ROUNDS):
        found = power(amplified(x, gain, rest) * spread, wanted.shape[1])
        gain = np.clip(gain * np.sqrt(wanted / np.maximum(found, 1e-300)), LEAST_GAIN, MOST_GAIN)
        gain[:, 0] = 1
    return gain


def rest_gains(drawn: Floats, known: Floats, degrees: int) -> Floats:
    """Factors that give what is finer than the first degrees the variance that it has in the data.

    A network leaves some of its noise in single cells, and most of what a cell can show is finer than the degrees that
    the cells resolve: of a field of white noise in 3,072 cells, two thirds.

    Parameters
    ----------
    drawn, known
        (n, channel, cell NEST). Anomalies, as drawn and of the data.
    degrees
        How many degrees, from 0, are not of the rest.

    Returns
    -------
    (channel,)
        From `LEAST_GAIN` to 1: where the data have more, nobody knows whether the pattern is right; 1 without any.
    """
    squares = []
    for fields in (drawn, known):
        channels = fields.shape[1]
        finer = amplified(fields, np.zeros((channels, degrees)), np.ones(channels))
        squares.append((finer**2).mean((0, 2)))
    found, wanted = squares
    return np.clip(np.sqrt(wanted / np.maximum(found, 1e-300)), LEAST_GAIN, 1.0)


def moments(x: npt.NDArray, spread: npt.NDArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and deviation about it of anomalies, as they matter to global means of the field: weighted by the spread.

    Parameters
    ----------
    x
        (n, channel, cell). Standardised anomalies.
    spread
        (channel, cell). What one of them is worth.

    Returns
    -------
    Two of (channel,)
    """
    weight = spread.astype(np.float64)
    mean = np.einsum("ncx,cx->c", x, weight) / (len(x) * weight.sum(1))
    square = np.einsum("ncx,cx->c", (x - mean[:, None]) ** 2, weight**2) / (len(x) * (weight**2).sum(1))
    return mean, np.sqrt(square)


def _quantiles(values: Floats) -> Floats:
    """(channel, knot) of (n, channel, cell), rising even where many values are one."""
    found = np.quantile(values.transpose(1, 0, 2).reshape(values.shape[1], -1), PROBABILITIES, axis=1).T
    span = np.maximum(found[:, -1:] - found[:, :1], 1e-300)
    return found + span * 1e-9 * np.arange(found.shape[1])


def _evenly(positions: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    return positions[np.unique(np.linspace(0, len(positions) - 1, min(count, len(positions))).round().astype(int))]


def _values(label: LabelData, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n, channel, cell NEST) of some instants that were learnt; 0 where the label lacks a channel."""
    values = np.stack([label.values[i] for i in chosen]).astype(np.float64)
    zoom = healpix.zoom_of(values.shape[-1])
    assert zoom is not None  # `sources.read` brought them to the cells of one
    return np.nan_to_num(values[..., healpix.padxy_to_nest(zoom)])
