"""Digests of a bottle's values, recorded before a change of code and compared after it, bit for bit.

    python -m tests.benchmarks.same_values record before.json [--bottle gcm]
    python -m tests.benchmarks.same_values compare before.json

It reads the bottle through every door: both labels, zooms below and above its own, means, members, points, solvers,
precisions, dask, a user's SST, `downscale`, the Zarr store and the emulator. It takes two to four minutes on one core.
Digests of one machine, library or number of threads mean nothing on another.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from zarr.core.buffer import default_buffer_prototype

import xr_cbottle
from xr_cbottle.store import CBottleStore

TIMES = ["1983-01-03T07", "1990-07-15T06", "2001-11-30T21"]
TIME = ["1990-07-15T06"]
KEYS = ("tas/c/1/100/0", "ua/0.5.2.0", "time/c/0", "pressure/0", "crs/0", "cell_ids/c/0")
WORDS = "words "
"""Begins the names of what is text: attributes and the store's metadata, which a change may mean to change."""


def digest(values: Any) -> str:
    """Digest, shape and type of an array."""
    array = np.ascontiguousarray(values)
    return f"{hashlib.sha256(array.tobytes()).hexdigest()[:24]} {array.shape} {array.dtype}"


def fields(dataset: xr.Dataset) -> Iterator[tuple[str, Any]]:
    """Name and values of each variable, read together."""
    loaded = dataset.load()
    yield from ((str(name), loaded[name].values) for name in loaded.data_vars)


def instants(bottle: str) -> Iterator[tuple[str, Any]]:
    """Values of both labels at zooms from below to above the bottle's own."""
    for label in ("plasim", "jcm"):
        for zoom in (3, 4):
            for name, values in fields(_open(bottle, label=label, zoom=zoom, time=TIMES)):
                yield f"{label} zoom {zoom} {name}", values
        for name, values in fields(_open(bottle, label=label, zoom=5, time=TIME).isel(cell=slice(3000, 3600))):
            yield f"{label} zoom 5 {name}", values
    full = _open(bottle, zoom=5, time=TIME, sr_network="full").isel(cell=slice(100, 300))
    yield "zoom 5 by the full network pr", full.pr.values


def selections(bottle: str) -> Iterator[tuple[str, Any]]:
    """Means, members, points, and what dask gathers."""
    means = _open(bottle, time="P1D", time_method="mean", zoom=2)
    yield "daily means tas", means.tas.isel(time=[10, 4000]).values
    members = _open(bottle, time="PT6H", members=[0, 3], seed=11, zoom=3)
    yield "members pr", members.pr.isel(time=slice(7, 9)).values
    time, cell = (xr.DataArray(places, dims="point") for places in ([1, 5], [7, 9]))
    yield "points ua", _open(bottle, time="PT6H", members=2).ua.isel(time=time, cell=cell).values
    yield "dask tas", _open(bottle, time="PT6H", chunks={}).tas.isel(time=slice(2, 7)).values
    for name, values in fields(_open(bottle, time="PT6H", chunks={"time": 3}, zoom=2).isel(time=slice(0, 5))):
        yield f"dask by threes {name}", values


def settings(bottle: str) -> Iterator[tuple[str, Any]]:
    """Values under other settings of the sampler, and under a sea surface temperature of one's own."""
    for name, keywords in {
        "Heun": {"solver": "heun", "num_steps": 5, "sigma_max": 60.0},
        "batches of two": {"batch_size": 2, "num_steps": 6},
        "bfloat16": {"precision": "bfloat16", "num_steps": 4},
        "another sea": {"sst": _sst()},
    }.items():
        yield f"{name} tas", _open(bottle, time=TIME, **keywords).tas.values


def doors(bottle: str) -> Iterator[tuple[str, Any]]:
    """Values through `downscale`, the emulator and the Zarr store."""
    coarse = _open(bottle, zoom=4, time=["1990-07-15T06", "1990-07-15T12"])[["tas", "psl", "uas", "vas", "pr"]]
    fine = xr_cbottle.downscale(coarse.load(), bottle, seed=3, member=1).isel(cell=slice(500, 900))
    yield from ((f"downscale {name}", values) for name, values in fields(fine))
    times = ["1990-07-15T06", "1980-02-01"]
    drawn = xr_cbottle.Emulator(bottle).draw(times, member=2, seed=5, label="jcm", progress=False)
    yield "emulator", drawn.values
    store = CBottleStore(bottle, time="PT6H", zoom=3, members=2)
    for key in (*KEYS, "zarr.json"):
        found = asyncio.run(store.get(key, default_buffer_prototype()))
        name = f"{WORDS if key == 'zarr.json' else ''}store {key}"
        yield name, np.frombuffer(b"" if found is None else found.to_bytes(), np.uint8)
    dataset = _open(bottle, zoom=4, time="PT6H")
    words = {str(name): {key: str(text) for key, text in dataset[name].attrs.items()} for name in dataset.variables}
    words[""] = {key: str(text) for key, text in dataset.attrs.items()}
    yield f"{WORDS}attributes", np.frombuffer(json.dumps(words, sort_keys=True).encode(), np.uint8)


def digests(bottle: str) -> dict[str, str]:
    """{name: digest} of all values that are held."""
    parts = (instants, selections, settings, doors)
    return {name: digest(values) for part in parts for name, values in part(bottle)}


def differences(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    """A sentence for each value that is another, gone or new."""
    for name in sorted({*before, *after}):
        if name not in after:
            yield f"{name}: it was recorded, and is not read any more"
        elif name not in before:
            yield f"{name}: it is read, and was not recorded: record again with the code before the change"
        elif before[name] != after[name]:
            yield f"{name}: it was {before[name]} and is {after[name]}"


def main(arguments: list[str] | None = None) -> int:
    """Record or compare; 1 if a value differs. What is text may differ: it is said, and is no error."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.same_values", description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=("record", "compare"))
    parser.add_argument("file", type=Path, help="of the digests, JSON")
    parser.add_argument("--bottle", help="with the labels and zooms of gcm [that recorded, or gcm]")
    options = parser.parse_args(arguments)
    known = json.loads(options.file.read_text()) if options.command == "compare" else {}
    bottle = options.bottle or known.get("bottle", "gcm")
    found = digests(bottle)
    if options.command == "record":
        options.file.write_text(json.dumps({"bottle": bottle, "digests": found}, indent=1) + "\n")
        print(f"{options.file}: digests of {len(found)} arrays of {bottle}")
        return 0
    other = list(differences(known["digests"], found))
    print(*other, f"{len(known['digests'])} arrays of {bottle} were recorded, {len(other)} differ", sep="\n")
    return int(any(not sentence.startswith(WORDS) for sentence in other))


def _open(bottle: str, **keywords: Any) -> xr.Dataset:
    return xr.open_dataset(bottle, engine="cbottle", **keywords)


def _sst() -> xr.Dataset:
    """Two years of a sea that knows latitudes only."""
    lat, lon = np.linspace(-89, 89, 90), np.arange(180) * 2.0 + 1
    sea = np.broadcast_to(290 + 8 * np.cos(2 * np.deg2rad(lat))[None, :, None], (24, 90, 180)).copy()
    time = (np.datetime64("1990-01-16") + np.arange(24) * np.timedelta64(30, "D")).astype("datetime64[ns]")
    return xr.Dataset({"sst": (("time", "lat", "lon"), sea, {"units": "K"})}, {"time": time, "lat": lat, "lon": lon})


if __name__ == "__main__":
    sys.exit(main())
