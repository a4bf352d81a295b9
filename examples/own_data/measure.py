"""Figures of what a bottle does with data of one's own: what is in docs/own-data.md, measured again.

The data are instants that the bottle itself draws with another seed (a perfect-model test), or those of a file. What is
finished is kept in a folder (``--cache``), so that an interrupted run goes on where it was.

    python measure.py translate gcm --instants 32
    python measure.py infill gcm --instants 16
    python measure.py sensitivity gcm --members 8
    python measure.py odds gcm --samples 64
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import xr_cbottle
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.fields import channels
from xr_cbottle.grid import healpix

Z500 = 50000
TEMPERATURES = ("tas", "ts", "ta")
SEED = 101


def times(count: int, year: int) -> list[str]:
    """Instants spread over a year, at all hours."""
    hours = np.datetime64(f"{year}-01-01T00", "h") + np.linspace(0, 8759, count).astype("timedelta64[h]")
    return [str(one) for one in hours]


def drawn(bottle: Bottle, label: str, count: int, options: argparse.Namespace, **keywords: Any) -> xr.Dataset:
    """Instants of a label, in memory; of a file if one is given."""
    if options.data is not None:
        ds = xr.open_dataset(options.data)
        return ds.isel(time=np.linspace(0, ds.sizes["time"] - 1, count).round().astype(int)).load()
    asked = {"seed": SEED, "cache_dir": options.cache, "progress": False, **keywords}
    ds = xr.open_dataset(bottle, engine="cbottle", label=label, time=times(count, options.year), **asked)
    return ds.load()


def heights(ds: xr.Dataset, bottle: Bottle, label: str) -> np.ndarray:
    """Z500 less the climate of a label, (time, cell)."""
    known, name = bottle.climatology(), "Z500"
    assert known is not None
    c = bottle.manifest.channels.index(name)
    mean, _ = known.at(label, ds.time.values, xr_cbottle.Emulator(bottle).predictors(ds.time.values))
    climate = known.center[c] + known.scale[c] * mean[:, c]
    return ds.zg.sel(pressure=Z500).values - climate * channels.parse(name).factor


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each row of one with that of the other."""
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])


def translate(bottle: Bottle, options: argparse.Namespace) -> dict[str, Any]:
    """From one label to the other and to itself, by strength; and with 2 K more in all temperatures."""
    source, target = options.source, options.target
    given = drawn(bottle, source, options.instants, options)
    there = drawn(bottle, target, options.instants, argparse.Namespace(**{**vars(options), "data": None}))
    warm = given.assign({name: (given[name] + 2).assign_attrs(given[name].attrs) for name in TEMPERATURES})
    names = [name for name in given.data_vars if not channels.VARIABLES[str(name)].ocean_only]
    found: dict[str, Any] = {}
    for strength in options.strengths:
        asked = {"source": source, "strength": strength, "cache_dir": options.cache, "progress": False}
        moved = xr_cbottle.translate(given, bottle, target=target, **asked).load()
        same = xr_cbottle.translate(given, bottle, target=source, **asked).load()
        rows = {
            name: float(np.sqrt(((same[name] - given[name]) ** 2).mean() / given[name].var("time").mean()))
            for name in names
        }
        likeness = correlations(heights(given, bottle, source), heights(moved, bottle, target))
        found[f"{strength:g}"] = {
            "to itself, RMSE over deviation in time": {"mean": float(np.mean(list(rows.values()))), **rows},
            "Z500 anomalies, pattern correlation": float(likeness.mean()),
            "psl, global mean less the target's, Pa": {
                "given": float((given.psl - there.psl).mean()), "translated": float((moved.psl - there.psl).mean()),
            },
            "mean map, RMS difference from the target's": {
                name: {key: rms(one[name].mean("time") - there[name].mean("time"))
                       for key, one in (("given", given), ("translated", moved))}
                for name in ("tas", "psl", "pr", "rlut")
            },
            "deviation of the noise": [float(x) for x in moved.latent_deviation.values[:4]],
        }  # fmt: skip
        if strength == options.strengths[0]:
            warmed = xr_cbottle.translate(warm, bottle, target=target, **asked)
            found["2 K more in give"] = {name: float((warmed[name] - moved[name]).mean()) for name in TEMPERATURES}
    return found


def rms(difference: xr.DataArray) -> float:
    """Root mean square over everything."""
    return float(np.sqrt((difference.astype(np.float64) ** 2).mean()))


def chequerboard(zoom: int, size: int = 2) -> np.ndarray:
    """(cell NEST) bool: every other block of 4**size cells, on each face."""
    x, y = (np.zeros(healpix.n_cells(zoom), int) for _ in range(2))
    block = np.arange(healpix.n_cells(zoom)) % 4**zoom >> 2 * size
    for bit in range(zoom):
        x |= (block >> 2 * bit & 1) << bit
        y |= (block >> (2 * bit + 1) & 1) << bit
    return (x + y) % 2 == 1


def infill(bottle: Bottle, options: argparse.Namespace) -> dict[str, Any]:
    """A chequerboard of 4 x 4 cells and all of Z500 hidden; two fillings of each instant."""
    found: dict[str, Any] = {}
    hidden = xr.DataArray(chequerboard(bottle.manifest.zoom), dims="cell")
    for label in bottle.manifest.labels:
        truth = drawn(bottle, label, options.instants, options)
        given = truth.where(~hidden)
        given["zg"] = given.zg.where(given.pressure != Z500)
        asked = {"label": label, "rounds": options.rounds, "seed": 7, "cache_dir": options.cache, "progress": False}
        fills = [xr_cbottle.infill(given, bottle, member=member, **asked).load() for member in (1, 2)]
        rows = {}
        for name in map(str, truth.data_vars):
            known = given[name].notnull()
            for fill in fills:
                assert (fill[name].where(known) == given[name]).where(known, True).all(), name
            error = sum((fill[name] - truth[name]).astype(float) ** 2 for fill in fills) / 2
            spread = (fills[0][name] - fills[1][name]).astype(float) ** 2
            over = [dim for dim in error.dims if dim != "pressure"]
            ratio = error.where(hidden).mean(over) / spread.where(hidden).mean(over)
            share = error.where(hidden).mean(over) / truth[name].astype(float).var("time").mean("cell")
            rows[name] = {"calibration": np.atleast_1d(ratio.values).round(3).tolist(),
                          "error over variance in time": np.atleast_1d(share.values).round(3).tolist()}  # fmt: skip
        every = [value for row in rows.values() for value in row["calibration"]]
        found[label] = {"calibration, mean of all fields": float(np.mean(every)), "fields": rows}
    return found


def sensitivity(bottle: Bottle, options: argparse.Namespace) -> dict[str, Any]:
    """Outgoing longwave over the west Pacific: gradient, and differences of draws over another sea."""
    lon, lat = healpix.lonlat(bottle.manifest.zoom)
    box = (lon > 130) & (lon < 170) & (np.abs(lat) < 10)
    months = bottle.sst_dataset()
    name = bottle.manifest.sst.variable if bottle.manifest.sst else None
    variable = name or str(next(iter(months.data_vars)))

    def mean(kelvin: float, steady: bool = False) -> xr.DataArray:
        sea = months.copy()
        change = np.where(box, kelvin, 0.0)
        sea[variable] = (months[variable].astype("f8") + change).assign_attrs(months[variable].attrs)
        ds = xr.open_dataset(bottle, engine="cbottle", sst=sea, time=[options.time], members=options.members,
                             label=options.source, progress=False)  # fmt: skip
        return ds.rlut.isel(cell=np.flatnonzero(box))

    gradient = xr_cbottle.sensitivity(mean(0.0)).sum("month").isel(time=0).load()
    patch = gradient.isel(cell=np.flatnonzero(box)).sum("cell").values
    found: dict[str, Any] = {"gradient, each member": patch.round(4).tolist(), "mean": float(patch.mean())}
    for step in (0.3, 0.1, 0.03):
        up, down = (mean(sign * step).astype("f8").mean("cell").isel(time=0).values for sign in (1, -1))
        numeric = (up - down) / (2 * step)
        found[f"differences of {step:g} K"] = {
            "mean": float(numeric.mean()),
            "largest distance from the gradient, over the largest": float(
                np.abs(numeric - patch).max() / np.abs(patch).max()
            ),
        }
    return found


def odds(bottle: Bottle, options: argparse.Namespace) -> dict[str, Any]:
    """A warm spell over a box: plain draws and steered ones."""
    event = xr_cbottle.events.parse("event", options.event)
    plain = xr_cbottle.events.Guide(event.event, 0.0)
    common = {"label": options.source, "progress": False, "cache_dir": options.cache}
    found = {}
    for name, guide, samples in (("plain", plain, options.plain), ("steered", event, options.samples)):
        ds = xr_cbottle.probability(guide, bottle, [options.time], samples=samples, **common)
        found[name] = {"samples": samples, **{key: float(ds[key].values[0]) for key in ds.data_vars}}
    return found


COMMANDS = {"translate": translate, "infill": infill, "sensitivity": sensitivity, "odds": odds}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("bottle")
    parser.add_argument("--cache", default="own_data_cache", help="folder of what is finished")
    parser.add_argument("--data", help="instants of the source instead of the bottle's own: netCDF")
    parser.add_argument("--source", default="jcm")
    parser.add_argument("--target", default="plasim")
    parser.add_argument("--instants", type=int, default=16)
    parser.add_argument("--year", type=int, default=1990)
    parser.add_argument("--strengths", type=float, nargs="+", default=[5.0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--time", default="1990-01-15T06")
    parser.add_argument("--event", default="box:variable=tas,west=0,east=30,south=42,north=58,above=280,softness=2")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--plain", type=int, default=256)
    parser.add_argument("-o", "--out", type=Path, help="where figures are written, as JSON")
    options = parser.parse_args(arguments)
    found = COMMANDS[options.what](open_bottle(options.bottle), options)
    text = json.dumps(found, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
