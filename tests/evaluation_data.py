"""Made simulations for the tests of the evaluation: analytic fields with a year, a day and weather."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from xr_cbottle.grid import healpix

UNITS = {
    "tas": "K", "ts": "K", "pr": "kg m-2 s-1", "rlut": "W m-2", "rsds": "W m-2", "psl": "Pa", "uas": "m s-1", "ta": "K",
    "ua": "m s-1", "zg": "m", "prw": "kg m-2",
}  # fmt: skip
LEVELS = (50000, 85000)


def times(start: str = "1981-01-01", days: int = 365, hours: int = 6) -> np.ndarray:
    """Regular times."""
    count = days * 24 // hours
    return np.datetime64(start, "ns") + np.arange(count) * np.timedelta64(hours, "h")


def weather(when: np.ndarray, zoom: int, seed: int) -> np.ndarray:
    """(time, cell) noise of variance one with large patterns: random harmonics of low degree, another each time."""
    lon, lat = (np.deg2rad(a) for a in healpix.lonlat(zoom))
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    shapes = np.stack([x, y, z, x * y, y * z, x * z, x**2 - y**2, 3 * z**2 - 1, x**3, y**3, z**3, x * y * z])
    shapes /= np.sqrt((shapes**2).mean(1, keepdims=True))
    rng = np.random.default_rng(seed)
    small = rng.standard_normal((len(when), healpix.n_cells(zoom)))
    return rng.standard_normal((len(when), len(shapes))) @ shapes / np.sqrt(2 * len(shapes)) + small / np.sqrt(2)


def field(name: str, when: np.ndarray, zoom: int = 2, seed: int = 0) -> xr.DataArray:
    """(time, cell) of a variable without levels."""
    lon, lat = healpix.lonlat(zoom)
    day = (when - when.astype("datetime64[Y]")) / np.timedelta64(1, "D")
    hour = ((when - when.astype("datetime64[D]")) / np.timedelta64(1, "h"))[:, None]
    season = np.cos(2 * np.pi * (day - 200) / 365.25)[:, None] * np.sin(np.deg2rad(lat))
    sun = np.cos(2 * np.pi * (hour + lon / 15 - 12) / 24)
    warm = 30 * np.cos(np.deg2rad(lat)) ** 2
    noise = weather(when, zoom, seed)
    values = {
        "tas": 262 + warm + 10 * season + 3 * sun + 2 * noise,
        "ts": 263 + warm + 10 * season + noise,
        "pr": 2e-5 * np.exp(0.6 * noise) * (1 + warm / 30 + 0.8 * season),
        "rlut": 200 + warm + 12 * season + 8 * noise,
        "rsds": np.maximum(0, sun) * 600 * np.cos(np.deg2rad(lat)) + 10 + noise,
        "psl": 101000 + 600 * np.sin(2 * np.deg2rad(lat)) - 400 * season + 500 * noise,
        "uas": 6 * np.sin(3 * np.deg2rad(lat)) + 2 * season + 2 * noise,
        "prw": 3 + warm + 6 * season + 2 * noise,
    }[name]
    return xr.DataArray(values.astype(np.float32), {"time": when}, ("time", "cell"), name, {"units": UNITS[name]})


def dataset(names: tuple[str, ...], when: np.ndarray, zoom: int = 2, seed: int = 0) -> xr.Dataset:
    """A simulation of some variables, those on levels included."""
    data = {}
    for i, name in enumerate(names):
        if name in ("ta", "ua", "zg"):
            base = field("uas" if name == "ua" else "tas", when, zoom, seed + 100 + i)
            levels = [0.5 * base if name == "ua" else base * (20 if name == "zg" else 1) - 10 * k for k in (1, 0)]
            data[name] = xr.concat(levels, xr.DataArray(list(LEVELS), dims="pressure", name="pressure"))
            data[name] = data[name].transpose("time", "pressure", "cell").assign_attrs(units=UNITS[name])
        else:
            data[name] = field(name, when, zoom, seed + i)
    return xr.Dataset(data)


def write(path: Path, names: tuple[str, ...], when: np.ndarray, zoom: int = 2, seed: int = 0) -> str:
    """A netCDF file of a simulation."""
    made = dataset(names, when, zoom, seed)
    if "pressure" in made.coords:
        made["pressure"].attrs["units"] = "Pa"
    made.to_netcdf(path)
    return str(path)
