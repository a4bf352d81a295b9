# /// script
# dependencies = []
# [tool.needs]
# command = "julia"
# ///
"""Julia: Zarr.jl over HTTP."""

import os

url = os.environ.get("SERVER", "http://127.0.0.1:8000") + "/gcm/P1D_inst_s0_m0_z4.zarr"
raise SystemExit("no Julia")
