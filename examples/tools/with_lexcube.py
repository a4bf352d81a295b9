# /// script
# dependencies = ["xr-cbottle", "lexcube"]
# ///
"""lexcube: a cube to turn in a notebook."""

import os

import lexcube
import xarray as xr

import xr_cbottle

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

grid = xr_cbottle.to_latlon(days.tas, 5.0).load()
cube = lexcube.Cube3DWidget(grid)
print(f"{type(cube).__name__} of {grid.shape}")
