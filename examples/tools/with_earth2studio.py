# /// script
# dependencies = ["xr-cbottle", "earth2studio"]
# ///
"""earth2studio: a data source of NVIDIA's Earth2Studio."""

import numpy as np
from earth2studio.data import fetch_data

from xr_cbottle.earth2studio import BottleData

source = BottleData("gcm")
values, coords = fetch_data(source, np.array([np.datetime64("1990-07-01")]), np.array(["t2m", "u850"]))
print(f"fetch_data: {tuple(values.shape)} {list(coords)}")
