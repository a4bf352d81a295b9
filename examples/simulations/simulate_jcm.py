"""Simulate the atmosphere with JCM (SPEEDY physics, L8) under observed SSTs and write HEALPix output.

    pip install jcm==3.0.0 healpy netcdf4 scipy
    python simulate_jcm.py OUT_DIR FIRST_YEAR N_YEARS [--sst-offset K|FILE] [--co2 PPMV|FILE] [--run NAME]

Two to eight minutes a simulated year at T31 on one core. Writes OUT_DIR/jcm_YYYY.nc: variables (time, cell) and
(time, pressure, cell), NEST order, packed to int16; OUT_DIR/jcm_static.nc (orog, sftlf); and OUT_DIR/sst_forcing.nc
(the monthly SST and sea ice that drove the run, K and 1, on the same cells). With --run the names are jcm_YYYY_NAME.nc
and sst_forcing_jcm_NAME.nc. Years whose files are there are left out. The boundary data (climatology, observed monthly
SST anomalies 1979-2013) come with the jcm package.
JCM's insolation is a daily mean: there is no diurnal cycle. Its sea-level pressure is about 17 hPa high.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import jcm
import numpy as np
import pandas as pd
import xarray as xr
from forcings import FREEZING, Forcing, add_options, missing, warmer_sea
from healpix_output import LAPSE_RATE, RD, G, Regridder, below_ground, on_levels, to_dataset, write, write_boundary
from jcm import configurations
from jcm.forcing import DEFAULT_CO2_VMR_PPMV, ForcingData
from jcm.model import Model
from jcm.physics_interface import PhysicsState

P0 = 1.0e5
# JCM 3.0.0 takes SPEEDY's absorptivity to be that of 420 ppmv; SPEEDY was tuned to some 360, as JCM's source says too.
CO2_SCALE = DEFAULT_CO2_VMR_PPMV / 360.0
SAVE_HOURS = 6
HALF_LEVELS = np.array([0, 0.05, 0.14, 0.26, 0.42, 0.6, 0.77, 0.9, 1.0], np.float32)  # SPEEDY's sigma, top first
WARMEST, LARGEST_ANOMALY = 306.0, 6.0
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
    on_pressure = on_levels(temperature, pressure), on_levels(geopotential, pressure) / G
    ta, zg = below_ground(*on_pressure, temperature[:, -1], pressure[:, -1])
    return {
        "tas": get("surface_flux.t0"),
        "ts": get("surface_flux.tsfc"),
        "psl": pressure[:, -1] * np.exp(G * height / (RD * mean_temperature)),
        "uas": get("surface_flux.u0"),
        "vas": get("surface_flux.v0"),
        "ps": surface_pressure,
        "prw": (humidity * layers).sum(1) * surface_pressure / G,
        "pr": get("surface_exchange.precipitation"),
        "rlut": get("longwave_rad.ftop"),
        "rsut": get("shortwave_rad.fsol") - get("shortwave_rad.ftop"),
        "rsdt": get("shortwave_rad.fsol"),
        "rlutcs": get("rlutcs"),
        "rsutcs": get("rsutcs"),
        "rsds": get("shortwave_rad.rsds"),
        "rsus": get("shortwave_rad.rsds") - get("shortwave_rad.rsns"),
        "rlds": get("surface_flux.rlds"),
        "rlus": get("surface_flux.rlus"),
        "hfls": get("surface_exchange.latent_heat_flux"),
        "hfss": get("surface_exchange.sensible_heat_flux"),
        "clt": get("shortwave_rad.cloudc"),
        "ta": ta,
        "ua": on_levels(get("u_wind"), pressure),
        "va": on_levels(get("v_wind"), pressure),
        "zg": zg,
        "hus": on_levels(humidity, pressure),
        "wap": on_levels(get("omega"), pressure),
    }


def boundary_conditions(truncation: int, driven: Forcing) -> xr.Dataset:
    """The climatology repeated over 1979-2013, plus the observed SST anomaly and the run's offset over open sea."""
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
    observed = (forcing.sst + anomaly.values * open_sea).clip(FREEZING, WARMEST).transpose("time", "lat", "lon").values
    ice = forcing.icec.transpose("time", "lat", "lon").values
    months = [(time.year, time.month) for time in pd.DatetimeIndex(forcing.time.values)]
    offset = driven.offset.at(months, forcing.lat.values, forcing.lon.values)
    for name, values in zip(("sst", "icec"), warmer_sea(observed, ice, offset), strict=True):
        forcing[name] = (("time", "lat", "lon"), values.astype(np.float32))
    return forcing.transpose("lon", "lat", "time")


STATE = ("u_wind", "v_wind", "temperature", "specific_humidity", "geopotential", "normalized_surface_pressure")


def write_state(model: Model, path: Path) -> None:
    """The atmosphere as it is now, as a netCDF file that another run can start from."""
    state = model.dycore.to_physics_state(model.dycore_state)
    dims = ("level", "lon", "lat")
    fields = {name: np.asarray(getattr(state, name)) for name in STATE}
    partial = path.with_name(path.name + ".partial")
    xr.Dataset({name: (dims[-x.ndim :], x) for name, x in fields.items()}).to_netcdf(partial)
    partial.replace(path)


def read_state(path: Path) -> PhysicsState:
    """The inverse of `write_state`."""
    with xr.open_dataset(path) as dataset:
        return PhysicsState(**{name: jnp.asarray(dataset[name].values) for name in STATE})


def simulate(
    out: Path,
    first: pd.Timestamp,
    end: pd.Timestamp,
    *,
    driven: Forcing,
    stride_hours: int = 6,
    zoom: int = 4,
    spinup_days: int = 270,
    start: Path | None = None,
    truncation: int = 31,
    say: Callable[[str], Any] = print,
) -> None:
    """Run from ``first`` to ``end``, after a spin-up from rest or from the state ``start``, and write a file a year."""
    out.mkdir(parents=True, exist_ok=True)
    terrain, _, minutes = RESOLUTIONS[truncation]
    terrain_file = xr.open_dataset(BOUNDARY / terrain)
    loaded = configurations.load("speedy-t31", **{
        "grid.spectral_truncation": truncation,
        "terrain.file": str(BOUNDARY / terrain), "terrain.interpolate": False,
        "forcing.file": str(BOUNDARY / "t63/forcing.nc"), "run.time_step": minutes,
        "run.save_interval": SAVE_HOURS / 24,
        "run.start_time": str((first - pd.Timedelta(days=spinup_days)).date()), "run.total_time": 1,
        "+physics.terms.omega._target_": "jcm.physics.diagnostics.omega.OmegaDiagnostic",
        "+physics.terms.clear_sky._target_": "clear_sky.ClearSky",
        "+physics.terms.clear_sky.every": SAVE_HOURS * 60 // minutes,
    })  # fmt: skip
    model, arguments = loaded.model, dict(loaded.run_kwargs)
    forcing = boundary_conditions(truncation, driven)
    lat, lon = forcing.lat.values, forcing.lon.values
    to_cells = Regridder(lat, lon, zoom)
    land, orography = (terrain_file[name].transpose("lat", "lon").values for name in ("lsm", "orog"))
    sea_file = driven.file(out, "sst_forcing_jcm" if driven.run else "sst_forcing")
    write_boundary(out / "jcm_static.nc", land, orography, sea_file, forcing[["sst", "icec"]], to_cells)
    source = SOURCE.format(truncation=truncation)

    def forcing_of(year: int) -> ForcingData:
        # Always 26 months: one shape, one compilation; the spin-up of the first year has its own seasons.
        window = forcing.sel(time=slice(f"{year - 1}-01", f"{year + 1}-02"))
        data = ForcingData.from_dataset(
            window, coords=model.coords, align_mode="by_date_interp", validate=False, persist="hold"
        )
        return data.copy(co2_vmr=jnp.asarray(driven.co2.at(year) * CO2_SCALE, jnp.float32))

    began = time.time()
    if start:
        arguments["initial_state"] = read_state(start)
    arguments.update(
        forcing=forcing_of(first.year), save_interval=float(spinup_days), total_time=float(spinup_days), end_time=None
    )
    model.run(**arguments)
    say(f"spin-up {time.time() - began:.0f} s")
    now, parts = first, []
    forced = forcing_of(now.year)
    while now < end:
        if (now.month, now.day) == (1, 1):
            forced = forcing_of(now.year)
        new_year = pd.Timestamp(f"{now.year + 1}-01-01")
        days = min(DAYS_AT_A_TIME, (min(new_year, end) - now).days)
        output = model.resume(forcing=forced, save_interval=SAVE_HOURS / 24, total_time=float(days)).to_xarray()
        hours = (output.time.values.astype("datetime64[h]") - np.datetime64("1970-01-01", "h")).astype(int)
        output = output.isel(time=hours % stride_hours == 0)
        if output.sizes["time"]:
            times = output.time.values.astype("datetime64[s]").astype("datetime64[ns]")
            parts.append(to_dataset(variables(output), times, to_cells))
            say(f"{now:%Y-%m-%d} {time.time() - began:.0f} s")
        year, now = now.year, now + pd.Timedelta(days=days)
        if now.year != year or now >= end:
            attrs = {"source": source, "sst_forcing": sea_file.name, **driven.attrs(year, lat, lon, 1 - land)}
            write(parts, driven.file(out, f"jcm_{year}"), zoom, attrs)
            parts = []
            write_state(model, driven.file(out, "state_jcm"))
            say(f"{year} {time.time() - began:.0f} s")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--stride-hours", type=int, default=6)
    parser.add_argument(
        "--spinup-days", type=int, default=270, help="90 leave the pressure over Antarctica 30 hPa too high until April"
    )
    parser.add_argument(
        "--start", type=Path, metavar="FILE", help="spin up from the OUT_DIR/state_jcm.nc of another run, not from rest"
    )
    parser.add_argument("--truncation", type=int, default=31, choices=sorted(RESOLUTIONS))
    options = parser.parse_args()
    driven = Forcing.of(options)
    years = range(options.first_year, options.first_year + options.n_years)
    warnings.filterwarnings("ignore")
    for block in missing({year: driven.file(options.out, f"jcm_{year}") for year in years}):
        first_month = options.first_month if block.start == years.start else 1
        last_month = options.last_month if block.stop == years.stop else 12
        simulate(
            options.out,
            pd.Timestamp(block.start, first_month, 1),
            pd.Timestamp(block.stop - 1, last_month, 1) + pd.DateOffset(months=1),
            driven=driven,
            stride_hours=options.stride_hours,
            zoom=options.zoom,
            spinup_days=options.spinup_days,
            start=options.start,
            truncation=options.truncation,
            say=lambda text: print(text, flush=True),
        )


if __name__ == "__main__":
    main()
