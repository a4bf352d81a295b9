# /// script
# dependencies = ["xr-cbottle", "xarray-sql"]
# ///
"""xarray-sql: SQL on the data set."""

import os

import xarray as xr
import xarray_sql

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

context = xarray_sql.XarrayContext()
context.from_dataset("days", days[["tas"]].drop_vars(["crs", "cell_ids"]).load().chunk({"time": 2}))
said = context.sql("select avg(tas) from days").to_pandas()
print(f"{float(said.iloc[0, 0]):.2f} K by SQL")
