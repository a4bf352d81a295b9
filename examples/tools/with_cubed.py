# /// script
# dependencies = ["xr-cbottle", "cubed", "cubed-xarray"]
# ///
"""cubed: arrays with bounded memory."""

import os

import cubed
import cubed_xarray  # noqa: F401
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

spec = cubed.Spec(allowed_mem="1GB")
how = {"chunked_array_type": "cubed", "from_array_kwargs": {"spec": spec}}
one = days[["tas"]].load().chunk({"time": 2}, **how)
print(f"{float(one.tas.mean().compute()):.2f} K by {type(one.tas.data).__module__.partition('.')[0]}")
