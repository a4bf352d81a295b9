# /// script
# dependencies = []
# [tool.needs]
# command = "ncdump"
# ///
"""ncdump: the header of a file that was written."""

import os
import subprocess
from pathlib import Path

data = Path(os.environ.get("DATA", "."))

head = subprocess.run(["ncdump", "-h", str(data / "day.nc")], capture_output=True, text=True, check=True).stdout
assert "healpix_nside = 16 ;" in head
assert ":seed = 0 ;" in head
print(f"{head.count(chr(10))} lines; integers of 32 bits")
