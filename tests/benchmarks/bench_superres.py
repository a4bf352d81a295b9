"""Super-resolution at published size, on random weights: loading, a batch of patches, a tile; and boxes at zoom 10.

python -m tests.benchmarks.bench_superres [FOLDER] [--what patches load batch tile full boxes] [--tiles 8]

The network has NVIDIA's shape: 330 million parameters at zoom 10, of which three quarters are the position embedding.
It is written once into a folder, and each measurement runs in a process of its own, so that peaks are its own.

Boxes are drawn by a network of the same patches and levels with few channels, through `downscale`: what they cost is
all but the network. Of the largest only ``--tiles`` of its tiles are drawn, and the seconds are scaled to all.

On a CPU batch and tile are in bfloat16, about 3 times as fast there as float32; ``batch32`` is in float32, of 2
patches. Seconds of the processor are given beside those of the clock, for machines that do other things too. The
default takes some minutes on two cores that do nothing else. ``full`` is a tile of the full network in two steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests import bottles
from tests.benchmarks.measure import table
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import DISTILLED
from xr_cbottle.draw.fine import Fine, make_fine
from xr_cbottle.grid import healpix
from xr_cbottle.grid.tiling import Tiling
from xr_cbottle.network.multidiffusion import PatchSampler

ZOOM, NATIVE = 10, 6
BOXES = {"2 x 2": (2, 2), "10 x 10": (10, 10), "40 x 40": (40, 40)}


def make(folder: Path) -> Path:
    """A bottle that is a folder, with a small coarse network and super-resolution of the published shape."""
    import torch

    from xr_cbottle.bottle import checkpoint
    from xr_cbottle.network import unet

    if (folder / "bottle.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    icon = open_bottle("icon").manifest
    small = bottles.patch_config(ZOOM, 12, size=128, width=128, position=20)
    config = dataclasses.replace(small, architecture="unet_hpx1024_patch")
    channels = icon.superres[0].superres.channels
    shapes = {name: tensor.shape for name, tensor in unet.build(config, empty=True).state_dict().items()}
    rng = np.random.default_rng(0)
    state = {}
    for name, shape in shapes.items():
        values = rng.standard_normal(tuple(shape), np.float32)
        if name.endswith("resample_filter"):
            values[...] = 0.25
        elif len(shape) > 1:
            values /= np.float32(10 if name.endswith("pos_embed") else np.sqrt(np.prod(shape[1:])))
        else:
            values = 0.1 * values + np.float32(name.endswith("weight"))
        state[name] = torch.from_numpy(values)
    checkpoint.write_part(folder / "superres.checkpoint", config, bottles.batch_info(channels), state)
    bottles.write_random_part(folder / "coarse.checkpoint", bottles.small_config(NATIVE, len(channels), 0), channels)
    bottles.sst_cells(NATIVE).to_netcdf(folder / "sst.nc", engine="h5netcdf")
    parts = [
        dataclasses.replace(icon.coarse[-1], location="coarse.checkpoint"),
        *(dataclasses.replace(part, location="superres.checkpoint") for part in icon.superres),
    ]
    manifest = Manifest(
        name="published", zoom=NATIVE, channels=channels, parts=tuple(parts),
        sst=dataclasses.replace(icon.sst, location="sst.nc", variable="sst"), time=icon.time,
    )  # fmt: skip
    (folder / "bottle.json").write_text(manifest.to_json())
    return folder


def fine_of(manifest: Manifest, network: str) -> Fine:
    fine = make_fine(manifest, ZOOM, network=network)
    assert fine is not None
    return fine


def patches() -> None:
    """Patches that are denoised for boxes, against those that see the box, and those of the globe."""
    from xr_cbottle.network import multidiffusion

    rows = []
    for network, sampler in (
        ("distilled", multidiffusion.few_step_sampler((800.0, 15.0))),
        ("full", multidiffusion.heun_sampler(18, 0.002, 800.0)),
    ):
        tiling = fine_of(open_bottle("icon").manifest, network).tiling
        for name, (width, height) in BOXES.items():
            cells = in_box(width, height)
            tiles = tiling.tiles(cells)
            rounds = [counts(tiling, tile, sampler) for tile in tiles.tolist()]
            last, work = (
                sum(r[-1] for r in rounds),
                sum(sum(n * count for n, count in zip(r, sampler.evaluations, strict=True)) for r in rounds),
            )
            globe = tiling.grid.count * sum(sampler.evaluations)
            touching = len(tiling.grid.owners(cells))
            rows.append([network, name, len(tiles), touching, last, work, f"{work / globe:.2f}"])
    print(table(["network", "box, degrees", "tiles", "see the box", "patches", "evaluations", "of the globe"], rows))


def counts(tiling: Tiling, tile: int, sampler: PatchSampler) -> list[int]:
    """Patches that are denoised for a tile, in each leg of a sampler."""
    return [len(patches) for patches in tiling.rounds(tile, len(sampler.legs), exact=sampler.exact)]


def in_box(width: float, height: float) -> npt.NDArray[np.int64]:
    """Cells of a box of some degrees about 12 E 47 N."""
    lon, lat = healpix.lonlat(ZOOM)
    inside = (np.abs((lon - 12 + 180) % 360 - 180) <= width / 2) & (np.abs(lat - 47) <= height / 2)
    return np.flatnonzero(inside)


def make_small(folder: Path) -> Path:
    """A bottle whose distilled network has the published patches, channels and levels, and four model channels."""
    path = folder / "small.cbottle"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        (spec,) = (part.superres for part in open_bottle("icon").manifest.superres if part.role == DISTILLED)
        assert spec is not None
        bottles.synthetic_bottle(path, NATIVE, spec.channels, superres={DISTILLED: spec}, labels={})
    return path


class Clock:
    """Seconds of the clock and of the processor since it was made."""

    def __init__(self) -> None:
        self.begin = time.perf_counter(), time.process_time()

    def read(self) -> tuple[str, str]:
        return f"{time.perf_counter() - self.begin[0]:.1f}", f"{time.process_time() - self.begin[1]:.1f}"


def peak() -> str:
    """GiB."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f}"


def measured(what: str, folder: str) -> list[object]:
    """One measurement at published size, in this process."""
    import torch

    from xr_cbottle.draw import resolver as resolvers
    from xr_cbottle.draw.arithmetic import drawing
    from xr_cbottle.draw.models import choose_device

    bottle = open_bottle(folder)
    device = str(choose_device(None))
    precision = "float32" if what in ("load", "batch32") or device != "cpu" else "bfloat16"
    clock = Clock()
    fine = fine_of(bottle.manifest, "full" if what == "full" else "distilled")
    if fine.spec.sampler is not None:  # of the full network's 18 steps two, which are three evaluations of 35
        two = dataclasses.replace(fine.spec.sampler, num_steps=2)
        fine = dataclasses.replace(fine, spec=dataclasses.replace(fine.spec, sampler=two))
    resolver = resolvers.get(
        bottle, fine.part, fine.spec, NATIVE, tiling=fine.tiling, device=device, precision=precision
    )
    loaded = clock.read()
    coarse = np.random.default_rng(1).standard_normal((12, healpix.n_cells(NATIVE)))
    coarse = (coarse * resolver.scales[:, None] + resolver.center[:, None]).astype(np.float32)
    clock, evaluated, taken = Clock(), 0, ("", "")
    if what.startswith("batch"):
        evaluated = 2 if what == "batch32" else resolver.batch_size
        with drawing(precision):
            size = resolver.tiling.grid.size
            x, condition = (
                torch.zeros(evaluated, n, size, size, device=device).contiguous(memory_format=torch.channels_last)
                for n in (12, 44)
            )
            resolver._network().denoiser(x, torch.ones(evaluated, device=device), condition=condition)
            if device.startswith("cuda"):
                torch.cuda.synchronize()
    elif what in ("tile", "full"):
        resolver.draw_tile(coarse, 20, seed=0, member=0, time=np.datetime64("1990-01-01"))
    elif what == "global":
        resolver.draw_globe(coarse, seed=0, member=0, time=np.datetime64("1990-01-01"))
    if what != "load":
        taken = clock.read()
    evaluated = evaluated or resolver.evaluated
    row = [what, device, precision, *loaded, *taken, evaluated, peak()]
    if device.startswith("cuda"):
        row.append(f"{torch.cuda.max_memory_allocated() / 2**30:.1f}")
    return row


def measured_box(name: str, path: str, most: int) -> list[object]:
    """One box of the small bottle, in this process: of all its tiles, or of ``most`` of them."""
    import xarray as xr

    import xr_cbottle
    from xr_cbottle.draw import resolver as resolvers
    from xr_cbottle.fields import channels

    bottle = xr_cbottle.open_bottle(path)
    fine = fine_of(bottle.manifest, "distilled")
    resolver = resolvers.get(bottle, fine.part, fine.spec, NATIVE, tiling=fine.tiling)
    # Given data, as the coarse network is not what is measured.
    rng, time = np.random.default_rng(0), np.array(["1980-03-01T06"], "datetime64[ns]")
    given = {}
    for channel, center, scale in zip(
        map(channels.parse, fine.channels), resolver.center, resolver.scales, strict=True
    ):
        values = (center + scale * rng.standard_normal((1, healpix.n_cells(NATIVE)))) * channel.factor
        given[channel.variable.name] = ("time", "cell"), values.astype(np.float32), channel.variable.attrs
    ds = xr_cbottle.downscale(xr.Dataset(given, {"time": time}), bottle, zoom=ZOOM)
    # What is made once, such as noise's and network's first use, by a tile of which nothing is in the box.
    ds.tas.isel(time=0, cell=-1).load()
    cells = in_box(*BOXES[name])
    tiling = resolver.tiling
    touched = tiling.tiles(cells)
    chosen = touched[np.linspace(0, len(touched) - 1, min(most, len(touched))).round().astype(int)]
    before, clock = resolver.evaluated, Clock()
    ds.tas.isel(time=0, cell=cells[np.isin(cells // tiling.cells_per_tile, chosen)]).load()
    wall, cpu = (float(seconds) * len(touched) / len(chosen) for seconds in clock.read())
    rounds = [counts(tiling, tile, resolver.sampler) for tile in touched.tolist()]
    globe = tiling.grid.count
    drawn = sum(rounds[touched.tolist().index(tile)][i] for tile in chosen.tolist() for i in (0, 1))
    if resolver.evaluated - before != drawn:
        raise AssertionError(f"{resolver.evaluated - before} patches were denoised and {drawn} were to be")
    last, all_of_them = sum(r[-1] for r in rounds), sum(map(sum, rounds))
    seeing = len(tiling.grid.owners(cells))
    return [
        name, len(cells), len(touched), seeing, last, f"{last / globe:.3f}", all_of_them,
        f"{all_of_them / 2 / globe:.3f}", len(chosen), f"{wall:.1f}", f"{cpu:.1f}", peak(),
    ]  # fmt: skip


def alone(*arguments: str) -> list[str]:
    """The row that a process of its own measures."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_superres", *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


HEADS = ["what", "device", "precision", "load s", "cpu s", "s", "cpu s", "patches x evaluations", "peak GiB"]
BOX_HEADS = [
    "box, degrees", "cells", "tiles", "see the box", "patches", "of the 1452", "evaluations", "of the globe's",
    "tiles drawn", "s", "cpu s", "peak GiB",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("/tmp/xr_cbottle_published"))
    whats = ("patches", "load", "batch32", "batch", "tile", "full", "boxes")
    parser.add_argument("--what", nargs="+", choices=(*whats, "global"), default=whats)
    parser.add_argument("--tiles", type=int, default=8, help="most that are drawn of a box (8)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure in BOXES:
        print(json.dumps(measured_box(options.measure, str(options.folder), options.tiles)))
        return
    if options.measure:
        print(json.dumps(measured(options.measure, str(options.folder))))
        return
    if "patches" in options.what:
        patches()
    for what in options.what:
        if what not in ("patches", "boxes"):
            row = alone(str(make(options.folder)), "--measure", what)
            print(table([*HEADS, "of the GPU"][: len(row)], [row]), flush=True)
    if "boxes" in options.what:
        path = str(make_small(options.folder))
        rows = []
        for name in BOXES:
            rows.append(alone(path, "--measure", name, "--tiles", str(options.tiles)))
            print(table(BOX_HEADS, rows[-1:]), flush=True)


if __name__ == "__main__":
    main()
