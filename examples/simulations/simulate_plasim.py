"""Simulate the atmosphere with PlaSim (T31 L10) under observed SSTs, with a diurnal cycle, and write HEALPix output.

    apt-get install gfortran gcc make
    pip install exoplasim==3.4.2 jcm==3.0.0 healpy netcdf4 scipy
    python simulate_plasim.py OUT_DIR FIRST_YEAR N_YEARS [--sst-offset K|FILE] [--co2 PPMV|FILE] [--run NAME]

Builds PlaSim from the sources in the exoplasim package into OUT_DIR/build (once; --build for another folder). About 9
minutes a simulated year on one core. Writes OUT_DIR/plasim_YYYY.nc, OUT_DIR/plasim_static.nc and OUT_DIR/sst_forcing.nc
in the form of simulate_jcm.py, with the names of a --run like there, and leaves out years whose files are there.
PlaSim averages tas, radiation, heat fluxes, precipitation and clouds over the output interval that ends at the stamp
(winds, pressure, cloud water, fluxes without clouds and pressure-level fields are instantaneous). So it writes often
(--per-day), some stamps are kept (--stride-hours; 5 visits every hour of the day), and what is averaged becomes the
mean of the intervals before and after the stamp: the sun stands where it belongs. uas, vas are the lowest model level
(sigma 0.97), not 10 m. Years have 365 days.
jcm is used only for its packaged observed SST anomalies (same Gaussian grid).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from forcings import Forcing, add_options, missing, warmer_sea
from healpix_output import RD, G, Regridder, below_ground, on_levels, to_dataset, write, write_boundary

EARTH_RADIUS = 6371220.0  # m, PlaSim's
NLAT, NLON, NLEV = 48, 96, 10
SOURCE = "PlaSim (ExoPlaSim 3.4.2), T31 L10, observed monthly SST, diurnal cycle"
# ECHAM/PlaSim codes of what the postprocessor shall keep: winds, humidity, radiation, precipitation, ...
CODES = [
    "104", "105", "129", "130", "131", "132", "133", "134", "139", "142", "143", "146", "147", "151", "155", "156",
    "161", "162", "164", "167", "172", "176", "177", "178", "179", "203", "204", "205", "210",
]  # fmt: skip
CLEAR_SKY = {
    "104": ["rlutcs", "toa_net_longwave_flux", "W m-2"],
    "105": ["rsutcs", "toa_upward_shortwave_flux", "W m-2"],
}
YEAR_END = "year_end"  # the state at the end of the last December that was run
AVERAGED = ("tas", "pr", "rlut", "rsut", "rsdt", "rsds", "rsus", "rlds", "rlus", "hfls", "hfss", "clt")
UNUSED = (265,)  # a field of every level on the grid, of which nothing is kept
MAKE = """MOST_F90=gfortran
MOST_F90_OPTS=-Ofast -march=native -cpp -ffixed-line-length-132 -finit-real=zero -fallow-argument-mismatch
MPIMOD=mpimod_stub
UTILMOD=utilities_stub
MOST_CC=gcc
MOST_CC_OPTS=-O3
MOST_PP=c++
MOST_AS=as
LEGMOD=legini
LEGFAST=legfast32.o
GUIMOD=guimod_stub
PUMAX=pumax_stub
"""


def package(name: str) -> Path:
    """Folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"the package {name} is not installed: pip install {name}")
    return Path(spec.origin).parent


def build(folder: Path) -> Path:
    """Compile PlaSim there, if that has not been done; returns the program."""
    program = folder / "plasim.x"
    if program.exists():
        return program.resolve()
    sources = package("exoplasim") / "plasim/src"
    folder.mkdir(parents=True, exist_ok=True)
    for file in sources.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    sizes = f"parameter(NLAT_ATM = {NLAT})\n      parameter(NLEV_ATM = {NLEV})\n      parameter(NPRO_ATM = 1)"
    (folder / "resmod.f90").write_text(f"      module resmod\n      {sizes}\n      end module resmod\n")
    # Radiation without clouds only on the steps that are written: it costs as much again.
    radiation = (folder / "radmod.f90").read_text()
    written = radiation.replace("if(ndiagcf > 0) then", "if(ndiagcf > 0 .and. mod(nhcstp,nafter)==0) then")
    (folder / "radmod.f90").write_text(written)
    (folder / "makefile").write_text(MAKE + "\n" + (sources / "make_plasim").read_text())
    environment = {**os.environ, "OCEANCOUP": "cpl_stub", "FFTMOD": "fftmod"}
    result = subprocess.run(["make", "-e"], cwd=folder, env=environment, capture_output=True, text=True)
    if not program.exists():
        sys.exit(result.stdout[-2000:] + result.stderr[-2000:])
    return program.resolve()


def read_sra(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Headers (month, 8) and fields (month, lat, lon) of PlaSim's text format."""
    rows = np.array(path.read_text().split(), dtype=float).reshape(-1, 8 + NLON * NLAT)
    return rows[:, :8].astype(int), rows[:, 8:].reshape(-1, NLAT, NLON)


def write_sra(path: Path, headers: np.ndarray, fields: np.ndarray) -> None:
    """The inverse of `read_sra`."""
    with open(path, "w") as out:
        for header, field in zip(headers, fields, strict=True):
            out.write("".join(f"{value:10d}" for value in header) + "\n")
            for row in field.reshape(-1, 8):
                out.write("".join(f"{value:10.3f}" for value in row) + "\n")


class Plasim:
    """A PlaSim run in a folder of its own.

    Parameters
    ----------
    folder
        Emptied first, unless the run goes on.
    program
        From `build`.
    per_day
        Output steps a day.
    spinup_months
        Months before the first one that are run without output.
    driven
        Offset of the sea and CO2.
    first_month
        Of the first year.
    go_on
        From the end of the last year that an earlier run has left in the folder.
    """

    def __init__(
        self,
        folder: Path,
        program: Path,
        per_day: int,
        spinup_months: int,
        driven: Forcing,
        first_month: int = 1,
        go_on: bool = False,
    ) -> None:
        self.folder, self.program, self.per_day, self.spinup_months = folder, program, per_day, spinup_months
        self.driven, self.first_month = driven, first_month
        if go_on:
            if not (folder / YEAR_END).exists():
                sys.exit(f"{folder} has no {YEAR_END} to go on from: run to the end of a year without --go-on first")
            shutil.copy(folder / YEAR_END, folder / "plasim_restart")
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        plasim = package("exoplasim") / "plasim"
        for file in (*plasim.glob("run/*_namelist"), *plasim.glob("dat/T31/*.sra")):
            shutil.copy(file, folder)
        self.namelist(
            "planet", ECCEN=0.0167, MVELP=102.7, OBLIQ=23.44, GSOL0=1365.0, NFIXORB=1, SIDEREAL_YEAR=31536000.0
        )
        self.namelist("oceanmod", NOCEAN=0, NLSG=0, NEWSURF=1)
        self.namelist("icemod", NICE=0, NEWSURF=1)
        self.headers, self.climatology = read_sra(plasim / f"dat/T31/N{NLAT:03d}_surf_0169.sra")
        self.ice_headers, ice = read_sra(plasim / f"dat/T31/N{NLAT:03d}_surf_0210.sra")
        self.ice = ice / 100.0
        (self.land,) = read_sra(plasim / f"dat/T31/N{NLAT:03d}_surf_0172.sra")[1]
        anomaly = xr.open_dataset(package("jcm") / "data/bc/t30/anom/sea_surface_temperature_anomaly.nc").ssta
        anomaly = anomaly.clip(-6, 6).fillna(0.0)
        self.anomaly = anomaly.sortby("lat", ascending=False).transpose("time", "lat", "lon")

    def namelist(self, name: str, **values: Any) -> None:
        """Write one of PlaSim's namelists."""
        lines = "".join(f" {key} = {value}\n" for key, value in values.items())
        (self.folder / f"{name}_namelist").write_text(f" &{name}_nl\n{lines} /END\n")

    @property
    def lat(self) -> np.ndarray:
        """Degrees north, from north to south."""
        return self.anomaly.lat.values

    @property
    def lon(self) -> np.ndarray:
        """Degrees east."""
        return self.anomaly.lon.values

    def sea(self, months: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """SST (K) and ice of some (year, month) within 1979-2013: the climatology plus what is observed and the offset.

        Anomalies and offsets are those of open sea. PlaSim takes a sea of which half or more is frozen for all frozen.
        """
        of_year = [month for _, month in months]
        within = [(min(max(year, 1979), 2013), month) for year, month in months]
        climatology, ice = self.climatology[of_year], self.ice[of_year]
        anomaly = np.stack([self.anomaly.sel(time=f"{year}-{month:02d}").values[0] for year, month in within])
        observed = np.where((climatology > 271.8) & (ice < 0.05), climatology + anomaly, climatology)
        observed = np.clip(observed, np.minimum(climatology, 271.36), 325.0)
        offset = self.driven.offset.at(within, self.lat, self.lon)
        return warmer_sea(observed, ice, offset)

    def set_forcing(self, year: int) -> None:
        """SST and ice of 14 months around a year, and its CO2."""
        sst, ice = self.sea([(year - 1, 12), *((year, month) for month in range(1, 13)), (year + 1, 1)])
        write_sra(self.folder / f"N{NLAT:03d}_surf_0169.sra", self.headers, sst)
        write_sra(self.folder / f"N{NLAT:03d}_surf_0210.sra", self.ice_headers, ice * 100)
        self.namelist(
            "radmod", CO2=self.driven.co2.at(year), NO3=1, NECHAM6=0, NECHAM=1, NSIMPLEALBEDO=1, NRADICE=1, NPBROADEN=1
        )

    def run(self, months: int, *, output: bool) -> None:
        """Go on for some months from where it is."""
        self.namelist(
            "plasim", NOUTPUT=int(output), NGUI=0, N_START_YEAR=1, N_DAYS_PER_YEAR=365, N_RUN_YEARS=0,
            N_RUN_MONTHS=months, N_RUN_DAYS=0, KICK=1, MPSTEP=30, NADV=1, NDIAG=0, NQSPEC=1, NVEG=0,
            NWPD=self.per_day, NLOWIO=0, NPRINT=0, NSYNC=1, NSNAPSHOT=0, NSTPW=160, NSTPS=480,
            NDIAGCF=int(output), N_START_MONTH=(self.first_month - 1 - self.spinup_months) % 12 + 1, PSURF=101100.0,
            L_AERO=0, NEQSIG=0, NSPVFILTER=1, NGPTFILTER=1, NFILTER=0,
        )  # fmt: skip
        result = subprocess.run([str(self.program)], cwd=self.folder, capture_output=True, text=True)
        status = self.folder / "plasim_status"
        if not status.exists() or not status.stat().st_size or (self.folder / "Abort_Message").exists():
            sys.exit(result.stdout[-3000:] + result.stderr[-2000:])
        shutil.move(status, self.folder / "plasim_restart")

    def output(self, steps: Collection[int]) -> xr.Dataset:
        """Some of the steps that the last `run` has written, on the Gaussian grid."""
        from exoplasim import pyburn

        pyburn.readallvariables = lambda buffer: read_output(buffer, steps)
        pyburn.ilibrary.update(CLEAR_SKY)
        raw = self.folder / "raw.nc"
        with open(os.devnull, "w") as silence, contextlib.redirect_stdout(silence):
            pyburn.postprocess(
                str(self.folder / "plasim_output"), str(raw), variables=CODES, timeaverage=False, times=None
            )
        dataset = xr.open_dataset(raw, decode_times=False).load()
        raw.unlink()
        (self.folder / "plasim_output").unlink()
        return dataset


def read_output(buffer: bytes, steps: Collection[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """As `pyburn.readallvariables`, of some steps, without copying all before each record (17 minutes a month)."""

    def record(at: int, kind: str) -> tuple[np.ndarray, int]:
        size = int(np.frombuffer(buffer, "<i4", 1, at)[0])
        return np.frombuffer(buffer, kind, size // 4, at + 4), at + size + 8

    main, at = record(0, "<i4")
    levels, at = record(at, "<f4")
    headers: dict[str, Any] = {"main": main}
    parts: dict[str, list[np.ndarray]] = {}
    step, moment, moments = -1, None, []
    while at < len(buffer):
        header, at = record(at, "<i4")
        values, at = record(at, "<f4")
        if header[6] != moment:
            step, moment = step + 1, header[6]
            if step in steps:
                moments.append(int(moment))
        if step in steps and header[0] not in UNUSED:
            headers.setdefault(str(header[0]), header)
            parts.setdefault(str(header[0]), []).append(values)
    fields = {code: np.concatenate(values).astype(np.float64) for code, values in parts.items()}
    return headers, {"main": levels, "sigmah": levels[: main[6]], "time": moments, **fields}


def vertical_velocity(
    divergence: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    surface_pressure: np.ndarray,
    half: np.ndarray,
    lat: np.ndarray,
) -> np.ndarray:
    """Vertical velocity in pressure coordinates on sigma levels, Pa s-1, (time, level, lat, lon).

    omega = sigma V.grad(ps) - ps * the integral of D + V.grad(ln ps) over sigma from the top, with the wind V and its
    divergence D (Simmons and Burridge 1981, doi:10.1175/1520-0493(1981)109<0758:AEAAMC>2.0.CO;2).

    Parameters
    ----------
    half
        Sigma between the levels, from 0 to 1.
    lat
        Degrees north of the rows; the columns go around the globe.
    """
    log_p = np.log(surface_pressure)
    waves = np.fft.rfftfreq(log_p.shape[-1], 1 / log_p.shape[-1])
    east = np.fft.irfft(1j * waves * np.fft.rfft(log_p), log_p.shape[-1])
    east = east / (EARTH_RADIUS * np.cos(np.deg2rad(lat))[:, None])
    north = np.gradient(log_p, np.deg2rad(lat), axis=-2) / EARTH_RADIUS
    along = u * east[:, None] + v * north[:, None]
    thickness = np.diff(half)[None, :, None, None]
    layers = (divergence + along) * thickness
    middle = (0.5 * (half[1:] + half[:-1]))[None, :, None, None]
    return surface_pressure[:, None] * (middle * along - (layers.cumsum(1) - 0.5 * layers))


def variables(output: xr.Dataset) -> dict[str, np.ndarray]:
    """{name: (time[, pressure], lat, lon)} in the units of healpix_output.VARIABLES."""
    sigma = output.lev.values
    surface_pressure = output.ps.values * 100.0
    pressure = surface_pressure[:, None] * sigma[None, :, None, None]
    half = np.concatenate([[0], 0.5 * (sigma[1:] + sigma[:-1]), [1.0]])
    mass = np.diff(half)[None, :, None, None] * surface_pressure[:, None] / G
    temperature, u, v, humidity = (output[name].values for name in ("ta", "ua", "va", "hus"))
    surface = surface_height(output)

    virtual = temperature * (1 + 0.608 * humidity)
    height = np.empty_like(temperature)
    below = np.broadcast_to(surface, surface_pressure.shape).copy()
    for k in reversed(range(temperature.shape[1])):  # the hypsometric equation, layer by layer from the ground
        height[:, k] = below + RD / G * virtual[:, k] * np.log(half[k + 1] / sigma[k])
        below = below + RD / G * virtual[:, k] * np.log(half[k + 1] / max(half[k], 1e-3))

    on_pressure = on_levels(temperature, pressure), on_levels(height, pressure)
    ta, zg = below_ground(*on_pressure, temperature[:, -1], pressure[:, -1])
    omega = vertical_velocity(output.d.values, u, v, surface_pressure, half, output.lat.values)
    # PlaSim counts upward fluxes below zero, those of heat and radiation alike.
    return {
        "tas": output.tas.values,
        "ts": output.ts.values,
        "psl": output.psl.values * (1 if output.psl.values.max() > 5e4 else 100),
        "ps": surface_pressure,
        "uas": u[:, -1],
        "vas": v[:, -1],
        "prw": (humidity * mass).sum(1),
        "clwvi": (output.clw.values * output.cl.values * mass).sum(1),
        "pr": (output.prl.values + output.prc.values) * 1000.0,
        "rlut": -output.rlut.values,
        "rsut": -output.rsut.values,
        "rsdt": output.rst.values - output.rsut.values,
        "rlutcs": -output.rlutcs.values,
        "rsutcs": -output.rsutcs.values,
        "rsds": output.rss.values - output.ssru.values,
        "rsus": -output.ssru.values,
        "rlds": output.rls.values - output.stru.values,
        "rlus": -output.stru.values,
        "hfls": -output.hfls.values,
        "hfss": -output.hfss.values,
        "clt": output.clt.values,
        "ta": ta,
        "ua": on_levels(u, pressure),
        "va": on_levels(v, pressure),
        "zg": zg,
        "hus": on_levels(humidity, pressure),
        "wap": on_levels(omega, pressure),
    }


def surface_height(output: xr.Dataset) -> np.ndarray:
    """Height of the model's ground in m, (lat, lon)."""
    return (output.sg.values[0] if output.sg.ndim == 3 else output.sg.values) / G


def centred(output: xr.Dataset, kept: np.ndarray, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Variables at the steps ``chosen`` of a month; what is averaged is the mean with the step after it."""
    first = np.searchsorted(kept, chosen)
    fields = variables(output)
    return {name: (x[first] + x[first + 1]) / 2 if name in AVERAGED else x[first] for name, x in fields.items()}


def write_sea(model: Plasim, out: Path, orography: np.ndarray, to_cells: Regridder) -> Path:
    """The static fields, and the SST and ice of 1979-2013 that drive the run; returns the latter's file."""
    times = [(year, month) for year in range(1979, 2014) for month in range(1, 13)]
    sst, ice = model.sea(times)
    dims = ("time", "lat", "lon")
    stamps = np.array([np.datetime64(f"{year}-{month:02d}-15", "ns") for year, month in times])
    # The climatology's months overshoot, so that PlaSim's interpolation keeps their means.
    sea = xr.Dataset({"sst": (dims, sst), "icec": (dims, np.clip(ice, 0, 1))}, {"time": stamps})
    path = model.driven.file(out, "sst_forcing_plasim" if model.driven.run else "sst_forcing")
    write_boundary(out / "plasim_static.nc", model.land, orography, path, sea, to_cells)
    return path


def simulate(model: Plasim, out: Path, years: range, last_month: int, options: argparse.Namespace) -> None:
    """Run some years in a row, after a spin-up, and write a file a year."""
    began = time.time()
    step = np.timedelta64(24 * 60 // options.per_day, "m")
    to_cells = Regridder(model.lat, model.lon, options.zoom)
    sea_file: Path | None = None
    if not options.go_on:
        model.set_forcing(years[0])
        model.run(options.spinup_months, output=False)
        print(f"spin-up {time.time() - began:.0f} s", flush=True)
    for year in years:
        model.set_forcing(year)
        parts = []
        first = model.first_month if year == years[0] else 1
        for month in range(first, (last_month if year == years[-1] else 12) + 1):
            model.run(1, output=True)
            start = np.datetime64(f"{year}-{month:02d}-01", "ns")
            days = int(np.diff(np.array([f"1999-{month:02d}", "2000-01" if month == 12 else f"1999-{month + 1:02d}"],
                                        "datetime64[M]").astype("datetime64[D]").astype(int))[0])  # fmt: skip
            # Of the month's last stamp the interval after it is not there: it is left out.
            ends = start + np.arange(1, days * options.per_day) * step
            chosen = np.flatnonzero((ends.astype("datetime64[m]").astype(int) // 60) % options.stride_hours == 0)
            kept = np.union1d(chosen, chosen + 1)
            output = model.output({int(k) for k in kept})
            if sea_file is None:
                sea_file = write_sea(model, out, surface_height(output), to_cells)
            parts.append(to_dataset(centred(output, kept, chosen), ends[chosen], to_cells))
            print(f"{year}-{month:02d} {time.time() - began:.0f} s", flush=True)
        if month == 12:
            shutil.copy(model.folder / "plasim_restart", model.folder / YEAR_END)
        assert sea_file is not None
        driven = model.driven.attrs(year, model.lat, model.lon, 1 - model.land)
        attrs = {"source": SOURCE, "sst_forcing": sea_file.name, **driven}
        write(parts, model.driven.file(out, f"plasim_{year}"), options.zoom, attrs)
        print(f"{year} {time.time() - began:.0f} s", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--spinup-months", type=int, default=4)
    parser.add_argument("--per-day", type=int, default=24)
    parser.add_argument("--stride-hours", type=int, default=5)
    parser.add_argument(
        "--build", type=Path, metavar="FOLDER", help="of the compiled PlaSim; OUT_DIR/build if not given"
    )
    parser.add_argument(
        "--go-on",
        type=Path,
        metavar="FOLDER",
        help="no spin-up: from the end of the last year that was run in this folder",
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    driven = Forcing.of(options)
    program = build(options.build or options.out / "build")
    years = range(options.first_year, options.first_year + options.n_years)
    for block in missing({year: driven.file(options.out, f"plasim_{year}") for year in years}):
        folder = options.go_on or driven.file(options.out, f"run_{block.start}").with_suffix("")
        first_month = options.first_month if block.start == years.start else 1
        last_month = options.last_month if block.stop == years.stop else 12
        model = Plasim(
            folder, program, options.per_day, options.spinup_months, driven, first_month, bool(options.go_on)
        )
        simulate(model, options.out, block, last_month, options)


if __name__ == "__main__":
    main()
