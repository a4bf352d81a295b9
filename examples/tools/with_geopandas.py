# /// script
# dependencies = ["xr-cbottle", "geopandas", "healpy"]
# ///
"""geopandas: polygons with values."""

import os

import geopandas
import healpy
import numpy as np
import xarray as xr
from shapely.geometry import Point

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

lon, lat = healpy.pix2ang(16, np.arange(3072), nest=True, lonlat=True)
points = [Point(*place) for place in zip((lon + 180) % 360 - 180, lat, strict=True)]
frame = geopandas.GeoDataFrame({"tas": days.tas.isel(time=0).values}, geometry=points, crs=4326)
box = frame.cx[-10:40, 35:70]
print(f"{len(box)} cells of Europe, {box.tas.mean():.1f} K")
