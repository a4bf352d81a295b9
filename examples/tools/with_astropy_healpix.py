# /// script
# dependencies = ["xr-cbottle", "astropy-healpix"]
# ///
"""astropy-healpix: cells within a cone."""

import os

import astropy.units as u
import xarray as xr
from astropy_healpix import HEALPix

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

grid = HEALPix(nside=16, order="nested")
near = grid.cone_search_lonlat(10 * u.deg, 53.5 * u.deg, radius=8 * u.deg)
print(f"{len(near)} cells around Hamburg, {float(days.tas.isel(time=0, cell=near).mean()):.1f} K")
