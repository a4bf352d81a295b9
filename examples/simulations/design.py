"""Write the forced runs' patterns and series, and print what to run: a model and the arguments of its script, by line.

    python design.py OUT_DIR > runs.txt

Offsets of the sea and CO2 are drawn independently, each from eight ranges of its own (a Latin hypercube), with a fixed
seed. Runs to learn from lie between -2 and 2.5 K and in 280 to 700 or 950 to 1120 ppmv; 4 K and 840 ppmv are held out.
OUT_DIR holds jcm and plasim, the runs under the observed sea; the folders forced, heldout and rising come beside them.
The lines name all of these as they are seen from there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.special import sph_harm_y

SEED = 13
RUNS = 8
COLDEST, WARMEST = -2.0, 2.5  # K
CO2_RANGES = ((280.0, 700.0), (950.0, 1120.0))  # ppmv
PATTERNED = (2, 3, 6, 7)  # runs whose offset is not the same everywhere
DEGREES = 3  # of the patterns
PATTERN_SPREAD = 1.0  # K
FIRST_YEAR, LAST_YEAR = 1979, 2013  # of the rising run
RISE, DOUBLINGS, CO2_BEFORE = 2.0, 1.0, 337.0  # K, octaves and ppmv over these years


def strata(random: np.random.Generator) -> np.ndarray:
    """Numbers between 0 and 1, one in each of `RUNS` ranges, in random order."""
    return (random.permutation(RUNS) + random.random(RUNS)) / RUNS


def co2_of(share: np.ndarray) -> np.ndarray:
    """CO2 in ppmv for shares of the allowed ranges, by their logarithm."""
    logs = np.log2(CO2_RANGES)
    lengths = logs[:, 1] - logs[:, 0]
    along = share * lengths.sum()
    return 2 ** np.where(along < lengths[0], logs[0, 0] + along, logs[1, 0] + along - lengths[0])


def pattern(random: np.random.Generator, mean: float) -> xr.DataArray:
    """A smooth offset of the sea in K, with the given mean over the globe, on 5 degrees."""
    lat, lon = np.arange(-87.5, 90, 5), np.arange(0.0, 360, 5)
    theta, phi = np.meshgrid(np.deg2rad(90 - lat), np.deg2rad(lon), indexing="ij")
    field = np.zeros(theta.shape)
    for degree in range(1, DEGREES + 1):
        for order in range(degree + 1):
            real, imaginary = random.normal(size=2)
            field += ((real + 1j * imaginary) * sph_harm_y(degree, order, theta, phi)).real
    weights = np.cos(np.deg2rad(lat))[:, None] * np.ones(len(lon))
    field -= np.average(field, weights=weights)
    field *= PATTERN_SPREAD / np.sqrt(np.average(field**2, weights=weights))
    return xr.DataArray(field + mean, {"lat": lat, "lon": lon}, name="sst_offset", attrs={"units": "K"})


def design(out: Path) -> list[tuple[str, float, int, int]]:
    """Names, offsets in K (of a pattern its mean), CO2 in ppmv and years of the forced runs; writes the patterns."""
    random = np.random.default_rng(SEED)
    offsets = COLDEST + (WARMEST - COLDEST) * strata(random)
    co2 = co2_of(strata(random))
    years = 1982 + random.permutation(RUNS)
    runs = []
    for run in range(RUNS):
        name = f"f{run}"
        if run in PATTERNED:
            pattern(random, offsets[run]).to_netcdf(out / f"forced/pattern_{name}.nc")
        runs.append((name, round(float(offsets[run]), 2), round(float(co2[run])), int(years[run])))
    return runs


def write_rise(folder: Path) -> None:
    """The series of the rising run: linear in kelvin, exponential in ppmv."""
    years = np.arange(FIRST_YEAR, LAST_YEAR + 1)
    share = (years - FIRST_YEAR) / (LAST_YEAR - FIRST_YEAR)
    for name, values in (("sst_offset", RISE * share), ("co2", CO2_BEFORE * 2 ** (DOUBLINGS * share))):
        rows = "".join(f"{year},{value:.4f}\n" for year, value in zip(years, values, strict=True))
        (folder / f"{name}.csv").write_text(f"year,{name}\n{rows}")


def runs(out: Path) -> Iterator[tuple[str, str]]:
    """(model, arguments of its script) of every run, in the order in which they may be run."""
    new = {"jcm": "--start jcm/state_jcm.nc --spinup-days 90", "plasim": "--build plasim/build"}
    for run, change in (("plus2K", "--sst-offset 2"), ("co2_840", "--co2 840"), ("plus4K", "--sst-offset 4")):
        for model, how in new.items():
            yield model, f"heldout 1990 1 --run {run} {change} {how}"
    for number, (name, offset, co2, year) in enumerate(design(out)):
        what = f"forced/pattern_{name}.nc" if number in PATTERNED else f"{offset}"
        line = f"forced {year} 1 --run {name} --sst-offset={what} --co2 {co2}"
        yield "jcm", f"{line} {new['jcm']}"
        yield "plasim", f"{line} {new['plasim']} {'--last-month 6' if number % 2 == 0 else '--first-month 7'}"
    on = {"jcm": "--start rising/state_jcm_rising.nc --spinup-days 30", "plasim": "--go-on rising/run_1979_rising"}
    for year in range(FIRST_YEAR, LAST_YEAR + 1, 3):
        line = f"rising {year} 1 --run rising --sst-offset rising/sst_offset.csv --co2 rising/co2.csv"
        for model in ("jcm", "plasim"):
            yield model, f"{line} {new[model] if year == FIRST_YEAR else on[model]}"


def main() -> None:
    """Command line."""
    out = Path(sys.argv[1])
    for folder in ("heldout", "forced", "rising"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    write_rise(out / "rising")
    for model, arguments in runs(out):
        print(model, arguments)


if __name__ == "__main__":
    main()
