# /// script
# dependencies = ["xr-cbottle", "regionmask", "healpy"]
# ///
"""regionmask: means over Giorgi's regions, which come with it."""

import os

import healpy
import numpy as np
import regionmask
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

lon, lat = healpy.pix2ang(16, np.arange(3072), nest=True, lonlat=True)
points = xr.Dataset(coords={"lon": ("cell", (lon + 180) % 360 - 180), "lat": ("cell", lat)})
mask = regionmask.defined_regions.giorgi.mask(points.lon, points.lat)
means = days.tas.isel(time=0).load().drop_vars(["cell_ids"]).groupby(mask).mean()
print(f"{means.size} regions of Giorgi, {float(means.min()):.1f} to {float(means.max()):.1f} K")
