"""Change between two climates, and trends: what warms how much more than the rest, and how much more it rains."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, per, units
from xr_cbottle.diagnostics.grid import bare, global_mean, lonlat
from xr_cbottle.diagnostics.means import climatology, require_time

POLAR = 60.0
"""Latitude from which the polar caps begin, degrees."""


def land_sea_ratio(warming: xr.DataArray, land: npt.NDArray[np.bool_] | xr.DataArray) -> xr.DataArray:
    """Warming of the land over warming of the sea: more than 1 on Earth, less in models whose land is held.

    Parameters
    ----------
    warming
        (..., cell) change of temperature.
    land
        (cell,) True over land.

    Returns
    -------
    (...) without a unit.
    """
    mask = xr.DataArray(np.asarray(land, bool), dims="cell")
    ratio = global_mean(bare(warming).where(mask)) / global_mean(bare(warming).where(~mask))
    return described(ratio, "warming of land over warming of sea", "1")


def polar_amplification(warming: xr.DataArray) -> xr.DataArray:
    """Warming poleward of 60 degrees over warming of the globe, (..., cell) -> (...)."""
    _, lat = lonlat(warming)
    polar = global_mean(bare(warming).where((abs(lat) >= POLAR).values))
    return described(polar / global_mean(bare(warming)), "warming of the polar caps over that of the globe", "1")


def per_kelvin(change: xr.DataArray, base: xr.DataArray, warming: xr.DataArray) -> xr.DataArray:
    """Global mean change of a quantity in percent of what it was, for each kelvin that the globe warms.

    Parameters
    ----------
    change, base
        (..., cell) change of the quantity, and its mean before.
    warming
        (..., cell) change of near-surface temperature, K.

    Returns
    -------
    (...) in % K-1.
    """
    share = 100 * global_mean(bare(change)) / global_mean(bare(base))
    return described(share / global_mean(bare(warming)), f"change of {name_of(change)} for each kelvin", "% K-1")


def trend(field: xr.DataArray) -> xr.DataArray:
    """Linear trend of the means of calendar years, by least squares.

    Parameters
    ----------
    field
        (time, ...), three calendar years or more, which need not follow each other. Every year should have the same
        times of the year.

    Returns
    -------
    (...) in the field's unit per decade, with the coordinate-free attributes ``first`` and ``last`` of the years.

    Raises
    ------
    ValueError
        If there are fewer than three years.
    """
    require_time(field)
    years = field["time"].dt.year.values
    known = np.unique(years)
    if len(known) < 3:
        raise ValueError(f"a trend needs three years or more, and there are {len(known)}")
    means = xr.concat(
        [climatology(bare(field).isel(time=np.flatnonzero(years == year))) for year in known],
        xr.DataArray(known, dims="year", name="year"),
    )
    x = xr.DataArray(known - known.mean(), {"year": known}, ["year"])
    slope = 10 * (means * x).sum("year", skipna=False) / (x**2).sum()
    return described(
        slope, f"trend of {name_of(field)}", per(units(field), "decade"), first=int(known[0]), last=int(known[-1])
    )
