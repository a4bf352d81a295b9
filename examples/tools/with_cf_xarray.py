# /// script
# dependencies = ["xr-cbottle", "cf_xarray"]
# ///
"""cf_xarray: variables and axes by what they are."""

import os

import cf_xarray  # noqa: F401
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

assert days.cf.axes["T"] == ["time"]
assert days.cf["precipitation_flux"].name == "pr"
print(f"grid mapping: {days.cf.grid_mapping_names}")
