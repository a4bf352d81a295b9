# /// script
# dependencies = ["zarr<3", "numcodecs<0.16", "fsspec", "aiohttp", "xarray<2025.5"]
# ///
"""zarr-2: zarr 2 over HTTP, without this package."""

import os

import fsspec
import xarray as xr

url = os.environ.get("SERVER", "http://127.0.0.1:8000") + "/gcm/P1D_inst_s0_m0_z4.zarr"

day = xr.open_zarr(fsspec.get_mapper(url), consolidated=True, chunks=None).tas.sel(time="1990-07-01").load()
print(f"{float(day.mean()):.2f} K")
