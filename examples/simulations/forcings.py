"""What drives both simulations beside the observed sea: offsets of its temperature, the sea ice to match, and CO2.

An offset is a number of kelvin, a CSV file of years and kelvin, or a netCDF file of a pattern; CO2 is a number of ppmv
or a CSV or netCDF file of years and ppmv.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

FREEZING = 271.35  # K, of sea water
BASE_CO2 = 360.0  # ppmv
ICE_PER_KELVIN = 0.1  # share of a cell's sea that thaws or freezes with a kelvin


def read_series(path: Path) -> pd.Series:
    """Values by year, from a CSV file with the columns year and value or a netCDF file with the dimension year."""
    if path.suffix == ".csv":
        table = pd.read_csv(path, comment="#")
        return pd.Series(table.iloc[:, 1].to_numpy(float), table.iloc[:, 0].to_numpy(float))
    with xr.open_dataset(path) as dataset:
        (name,) = [str(name) for name, values in dataset.data_vars.items() if values.dims == ("year",)]
        return pd.Series(dataset[name].values.astype(float), dataset.year.values.astype(float))


@dataclass(frozen=True)
class Series:
    """A number for each moment: a constant, or interpolated between the middles of years.

    Parameters
    ----------
    text
        A number, or the path of a file that `read_series` reads.
    """

    text: str

    @cached_property
    def values(self) -> pd.Series | float:
        """The constant, or the values by year."""
        try:
            return float(self.text)
        except ValueError:
            return read_series(Path(self.text))

    def at(self, year: int, month: float = 6.5) -> float:
        """Value in the middle of a month; months count from 1, and without one it is the middle of the year."""
        if isinstance(self.values, float):
            return self.values
        years = self.values.index.to_numpy()
        if not years[0] - 1 <= year <= years[-1] + 1:
            raise ValueError(f"{self.text} covers {years[0]:.0f} to {years[-1]:.0f}, not {year}")
        return float(np.interp(year + (month - 0.5) / 12, years + 0.5, self.values.to_numpy()))


@dataclass(frozen=True)
class Offset:
    """What is added to the temperature of the open sea, K.

    Parameters
    ----------
    text
        A number or a file of years and kelvin, for the whole sea; or a netCDF file of one variable with the dimensions
        lat and lon, and, if it changes, month (1 to 12) or time (dates, one a month).
    """

    text: str = "0"

    @cached_property
    def pattern(self) -> xr.DataArray | None:
        """The pattern, without gaps, from -180 to 540 degrees east; None for an offset of the whole sea."""
        if not self.text.endswith(".nc"):
            return None
        with xr.open_dataset(self.text) as dataset:
            names = {"latitude": "lat", "longitude": "lon"}
            dataset = dataset.rename({old: new for old, new in names.items() if old in dataset.variables})
            fields = [values for values in dataset.data_vars.values() if {"lat", "lon"} <= set(values.dims)]
            if not fields:
                return None
            pattern = fields[0].load().fillna(0.0).sortby("lat")
        pattern = pattern.assign_coords(lon=pattern.lon % 360).sortby("lon")
        around = [pattern.assign_coords(lon=pattern.lon + turn) for turn in (-360, 0, 360)]
        return xr.concat(around, "lon")

    @cached_property
    def series(self) -> Series:
        """The offset of the whole sea."""
        return Series(self.text)

    @property
    def name(self) -> str:
        """``uniform``, or the name of the file of the pattern."""
        return "uniform" if self.pattern is None else Path(self.text).name

    def at(self, times: Sequence[tuple[int, int]], lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        """Offset of some (year, month) on a grid, (time, lat, lon)."""
        if self.pattern is None:
            values = np.array([self.series.at(year, month) for year, month in times], np.float32)
            return np.broadcast_to(values[:, None, None], (len(times), len(lat), len(lon)))
        pattern = self.pattern
        if "month" in pattern.dims:
            pattern = pattern.sel(month=[month for _, month in times])
        elif "time" in pattern.dims:
            pattern = pattern.sel(
                time=[np.datetime64(f"{year}-{month:02d}-15") for year, month in times], method="nearest"
            )
        low, high = float(pattern.lat[0]), float(pattern.lat[-1])
        on_grid = pattern.interp(lat=np.clip(lat, low, high), lon=np.asarray(lon) % 360).transpose(..., "lat", "lon")
        return np.broadcast_to(np.asarray(on_grid.values, np.float32), (len(times), len(lat), len(lon)))


def warmer_sea(sst: np.ndarray, ice: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sea surface temperature (K) and ice fraction under an offset (K); all are alike in shape.

    Ice thaws by `ICE_PER_KELVIN` of the sea with each kelvin of warming, and where a colder sea would be below
    freezing, as much of it freezes with each kelvin that is below. The sea between the ice takes the offset by the
    share that is open, and never falls below freezing.
    """
    freezes = np.maximum(FREEZING - (sst + offset), 0) * ICE_PER_KELVIN
    new_ice = np.where(offset > 0, ice - ICE_PER_KELVIN * offset, ice + freezes)
    new_ice = np.where(offset == 0, ice, np.clip(new_ice, 0, 1))
    warmed = sst + offset * (1 - np.clip(new_ice, 0, 1))
    return np.where(offset < 0, np.maximum(warmed, np.minimum(sst, FREEZING)), warmed), new_ice


@dataclass(frozen=True)
class Forcing:
    """What drives a run beside the observed sea.

    Parameters
    ----------
    run
        Name of the run in file names and attributes; empty for the observed sea as it was.
    offset
        Of the sea's temperature.
    co2
        In ppmv; its value in the middle of a year holds for the year.
    """

    run: str = ""
    offset: Offset = field(default_factory=Offset)
    co2: Series = field(default_factory=lambda: Series(str(BASE_CO2)))

    @classmethod
    def of(cls, options: argparse.Namespace) -> Forcing:
        """From the command line: see `add_options`."""
        return cls(options.run, Offset(options.sst_offset), Series(options.co2))

    def file(self, folder: Path, stem: str) -> Path:
        """``stem`` with the name of the run, in a folder."""
        return folder / f"{stem}{'_' * bool(self.run)}{self.run}.nc"

    def attrs(self, year: int, lat: np.ndarray, lon: np.ndarray, sea: np.ndarray) -> dict[str, str | float]:
        """Attributes of a year's file; ``sea`` (lat, lon) is the share of sea, for the mean offset."""
        offset = self.offset.at([(year, month) for month in range(1, 13)], lat, lon).mean(0)
        mean = float(np.average(offset, weights=sea * np.cos(np.deg2rad(lat))[:, None]))
        return {
            "run": self.run or "amip",
            "sst_offset": round(mean, 4),
            "sst_pattern": self.offset.name,
            "co2_ppmv": round(self.co2.at(year), 3),
        }


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command line that both simulations have, beside OUT_DIR FIRST_YEAR N_YEARS."""
    parser.add_argument("out", type=Path)
    parser.add_argument("first_year", type=int)
    parser.add_argument("n_years", type=int)
    parser.add_argument("--first-month", type=int, default=1, choices=range(1, 13), help="of the first year")
    parser.add_argument("--last-month", type=int, default=12, choices=range(1, 13), help="of the last year")
    parser.add_argument("--zoom", type=int, default=4)
    parser.add_argument("--run", default="", help="name of the run in file names and attributes")
    parser.add_argument(
        "--sst-offset", default="0", metavar="K|FILE", help="K, a .csv of years and K, or a .nc of a pattern"
    )
    parser.add_argument("--co2", default=str(BASE_CO2), metavar="PPMV|FILE", help="ppmv, or a .csv or .nc by year")


def missing(paths: dict[int, Path]) -> list[range]:
    """Years in a row whose files are not there yet."""
    blocks: list[range] = []
    for year in sorted(year for year, path in paths.items() if not path.exists()):
        if blocks and blocks[-1].stop == year:
            blocks[-1] = range(blocks[-1].start, year + 1)
        else:
            blocks.append(range(year, year + 1))
    return blocks
