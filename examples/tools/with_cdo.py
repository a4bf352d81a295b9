# /// script
# dependencies = []
# [tool.needs]
# command = "cdo"
# ///
"""CDO: operators and remapping of a file that was written."""

import os
import subprocess
from pathlib import Path

data = Path(os.environ.get("DATA", "."))


def cdo(*words):
    return subprocess.run(["cdo", "-s", *words], capture_output=True, text=True, check=True).stdout.split()


source = ["-selname,tas", str(data / "day.nc")]
mean = float(cdo("outputf,%.2f", "-fldmean", *source)[0])
mapped = float(cdo("outputf,%.2f", "-fldmean", "-remapnn,r72x36", *source)[0])
assert abs(mean - mapped) < 1
print(f"fldmean {mean} K, after remapnn to r72x36 {mapped} K")
