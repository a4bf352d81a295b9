# /// script
# dependencies = ["tensorstore"]
# ///
"""tensorstore: reads over HTTP by Google's library."""

import os

import tensorstore as ts

url = os.environ.get("SERVER", "http://127.0.0.1:8000") + "/gcm/P1D_inst_s0_m0_z4.zarr"

array = ts.open({"driver": "zarr3", "kvstore": {"driver": "http", "base_url": url + "/tas/"}}).result()
index = 4199  # 1990-07-01
print(f"{array.shape}: {float(array[index].read().result().mean()):.2f} K")
