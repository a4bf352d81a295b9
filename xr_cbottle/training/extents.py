"""Extents: how far the values of each channel reach, and which are beyond what can be or what is usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields.channels import parse
from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.gathered import Gathered

Array = npt.NDArray[Any]
USUAL = {
    "ta": 13.0, "ua": 10.0, "va": 8.0, "zg": 250.0, "hur": 0.3, "wap": 0.15, "prw": 17.0, "clwvi": 0.1, "clivi": 0.1,
    "tas": 21.0, "ts": 22.0, "uas": 5.0, "vas": 4.5, "sfcWind": 4.0, "huss": 6e-3, "hurs": 0.2, "rlut": 45.0,
    "rsut": 130.0, "rsdt": 420.0, "rlds": 85.0, "rlus": 90.0, "rsds": 270.0, "rsus": 70.0, "hfls": 90.0, "hfss": 60.0,
    "clt": 0.35, "ps": 9000.0, "psl": 1200.0, "pr": 1.2e-4, "evspsbl": 4e-5, "sst": 11.0, "siconc": 0.3,
}  # fmt: skip
"""Deviations over the globe and the hours of a year, in the units of `xr_cbottle.fields.channels.VARIABLES`."""
STRANGE = 20.0
"""A deviation is strange if it differs from the usual one by this factor: a unit is likely to be another."""


@dataclass(frozen=True)
class Extent:
    """How far the values of a channel reach, in its unit.

    Attributes
    ----------
    mean, deviation
        Over cells and time, of the channel or of its root.
    low, high
        Least and largest value of the channel itself.
    """

    mean: float
    deviation: float
    low: float
    high: float


def extents(config: DataConfig, parts: Sequence[Gathered], center: Array, deviation: Array) -> dict[str, Extent]:
    """Extent of each channel, where nothing is beyond what the configuration allows.

    Parameters
    ----------
    config
        Its ``most_deviations`` and ``roots``.
    parts
        The sources.
    center, deviation
        (channel,) mean and deviation over cells and time, of the channels or of their roots.

    Raises
    ------
    ValueError
        If a value is more deviations from the mean than that, with file and time.
    """
    found = {}
    for c, name in enumerate(config.channels):
        root = config.roots.get(name, 1.0)
        for part in parts:
            for number, block in enumerate(part.held):
                for value in (block.low[c], block.high[c]):
                    away = abs(_rooted(value, root) - center[c])
                    if away > config.most_deviations * deviation[c]:
                        raise ValueError(
                            f"source {part.source.label!r}: {block.address}: {name} is {value:.6g} at "
                            f"{_when(part, number, c, value)}, {away / deviation[c]:.3g} deviations from its mean: "
                            "mend the file, or, if this is weather, raise most_deviations"
                        )
        low, high = (
            float(pick([getattr(block, which)[c] for part in parts for block in part.held]))
            for which, pick in (("low", np.fmin.reduce), ("high", np.fmax.reduce))
        )
        found[name] = Extent(float(center[c]), float(deviation[c]), low, high)
    return found


def strange(config: DataConfig, found: Mapping[str, Extent]) -> list[str]:
    """Sentences about channels whose deviation is far from the usual one of their variable."""
    lines = []
    for name, extent in found.items():
        channel = parse(name, config.own)
        usual, own = USUAL.get(channel.variable.name), abs(channel.factor) * extent.deviation
        if usual is None or name in config.roots or usual / STRANGE < own < usual * STRANGE:
            continue
        lines.append(
            f"{name}: its deviation is {own:.3g} {channel.variable.units}, and usual are about {usual:g}: look at its "
            "units"
        )
    return lines


def _rooted(value: float, root: float) -> float:
    return float(value) if root == 1 else float(max(value, 0.0) ** (1 / root))


def _when(part: Gathered, number: int, c: int, value: float) -> np.datetime64:
    """Time of the first instant of a block that has a value."""
    block = part.held[number]
    values = np.load(block.path.with_suffix(".npy"), mmap_mode="r")[:, c]
    return np.datetime64(block.times[int(np.argmax((values == np.float32(value)).any(-1)))])
