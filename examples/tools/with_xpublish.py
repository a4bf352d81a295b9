# /// script
# dependencies = ["xr-cbottle", "xpublish", "httpx"]
# ///
"""xpublish: a REST server of the data set."""

import os

import xarray as xr
import xpublish
from fastapi.testclient import TestClient

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))

client = TestClient(xpublish.Rest({"gcm": days[["tas"]].chunk({"time": 1})}).app)
said = client.get("/datasets/gcm/info").json()
assert said["dimensions"]["cell"] == 3072
keys = client.get("/datasets/gcm/keys").json()
assert "tas" in keys  # and its coordinates
print(f"info, and {len(keys)} keys, over HTTP")
