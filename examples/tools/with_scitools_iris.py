# /// script
# dependencies = ["xr-cbottle", "scitools-iris", "ncdata"]
# ///
"""scitools-iris: cubes of CF data."""

import os

import xarray as xr
from ncdata.iris_xarray import cubes_from_xarray

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

cubes = cubes_from_xarray(days[["tas", "pr"]].isel(time=slice(0, 2)).load())
(tas,) = cubes.extract("air_temperature")
print(f"{tas.summary(shorten=True)}")
