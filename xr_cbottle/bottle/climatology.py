"""The mean and the spread of every channel by time of year and of day, about which a network may draw.

cBottle normalises a channel by two numbers. The network then spends its capacity on what is known: where it is warm,
which season it is, when the sun stands high. A bottle with a climatology has its network draw *standardised
anomalies* x from these instead::

    channel(time, cell) = center + scale * (mean(time, cell) + spread(cell) * sqrt(cycle(time, cell)) * x)

Of a channel that is never negative and mostly near zero, such as rain, this may be its square (or higher) root
instead: its ``root`` then says which, and the channel is that power of the above, and 0 where the above is negative.
A bottle may be *calibrated* (`xr_cbottle.bottle.calibration`): then x is amplified first, and the channel mapped last.

A bottle of a climate that changes has a *response* (`xr_cbottle.bottle.climate_response`): mean and spread move.

``mean``, and ``cycle``, that of the variance about 1, are sums of products of annual and diurnal harmonics, with
coefficients for each label, channel and cell. The network is also told the anomaly of the sea surface temperature
from its own mean year: small beside the sea surface temperature itself, and what drives the slow anomalies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.calibration import Calibration
from xr_cbottle.bottle.climate_response import STEPS, Response
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.expected_mean import ExpectedMean
from xr_cbottle.bottle.harmonics import Floats, basis, combined
from xr_cbottle.grid import healpix
from xr_cbottle.grid.spherical_harmonics import amplified

if TYPE_CHECKING:
    import xarray as xr

SMALLEST_CYCLE = 0.02
"""Least variance over its mean in time: the harmonics of a variance that vanishes at night fall below zero."""
SMALLEST_SPREAD = 0.02
"""Least spread of a cell over that of all cells: there may be cells where nothing happens."""
SST_ANOMALY_KELVIN = 1.0
"""Scale of the anomaly of the sea surface temperature, K."""
# What is stored is rounded to these, in units of the scale, 1, and K; powers of two, so that it compresses well.
_STEPS = {"mean": 2.0**-8, "spread": 2.0**-10, "cycle": 2.0**-7, "sst": 2.0**-7}
_DIMS = ("label", "channel", "annual", "diurnal", "cell")
_SPREAD = ("label", "channel", "cell")
About = tuple[Floats, Floats, Floats | None]
"""Mean, spread and ratio, as `Climatology.about` gives them."""


@dataclass(frozen=True, eq=False)
class Climatology:
    """Mean and spread of the channels, and the mean year of the sea surface temperature.

    Attributes
    ----------
    labels, channels : tuple of str
    center, scale : (channel,) float64
        In the channel's unit, or its root.
    mean, cycle : (label, channel, annual, diurnal, cell NEST) float32
        Coefficients of `basis`: of the mean over ``scale``, and of the variance over its constant term.
    spread : (label, channel, cell NEST) float32
        Over ``scale``: what an anomaly x of 1 is where ``cycle`` is 1.
    sst : (annual, cell NEST) float32
        K, NaN over land.
    root : (channel,) float64
        1, or which root of the channel all this is about.
    calibration
        What is mended in all that is drawn.
    response
        What mean and spread do where the climate changes; None if they stay.
    """

    labels: tuple[str, ...]
    channels: tuple[str, ...]
    center: Floats
    scale: Floats
    mean: Floats
    spread: Floats
    cycle: Floats
    sst: Floats
    root: Floats
    calibration: Calibration | None = None
    response: Response | None = None

    def __post_init__(self) -> None:
        shape = (len(self.labels), len(self.channels))
        cells = self.mean.shape[-1]
        wrong = (
            self.mean.ndim != 5
            or self.mean.shape[:2] != shape
            or self.cycle.shape != self.mean.shape
            or self.spread.shape != (*shape, cells)
            or self.mean.shape[2] % 2 == 0
            or self.mean.shape[3] % 2 == 0
            or self.center.shape != shape[1:]
            or self.scale.shape != shape[1:]
            or self.root.shape != shape[1:]
            or self.sst.shape != (self.mean.shape[2], cells)
        )
        if wrong:
            raise ValueError(
                "a climatology needs mean and cycle of (label, channel, annual, diurnal, cell) with odd numbers of "
                "harmonics, spread of (label, channel, cell), center, scale and root of (channel,) and sst of "
                "(annual, cell)"
            )
        finite = all(np.isfinite(part).all() for part in (self.center, self.mean, self.spread, self.cycle))
        if not (finite and (self.scale > 0).all() and np.isfinite(self.scale).all()):
            raise ValueError("a climatology's values must be finite, and its scale positive")
        if not (np.isfinite(self.root).all() and (self.root >= 1).all()):
            raise ValueError("a climatology's roots must be 1 or more")
        if self.calibration is not None and self.calibration.gain.shape[:2] != shape:
            raise ValueError("a climatology and its calibration must be of the same labels and channels")
        most = 2 * healpix.nside(zoom) + 1 if (zoom := healpix.zoom_of(cells)) is not None else 1
        if self.calibration is not None and self.calibration.gain.shape[2] > most:
            # The work grows as the fourth power of the degrees.
            raise ValueError(
                f"a calibration of {cells} cells has gains of {most} degrees at most, which these resolve, and not of "
                f"{self.calibration.gain.shape[2]}"
            )
        response = None if self.response is None else self.response.mean.shape
        if response is not None and (response[0], response[2], response[4]) != (*shape, cells):
            raise ValueError("a climatology and its response must be of the same labels, channels and cells")

    @property
    def harmonics(self) -> tuple[int, int]:
        """Highest annual and diurnal harmonic."""
        return self.mean.shape[2] // 2, self.mean.shape[3] // 2

    def at(self, label: str | None, times: npt.ArrayLike, predictors: Floats | None = None) -> tuple[Floats, Floats]:
        """Mean and spread of all channels.

        Parameters
        ----------
        label
            One of `labels`; the first if None.
        times
            (n,) datetime64.
        predictors
            (n, predictor) of the response, see `Response.values`; None without a response.

        Returns
        -------
        Two of (n, channel, cell NEST) float32, in units of ``scale``.
        """
        return self._usual_and_moved(self.number(label), times, predictors)[1]

    def about(self, label: str | None, times: npt.ArrayLike, predictors: Floats | None = None) -> About:
        """Mean and spread as `at` gives them, and what calibration's mapping is told of the climate.

        Returns
        -------
        mean, spread : (n, channel, cell NEST) float32
            In units of ``scale``.
        ratio : (n, channel) float64, or None
            See `Calibration.mapped`; None if no mapping goes with the climate.
        """
        i = self.number(label)
        usual, moved = self._usual_and_moved(i, times, predictors)
        moving = [] if self.response is None or self.calibration is None else self.calibration.moving(i)
        if not moving:
            return *moved, None
        ratio = np.ones(moved[0].shape[:2])
        for c in moving:
            before, after = ((mean[:, c], spread[:, c]) for mean, spread in (usual, moved))
            ratio[:, c] = self.expected_mean(c).ratio(before, after)
        return *moved, ratio

    def _usual_and_moved(
        self, i: int, times: npt.ArrayLike, predictors: Floats | None
    ) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
        """Mean and spread of a label, by its number, without the response and with it."""
        rows = basis(times, *self.harmonics).reshape(-1, self.mean.shape[2] * self.mean.shape[3]).astype(np.float32)
        mean, cycle = (_combine(rows, part[i]) for part in (self.mean, self.cycle))
        spread = np.maximum(self.spread[i], SMALLEST_SPREAD) * np.sqrt(np.maximum(cycle, SMALLEST_CYCLE))
        if self.response is None:
            return (mean, spread), (mean, spread)
        if predictors is None:
            raise ValueError("this climatology moves with the sea and with forcings: say what its predictors are")
        added, factor = self.response.change(i, times, predictors)
        return (mean, spread), (mean + added, spread * factor)

    def expected_mean(self, channel: int) -> ExpectedMean:
        """Make what says which mean is expected of a channel, by its number, of anomalies that are Gaussian."""
        return ExpectedMean(*(float(part[channel]) for part in (self.center, self.scale, self.root)))

    def usual(self, label: str | None, times: npt.ArrayLike, predictors: Floats | None = None) -> Floats:
        """Means at (n,) times, (n, channel, cell NEST) in the channels' units: those of anomalies of 0; see `at`."""
        return self.usual_of(self.at(label, times, predictors)[0])

    def usual_of(self, mean: Floats) -> Floats:
        """`usual` of the first of what `at` gives."""
        return powered(self.center[:, None] + self.scale[:, None] * mean.astype(np.float64), self.root)

    def physical(self, x: Floats, label: str | None, times: npt.ArrayLike, predictors: Floats | None = None) -> Floats:
        """Standardised anomalies (n, channel, cell NEST) as values in the channels' units; float64; see `at`."""
        return self.physical_about(x, label, *self.about(label, times, predictors))

    def physical_about(
        self, x: Floats, label: str | None, mean: Floats, spread: Floats, ratio: Floats | None = None
    ) -> Floats:
        """`physical` about what `about` gives."""
        x = self.amplified(x, label)
        values = powered(self.center[:, None] + self.scale[:, None] * (mean + spread * x), self.root)
        return values if self.calibration is None else self.calibration.mapped(values, self.number(label), ratio)

    def standardised(
        self, values: Floats, label: str | None, times: npt.ArrayLike, predictors: Floats | None = None
    ) -> Floats:
        """The inverse of `physical`."""
        return self.unamplified(self.anomalies(values, label, times, predictors), label)

    def anomalies(
        self, values: Floats, label: str | None, times: npt.ArrayLike, predictors: Floats | None = None
    ) -> Floats:
        """Undo `physical` but for the calibration's gain: each cell of the result is of that cell alone."""
        mean, spread, ratio = self.about(label, times, predictors)
        known = self.calibration
        values = values if known is None else known.unmapped(values, self.number(label), ratio)
        return ((rooted(values, self.root) - self.center[:, None]) / self.scale[:, None] - mean) / spread

    def amplified(self, x: Floats, label: str | None, channels: Sequence[int] | None = None) -> Floats:
        """Anomalies (n, channel, cell NEST), of some channels or all, as calibration amplifies them; float64."""
        return self._multiplied(x, label, channels, 1)

    def unamplified(self, x: Floats, label: str | None, channels: Sequence[int] | None = None) -> Floats:
        """The inverse of `amplified`."""
        return self._multiplied(x, label, channels, -1) if self.calibration is not None else x

    def _multiplied(self, x: Floats, label: str | None, channels: Sequence[int] | None, power: int) -> Floats:
        if self.calibration is None:
            return x.astype(np.float64)
        gain, rest = self.calibration.gain[self.number(label)], self.calibration.rest_of(self.number(label))
        if channels is not None:
            gain, rest = gain[list(channels)], rest[list(channels)]
        return amplified(x, gain**power, rest**power)

    def number(self, label: str | None) -> int:
        """Number of a label among `labels`; the first if None."""
        return 0 if label is None else self.labels.index(label)

    def sst_anomaly(self, kelvin: Floats, times: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """SST (n, cell NEST) in K, NaN over land, less its mean year, as a network gets it: 0 over land; float32."""
        known = np.nan_to_num(departure(kelvin, times, self.sst) / SST_ANOMALY_KELVIN)
        return np.asarray(known, np.float32)

    def predictors(self, kelvin: Floats, times: npt.ArrayLike, told: Floats) -> Floats | None:
        """Predictors of the response; None without one.

        Parameters
        ----------
        kelvin
            (n, cell NEST) SST, K, NaN over land.
        times
            (n,) datetime64.
        told
            (n, forcing) of the forcings, see `Response.values`.

        Returns
        -------
        (n, predictor) float64
        """
        if self.response is None:
            return None
        stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
        # One time after the other, as in `combined`.
        anomaly = [departure(kelvin[i : i + 1], stamps[i : i + 1], self.sst) for i in range(len(stamps))]
        return self.response.values(np.concatenate(anomaly), told)

    def to_dataset(self) -> xr.Dataset:
        """The climatology as the data set that is written to a file."""
        import xarray as xr

        dataset = xr.Dataset(
            {
                "mean": (_DIMS, self.mean, {"long_name": "harmonics of the mean over scale", "units": "1"}),
                "spread": (_SPREAD, self.spread, {"long_name": "spread over scale", "units": "1"}),
                "cycle": (_DIMS, self.cycle, {"long_name": "harmonics of the variance over its mean", "units": "1"}),
                "center": ("channel", self.center, {"long_name": "zero point, in the channel's unit"}),
                "scale": ("channel", self.scale, {"long_name": "scale, in the channel's unit"}),
                "sst": (("annual", "cell"), self.sst, {"long_name": "harmonics of the sea surface temperature",
                                                       "units": "K"}),
                "root": ("channel", self.root, {"long_name": "which root of the channel this is about", "units": "1"}),
            },
            {"label": list(self.labels), "channel": list(self.channels)},
            {"healpix_order": "nest", "title": "Mean and spread by harmonics of the year and the day"},
        )  # fmt: skip
        if self.response is not None:
            dataset = dataset.assign(self.response.to_variables())
        if self.calibration is not None:
            dataset = dataset.assign(self.calibration.to_variables(self.channels))
        return dataset

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset, what: str = "climatology") -> Climatology:
        """Read what `to_dataset` gives.

        Raises
        ------
        BottleError
            A variable is missing or has another shape, or values are not finite.
        """
        if "root" not in dataset and "center" in dataset:  # as the first bottles with a climatology
            dataset = dataset.assign(root=("channel", np.ones(dataset.sizes["channel"])))
        try:
            parts: dict[str, Any] = {
                name: dataset[name]
                .transpose(*dims)
                .values.astype(np.float64 if name in ("center", "scale", "root") else np.float32)
                for name, dims in _FORM.items()
            }
            labels, channels = (tuple(map(str, dataset[name].values)) for name in ("label", "channel"))
            return cls(
                labels,
                channels,
                **parts,
                calibration=Calibration.from_dataset(dataset, channels),
                response=Response.from_dataset(dataset),
            )
        except (KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise BottleError(f"{what} is no climatology of a bottle ({reason}); get the bottle again") from None

    def write(self, path: Any) -> None:
        """Write as netCDF, the form in which a bottle carries it: rounded and compressed."""
        dataset = self.to_dataset()
        steps = _STEPS if self.response is None else _STEPS | STEPS
        for name, step in steps.items():
            dataset[name] = (dataset[name] / step).round() * step
        packed = dict(dtype="float32", zlib=True, complevel=9, shuffle=True)
        # Of a steady label most coefficients are 0: a chunk for each channel and harmonic of the day.
        chunks = (1, 1, self.mean.shape[2], 1, self.mean.shape[4])
        encoding: dict[str, dict[str, Any]] = {name: dict(packed) for name in steps}
        for name in ("mean", "cycle"):
            encoding[name]["chunksizes"] = chunks
        dataset.to_netcdf(path, encoding=encoding, engine="netcdf4")


_FORM = {
    "mean": _DIMS, "spread": _SPREAD, "cycle": _DIMS, "center": ("channel",), "scale": ("channel",),
    "sst": ("annual", "cell"), "root": ("channel",),
}  # fmt: skip


def departure(kelvin: Floats, times: npt.ArrayLike, mean_year: Floats) -> Floats:
    """SST (n, cell NEST) in K at (n,) times, less its mean year of (annual, cell) harmonics; NaN over land; float64."""
    mean = basis(times, mean_year.shape[0] // 2, 0)[:, :, 0] @ mean_year.astype(np.float64)
    return np.asarray(kelvin - mean)


def rooted(values: Floats, root: Floats) -> Floats:
    """The roots of (..., channel, cell) values; what is negative has the root 0."""
    return _raised(values, 1 / root)


def powered(values: Floats, root: Floats) -> Floats:
    """The inverse of `rooted`; what is negative becomes 0."""
    return _raised(values, root)


def _raised(values: Floats, powers: Floats) -> Floats:
    chosen = np.flatnonzero(powers != 1)
    if not len(chosen):
        return values
    out = np.array(values)
    # By one number each: squares and square roots are then rounded correctly, wherever they lie.
    for c in chosen.tolist():
        out[..., c, :] = np.maximum(out[..., c, :], 0) ** float(powers[c])
    return out


def _combine(rows: Floats, coefficients: Floats) -> Floats:
    """(n, k) of the basis and (channel, annual, diurnal, cell) -> (n, channel, cell)."""
    columns = coefficients.transpose(1, 2, 0, 3).reshape(rows.shape[1], -1)
    return combined(rows, columns).reshape(len(rows), coefficients.shape[0], coefficients.shape[-1])
