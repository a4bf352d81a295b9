"""What a value costs: drawn, by settings, batches, processes and lengths of the axis; kept; and stored on this disk.

python -m tests.benchmarks.bench_reads [BOTTLE] [--repeats 3]

Seconds are those of the processor, of all threads, so that what else the machine does changes them little; where it
says "over", by turns in one run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from tests.benchmarks.measure import alternating, table
from xr_cbottle.cube import cache
from xr_cbottle.cube.cube import Cube

BATCHES = (1, 2, 4, 8)
PROCESSES = (1, 2)
SETTINGS: dict[str, dict[str, object]] = {
    "its defaults": {},
    "num_steps=8": {"num_steps": 8},
    "num_steps=18": {"num_steps": 18},
    'solver="heun", num_steps=18': {"solver": "heun", "num_steps": 18},
}
Rows = list[list[object]]


def opened(bottle: str, **keywords: object) -> xr.Dataset:
    """A data set whose reads are not kept by xarray."""
    return xr.open_dataset(bottle, engine="cbottle", cache=False, progress=False, **keywords)  # type: ignore[arg-type]


def block(ds: xr.Dataset, count: int) -> Callable[[], object]:
    """A read of some instants, of which none is kept from the last time."""
    part = ds.isel(time=slice(16, 16 + count))
    name = next(iter(ds.data_vars))

    def read() -> object:
        cache.shared().clear()
        return part[name].values

    return read


def settings(bottle: str, repeats: int) -> Rows:
    """Evaluations of the network, and seconds an instant, of settings of the sampler."""
    cubes = [Cube(bottle, **keywords) for keywords in SETTINGS.values()]  # type: ignore[arg-type]
    counts = [max(4, cube.spec.batch_size) for cube in cubes]
    reads = [block(opened(bottle, **keywords), n) for keywords, n in zip(SETTINGS.values(), counts, strict=True)]
    seconds = [t.least / n for t, n in zip(_timings(reads, repeats), counts, strict=True)]
    return [
        [name, cube.emulator().sampler.evaluations, f"{one:.3f}", f"{one / seconds[0]:.2f}"]
        for name, cube, one in zip(SETTINGS, cubes, seconds, strict=True)
    ]


def batches(bottle: str, repeats: int) -> Rows:
    """Seconds an instant by the size of a batch."""
    reads = [block(opened(bottle, batch_size=n), max(BATCHES)) for n in BATCHES]
    seconds = [t.least / max(BATCHES) for t in _timings(reads, repeats)]
    return [[n, f"{one:.3f}", f"{one / seconds[0]:.2f}"] for n, one in zip(BATCHES, seconds, strict=True)]


def _timings(reads: list[Callable[[], object]], repeats: int):
    for read in reads:
        read()  # what is made once
    return alternating(reads, repeats)


def processes(bottle: str, repeats: int) -> Rows:
    """Processor seconds an instant where several processes draw at the same time, each some batches of its own."""
    rows: Rows = []
    for count in PROCESSES:
        command = [sys.executable, "-m", "tests.benchmarks.bench_reads", bottle, "--repeats", str(repeats), "--draw"]
        at_once = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        said = [json.loads(process.communicate()[0].splitlines()[-1]) for process in at_once]
        rows.append([count, f"{np.mean([one['cpu'] for one in said]):.3f}", f"{max(o['mb'] for o in said):.0f}"])
    return [[*row, f"{float(str(row[1])) / float(str(rows[0][1])):.2f}"] for row in rows]


def draw(bottle: str, repeats: int) -> dict[str, float]:
    """What one process of `processes` measures."""
    from tests.benchmarks.bench_scale import peak

    ds = opened(bottle)
    count = Cube(bottle).spec.batch_size
    read = block(ds, count)
    read()
    begin = time.process_time()
    for _ in range(repeats):
        read()
    return {"cpu": (time.process_time() - begin) / (count * repeats), "mb": peak()}


def lengths(bottle: str, repeats: int) -> Rows:
    """Opening, selecting a time, and reading it where it is kept, by how many times and members the data set has."""
    rows: Rows = []
    first = str(Cube(bottle).to_dataset().time.values[0])[:10]
    for what, keywords in {
        "a day": {"time": slice(first, first, "PT1H")},
        "all hours": {"time": "PT1H"},
        "all hours, 4096 members": {"time": "PT1H", "members": 4096},
    }.items():
        ds = opened(bottle, **keywords)
        last = {dim: -1 for dim in ("member", "time") if dim in ds.dims}
        name = next(iter(ds.data_vars))
        ds[name].isel(last).load()
        stamp, rest = ds.time.values[-1], {dim: -1 for dim in last if dim != "time"}
        timings = alternating(
            [
                lambda keywords=keywords: opened(bottle, **keywords),
                lambda ds=ds, name=name, rest=rest, stamp=stamp: ds[name].isel(rest).sel(time=stamp),
                lambda ds=ds, name=name, last=last: ds[name].isel(last).values,
                lambda keywords=keywords: opened(bottle, chunks={}, **keywords),
            ],
            repeats,
        )
        count = int(np.prod([ds.sizes[dim] for dim in last]))
        rows.append([what, f"{count:,}", *(f"{1000 * t.least:.2f}" for t in timings)])
    return rows


def stored(bottle: str, repeats: int) -> Rows:
    """One chunk: a batch of instants of one variable, drawn, kept in memory, and written to the disk."""
    ds = opened(bottle)
    name, count = next(iter(ds.data_vars)), Cube(bottle).spec.batch_size
    part = ds[[name]].isel(time=slice(16, 16 + count)).load().chunk(time=count)
    with tempfile.TemporaryDirectory() as folder:
        zarr, raw, nc = (Path(folder, one) for one in ("zstd.zarr", "raw.zarr", "a.nc"))
        part.to_zarr(zarr, consolidated=True, zarr_format=2)
        part.to_zarr(raw, consolidated=True, zarr_format=2, encoding={name: {"compressor": None}})
        part.to_netcdf(nc)
        kept = {
            "zarr on this disk, compressed": xr.open_dataset(zarr, engine="zarr", cache=False),
            "zarr on this disk, not compressed": xr.open_dataset(raw, engine="zarr", cache=False),
            "netCDF on this disk": xr.open_dataset(nc, cache=False),
            "kept in memory": ds.isel(time=slice(16, 16 + count)),
        }
        reads = [lambda one=one: one[name].values for one in kept.values()]
        timings = _timings(reads, 10 * repeats)
        drawn = min(t.least for t in alternating([block(ds, count)], repeats))
        for one in kept.values():
            one.close()
    size = part[name].nbytes / 1e6
    of_each = [("drawn", drawn), *zip(kept, (t.least for t in timings), strict=True)]
    return [[what, f"{1000 * seconds:.2f}", f"{size / seconds:.1f}"] for what, seconds in of_each]


TABLES: dict[str, tuple[Callable[[str, int], Rows], tuple[str, ...]]] = {
    "settings": (settings, ("settings of the sampler", "evaluations", "cpu s an instant", "over the first")),
    "batch": (batches, ("batch", "cpu s an instant", "over the first")),
    "processes": (processes, ("processes", "cpu s an instant", "MB of one at most", "over the first")),
    "length": (
        lengths, ("axis", "instants", "open, ms", "select, ms", "read what is kept, ms", "open with chunks={}, ms")
    ),
    "stored": (stored, ("a batch of one variable", "cpu ms", "MB a cpu s")),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bottle", nargs="?", default="gcm")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--draw", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        print(json.dumps(draw(options.bottle, options.repeats)))
        return
    for name in options.tables:
        make, heads = TABLES[name]
        print(table(heads, make(options.bottle, options.repeats)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
