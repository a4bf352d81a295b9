# /// script
# dependencies = ["xr-cbottle", "metpy"]
# ///
"""metpy: meteorology with units."""

import os

import metpy.calc
import metpy.xarray
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

levels = days[["ta", "hus"]].isel(time=0, cell=slice(0, 64)).load()
theta = metpy.calc.potential_temperature(levels.pressure, levels.ta)
speed = metpy.calc.wind_speed(days.uas.isel(time=0).load(), days.vas.isel(time=0).load())
means = [float(field.mean().metpy.dequantify()) for field in (theta, speed)]
print(f"potential temperature {means[0]:.1f} K, wind {means[1]:.1f} m/s")
