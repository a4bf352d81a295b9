"""Simulate the atmosphere with PlaSim (T31 L10) under observed SSTs, with a diurnal cycle, and write HEALPix output.

    apt-get install gfortran gcc make
    pip install exoplasim==3.4.2 jcm==3.0.0 healpy netcdf4 scipy
    python simulate_plasim.py OUT_DIR FIRST_YEAR N_YEARS [--zoom 4] [--per-day 24] [--stride-hours 5]

Builds PlaSim from the sources in the exoplasim package into OUT_DIR/build (once). About 9 minutes a simulated
year on one core. Writes OUT_DIR/plasim_YYYY.nc (same form as simulate_jcm.py) and OUT_DIR/plasim_static.nc.
PlaSim averages tas, radiation, precipitation and clouds over the output interval that ends at the stamp (winds,
pressure and pressure-level fields are instantaneous). So it writes often (--per-day), some stamps are kept
(--stride-hours; 5 visits every hour of the day), and what is averaged becomes the mean of the intervals before and
after the stamp: the sun stands where it belongs. uas, vas are the lowest model level (sigma 0.97), not 10 m. Years
have 365 days.
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
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from healpix_output import Regridder, on_levels, to_dataset, write

G, RD = 9.80665, 287.0
NLAT, NLON, NLEV = 48, 96, 10
SOURCE = "PlaSim (ExoPlaSim 3.4.2), T31 L10, observed monthly SST, diurnal cycle"
# ECHAM/PlaSim codes of what the postprocessor shall keep: winds, humidity, radiation, precipitation, ...
CODES = [
    "129", "130", "131", "132", "133", "134", "139", "142", "143", "146", "151", "156", "164", "167", "172", "176",
    "178", "179", "203", "204", "210",
]  # fmt: skip
AVERAGED = ("tas", "pr", "rlut", "rsut", "rsds", "clt")
UNUSED = (161, 162, 265)  # fields of every level on the grid, of which nothing is kept
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
        Months before 1 January that are run without output.
    go_on
        From the state that an earlier run has left in the folder.
    """

    def __init__(self, folder: Path, program: Path, per_day: int, spinup_months: int, go_on: bool = False) -> None:
        self.folder, self.program, self.per_day, self.spinup_months = folder, program, per_day, spinup_months
        if go_on and not (folder / "plasim_restart").exists():
            sys.exit(f"{folder} has no plasim_restart to go on from: run without --go-on first")
        if not go_on:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        plasim = package("exoplasim") / "plasim"
        for file in (*plasim.glob("run/*_namelist"), *plasim.glob("dat/T31/*.sra")):
            shutil.copy(file, folder)
        self.namelist(
            "planet", ECCEN=0.0167, MVELP=102.7, OBLIQ=23.44, GSOL0=1365.0, NFIXORB=1, SIDEREAL_YEAR=31536000.0
        )
        self.namelist("radmod", CO2=360.0, NO3=1, NECHAM6=0, NECHAM=1, NSIMPLEALBEDO=1, NRADICE=1, NPBROADEN=1)
        self.namelist("oceanmod", NOCEAN=0, NLSG=0, NEWSURF=1)
        self.namelist("icemod", NICE=0, NEWSURF=1)
        self.headers, self.climatology = read_sra(plasim / f"dat/T31/N{NLAT:03d}_surf_0169.sra")
        _, ice = read_sra(plasim / f"dat/T31/N{NLAT:03d}_surf_0210.sra")
        self.ice = ice if ice.max() <= 1.5 else ice / 100.0  # a fraction, or percent
        anomaly = xr.open_dataset(package("jcm") / "data/bc/t30/anom/sea_surface_temperature_anomaly.nc").ssta
        anomaly = anomaly.clip(-6, 6).fillna(0.0)
        self.anomaly = anomaly.sortby("lat", ascending=False).transpose("time", "lat", "lon")

    def namelist(self, name: str, **values: Any) -> None:
        """Write one of PlaSim's namelists."""
        lines = "".join(f" {key} = {value}\n" for key, value in values.items())
        (self.folder / f"{name}_namelist").write_text(f" &{name}_nl\n{lines} /END\n")

    def set_sst(self, year: int) -> None:
        """SST of 14 months around a year: the climatology plus the observed anomaly over open sea."""
        months = [(year - 1, 12), *((year, month) for month in range(1, 13)), (year + 1, 1)]
        anomaly = np.stack([self.anomaly.sel(time=f"{y}-{m:02d}").values[0] for y, m in months])
        open_sea = (self.climatology > 271.8) & (self.ice < 0.05)
        sst = np.where(open_sea, self.climatology + anomaly, self.climatology)
        sst = np.clip(sst, np.minimum(self.climatology, 271.36), 325.0)
        write_sra(self.folder / f"N{NLAT:03d}_surf_0169.sra", self.headers, sst)

    def run(self, months: int, *, output: bool) -> None:
        """Go on for some months from where it is."""
        self.namelist(
            "plasim", NOUTPUT=int(output), NGUI=0, N_START_YEAR=1, N_DAYS_PER_YEAR=365, N_RUN_YEARS=0,
            N_RUN_MONTHS=months, N_RUN_DAYS=0, KICK=1, MPSTEP=30, NADV=1, NDIAG=0, NQSPEC=1, NVEG=0,
            NWPD=self.per_day, NLOWIO=0, NPRINT=0, NSYNC=1, NSNAPSHOT=0, NSTPW=160, NSTPS=480,
            N_START_MONTH=(12 - self.spinup_months) % 12 + 1, PSURF=101100.0, L_AERO=0, NEQSIG=0, NSPVFILTER=1,
            NGPTFILTER=1, NFILTER=0,
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


def variables(output: xr.Dataset) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """{name: (time[, pressure], lat, lon)} in the units of healpix_output.VARIABLES, and the orography in m."""
    sigma = output.lev.values
    surface_pressure = output.ps.values * 100.0
    pressure = surface_pressure[:, None] * sigma[None, :, None, None]
    half = np.concatenate([[0], 0.5 * (sigma[1:] + sigma[:-1]), [1.0]])
    temperature, u, v, humidity = (output[name].values for name in ("ta", "ua", "va", "hus"))
    surface = (output.sg.values[0] if output.sg.ndim == 3 else output.sg.values) / G

    virtual = temperature * (1 + 0.608 * humidity)
    height = np.empty_like(temperature)
    below = np.broadcast_to(surface, surface_pressure.shape).copy()
    for k in reversed(range(temperature.shape[1])):  # the hypsometric equation, layer by layer from the ground
        height[:, k] = below + RD / G * virtual[:, k] * np.log(half[k + 1] / sigma[k])
        below = below + RD / G * virtual[:, k] * np.log(half[k + 1] / max(half[k], 1e-3))

    fields = {
        "tas": output.tas.values,
        "ts": output.ts.values,
        "psl": output.psl.values * (1 if output.psl.values.max() > 5e4 else 100),
        "uas": u[:, -1],
        "vas": v[:, -1],
        "prw": (humidity * np.diff(half)[None, :, None, None]).sum(1) * surface_pressure / G,
        "pr": (output.prl.values + output.prc.values) * 1000.0,
        "rlut": -output.rlut.values,
        "rsut": -output.rsut.values,
        "clt": output.clt.values,
        "ta": on_levels(temperature, pressure),
        "ua": on_levels(u, pressure),
        "va": on_levels(v, pressure),
        "zg": on_levels(height, pressure),
        "hus": on_levels(humidity, pressure),
    }
    if "ssru" in output:
        fields["rsds"] = output.rss.values - output.ssru.values
    return fields, surface


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("first_year", type=int)
    parser.add_argument("n_years", type=int)
    parser.add_argument("--zoom", type=int, default=4)
    parser.add_argument("--spinup-months", type=int, default=4)
    parser.add_argument("--per-day", type=int, default=24)
    parser.add_argument("--stride-hours", type=int, default=5)
    parser.add_argument(
        "--go-on", type=Path, metavar="FOLDER", help="no spin-up: from the end of the year before, in that run's folder"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    folder = options.go_on or options.out / f"run_{options.first_year}"
    program = build(options.out / "build")
    model = Plasim(folder, program, options.per_day, options.spinup_months, bool(options.go_on))
    to_cells: Regridder | None = None
    step = np.timedelta64(24 * 60 // options.per_day, "m")
    began = time.time()
    if not options.go_on:
        model.set_sst(options.first_year)
        model.run(options.spinup_months, output=False)
        print(f"spin-up {time.time() - began:.0f} s", flush=True)
    for year in range(options.first_year, options.first_year + options.n_years):
        model.set_sst(year)
        parts = []
        for month in range(1, 13):
            model.run(1, output=True)
            start = np.datetime64(f"{year}-{month:02d}-01", "ns")
            days = int(np.diff(np.array([f"1999-{month:02d}", "2000-01" if month == 12 else f"1999-{month + 1:02d}"],
                                        "datetime64[M]").astype("datetime64[D]").astype(int))[0])  # fmt: skip
            # Of the month's last stamp the interval after it is not there: it is left out.
            ends = start + np.arange(1, days * options.per_day) * step
            chosen = np.flatnonzero((ends.astype("datetime64[m]").astype(int) // 60) % options.stride_hours == 0)
            output = model.output({int(k) for k in chosen} | {int(k) + 1 for k in chosen})
            fields, orography = variables(output)
            if to_cells is None:
                to_cells = Regridder(output.lat.values, output.lon.values, options.zoom)
                static = {"sftlf": ("cell", to_cells(output.lsm.values[0])), "orog": ("cell", to_cells(orography))}
                xr.Dataset(static).to_netcdf(options.out / "plasim_static.nc")
            kept = np.union1d(chosen, chosen + 1)
            first = np.searchsorted(kept, chosen)
            centred = {
                name: (x[first] + x[first + 1]) / 2 if name in AVERAGED else x[first] for name, x in fields.items()
            }
            parts.append(to_dataset(centred, ends[chosen], to_cells))
        write(xr.concat(parts, "time"), options.out / f"plasim_{year}.nc", SOURCE, options.zoom)
        print(f"{year} {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
