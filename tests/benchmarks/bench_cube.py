"""What engine and cube add to drawing the same batch with the emulator directly: under 5 % is wanted.

Both draw the same instants by turns, with nothing in the cache; the overhead is also measured with the network
left out, where it does not drown in the noise of the machine.

python -m tests.benchmarks.bench_cube [BOTTLE [REPEATS]]
"""

from __future__ import annotations

import sys

import numpy as np
import xarray as xr

from tests.benchmarks.measure import alternating, table
from xr_cbottle.cube.cube import Cube
from xr_cbottle.draw.emulator import Emulator, Instant


def main(bottle: str = "gcm", repeats: int = 5, num_steps: int = 18) -> None:
    cube = Cube(bottle, cache_size=0, num_steps=num_steps)
    emulator = cube.emulator()
    ds = xr.open_dataset(bottle, engine="cbottle", cache=False, cache_size=0, num_steps=num_steps)
    count = cube.spec.batch_size
    stamps = ds.time.values[1000 : 1000 + count]
    instants = [Instant(cube.spec.label, 0, 0, time.astype("datetime64[s]")) for time in stamps]
    chunked = cube.to_dataset(chunks={}).isel(time=slice(1000, 1000 + count))

    runs = {
        "Emulator.draw_instants": lambda: emulator.draw_instants(instants),
        "ds[one variable].values": lambda: ds["tas"].isel(time=slice(1000, 1000 + count)).values,
        "to_dataset(chunks={}), all variables": lambda: chunked.compute(scheduler="synchronous"),
    }
    for run in runs.values():
        run()
    report(f"{bottle}, a batch of {count} instants, {num_steps} steps", runs, repeats)

    # The same with a network that takes no time.
    drawn = emulator.draw_instants(instants)
    shared = Emulator.draw_instants
    Emulator.draw_instants = lambda self, wanted: np.array(drawn[: len(wanted)])  # type: ignore[method-assign]
    try:
        report("without the network", runs, 10 * repeats)
    finally:
        Emulator.draw_instants = shared  # type: ignore[method-assign]


def report(title: str, runs: dict, repeats: int) -> None:
    timings = alternating(list(runs.values()), repeats)
    base = timings[0]
    rows = [
        (name, f"{1000 * t.least:.1f}", f"{1000 * t.median:.1f}", f"{1000 * (t.least - base.least):+.1f} ms",
         f"{100 * (t.least / base.least - 1):+.1f} %")
        for name, t in zip(runs, timings, strict=True)
    ]  # fmt: skip
    print(table((title, "least cpu ms", "median cpu ms", "more than the first", ""), rows), end="\n\n")


if __name__ == "__main__":
    main(*sys.argv[1:2], *(int(argument) for argument in sys.argv[2:3]))
