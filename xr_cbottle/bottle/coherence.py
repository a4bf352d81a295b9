"""Coherence: how long the noise that weather is drawn from lasts, and how fast it travels, as a bottle keeps it.

A bottle draws each instant from white noise. Noise that changes slowly from instant to instant, and travels along rings
of latitude, makes weather that does. How slowly, and how fast, is measured on a simulation
(`xr_cbottle.training.coherence_fit`) for each label, channel, latitude and zonal wavenumber: the noise of each is a sum
of parts that last differently long, each with its share of the variance and its angular speed. Waves travel faster in
winter: the speed may have a cycle over the year.
`xr_cbottle.draw.coherent_noise` makes the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.errors import BottleError

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.floating[Any]]

MOST_SPACING = 366 * 86400
"""Seconds between two knots of noise: a part that lasts longer than a year is a matter of the sea."""
MOST_SPEED = 720.0
"""Degrees of longitude a day: twice around the Earth."""
YEAR = 365.2425 * 86400
"""Seconds of the cycle of speeds: the mean year of the Gregorian calendar."""
_DIMS = {
    "share": ("label", "channel", "latitude", "band", "memory"),
    "speed": ("label", "latitude", "band", "memory"),
    "spacing": ("memory",),
    "wavenumber": ("band",),
}
_CYCLE = "speed_cycle"
_CYCLE_DIMS = ("label", "latitude", "band", "phase")


@dataclass(frozen=True, eq=False)
class Coherence:
    """How long noise lasts, and how fast it travels.

    Attributes
    ----------
    labels, channels : tuple of str
    spacing : (memory,) int64
        Seconds between the knots of time at which the noise of each part is anew; a part lasts about 1.6 of them.
    latitude : (latitude,) float64
        Degrees north, ascending; between two of them shares and speeds change linearly.
    wavenumber : (band,) int64
        Lowest zonal wavenumber of each band of them, ascending from 0.
    share : (label, channel, latitude, band, memory) float64
        Of the variance; of all parts 1.
    speed : (label, latitude, band, memory) float64
        Degrees of longitude a day, eastward, in the mean over the year.
    cycle : (label, latitude, band, 2) float64, optional
        Degrees of longitude a day by which all parts are faster: times the cosine, and the sine, of the phase of the
        year, which is 0 at the beginning of 1970. None: the same speed all year.
    """

    labels: tuple[str, ...]
    channels: tuple[str, ...]
    spacing: npt.NDArray[np.int64]
    latitude: Floats
    wavenumber: npt.NDArray[np.int64]
    share: Floats
    speed: Floats
    cycle: Floats | None = None

    def __post_init__(self) -> None:
        form = (len(self.labels), len(self.channels), len(self.latitude), len(self.wavenumber), len(self.spacing))
        if self.share.shape != form or self.speed.shape != (form[0], *form[2:]) or 0 in form:
            raise ValueError(
                "coherence needs share of (label, channel, latitude, band, memory) and speed of (label, latitude, "
                "band, memory), of the lengths of labels, channels, latitude, wavenumber and spacing"
            )
        if not (np.isfinite(self.share).all() and (self.share >= 0).all()):
            raise ValueError("the shares of coherence must be finite, and none below 0")
        if not np.allclose(self.share.sum(-1), 1, atol=1e-3):
            raise ValueError("the shares of coherence must add up to 1 over memory")
        if self.cycle is not None and self.cycle.shape != (form[0], *form[2:4], 2):
            raise ValueError(f"coherence needs {_CYCLE} of (label, latitude, band, 2)")
        fastest = abs(self.speed) + (0 if self.cycle is None else np.hypot(*np.moveaxis(self.cycle, -1, 0))[..., None])
        if not (np.isfinite(fastest).all() and (fastest <= MOST_SPEED).all()):
            raise ValueError(f"the speeds of coherence must be finite, and at most {MOST_SPEED:g} degrees a day")
        if not ((self.spacing >= 1).all() and (self.spacing <= MOST_SPACING).all()):
            raise ValueError(f"the spacing of coherence must be 1 to {MOST_SPACING} seconds")
        if len(set(self.spacing.tolist())) < len(self.spacing):
            raise ValueError("each spacing of coherence must be there once")
        if self.wavenumber[0] != 0 or not (np.diff(self.wavenumber) > 0).all():
            raise ValueError("the wavenumbers of coherence must ascend from 0")
        if not (np.isfinite(self.latitude).all() and (np.diff(self.latitude) > 0).all()):
            raise ValueError("the latitudes of coherence must ascend")

    def at(
        self, label: str | None, latitude: Floats, wavenumber: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Share, speed and its cycle of some modes of a label: (channel, mode, memory), (mode, memory), (mode, 2).

        Parameters
        ----------
        label
            One of `labels`; the first if None.
        latitude, wavenumber
            (mode,) of each mode.
        """
        i = 0 if label is None else self.labels.index(label)
        band = np.searchsorted(self.wavenumber, wavenumber, side="right") - 1
        place = np.interp(latitude, self.latitude, np.arange(len(self.latitude)))
        low = np.minimum(place.astype(int), max(len(self.latitude) - 2, 0))
        high, part = np.minimum(low + 1, len(self.latitude) - 1), (place - low)[:, None]

        def between(values: Floats) -> npt.NDArray[np.float64]:
            return np.asarray(values[..., low, band, :] * (1 - part) + values[..., high, band, :] * part)

        share = between(self.share[i])
        cycle = np.zeros((len(part), 2)) if self.cycle is None else between(self.cycle[i])
        return share / share.sum(-1, keepdims=True), between(self.speed[i]), cycle

    @property
    def finest_spacing(self) -> int:
        """Seconds between knots of the noise of the smallest scales: the mean over all else of its logarithm."""
        share = self.share[:, :, :, -1].mean((0, 1, 2))
        return max(1, round(float(np.exp((share * np.log(self.spacing)).sum() / share.sum()))))

    def to_dataset(self) -> xr.Dataset:
        """The data set that is written to a file."""
        import xarray as xr

        about: dict[str, dict[str, str | float]] = {
            "share": {"long_name": "share of the variance of the noise of each memory", "units": "1"},
            "speed": {"long_name": "eastward angular speed of the noise", "units": "degrees day-1"},
            "spacing": {"long_name": "time between knots of the noise", "units": "s"},
            "wavenumber": {"long_name": "lowest zonal wavenumber of the band", "units": "1"},
        }
        values = {name: (dims, getattr(self, name), about[name]) for name, dims in _DIMS.items()}
        for name in ("share", "speed"):
            values[name] = (_DIMS[name], getattr(self, name).astype(np.float32), about[name])
        if self.cycle is not None:
            meaning = "what is added to the speed, times cosine and sine of the phase of the year (0 at 1970-01-01)"
            about[_CYCLE] = {"long_name": meaning, "units": "degrees day-1", "period": YEAR}
            values[_CYCLE] = (_CYCLE_DIMS, self.cycle.astype(np.float32), about[_CYCLE])
        return xr.Dataset(
            values,
            {
                "label": list(self.labels),
                "channel": list(self.channels),
                "latitude": ("latitude", self.latitude, {"units": "degrees_north"}),
            },
            {"title": "How long the noise that weather is drawn from lasts, and how fast it travels"},
        )

    def write(self, path: Any) -> None:
        """Write as netCDF, the form in which a bottle carries it; shares in steps of 1 / 4096."""
        dataset = self.to_dataset()
        dataset["share"] = (dataset["share"] * 4096).round() / 4096
        packed = dict(dtype="float32", zlib=True, complevel=9, shuffle=True)
        encoding = {name: packed for name in ("share", "speed", _CYCLE) if name in dataset}
        dataset.to_netcdf(path, encoding=encoding, engine="netcdf4")

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset, what: str) -> Coherence:
        """Read what `to_dataset` made.

        Raises
        ------
        BottleError
            If something is missing or wrong; ``what`` names the file.
        """
        missing = sorted({*_DIMS, "label", "channel", "latitude"} - set(dataset.variables))
        if missing:
            raise BottleError(f"{what} has no {', '.join(missing)}: it is not the coherence of a bottle")
        cycle = [(_CYCLE, _CYCLE_DIMS)] if _CYCLE in dataset else []
        for name, dims in (*_DIMS.items(), *cycle, *((axis, (axis,)) for axis in ("label", "channel", "latitude"))):
            if dataset[name].dims != dims:
                raise BottleError(f"{what}: {name} must have the dimensions {', '.join(dims)}")
        labels, channels = (tuple(map(str, dataset[name].values.tolist())) for name in ("label", "channel"))
        try:
            return cls(
                labels,
                channels,
                spacing=dataset["spacing"].values.astype(np.int64),
                latitude=dataset["latitude"].values.astype(np.float64),
                wavenumber=dataset["wavenumber"].values.astype(np.int64),
                share=dataset["share"].values.astype(np.float64),
                speed=dataset["speed"].values.astype(np.float64),
                cycle=dataset[_CYCLE].values.astype(np.float64) if cycle else None,
            )
        except (ValueError, TypeError) as error:
            raise BottleError(f"{what}: {error}") from None
