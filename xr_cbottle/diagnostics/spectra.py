"""Angular power spectra: how much of a field's variance lies at which size of pattern."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, squared, units
from xr_cbottle.diagnostics.grid import zoom
from xr_cbottle.grid import healpix, spherical_harmonics

_ROWS = 256
"""Fields whose harmonics are taken at once: 6 MB of them at zoom 4."""


def power_spectrum(field: xr.DataArray) -> xr.DataArray:
    """Mean over time of the angular power spectrum of each instant's field.

    Parameters
    ----------
    field
        (..., cell). A mean map or anomalies may be given as well; whatever has a time is averaged over it last.

    Returns
    -------
    (..., degree), C_l in the square of the unit for degrees l = 0 to 2 nside, the largest that the cells resolve
    well (as healpy.anafast, three iterations). The variance of a field over the sphere is
    sum (2l + 1) C_l / 4 pi over l > 0. NaN for an instant with a missing cell, which has no such spectrum.
    """
    degrees = spherical_harmonics.resolved(healpix.n_cells(zoom(field)))
    spectrum = xr.apply_ufunc(
        _spectra,
        field.chunk(cell=-1) if field.chunks is not None else field,
        input_core_dims=[["cell"]],
        output_core_dims=[["degree"]],
        kwargs={"degrees": degrees},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"degree": degrees}},
    ).assign_coords(degree=np.arange(degrees))
    if "time" in spectrum.dims:
        spectrum = spectrum.mean("time", skipna=False)
    return described(spectrum, f"angular power spectrum of {name_of(field)}", squared(units(field))).rename(field.name)


def ring(values: npt.NDArray[np.floating], n: int) -> npt.NDArray[np.float64]:
    """(..., cell) from NEST to RING order, in double precision, as healpy's transforms want it."""
    import healpy

    return np.asarray(values, np.float64)[..., healpy.ring2nest(n, np.arange(values.shape[-1]))]


def _spectra(values: npt.NDArray[np.floating], degrees: int) -> npt.NDArray[np.float64]:
    rows = values.reshape(-1, values.shape[-1])
    found, whole = np.full((len(rows), degrees), np.nan), np.isfinite(rows).all(-1)
    for first in range(0, len(rows), _ROWS):
        some = first + np.flatnonzero(whole[first : first + _ROWS])
        found[some] = spherical_harmonics.spectra(rows[some], degrees)
    return found.reshape(*values.shape[:-1], -1)
