# /// script
# dependencies = ["zarrs", "fsspec", "aiohttp", "xarray"]
# ///
"""zarrs: zarr-python with the codecs of Rust."""

import os

import xarray as xr
import zarr

url = os.environ.get("SERVER", "http://127.0.0.1:8000") + "/gcm/P1D_inst_s0_m0_z4.zarr"

zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
day = xr.open_zarr(url, zarr_format=3, chunks=None).tas.sel(time="1990-07-01").load()
print(f"{float(day.mean()):.2f} K")
