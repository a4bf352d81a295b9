# /// script
# dependencies = ["xr-cbottle", "xclim"]
# ///
"""xclim: climate indices of a point."""

import os

import xarray as xr
import xclim

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

point = days.tas.isel(cell=100).load()
warm = xclim.indices.tg_mean(point, freq="MS")
print(f"mean of the month {float(warm[0]):.1f} K")
