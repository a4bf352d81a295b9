# /// script
# dependencies = ["xr-cbottle", "xskillscore"]
# ///
"""xskillscore: scores of an ensemble."""

import os

import xarray as xr
import xskillscore as xs

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

members = xr.open_dataset("gcm", engine="cbottle", time="P1D", members=4, cache_dir=os.environ.get("INSTANTS"))
ensemble = members.tas.sel(time="1990-07-01").load()
score = xs.crps_ensemble(ensemble.isel(member=0), ensemble.isel(member=slice(1, None)), dim="cell")
print(f"CRPS {float(score):.2f} K of three members against the fourth")
