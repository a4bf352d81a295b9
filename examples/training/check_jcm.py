"""Compare a bottle with a year of the simulation it imitates: means, seasons, spread, and maps to look at.

    python check_jcm.py BOTTLE SIMULATION.nc [MORE.nc ...] --out FOLDER [--instants 96] [--steps 18]

Both are taken at the same instants, evenly spread over the simulation's. Writes figures.json and PNG files.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr

from xr_cbottle import channels, healpix
from xr_cbottle.emulator import Emulator, Sampler

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MAPS = ("tas", "pr", "pres_msl", "U250", "Z500", "rlut")


def simulated(paths: list[Path], names: tuple[str, ...], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and (time, channel, cell) of ``count`` evenly spread instants, in the channels' units."""
    with xr.open_mfdataset(paths, combine="by_coords", chunks={}) as dataset:
        chosen = dataset.isel(time=np.linspace(0, dataset.sizes["time"] - 1, count).astype(int)).load()
    fields = []
    for name in names:
        channel = channels.parse(name)
        field = chosen[channel.variable.name]
        field = field if channel.level is None else field.sel(pressure=channel.level)
        fields.append(field.values / channel.factor)
    return chosen.time.values, np.stack(fields, 1).astype(np.float32)


def seasons(tas: np.ndarray, times: np.ndarray, lat: np.ndarray) -> dict[str, float]:
    """January minus July of each hemisphere's mean."""
    month = times.astype("datetime64[M]").astype(int) % 12
    winter, summer = tas[month == 0].mean(0), tas[month == 6].mean(0)
    return {
        "north": float((winter - summer)[lat > 0].mean()),
        "south": float((winter - summer)[lat < 0].mean()),
    }


def compare(drawn: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Of each channel: global means, RMSE of the mean map over the total spread, ratio of spreads in time."""
    figures = {}
    for i, name in enumerate(names):
        a, b = drawn[:, i].astype(float), truth[:, i].astype(float)
        spread = a.std(0) / np.maximum(b.std(0), 1e-12)
        figures[name] = {
            "mean": float(a.mean()),
            "simulation": float(b.mean()),
            "bias_over_std": float((a.mean() - b.mean()) / b.std()),
            "rmse_over_std": float(np.sqrt(((a.mean(0) - b.mean(0)) ** 2).mean()) / b.std()),
            "pattern_correlation": float(np.corrcoef(a.mean(0), b.mean(0))[0, 1]),
            "spread_ratio": float(np.sqrt(a.var(0).mean() / b.var(0).mean())),
            "spread_ratio_median_cell": float(np.median(spread)),
            "spread_ratio_of_global_mean": float(a.mean(1).std() / b.mean(1).std()),
        }
    return figures


def draw_maps(path: Path, rows: list[tuple[str, dict[str, np.ndarray]]]) -> None:
    """One row of maps for each (title, {column title: (cell,) values}), rows sharing a colour scale."""
    import healpy

    lon, lat = np.meshgrid(np.linspace(0.5, 359.5, 360), np.linspace(-89.5, 89.5, 180))
    figure, axes = plt.subplots(
        len(rows), len(rows[0][1]), figsize=(4.2 * len(rows[0][1]), 2.2 * len(rows)), squeeze=False
    )
    for axis_row, (title, columns) in zip(axes, rows, strict=True):
        low, high = np.percentile(np.concatenate(list(columns.values())), [0.5, 99.5])
        for axis, (column, values) in zip(axis_row, columns.items(), strict=True):
            pixels = healpy.ang2pix(healpy.npix2nside(len(values)), lon, lat, nest=True, lonlat=True)
            image = axis.imshow(
                values[pixels], origin="lower", extent=(0, 360, -90, 90), vmin=low, vmax=high, cmap="viridis"
            )
            axis.set_title(f"{title}: {column}", fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
            figure.colorbar(image, ax=axis, shrink=0.7)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bottle")
    parser.add_argument("simulation", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--instants", type=int, default=96)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--sigma-max", type=float)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    emulator = Emulator(options.bottle)
    defaults = emulator.sampler
    emulator.sampler = Sampler(
        options.steps or defaults.num_steps, defaults.sigma_min, options.sigma_max or defaults.sigma_max, defaults.rho
    )
    names = emulator.channels
    times, truth = simulated(options.simulation, names, options.instants)
    began = time.perf_counter()
    drawn = emulator.draw(times).values
    seconds = time.perf_counter() - began

    _, lat = healpix.lonlat(emulator.zoom)
    tas = names.index("tas")
    per_channel = compare(drawn, truth, names)
    figures: dict[str, Any] = {
        "evaluation": {
            "reference": ", ".join(path.name for path in options.simulation),
            "instants": options.instants,
            "sampler": f"Heun, {emulator.sampler.num_steps} steps, sigma {emulator.sampler.sigma_max:g} to "
            f"{emulator.sampler.sigma_min:g}",
            "tas_global_mean_bias_K": round(float(drawn[:, tas].mean() - truth[:, tas].mean()), 3),
            "tas_january_minus_july_K": {
                "bottle": {k: round(v, 2) for k, v in seasons(drawn[:, tas], times, lat).items()},
                "simulation": {k: round(v, 2) for k, v in seasons(truth[:, tas], times, lat).items()},
            },
            "channels": {n: {k: float(f"{v:.4g}") for k, v in row.items()} for n, row in per_channel.items()},
        }
    }
    (options.out / "figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps({k: v for k, v in figures["evaluation"].items() if k != "channels"}, indent=1))
    print(f"{seconds / len(times):.2f} s an instant")
    for name, row in per_channel.items():
        print(f"{name:9s}" + "  ".join(f"{k} {v:9.4g}" for k, v in row.items()))

    shown = [name for name in MAPS if name in names]
    instants, climate = [], []
    first, last = 0, len(times) // 2
    for name in shown:
        i = names.index(name)
        instants.append((name, {
            "simulation, first": truth[first, i], "bottle, first": drawn[first, i],
            "simulation, middle": truth[last, i], "bottle, middle": drawn[last, i],
        }))  # fmt: skip
        climate.append((name, {"mean, simulation": truth[:, i].mean(0), "mean, bottle": drawn[:, i].mean(0)}))
        climate.append((name, {"std, simulation": truth[:, i].std(0), "std, bottle": drawn[:, i].std(0)}))
    draw_maps(options.out / "instants.png", instants)
    draw_maps(options.out / "climate.png", climate)


if __name__ == "__main__":
    main()
