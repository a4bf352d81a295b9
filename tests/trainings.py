"""A made data set of two labels, and the smallest run on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xr_cbottle.grid import healpix

ZOOM = 2
CELLS = healpix.n_cells(ZOOM)
N = 40
STEPS = np.arange(N) * np.timedelta64(6, "h")


def simulation(seed: int, zoom: int = ZOOM) -> xr.Dataset:
    """Fields with a mean pattern, an annual cycle and noise, 6-hourly."""
    rng = np.random.default_rng(seed)
    _, lat = healpix.lonlat(zoom)
    times = np.datetime64("2000-01-01", "ns") + STEPS
    tas = 288 - 40 * np.sin(np.deg2rad(lat)) ** 2 + rng.standard_normal((N, 1)) + rng.standard_normal((N, lat.size))
    zg = 5000 + 100 * rng.standard_normal((N, 2, lat.size))
    return xr.Dataset(
        {"tas": (("time", "cell"), tas), "zg": (("time", "pressure", "cell"), zg)},
        {"time": times, "pressure": [50000, 85000]},
    )


def write(folder: Path) -> Path:
    """Files of both labels, SST and land in a folder."""
    simulation(0).to_netcdf(folder / "a.nc")
    simulation(1, ZOOM + 1)[["tas"]].to_netcdf(folder / "b.nc")
    times = np.array(["1999-12-15", "2000-01-15", "2000-02-15"], "datetime64[ns]")
    sst = xr.DataArray(
        np.linspace(272, 303, 3 * CELLS).reshape(3, CELLS), {"time": times}, ("time", "cell"), name="sst"
    )
    sst.to_netcdf(folder / "sst.nc")
    xr.DataArray(np.arange(CELLS) % 3 / 2, dims="cell", name="sftlf").to_netcdf(folder / "land.nc")
    return folder


def values(folder: Path) -> dict[str, Any]:
    """A configuration of those files."""
    return {
        "data": {
            "zoom": ZOOM,
            "channels": ["tas", "Z500", "Z850"],
            "cache": str(folder / "cache"),
            "sst": {"path": str(folder / "sst.nc"), "land_path": str(folder / "land.nc")},
            "sources": [
                {
                    "label": "a", "files": [str(folder / "a.n?")], "start": "2000-01-01", "end": "2000-02-01",
                    "validation_start": "2000-01-10", "time_jitter_hours": 3,
                },
                {
                    "label": "b", "files": str(folder / "b.nc"), "start": "2000-01-02", "end": "2000-01-03",
                    "missing": ["Z500", "Z850"],
                },
            ],
        },
        "network": {"model_channels": 8, "channel_mult": [1, 1], "num_blocks": 1, "attn_resolutions": [2]},
        "training": {
            "total_images": 96, "batch_size": 4, "lr": "3e-3", "warmup_images": 8, "log_images": 16,
            "validate_images": 32, "coarse_weight": 0.25, "ema_images": 16,
        },
        "bottle": {
            "name": "made", "title": "made", "summary": "made", "licence": "CC0-1.0", "source": "made",
            "start": "2000-01-01", "end": "2000-01-31T23:00",
        },
    }  # fmt: skip
