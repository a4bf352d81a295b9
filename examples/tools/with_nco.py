# /// script
# dependencies = []
# [tool.needs]
# command = "ncwa"
# ///
"""NCO: operators on a file that was written."""

import os
import subprocess
from pathlib import Path

data = Path(os.environ.get("DATA", "."))

out = "/tmp/xr_cbottle_nco.nc"
subprocess.run(["ncwa", "-O", "-v", "tas", "-a", "cell", str(data / "day.nc"), out], check=True)
said = subprocess.run(["ncdump", "-v", "tas", out], capture_output=True, text=True, check=True).stdout
print("ncwa: " + " ".join(said.rpartition("tas = ")[2].split(";")[0].split()) + " K")
