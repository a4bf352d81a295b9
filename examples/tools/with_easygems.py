# /// script
# dependencies = ["xr-cbottle", "easygems", "cartopy", "matplotlib"]
# ///
"""easygems: maps as hackathon notebooks make them."""

import os

import cartopy.crs as ccrs
import easygems.healpix as egh
import matplotlib.pyplot as plt
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

plt.switch_backend("agg")
axes = plt.figure().add_subplot(projection=ccrs.Robinson())
axes.set_global()
egh.healpix_show(days.tas.isel(time=0), ax=axes)
assert egh.get_nside(days) == 16
assert egh.get_nest(days)
print("a map by healpix_show; nside and nest read from crs")
