# /// script
# dependencies = ["xr-cbottle", "xdggs"]
# ///
"""xdggs: the grid as an index of xarray."""

import os

import xarray as xr
import xdggs

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

cells = xdggs.decode(days)
centres = cells.dggs.cell_centers()
point = cells.tas.isel(time=0).dggs.sel_latlon(53.5, 10.0)
assert centres.latitude.size == 3072
print(f"Hamburg: {float(point.values.squeeze()):.1f} K")
