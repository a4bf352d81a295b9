# /// script
# dependencies = ["xr-cbottle"]
# ///
"""torch: batches of a DataLoader."""

import os

import numpy as np
import torch
import xarray as xr

ds = xr.open_dataset("gcm", engine="cbottle", time="P1D", cache_dir=os.environ.get("INSTANTS"))
days = ds.sel(time=slice("1990-07-01", "1990-07-04"))


class Days(torch.utils.data.Dataset):
    def __len__(self):
        return days.sizes["time"]

    def __getitem__(self, i):
        return torch.from_numpy(np.array(days.tas.isel(time=i)))


shapes = [tuple(batch.shape) for batch in torch.utils.data.DataLoader(Days(), batch_size=2)]
print(f"batches of {shapes}")
