# /// script
# dependencies = ["virtualizarr", "h5py", "obstore"]
# ///
"""virtualizarr: a virtual Zarr of files that were written."""

import os
from pathlib import Path

from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import HDFParser

data = Path(os.environ.get("DATA", "."))

path = (data / "day.nc").resolve()
registry = ObjectStoreRegistry({"file://": LocalStore()})
virtual = open_virtual_dataset(f"file://{path}", registry=registry, parser=HDFParser())
print(f"{type(virtual.tas.data).__name__} of {virtual.tas.shape}")
