"""Data sets on HEALPix cells, brought to latitudes and longitudes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from xr_cbottle.fields import names
from xr_cbottle.fields.cells import find_cells
from xr_cbottle.grid.regular import RegularGrid, regular_grid

if TYPE_CHECKING:
    import xarray as xr

T = TypeVar("T", "xr.Dataset", "xr.DataArray")
_LAT = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"}
_LON = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"}


def to_latlon(ds: T, spacing: float | Iterable[float] = 1.0, method: str = "bilinear") -> T:
    """Bring HEALPix fields to regular latitudes and longitudes. What is chunked by dask stays lazy.

    Parameters
    ----------
    ds
        A data set or a field on all cells of the globe, in any order that it tells. Values of other fields are read,
        and those of a bottle drawn.
    spacing
        Degrees between points, or (of longitudes, of latitudes); 360 and 180 must be whole multiples of them.
    method
        ``bilinear``: values at the points. ``conservative``: means over the boxes around the points, which keep the
        mean of the globe to 1e-4 of a field's spread. Take it where boxes are wider than cells.

    Returns
    -------
    As given, with dimensions (lat, lon) in place of the cells: longitudes from 0, and latitudes from half a box above
    the south pole, as CDO's ``r360x180``. A point is NaN where cells without a value carry more than half of it.

    Raises
    ------
    ValueError
        If the cells are not the whole globe of HEALPix, or it is no such spacing or method.
    """
    import xarray as xr

    grid = regular_grid(spacing, method)
    if isinstance(ds, xr.DataArray):
        held = ds.to_dataset(name="a field")
        return _onto(held, grid, ds)["a field"].rename(ds.name)
    return _onto(ds, grid, ds)


def _onto(ds: xr.Dataset, grid: RegularGrid, whole: xr.Dataset | xr.DataArray) -> xr.Dataset:
    import xarray as xr

    dim = next((name for name in names.CELLS if name in ds.dims), None)
    if dim is None:
        raise ValueError(f"there are no HEALPix cells: the dimensions are {', '.join(map(str, ds.dims)) or 'none'}")
    cells = find_cells(whole, dim, ds)
    weights = grid.weights(cells.zoom)

    def interpolated(values: Any) -> Any:
        return weights.apply(cells.nested(values))

    brought = {}
    for name, field in ds.data_vars.items():
        if dim not in field.dims:
            brought[name] = field.variable
            continue
        made = xr.apply_ufunc(
            interpolated,
            field.variable.chunk({dim: -1}) if field.chunks else field.variable,
            input_core_dims=[[dim]],
            output_core_dims=[["lat", "lon"]],
            dask="parallelized",
            dask_gufunc_kwargs={"output_sizes": {"lat": grid.lat.size, "lon": grid.lon.size}},
            output_dtypes=[np.result_type(field.dtype, np.float32)],
        )
        made.attrs = field_attrs(field.attrs, grid)
        brought[name] = made
    kept = {name: one.variable for name, one in ds.coords.items() if dim not in one.dims and name != "crs"}
    coords: dict[Any, Any] = {**kept, **axes(grid)}
    return xr.Dataset(brought, coords, dataset_attrs(ds.attrs, grid))


def axes(grid: RegularGrid) -> dict[str, xr.Variable]:
    """Coordinates of a grid, with CF's attributes."""
    import xarray as xr

    whole = {"_FillValue": None}  # CF has none on coordinates, and xarray would write one
    return {"lat": xr.Variable("lat", grid.lat, _LAT, whole), "lon": xr.Variable("lon", grid.lon, _LON, whole)}


def field_attrs(attrs: Any, grid: RegularGrid) -> dict[str, Any]:
    """Attributes of a field once it is on a grid: no grid mapping, and that it is a mean over areas if it is."""
    kept = {key: value for key, value in attrs.items() if key not in ("grid_mapping", "coordinates")}
    if grid.method == "conservative":
        kept["cell_methods"] = f"{kept['cell_methods']} area: mean" if kept.get("cell_methods") else "area: mean"
    return kept


def dataset_attrs(attrs: Any, grid: RegularGrid) -> dict[str, Any]:
    """Attributes of a data set once it is on a grid; the history says so."""
    line = f"brought to {grid.spacing[0]:g} x {grid.spacing[1]:g} degrees of longitude and latitude ({grid.method})"
    before = attrs.get("history")
    return {**attrs, "history": f"{before}\n{line}" if before else line}
