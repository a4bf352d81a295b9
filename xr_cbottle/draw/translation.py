"""Translating between the data sets a bottle knows: a field of one label as it would be in another's.

The field is followed up the diffusion ODE under its own label and down again under the other. What it has in common
with the noise it came from stays; what tells the labels apart changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle.draw import noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.grid import healpix
from xr_cbottle.network import edm


def translate(
    emulator: Emulator,
    fields: npt.ArrayLike,
    times: npt.ArrayLike,
    source: str,
    target: str,
    *,
    seed: int = 0,
    member: int = 0,
) -> npt.NDArray[np.float32]:
    """Translate fields of one label into fields of another.

    Parameters
    ----------
    emulator
        A loaded bottle with both labels.
    fields
        (time, channel, cell NEST) in the channels' units; NaN where there is no value, which is then drawn.
    times
        (time,) datetime64, each once.
    source, target
        Labels of the fields and of the result.
    seed, member
        Of the noise in what is missing, and of the little that is added to the rest.

    Returns
    -------
    (time, channel, cell NEST) float32 in the channels' units, without NaN.

    Raises
    ------
    ValueError
        If the bottle does not have a label, or the shape is not one field of all channels for each time.
    """
    stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
    values = np.asarray(fields, np.float64)
    shape = (len(emulator.channels), healpix.n_cells(emulator.zoom))
    if values.shape != (len(stamps), *shape):
        raise ValueError(f"the fields have shape {values.shape}: it must be {(len(stamps), *shape)}, all channels")
    labels = emulator.bottle.manifest.label(source), emulator.bottle.manifest.label(target)
    out = np.empty(values.shape, np.float32)
    for start in range(0, len(stamps), emulator.batch_size):
        batch = slice(start, start + emulator.batch_size)
        out[batch] = _batch(emulator, values[batch], stamps[batch], labels, seed, member)
    return out


def _batch(
    emulator: Emulator,
    values: npt.NDArray[np.float64],
    times: npt.NDArray[np.datetime64],
    labels: tuple[str | None, str | None],
    seed: int,
    member: int,
) -> npt.NDArray[np.floating[Any]]:
    with drawing(emulator.precision):
        normals = [
            noise.normals((2, *values.shape[1:]), seed=seed, stage="translate", member=member, time=time)
            for time in times
        ]
        normalised = emulator.normalised(values, labels[0], times)
        with emulator.batch(times) as (batch, inputs):
            encode, decode = (emulator.denoise(label, **inputs) for label in labels)
            state = batch.put(normalised)
            fresh = batch.put(np.stack(normals)).double()
            noises = (fresh[:, 0], fresh[:, 1])
            ended = edm.translate(encode, decode, state, ~torch.isnan(state), emulator.sampler.levels(), noises)
            drawn = batch.back(ended)
        return emulator.physical(drawn, labels[1], times)
