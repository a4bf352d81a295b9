"""Translating between the data sets a bottle knows: a field of one label as it would be in another's.

The field is followed up the diffusion ODE under its own label and down again under the other. What it has in common
with the noise it came from stays; what tells the labels apart changes. A field that no label knows is noised instead.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.draw import noise, whiteness
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.draw.own_work import Translation
from xr_cbottle.draw.whiteness import Whiteness
from xr_cbottle.network import edm, transfer

_STRANGE = 0.2
_STRANGE_DATA = 1.5


def translate(
    emulator: Emulator,
    fields: npt.ArrayLike,
    times: npt.ArrayLike,
    translation: Translation,
    *,
    seed: int = 0,
    member: int = 0,
) -> tuple[npt.NDArray[np.float32], list[Whiteness]]:
    """Translate fields of one label into fields of another.

    Parameters
    ----------
    emulator
        A loaded bottle with both labels.
    fields
        (time, channel, cell NEST) in the channels' units; NaN where there is no value, which is then drawn.
    times
        (time,) datetime64, each once.
    translation
        From what to what.
    seed, member
        Of the noise in what is missing, and of the little that is added to the rest.

    Returns
    -------
    (time, channel, cell NEST) float32 in the channels' units, without NaN; and how white the noise of each time is.

    Raises
    ------
    ValueError
        If the bottle does not have a label, or the shape is not one field of all channels for each time.
    """
    stamps, values = emulator.shaped(fields, times)
    known = emulator.bottle.manifest
    labels = None if translation.source is None else known.label(translation.source), known.label(translation.target)
    out = np.empty(values.shape, np.float32)
    found: list[Whiteness] = []
    for start in range(0, len(stamps), emulator.batch_size):
        batch = slice(start, start + emulator.batch_size)
        out[batch], white = _batch(emulator, values[batch], stamps[batch], labels, translation.strength, seed, member)
        found += white
    return out, found


def _batch(
    emulator: Emulator,
    values: npt.NDArray[np.float64],
    times: npt.NDArray[np.datetime64],
    labels: tuple[str | None, str | None],
    strength: float | None,
    seed: int,
    member: int,
) -> tuple[npt.NDArray[np.floating[Any]], list[Whiteness]]:
    source, target = labels
    from_nowhere = source is None and bool(emulator.bottle.manifest.labels)
    with drawing(emulator.precision):
        sigmas = emulator.sampler.levels()
        normals = [
            noise.normals((2, *values.shape[1:]), seed=seed, stage="translate", member=member, time=time)
            for time in times
        ]
        own = target if from_nowhere else source
        offset = 0.0 if from_nowhere else offsets(emulator, values, own, times)
        normalised, known = emulator.known_part(values - offset, own, times)
        with emulator.batch(times) as (batch, inputs):
            decode = emulator.denoise(target, **inputs)
            encode = None if from_nowhere else emulator.denoise(source, **inputs)
            fresh = batch.put(np.stack(normals)).double()
            moved = transfer.translate(
                encode, decode, batch.put(normalised), batch.put(known), sigmas, (fresh[:, 0], fresh[:, 1]),
                edm.SOLVERS[emulator.sampler.solver], strength,
            )  # fmt: skip
            drawn, turned = batch.back(moved.clean), batch.back(moved.turned)
        level = float(sigmas[0]) if strength is None else min(strength, float(sigmas[0]))
        given = emulator.anomalies(values, own, times)
        found = [whiteness.measure(x, z, k, level) for x, z, k in zip(given, turned, known, strict=True)]
        _warn(found, times, emulator.bottle.manifest.name)
        return emulator.finite(emulator.physical(drawn, target, times) + offset), found


def offsets(
    emulator: Emulator, values: npt.NDArray[np.float64], label: str | None, times: npt.NDArray[np.datetime64]
) -> npt.NDArray[np.float64]:
    """How far the mean of each field over the globe is from its label's climate: (n, channel, 1), in units.

    It is kept as it is: divided by the spread of one label and multiplied by that of the other, a warmer climate would
    come out more or less warm. 0 of channels that have bounds or that are no straight line of the state, and of
    all where the network draws the fields themselves.
    """
    known = emulator.climatology
    out = np.zeros((*values.shape[:2], 1))
    if known is None:
        return out
    mean, _ = known.at(label, times, emulator.predictors(times))
    anomaly = values - (known.center[:, None] + known.scale[:, None] * mean)
    there = np.isfinite(anomaly)
    manifest = emulator.bottle.manifest
    straight = (known.root == 1) & ~np.isin(emulator.channels, [*manifest.nonnegative, *manifest.bounds])
    if known.calibration is not None:
        straight[known.calibration.matched] = False
    count = there.sum(-1, keepdims=True)
    total = np.where(there, anomaly, 0.0).sum(-1, keepdims=True)
    return np.where(straight[:, None] & (count > 0), total / np.maximum(count, 1), 0.0)


def _warn(found: list[Whiteness], times: npt.NDArray[np.datetime64], name: str) -> None:
    """Say which fields are strange to the bottle: their noise is not white, or they are far from its climate."""
    for one, time in zip(found, times, strict=True):
        far = one.given_deviation > _STRANGE_DATA
        if far or abs(one.latent_deviation - 1) > _STRANGE or abs(one.latent_mean) > _STRANGE:
            warnings.warn(
                f"the data of {time} are strange to {name}: their anomalies have a deviation of "
                f"{one.given_deviation:.2f}, and the noise they are turned to mean {one.latent_mean:.2f} and deviation "
                f"{one.latent_deviation:.2f} where 0 and 1 are usual; what comes of them may be unlike both data sets",
                stacklevel=2,
            )
