# /// script
# dependencies = ["xr-cbottle", "uxarray"]
# ///
"""uxarray: an unstructured mesh of the cells."""

import os

import uxarray as ux
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

mesh = ux.UxDataset.from_healpix(days.isel(time=0))
assert mesh.uxgrid.n_face == 3072
zonal = mesh.tas.zonal_mean(lat=(-60, 60, 30))
print(f"zonal means: {zonal.values.round(1).tolist()} K")
