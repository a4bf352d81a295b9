# /// script
# dependencies = ["xr-cbottle", "xesmf"]
# ///
"""xesmf: conservative regridding of a grid by ESMF."""

import os

import xarray as xr

import xr_cbottle

try:
    import xesmf
except ModuleNotFoundError as error:
    raise SystemExit(f"it needs {error.name}, which is on conda-forge and not on PyPI") from None

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
grid = xr_cbottle.to_latlon(ds.tas.sel(time="1990-07-01"), 2.0).load()
coarse = xesmf.Regridder(grid, xesmf.util.grid_global(10, 10), "conservative")(grid)
print(f"{coarse.shape}: {float(coarse.mean()):.1f} K")
