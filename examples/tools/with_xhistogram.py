# /// script
# dependencies = ["xr-cbottle", "xhistogram"]
# ///
"""xhistogram: histograms along dimensions."""

import os

import numpy as np
import xarray as xr
from xhistogram.xarray import histogram

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

counts = histogram(days.tas.load(), bins=[np.arange(180, 340, 10)], dim=["cell"])
assert int(counts.isel(time=0).sum()) == 3072
print(f"{counts.shape} counts")
