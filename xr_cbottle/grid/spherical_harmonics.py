"""Spherical harmonics of fields on HEALPix cells: a field with another gain for each degree, and its transpose.

With S the synthesis of real orthonormal harmonics, T = (4 pi / cells) S^t their quadrature and M = T S, the analysis
with k iterations is p(M) T, where p(M) is the sum of (1 - M)^i to i = k (Gorski et al. 2005; healpy's ``map2alm``). A
field x becomes A x, with A = rest + S (gain - rest) p(M) T.

On few cells S is a matrix that is made once in a process (27 MB at zoom 4 and 33 degrees): all channels of an instant
are then a few products of matrices, which take a tenth of healpy's time. On many cells healpy's transforms are used.
Both do the same, to rounding.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

ITERATIONS = 3
"""k: what a field's quadrature leaves is analysed again, so often."""
_MOST_NUMBERS = 4_000_000
"""Of the largest S that is kept as a matrix: 32 MB."""


def resolved(cells: int) -> int:
    """How many degrees, from 0, as many cells resolve: to 2 nside."""
    import healpy

    return 2 * int(healpy.npix2nside(cells)) + 1


def amplified(x: Floats, gain: Floats, rest: Floats) -> Floats:
    """Multiply the spherical harmonics of fields by a gain of their degree, and what is left by another.

    Parameters
    ----------
    x : (n, channel, cell NEST)
    gain : (channel, degree)
        Of degrees from 0, those that the cells resolve at most (`resolved`).
    rest : (channel,)
        Gain of what none of these degrees holds: in cells there is something finer than all that they resolve.

    Returns
    -------
    (n, channel, cell NEST) float64; channels all of whose gains are 1 are not touched.
    """
    return _changed(x, gain, rest, back=False)


def amplified_back(gradient: Floats, gain: Floats, rest: Floats) -> Floats:
    """Carry a gradient back through `amplified`, by the transpose: rest + T^t p(M) (gain - rest) S^t."""
    return _changed(gradient, gain, rest, back=True)


def power(x: Floats, degrees: int) -> Floats:
    """Mean angular power spectrum of fields.

    Parameters
    ----------
    x : (n, channel, cell NEST)
    degrees
        How many, from 0.

    Returns
    -------
    (channel, degree) float64: mean over n of `spectra`.
    """
    return np.sum([spectra(fields, degrees) for fields in x], 0) / len(x)


def spectra(fields: Floats, degrees: int) -> Floats:
    """Angular power spectra C_l, (n, degree) float64, of (n, cell NEST) fields, in their squared unit."""
    import healpy

    cells = fields.shape[-1]
    n = healpy.npix2nside(cells)
    ringed = fields[:, healpy.ring2nest(n, np.arange(cells))].astype(np.float64)
    if _fits(cells, degrees):
        sphere, lengths = _harmonics(n, degrees), 2 * np.arange(degrees) + 1
        return np.add.reduceat(sphere.analysis(ringed) ** 2, sphere.starts, axis=1) / lengths
    found = [healpy.anafast(one, lmax=degrees - 1, iter=ITERATIONS, pol=False) for one in ringed]
    return np.array(found).reshape(len(fields), degrees)


def _changed(x: Floats, gain: Floats, rest: Floats, *, back: bool) -> Floats:
    import healpy

    cells, degrees = x.shape[-1], gain.shape[1]
    n = healpy.npix2nside(cells)
    out = np.array(x, np.float64)
    some = np.flatnonzero((gain != 1).any(1) | (rest != 1))
    if not len(some):
        return out
    to_ring, to_nest = (order(n, np.arange(cells)) for order in (healpy.ring2nest, healpy.nest2ring))
    # Instant by instant: nothing depends on how many there are.
    for fields in out:
        chosen = fields[some][:, to_ring]
        if _fits(cells, degrees):
            found = _harmonics(n, degrees).changed(chosen, gain[some], rest[some], back)
        else:
            found = np.stack([_by_healpy(*one, n, back) for one in zip(chosen, gain[some], rest[some], strict=True)])
        fields[some] = found[:, to_nest]
    return out


def _fits(cells: int, degrees: int) -> bool:
    return cells * degrees**2 <= _MOST_NUMBERS


@dataclass(frozen=True, eq=False)
class _Harmonics:
    """Real harmonics as matrices: ``synthesis`` S (cell RING, harmonic), and ``refined`` p(M) (harmonic, harmonic)."""

    synthesis: Floats
    refined: Floats
    degree: npt.NDArray[np.int64]

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each degree begins among the harmonics."""
        return np.flatnonzero(np.diff(self.degree, prepend=-1))

    @property
    def weight(self) -> float:
        return 4 * np.pi / len(self.synthesis)

    def analysis(self, fields: Floats) -> Floats:
        """(channel, harmonic) of (channel, cell RING): p(M) T x; p(M) is symmetric."""
        return (self.weight * (fields @ self.synthesis)) @ self.refined

    def changed(self, fields: Floats, gain: Floats, rest: Floats, back: bool) -> Floats:
        step = gain[:, self.degree] - rest[:, None]
        # Back: T^t is the weight times S.
        found = self.weight * (fields @ self.synthesis * step) @ self.refined if back else self.analysis(fields) * step
        return rest[:, None] * fields + found @ self.synthesis.T


@functools.lru_cache(maxsize=2)
def _harmonics(n: int, degrees: int) -> _Harmonics:
    import healpy
    from scipy.special import sph_harm_y_all

    colatitude, longitude = healpy.pix2ang(n, np.arange(healpy.nside2npix(n)))
    rings, ring = np.unique(colatitude, return_inverse=True)
    legendre = sph_harm_y_all(degrees - 1, degrees - 1, rings, np.zeros_like(rings)).real
    degree = np.repeat(np.arange(degrees), 2 * np.arange(degrees) + 1)
    order = np.arange(len(degree)) - degree**2  # 0 and, for each m, its cosine and its sine
    m = (order + 1) // 2
    synthesis = np.empty((len(colatitude), len(degree)))
    for k, (one, at) in enumerate(zip(degree, m, strict=True)):
        wave = np.cos(at * longitude) if order[k] % 2 or not at else -np.sin(at * longitude)
        # Of a real field the orders m and -m are one harmonic, of norm 1 as all are.
        synthesis[:, k] = legendre[one, at][ring] * wave * (np.sqrt(2) if at else 1)
    left = np.eye(len(degree)) - 4 * np.pi / len(synthesis) * (synthesis.T @ synthesis)
    refined = power = np.eye(len(degree))
    for _ in range(ITERATIONS):
        power = power @ left
        refined = refined + power
    return _Harmonics(synthesis, (refined + refined.T) / 2, degree)


def _by_healpy(field: Floats, gain: Floats, rest: float, n: int, back: bool) -> Floats:
    """`_Harmonics.changed` of one (cell RING) field, by healpy's transforms."""
    import healpy

    lmax = len(gain) - 1

    def analysis(field: Floats, iterations: int) -> Any:
        return healpy.map2alm(field, lmax=lmax, iter=iterations, pol=False)

    def synthesis(harmonics: Any) -> Floats:
        return healpy.alm2map(harmonics, n, lmax=lmax, pol=False)

    if not back:
        return rest * field + synthesis(healpy.almxfl(analysis(field, ITERATIONS), gain - rest))
    term = healpy.almxfl(analysis(field, 0), gain - rest)
    total = term
    for _ in range(ITERATIONS):
        total = total + term - analysis(synthesis(total), 0)
    return rest * field + synthesis(total)
