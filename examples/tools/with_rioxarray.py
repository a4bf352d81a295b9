# /// script
# dependencies = ["xr-cbottle", "rioxarray"]
# ///
"""rioxarray: a GeoTIFF of a field."""

import os

import rioxarray
import xarray as xr

import xr_cbottle

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

grid = xr_cbottle.to_latlon(days.tas.isel(time=0), 2.0).load().rename(lat="y", lon="x").isel(y=slice(None, None, -1))
grid.rio.write_crs("EPSG:4326").rio.to_raster("/tmp/xr_cbottle.tif")
back = rioxarray.open_rasterio("/tmp/xr_cbottle.tif")
print(f"a GeoTIFF of {back.shape}, {float(back.mean()):.1f} K")
