"""Angular power spectra: how much of a field's variance lies at which size of pattern."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, squared, units
from xr_cbottle.diagnostics.grid import zoom
from xr_cbottle.grid import healpix


def power_spectrum(field: xr.DataArray) -> xr.DataArray:
    """Mean over time of the angular power spectrum of each instant's field.

    Parameters
    ----------
    field
        (..., cell). A mean map or anomalies may be given as well; whatever has a time is averaged over it last.

    Returns
    -------
    (..., degree), C_l in the square of the unit for degrees l = 0 to 2 nside, the largest that the cells resolve
    well (healpy.anafast, three iterations). The variance of a field over the sphere is
    sum (2l + 1) C_l / 4 pi over l > 0. NaN for an instant with a missing cell, which has no such spectrum.
    """
    n = healpix.nside(zoom(field))
    spectrum = xr.apply_ufunc(
        _anafast,
        field.chunk(cell=-1) if field.chunks is not None else field,
        input_core_dims=[["cell"]],
        output_core_dims=[["degree"]],
        kwargs={"n": n},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"degree": 2 * n + 1}},
    ).assign_coords(degree=np.arange(2 * n + 1))
    if "time" in spectrum.dims:
        spectrum = spectrum.mean("time", skipna=False)
    return described(spectrum, f"angular power spectrum of {name_of(field)}", squared(units(field))).rename(field.name)


def ring(values: npt.NDArray[np.floating], n: int) -> npt.NDArray[np.float64]:
    """(..., cell) from NEST to RING order, in double precision, as healpy's transforms want it."""
    import healpy

    return np.asarray(values, np.float64)[..., healpy.ring2nest(n, np.arange(values.shape[-1]))]


def _anafast(values: npt.NDArray[np.floating], n: int) -> npt.NDArray[np.float64]:
    import healpy

    rows = ring(values, n).reshape(-1, values.shape[-1])
    spectra = np.full((len(rows), 2 * n + 1), np.nan)
    for spectrum, row in zip(spectra, rows, strict=True):
        if np.isfinite(row).all():
            spectrum[:] = healpy.anafast(row, lmax=2 * n, iter=3, pol=False)
    return spectra.reshape(*values.shape[:-1], -1)
