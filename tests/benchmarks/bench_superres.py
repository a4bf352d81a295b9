"""Super-resolution at published size, on random weights: loading, a batch of patches, tiles, boxes; time and memory.

The network has NVIDIA's shape: 330 million parameters at zoom 10, of which three quarters are the position embedding.
It is written once into a folder, and each measurement runs in a process of its own, so that peaks are its own.

python -m tests.benchmarks.bench_superres [FOLDER [WHAT ...]]   WHAT: patches, load, batch, tile, global
"""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tests import bottles
from tests.benchmarks.measure import table
from xr_cbottle import healpix
from xr_cbottle.bottle import Manifest, open_bottle_file
from xr_cbottle.fine import Fine, make_fine

ZOOM, NATIVE = 10, 6
BOXES = {"2 x 2": (2, 2), "10 x 10": (10, 10), "40 x 40": (40, 40)}


def make(folder: Path) -> Path:
    """A bottle that is a folder, with a small coarse network and super-resolution of the published shape."""
    import torch

    from xr_cbottle import checkpoint, network

    if (folder / "bottle.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    icon = open_bottle_file("icon").manifest
    config = dataclasses.replace(bottles.patch_config(ZOOM, 12, size=128, width=128, position=20), label_dim=0)
    channels = icon.superres[0].superres.channels
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in network.build(config).state_dict().items()}
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
    from xr_cbottle import superres

    lon, lat = healpix.lonlat(ZOOM)
    rows = []
    for network, sampler in (
        ("distilled", superres.few_step_sampler((800.0, 15.0))),
        ("full", superres.heun_sampler(18, 0.002, 800.0)),
    ):
        tiling = fine_of(open_bottle_file("icon").manifest, network).tiling
        for name, (width, height) in BOXES.items():
            inside = (np.abs((lon - 12 + 180) % 360 - 180) <= width / 2) & (np.abs(lat - 47) <= height / 2)
            cells = np.flatnonzero(inside)
            tiles = tiling.tiles(cells)
            rounds = [[len(r) for r in tiling.rounds(tile, sampler)] for tile in tiles.tolist()]
            last, work = (
                sum(r[-1] for r in rounds),
                sum(sum(n * count for n, count in zip(r, sampler.evaluations, strict=True)) for r in rounds),
            )
            globe = tiling.grid.count * sum(sampler.evaluations)
            touching = len(tiling.grid.owners(cells))
            rows.append([network, name, len(tiles), touching, last, work, f"{work / globe:.2f}"])
    print(table(["network", "box, degrees", "tiles", "see the box", "patches", "evaluations", "of the globe"], rows))


def measured(what: str, folder: str) -> None:
    """One measurement, in this process."""
    import torch

    from xr_cbottle import tiles
    from xr_cbottle.models import choose_device

    bottle = open_bottle_file(folder)
    device = str(choose_device(None))
    begin = time.perf_counter()
    resolver = tiles.get(bottle, fine_of(bottle.manifest, "distilled"), NATIVE, device=device, precision="float32")
    loaded = time.perf_counter() - begin
    coarse = np.random.default_rng(1).standard_normal((12, healpix.n_cells(NATIVE)))
    coarse = (coarse * resolver.scales[:, None] + resolver.center[:, None]).astype(np.float32)
    begin, evaluated = time.perf_counter(), 0
    if what == "batch":
        with torch.inference_mode():
            size = resolver.tiling.grid.size
            inputs = {"condition": torch.zeros(8, 44, size, size, device=device)}
            resolver.denoiser(torch.zeros(8, 12, size, size, device=device), torch.ones(8, device=device), **inputs)
        evaluated = 8
    elif what == "tile":
        resolver.draw_tile(coarse, 20, seed=0, member=0, time=np.datetime64("1990-01-01"))
        evaluated = resolver.evaluated
    elif what == "global":
        resolver.draw_globe(coarse, seed=0, member=0, time=np.datetime64("1990-01-01"))
        evaluated = resolver.evaluated
    seconds = time.perf_counter() - begin if what != "load" else 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row = [what, device, f"{loaded:.1f}", f"{seconds:.1f}", evaluated, f"{peak:.1f}"]
    if device.startswith("cuda"):
        row.append(f"{torch.cuda.max_memory_allocated() / 2**30:.1f}")
    print("\t".join(map(str, row)))


def main(folder: str = "/tmp/xr_cbottle_published", *chosen: str) -> None:
    chosen = chosen or ("patches", "load", "batch", "tile")
    if "patches" in chosen:
        patches()
    make(Path(folder))
    rows = []
    for what in [one for one in chosen if one != "patches"]:
        command = [sys.executable, "-m", "tests.benchmarks.bench_superres", "--measure", what, folder]
        rows.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
        print(table(["what", "device", "load s", "s", "patches x evaluations", "peak GiB", "of the GPU"], rows[-1:]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measured(*sys.argv[2:4])
    else:
        main(*sys.argv[1:])
