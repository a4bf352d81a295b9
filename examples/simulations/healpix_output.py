"""What both simulations share: Gaussian grid to HEALPix cells, model levels to pressure, packed yearly files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import healpy
import numpy as np
import xarray as xr
from scipy.interpolate import RegularGridInterpolator

G, RD = 9.80665, 287.0
LAPSE_RATE = 0.0065  # K m-1, below the lowest model level
LEVELS = (10000, 25000, 50000, 70000, 85000, 100000)  # Pa

# Name: unit, long name, and the step in which values are stored.
VARIABLES = {
    "tas": ("K", "near-surface air temperature", 0.02),
    "ts": ("K", "surface temperature", 0.02),
    "psl": ("Pa", "air pressure at mean sea level", 5.0),
    "uas": ("m s-1", "eastward near-surface wind", 0.02),
    "vas": ("m s-1", "northward near-surface wind", 0.02),
    "ps": ("Pa", "surface air pressure", 5.0),
    "prw": ("kg m-2", "atmosphere mass content of water vapor", 0.02),
    "clwvi": ("kg m-2", "atmosphere mass content of cloud water, liquid only", 1e-4),
    "pr": ("kg m-2 s-1", "precipitation flux", 2e-7),
    "rlut": ("W m-2", "TOA outgoing longwave flux", 0.1),
    "rsut": ("W m-2", "TOA outgoing shortwave flux", 0.1),
    "rsdt": ("W m-2", "TOA incoming shortwave flux", 0.1),
    "rlutcs": ("W m-2", "TOA outgoing longwave flux, clear sky", 0.1),
    "rsutcs": ("W m-2", "TOA outgoing shortwave flux, clear sky", 0.1),
    "rsds": ("W m-2", "surface downwelling shortwave flux", 0.1),
    "rsus": ("W m-2", "surface upwelling shortwave flux", 0.1),
    "rlds": ("W m-2", "surface downwelling longwave flux", 0.1),
    "rlus": ("W m-2", "surface upwelling longwave flux", 0.1),
    "hfls": ("W m-2", "surface upward latent heat flux", 0.1),
    "hfss": ("W m-2", "surface upward sensible heat flux", 0.1),
    "clt": ("1", "cloud area fraction", 0.002),
    "ta": ("K", "air temperature", 0.02),
    "ua": ("m s-1", "eastward wind", 0.05),
    "va": ("m s-1", "northward wind", 0.05),
    "zg": ("m", "geopotential height", 0.5),
    "hus": ("kg kg-1", "specific humidity", 1e-6),
    "wap": ("Pa s-1", "vertical velocity in pressure coordinates", 1e-3),
}
PACKED_VALUES = 64000  # of int16's 65536
# Packed by equal steps the stratosphere would lose it: three digits of each value are kept instead.
BY_DIGITS = ("hus",)


class Regridder:
    """Bilinear interpolation from a Gaussian grid (lat, lon) to the centres of HEALPix cells in NEST order."""

    def __init__(self, lat: np.ndarray, lon: np.ndarray, zoom: int) -> None:
        nside = 2**zoom
        cell_lon, cell_lat = healpy.pix2ang(nside, np.arange(12 * nside**2), nest=True, lonlat=True)
        self.order = np.argsort(lat)
        self.lat = np.asarray(lat)[self.order]
        self.lon = np.concatenate([lon, [lon[0] + 360]])
        # Beyond the last latitude the field goes on unchanged.
        self.points = np.stack([np.clip(cell_lat, self.lat[0], self.lat[-1]), cell_lon % 360], -1)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(..., lat, lon) -> (..., cell) float32."""
        values = np.asarray(values, np.float32)[..., self.order, :]
        values = np.concatenate([values, values[..., :1]], -1)
        columns = np.moveaxis(values.reshape(-1, *values.shape[-2:]), 0, -1)
        cells = RegularGridInterpolator((self.lat, self.lon), columns)(self.points)
        return np.moveaxis(cells, -1, 0).reshape(*values.shape[:-2], -1).astype(np.float32)


def on_levels(field: np.ndarray, pressure: np.ndarray) -> np.ndarray:
    """(time, model level, ...) -> (time, level, ...): linear in log p, constant beyond the first and last level.

    ``pressure`` (Pa) has the shape of ``field`` and increases along the model levels.
    """
    log_p = np.log(pressure)
    out = []
    for level in LEVELS:
        x = np.log(level)
        below = np.clip((log_p < x).sum(1), 1, pressure.shape[1] - 1)[:, None]
        upper, lower = np.take_along_axis(log_p, below - 1, 1), np.take_along_axis(log_p, below, 1)
        weight = np.clip((x - upper) / (lower - upper), 0, 1)
        values = (1 - weight) * np.take_along_axis(field, below - 1, 1) + weight * np.take_along_axis(field, below, 1)
        out.append(values[:, 0])
    return np.stack(out, 1)


def below_ground(
    temperature: np.ndarray, height: np.ndarray, lowest: np.ndarray, pressure: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Temperature and height of the last of `LEVELS` where it lies below the lowest model level.

    Both come (time, level, ...); ``lowest`` (K) and ``pressure`` (Pa) are those of the lowest model level. Below it the
    temperature rises by `LAPSE_RATE`, and the height follows from hydrostatic balance.
    """
    temperature, height = temperature.copy(), height.copy()
    ratio = np.maximum(LEVELS[-1] / pressure, 1.0)
    exponent = RD * LAPSE_RATE / G
    beneath = ratio > 1
    temperature[:, -1] = np.where(beneath, lowest * ratio**exponent, temperature[:, -1])
    height[:, -1] = np.where(beneath, height[:, -1] - lowest / LAPSE_RATE * (ratio**exponent - 1), height[:, -1])
    return temperature, height


def to_dataset(fields: Mapping[str, np.ndarray], times: np.ndarray, to_cells: Regridder) -> xr.Dataset:
    """{name: (time[, pressure], lat, lon)} -> data set on cells, with units and long names."""
    data = {}
    for name, values in fields.items():
        dims = ("time", "pressure", "cell") if values.ndim == 4 else ("time", "cell")
        units, long_name, _ = VARIABLES[name]
        data[name] = (dims, to_cells(values), {"units": units, "long_name": long_name})
    return xr.Dataset(data, {"time": times, "pressure": ("pressure", np.array(LEVELS), {"units": "Pa"})})


def packing(name: str, values: xr.DataArray) -> dict[str, Any]:
    """Encoding of a variable: int16 in steps of `VARIABLES`, or coarser where the range needs it, or by digits."""
    compressed = {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": (1, *values.shape[1:])}
    if name in BY_DIGITS:
        return {"dtype": "float32", "significant_digits": 3, "quantize_mode": "GranularBitRound", **compressed}
    low, high = float(values.min()), float(values.max())
    step = max(VARIABLES[name][2], (high - low) / PACKED_VALUES)
    offset = round((high + low) / 2 / step) * step
    return {"dtype": "int16", "scale_factor": step, "add_offset": offset, "_FillValue": -32768, **compressed}


def write(parts: Sequence[xr.Dataset], path: Path, zoom: int, attrs: Mapping[str, str | float]) -> None:
    """One netCDF file of parts that follow each other in time.

    One variable is put together and written after the other, so that a year is not in memory twice.
    """
    partial = path.with_name(path.name + ".partial")
    attrs = {**attrs, "healpix_nside": 2**zoom, "healpix_order": "nest"}
    for number, name in enumerate(str(name) for name in parts[0].data_vars):
        values = xr.concat([part[name] for part in parts], "time")
        dataset = values.to_dataset().assign_attrs(attrs)
        dataset.to_netcdf(partial, "a" if number else "w", encoding={name: packing(name, values)})
    partial.replace(path)


def write_boundary(
    static: Path, land: np.ndarray, orography: np.ndarray, forcing: Path, sea: xr.Dataset, to_cells: Regridder
) -> None:
    """Land fraction and orography (m), and the monthly ``sst`` (K) and ``icec`` that drive a run, on the cells."""
    fields = {"orog": (orography, "m", "surface_altitude"), "sftlf": (land, "1", "land_area_fraction")}
    data = {
        name: ("cell", to_cells(x), {"units": u, "long_name": text.replace("_", " "), "standard_name": text})
        for name, (x, u, text) in fields.items()
    }
    xr.Dataset(data).to_netcdf(static)
    monthly = {
        name: (("time", "cell"), to_cells(sea[name].transpose("time", "lat", "lon").values), {"units": units})
        for name, units in (("sst", "K"), ("icec", "1"))
    }
    partial = forcing.with_name(forcing.name + ".partial")
    xr.Dataset(monthly, {"time": sea.time.values}, sea.attrs).to_netcdf(
        partial, encoding={name: {"zlib": True, "complevel": 4} for name in monthly}
    )
    partial.replace(forcing)
