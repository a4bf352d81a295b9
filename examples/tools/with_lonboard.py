# /// script
# dependencies = ["xr-cbottle", "lonboard", "xdggs"]
# ///
"""lonboard: cells as polygons on a map in the browser."""

import os

import xarray as xr
import xdggs

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

layer = xdggs.decode(days[["tas"]].isel(time=0)).tas.dggs.explore()
print(f"{type(layer).__name__} of {type(layer.layers[0] if hasattr(layer, 'layers') else layer).__name__}")
