"""The sun over the Earth: how much of it falls on the top of the atmosphere."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

SOLAR_CONSTANT = 1361.0
"""Total solar irradiance at the mean distance of the Earth, W m-2 (Kopp and Lean 2011)."""


def orbit(times: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Declination of the sun, and the square of its mean distance over its distance.

    Fourier series of Spencer (1971), "Fourier series representation of the position of the sun", Search 2, 172: good to
    a third of a degree, as leap years are not told apart, and to a thousandth.

    Parameters
    ----------
    times
        (n,) datetime64, UTC.

    Returns
    -------
    Two of (n,) float64: radians, and 1.
    """
    stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
    years = stamps.astype("datetime64[Y]")
    start, end = (year.astype("datetime64[s]").astype(np.int64) for year in (years, years + 1))
    angle = 2 * np.pi * (stamps.astype(np.int64) - start) / (end - start)
    c, s, c2, s2, c3, s3 = (f(k * angle) for k in (1, 2, 3) for f in (np.cos, np.sin))
    declination = 0.006918 - 0.399912 * c + 0.070257 * s - 0.006758 * c2 + 0.000907 * s2 - 0.002697 * c3 + 0.00148 * s3
    distance = 1.000110 + 0.034221 * c + 0.001280 * s + 0.000719 * c2 + 0.000077 * s2
    return declination, distance


def insolation(times: npt.ArrayLike, lon: Floats, lat: Floats, hours: float = 0.0) -> Floats:
    """Sunshine on the top of the atmosphere, W m-2, at an instant or in the mean over some hours around it.

    The sun is in the south at 12 hours of mean local time: the equation of time, up to 16 minutes, is left out, as
    climate models do.

    Parameters
    ----------
    times
        (n,) datetime64, UTC.
    lon, lat
        (cell,) degrees.
    hours
        Length of the mean, from 0 (the instant) to 24 (the day), centred on the time.

    Returns
    -------
    (n, cell) float64.
    """
    if not 0 <= hours <= 24:
        raise ValueError(f"hours={hours!r}: a mean of sunshine is over 0 (an instant) to 24 hours")
    declination, distance = (x[:, None] for x in orbit(times))
    stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
    turned = (stamps.astype(np.int64) % 86400)[:, None] / 86400 * 2 * np.pi + np.deg2rad(lon)[None]
    angle = np.mod(turned, 2 * np.pi) - np.pi  # of the hour: 0 at noon
    phi = np.deg2rad(lat)[None]
    constant, swing = np.sin(phi) * np.sin(declination), np.cos(phi) * np.cos(declination)
    if hours == 0:
        height = np.maximum(constant + swing * np.cos(angle), 0)
    else:
        height = _mean_height(constant, swing, angle, hours / 24 * np.pi)
    shine: Floats = SOLAR_CONSTANT * distance * height
    return shine


def _mean_height(constant: Floats, swing: Floats, angle: Floats, half: float) -> Floats:
    """Mean of the sine of the sun's height where it is up, from ``angle - half`` to ``angle + half``."""
    # The sun is up within the angle of sunset of noon: of this one, and of those of the days around it.
    ratio = np.divide(-constant, swing, out=np.where(constant > 0, -2.0, 2.0), where=np.abs(swing) > 1e-12)
    sunset = np.arccos(np.clip(ratio, -1, 1))
    total = np.zeros(np.broadcast_shapes(constant.shape, angle.shape))
    for noon in (-2 * np.pi, 0.0, 2 * np.pi):
        start = np.maximum(angle - half, noon - sunset)
        end = np.maximum(np.minimum(angle + half, noon + sunset), start)
        total += constant * (end - start) + swing * (np.sin(end - noon) - np.sin(start - noon))
    return np.maximum(total / (2 * half), 0)
