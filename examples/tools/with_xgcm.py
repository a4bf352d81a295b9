# /// script
# dependencies = ["xr-cbottle", "xgcm"]
# ///
"""xgcm: other vertical levels."""

import os

import numpy as np
import xarray as xr
from xgcm import Grid

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

column = days.ta.isel(time=0, cell=slice(0, 8)).load()
grid = Grid(column.to_dataset(), coords={"Z": {"center": "pressure"}}, autoparse_metadata=False)
made = grid.transform(column, "Z", np.array([30000.0, 70000.0]), target_data=column.pressure.astype(float))
assert made.sizes["pressure"] == 2
print(f"temperature at 300 and 700 hPa: {made.mean('cell').values.round(1).tolist()} K")
