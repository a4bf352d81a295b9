# /// script
# dependencies = ["xr-cbottle", "distributed"]
# ///
"""distributed: workers in processes of their own."""

import os

import xarray as xr
from dask.distributed import Client

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

if __name__ == "__main__":
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=None):
        lazy = xr.open_dataset("gcm", engine="cbottle", time="P1D", chunks={}, cache_dir=os.environ.get("INSTANTS"))
        mean = lazy.tas.sel(time=slice("1990-07-01", "1990-07-04")).mean().compute()
    print(f"{float(mean):.2f} K from a worker")
