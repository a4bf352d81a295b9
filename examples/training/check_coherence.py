"""A bottle's weather in time against a simulation that it has not seen: correlations, speeds, means and spells.

    python check_coherence.py BOTTLE SIMULATION.nc --label jcm [--coherence latents] [--days 120] [-o check]

The simulation's file is a series at a regular step, and the bottle is drawn at the same times. Of each of some fields:
the correlation of anomalies with themselves 6 hours, 1, 3 and 10 days later, the phase speed of waves at 45 N, the
variance of means over 1, 5 and 30 days, and the length of spells above the 90 % quantile. Anomalies are about the
bottle's climatology, in its units, for both. Targets: correlations within 0.1, speeds within 30 %, variances within
20 %.
What is drawn is kept beside the figures, and a second call goes on with it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics, open_bottle
from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.cube.checks import coherence as checked
from xr_cbottle.draw.emulator import Emulator, Instant
from xr_cbottle.training import run_sources
from xr_cbottle.training.source_config import SourceConfig

FIELDS = ("pres_msl", "tas", "Z500", "U250")
LAGS = (0.25, 1.0, 3.0, 10.0)
MEANS = (1.0, 5.0, 30.0)
WAVES = (4, 5, 6, 7, 8)
LATITUDE = 45.0
BLOCK = 20
CORRELATION, SPEED, VARIANCE = 0.1, 0.3, 0.2


def simulated(
    bottle: Bottle, path: str, label: str, days: tuple[int, int], fields: Sequence[str]
) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.float32]]:
    """Times and (time, field, cell) standardised anomalies of a simulation, of some days of its file."""
    source = SourceConfig(label=label, start="0001-01-01", end="9999-01-01", files=(path,))
    climatology = bottle.climatology()
    assert climatology is not None
    places = [bottle.manifest.channels.index(name) for name in fields]
    with run_sources.opened(source, path) as instants:
        since = (instants.times - instants.times[0]) / np.timedelta64(1, "D")
        chosen = np.flatnonzero((since >= days[0]) & (since < days[1]))
        found = []
        for block in np.array_split(chosen, -(-len(chosen) // 100)):
            values = np.zeros((len(block), len(bottle.manifest.channels), 12 * 4**bottle.manifest.zoom), np.float32)
            values[:, places] = instants.read(block, fields, bottle.manifest.zoom)
            plain = dataclasses.replace(climatology, calibration=None)
            times = instants.times[block]
            x = plain.standardised(values, label, times, Emulator(bottle).predictors(times))
            found.append(x[:, places].astype(np.float32))
        return instants.times[chosen].astype("datetime64[s]"), np.concatenate(found)


def drawn(
    emulator: Emulator, times: npt.NDArray[np.datetime64], label: str, fields: Sequence[str], kept: Path, seed: int
) -> npt.NDArray[np.float32]:
    """(time, field, cell) standardised anomalies that a bottle draws at some times, unless the folder has them."""
    from tqdm import tqdm

    kept.mkdir(parents=True, exist_ok=True)
    places = [emulator.channels.index(name) for name in fields]
    climatology = emulator.climatology
    assert climatology is not None
    plain = dataclasses.replace(climatology, calibration=None)
    found = []
    for first in tqdm(range(0, len(times), BLOCK), desc="draw", unit="block"):
        some = times[first : first + BLOCK]
        path = kept / f"{str(some[0]).replace(':', '')}.npy"
        if not path.exists():
            values = emulator.draw_instants([Instant(label, seed, 0, time) for time in some])
            x = plain.standardised(values.astype(np.float64), label, some, emulator.predictors(some))[:, places]
            np.save(path, x.astype(np.float32))
        found.append(np.load(path))
    return np.concatenate(found)


def figures(x: npt.NDArray[np.float32], times: npt.NDArray[np.datetime64], fields: Sequence[str]) -> dict[str, Any]:
    """The figures of one series, (time, field, cell)."""
    whole = xr.DataArray(x, {"time": times.astype("datetime64[ns]"), "field": list(fields)}, ("time", "field", "cell"))
    step = float(np.median(np.diff(times)) / np.timedelta64(1, "D"))
    found: dict[str, Any] = {}
    for name in fields:
        one = whole.sel(field=name, drop=True).rename(name)
        lags = [max(1, round(lag / step)) * step for lag in LAGS]
        daily = one.coarsen(time=max(1, round(1 / step)), boundary="trim").mean()
        spells = diagnostics.spells(daily)
        speeds = diagnostics.phase_speed(one, LATITUDE, WAVES, lag=step)
        found[name] = {
            "correlation": _named(LAGS, diagnostics.lag_correlation(one, lags)),
            "speed": float(speeds.mean_speed),
            "speeds": _named(WAVES, speeds.speed),
            "variance": float((one**2).mean()),
            "means": _named(MEANS, diagnostics.variance_of_means(one, MEANS)),
            "spell_days": float(spells.mean_length.mean()),
            "in_long_spells": float(spells.in_long.mean()),
        }
    return found


def _named(names: Sequence[float], values: xr.DataArray) -> dict[str, float]:
    return dict(zip(map(str, names), values.values.tolist(), strict=True))


def verdicts(of_bottle: dict[str, Any], of_truth: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each target: field, what it is, both figures, and whether it is met."""
    rows: list[dict[str, Any]] = []

    def judge(name: str, what: str, a: float, b: float, bound: float, relative: bool) -> None:
        off = abs(a - b) / (abs(b) if relative else 1.0)
        rows.append(dict(field=name, what=what, drawn=a, simulated=b, met=bool(off <= bound)))

    for name, truth in of_truth.items():
        one = of_bottle[name]
        for lag in truth["correlation"]:
            judge(
                name,
                f"correlation after {lag} d",
                one["correlation"][lag],
                truth["correlation"][lag],
                CORRELATION,
                False,
            )
        judge(name, "speed at 45N, m/s", one["speed"], truth["speed"], SPEED, True)
        for length in truth["means"]:
            judge(name, f"variance of {length} d means", one["means"][length], truth["means"][length], VARIANCE, True)
        judge(name, "days of a warm or high spell", one["spell_days"], truth["spell_days"], VARIANCE, True)
    return rows


def hovmoeller(
    pictures: dict[str, npt.NDArray[np.float32]], times: npt.NDArray[np.datetime64], path: Path, days: int = 30
) -> None:
    """Draw time against longitude of a field at 45 N, side by side."""
    import matplotlib.pyplot as plt

    step = float(np.median(np.diff(times)) / np.timedelta64(1, "D"))
    some = round(days / step)
    figure, axes = plt.subplots(1, len(pictures), figsize=(9, 4.6), sharey=True, layout="constrained")
    for axis, (name, x) in zip(np.atleast_1d(axes), pictures.items(), strict=True):
        stamps = times[:some].astype("datetime64[ns]")
        field = xr.DataArray(x[:some], {"time": stamps}, ("time", "cell"))
        ring, place = diagnostics.ring_of(field, LATITUDE)
        mesh = axis.pcolormesh(
            ring.longitude, np.arange(some) * step, ring.values, cmap="RdBu_r", vmin=-1.5, vmax=1.5, shading="nearest",
            rasterized=True,
        )  # fmt: skip
        axis.set(title=name, xlabel="longitude, °E", xticks=(0, 90, 180, 270, 360))
    np.atleast_1d(axes)[0].set_ylabel(f"days from {str(times[0])[:10]}")
    figure.colorbar(mesh, ax=axes, shrink=0.7, label=f"height of 500 hPa at {place:.0f} °N (spread: 0.5)")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print a table, and write figures.json and a picture; 0 if every target is met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bottle")
    parser.add_argument("simulation")
    parser.add_argument("--label", required=True)
    parser.add_argument("--coherence", nargs="+", default=["none", "latents"])
    parser.add_argument("--days", type=int, nargs=2, default=(0, 120), metavar=("FIRST", "END"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, default=Path("check"))
    options = parser.parse_args(arguments)
    bottle = open_bottle(options.bottle)
    times, truth = simulated(bottle, options.simulation, options.label, tuple(options.days), FIELDS)
    table, pictures = {"simulation": figures(truth, times, FIELDS)}, {"simulation": truth[:, FIELDS.index("Z500")]}
    met = True
    for how in options.coherence:
        asked = checked("coherence", how)
        emulator = Emulator(bottle, coherence=None if asked == "none" else asked)
        x = drawn(emulator, times, options.label, FIELDS, options.out / f"{options.label}_{how}", options.seed)
        table[how] = figures(x, times, FIELDS)
        pictures[f"coherence={how}"] = x[:, FIELDS.index("Z500")]
        rows = verdicts(table[how], table["simulation"])
        print(f"{options.label}, coherence={how}: {sum(row['met'] for row in rows)} of {len(rows)} targets are met")
        for row in rows:
            mark = "" if row["met"] else "  missed"
            print(f"  {row['field']:<9}{row['what']:<30}{row['drawn']:8.3f}{row['simulated']:8.3f}{mark}")
        met = met and all(row["met"] for row in rows)
    (options.out / f"{options.label}.json").write_text(json.dumps(table, indent=1))
    hovmoeller(pictures, times, options.out / f"{options.label}.png")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
