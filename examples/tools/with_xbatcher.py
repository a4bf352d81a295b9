# /// script
# dependencies = ["xr-cbottle", "xbatcher"]
# ///
"""xbatcher: batches for machine learning."""

import os

import xarray as xr
import xbatcher

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

batches = xbatcher.BatchGenerator(days[["tas", "pr"]], input_dims={"time": 2, "cell": 3072})
shapes = [dict(batch.sizes) for batch in batches]
assert len(shapes) == 2
print(f"{len(shapes)} batches of {shapes[0]}")
