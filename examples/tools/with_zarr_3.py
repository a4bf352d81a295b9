# /// script
# dependencies = ["zarr>=3", "fsspec", "aiohttp", "xarray"]
# ///
"""zarr-3: zarr 3 over HTTP, without this package."""

import os

import xarray as xr

url = os.environ.get("SERVER", "http://127.0.0.1:8000") + "/gcm/P1D_inst_s0_m0_z4.zarr"

day = xr.open_zarr(url, zarr_format=3, chunks=None).tas.sel(time="1990-07-01").load()
print(f"{float(day.mean()):.2f} K")
