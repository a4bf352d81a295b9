"""Fine fields that a bottle's super-resolution has not seen, coarsened and drawn again, against themselves.

    python check_superres.py BOTTLE FINE.nc [MORE.nc ...] --days 22-31 [--instants 12] [-o check]

Each network of the bottle is given the exact means of the same instants. Targets, for each variable: power at the added
scales within 25 % of the truth's, in two bands of degrees; standard deviation within 15 %, of all and of what is
finer than the coarse cells; the coarse field given back within 5 % of its standard deviation; and the distilled network
within 10 % of the full one in power and standard deviations.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xr_cbottle import open_bottle
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.draw.fine import finest_zoom
from xr_cbottle.evaluation import closeup, refinement
from xr_cbottle.evaluation.closeup import Box
from xr_cbottle.fields import channels

SPECTRUM, SPREAD, COARSE, DISTILLED = 0.25, 0.15, 0.05, 0.10


def days_of(text: str) -> tuple[int, int]:
    """First and last day of a month of ``22-31``."""
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last) <= 31):
        raise argparse.ArgumentTypeError(f"{text!r} are no days of a month: write them as 22-31")
    return int(first), int(last)


def held_out(paths: Sequence[Path], names: Sequence[str], days: tuple[int, int], count: int) -> xr.Dataset:
    """(time, cell) in memory: instants of some days of each month, evenly spread over those that there are."""
    parts = []
    for path in paths:
        with xr.open_dataset(path) as ds:
            lacking = [name for name in names if name not in ds]
            if lacking:
                raise ValueError(f"{path} has no {', '.join(lacking)}, which the bottle super-resolves")
            day = ds["time"].dt.day
            part = ds[list(names)].isel(time=np.flatnonzero((day >= days[0]) & (day <= days[1])))
            chosen = np.linspace(0, part.sizes["time"] - 1, -(-count // len(paths))).round().astype(int)
            if part.sizes["time"]:
                parts.append(part.isel(time=np.unique(chosen)).load())
    if not parts:
        raise ValueError(f"no file has an instant on days {days[0]} to {days[1]} of a month")
    whole = xr.concat(parts, "time", combine_attrs="override")
    return whole.drop_vars([name for name in whole.coords if name != "time"])


def verdicts(table: Mapping[str, Mapping[str, Mapping[str, Any]]], networks: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each target: variable, network, what it is, figure, bound, and whether it is met."""
    rows: list[dict[str, Any]] = []

    def judge(variable: str, network: str, what: str, figure: float, bound: float) -> None:
        met = bool(abs(figure) <= bound)  # not if NaN
        rows.append(dict(variable=variable, network=network, what=what, figure=figure, bound=bound, met=met))

    for variable, ways in table.items():
        for network in networks:
            one = ways[network]
            for part, ratio in one["spectrum_ratio"].items():
                judge(variable, network, f"power at degrees {part} / truth - 1", ratio - 1, SPECTRUM)
            judge(variable, network, "std / truth - 1", one["std_ratio"] - 1, SPREAD)
            judge(variable, network, "std of added scales / truth - 1", one["fine_std_ratio"] - 1, SPREAD)
            judge(variable, network, "coarse field given back, RMS / std", one["coarse_error"], COARSE)
        if {"full", "distilled"} <= set(networks):
            few, full = ways["distilled"], ways["full"]
            for part, ratio in few["spectrum_ratio"].items():
                figure = ratio / full["spectrum_ratio"][part] - 1
                judge(variable, "distilled", f"power at degrees {part} / full - 1", figure, DISTILLED)
            for key, what in (("std", "std"), ("fine_std", "std of added scales")):
                judge(variable, "distilled", f"{what} / full - 1", few[key] / full[key] - 1, DISTILLED)
    return rows


def main() -> None:
    """Read, coarsen, draw, judge; write figures.json and three pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bottle")
    parser.add_argument("fine", nargs="+", type=Path, help="netCDF on the cells of the bottle's finest zoom")
    parser.add_argument("--days", type=days_of, default=(22, 31), help="of each month, held out (22-31)")
    parser.add_argument("--instants", type=int, default=12, help="evenly spread (12)")
    parser.add_argument("--members", type=int, default=1, help="draws of each (1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=("tiles", "global"), default="tiles")
    parser.add_argument("--maps", nargs="+", default=["tas", "uas", "pr"], metavar="NAME", help="shown (tas uas pr)")
    parser.add_argument("--box", type=float, nargs=4, default=(-25, 45, 30, 70), metavar=("W", "E", "S", "N"))
    parser.add_argument("-o", "--out", type=Path, default=Path("check"))
    options = parser.parse_args()

    try:
        bottle = open_bottle(options.bottle)
    except (OSError, BottleError) as error:
        parser.error(str(error))
    native, zoom = bottle.manifest.zoom, finest_zoom(bottle.manifest)
    networks = refinement.networks(bottle)
    if not networks:
        parser.error(f"{bottle.manifest.name} has no super-resolution: choose a bottle that has")
    names = [channels.parse(one).variable.name for one in bottle.manifest.superres[0].superres.channels]
    try:
        truth = held_out(options.fine, names, options.days, options.instants)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    coarse = refinement.averaged(truth, native)
    settings = {"members": options.members, "seed": options.seed}
    ways = refinement.ways(coarse, bottle, zoom, networks, **settings, sr_mode=options.mode)
    found = refinement.portrait(truth, ways, native)
    table = refinement.figures(found, native, zoom)
    rows = verdicts(table, networks)

    print("\n".join(refinement.lines(table)))
    text = [("variable", "network", "target", "figure", "bound", "")]
    text += [
        (row["variable"], row["network"], row["what"], f"{row['figure']:+.3f}", f"{row['bound']:g}",
         "met" if row["met"] else "missed")
        for row in rows
    ]  # fmt: skip
    print("\n".join(refinement.aligned(text)))
    print(f"{sum(row['met'] for row in rows)} of {len(rows)} met")
    options.out.mkdir(parents=True, exist_ok=True)
    facts = {
        "bottle": bottle.manifest.name, "digest": bottle.digest, "native_zoom": native, "zoom": zoom,
        "files": [path.name for path in options.fine], "days": list(options.days),
        "times": [str(time) for time in truth["time"].values.astype("datetime64[h]")],
        **settings, "mode": options.mode,
    }  # fmt: skip
    report = {"about": facts, "figures": table, "targets": rows}
    (options.out / "figures.json").write_text(json.dumps(report, indent=1) + "\n")

    middle = {"time": truth.sizes["time"] // 2}
    shown = {f"coarse (zoom {native})": coarse.isel(middle), "bilinear": ways[refinement.BILINEAR].isel(middle)}
    shown |= {way: ways[way].isel(middle, drop=True).isel(member=0) for way in networks}
    shown["simulation"] = truth.isel(middle)
    closeup.write(options.out, {
        "maps": closeup.maps(shown, options.maps, Box(*options.box)),
        "spectra": closeup.spectra(found, native, zoom, (1 - SPECTRUM, 1 + SPECTRUM)),
        "quantiles": closeup.quantiles(found),
    })  # fmt: skip


if __name__ == "__main__":
    main()
