# /// script
# dependencies = ["kerchunk", "h5py", "fsspec", "zarr", "xarray"]
# ///
"""kerchunk: references to a file that was written."""

import os
from pathlib import Path

from kerchunk.hdf import SingleHdf5ToZarr

data = Path(os.environ.get("DATA", "."))

references = SingleHdf5ToZarr(str(data / "day.nc")).translate()
print(f"{len(references['refs'])} references")
