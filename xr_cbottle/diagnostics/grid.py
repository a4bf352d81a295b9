"""Cells of the sphere: their places, means over areas and over zonal bands.

Cells of HEALPix have equal areas, so a mean over cells is a mean over the area. Fields cover the whole sphere,
NEST ordered along ``cell``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import T
from xr_cbottle.fields.cells import find_cells
from xr_cbottle.grid import healpix

Bands: TypeAlias = int | Sequence[float] | npt.NDArray[np.float64]
"""Number of zonal bands of equal width in latitude, or their edges in degrees, ascending."""


def zoom(field: xr.DataArray | xr.Dataset) -> int:
    """HEALPix level of a field or data set.

    Raises
    ------
    ValueError
        If it has no dimension ``cell``, not 12 * 4**zoom of them, or they are not in NEST order.
    """
    if "cell" not in field.dims:
        others = ", ".join(map(str, field.dims)) or "none"
        raise ValueError(
            f"a HEALPix field has a dimension cell, not only {others}: rename its own to cell, or bring it to HEALPix"
        )
    found = find_cells(field, "cell", field if isinstance(field, xr.Dataset) else None)
    if found.order is not None:
        numbered = "cell" in field.indexes and not np.array_equal(
            field.indexes["cell"].values, np.arange(len(found.order))
        )
        how = (
            "sort them with sortby('cell')"
            if numbered
            else f"reorder them with .isel(cell=healpy.nest2ring({healpix.nside(found.zoom)}, ...))"
        )
        raise ValueError(f"the field's cells are not in NEST order: {how}")
    return found.zoom


def lonlat(field: xr.DataArray | xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Longitude [0, 360) and latitude in degrees of the centres of a field's cells, each (cell,)."""
    lon, lat = healpix.lonlat(zoom(field))
    coords = {"cell": field["cell"]} if "cell" in field.indexes else None
    return (
        xr.DataArray(lon, coords, ["cell"], "lon", {"units": "degrees_east", "long_name": "longitude"}),
        xr.DataArray(lat, coords, ["cell"], "lat", {"units": "degrees_north", "long_name": "latitude"}),
    )


def band_edges(bands: Bands = 18) -> npt.NDArray[np.float64]:
    """(bands + 1,) latitudes in degrees between zonal bands, from south to north.

    Parameters
    ----------
    bands
        How many, equally wide in latitude; or the edges themselves.

    Raises
    ------
    ValueError
        If there are none, or edges do not ascend within -90 to 90.
    """
    if isinstance(bands, (int, np.integer)):
        if bands < 1:
            raise ValueError(f"there must be one zonal band or more, got {bands}")
        return np.linspace(-90.0, 90.0, int(bands) + 1)
    edges = np.asarray(bands, float)
    if edges.ndim != 1 or len(edges) < 2 or (np.diff(edges) <= 0).any() or edges[0] < -90 or edges[-1] > 90:
        raise ValueError("edges of zonal bands must be two or more latitudes that ascend from -90 to 90 degrees")
    return edges


def band_of(field: xr.DataArray | xr.Dataset, bands: Bands = 18) -> xr.DataArray:
    """(cell,) number of the band in which each cell's centre lies, from the south; -1 outside of all.

    A centre on an edge belongs to the band on its northern side.
    """
    edges = band_edges(bands)
    _, lat = lonlat(field)
    number = np.searchsorted(edges, lat.values, side="right") - 1
    number[lat.values >= edges[-1]] = -1
    return lat.copy(data=number).rename("band").drop_attrs()


def global_mean(field: T) -> T:
    """Mean over ``cell``, in double precision, cells without a value left out; keeps attributes."""
    zoom(field)
    return field.mean("cell", dtype=np.float64, keep_attrs=True)


def area_mean(field: xr.DataArray, mask: xr.DataArray | None = None) -> xr.DataArray:
    """Mean over the cells at which ``mask`` (cell,) is true, in double precision; of all without a mask."""
    return global_mean(field if mask is None else field.where(mask))


def zonal_mean(field: xr.DataArray, bands: Bands = 18) -> xr.DataArray:
    """Means over zonal bands.

    Parameters
    ----------
    field
        (..., cell).
    bands
        How many, equally wide in latitude, or their edges in degrees.

    Returns
    -------
    (..., lat) in double precision: mean of the cells whose centres lie in a band, NaN skipped; ``lat`` is the
    centre of the band in degrees. A band without centres, which coarse zooms have, is NaN.
    """
    from flox.xarray import xarray_reduce

    edges, number = band_edges(bands), band_of(field, bands)
    means = xarray_reduce(
        field.astype(np.float64), number, func="nanmean", expected_groups=np.arange(len(edges) - 1), keep_attrs=True
    )
    centres = xr.DataArray((edges[1:] + edges[:-1]) / 2, dims="lat", attrs={"units": "degrees_north", "axis": "Y"})
    rest = [dim for dim in field.dims if dim != "cell"]
    means = means.rename(band="lat").assign_coords(lat=centres).transpose(*rest, "lat").rename(field.name)
    means.attrs = dict(field.attrs)
    return means


def bare(field: xr.DataArray) -> xr.DataArray:
    """The field with no coordinates but those of its dimensions, so that those of two data sets cannot clash."""
    return field.drop_vars([name for name in field.coords if name not in field.dims])


def matched(first: xr.DataArray, second: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Two fields of one zoom, at the levels (and times, where both have them) that both have.

    Raises
    ------
    ValueError
        If the zooms differ, or they have no level or time in common.
    """
    if "cell" in first.dims or "cell" in second.dims:
        zooms = zoom(first), zoom(second)
        if zooms[0] != zooms[1]:
            raise ValueError(
                f"the fields are at zooms {zooms[0]} and {zooms[1]}: bring the finer one to {min(zooms)} "
                "with coarsen(cell=4).mean()"
            )
    first, second = xr.align(bare(first), bare(second), join="inner")
    for dim in first.dims:
        if not first.sizes[dim]:
            raise ValueError(f"the fields have no {dim} in common")
    return first, second
