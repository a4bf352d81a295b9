# /// script
# dependencies = ["xr-cbottle", "hvplot", "bokeh", "healpy"]
# ///
"""hvplot: plots of series and maps of points."""

import os

import hvplot.xarray  # noqa: F401
import xarray as xr
from holoviews import save

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

plot = days.tas.mean("cell").hvplot.line()
save(plot, "/tmp/xr_cbottle_hvplot.html")
print(f"{type(plot).__name__} saved as HTML")
