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
said = subprocess.run(command, capture_output=True, text=True).stdout
errors = [line for line in said.partition("Errors")[2].partition("Warnings")[0].splitlines() if line.startswith("* ")]
assert "Report generated" in said, said
assert not errors, errors
print(f"no errors, {said.partition('Warnings')[2].count(chr(10) + '* ')} warnings")
