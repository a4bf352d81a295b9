"""Made fine data for super-resolution, and the smallest runs on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xr_cbottle.grid import healpix

ZOOM, COARSE_ZOOM = 3, 2
CHANNELS = ("tas", "pr")
N = 24


def write(folder: Path) -> Path:
    """12-hourly fields whose detail depends on place and on the coarse field; rain is never below zero."""
    rng = np.random.default_rng(5)
    lon, lat = np.deg2rad(healpix.lonlat(ZOOM))
    wide = rng.standard_normal((N, healpix.n_cells(1))).repeat(4 ** (ZOOM - 1), 1)
    own = 3 * np.sign(np.sin(20 * lon)) + 0.2 * rng.standard_normal(wide.shape)
    tas = 288 - 40 * np.sin(lat) ** 2 + 3 * wide + own
    pr = 3e-5 * np.exp(0.8 * wide + 0.7 * rng.standard_normal((N, lat.size)))
    times = np.datetime64("2000-01-15", "ns") + np.arange(N) * np.timedelta64(12, "h")
    fields = {"tas": (("time", "cell"), tas, {"units": "K"}), "pr": (("time", "cell"), pr, {"units": "kg m-2 s-1"})}
    xr.Dataset(fields, {"time": times}).to_netcdf(folder / "fine.nc")
    return folder


def values(folder: Path) -> dict[str, Any]:
    """A configuration of super-resolution of those."""
    return {
        "superres": {
            "zoom": ZOOM, "coarse_zoom": COARSE_ZOOM, "patch": 8, "overlap": 4, "channels": list(CHANNELS),
            "offset": {"tas": 0.5}, "cache": str(folder / "cache"),
            "sources": [
                {
                    "label": "made", "files": str(folder / "fine.nc"), "start": "2000-01-01", "end": "2000-03-01",
                    "validation_days": "22-23",
                }
            ],
        },
        "network": {"model_channels": 8, "channel_mult": [1, 1], "position_embed_channels": 8},
        "training": {
            "total_images": 96, "batch_size": 8, "loaders": 1, "lr": 3e-3, "warmup_images": 8, "log_images": 16,
            "validate_images": 48, "ema_images": 16, "sigma_max": 40, "sigma_focus": 0.5,
        },
        "part": {"num_steps": 3, "weights": "last", "dtype": "float32"},
    }  # fmt: skip


def distillation(run: Path) -> dict[str, Any]:
    """A configuration of its distillation."""
    return {
        "distil": {"run": str(run), "sigmas": [40, 2, 0.3], "steps": 2},
        "training": {
            "total_images": 48, "batch_size": 8, "loaders": 1, "lr": 3e-3, "warmup_images": 8, "log_images": 16,
            "validate_images": 48, "ema_images": 16,
        },
        "part": {"weights": "last", "dtype": "float32"},
    }  # fmt: skip
