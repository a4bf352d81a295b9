# /// script
# dependencies = ["xr-cbottle", "xarray-regrid"]
# ///
"""xarray-regrid: one grid of latitudes to another."""

import os

import xarray as xr
import xarray_regrid

import xr_cbottle

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

fine = xr_cbottle.to_latlon(days.tas, 2.0).load().rename(lat="latitude", lon="longitude")
target = xarray_regrid.Grid(90, 360, -90, 0, 10, 10).create_regridding_dataset()
print(f"{fine.regrid.conservative(target, latitude_coord='latitude').sizes}")
