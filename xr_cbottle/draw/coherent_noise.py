"""Noise that changes slowly from instant to instant, and can still be had of any instant by itself.

Weather that is drawn from independent noise at each time jumps. Here the noise of an instant is made of independent
noise at fixed *knots* of time, weighed by windows that reach two knots to either side::

    z(t) = sum_j w((t - t_j) / spacing) e_j,    w(x) = sqrt(B(x)),    sum_j B((t - t_j) / spacing) = 1

B is the cubic B-spline (Schoenberg 1946, doi:10.1090/qam/15914), whose shifts add up to 1 at *every* t. So z has the
variance 1 exactly and is as white over cells and channels as the e_j are, whenever t is: the law of an instant is that
of an independent draw. There is no state, no beginning and no seam, and an instant costs the noise of four knots.

The noise of a wavenumber along a ring of latitude may be a sum of parts with knots at different distances, squares of
whose factors add up to 1, and each may turn about the axis at a speed of its own: see `xr_cbottle.grid.rings`. The
speed may have a cycle over the year; the angle is its integral, which is known in closed form at any time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.forks import Lock
from xr_cbottle.bottle.coherence import YEAR
from xr_cbottle.draw import noise
from xr_cbottle.draw.noise import Time
from xr_cbottle.grid import healpix
from xr_cbottle.grid.rings import Complex, rings

if TYPE_CHECKING:
    from xr_cbottle.bottle.coherence import Coherence

Floats = npt.NDArray[np.floating[Any]]

MEMORY = 1.5702165810433817
"""Spacings of knots after which the correlation of the noise, in the mean over times, has fallen to 1 / e."""
_KEPT_BYTES = 64 << 20
_REACH = 2  # knots to either side


def spacing_of(memory: float) -> int:
    """Seconds between knots of noise whose correlation falls to 1 / e within ``memory`` seconds, at least one."""
    return max(1, round(memory / MEMORY))


def bspline(x: Floats) -> npt.NDArray[np.float64]:
    """The cubic B-spline with knots at the integers, about 0: of the same shape, 0 beyond 2 on either side."""
    distance = np.abs(np.asarray(x, np.float64))
    inner = 2 / 3 - distance**2 + distance**3 / 2
    return np.where(distance < 1, inner, np.maximum(2 - distance, 0) ** 3 / 6)


def knots(seconds: int, spacing: int) -> tuple[list[int], npt.NDArray[np.float64]]:
    """Times of the knots whose noise an instant has, in seconds since 1970, and their weights; squares add up to 1."""
    first = seconds // spacing - _REACH + 1
    times = [(first + i) * spacing for i in range(2 * _REACH)]
    shares = bspline(np.array([seconds - time for time in times]) / spacing)
    return times, np.sqrt(shares / shares.sum())


def correlation(lag: Floats, spacing: int) -> npt.NDArray[np.float64]:
    """Correlation of the noise with itself ``lag`` seconds later, in the mean over times; of the shape of ``lag``."""
    lags = np.abs(np.asarray(lag, np.float64))[..., None, None] / spacing
    phase = (np.arange(32) + 0.5)[:, None] / 32
    x = phase - np.arange(-_REACH, _REACH + 1)
    return np.sqrt(bspline(x) * bspline(x + lags)).sum(-1).mean(-1)


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts that the coherent noise of a globe is the sum of.

    Attributes
    ----------
    zoom, channels
        HEALPix level, and how many channels.
    spacing
        Seconds between the knots of each part.
    factor
        (channel or 1, mode or 1, part); squares add up to 1 over the parts.
    turn
        (mode or 1, part) radians a second by which the mode of each part goes ahead, in the mean over the year.
    cycle
        (mode or 1, 2) radians a second that are added to it, times cosine and sine of the phase of the year; None: 0.
    """

    zoom: int
    channels: int
    spacing: tuple[int, ...]
    factor: Floats
    turn: Floats
    cycle: Floats | None = None

    @classmethod
    def uniform(cls, zoom: int, channels: int, spacing: int) -> Parts:
        """One part of all channels and scales, which stays in its place."""
        return cls(zoom, channels, (spacing,), np.ones((1, 1, 1)), np.zeros((1, 1)))

    @classmethod
    def fitted(cls, coherence: Coherence, label: str | None, zoom: int) -> Parts:
        """The parts that a bottle carries for a label."""
        sphere = rings(zoom)
        share, *speeds = coherence.at(label, sphere.latitude[sphere.ring], sphere.wavenumber)
        # The last wavenumber of a ring is a real number, which cannot turn.
        wavenumber = np.where(sphere.real, 0, sphere.wavenumber)
        turn, cycle = (-np.deg2rad(one) / 86400 * wavenumber[:, None] for one in speeds)
        return cls(
            zoom, len(share), tuple(coherence.spacing.tolist()), np.sqrt(share), turn,
            None if coherence.cycle is None else cycle,
        )  # fmt: skip

    def angle(self, part: int, start: int, end: int) -> Floats:
        """Radians, (mode or 1), by which each mode of a part goes ahead from one second since 1970 to another."""
        found = self.turn[:, part] * (end - start)
        if self.cycle is None:
            return found
        first, last = (2 * np.pi / YEAR * one for one in (start, end))
        integral = YEAR / (2 * np.pi) * np.array([np.sin(last) - np.sin(first), np.cos(first) - np.cos(last)])
        return found + self.cycle @ integral

    def mixed(self, seconds: int, white: Callable[[int, int], Complex]) -> npt.NDArray[np.float64]:
        """Noise of an instant, (channel, cell NEST), of that of knots, ``white(time, spacing)``, (channel, mode)."""
        shape = self.channels, len(rings(self.zoom).ring)
        total, part, one = (np.zeros(shape, np.complex128) for _ in range(3))
        for i, spacing in enumerate(self.spacing):
            part[:] = 0
            for time, weight in zip(*knots(seconds, spacing), strict=True):
                ahead = self.angle(i, time, seconds)
                np.multiply(white(time, spacing), weight * np.exp(1j * ahead), out=one)
                part += one
            total += np.multiply(part, self.factor[:, :, i], out=part)
        return rings(self.zoom).to_cells(total)

    def normals(self, *, seed: int, member: int, time: Time) -> npt.NDArray[np.float32]:
        """Latents of an instant, (channel, cell NEST) float32: standard normal, and white over cells and channels."""

        def white(knot: int, spacing: int) -> Complex:
            return _white(self.zoom, self.channels, seed, member, knot, spacing)

        return self.mixed(noise.seconds_since_1970(time), white).astype(np.float32)


def _white(zoom: int, channels: int, seed: int, member: int, knot: int, spacing: int) -> Complex:
    """White noise of a knot, (channel, mode); kept for a while, as the next instant mostly needs it too."""
    key = zoom, channels, seed, member, knot, spacing
    found = _kept.get(key)
    if found is None:
        drawn = noise.normals(
            (channels, healpix.n_cells(zoom)),
            seed=seed, stage="coherent", member=member, time=np.datetime64(knot, "s"), spacing=spacing,
        )  # fmt: skip
        found = rings(zoom).white(drawn)
        found.flags.writeable = False
        _kept.put(key, found)
    return found


class _RecentNoise:
    """Arrays of late, those used longest ago out first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes, self._lock = limit, 0, Lock()
        self._arrays: OrderedDict[tuple[int, ...], Complex] = OrderedDict()

    def get(self, key: tuple[int, ...]) -> Complex | None:
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
            return self._arrays.get(key)

    def put(self, key: tuple[int, ...], array: Complex) -> None:
        with self._lock:
            if key not in self._arrays:
                self._arrays[key] = array
                self._bytes += array.nbytes
            while self._bytes > self._limit:
                self._bytes -= self._arrays.popitem(last=False)[1].nbytes


_kept = _RecentNoise(_KEPT_BYTES)
