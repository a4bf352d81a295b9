# /// script
# dependencies = ["xr-cbottle", "pint-xarray", "cf_xarray"]
# ///
"""pint-xarray: units that are kept and converted."""

import os

import cf_xarray.units  # noqa: F401
import pint_xarray  # noqa: F401
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

fields = days[["tas", "psl"]].isel(time=0).load().drop_vars(["crs", "cell", "time"])
celsius = fields.pint.quantify().pint.to({"tas": "degC", "psl": "hPa"})
print(f"{celsius.tas.pint.dequantify().mean().values:.2f} degC, {celsius.psl.pint.dequantify().mean().values:.1f} hPa")
