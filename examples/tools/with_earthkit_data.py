# /// script
# dependencies = ["xr-cbottle", "earthkit-data"]
# ///
"""earthkit-data: fields of ECMWF's library."""

import os

import earthkit.data
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

source = earthkit.data.from_object(days[["tas"]].isel(time=0).load())
print(f"{type(source).__name__}: {float(source.to_xarray().tas.mean()):.2f} K")
