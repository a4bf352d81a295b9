# /// script
# dependencies = ["xr-cbottle", "scores"]
# ///
"""scores: verification metrics."""

import os

import xarray as xr
from scores.continuous import rmse

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

first, second = days.tas.isel(time=0, drop=True).load(), days.tas.isel(time=1, drop=True).load()
print(f"RMSE of one day against another: {float(rmse(first, second)):.2f} K")
