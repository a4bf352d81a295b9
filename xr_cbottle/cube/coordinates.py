"""Coordinates of a data set: its axes, and the HEALPix grid in the words of CF, easygems and xdggs."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import BackendArray
from xarray.indexes import PandasIndex

from xr_cbottle.cube.metadata import stored
from xr_cbottle.cube.spec import CubeSpec
from xr_cbottle.cube.xarray_internals import ExplicitIndexer, HeldVariable, LazilyIndexedArray
from xr_cbottle.grid import healpix


def coordinates(
    spec: CubeSpec, pressures: tuple[int, ...], without: Container[str] = ()
) -> tuple[xr.Coordinates, dict[str, xr.Variable]]:
    """Coordinates of a data set.

    Indexes are made here, and other coordinates by the fast path, because xarray imports dask and all that
    hangs on it to look at an ordinary array.

    Parameters
    ----------
    spec
        The data set.
    pressures
        Pressure axis in Pa; empty if no variable has levels.
    without
        Names to leave out.

    Returns
    -------
    Coordinates with an index, (member), time, (pressure), cell; and those without: cell_ids and crs.
    """
    cells = healpix.n_cells(spec.zoom)
    axes: dict[str, tuple[pd.Index, dict[str, Any]]] = {}
    if spec.members is not None:
        axes["member"] = (
            pd.Index(np.array(spec.members, np.int64)),
            {"long_name": "realisation", "standard_name": "realization", "units": "1"},  # CF has no axis for it
        )
    axes["time"] = (
        pd.DatetimeIndex(spec.axis.values),
        {"long_name": "time", "standard_name": "time", "axis": "T", "units_metadata": "leap_seconds: none"},
    )
    if pressures:
        axes["pressure"] = (
            pd.Index(np.array(pressures, np.int64)),
            {"long_name": "air pressure", "standard_name": "air_pressure", "units": "Pa", "axis": "Z"}
            | {"positive": "down"},
        )
    # A range takes no memory and no time, at any zoom.
    axes["cell"] = (
        pd.RangeIndex(cells),
        {"long_name": "HEALPix cell, nested order", "standard_name": "healpix_index", "units": "1"},
    )
    variables: dict[str, xr.Variable] = {}
    indexes = {}
    for name, (values, attrs) in axes.items():
        if name not in without:
            indexes[name] = PandasIndex(values, name)
            variables |= indexes[name].create_variables()
            variables[name].attrs = attrs
    if "time" in variables:  # written as it is here, whichever part of the axis is written
        variables["time"].encoding = {
            "units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian", "dtype": np.dtype(np.int64)
        }  # fmt: skip
    # Two readers: easygems wants healpix_nside and healpix_order, CF refinement_level and indexing_scheme.
    crs = {
        "long_name": "HEALPix grid, nested order",
        "grid_mapping_name": "healpix",
        "healpix_nside": healpix.nside(spec.zoom),
        "healpix_order": "nest",
        "refinement_level": spec.zoom,
        "indexing_scheme": "nested",
    }
    # xdggs takes all attributes of cell_ids for its grid's, and fails on any other, also on a long_name.
    cell_ids = {"grid_name": "healpix", "level": spec.zoom, "indexing_scheme": "nested"}
    if spec.fine is None:
        numbers: xr.Variable = HeldVariable("cell", np.arange(cells), cell_ids, fastpath=True)
    else:  # of the globe, of which a box may be all that is ever looked at
        numbers = xr.Variable("cell", LazilyIndexedArray(IndexRange(cells)), cell_ids, fastpath=True)
    others = {
        "cell_ids": numbers,
        "crs": HeldVariable((), np.array(1, np.int64), {k: stored(v) for k, v in crs.items()}, fastpath=True),
    }
    return xr.Coordinates(variables, indexes), {k: v for k, v in others.items() if k not in without}


class IndexRange(BackendArray):
    """The numbers 0 to n - 1 as an array that takes no memory until it is indexed."""

    def __init__(self, n: int) -> None:
        self.shape, self.dtype = (n,), np.dtype(np.int64)

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        (k,) = key.tuple
        n = self.shape[0]
        if isinstance(k, slice):
            return np.arange(*k.indices(n), dtype=np.int64)
        positions = np.asarray(k, np.int64)
        if positions.size and not -n <= positions.min() <= positions.max() < n:
            raise IndexError(f"index {k} is out of bounds for dimension cell of size {n}")
        return np.where(positions < 0, positions + n, positions)

    async def async_getitem(self, key: ExplicitIndexer) -> Any:
        """Index it, which waits for nothing."""
        return self[key]

    def __reduce__(self) -> tuple[Any, ...]:
        return IndexRange, self.shape
