"""What a bottle as a Zarr store costs beside drawing: documents, chunks of instants that are in the cache, batches.

The network is left out: instants are noise of the right shape. Over HTTP see bench_server.

python -m tests.benchmarks.bench_store [BOTTLE [REPEATS]]
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import xarray as xr
import zarr

from tests.benchmarks.measure import table, timed
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.cube.sources import DrawnInstants
from xr_cbottle.grid import healpix
from xr_cbottle.serve.hierarchy import Chunk, Hierarchy
from xr_cbottle.store import CBottleStore

CHUNKINGS = ("globe", "face")


def main(bottle: str = "icon", repeats: int = 5) -> None:
    native = Cube(bottle).spec.native_zoom
    with_noise(native, len(Cube(bottle).bottle.manifest.channels))
    documents(bottle, repeats)
    chunks(bottle, sorted({native, max(native - 2, 0), 3}, reverse=True), repeats)
    readers(bottle, repeats)


def with_noise(zoom: int, channels: int) -> list[int]:
    """Put noise in the place of what is drawn; returns the lengths of the batches, as they come."""
    field = np.random.default_rng(0).standard_normal((channels, healpix.n_cells(zoom)), np.float32)
    batches: list[int] = []

    def draw(self, keys):
        batches.append(len(keys))
        time.sleep(0.05)  # while which others queue
        return [field.copy() for _ in keys]

    DrawnInstants.draw = draw  # type: ignore[method-assign]
    DrawnInstants.land = None  # type: ignore[assignment]
    main.batches = batches  # type: ignore[attr-defined]
    return batches


def documents(bottle: str, repeats: int) -> None:
    rows = []
    for text, keywords in {
        "every hour": {"time": "PT1H"},
        "every hour, 4096 members": {"time": "PT1H", "members": 4096},
        "daily means": {"time": "P1D", "time_method": "mean"},
    }.items():
        cube = Cube(bottle, **keywords)
        Hierarchy(cube).documents()
        timing = timed(lambda cube=cube: Hierarchy(cube).documents(), repeats)
        one = Hierarchy(cube)
        bytes_ = sum(map(len, one.documents().values()))
        key = "tas/" + ".".join(str(n - 1) for n in one.arrays["tas"].grid)
        lookup = timed(lambda one=one, key=key: [one.chunk(key) for _ in range(1000)], repeats)
        opened = timed(lambda cube=cube: xr.open_zarr(CBottleStore(cube), zarr_format=3, chunks=None), repeats)
        rows.append(
            (text, f"{1000 * timing.least:.1f}", f"{bytes_ / 1000:.0f}", f"{1000 * lookup.least:.1f}",
             f"{1000 * opened.least:.0f}")
        )  # fmt: skip
    print(table((f"{bottle}: documents", "ms", "kB", "a key, us", "xr.open_zarr, ms"), rows), end="\n\n")


def chunks(bottle: str, zooms: list[int], repeats: int) -> None:
    rows = []
    for zoom in zooms:
        for chunking in CHUNKINGS:
            one = Hierarchy(Cube(bottle, zoom=zoom, time="PT6H"), chunking)
            requests = one.arrays["ta"].grid[-1]
            frame = [one.chunk(f"ta/0.1.{i}") for i in range(requests)]
            gridlook = [frame[i % requests] for i in range(12)]  # what zarrita asks for if no browser's cache helps
            read = [chunk.read() for chunk in frame]
            timing = timed(lambda frame=frame: [chunk.read() for chunk in frame * 10], repeats)
            with ThreadPoolExecutor(12) as pool:
                twelve = timed(lambda g=gridlook, pool=pool: list(pool.map(Chunk.read, g * 10)), repeats)
            size, ms = sum(map(len, read)), 100 * timing.least
            rows.append(
                (zoom, chunking, requests, len(read[0]), f"{ms:.3f}", f"{1e-3 * size / ms:.0f}",
                 f"{100 * twelve.least:.1f}", 12 * len(read[0]))
            )  # fmt: skip
    heads = (
        "zoom", "chunk", "requests a frame", "bytes", "ms a frame", "MB/s", "twelve at once, ms", "bytes of twelve"
    )  # fmt: skip
    print(table(heads, rows), end="\n\n")


def readers(bottle: str, repeats: int, times: int = 16) -> None:
    batches = main.batches  # type: ignore[attr-defined]
    rows = []

    def row(name: str, read) -> None:
        cache.shared().clear()
        batches.clear()
        read()
        drawn, lengths = sum(batches), len(batches)
        timing = timed(read, repeats)
        rows.append((name, drawn, lengths, f"{1000 * timing.least / times:.2f}"))

    for chunking in CHUNKINGS:
        store = CBottleStore(bottle, time="P1D", chunking=chunking)
        array = zarr.open_array(store, path="tas", mode="r", zarr_format=3)
        row(f"zarr, tas, {chunking}", lambda array=array: array[:times])
        ds = xr.open_zarr(store, zarr_format=3, chunks=None)[["tas", "ta"]].isel(time=slice(0, times))
        row(f"xarray, tas and ta, {chunking}", lambda ds=ds: ds.compute())
        ds = xr.open_zarr(store, zarr_format=3)[["tas", "ta"]].isel(time=slice(0, times))
        row(f"dask, tas and ta, {chunking}", lambda ds=ds: ds.compute())
    ds = xr.open_dataset(bottle, engine="cbottle", time="P1D", cache=False)[["tas", "ta"]].isel(time=slice(0, times))
    row("engine cbottle, tas and ta", lambda: ds.compute())
    print(table((f"{times} times", "instants", "batches", "cached, ms a time"), rows))


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
