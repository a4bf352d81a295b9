# /// script
# dependencies = ["xr-cbottle", "matplotlib"]
# ///
"""matplotlib: a map without a projection library."""

import os

import matplotlib.pyplot as plt
import xarray as xr

import xr_cbottle.plot

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

plt.switch_backend("agg")
figure = xr_cbottle.plot.map(days.tas.isel(time=0)).figure
figure.savefig("/tmp/xr_cbottle_map.png")
print("a map by xr_cbottle.plot")
