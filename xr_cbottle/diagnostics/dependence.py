"""Dependence of two fields: correlations and joint distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, per, units
from xr_cbottle.diagnostics.grid import matched


def correlation(a: xr.DataArray, b: xr.DataArray, dim: str | Sequence[str] = "time") -> xr.DataArray:
    """Pearson's correlation between two fields.

    Parameters
    ----------
    a, b
        (time, ..., cell), paired where they have the same times and levels.
    dim
        Over what: ``time`` gives a map, ``("time", "cell")`` one number.

    Returns
    -------
    Without ``dim``; places without a value in one of them are left out, and it is NaN where one does not vary.
    """
    first, second = matched(a, b)
    over = [dim] if isinstance(dim, str) else list(dim)
    result = xr.corr(first.astype(np.float64), second.astype(np.float64), dim=over)
    return described(result, f"correlation of {name_of(a)} with {name_of(b)} over {' and '.join(over)}", "1")


def joint_distribution(
    a: xr.DataArray, b: xr.DataArray, bins: int | tuple[npt.ArrayLike, npt.ArrayLike] = 50
) -> xr.DataArray:
    """Joint probability density of two fields over everything they have in common.

    Parameters
    ----------
    a, b
        (time, ..., cell), paired where they have the same times and levels. Pairs with a missing value do not count.
    bins
        Edges for each of them, which is what makes two data sets comparable; or how many between their least and
        greatest values, for which lazy fields are read once more.

    Returns
    -------
    (first, second) in one over both units; its coordinates are the centres of the bins. It integrates to 1 over the
    bins: what lies outside of them does not count, so let them hold both data sets.
    """
    first, second = matched(a, b)
    first, second = xr.broadcast(first, second)
    if isinstance(bins, (int, np.integer)):
        if bins < 1:
            raise ValueError(f"there must be one bin or more, got {bins}")
        edges = [_edges(field, int(bins)) for field in (first, second)]
    else:
        edges = [np.asarray(part, float) for part in bins]
        if any(part.ndim != 1 or len(part) < 2 or (np.diff(part) <= 0).any() for part in edges):
            raise ValueError("bins are a number, or two sequences of ascending edges")
    counts = _histogram(first, second, edges)
    width = np.diff(edges[0])[:, None] * np.diff(edges[1])
    density = xr.DataArray(counts / counts.sum() / width, dims=("first", "second"))
    for dim, part, field in zip(density.dims, edges, (a, b), strict=True):
        attrs = {"units": units(field), "long_name": name_of(field)}
        density = density.assign_coords({dim: (dim, (part[1:] + part[:-1]) / 2, attrs)})
    unit = per("1", units(a)) if units(b) == "1" else f"{per('1', units(a))} {per('1', units(b))}".removeprefix("1 ")
    return described(density, f"joint density of {name_of(a)} and {name_of(b)}", unit)


def _edges(field: xr.DataArray, bins: int) -> npt.NDArray[np.float64]:
    low, high = float(field.min()), float(field.max())
    if not low < high:
        raise ValueError(f"{name_of(field)} has the same value everywhere, or none: give edges of bins")
    return np.linspace(low, high, bins + 1)


def _histogram(first: xr.DataArray, second: xr.DataArray, edges: list[npt.NDArray[np.float64]]) -> Any:
    """(first, second) counts, a dask array if a field is one; NaN lies in no bin."""
    if first.chunks is None and second.chunks is None:
        return np.histogram2d(first.values.ravel(), second.values.ravel(), bins=edges)[0]
    import dask.array as da

    first, second = xr.unify_chunks(first.chunk(), second.chunk())
    sample = [da.ravel(field.data) for field in (first, second)]
    return da.histogramdd(sample, bins=edges)[0]
