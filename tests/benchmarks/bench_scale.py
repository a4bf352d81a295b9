"""Scale: graphs above the native zoom, maps in a loop, memory of a job, and a cluster of many workers.

python -m tests.benchmarks.bench_scale [graphs loop memory cluster]

Each measurement runs in a process of its own, so that peaks are its own. Drawing is left out where it is not what is
measured: `tests.pretended` gives fields of the same size that cost nothing, or sleeps. Seconds are those of the
processor, but for the ``s`` of ``cluster``, which is about what waits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dask
import numpy as np

from tests.benchmarks.measure import table


def peak() -> float:
    """MB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def graph(name: str, zoom: str, what: str) -> list[object]:
    """Selecting a year of hours of a fine data set, or planning monthly means over a box; nothing is drawn."""
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


def memory(name: str, hours: str = "744") -> list[object]:
    """A month of hours to zarr with the default keywords, and nothing drawn."""
    import torch  # noqa: F401  # it is there in any job

    from tests.pretended import pretended

    with tempfile.TemporaryDirectory() as folder:
        ds = pretended(name, Path(folder, "made")).to_dataset(chunks={})
        ds.isel(time=slice(4)).to_zarr(Path(folder, "few.zarr"), consolidated=False)
        before = peak()
        ds.isel(time=slice(int(hours))).to_zarr(Path(folder, "month.zarr"), consolidated=False)
        return [name, f"{before:.0f}", f"{peak():.0f}"]


class Machines:
    """A cluster on one machine: a scheduler that is a process, workers of this process, and one that can be killed.

    Parameters
    ----------
    count
        How many workers there are.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> Machines:
        from distributed import Client, Worker

        self._folder = tempfile.TemporaryDirectory()
        told = Path(self._folder.name, "scheduler.json")
        self._scheduler = self._process(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(told)
        )
        self.client = Client(scheduler_file=str(told), timeout=60)
        address = self.client.scheduler.address  # type: ignore[union-attr]
        options = {"nthreads": 1, "memory_limit": 0, "dashboard": False, "local_directory": self._folder.name}

        async def started() -> list[Worker]:
            return await asyncio.gather(*(Worker(address, **options) for _ in range(self.count - 1)))

        self._workers = self.client.sync(started)
        limits = ("--nthreads", "1", "--memory-limit", "0", "--local-directory", self._folder.name)
        self.process = self._process("worker", address, "--no-nanny", *limits)
        self.client.wait_for_workers(self.count, timeout=120)
        return self

    def _process(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard", *arguments]
        return subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)

    def __exit__(self, *_: object) -> None:
        async def ended() -> None:
            await asyncio.gather(*(worker.close(nanny=False) for worker in self._workers))

        self.client.sync(ended)
        self.client.close()
        for process in (self.process, self._scheduler):
            process.kill()
            process.wait()
        self._folder.cleanup()

    def scheduling(self) -> float:
        """Seconds that the processor has taken for the scheduler."""
        import psutil

        return sum(psutil.Process(self._scheduler.pid).cpu_times()[:2])


def cluster(name: str, workers: str, instants: str, seconds: str = "0.2") -> list[object]:
    """Many workers, of which each takes some seconds to draw a batch; then one of them is killed on the way.

    Returns what one job took, and how often an instant was drawn in it and in the one with a loss.
    """
    from tests.pretended import expected as pretended_values
    from tests.pretended import made, pretended

    count = int(instants)
    with tempfile.TemporaryDirectory() as folder, Machines(int(workers)) as machines:
        records = [Path(folder, what) for what in ("whole", "lost")]
        whole, lost = (pretended(name, record, seconds=float(seconds)).to_dataset(chunks={}) for record in records)
        parts = [slice(0, count), slice(count, 2 * count)]
        expected = [pretended_values(name, whole.tas.isel(time=part)) for part in parts]

        machines.client.compute(whole.tas.isel(time=slice(-2, None)).mean("cell")).result()  # what is done once
        job = whole.tas.isel(time=parts[0]).mean("cell")
        (planned,) = dask.optimize(job)
        tasks = len(planned.data.dask)
        begin, busy = time.perf_counter(), machines.scheduling()
        got = machines.client.compute(job).result()
        taken, busy = time.perf_counter() - begin, machines.scheduling() - busy
        np.testing.assert_array_equal(got.values, expected[0])

        job = lost.tas.isel(time=parts[1]).mean("cell")
        running = machines.client.compute(job)
        while not (records[1] / f"{machines.process.pid}").exists():
            time.sleep(0.01)
        machines.process.kill()
        np.testing.assert_array_equal(running.result().values, expected[1])
        draws = [sum(drawn.values()) / len(drawn) for drawn in map(made, records)]
        # Empty places of a last batch are filled with times that follow: of two reads, at most twice a batch.
        more = [len(made(record)) - asked for record, asked in zip(records, (count + 2, count), strict=True)]
        assert 0 <= min(more) <= max(more) <= 2 * 4, more
    figures = [f"{taken:.1f}", f"{1000 * busy / tasks:.2f}", *(f"{one:.3f}" for one in draws)]
    return [name, workers, count, tasks, *figures]


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
    parser.add_argument("--short", action="store_true", help="a month of less hours, and a cluster of few workers")
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
        short = ("48",) if options.short else ()
        rows = [alone("memory", name, *short) for name in ("gcm", "icon")]
        print(table(["bottle", "MB before", "MB at most, a month to zarr"], rows), flush=True)
    if "cluster" in options.what:
        heads = [
            "bottle",
            "workers",
            "instants",
            "tasks",
            "s",
            "scheduler, cpu ms a task",
            "draws an instant",
            "with a loss",
        ]
        size = ("4", "80") if options.short else ("40", "2000")
        print(table(heads, [alone("cluster", "gcm", *size)]), flush=True)


if __name__ == "__main__":
    main()
