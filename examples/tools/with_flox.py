# /// script
# dependencies = ["xr-cbottle", "flox"]
# ///
"""flox: quick groups."""

import os

import flox.xarray
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

bands = flox.xarray.xarray_reduce(days.tas.load(), (days.cell // 256).rename("face"), func="mean")
assert bands.sizes["face"] == 12
print(f"means of the twelve faces, {float(bands.min()):.1f} to {float(bands.max()):.1f} K")
