"""Simulate the atmosphere with JCM (SPEEDY physics, L8) under observed SSTs and write HEALPix output.

    pip install jcm==3.0.0 healpy netcdf4 scipy
    python simulate_jcm.py OUT_DIR FIRST_YEAR N_YEARS [--stride-hours 6] [--zoom 4] [--truncation 31]

Two to eight minutes a simulated year at T31 on one core. Writes OUT_DIR/jcm_YYYY.nc: variables (time, cell) and
(time, pressure, cell), NEST order, packed to int16; OUT_DIR/jcm_static.nc (orog, sftlf); and OUT_DIR/sst_forcing.nc
(the monthly SST and sea ice that drove the run, K and 1, on the same cells). The boundary data (climatology,
observed monthly SST anomalies 1979-2013) come with the jcm package.
JCM's insolation is a daily mean: there is no diurnal cycle. Its sea-level pressure is about 17 hPa high.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jcm
import numpy as np
import pandas as pd
import xarray as xr
from healpix_output import Regridder, on_levels, to_dataset, write
from jcm import configurations
from jcm.forcing import ForcingData

G, RD, P0 = 9.80665, 287.0, 1.0e5
LAPSE_RATE = 0.0065  # K m-1, below the lowest level
HALF_LEVELS = np.array([0, 0.05, 0.14, 0.26, 0.42, 0.6, 0.77, 0.9, 1.0], np.float32)  # SPEEDY's sigma, top first
FREEZING, WARMEST, LARGEST_ANOMALY = 271.35, 306.0, 6.0
DAYS_AT_A_TIME = 15
SOURCE = "JCM 3.0.0, SPEEDY physics, T{truncation} L8, observed monthly SST"
BOUNDARY = Path(jcm.__file__).parent / "data/bc"
#: Terrain and climatology of the boundary by truncation, and the time step in minutes.
RESOLUTIONS = {
    31: ("t30/clim/terrain.nc", "t30/clim/forcing.nc", 30),
    63: ("t63/terrain.nc", "t63/forcing.nc", 15),
}


def variables(output: xr.Dataset) -> dict[str, np.ndarray]:
    """JCM's output as {name: (time[, pressure], lat, lon)} in the units of healpix_output.VARIABLES."""
    output = output.isel(level=slice(None, None, -1)).transpose("time", "level", "lat", "lon", ...)

    def get(name: str) -> np.ndarray:
        return np.asarray(output[name].values, np.float32)

    sigma = np.asarray((output.hybrid_b_full if "hybrid_b_full" in output.coords else output.level).values, np.float32)
    assert sigma[0] < sigma[-1], "levels must start at the top"
    temperature, humidity, geopotential = get("temperature"), get("specific_humidity"), get("geopotential")
    surface_pressure = get("normalized_surface_pressure") * P0
    pressure = surface_pressure[:, None] * sigma[None, :, None, None]
    height = geopotential[:, -1] / G
    mean_temperature = temperature[:, -1] + 0.5 * LAPSE_RATE * height
    layers = np.diff(HALF_LEVELS)[None, :, None, None]
    return {
        "tas": get("surface_flux.t0"),
        "ts": get("surface_flux.tsfc"),
        "psl": pressure[:, -1] * np.exp(G * height / (RD * mean_temperature)),
        "uas": get("surface_flux.u0"),
        "vas": get("surface_flux.v0"),
        "prw": (humidity * layers).sum(1) * surface_pressure / G,
        "pr": get("surface_exchange.precipitation"),
        "rlut": get("longwave_rad.ftop"),
        "rsut": get("shortwave_rad.fsol") - get("shortwave_rad.ftop"),
        "rsds": get("shortwave_rad.rsds"),
        "clt": get("shortwave_rad.cloudc"),
        "ta": on_levels(temperature, pressure),
        "ua": on_levels(get("u_wind"), pressure),
        "va": on_levels(get("v_wind"), pressure),
        "zg": on_levels(geopotential, pressure) / G,
        "hus": on_levels(humidity, pressure),
    }


def boundary_conditions(truncation: int = 31) -> xr.Dataset:
    """The climatology repeated over 1979-2013, plus the observed SST anomaly over open sea."""
    climatology = xr.open_dataset(BOUNDARY / RESOLUTIONS[truncation][1], decode_times=False)
    anomaly = xr.open_dataset(BOUNDARY / "t30/anom/sea_surface_temperature_anomaly.nc").ssta
    anomaly = anomaly.sortby("lat").transpose("lon", "lat", "time").clip(-LARGEST_ANOMALY, LARGEST_ANOMALY).fillna(0.0)
    if truncation != 31:
        around = xr.concat([anomaly, anomaly.isel(lon=[0]).assign_coords(lon=[360.0])], "lon")
        anomaly = around.interp(lon=climatology.lon, lat=climatology.lat, kwargs={"fill_value": "extrapolate"})
        anomaly = anomaly.transpose("lon", "lat", "time").clip(-LARGEST_ANOMALY, LARGEST_ANOMALY)
    month = anomaly.time.dt.month.values - 1
    monthly = ("sst", "icec", "stl", "soilw_am", "snowc")
    fields = {name: climatology[name].transpose("lon", "lat", "time").values for name in monthly}
    forcing = xr.Dataset(
        {name: (("lon", "lat", "time"), values[:, :, month].astype(np.float32)) for name, values in fields.items()},
        {
            "lon": climatology.lon.values,
            "lat": climatology.lat.values,
            "time": pd.DatetimeIndex(anomaly.time.values) + pd.Timedelta(days=14),
        },
    )
    forcing["alb"] = (("lon", "lat"), climatology.alb.transpose("lon", "lat").values)
    open_sea = 1 - np.clip(forcing.icec.values, 0, 1)
    forcing["sst"] = (forcing.sst + anomaly.values * open_sea).clip(FREEZING, WARMEST)
    return forcing


def write_static(out: Path, truncation: int, forcing: xr.Dataset, to_cells: Regridder) -> None:
    """Orography and land fraction, and the monthly forcing, on the cells."""
    terrain = xr.open_dataset(BOUNDARY / RESOLUTIONS[truncation][0]).transpose("lon", "lat", ...)
    static = {
        name: ("cell", to_cells(terrain[key].values.T), {"units": units})
        for name, key, units in (("orog", "orog", "m"), ("sftlf", "lsm", "1"))
    }
    xr.Dataset(static).to_netcdf(out / "jcm_static.nc")
    monthly = {
        name: (("time", "cell"), to_cells(forcing[name].transpose("time", "lat", "lon").values), {"units": units})
        for name, units in (("sst", "K"), ("icec", "1"))
    }
    xr.Dataset(monthly, {"time": forcing.time.values}).to_netcdf(out / "sst_forcing.nc")


def simulate(
    out: Path,
    first: pd.Timestamp,
    end: pd.Timestamp,
    *,
    stride_hours: int = 6,
    zoom: int = 4,
    spinup_days: int = 270,
    truncation: int = 31,
    say: Callable[[str], Any] = print,
) -> None:
    """Run from ``first`` (1 January) to ``end``, after a spin-up from rest, and write a file a year."""
    out.mkdir(parents=True, exist_ok=True)
    terrain, _, minutes = RESOLUTIONS[truncation]
    loaded = configurations.load("speedy-t31", **{
        "grid.spectral_truncation": truncation,
        "terrain.file": str(BOUNDARY / terrain), "terrain.interpolate": False,
        "forcing.file": str(BOUNDARY / "t63/forcing.nc"), "run.time_step": minutes, "run.save_interval": 0.25,
        "run.start_time": str((first - pd.Timedelta(days=spinup_days)).date()), "run.total_time": 1,
    })  # fmt: skip
    model, arguments = loaded.model, dict(loaded.run_kwargs)
    forcing = boundary_conditions(truncation)
    to_cells = Regridder(forcing.lat.values, forcing.lon.values, zoom)
    write_static(out, truncation, forcing, to_cells)

    def forcing_of(year: int) -> ForcingData:
        # Always 26 months: one shape, one compilation; the spin-up of the first year has its own seasons.
        window = forcing.sel(time=slice(f"{year - 1}-01", f"{year + 1}-02"))
        return ForcingData.from_dataset(
            window, coords=model.coords, align_mode="by_date_interp", validate=False, persist="hold"
        )

    began = time.time()
    arguments.update(
        forcing=forcing_of(first.year), save_interval=float(spinup_days), total_time=float(spinup_days), end_time=None
    )
    model.run(**arguments)
    say(f"spin-up {time.time() - began:.0f} s")
    now, parts = first, []
    while now < end:
        if (now.month, now.day) == (1, 1):
            forced = forcing_of(now.year)
        new_year = pd.Timestamp(f"{now.year + 1}-01-01")
        days = min(DAYS_AT_A_TIME, (min(new_year, end) - now).days)
        output = model.resume(forcing=forced, save_interval=0.25, total_time=float(days)).to_xarray()
        hours = (output.time.values.astype("datetime64[h]") - np.datetime64("1970-01-01", "h")).astype(int)
        output = output.isel(time=hours % stride_hours == 0)
        if output.sizes["time"]:
            times = output.time.values.astype("datetime64[s]").astype("datetime64[ns]")
            parts.append(to_dataset(variables(output), times, to_cells))
            say(f"{now:%Y-%m-%d} {time.time() - began:.0f} s")
        year, now = now.year, now + pd.Timedelta(days=days)
        if now.year != year or now >= end:
            write(xr.concat(parts, "time"), out / f"jcm_{year}.nc", SOURCE.format(truncation=truncation), zoom)
            parts = []
            say(f"{year} {time.time() - began:.0f} s")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("first_year", type=int)
    parser.add_argument("n_years", type=int)
    parser.add_argument("--stride-hours", type=int, default=6)
    parser.add_argument("--zoom", type=int, default=4)
    parser.add_argument(
        "--spinup-days", type=int, default=270, help="90 leave the pressure over Antarctica 30 hPa too high until April"
    )
    parser.add_argument("--truncation", type=int, default=31, choices=sorted(RESOLUTIONS))
    parser.add_argument("--months", type=int, help="only the first ones of the last year")
    options = parser.parse_args()
    end = pd.Timestamp(f"{options.first_year + options.n_years}-01-01")
    if options.months:
        end += pd.DateOffset(months=options.months, years=-1)
    warnings.filterwarnings("ignore")
    simulate(
        options.out,
        pd.Timestamp(f"{options.first_year}-01-01"),
        end,
        stride_hours=options.stride_hours,
        zoom=options.zoom,
        spinup_days=options.spinup_days,
        truncation=options.truncation,
        say=lambda text: print(text, flush=True),
    )


if __name__ == "__main__":
    main()
