# /// script
# dependencies = []
# [tool.needs]
# command = "gdalinfo"
# ///
"""GDAL: a grid that was written, as a raster."""

import os
import subprocess
from pathlib import Path

data = Path(os.environ.get("DATA", "."))

said = subprocess.run(["gdalinfo", f"NETCDF:{data / 'grid.nc'}:tas"], capture_output=True, text=True, check=True).stdout
print(next(line for line in said.splitlines() if line.startswith("Size is")))
