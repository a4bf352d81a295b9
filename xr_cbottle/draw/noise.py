"""The noise of an instant: a pure function of what is asked for.

Each stream is numpy's Philox keyed by (seed, stage, member, time), drawn on the host, because torch's CPU
generator uses 32 bits of a seed and its CUDA generator depends on the GPU. Nothing else enters: not the
batch, the order of requests, the worker or what was drawn before.
"""

from __future__ import annotations

import datetime
import operator

import numpy as np
import numpy.typing as npt

STAGES = {
    "coarse": 0, "infill": 1, "superres": 2, "translate": 3, "coherent": 4, "coherent-superres": 5, "guide": 6,
    "likelihood": 7, "assimilate": 8, "bridge": 9, "video": 10,
}  # fmt: skip
"""Streams that must differ at one instant, by the stage of the model that uses them."""

BLOCKS = {
    "assimilate": "number from 0",
    "coherent-superres": "block of cells",
    "guide": "step of the sampler",
    "infill": "step of the sampler",
    "likelihood": "probe",
    "superres": "block of cells",
}
"""What a block is, in the stages whose streams have one."""

_OF_KNOTS = ("coherent", "coherent-superres")

Time = np.datetime64 | datetime.datetime | str


def seconds_since_1970(time: Time) -> int:
    """Count whole seconds from 1970-01-01T00:00:00 to ``time``, negative before it.

    Raises
    ------
    ValueError
        If the time is missing or has a fraction of a second: two requests that differ by less would
        otherwise silently share their noise.
    """
    stamp = np.datetime64(time)
    if np.isnat(stamp):
        raise ValueError("the time of an instant is NaT: give a date such as 1990-01-01T06:00")
    whole = stamp.astype("datetime64[s]")
    if whole != stamp:
        raise ValueError(f"{stamp} has a fraction of a second: instants lie on whole seconds")
    return int(whole.astype(np.int64))


def generator(
    *, seed: int, stage: str, member: int, time: Time, block: int | None = None, spacing: int | None = None
) -> np.random.Generator:
    """Make the generator of one stream; see `normals` for the arguments."""
    number = _stage(stage)
    # A word of the key that a stage always has or never: with and without in one stage, two streams could coincide.
    if (block is None) == (stage in BLOCKS):
        raise ValueError(
            f"noise of stage {stage!r} is drawn for a {BLOCKS[stage]}: give block"
            if block is None
            else f"only the stages {', '.join(BLOCKS)} have blocks, not {stage!r}: leave block out"
        )
    if (spacing is None) == (stage in _OF_KNOTS):
        raise ValueError(
            f"noise of stage {stage!r} is drawn at knots of time: give spacing"
            if spacing is None
            else f"only stages {' and '.join(_OF_KNOTS)} have knots of time, not {stage!r}: leave spacing out"
        )
    key = [
        number,
        _integer("member", member, 2**32),
        seconds_since_1970(time) % 2**64,  # two's complement: spawn keys cannot be negative
    ]
    if spacing is not None:
        key.append(_integer("spacing", spacing, 2**32))
    if block is not None:
        key.append(_integer("block", block, 2**32))
    sequence = np.random.SeedSequence(_integer("seed", seed, 2**63), spawn_key=tuple(key))
    return np.random.Generator(np.random.Philox(sequence))


def normals(
    shape: tuple[int, ...],
    *,
    seed: int,
    stage: str,
    member: int,
    time: Time,
    block: int | None = None,
    spacing: int | None = None,
) -> npt.NDArray[np.float32]:
    """Draw standard normal numbers of one stage of one instant, the same on every machine.

    Parameters
    ----------
    shape
        Shape of the result; the coarse latents of an instant are (channel, cell), NEST order.
    seed
        Seed of the whole data set, 0 <= seed < 2**63.
    stage
        A name in `STAGES`.
    member
        Realisation, 0 <= member < 2**32.
    time
        Time of the instant, on a whole second; before 1970 too.
    block
        0 <= block < 2**32, needed by the stages in `BLOCKS` and refused by the others: a fixed block of cells in those
        of super-resolution, which draw only those that they touch; a step of the sampler in the others.
    spacing
        Seconds between the knots of time of which ``time`` is one, 0 <= spacing < 2**32: needed by the coherent
        stages (see `xr_cbottle.draw.coherent_noise`), and refused by the others.

    Returns
    -------
    float32 array of ``shape``.

    Raises
    ------
    ValueError
        If a number is outside its range or the stage is not known.
    """
    stream = generator(seed=seed, stage=stage, member=member, time=time, block=block, spacing=spacing)
    # Drawn in float64: the tails of numpy's float32 ziggurat are cut by its 24 bits.
    return stream.standard_normal(shape).astype(np.float32)


def _stage(stage: str) -> int:
    if stage not in STAGES:
        raise ValueError(f"unknown stage {stage!r}: choose one of {', '.join(STAGES)}")
    return STAGES[stage]


def _integer(name: str, value: int, end: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if isinstance(value, (bool, np.bool_)) or not 0 <= number < end:
        raise ValueError(f"{name} is {value!r}: it must be an integer from 0 to {end - 1}")
    return number
