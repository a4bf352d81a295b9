"""The null bottle: climatology plus independent Gaussian noise for each channel, without a network and without a sea.

It stands beside every figure of a report. A target that it meets says nothing of a network. Its climatology is the
bottle's own where it has one, as if the sea were that of the mean year: then it knows of the simulation what the bottle
knows, and lacks the network only. Otherwise harmonics are fitted to other years of the simulation. The noise has the
spread of the climatology, and the angular power spectrum that the channel's standardised anomalies have in a sample of
the simulation: a network that can do no more than spread and spectrum of each field alone is no better.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.bottle.climatology import SMALLEST_CYCLE, SMALLEST_SPREAD, Climatology, powered, rooted
from xr_cbottle.bottle.harmonics import basis
from xr_cbottle.diagnostics.spectra import ring
from xr_cbottle.evaluation import instants
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.fields import channels
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    from xr_cbottle.evaluation.reference import StoredReference
    from xr_cbottle.evaluation.sampling import Drawing

Floats = npt.NDArray[np.floating[Any]]

ANNUAL, DIURNAL = 2, 1
"""Harmonics that are fitted where a bottle has no climatology."""
_FITTED = 1460
_FEWEST = 60
"""Instants of other years that harmonics are fitted to: at most, and at least."""


@dataclass(frozen=True, eq=False)
class NullBottle:
    """Climatology plus noise.

    Attributes
    ----------
    label
        Whose climatology.
    zoom
        HEALPix level of the fields that it gives.
    climatology
        A bottle's own, at ``native``; None if one is fitted for each quantity.
    channels
        {quantity's key: (number of its channel, factor from its unit to the variable's)}.
    native
        HEALPix level of the climatology.
    simulation
        Data set that spectra are of, and that harmonics are fitted to if there is no climatology.
    about
        What it is made of, in words.
    """

    label: str | None
    zoom: int
    climatology: Climatology | None
    channels: dict[str, tuple[int, float]]
    native: int
    simulation: StoredReference
    about: str

    @classmethod
    def of_bottle(cls, drawing: Drawing, label: str | None, simulation: StoredReference) -> NullBottle | None:
        """Make the null bottle of a bottle with a climatology; None if it has none."""
        manifest = drawing.bottle.manifest
        if manifest.climatology is None:
            return None
        found = {}
        for name, layout in channels.variables(manifest.channels, manifest.own).items():
            for number, pressure in zip(layout.channels, layout.pressures or (None,), strict=True):
                found[Quantity(name, pressure).key] = number, layout.factor
        about = (
            "the bottle's own climatology of a mean year of the sea, plus Gaussian noise of its spread, independent "
            "for each channel, with the power spectrum of the simulation's standardised anomalies"
        )
        return cls(label or None, drawing.zoom, drawing.bottle.climatology(), found, manifest.zoom, simulation, about)

    @classmethod
    def of_years(cls, others: StoredReference | None) -> NullBottle | None:
        """Make one that is fitted to other years of a simulation; None if there are too few instants."""
        if others is None or len(others.times) < _FEWEST:
            return None
        about = (
            f"{ANNUAL} harmonics of the year and {DIURNAL} of the day fitted to other years of the simulation, plus "
            "Gaussian noise of the spread of what is left, independent for each quantity, with its power spectrum"
        )
        return cls(None, others.zoom, None, {}, others.zoom, others, about)

    def fields(self, quantity: Quantity, times: npt.NDArray[np.datetime64]) -> xr.DataArray:
        """Fields of a quantity at (time,) times, the same at every call: (time, cell) float32, in its unit."""
        count = _FITTED if self.climatology is None else _SPECTRA
        sample = self.simulation.read(quantity, instants.choose(self.simulation.times, count))
        values = (
            self._fitted(quantity, times, sample) if self.climatology is None else self._known(quantity, times, sample)
        )
        coords = {"time": np.asarray(times, "datetime64[ns]")}
        if quantity.pressure is not None:
            coords["pressure"] = sample["pressure"].values
        return xr.DataArray(values.astype(np.float32), coords, ("time", "cell"), quantity.name, dict(sample.attrs))

    def _known(self, quantity: Quantity, times: npt.NDArray[np.datetime64], sample: xr.DataArray) -> Floats:
        known, (number, factor) = self.climatology, self.channels[quantity.key]
        assert known is not None
        mean, spread = self._at(times, number)
        center, scale, root = known.center[number], known.scale[number], known.root[number : number + 1]
        steps = self.native - self.zoom
        usual, deviation = (healpix.coarsen(part, steps) for part in self._at(sample["time"].values, number))
        found = rooted(sample.values[:, None].astype(np.float64) / factor, root)[:, 0]
        power = spectrum((found - center - scale * usual) / (scale * deviation), self.native)
        noise = gaussian(len(times), power, self.native, _seed(self.label, quantity))
        values = powered((center + scale * (mean + spread * noise))[:, None], root)[:, 0] * factor
        return healpix.coarsen(values, steps)

    def _at(self, times: npt.NDArray[np.datetime64], number: int) -> tuple[Floats, Floats]:
        """Mean and spread of one channel, (time, native cell) each, of a mean year of the sea and of the forcings."""
        known = self.climatology
        assert known is not None
        rows = basis(times, *known.harmonics)
        rows, i = rows.reshape(len(rows), -1), known.number(self.label)
        mean, cycle = (
            rows @ part[i, number].reshape(rows.shape[1], -1).astype(np.float64) for part in (known.mean, known.cycle)
        )
        spread = np.maximum(known.spread[i, number], SMALLEST_SPREAD) * np.sqrt(np.maximum(cycle, SMALLEST_CYCLE))
        return mean, spread

    def _fitted(self, quantity: Quantity, times: npt.NDArray[np.datetime64], sample: xr.DataArray) -> Floats:
        rows = _rows(sample["time"].values)
        values = np.nan_to_num(sample.values.astype(np.float64))
        coefficients = np.linalg.lstsq(rows, values, rcond=None)[0]
        residual = values - rows @ coefficients
        spread = residual.std(0) * np.sqrt(len(rows) / max(len(rows) - rows.shape[1], 1))
        whole = np.where(spread > 0, spread, 1.0)
        noise = gaussian(len(times), spectrum(residual / whole, self.native), self.native, _seed(None, quantity))
        fields = _rows(times) @ coefficients + spread * noise
        return np.where(np.isnan(sample.values).any(0), np.nan, fields)


def _rows(times: npt.NDArray[np.datetime64]) -> Floats:
    rows = basis(np.asarray(times, "datetime64[s]"), ANNUAL, DIURNAL)
    return np.asarray(rows, np.float64).reshape(len(rows), -1)


def spectrum(anomalies: Floats, zoom: int) -> Floats:
    """(degree,) power of standardised anomalies (time, cell), to 3 nside - 1, so scaled that their variance is 1.

    Anomalies of a coarser zoom give the power of the degrees that they have; the rest is as that of the last of them.
    """
    import healpy

    cells = anomalies.shape[-1]
    coarse = round(np.log2(cells / 12) / 2)
    n = healpix.nside(coarse)
    last = 3 * healpix.nside(zoom) - 1
    kept = anomalies[:: max(1, len(anomalies) // _SPECTRA)]
    rows = ring(np.nan_to_num(kept), n)
    power = np.mean([healpy.anafast(row, lmax=3 * n - 1, iter=1, pol=False) for row in rows], 0)
    power = np.concatenate([power, np.full(max(0, last + 1 - len(power)), power[-1])])
    variance = ((2 * np.arange(len(power)) + 1) * power).sum() / (4 * np.pi)
    return np.asarray(power / variance if variance > 0 else power)


def gaussian(count: int, power: Floats, zoom: int, seed: int) -> Floats:
    """(count, cell NEST) Gaussian fields of a power spectrum, independent of each other."""
    import healpy

    n = healpix.nside(zoom)
    nest = healpy.nest2ring(n, np.arange(12 * n * n))
    rng = np.random.default_rng(seed)
    degree, order = healpy.Alm.getlm(len(power) - 1)
    root = np.sqrt(power)[degree]
    out = np.empty((count, 12 * n * n))
    for row in out:
        real, imaginary = rng.standard_normal((2, len(degree)))
        alm = root * np.where(order == 0, real, (real + 1j * imaginary) / np.sqrt(2))
        row[:] = healpy.alm2map(alm, n, lmax=len(power) - 1, pol=False)[nest]
    return out


_SPECTRA = 60
"""Instants that are enough for a spectrum."""


def _seed(label: str | None, quantity: Quantity) -> int:
    """Another for each quantity, so that channels are independent, and the same in every report."""
    return zlib.crc32(f"null bottle {label} {quantity.key}".encode())
