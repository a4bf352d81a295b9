# /// script
# dependencies = ["xr-cbottle", "icechunk"]
# ///
"""icechunk: versions of a store that was drawn."""

import os
import tempfile

import icechunk
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))


repository = icechunk.Repository.create(icechunk.local_filesystem_storage(tempfile.mkdtemp()))
session = repository.writable_session("main")
days[["tas"]].load().to_zarr(session.store, consolidated=False)
commit = session.commit("four days")
back = xr.open_zarr(repository.readonly_session("main").store, consolidated=False)
print(f"commit {str(commit)[:8]}, read again: {float(back.tas.mean()):.2f} K")
