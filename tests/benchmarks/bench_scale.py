"""Scale: graphs above the native zoom, maps in a loop, memory of a job, and a cluster of many workers.

python -m tests.benchmarks.bench_scale [graphs loop memory cluster]

Each measurement runs in a process of its own, so that peaks are its own. Drawing is left out where it is not what is
measured: `tests.pretended` gives fields of the same size that cost nothing, or sleeps. Seconds are those of the
processor, but for ``cluster``, which is about what waits.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.measure import table


def peak() -> float:
    """MB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def graph(name: str, zoom: str, what: str) -> list[object]:
    """Selecting a year of hours of a fine data set, or planning monthly means over a box; nothing is drawn."""
    import dask
    import xarray as xr

    from xr_cbottle.grid import healpix

    lon, lat = healpix.lonlat(int(zoom))
    box = np.flatnonzero((np.abs(lon - 10) < 5) & (np.abs(lat - 50) < 5))
    del lon, lat
    ds = xr.open_dataset(name, engine="cbottle", zoom=int(zoom), chunks={})
    before, begin, tasks = peak(), time.process_time(), 0
    year = ds.isel(time=slice(7000, 7000 + 8760))
    if what == "a month's mean":
        (planned,) = dask.optimize(year.isel(time=slice(744)).tas.isel(cell=box).mean("time"))
        tasks = len(planned.data.dask)
    elif what == "monthly means":
        (planned,) = dask.optimize(year.tas.isel(cell=box).resample(time="MS").mean())
        tasks = len(planned.data.dask)
    return [name, zoom, what, f"{time.process_time() - begin:.2f}", f"{peak() - before:.0f}", tasks or ""]


def loop(name: str, repeats: str) -> list[object]:
    """Four maps one after the other against a read of four, by turns; and a map by itself."""
    import xarray as xr

    from xr_cbottle.cube import cache

    ds = xr.open_dataset(name, engine="cbottle", progress=False)
    ds.tas.isel(time=9000).load()  # what is made once
    seconds: dict[str, list[float]] = {"read": [], "loop": [], "one": []}
    for i in range(int(repeats)):
        start = 100 * (i + 1)
        for what, reads in (
            ("read", [slice(start, start + 4)]),
            ("loop", [*range(start, start + 4)]),
            ("one", [start]),
        ):
            cache.shared().clear()
            begin = time.process_time()
            for at in reads:
                ds.tas.isel(time=at).load()
            seconds[what].append(time.process_time() - begin)
    read, maps, one = (sorted(values)[len(values) // 2] for values in seconds.values())
    return [name, f"{read:.2f}", f"{maps:.2f}", f"{maps / read:.2f}", f"{one / read:.2f}"]


def memory(name: str) -> list[object]:
    """A month of hours to zarr with the default keywords, and nothing drawn."""
    import torch  # noqa: F401  # it is there in any job

    from tests.pretended import pretended

    with tempfile.TemporaryDirectory() as folder:
        ds = pretended(name, Path(folder, "made")).to_dataset(chunks={})
        ds.isel(time=slice(4)).to_zarr(Path(folder, "few.zarr"), consolidated=False)
        before = peak()
        ds.isel(time=slice(744)).to_zarr(Path(folder, "month.zarr"), consolidated=False)
        return [name, f"{before:.0f}", f"{peak():.0f}"]


def cluster(name: str, workers: str, instants: str) -> list[object]:
    """Many workers, of which each takes a second to draw a batch; one of them is lost on the way."""
    from distributed import Client, LocalCluster

    from tests.pretended import made, pretended

    count = int(instants)
    with tempfile.TemporaryDirectory() as folder:
        cube = pretended(name, Path(folder, "made"), seconds=1.0)
        mean = cube.to_dataset(chunks={}).tas.isel(time=slice(count)).mean("cell")
        ours = LocalCluster(n_workers=int(workers), threads_per_worker=1, processes=False, dashboard_address=None)
        with ours, Client(ours) as client:
            begin, busy = time.perf_counter(), time.process_time()
            got = client.compute(mean).result()
            taken, busy = time.perf_counter() - begin, time.process_time() - busy
            tasks = sum(len(state.transition_log) for state in [client.cluster.scheduler])
            lost = client.compute(cube.to_dataset(chunks={}).tas.isel(time=slice(count)).mean("cell") + 0)
            time.sleep(2)
            client.sync(next(iter(ours.workers.values())).close, nanny=False)
            again = lost.result()
        np.testing.assert_array_equal(got.values, again.values)
        drawn = made(Path(folder, "made"))
        once = sum(drawn.values()) / len(drawn)
    return [name, workers, count, f"{taken:.1f}", f"{1000 * busy / max(tasks, 1):.2f}", f"{once:.2f}"]


def alone(what: str, *arguments: str) -> list[object]:
    """The row that a process of its own measures."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_scale", "--measure", what, *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


MEASURES: dict[str, Callable[..., list[object]]] = {"graph": graph, "loop": loop, "memory": memory, "cluster": cluster}
GRAPHS = [
    (name, zoom, what)
    for name, zoom in (("gcm", "5"), ("icon", "10"))
    for what in ("a year", "a month's mean", "monthly means")
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whats = ("graphs", "loop", "memory", "cluster")
    parser.add_argument("what", nargs="*", default=whats, help=", ".join(whats))
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, *arguments = options.measure
        print(json.dumps(MEASURES[what](*arguments)))
        return
    if "graphs" in options.what:
        rows = [alone("graph", *row) for row in GRAPHS]
        print(table(["bottle", "zoom", "selected or planned", "cpu s", "MB more", "tasks"], rows), flush=True)
    if "loop" in options.what:
        heads = ["bottle", "read of 4, cpu s", "4 maps, cpu s", "over it", "one map over it"]
        print(table(heads, [alone("loop", "gcm", "3")]), flush=True)
    if "memory" in options.what:
        rows = [alone("memory", name) for name in ("gcm", "icon")]
        print(table(["bottle", "MB before", "MB at most, a month to zarr"], rows), flush=True)
    if "cluster" in options.what:
        heads = ["bottle", "workers", "instants", "s", "ms of processor a transition", "draws an instant, two jobs"]
        print(table(heads, [alone("cluster", "gcm", "40", "800")]), flush=True)


if __name__ == "__main__":
    main()
