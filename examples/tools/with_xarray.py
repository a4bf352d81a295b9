# /// script
# dependencies = ["xr-cbottle"]
# ///
"""xarray: means, groups and resampling of a lazy data set."""

import os

import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))
monthly = days.tas.groupby("time.month").mean().mean("cell").sel(month=7)
assert 280 < float(monthly) < 300
print(f"mean of July: {float(monthly):.2f} K")
