# /// script
# dependencies = ["obstore", "zarr>=3.1", "xarray"]
# ///
"""obstore: bytes over HTTP by the object store of Rust."""

import os

import xarray as xr
from obstore.store import HTTPStore
from zarr.storage import ObjectStore

url = os.environ.get("SERVER", "http://127.0.0.1:8000") + "/gcm/P1D_inst_s0_m0_z4.zarr"

store = ObjectStore(HTTPStore.from_url(url, client_options={"allow_http": True}), read_only=True)
day = xr.open_zarr(store, zarr_format=3, consolidated=True, chunks=None).tas.sel(time="1990-07-01").load()
print(f"{float(day.mean()):.2f} K")
