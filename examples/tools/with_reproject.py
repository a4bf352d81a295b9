# /// script
# dependencies = ["xr-cbottle", "reproject", "astropy-healpix"]
# ///
"""reproject: from cells to an image of the sky."""

import os

import xarray as xr
from astropy.wcs import WCS
from reproject import reproject_from_healpix

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

wcs = WCS(naxis=2)
wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt, wcs.wcs.crpix = ["RA---CAR", "DEC--CAR"], [180, 0], [-5, 5], [36.5, 18.5]
field = days.tas.isel(time=0).values.astype(float)
image, seen = reproject_from_healpix((field, "icrs"), wcs.to_header(), shape_out=(36, 72), nested=True)
assert seen.mean() > 0.99
print(f"an image of {image.shape} pixels, mean {image[seen > 0].mean():.1f} K")
