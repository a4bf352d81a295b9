"""How probable fields are under a label: densities by the probability flow, in the fields' own units."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.draw import adjoint, noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.draw.own_work import Likelihood
from xr_cbottle.network import likelihood

Floats = npt.NDArray[np.floating[Any]]


def log_likelihood(
    emulator: Emulator,
    fields: npt.ArrayLike,
    times: npt.ArrayLike,
    asked: Likelihood,
    *,
    seed: int = 0,
    member: int = 0,
) -> tuple[Floats, Floats]:
    """Logarithms of the density of fields under a label.

    Parameters
    ----------
    emulator
        A loaded bottle.
    fields
        (time, channel, cell NEST) in the channels' units, without NaN.
    times
        (time,) datetime64, each once.
    asked
        Under which label, with how many probes.
    seed, member
        Of the probes, and of the noise of the lowest level, which is added first.

    Returns
    -------
    (time,) natural logarithms per value of a field, less those that its units alone make, and their standard errors.

    Raises
    ------
    ValueError
        If the bottle does not have the label, or values are missing.
    """
    stamps, values = emulator.shaped(fields, times)
    if not np.isfinite(values).all():
        raise ValueError(
            "the likelihood is that of all variables of the bottle together, and some values are missing: infill them "
            "first"
        )
    label = emulator.bottle.manifest.label(asked.label)
    found = [
        _batch(emulator, values[start : start + emulator.batch_size], stamps[start : start + emulator.batch_size],
               label, asked.probes, seed, member)
        for start in range(0, len(stamps), emulator.batch_size)
    ]  # fmt: skip
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))  # type: ignore[return-value]


def _batch(
    emulator: Emulator, values: Floats, times: npt.NDArray[np.datetime64], label: str | None, probes: int, seed: int,
    member: int,
) -> tuple[Floats, Floats]:  # fmt: skip
    def normals(block: int) -> Floats:
        return np.stack([
            noise.normals(values.shape[1:], seed=seed, stage="likelihood", member=member, time=time, block=block)
            for time in times
        ])  # fmt: skip

    with drawing(emulator.precision, gradients=True), emulator.batch(times) as (batch, inputs):
        sigmas = emulator.sampler.levels()
        x = emulator.normalised(values, label, times) + float(sigmas[-2]) * normals(0)
        _, each = likelihood.log_density(
            emulator.denoise(label, **inputs), batch.put(x).double(), sigmas,
            lambda number: batch.put(np.sign(normals(number + 1))), probes,
        )  # fmt: skip
        stretched = adjoint.log_volume(emulator.normalisation, values, label, times)
        found = each[: len(times)].cpu().numpy() + stretched[:, None]
    size = values[0].size
    error = found.std(1, ddof=1) / np.sqrt(probes) if probes > 1 else np.full(len(times), np.nan)
    return found.mean(1) / size, error / size
