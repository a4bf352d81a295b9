"""Teleconnections: how the weather of places that lie far apart goes together."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of
from xr_cbottle.diagnostics.grid import bare, zoom
from xr_cbottle.diagnostics.means import anomalies, require_time
from xr_cbottle.grid import healpix


def distant_correlations(field: xr.DataArray, distance: float = 30.0, at_zoom: int = 2) -> xr.DataArray:
    """Correlations over time between all places that lie at least so far apart.

    Parameters
    ----------
    field
        (time, cell); its anomalies from the mean month of the year are taken here.
    distance
        Least distance of two places, degrees of arc.
    at_zoom
        HEALPix level of the places; fields are averaged to it. At level 2 there are 192, 15 degrees apart.

    Returns
    -------
    (pair,) correlations, with coordinates ``first`` and ``second``, numbers of the cells (NEST) at that level, and
    ``apart``, their distance in degrees. Correlations of n instants have an error of about 1 / sqrt(n).

    Raises
    ------
    ValueError
        If there are other dimensions, fewer than three instants, or a missing value.
    """
    require_time(field)
    if set(field.dims) != {"time", "cell"}:
        raise ValueError(f"correlations are of a field (time, cell), not ({', '.join(map(str, field.dims))})")
    level = min(at_zoom, zoom(field))
    values = bare(field).transpose("time", "cell").values.astype(np.float64)
    coarse = healpix.coarsen(values, zoom(field) - level)
    if len(coarse) < 3 or not np.isfinite(coarse).all():
        raise ValueError("correlations need three instants or more, and a value at each cell")
    places = anomalies(xr.DataArray(coarse, {"time": field["time"].values}, ("time", "cell"))).values
    deviation = np.sqrt((places**2).mean(0))
    scaled = places / np.where(deviation > 0, deviation, np.inf)
    matrix = scaled.T @ scaled / len(scaled)
    lon, lat = (np.deg2rad(part) for part in healpix.lonlat(level))
    unit = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    apart = np.rad2deg(np.arccos(np.clip(unit.T @ unit, -1, 1)))
    first, second = np.nonzero(np.triu(apart >= distance, 1))
    result = xr.DataArray(
        matrix[first, second],
        {"first": ("pair", first), "second": ("pair", second), "apart": ("pair", apart[first, second])},
        "pair",
    )
    return described(result, f"correlation of {name_of(field)} at distant places", "1", zoom=level, distance=distance)
