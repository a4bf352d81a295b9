"""Fields on HEALPix cells of which the diagnostics are known, and lazy ones that must not be read."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from xr_cbottle.grid import healpix

UNITS = {
    "tas": "K", "ts": "K", "psl": "Pa", "pr": "kg m-2 s-1", "rlut": "W m-2", "rsut": "W m-2", "rsds": "W m-2",
    "ta": "K", "hus": "kg kg-1", "zg": "m", "ua": "m s-1", "va": "m s-1",
}  # fmt: skip


def times(count: int = 48, step: str = "1h", start: str = "1990-01-01") -> np.ndarray:
    """(count,) datetime64[ns] at a regular step."""
    return pd.date_range(start, periods=count, freq=step).values


def field(values, stamps=None, name: str = "tas", pressure=None) -> xr.DataArray:
    """A field with units: (time, [pressure], cell), or (cell,) without times."""
    dims = ["cell"]
    coords = {}
    if pressure is not None:
        dims.insert(0, "pressure")
        coords["pressure"] = np.asarray(pressure)
    if stamps is not None:
        dims.insert(0, "time")
        coords["time"] = stamps
    return xr.DataArray(values, coords, dims, name, {"units": UNITS[name], "long_name": name})


def noise(stamps, name: str = "tas", zoom: int = 2, seed: int = 0, mean: float = 0.0) -> xr.DataArray:
    """Independent standard normals plus a mean, float32."""
    values = np.random.default_rng(seed).standard_normal((len(stamps), healpix.n_cells(zoom))) + mean
    return field(values.astype(np.float32), stamps, name)


def radians(zoom: int) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of the cells."""
    lon, lat = healpix.lonlat(zoom)
    return np.deg2rad(lon), np.deg2rad(lat)


def dataset(count: int = 400, step: str = "131h", zoom: int = 2) -> xr.Dataset:
    """Everything that a diagnostic may ask for: six years, all hours of the day, with weather and a season."""
    stamps = times(count, step)
    rng = np.random.default_rng(3)
    lon, lat = radians(zoom)
    year = np.sin(2 * np.pi * np.arange(count)[:, None] * pd.Timedelta(step) / pd.Timedelta("365.2425D"))
    hour = (stamps - stamps.astype("datetime64[D]")) / np.timedelta64(1, "h")
    sun = np.maximum(np.cos(2 * np.pi * hour[:, None] / 24 + lon - np.pi) * np.cos(lat), 0)
    index = rng.standard_normal(count).cumsum()[:, None] * 0.1

    def weather(scale: float) -> np.ndarray:
        return scale * rng.standard_normal((count, lat.size))

    levels = [25000, 50000, 85000]
    ta = np.stack([m + 20 * np.cos(lat) + 3 * year + weather(2) for m in (210, 240, 265)], 1)
    zg = np.stack([m - 300 * np.sin(lat) ** 2 + weather(9) for m in (10500, 5600, 1500)], 1)
    wind = np.stack([10 * np.cos(lat) + weather(5) for _ in levels], 1)
    data = {
        "tas": field(288 + 20 * np.cos(lat) + 5 * year * np.sin(lat) + index + weather(2), stamps, "tas"),
        "ts": field(290 + 15 * np.cos(lat) + index + weather(0.1), stamps, "ts"),
        "psl": field(101325 + index * 100 * np.cos(lon) + weather(300), stamps, "psl"),
        "pr": field(np.maximum(weather(5e-5), 0), stamps, "pr"),
        "rlut": field(240 + 30 * np.cos(lat) + weather(10), stamps, "rlut"),
        "rsut": field(100 * sun + 1, stamps, "rsut"),
        "rsds": field(700 * sun, stamps, "rsds"),
        "ta": field(ta, stamps, "ta", levels),
        "hus": field(np.full_like(ta, 2e-3), stamps, "hus", levels),
        "zg": field(zg, stamps, "zg", levels),
        "ua": field(wind, stamps, "ua", levels),
        "va": field(wind[::-1] / 3, stamps, "va", levels),
    }
    return xr.Dataset({name: part.astype(np.float32) for name, part in data.items()})


def unreadable(ds: xr.Dataset) -> xr.Dataset:
    """The same variables as dask arrays that raise as soon as a block of them is computed."""

    def refuse(block: np.ndarray) -> np.ndarray:
        raise AssertionError("a block was read")

    def lazy(array: xr.DataArray) -> xr.DataArray:
        blocks = da.map_blocks(refuse, da.zeros(array.shape, array.dtype, chunks=(50, *array.shape[1:])),
                               dtype=array.dtype, meta=np.empty((0,) * array.ndim, array.dtype))  # fmt: skip
        return array.copy(data=blocks)

    return xr.Dataset({str(name): lazy(array) for name, array in ds.data_vars.items()})
