# /// script
# dependencies = ["xrlint", "xarray", "netcdf4"]
# ///
"""xrlint: a linter of data sets."""

import os
from pathlib import Path

import xarray as xr
import xrlint.all as xrl

data = Path(os.environ.get("DATA", "."))

result = xrl.new_linter("recommended").validate(xr.open_dataset(data / "day.nc"))
print(f"{result.error_count} errors, {result.warning_count} warnings")
