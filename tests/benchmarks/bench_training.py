"""Batches a second without a network, by threads, against what a network of the same run takes in.

Wanted: with as many threads as cores several times what one thread makes, and on 2 CPU cores the loader is at
least 10 times as fast as the network. What a GPU needs can be read off: a network that takes 100 images of zoom 6 a
second needs that line. The last columns are CPU time of one thread, which is the same on a machine that is busy: of an
image, and of one whose noise the device makes.

python -m tests.benchmarks.bench_training [SECONDS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from tests.benchmarks.measure import table
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix
from xr_cbottle.training import config as configs
from xr_cbottle.training.batches import Batches
from xr_cbottle.training.data import LabelData, Statistics, TrainingData
from xr_cbottle.training.loader import Loader
from xr_cbottle.training.speed import measure

INSTANTS = 64


def made(config: configs.Config, folder: Path) -> TrainingData:
    """Random instants in a memory map, as `data.prepare` leaves them."""
    zoom, channels = config.data.zoom, config.data.channels
    cells = healpix.n_cells(zoom)
    values = np.lib.format.open_memmap(folder / "made.npy", "w+", np.float16, (INSTANTS, len(channels), cells))
    rng = np.random.default_rng(0)
    for i in range(INSTANTS):
        values[i] = rng.standard_normal((len(channels), cells), np.float32)
    times = np.datetime64("2000-01-01", "s") + np.arange(INSTANTS) * np.timedelta64(6, "h")
    label = LabelData("made", times, values, np.zeros(INSTANTS, bool), 0.0, ())
    months = np.arange("2000-01", "2001-01", dtype="datetime64[M]").astype("datetime64[ns]")
    sst = xr.DataArray(np.full((12, cells), 290.0), {"time": months}, ("time", "cell"), "sst", {"units": "K"})
    ones = np.ones(len(channels))
    return TrainingData(
        channels, zoom, (label,), Statistics(0 * ones, ones, np.zeros((3, len(channels), cells), np.float32)),
        SeaSurfaceTemperature.from_dataset(sst, zoom), folder / "sst.nc",
    )  # fmt: skip


def configuration(zoom: int, channels: int, width: int, batch: int) -> configs.Config:
    """A run of that size, with cBottle's blocks in three levels."""
    names = [f"{letter}{level}" for level in (1000, 925, 850, 700, 600, 500, 300, 250, 200, 50) for letter in "TUVZQ"]
    source = {"label": "made", "files": "made.nc", "start": "2000-01-01", "end": "2001-01-01"}
    about = dict.fromkeys(("title", "summary", "source"), "made")
    return configs.parse({
        "data": {"zoom": zoom, "channels": names[:channels], "sst": {"path": "sst.nc"}, "sources": [source]},
        "network": {"model_channels": width},
        "training": {"total_images": 10**6, "batch_size": batch},
        "bottle": {"name": "made", "licence": "CC0-1.0", "start": "2000-01-01", "end": "2000-12-31", **about},
    })  # fmt: skip


def rate(config: configs.Config, batches: Batches, threads: int, seconds: float) -> float:
    """Images a second from that many threads."""
    batch = config.training.batch_size
    with Loader(batches.training, 0, batch, batch, threads=threads) as loader:
        for _ in range(threads + 1):
            next(loader)
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds or count < threads + 1:
            next(loader)
            count += 1
        return count * batch / (time.perf_counter() - begin)


def cost(batches: Batches, batch: int, *, rounds: int = 5) -> float:
    """CPU milliseconds that one thread takes for an image: the least of some rounds."""
    found = []
    for i in range(rounds):
        begin = time.thread_time()
        batches.training(i * batch, batch)
        found.append(time.thread_time() - begin)
    return 1e3 * min(found) / batch


def main(seconds: float = 5.0) -> None:
    rows = []
    threads = sorted({1, 2, 4, os.cpu_count() or 1})
    for what, size, network in (
        ("zoom 4, 26 channels, batch 8, 32 wide", (4, 26, 32, 8), True),
        ("zoom 6, 45 channels, batch 4", (6, 45, 32, 4), False),
    ):
        config = configuration(*size)
        with tempfile.TemporaryDirectory() as folder:
            batches = Batches(config, made(config, Path(folder)))
            rates = [rate(config, batches, n, seconds) for n in threads]
            costs = [cost(batches, config.training.batch_size)]
            batches.noise_later = True
            costs.append(cost(batches, config.training.batch_size))
        trained = measure(config, torch.device("cpu"), steps=3).images_per_second if network else None
        shown = (f"{trained:.1f}", f"{max(rates) / trained:.0f}") if trained else ("-", "-")
        rows.append((what, *(f"{one:.0f}" for one in rates), *shown, *(f"{one:.1f}" for one in costs)))
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads; images a second")
    heads = (
        "",
        *(f"loader, {n} thread{'s' * (n > 1)}" for n in threads),
        "network",
        "ratio",
        "CPU ms",
        "without noise",
    )
    print(table(heads, rows))


if __name__ == "__main__":
    main(*(float(argument) for argument in sys.argv[1:2]))
