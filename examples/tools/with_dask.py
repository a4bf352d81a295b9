# /// script
# dependencies = ["xr-cbottle", "dask"]
# ///
"""dask: one graph for several variables."""

import os

import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))
lazy = xr.open_dataset("gcm", engine="cbottle", time="P1D", chunks={}, cache_dir=os.environ.get("INSTANTS"))
means = lazy[["tas", "pr"]].sel(time=slice("1990-07-01", "1990-07-04")).mean().compute()
print(f"{float(means.tas):.2f} K, {float(means.pr) * 86400:.2f} mm a day")
