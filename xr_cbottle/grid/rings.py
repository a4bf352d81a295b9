"""Rings of latitude of the HEALPix sphere, and the transform along them that keeps white noise white.

HEALPix cells lie on 4 nside - 1 rings of latitude, each of equal cells at equal distances (Gorski et al. 2005,
doi:10.1086/427976). Within a ring the discrete Fourier transform, divided by the root of the number of cells, is
unitary: noise that is white over cells is white over zonal wavenumbers too, and whatever multiplies those by numbers of
modulus 1, such as a turn about the axis by any angle, leaves it so.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.grid import healpix

Floats = npt.NDArray[np.floating[Any]]
Complex = npt.NDArray[np.complex128]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rings:
    """The rings of a zoom, and the modes of fields on them: one for each ring and zonal wavenumber.

    A ring of n cells has the modes of wavenumbers 0 to n / 2; those of the first and the last are real numbers.

    Attributes
    ----------
    zoom
        HEALPix level.
    ring, wavenumber
        (mode,) of each mode, rings from north to south.
    latitude
        (ring,) degrees north.
    real
        (mode,) whether it is a real number.
    """

    zoom: int
    ring: Indices
    wavenumber: Indices
    latitude: Floats
    real: npt.NDArray[np.bool_]

    @functools.cached_property
    def _batches(self) -> list[tuple[int, Indices, Indices]]:
        """Rings of one length together: their length, and (ring, n / 2 + 1) modes and (ring, n) RING cells of them."""
        lengths = ring_lengths(self.zoom)
        cells, modes = np.cumsum(lengths) - lengths, np.cumsum(lengths // 2 + 1) - (lengths // 2 + 1)
        found = []
        for n in np.unique(lengths).tolist():
            these = np.flatnonzero(lengths == n)
            found.append((n, modes[these, None] + np.arange(n // 2 + 1), cells[these, None] + np.arange(n)))
        return found

    @functools.cached_property
    def _normals(self) -> tuple[Indices, Indices]:
        """(mode,) which of as many numbers as there are cells are real and imaginary parts of each mode."""
        lengths = ring_lengths(self.zoom)
        start, half = (np.cumsum(lengths) - lengths)[self.ring], (lengths // 2)[self.ring]
        return start + self.wavenumber, np.where(self.real, start, start + half + self.wavenumber)

    def white(self, normals: Floats) -> Complex:
        """White noise as modes, made of (..., cell) independent standard normal numbers: (..., mode)."""
        real, imaginary = self._normals
        out = np.empty((*normals.shape[:-1], len(real)), np.complex128)
        out.real = np.take(normals, real, -1) * np.where(self.real, 1.0, np.sqrt(0.5))
        out.imag = np.take(normals, imaginary, -1) * np.where(self.real, 0.0, np.sqrt(0.5))
        return out

    def to_modes(self, fields: Floats) -> Complex:
        """Modes of (..., cell NEST) fields: (..., mode). Sums of squares are kept, complex modes counted twice."""
        ring = np.empty(fields.shape, np.float64)
        ring[..., healpix.nest_to_ring(self.zoom)] = fields
        out = np.empty((*fields.shape[:-1], len(self.ring)), np.complex128)
        for _, modes, cells in self._batches:
            out[..., modes] = np.fft.rfft(ring[..., cells], norm="ortho")
        return out

    def to_cells(self, modes: Complex) -> npt.NDArray[np.float64]:
        """Fields (..., cell NEST) of (..., mode) modes, float64; the inverse of `to_modes`."""
        ring = np.empty((*modes.shape[:-1], healpix.n_cells(self.zoom)))
        for n, places, cells in self._batches:
            ring[..., cells] = np.fft.irfft(modes[..., places], n, norm="ortho")
        return ring[..., healpix.nest_to_ring(self.zoom)]


@functools.lru_cache(maxsize=4)
def rings(zoom: int) -> Rings:
    """The rings of a zoom."""
    import healpy

    lengths = ring_lengths(zoom)
    ring = np.repeat(np.arange(len(lengths)), lengths // 2 + 1)
    wavenumber = np.concatenate([np.arange(n // 2 + 1) for n in lengths.tolist()])
    first = np.cumsum(lengths) - lengths
    latitude = healpy.pix2ang(healpix.nside(zoom), first, lonlat=True)[1]
    return Rings(zoom, ring, wavenumber, latitude, (wavenumber == 0) | (2 * wavenumber == lengths[ring]))


def ring_lengths(zoom: int) -> Indices:
    """(ring,) how many cells each ring has, from north to south: 4, 8, ... up to 4 nside, and back."""
    n = healpix.nside(zoom)
    number = np.arange(1, 4 * n)
    return 4 * np.minimum(np.minimum(number, 4 * n - number), n)
