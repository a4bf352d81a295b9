# /// script
# dependencies = []
# [tool.needs]
# command = "node"
# ///
"""zarrita.js: Zarr over HTTP in JavaScript."""

import os
import subprocess
import tempfile
from pathlib import Path

url = os.environ.get("SERVER", "http://127.0.0.1:8000") + "/gcm/P1D_inst_s0_m0_z4.zarr"

folder = tempfile.mkdtemp()
subprocess.run(["npm", "install", "--silent", "zarrita"], cwd=folder, check=True, capture_output=True)
program = f"""
import * as zarr from "zarrita";
const array = await zarr.open.v3(zarr.root(new zarr.FetchStore("{url}")).resolve("tas"), {{ kind: "array" }});
const {{ data }} = await zarr.get(array, [4199, null]);
console.log(array.shape.join(" x "), (data.reduce((a, b) => a + b, 0) / data.length).toFixed(2), "K");
"""
Path(folder, "read.mjs").write_text(program)
print(subprocess.run(["node", "read.mjs"], cwd=folder, check=True, capture_output=True, text=True).stdout.strip())
