"""Which settings of the sampler are enough: draw the same instants with several, and hold them against the dearest.

    python choose_sampler.py BOTTLE LABEL=SIMULATION.nc [LABEL=MORE.nc ...] [--instants 32] [-o sampler.json]

The settings are those below and the levels that the bottle offers (`xr-cbottle pack --choose-levels`).
The noise is the same for all settings, so that what differs is the sampler's doing. Each figure is judged by its noise
floor: what it is between as many instants of the simulation's odd and even days. The cheapest setting whose figures
all lie within their floors is enough.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import healpy
import numpy as np
import xarray as xr

from xr_cbottle.bottle.sampler import SamplerDefaults
from xr_cbottle.draw.emulator import Emulator, Sampler
from xr_cbottle.fields import channels

#: (solver, steps, largest noise level); the first is what the others are held against.
SETTINGS = (
    ("heun", 36, 200.0), ("heun", 18, 200.0), ("heun", 18, 80.0), ("heun", 12, 80.0),
    ("dpmpp_2m", 36, 80.0), ("dpmpp_2m", 24, 80.0), ("dpmpp_2m", 18, 80.0), ("dpmpp_2m", 14, 80.0),
)  # fmt: skip
DEGREES = slice(1, 22)  # two thirds of what zoom 4 resolves


def simulated(path: str, names: tuple[str, ...], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and (time, channel, cell) of ``2 count`` evenly spread instants, in the channels' units."""
    with xr.open_dataset(path) as dataset:
        chosen = dataset.isel(time=np.linspace(0, dataset.sizes["time"] - 1, 2 * count).astype(int)).load()
    fields = []
    for name in names:
        channel = channels.parse(name)
        field = chosen[channel.variable.name]
        fields.append((field if channel.level is None else field.sel(pressure=channel.level)).values / channel.factor)
    return chosen["time"].values, np.stack(fields, 1).astype(np.float32)


def spectra(fields: np.ndarray) -> np.ndarray:
    """(time, channel, cell NEST) -> (channel, degree): mean power of the instants."""
    ring = healpy.ring2nest(healpy.npix2nside(fields.shape[-1]), np.arange(fields.shape[-1]))
    lmax = DEGREES.stop - 1
    return np.stack(
        [np.mean([healpy.anafast(one[ring], lmax=lmax) for one in fields[:, i]], 0) for i in range(fields.shape[1])]
    )[:, DEGREES]


def figures(fields: np.ndarray, reference: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
    """(channel,) differences of two sets of instants: of means, of the mean map, of spread and of spectra."""
    mean = fields.mean(0) - reference.mean(0)
    return {
        "global mean / std": np.abs(mean.mean(-1)) / scale,
        "RMSE of the mean / std": np.sqrt((mean**2).mean(-1)) / scale,
        "spread ratio - 1": np.abs(fields.std(0).mean(-1) / reference.std(0).mean(-1) - 1),
        "largest spectrum ratio - 1": np.abs(spectra(fields) / spectra(reference) - 1).max(-1),
        "0.1 and 99.9 % quantiles / std": np.abs(
            np.quantile(fields, [0.001, 0.999], (0, 2)) - np.quantile(reference, [0.001, 0.999], (0, 2))
        ).max(0) / scale,
    }  # fmt: skip


def settings(default: SamplerDefaults) -> Iterator[tuple[str, Sampler]]:
    """The settings that are compared, by name."""
    for solver, steps, sigma_max in SETTINGS:
        name = f"{solver}, {steps} steps from {sigma_max:g}"
        yield name, Sampler(steps, default.sigma_min, sigma_max, default.rho, solver)
    for levels in default.sigmas:
        name = f"{default.solver}, {len(levels)} chosen levels"
        yield name, Sampler(len(levels), levels[-1], levels[0], default.rho, default.solver, levels)


def main() -> None:
    """Draw, compare, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bottle")
    parser.add_argument("simulation", nargs="+", metavar="LABEL=FILE")
    parser.add_argument("--instants", type=int, default=32)
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    emulator = Emulator(options.bottle)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for pair in options.simulation:
        label, _, path = pair.partition("=")
        lacking = emulator.bottle.manifest.labels[label].masked
        names = tuple(name for name in emulator.channels if name not in lacking)
        times, truth = simulated(path, names, options.instants)
        scale = truth.std((0, 2))
        floor = figures(truth[::2], truth[1::2], scale)
        rows: dict[str, dict[str, float]] = {}
        for name, sampler in settings(emulator.bottle.manifest.sampler):
            emulator.sampler = sampler
            began = time.perf_counter()
            drawn = emulator.draw(times[::2], label=label).sel(channel=list(names)).values
            seconds = (time.perf_counter() - began) / options.instants
            if not rows:
                dearest = drawn
            found = figures(drawn, dearest, scale)
            # Of each figure its worst channel, over the floor of all: 1 is as much as the simulation differs.
            over = {figure: found[figure] / np.sqrt((floor[figure] ** 2).mean()) for figure in found}
            rows[name] = {
                "evaluations": emulator.sampler.evaluations,
                "seconds": round(seconds, 2),
                **{figure: round(float(values.max()), 3) for figure, values in over.items()},
                "worst channel of the spectrum": names[int(over["largest spectrum ratio - 1"].argmax())],
            }
            print(label, name, rows[name], flush=True)
        table[label] = rows
    if options.out:
        options.out.write_text(json.dumps({"bottle": emulator.bottle.digest, "over_noise_floor": table}, indent=1))


if __name__ == "__main__":
    main()
