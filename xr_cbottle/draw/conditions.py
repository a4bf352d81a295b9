"""Conditions, which tell a network of a time: sea surface temperature, forcings, second of the day, day of the year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from xr_cbottle.bottle.climatology import Climatology
    from xr_cbottle.bottle.records import ForcingSpec
    from xr_cbottle.fields.series import Series
    from xr_cbottle.fields.sst import SeaSurfaceTemperature

SST_MEAN = 287.6897
SST_STD = 15.5862
"""Mean and standard deviation of the SST that cBottle's networks are conditioned on, K."""
LAND_KELVIN = 290.0
"""What cBottle's networks are given over land, K."""


@dataclass(frozen=True, eq=False)
class Driving:
    """Drivers of a climate: the sea, and forcings beside it.

    Attributes
    ----------
    sst
        The sea surface temperature.
    specs, series
        Forcings of the bottle, and the values of each in time.
    held
        Whether the first and the last value of a series hold before and after it, instead of an error.
    """

    sst: SeaSurfaceTemperature
    specs: Mapping[str, ForcingSpec]
    series: Mapping[str, Series]
    held: bool = False

    def told(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
        """Forcings at (n,) times as networks and climatology are told of them: (n, forcing)."""
        return forced(self.specs, self.series, times, held=self.held)

    def encoded(self, times: npt.NDArray[np.datetime64], climatology: Climatology | None) -> npt.NDArray[np.float32]:
        """Encode all fields that a network gets beside the noisy state, at (n,) times, see `encode`."""
        told, learnt = self.told(times), [spec.learnt for spec in self.specs.values()]
        return encode(self.sst.at(times), times, climatology, told, learnt)


def encode_sst(kelvin: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Encode an SST for a network: normalised, land filled with `LAND_KELVIN`; same shape, float32."""
    values = np.asarray(kelvin, np.float64)
    return ((np.where(np.isnan(values), LAND_KELVIN, values) - SST_MEAN) / SST_STD).astype(np.float32)


def encode(
    kelvin: npt.ArrayLike,
    times: npt.ArrayLike,
    climatology: Climatology | None = None,
    told: npt.NDArray[np.float64] | None = None,
    learnt: Sequence[tuple[float, float]] = (),
) -> npt.NDArray[np.float32]:
    """Encode all fields that a network gets beside the noisy state.

    A network of a climate that changes is never told of more than it has learnt: where the sea is warmer on the mean,
    or a forcing stronger, it is told of the strongest that it knows, and the climatology alone goes on.

    Parameters
    ----------
    kelvin
        (n, cell NEST) SST, NaN over land.
    times
        (n,) datetime64.
    climatology
        Of a bottle that draws anomalies: its network is told the anomaly of the SST too.
    told
        (n, forcing) float64 of the forcings, from `forced`: a field each, the same in all cells.
    learnt
        Smallest and largest value of each forcing.

    Returns
    -------
    (n, 1 or 2 + forcings, cell NEST) float32.
    """
    known = np.asarray(kelvin)
    told = np.zeros((len(known), 0)) if told is None else told
    if climatology is not None and climatology.response is not None:
        predictors = climatology.predictors(known, times, told)
        assert predictors is not None
        excess = climatology.response.excess(predictors)
        if excess.any():
            known = (known - excess[:, None]).astype(np.float32)
    fields = [encode_sst(known)]
    if climatology is not None:
        fields.append(climatology.sst_anomaly(known, times))
    for value, (low, high) in zip(told.T, learnt, strict=True):
        column = np.clip(value, low, high).astype(np.float32)[:, None]
        fields.append(np.broadcast_to(column, fields[0].shape))
    return np.stack(fields, 1)


def forced(
    specs: Mapping[str, ForcingSpec], series: Mapping[str, Series], times: npt.ArrayLike, *, held: bool = False
) -> npt.NDArray[np.float64]:
    """Forcings at (n,) datetime64 as networks and climatology are told of them: (n, forcing) float64.

    Parameters
    ----------
    specs, series
        Forcings of the bottle, and the values of each in time.
    times
        Of instants.
    held
        Whether the first and the last value of a series hold before and after it, instead of an error.

    Raises
    ------
    ValueError
        If a series does not speak of the times.
    """
    stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
    out = np.zeros((len(stamps), len(specs)))
    for column, (name, spec) in zip(out.T, specs.items(), strict=True):
        if not held:
            series[name].check_covers(stamps.min(), stamps.max(), name)
        column[:] = spec.predictor(series[name].at(stamps))
    return out


def second_of_day(times: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Seconds since 00 UTC, (n, 1) float32, of (n,) datetime64."""
    seconds = np.atleast_1d(np.asarray(times, "datetime64[s]")).astype(np.int64)
    return (seconds % 86400).astype(np.float32)[:, None]


def day_of_year(times: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Days since 1 January 00 UTC with the fraction of the day, (n, 1) float32, of (n,) datetime64."""
    stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
    start = stamps.astype("datetime64[Y]").astype("datetime64[s]")
    return ((stamps - start).astype(np.int64) / 86400).astype(np.float32)[:, None]
