"""Opening data that are stored in files: netCDF or Zarr, by path or URL, and tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def open_data(path: str) -> xr.Dataset:
    """A netCDF file, or a Zarr store or URL, lazily and without dask.

    Raises
    ------
    ValueError
        If it cannot be read, in one sentence.
    """
    import xarray as xr

    is_zarr = path.rstrip("/").endswith(".zarr") or os.path.isdir(path) or "://" in path
    try:
        # By name: xarray would guess that a bottle is to be drawn.
        return xr.open_zarr(path, chunks=None) if is_zarr else xr.open_dataset(path, engine="netcdf4")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} cannot be read as {'zarr' if is_zarr else 'netCDF'} ({reason})") from None


def open_table(path: str) -> pd.DataFrame | xr.Dataset:
    """A table of text whose columns are parted by commas, if its name ends in ``.csv``; else what `open_data` gives.

    Raises
    ------
    ValueError
        If it cannot be read, in one sentence.
    """
    if not path.lower().endswith((".csv", ".csv.gz")):
        return open_data(path)
    import pandas as pd

    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} cannot be read as a table ({reason})") from None
