# /// script
# dependencies = ["xr-cbottle", "healpy"]
# ///
"""healpy: spherical harmonics and interpolation."""

import os

import healpy
import numpy as np
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

field = days.tas.isel(time=0).values.astype(float)
power = healpy.anafast(healpy.reorder(field, n2r=True), lmax=10)
point = healpy.get_interp_val(field, 10.0, 53.5, nest=True, lonlat=True)
assert np.isclose(power[0] / (4 * np.pi), field.mean() ** 2, rtol=1e-3)
print(f"power at degree 2: {power[2]:.1f}; Hamburg {float(point):.1f} K")
