"""Translating between the data sets a bottle knows: a field of one label as it would be in another's.

The field is followed up the diffusion ODE under its own label and down again under the other. What it has in common
with the noise it came from stays; what tells the labels apart changes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle.draw import conditions, noise
from xr_cbottle.draw.emulator import Emulator, arithmetic
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
    """Fields of one label as fields of another.

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
    As ``fields``, float32 and without NaN.

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
    labels = emulator.label_name(source), emulator.label_name(target)
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
) -> npt.NDArray[np.float64]:
    model, count = emulator.model, len(times)
    pad = [*range(count), *[count - 1] * (emulator.batch_size - count)]
    order = healpix.nest_to_padxy(emulator.zoom)
    normals = [
        noise.normals((2, *values.shape[1:]), seed=seed, stage="translate", member=member, time=time) for time in times
    ]
    normalised = emulator.normalised(values, labels[0], times)
    condition = emulator.condition(times[pad])
    with model.lock, torch.inference_mode(), arithmetic(emulator.precision):
        dtype = model.experts[0][1].network.model.map_layer0.weight.dtype

        def put(array: npt.NDArray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(model.device)

        inputs = dict(
            condition=put(condition).to(dtype),
            second_of_day=put(conditions.second_of_day(times[pad])),
            day_of_year=put(conditions.day_of_year(times[pad])),
        )
        encode, decode = (emulator.denoise(label, **inputs) for label in labels)
        state = put(normalised[pad][..., order])[:, :, None]
        fresh = put(np.stack(normals)[pad][..., order]).double()[:, :, :, None]
        sampler = emulator.sampler
        sigmas = edm.heun_schedule(sampler.num_steps, sampler.sigma_min, sampler.sigma_max, sampler.rho)
        noises = (fresh[:, 0], fresh[:, 1])
        ended = edm.translate(encode, decode, state, ~torch.isnan(state), sigmas, noises)
    drawn = ended[:count, :, 0].cpu().numpy()[..., healpix.padxy_to_nest(emulator.zoom)]
    return emulator.physical(drawn, labels[1], times)
