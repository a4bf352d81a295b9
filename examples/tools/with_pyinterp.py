# /// script
# dependencies = ["xr-cbottle", "pyinterp"]
# ///
"""pyinterp: interpolation of a grid to points."""

import os

import pyinterp.backends.xarray
import xarray as xr

import xr_cbottle

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

grid = xr_cbottle.to_latlon(days.tas.isel(time=0), 2.0).load()
interpolator = pyinterp.backends.xarray.Grid2D(grid)
(hamburg,) = interpolator.bivariate({"lon": [10.0], "lat": [53.5]})
print(f"Hamburg: {hamburg:.1f} K")
