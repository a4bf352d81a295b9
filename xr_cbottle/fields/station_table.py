"""Tables of point observations: long ones, data sets along observations, and CF's discrete sampling geometries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle.fields import names, reader

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

COLUMNS = {
    "lat": names.LATITUDES,
    "lon": names.LONGITUDES,
    "time": ("valid_time", "date", "datetime"),
    "variable": ("parameter", "observed_variable"),
    "value": ("observed_value", "observation_value"),
    "error": ("std", "uncertainty", "observation_error"),
    "level": names.LEVELS,
    "height": ("elevation", "altitude", "alt", "surface_altitude", "station_height"),
    "units": ("unit",),
    "standard_name": (),
}
"""Our names of columns, and those that others use."""
_STANDARD = {"latitude": "lat", "longitude": "lon", "time": "time", "air_pressure": "level",
             "surface_altitude": "height", "altitude": "height"}  # fmt: skip
_NEEDED = ("lat", "lon", "time", "variable", "value")
_ERRORS = ("_error", "_err", "_std", "_uncertainty")


def as_table(data: Any) -> pd.DataFrame:
    """Read point observations as a long table with columns of the names in `COLUMNS`, as far as it has them.

    Parameters
    ----------
    data
        A pandas.DataFrame, or an xarray.Dataset with the same columns along one dimension, or one whose variables are
        called what they are, with lat, lon and time for each: stations, points, profiles, also ragged ones as CF packs
        them. Their errors are variables of the same name with ``_error`` after it, or ancillary ones whose standard
        name ends in ``standard_error``.

    Raises
    ------
    ValueError
        If it is neither, or has no places, times or values.
    """
    import pandas as pd
    import xarray as xr

    if isinstance(data, xr.Dataset):
        ds = reader.as_dataset(data, "the data set of observations")
        long = {"value", "variable"} <= {_column(str(name)) for name in ds.variables}
        table = ds.to_dataframe().reset_index() if long else _melted(_unragged(ds))
    elif isinstance(data, pd.DataFrame):
        table = data if data.index.names == [None] else data.reset_index()
    else:
        raise ValueError(
            f"observations are a pandas.DataFrame or an xarray.Dataset, not {type(data).__name__}: give one with "
            "lat, lon, time, variable, value and error"
        )
    found = {name: ours for name in table.columns if (ours := _column(str(name))) is not None}
    for name in COLUMNS:
        if list(found.values()).count(name) > 1:
            several = ", ".join(str(theirs) for theirs, ours in found.items() if ours == name)
            raise ValueError(
                f"the observations have several columns for {name} ({several}): keep the one that is meant"
            )
    lacking = [name for name in _NEEDED if name not in found.values()]
    if lacking:
        there = ", ".join(map(str, table.columns)) or "none"
        raise ValueError(f"the observations have no column {' and no '.join(lacking)} (they have {there}): add it")
    return table[list(found)].rename(columns=found).reset_index(drop=True)


def _column(name: str) -> str | None:
    return next((ours for ours, theirs in COLUMNS.items() if name == ours or name in theirs), None)


def _unragged(ds: xr.Dataset) -> xr.Dataset:
    """A ragged array of CF, contiguous or indexed, with what is of an instance said for each of its samples."""
    import xarray as xr

    for name in map(str, ds.variables):
        attrs, dims = ds[name].attrs, [str(dim) for dim in ds[name].dims]
        if len(dims) != 1:
            continue
        (dim,) = dims
        if "sample_dimension" in attrs:
            index = np.repeat(np.arange(ds.sizes[dim]), ds[name].values.astype(int))
            return ds.drop_vars(name).isel({dim: xr.DataArray(index, dims=str(attrs["sample_dimension"]))})
        if "instance_dimension" in attrs:
            index = ds[name].values.astype(int)
            return ds.drop_vars(name).isel({str(attrs["instance_dimension"]): xr.DataArray(index, dims=dim)})
    return ds


def _melted(ds: xr.Dataset) -> pd.DataFrame:
    """A data set whose variables are called what they are, as a long table."""
    import pandas as pd

    coords = _coordinates(ds)
    known = set(coords.values())
    errors = {name: error for name in map(str, ds.data_vars) if (error := _error_of(ds, name)) is not None}
    fields = [
        name
        for name in map(str, ds.data_vars)
        if name not in known and name not in errors.values() and ds[name].dtype.kind in "fiu" and ds[name].ndim
    ]
    parts = [_long(ds, name, coords, errors.get(name)) for name in fields]
    if not parts:
        raise ValueError(
            "the data set of observations has none: give variables along stations or observations, with lat, lon, time"
        )
    return pd.concat(parts, ignore_index=True)


def _coordinates(ds: xr.Dataset) -> dict[str, str]:
    """{our name: name in the data set} of places, times, levels and heights."""
    found: dict[str, str] = {}
    for name in map(str, ds.variables):
        ours = _STANDARD.get(str(ds[name].attrs.get("standard_name"))) or _column(name)
        if ours not in ("lat", "lon", "time", "level", "height") or ours in found:
            continue
        if ours != "height" or ds[name].ndim:  # a single height is that of instruments above the ground
            found[ours] = name
    return found


def _error_of(ds: xr.Dataset, name: str) -> str | None:
    """The variable that holds the standard errors of another."""
    ancillary = [one for one in str(ds[name].attrs.get("ancillary_variables", "")).split() if one in ds]
    for one in ancillary:
        if str(ds[one].attrs.get("standard_name", "")).endswith(" standard_error"):
            return one
    return next((name + end for end in _ERRORS if name + end in ds), None)


def _long(ds: xr.Dataset, name: str, coords: dict[str, str], error: str | None) -> pd.DataFrame:
    import pandas as pd

    array = ds[name]

    def along(other: str) -> Any:
        return ds[other].reset_coords(drop=True).broadcast_like(array).transpose(*array.dims).values.ravel()

    columns = {ours: along(theirs) for ours, theirs in coords.items() if set(ds[theirs].dims) <= set(array.dims)}
    columns["value"] = array.values.ravel()
    if error is not None:
        columns["error"] = along(error)
    if "level" in columns:
        text = ds[coords["level"]].attrs.get("units")
        columns["level"] = columns["level"] * (100.0 if str(text) in ("hPa", "mb", "mbar", "millibar") else 1.0)
    table = pd.DataFrame(columns)
    attrs = {key: array.attrs.get(key) for key in ("units", "standard_name")}
    return table.assign(variable=name, **attrs)
