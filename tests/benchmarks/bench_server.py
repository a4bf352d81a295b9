"""What a server does in a second: chunks from memory, 304s, metadata, and frames that are drawn; and its memory.

python -m tests.benchmarks.bench_server [BOTTLE] [CLIENTS] [SECONDS] [FRAMES] [OPTIONS of xr-cbottle serve]

The server is a process of its own, as a user starts it; the clients are connections of this one, kept open, which
ask again as soon as they are answered. Both share the machine's cores; "CPU ms" is what the server alone spent on
a request, whatever else the machine does.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import psutil

from tests.benchmarks.measure import table
from tests.serving import Process


@dataclass
class Load:
    """What came of some load."""

    name: str
    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    nbytes: int = 0
    memory: int = 0
    cpu: float = 0.0

    def row(self) -> tuple[str, ...]:
        n = len(self.milliseconds)
        p95 = statistics.quantiles(self.milliseconds, n=20)[-1] if n > 1 else self.milliseconds[0]
        return (
            self.name, str(n), "/".join(map(str, sorted(self.statuses))), f"{n / self.seconds:.1f}",
            f"{statistics.median(self.milliseconds):.1f}", f"{p95:.1f}", f"{1000 * self.cpu / n:.2f}",
            f"{self.nbytes / self.seconds / 2**20:.1f}",
            f"{self.memory / 2**20:.0f}",
        )  # fmt: skip


async def one_client(port: int, requests: Iterator[bytes], until: float, load: Load) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        began = time.perf_counter()
        if began > until:
            break
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if status != 304:
            load.nbytes += len(await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r")[0])))
        load.milliseconds.append(1000 * (time.perf_counter() - began))
        load.statuses.add(status)
    writer.close()


def run(name: str, port: int, clients: int, requests: Iterator[bytes], seconds: float, server: psutil.Process) -> Load:
    load = Load(name)

    async def all_clients() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(one_client(port, requests, until, load) for _ in range(clients)))

    before, began = sum(server.cpu_times()[:2]), time.perf_counter()
    asyncio.run(all_clients())
    load.seconds, load.memory = time.perf_counter() - began, server.memory_info().rss
    load.cpu = sum(server.cpu_times()[:2]) - before
    return load


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", "")).encode()


def main(bottle: str = "gcm", clients: str = "32", seconds: str = "5", frames: str = "64", *options: str) -> None:
    began = time.perf_counter()
    with Process(bottle, *options, wait=False) as process:
        answering = time.perf_counter() - began
        client = process.client
        client.loaded()
        loaded = time.perf_counter() - began
        entry = client.ask("/catalog.json").json["bottles"][0]
        surface = next(name for name, facts in entry["variables"].items() if not facts["pressures"])
        root = f"/{entry['name']}/{entry['steps'][0]}_inst_s0_m0_z{entry['zoom']}.zarr"
        server = psutil.Process(process.process.pid)
        start = server.memory_info().rss
        first = client.ask(f"{root}/{surface}/0.0")
        tag = first.headers["etag"]

        def repeated(request: bytes) -> Iterator[bytes]:
            return (request for _ in count())

        # In turn through the axis, so that clients ask for different frames; as many as there are to be.
        times = iter(range(1, int(frames) + 1))
        drawn = (get(f"{root}/{surface}/{t}.0") for t in times)
        level = lambda name: "0." if entry["variables"][name]["pressures"] else ""  # noqa: E731
        variables = [get(f"{root}/{name}/0.{level(name)}0") for name in entry["variables"]]
        cases = [
            ("one chunk, in memory", repeated(get(f"{root}/{surface}/0.0")), float(seconds)),
            ("its variables by turns", (variables[i % len(variables)] for i in count()), float(seconds)),
            ("one chunk, unchanged", repeated(get(f"{root}/{surface}/0.0", f"If-None-Match: {tag}")), float(seconds)),
            ("metadata", repeated(get(f"{root}/.zmetadata")), float(seconds)),
            ("frames that are drawn", drawn, 600.0),
        ]
        loads = [run(name, client.port, int(clients), requests, span, server) for name, requests, span in cases]
        health = client.health()
        print(f"{' '.join((bottle, *options))}: {clients} clients; ", end="")
        print(f"answers after {answering:.1f} s, draws after {loaded:.1f} s")
        print(f"memory {start / 2**20:.0f} MiB when loaded; chunk {len(first.body)} bytes\n")
        heads = ("", "requests", "status", "per second", "p50 ms", "p95 ms", "CPU ms", "MiB/s", "RSS MiB")
        print(table(heads, [load.row() for load in loads]))
        facts = health["bottles"][entry["name"]]
        print(
            f"\n{facts['instants_drawn']} instants drawn, {facts['seconds_per_batch']} s a batch, {health['requests']}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
