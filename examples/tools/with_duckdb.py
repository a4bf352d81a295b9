# /// script
# dependencies = ["xr-cbottle", "duckdb"]
# ///
"""duckdb: SQL on a table of values."""

import os

import duckdb
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

frame = days[["tas"]].to_dataframe().reset_index()[["time", "cell", "tas"]]
warm = duckdb.sql("select count(*) from frame where tas > 300").fetchall()[0][0]
print(f"{warm} values above 300 K by SQL")
