"""Evolution of a field: how it resembles itself later, how fast its waves travel, and how long its spells last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, units
from xr_cbottle.diagnostics.cycles import year_fraction
from xr_cbottle.diagnostics.grid import zoom
from xr_cbottle.diagnostics.means import require_time
from xr_cbottle.grid.rings import ring_lengths, rings

Floats = npt.NDArray[np.floating[Any]]

EARTH_RADIUS = 6.371e6
"""Metres."""
_DAY = 86400


def weather_anomalies(field: xr.DataArray, annual: int = 2, diurnal: int = 2) -> xr.DataArray:
    """Take the mean, the cycle of the year and that of the day out of a series, by least squares.

    Parameters
    ----------
    field
        (time, ...).
    annual, diurnal
        How many harmonics of each are taken away; 0 for none. A year of data does not tell its own slow weather from
        its cycle: what lasts for months is partly taken away with it.

    Returns
    -------
    (time, ...) in double precision.
    """
    require_time(field)
    times = field["time"].values.astype("datetime64[s]")
    day = (times - times.astype("datetime64[D]")).astype(np.int64) / _DAY
    columns = [np.ones(len(times))]
    for turns, highest in ((year_fraction(times), annual), (day, diurnal)):
        for k in range(1, highest + 1):
            columns += [np.cos(2 * np.pi * k * turns), np.sin(2 * np.pi * k * turns)]
    design = np.stack(columns, 1)
    projection = xr.DataArray(design @ np.linalg.pinv(design), dims=("time", "other"))
    series = field.astype(np.float64).drop_vars("time")
    cycle = xr.dot(projection, series.rename(time="other"), dim="other")
    return described((series - cycle).assign_coords(time=field["time"]), f"anomaly of {name_of(field)}", units(field))


def lag_correlation(anomalies: xr.DataArray, lags: Sequence[float]) -> xr.DataArray:
    """Correlation of anomalies with themselves some days later.

    Parameters
    ----------
    anomalies
        (time, ..., cell), of which the mean over time is 0 at each cell; times ascending, not necessarily regular.
    lags
        In days.

    Returns
    -------
    (lag, ...): covariance over variance, each summed over cells and over all times that have another so much later.
    NaN where there is none.
    """
    require_time(anomalies)
    seconds = _seconds(anomalies)
    values = anomalies.transpose("time", ..., "cell")
    found = []
    for lag in lags:
        early, late = _pairs(seconds, round(lag * _DAY))
        a, b = (values.isel(time=i).drop_vars("time") for i in (early, late))
        spread = ((a**2).sum(["time", "cell"]) * (b**2).sum(["time", "cell"])) ** 0.5
        found.append((a * b).sum(["time", "cell"]) / spread)
    result = xr.concat(found, xr.DataArray(np.asarray(lags, float), dims="lag", attrs={"units": "days"}, name="lag"))
    return described(result, f"correlation of {name_of(anomalies)} with itself later", "1")


def variance_of_means(anomalies: xr.DataArray, lengths: Sequence[float] = (1, 5, 30)) -> xr.DataArray:
    """Variance of means over some days, over the variance of the instants.

    Parameters
    ----------
    anomalies
        (time, ..., cell) about the cycles, at a regular step.
    lengths
        Of the means, in days.

    Returns
    -------
    (length, ...): means over cells of both variances about 0. Independent draws have 1 over the number of instants.
    """
    require_time(anomalies)
    step = np.median(np.diff(_seconds(anomalies)))
    values = anomalies.drop_vars("time")
    of_all = (values**2).mean(["time", "cell"])
    found = []
    for length in lengths:
        count = max(1, round(length * _DAY / step))
        means = values.coarsen(time=count, boundary="trim").mean()
        found.append((means**2).mean(["time", "cell"]) / of_all)
    axis = xr.DataArray(np.asarray(lengths, float), dims="length", attrs={"units": "days"}, name="length")
    return described(xr.concat(found, axis), f"variance of means of {name_of(anomalies)} over that of instants", "1")


def phase_speed(anomalies: xr.DataArray, latitude: float, wavenumbers: Sequence[int], lag: float = 0.25) -> xr.Dataset:
    """How fast waves along a ring of latitude travel, by zonal wavenumber.

    Parameters
    ----------
    anomalies
        (time, cell) about the cycles.
    latitude
        Degrees north: the nearest ring of cells is taken.
    wavenumbers
        From 1 to half the cells of the ring.
    lag
        Days between the times that are compared: less than half a period.

    Returns
    -------
    (wavenumber): ``speed`` in m s-1, eastward, from the phase of the covariance with what is there ``lag`` later;
    ``coherence``, its modulus over the variance; ``power``, the variance. ``mean_speed`` is that over the wavenumbers,
    weighed by their covariances.

    Raises
    ------
    ValueError
        If the ring does not resolve a wavenumber.
    """
    ring, place = ring_of(anomalies, latitude)
    wanted = np.asarray(wavenumbers, int)
    if not len(wanted) or wanted.min() < 1 or wanted.max() > ring.sizes["longitude"] // 2:
        raise ValueError(f"the ring at {place:.1f} degrees has wavenumbers 1 to {ring.sizes['longitude'] // 2}")
    early, late = _pairs(_seconds(ring), round(lag * _DAY))
    waves = np.fft.rfft(ring.values, norm="ortho")[:, wanted]
    covariance = (waves[late] * waves[early].conj()).mean(0)
    power = (np.abs(waves) ** 2).mean(0)
    radius = EARTH_RADIUS * np.cos(np.deg2rad(place))
    speed = -np.angle(covariance) / wanted * radius / (round(lag * _DAY))
    weight = np.abs(covariance)
    name, axis = name_of(anomalies), {"wavenumber": wanted}

    def along(values: Floats, meaning: str, unit: str) -> xr.DataArray:
        return described(xr.DataArray(values, axis, ("wavenumber",)), meaning, unit, latitude=place)

    mean = xr.DataArray((speed * weight).sum() / weight.sum())
    return xr.Dataset(
        {
            "speed": along(speed, f"eastward phase speed of {name}", "m s-1"),
            "coherence": along(weight / power, f"modulus of the correlation after {lag:g} days", "1"),
            "power": along(power, f"variance of {name} by wavenumber", f"({units(anomalies)})2"),
            "mean_speed": described(mean, f"mean eastward phase speed of {name}", "m s-1", latitude=place),
        }
    )


def wavenumber_frequency(anomalies: xr.DataArray, latitude: float) -> xr.DataArray:
    """Variance of a field along a ring of latitude by zonal wavenumber and frequency (Hayashi 1971,
    https://doi.org/10.2151/jmsj1965.49.2_125).

    Parameters
    ----------
    anomalies
        (time, cell) about the cycles, at a regular step.
    latitude
        Degrees north: the nearest ring of cells is taken.

    Returns
    -------
    (frequency, wavenumber): frequency in cycles a day, positive for what travels eastward; the sum is the variance.
    A Hann window is laid over time.
    """
    ring, place = ring_of(anomalies, latitude)
    seconds = _seconds(ring)
    count = len(seconds)
    window = np.hanning(count + 2)[1:-1]
    window /= np.sqrt((window**2).mean())
    waves = np.fft.rfft(ring.values, axis=1) / ring.sizes["longitude"]
    # exp(i (m lon - w t)) travels eastward for w > 0: the transform in time is the one with the other sign.
    spectrum = np.abs(np.fft.ifft(waves * window[:, None], axis=0)) ** 2
    twice = np.full(waves.shape[1], 2.0)
    twice[[0, -1]] = 1
    frequency = np.fft.fftfreq(count, np.median(np.diff(seconds)) / _DAY)
    result = xr.DataArray(
        np.fft.fftshift(spectrum * twice, axes=0),
        {"frequency": np.fft.fftshift(frequency), "wavenumber": np.arange(waves.shape[1])},
        ("frequency", "wavenumber"),
    )
    result["frequency"].attrs["units"] = "day-1"
    unit = f"({units(anomalies)})2"
    return described(result, f"variance of {name_of(anomalies)} by wavenumber and frequency", unit, latitude=place)


def spells(daily: xr.DataArray, quantile: float = 0.9, least: int = 3) -> xr.Dataset:
    """How long a field stays above a quantile of its own, such as heat waves of daily temperature.

    Parameters
    ----------
    daily
        (time, ...) anomalies of daily means, at a regular step.
    quantile
        Of each place's own values, above which a day counts.
    least
        Days of a spell from which it is a long one.

    Returns
    -------
    (...): ``mean_length`` of all spells, in days; ``in_long``, the share of days that count which lie in long ones.
    NaN where no day counts.
    """
    require_time(daily)
    hot = daily > daily.quantile(quantile, "time").drop_vars("quantile")
    values = hot.transpose("time", ...).values
    before, after = np.zeros_like(values), np.zeros_like(values)
    before[1:], after[:-1] = values[:-1], values[1:]
    count = values.sum(0)
    begun = (values & ~before).sum(0)
    run = np.zeros(values.shape[1:], np.int64)
    in_long = np.zeros(values.shape[1:], np.int64)
    for day in range(len(values)):
        run = np.where(values[day], run + 1, 0)
        in_long += np.where(values[day] & ~after[day] & (run >= least), run, 0)
    like = daily.isel(time=0, drop=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        length, share = count / np.where(begun, begun, np.nan), in_long / np.where(count, count, np.nan)
    name = name_of(daily)
    return xr.Dataset(
        {
            "mean_length": described(like.copy(data=length), f"mean length of spells of {name}", "days"),
            "in_long": described(like.copy(data=share), f"share in spells of {least} days or more", "1"),
        }
    )


def ring_of(field: xr.DataArray, latitude: float) -> tuple[xr.DataArray, float]:
    """The cells of the ring nearest to a latitude, (time, longitude) from west to east, and its latitude.

    Parameters
    ----------
    field
        (time, cell).
    latitude
        Degrees north.
    """
    import healpy

    require_time(field)
    level = zoom(field)
    sphere, lengths = rings(level), ring_lengths(level)
    ring = int(np.argmin(np.abs(sphere.latitude - latitude)))
    cells = lengths[:ring].sum() + np.arange(lengths[ring])
    n = 1 << level
    lon = healpy.pix2ang(n, cells, lonlat=True)[0]
    picked = field.transpose("time", "cell").isel(cell=healpy.ring2nest(n, cells))
    coords = {"time": field["time"], "longitude": ("longitude", lon, {"units": "degrees_east"})}
    return xr.DataArray(picked.values, coords, ("time", "longitude"), attrs=field.attrs), float(sphere.latitude[ring])


def _seconds(field: xr.DataArray) -> npt.NDArray[np.int64]:
    found = field["time"].values.astype("datetime64[s]").astype(np.int64)
    if len(found) < 2 or (np.diff(found) <= 0).any():
        raise ValueError("a series needs two or more times, ascending")
    return found


def _pairs(seconds: npt.NDArray[np.int64], lag: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions of times that have another ``lag`` seconds later, and of those."""
    at = np.minimum(np.searchsorted(seconds, seconds + lag), len(seconds) - 1)
    early = np.flatnonzero(seconds[at] == seconds + lag)
    return early, at[early]
