# /// script
# dependencies = ["xr-cbottle", "intake==0.7.0", "intake-xarray==0.7.0", "setuptools<81"]
# ///
"""intake-0: an entry of a catalog, intake 0.7."""

import intake

import xr_cbottle.catalog

day = intake.open_catalog(xr_cbottle.catalog.MAIN)["gcm"](time="P1D", zoom=3).to_dask()
print(f"{intake.__version__}: {dict(day.sizes)}")
