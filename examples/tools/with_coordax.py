# /// script
# dependencies = ["xr-cbottle", "coordax", "chex", "jax"]
# ///
"""coordax: labelled arrays in JAX."""

import os

import coordax
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

bare = days.tas.isel(time=0, drop=True).load().drop_vars(["crs", "cell_ids"])
field = coordax.from_xarray(bare)
print(f"{type(field).__name__} {field.dims} {field.shape}")
