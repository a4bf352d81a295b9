"""Response of the atmosphere to the sea: regression of monthly anomalies on an index such as Niño 3.4."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, per, units
from xr_cbottle.diagnostics.grid import bare, lonlat
from xr_cbottle.diagnostics.means import anomalies, monthly, require_time

_SEA_SURFACE = ("sst", "tos", "ts")
_NINO34 = {"south": -5.0, "north": 5.0, "west": 190.0, "east": 240.0}


def nino34(ds: xr.Dataset) -> xr.DataArray:
    """Mean temperature of the sea surface in the Niño 3.4 region, 5S to 5N and 170W to 120W.

    Parameters
    ----------
    ds
        With ``sst``, ``tos`` or ``ts``, the first of them that it has, (time, ..., cell) in K or degC.

    Returns
    -------
    (time, ...) in K: the temperature itself; `anomalies` makes an index of it, and `regression` does so itself.

    Raises
    ------
    ValueError
        If there is no such variable, or the zoom is too coarse to have a cell's centre in the region.
    """
    name = next((name for name in _SEA_SURFACE if name in ds), None)
    if name is None:
        raise ValueError(f"Niño 3.4 needs one of {', '.join(_SEA_SURFACE)}, and the data set has none of them")
    sea = ds[name]
    lon, lat = lonlat(sea)
    inside = (abs(lat) <= _NINO34["north"]) & (lon >= _NINO34["west"]) & (lon <= _NINO34["east"])
    if not inside.any():
        raise ValueError("no cell's centre lies in the Niño 3.4 region: take a finer zoom")
    index = sea.isel(cell=np.flatnonzero(inside)).mean("cell", dtype=np.float64)
    if units(sea).lower() in ("degc", "c", "celsius", "°c", "degree_celsius", "degrees_celsius"):
        index = index + 273.15
    return described(index, f"mean {name} of the Niño 3.4 region", "K").rename("nino34")


def regression(field: xr.DataArray, index: xr.DataArray) -> xr.Dataset:
    """Slope of the monthly anomalies of a field over those of an index, by least squares.

    Parameters
    ----------
    field
        (time, ..., cell); `monthly` means and `anomalies` are made of it here, and of the index. Each month counts the
        same, however many instants it has.
    index
        (time,), e.g. `nino34`. The months that both have are used.

    Returns
    -------
    ``slope`` and ``standard_error``, (..., cell), in the field's unit over the index's. The error is that of residuals
    which are independent from month to month, with one degree of freedom less for each month of the year (its mean was
    taken away). Where the residuals persist it is too small, and right is
    ``bootstrap(lambda y, x: regression(y, x).slope, monthly(field), monthly(index), block=6)``.

    Raises
    ------
    ValueError
        If fewer than 3 degrees of freedom are left.
    """
    require_time(field)
    require_time(index)
    y, x = xr.align(monthly(bare(field)), monthly(bare(index)), join="inner")
    calendar_months = len(np.unique(x["time"].dt.month)) if x.sizes["time"] else 0
    freedom = x.sizes["time"] - calendar_months - 1
    if freedom < 3:
        raise ValueError(
            f"regression needs more months than {x.sizes['time']} of {calendar_months} months of the year: "
            "give several years"
        )
    y, x = anomalies(y.astype(np.float64)), anomalies(x.astype(np.float64))
    variance = (x**2).sum("time")
    slope = (x * y).sum("time", skipna=False) / variance
    residual = ((y - slope * x) ** 2).sum("time", skipna=False)
    error = (residual / freedom / variance) ** 0.5
    unit = per(units(field), units(index))
    about = f"{name_of(field)} on {name_of(index)}"
    attrs = {"months": x.sizes["time"], "degrees_of_freedom": freedom}
    return xr.Dataset(
        {
            "slope": described(slope, f"regression of {about}", unit, **attrs),
            "standard_error": described(error, f"standard error of the regression of {about}", unit, **attrs),
        }
    )
