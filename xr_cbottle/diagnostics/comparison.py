"""One field against another: difference, root mean square of it, likeness of patterns."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, units
from xr_cbottle.diagnostics.grid import matched
from xr_cbottle.diagnostics.means import climatology


def bias(field: xr.DataArray, reference: xr.DataArray) -> xr.DataArray:
    """Mean of a field minus mean of a reference.

    Parameters
    ----------
    field, reference
        (time, ..., cell) or already means (..., cell). Their times need not be the same.

    Returns
    -------
    (..., cell) in the field's unit.
    """
    first, second = matched(_mean(field), _mean(reference))
    return described(first - second, f"bias of {name_of(field)}", units(field)).rename(field.name)


def rmse(a: xr.DataArray, b: xr.DataArray, dim: Literal["cell", "time"] = "cell") -> xr.DataArray:
    """Root mean square difference.

    Parameters
    ----------
    a, b
        (..., cell), paired where they have the same times and levels.
    dim
        Over what: ``cell`` gives one number for each of the other dimensions, ``time`` a map.

    Returns
    -------
    Without ``dim``, in the fields' unit; places without a value in one of them left out.
    """
    first, second = matched(a, b)
    squares = (first.astype(np.float64) - second.astype(np.float64)) ** 2
    return described(squares.mean(dim) ** 0.5, f"RMSE of {name_of(a)} over {dim}", units(a))


def pattern_correlation(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
    """Centred correlation over the cells at which both have a value, for each of the other dimensions.

    NaN where a field is the same everywhere.
    """
    first, second = matched(a, b)
    result = xr.corr(first.astype(np.float64), second.astype(np.float64), dim="cell")
    return described(result, f"pattern correlation of {name_of(a)}", "1")


def _mean(field: xr.DataArray) -> xr.DataArray:
    return climatology(field) if "time" in field.dims else field.astype(np.float64)
