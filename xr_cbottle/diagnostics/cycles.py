"""The cycles of the year and of the day: amplitude, and when the maximum is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, units
from xr_cbottle.diagnostics.grid import Bands, lonlat, zonal_mean, zoom
from xr_cbottle.diagnostics.means import require_time

YEAR = 365.2425
"""Days in a mean year."""

_WORST_CONDITION = 30.0  # of the fit: about that of times in five months of the year only


def seasonal_cycle(field: xr.DataArray, bands: Bands | None = None, harmonics: int = 1) -> xr.Dataset:
    """Annual harmonic by least squares, of whatever times are given.

    Parameters
    ----------
    field
        (time, ...). Times need not be regular, but must be spread over the year. Stamps count as they are: give
        monthly means that carry the middle of their month.
    bands
        Zonal bands, of whose means the cycle is taken, as in `zonal_mean`; of each cell if None.
    harmonics
        How many harmonics of the year are fitted together; the first is returned. With 2, a half-yearly cycle cannot
        leak into it where times are uneven.

    Returns
    -------
    ``mean`` and ``amplitude`` (half of maximum minus minimum) in the field's unit, and ``phase``, the day of the year
    of the maximum, counted from 1 January 00 UTC = 0 in [0, 365.2425). NaN where a value is missing at any time.

    Raises
    ------
    ValueError
        If the times leave too much of the year out.
    """
    require_time(field)
    if harmonics < 1:
        raise ValueError(f"there must be one harmonic or more, got {harmonics}")
    angle = 2 * np.pi * year_fraction(field["time"].values)
    columns = [np.ones_like(angle)]
    for k in range(1, harmonics + 1):
        columns += [np.cos(k * angle), np.sin(k * angle)]
    design = np.stack(columns, 1)
    if len(design) < design.shape[1] or np.linalg.cond(design) > _WORST_CONDITION:
        raise ValueError("the times are too few, or leave too much of the year out, for an annual cycle")
    weights = xr.DataArray(np.linalg.pinv(design)[:3], dims=("coefficient", "time"))
    series = field.astype(np.float64) if bands is None else zonal_mean(field, bands)
    mean, a, b = (xr.dot(weights.isel(coefficient=k), series.drop_vars("time"), dim="time") for k in range(3))
    unit, name = units(field), name_of(field)
    return xr.Dataset(
        {
            "mean": described(mean, f"mean of {name} over the year", unit),
            "amplitude": described(_length(a, b), f"amplitude of the annual cycle of {name}", unit),
            "phase": described(_turns(a, b) * YEAR, f"day of the year of the maximum of {name}, from 0", "days"),
        }
    )


def diurnal_cycle(field: xr.DataArray, hours: int = 24, mask: xr.DataArray | None = None) -> xr.Dataset:
    """Mean day by local solar time (UTC + longitude / 15, without the equation of time).

    Parameters
    ----------
    field
        (time, ..., cell), at two or more times of the day; several, spread evenly over it, are better.
    hours
        Number of hours of the composite.
    mask
        (cell,) true at the cells to take, e.g. land; all if None.

    Returns
    -------
    ``composite`` (..., hour): mean over the cells by local time, each bin around its hour; ``amplitude`` and ``phase``
    (...): first harmonic and the local hour of its maximum, in [0, 24). Every time of the day counts the same, and each
    cell's own mean is taken away first (and the area's given back), so that a land that is warm is not an hour that
    is warm: the harmonic is the exact least-squares fit with one constant for each cell. Cells with a missing value in
    the mean of a time of the day are left out.

    Raises
    ------
    ValueError
        If there is only one time of the day, or a gap of more than 12 hours.
    """
    if hours < 2:
        raise ValueError(f"a composite has two hours or more, got {hours}")
    by_utc = by_time_of_day(field)
    utc = by_utc["utc"].values
    gaps = np.diff(np.r_[utc, utc[0] + 24])
    if len(utc) < 2 or gaps.max() > 12 + 1e-6:
        raise ValueError("a diurnal cycle needs instants at several times of the day, no more than 12 hours apart")
    lon, _ = lonlat(field)
    local = (by_utc["utc"] + lon / 15) % 24
    known = by_utc.notnull().all("utc")
    known = known if mask is None else known & mask
    mean = by_utc.mean("utc")
    anomaly = (by_utc - mean).where(known)

    angle = 2 * np.pi * local / 24
    cosine, sine = (angle.copy(data=f(angle.values)) for f in (np.cos, np.sin))
    cosine, sine = cosine - cosine.mean("utc"), sine - sine.mean("utc")
    both = ["utc", "cell"]
    cc, ss, cs = ((p * q * known).sum(both) for p, q in ((cosine, cosine), (sine, sine), (cosine, sine)))
    cy, sy = ((p * anomaly).sum(both) for p in (cosine, sine))
    determinant = cc * ss - cs**2
    a, b = (cy * ss - sy * cs) / determinant, (sy * cc - cy * cs) / determinant

    unit, name = units(field), name_of(field)
    bins = (local * hours / 24).round().astype(int) % hours
    composite = _by_bin(anomaly, bins, hours) + mean.where(known).mean("cell")
    hour = xr.DataArray(np.arange(hours) * 24 / hours, dims="hour", attrs={"units": "hours", "long_name": "local time"})
    return xr.Dataset(
        {
            "composite": described(composite.assign_coords(hour=hour), f"{name} by local solar time", unit),
            "amplitude": described(_length(a, b), f"amplitude of the diurnal cycle of {name}", unit),
            "phase": described(_turns(a, b) * 24, f"local solar time of the maximum of {name}", "hours"),
        }
    )


def subsolar_longitude(rsds: xr.DataArray) -> xr.DataArray:
    """Longitude on which insolation is centred, by time of the day.

    Parameters
    ----------
    rsds
        (time, ..., cell): downwelling shortwave at the surface, or at the top of the atmosphere.

    Returns
    -------
    (..., utc) in degrees east [0, 360): angle of the mean of exp(i longitude) weighted by insolation; at 06 UTC the
    sun stands at 90. The coordinate ``utc`` is in hours. The coordinate ``concentration``, between 0 and 1, is the
    length of that mean: near 0 there is no diurnal cycle, and the angle says nothing.
    """
    by_utc = by_time_of_day(rsds).fillna(0.0).clip(min=0)
    lon, _ = lonlat(rsds)
    angle = np.deg2rad(lon.values)
    east, north = (lon.copy(data=part) for part in (np.cos(angle), np.sin(angle)))
    total = by_utc.sum("cell")
    x, y = ((by_utc * part).sum("cell") / total for part in (east, north))
    result = described(_turns(x, y) * 360, f"longitude on which {name_of(rsds)} is centred", "degrees_east")
    return result.assign_coords(concentration=_length(x, y)).transpose(..., "utc")


def by_time_of_day(field: xr.DataArray) -> xr.DataArray:
    """(utc, ..., cell): mean of each time of the day that occurs, ``utc`` in hours, in double precision."""
    from flox.xarray import xarray_reduce

    require_time(field)
    zoom(field)
    times = field["time"].values.astype("datetime64[s]")
    seconds = xr.DataArray((times - times.astype("datetime64[D]")).astype(np.int64), dims="time", name="utc")
    values, counts = np.unique(seconds, return_counts=True)
    if len(counts) > 288:
        raise ValueError(f"the instants are at {len(counts)} times of the day: round them to hours or to 5 minutes")
    means = xarray_reduce(
        field.drop_vars("time").astype(np.float64), seconds, func="nanmean", expected_groups=values
    ).assign_coords(utc=xr.DataArray(values / 3600, dims="utc", attrs={"units": "hours", "long_name": "UTC"}))
    return means.transpose("utc", *[dim for dim in field.dims if dim != "time"])


def year_fraction(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
    """Share of its year that has passed at each time, in [0, 1); leap years are as long as others."""
    seconds = times.astype("datetime64[s]")
    years = seconds.astype("datetime64[Y]")
    start, end = (y.astype("datetime64[s]") for y in (years, years + 1))
    return (seconds - start) / (end - start)


def _by_bin(values: xr.DataArray, number: xr.DataArray, bins: int) -> xr.DataArray:
    """Mean over (utc, cell) of the values in each bin: (..., hour)."""
    from flox.xarray import xarray_reduce

    return xarray_reduce(values, number.rename("hour"), func="nanmean", expected_groups=np.arange(bins))


def _turns(x: xr.DataArray, y: xr.DataArray) -> xr.DataArray:
    """Angle of (x, y) in turns, [0, 1)."""
    return (xr.apply_ufunc(np.arctan2, y, x, dask="allowed") / (2 * np.pi)) % 1 % 1  # twice: -1e-17 % 1 is 1


def _length(x: xr.DataArray, y: xr.DataArray) -> xr.DataArray:
    return (x**2 + y**2) ** 0.5
