# /// script
# dependencies = ["compliance-checker"]
# ///
"""compliance-checker: CF compliance of a file that was written."""

import os
import subprocess
import sys
from pathlib import Path

data = Path(os.environ.get("DATA", "."))

checker = Path(sys.executable).with_name("cchecker.py")
command = [sys.executable, str(checker), "-t", "cf:1.11", str(data / "grid.nc")]
said = subprocess.run(command, capture_output=True, text=True).stdout.strip().splitlines()
print(" ".join(said[-3:]))
