# /// script
# dependencies = ["xr-cbottle", "geoviews", "bokeh", "cartopy", "healpy"]
# ///
"""geoviews: points on a projected map."""

import os

import geoviews as gv
import healpy
import numpy as np
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

gv.extension("bokeh")
lon, lat = healpy.pix2ang(16, np.arange(3072), nest=True, lonlat=True)
points = gv.Points((lon, lat, days.tas.isel(time=0).values), ["Longitude", "Latitude"], "tas")
gv.renderer("bokeh").save(points, "/tmp/xr_cbottle_geoviews")
print(f"{len(points)} points on a map")
