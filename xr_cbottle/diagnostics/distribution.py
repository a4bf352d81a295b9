"""Distributions of one field over time and cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, units
from xr_cbottle.diagnostics.grid import Bands, band_edges, band_of, zoom
from xr_cbottle.diagnostics.means import require_time


def quantiles(field: xr.DataArray, q: float | Sequence[float], bands: Bands | None = None) -> xr.DataArray:
    """Quantiles over time and cells.

    Parameters
    ----------
    field
        (time, ..., cell); missing values are left out.
    q
        Between 0 and 1, one or several, e.g. (0.001, 0.01, 0.5, 0.99, 0.999).
    bands
        Zonal bands, of each of which quantiles are taken; the globe if None.

    Returns
    -------
    (quantile, ..., [lat]) in the field's unit, linear between the sorted values. They are exact, so that a lazy field
    is brought into memory as a whole when the result is computed.
    """
    require_time(field)
    zoom(field)
    levels = np.atleast_1d(np.asarray(q, float))
    if not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError("quantiles are asked for by numbers between 0 and 1, such as 0.999")
    field = field.chunk(time=-1, cell=-1) if field.chunks is not None else field
    if bands is None:
        result = field.quantile(levels, ("time", "cell"))
    else:
        edges, number = band_edges(bands), band_of(field, bands).values
        parts = [
            field.isel(cell=np.flatnonzero(number == band)).quantile(levels, ("time", "cell"))
            if (number == band).any()
            else xr.full_like(field.isel(time=0, cell=0, drop=True), np.nan, dtype=float).expand_dims(quantile=levels)
            for band in range(len(edges) - 1)
        ]
        centres = xr.DataArray((edges[1:] + edges[:-1]) / 2, dims="lat", attrs={"units": "degrees_north"})
        result = xr.concat(parts, "lat", coords="minimal", compat="override").assign_coords(lat=centres)
        result = result.transpose("quantile", ..., "lat")
    return described(result, f"quantiles of {name_of(field)} over time and cells", units(field)).rename(field.name)
