# /// script
# dependencies = []
# [tool.needs]
# command = "Rscript"
# ///
"""R: ncdf4 on a file that was written."""

import os
import subprocess
from pathlib import Path

data = Path(os.environ.get("DATA", "."))

program = f"library(ncdf4); f <- nc_open('{data / 'day.nc'}'); cat(mean(ncvar_get(f, 'tas')))"
said = subprocess.run(["Rscript", "-e", program], capture_output=True, text=True, check=True).stdout
print(f"mean {float(said):.2f} K")
