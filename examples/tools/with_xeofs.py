# /// script
# dependencies = ["xr-cbottle", "xeofs"]
# ///
"""xeofs: leading patterns."""

import os

import xarray as xr
from xeofs.single import EOF

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

model = EOF(n_modes=2, use_coslat=False)
model.fit(days.psl.load(), dim="time")
print(f"explained: {model.explained_variance_ratio().values.round(2).tolist()}")
