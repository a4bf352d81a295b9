# /// script
# dependencies = ["xr-cbottle", "intake>=2", "intake-xarray<2"]
# ///
"""intake: an entry of a catalog, intake 2."""

import intake

import xr_cbottle.catalog

day = intake.open_catalog(xr_cbottle.catalog.MAIN)["gcm"](time="P1D", zoom=3).to_dask()
print(f"{intake.__version__}: {dict(day.sizes)}")
