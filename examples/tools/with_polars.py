# /// script
# dependencies = ["xr-cbottle", "polars"]
# ///
"""polars: a table of all values."""

import os

import polars
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

table = polars.from_pandas(days[["tas", "pr"]].isel(time=0).to_dataframe().reset_index()[["cell", "tas", "pr"]])
print(f"{table.height} rows, mean {table['tas'].mean():.2f} K")
