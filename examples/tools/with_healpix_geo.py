# /// script
# dependencies = ["xr-cbottle", "healpix-geo"]
# ///
"""healpix-geo: zones of cells on the ellipsoid."""

import os

import numpy as np
import xarray as xr
from healpix_geo import nested

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

lon, lat = nested.healpix_to_lonlat(days.cell_ids.values.astype(np.uint64), 4, ellipsoid="sphere")
assert abs(float(days.tas.isel(time=0).values[lat > 60].mean()) - 275) < 20
print(f"{(lat > 60).sum()} cells north of 60 degrees")
