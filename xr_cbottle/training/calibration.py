"""What a trained network still gets wrong in the mean and the spread, taken out of its climatology.

A network that draws standardised anomalies should draw them with the mean and the deviation that they have in the
data. After a finite training it does so within some hundredths, which is much in a global mean of rain. Two numbers for
each label and channel mend it. They are found on the years that were learnt, never on those that a report judges by.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from .. import healpix
from ..climatology import Climatology
from ..emulator import Emulator
from .data import LabelData, TrainingData

MEMBER = 2**20
"""Realisation that is drawn here: none that a report is likely to read."""
MOST = 0.2
"""A spread is never changed by more than this share of itself."""


def calibrated(emulator: Emulator, data: TrainingData, instants: int, *, progress: bool = True) -> Climatology:
    """A bottle's climatology, about which its network draws with the mean and the spread of the data.

    Parameters
    ----------
    emulator : Emulator
        Of a bottle with a climatology, as it was trained.
    data : TrainingData
        What it was trained on.
    instants : int
        How many are drawn of each label, at times spread evenly over those learnt.
    progress : bool
        Show bars.

    Returns
    -------
    Climatology
        With other ``mean`` and ``spread``.
    """
    known = emulator.climatology
    assert known is not None  # there is nothing to calibrate without one
    mean, spread = known.mean.copy(), known.spread.copy()
    for label in data.labels:
        i = known.labels.index(label.label)
        chosen = np.flatnonzero(~label.validation)
        chosen = chosen[np.linspace(0, len(chosen) - 1, instants).round().astype(int)]
        times = label.times[chosen]
        drawn = emulator.draw(times, member=MEMBER, label=label.label, progress=progress).values
        of_drawn = moments(known.standardised(drawn, label.label, times), known.spread[i])
        of_data = moments(_values(label, chosen), known.spread[i])
        have = [name not in label.missing for name in known.channels]
        shift = np.where(have, of_drawn[0] - of_data[0], 0.0)
        factor = np.where(have, np.clip(of_drawn[1] / of_data[1], 1 - MOST, 1 + MOST), 1.0)
        # Drawn x have the mean a and the deviation r of the data's: spread / r * (x - a) has what it should.
        mean[i, :, 0, 0] -= (shift / factor)[:, None] * known.spread[i]
        spread[i] /= factor[:, None]
    return dataclasses.replace(known, mean=mean, spread=spread)


def moments(x: npt.NDArray, spread: npt.NDArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and deviation about it of anomalies, as they matter to global means of the field: weighted by the spread.

    Parameters
    ----------
    x : (n, channel, cell)
        Standardised anomalies.
    spread : (channel, cell)
        What one of them is worth.

    Returns
    -------
    Two of (channel,)
    """
    weight = spread.astype(np.float64)
    mean = np.einsum("ncx,cx->c", x, weight) / (len(x) * weight.sum(1))
    square = np.einsum("ncx,cx->c", (x - mean[:, None]) ** 2, weight**2) / (len(x) * (weight**2).sum(1))
    return mean, np.sqrt(square)


def _values(label: LabelData, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n, channel, cell NEST) of some instants that were learnt; 0 where the label lacks a channel."""
    values = np.stack([label.values[i] for i in chosen]).astype(np.float64)
    order = healpix.padxy_to_nest(round(np.log2(values.shape[-1] / 12) / 2))
    return np.nan_to_num(values[..., order])
