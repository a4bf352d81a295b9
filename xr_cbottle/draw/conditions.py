"""Conditions, which tell a network of a time: sea surface temperature, second of the day, day of the year."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from xr_cbottle.bottle.climatology import Climatology

SST_MEAN = 287.6897
SST_STD = 15.5862
"""Mean and standard deviation of the SST that cBottle's networks are conditioned on, K."""
LAND_KELVIN = 290.0
"""What cBottle's networks are given over land, K."""


def encode_sst(kelvin: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Encode an SST for a network: normalised, land filled with `LAND_KELVIN`; same shape, float32."""
    values = np.asarray(kelvin, np.float64)
    return ((np.where(np.isnan(values), LAND_KELVIN, values) - SST_MEAN) / SST_STD).astype(np.float32)


def encode(
    kelvin: npt.ArrayLike, times: npt.ArrayLike, climatology: Climatology | None = None
) -> npt.NDArray[np.float32]:
    """Encode all fields that a network gets beside the noisy state.

    Parameters
    ----------
    kelvin
        (n, cell NEST) SST, NaN over land.
    times
        (n,) datetime64.
    climatology
        Of a bottle that draws anomalies: its network is told the anomaly of the SST too.

    Returns
    -------
    (n, 1 or 2, cell NEST) float32.
    """
    fields = [encode_sst(kelvin)]
    if climatology is not None:
        fields.append(climatology.sst_anomaly(np.asarray(kelvin), times))
    return np.stack(fields, 1)


def second_of_day(times: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Seconds since 00 UTC, (n, 1) float32, of (n,) datetime64."""
    seconds = np.atleast_1d(np.asarray(times, "datetime64[s]")).astype(np.int64)
    return (seconds % 86400).astype(np.float32)[:, None]


def day_of_year(times: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Days since 1 January 00 UTC with the fraction of the day, (n, 1) float32, of (n,) datetime64."""
    stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
    start = stamps.astype("datetime64[Y]").astype("datetime64[s]")
    return ((stamps - start).astype(np.int64) / 86400).astype(np.float32)[:, None]
