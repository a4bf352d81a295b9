"""A value is the same value: random reads in random ways equal what another process drew of all.

CI makes 60 reads; ``pytest tests/cube/test_random_reads.py --reads 10000`` makes the long form.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.grid import healpix
from xr_cbottle.store import CBottleStore

pytestmark = pytest.mark.slow
NATIVE, FINE = 2, 4
LABELS, SEEDS, MEMBERS, TIMES = ("a", "b"), (0, 7), 2, 4
FINE_VARIABLES = ("tas", "pr")
TIME = slice("1980-01-01", "1980-01-01T18", "PT6H")

TRUTH = """
import sys, numpy as np
from xr_cbottle import Cube
from tests.cube.test_random_reads import FINE, LABELS, MEMBERS, NATIVE, SEEDS, TIME
found = {}
for label in LABELS:
    for seed in SEEDS:
        for zoom in (NATIVE, FINE):
            if zoom == NATIVE or (label, seed) == (LABELS[0], SEEDS[0]):
                cube = Cube(sys.argv[1], zoom=zoom, label=label, seed=seed, members=MEMBERS, time=TIME)
                ds = cube.to_dataset().load()
                found |= {f"{zoom} {label} {seed} {name}": ds[name].values for name in ds.data_vars}
np.savez(sys.argv[2], **found)
"""

AMBIENT = {
    "nothing": contextlib.nullcontext,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "meta device": lambda: torch.device("meta"),
    "float64": lambda: _default_dtype(torch.float64),
}


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def bottle(tmp_path_factory) -> Path:
    specs = bottles.fine_specs(FINE, FINE_VARIABLES, overlap=0)
    path = tmp_path_factory.mktemp("reads") / "small.cbottle"
    return bottles.synthetic_bottle(path, NATIVE, ("T500", "T850", "tas", "pr", "sst"), superres=specs)


@pytest.fixture(scope="module")
def truth(bottle) -> dict[str, np.ndarray]:
    """Every value, drawn by another process in one go."""
    out = bottle.with_name("truth.npz")
    done = subprocess.run([sys.executable, "-c", TRUTH, bottle, out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(out) as found:
        return dict(found)


class Read:
    """One read, chosen by a generator: what is asked, in which way, and what must come."""

    def __init__(self, rng: np.random.Generator) -> None:
        pick = lambda *choices: choices[rng.integers(len(choices))]  # noqa: E731
        # Tiles cost more than instants: fewer of them.
        self.zoom = int(rng.integers(NATIVE + 1, FINE + 1) if rng.random() < 0.2 else rng.integers(NATIVE + 1))
        self.is_fine = self.zoom > NATIVE
        self.name = pick(*FINE_VARIABLES) if self.is_fine else pick("ta", "tas", "pr", "sst")
        self.label, self.seed = (LABELS[0], SEEDS[0]) if self.is_fine else (pick(*LABELS), pick(*SEEDS))
        self.members = sorted(rng.choice(MEMBERS, rng.integers(1, MEMBERS + 1), replace=False).tolist())
        self.method = pick("inst", "inst", "inst", "mean")
        self.step = pick("PT6H", "PT12H") if self.method == "inst" else pick("PT12H", "P1D")
        self.batch_size = pick(None, None, None, 1, 3)
        self.door = pick("engine", "engine", "cube", "store")
        self.chunks = pick(None, {}, {"time": 1}, {"time": 3}, "auto")
        self.ambient = pick(*AMBIENT)
        self.forget = bool(rng.random() < 0.2)
        self.rng = rng

    def __repr__(self) -> str:
        return str({name: value for name, value in vars(self).items() if name != "rng"})

    def opened(self, bottle: Path) -> xr.Dataset:
        keywords = {
            "zoom": self.zoom, "label": self.label, "seed": self.seed, "members": self.members, "progress": False,
            "time": slice(TIME.start, TIME.stop, self.step), "time_method": self.method, "batch_size": self.batch_size,
        }  # fmt: skip
        if self.door == "store":
            return xr.open_zarr(CBottleStore(bottle, **keywords), zarr_format=3, chunks=None)
        if self.door == "cube":
            return Cube(bottle, **keywords).to_dataset(self.chunks)
        chunks = {} if self.chunks == "auto" else self.chunks
        return xr.open_dataset(bottle, engine="cbottle", chunks=chunks, **keywords)

    def whole(self, truth: dict[str, np.ndarray]) -> np.ndarray:
        """All values of the data set that is opened."""
        zoom = FINE if self.is_fine else NATIVE
        values = truth[f"{zoom} {self.label} {self.seed} {self.name}"][self.members]
        values = healpix.coarsen(values, zoom - self.zoom)
        stride = {"PT6H": 1, "PT12H": 2, "P1D": 4}[self.step]
        if self.method == "inst":
            return values[:, ::stride]
        means = [values[:, i : i + stride].astype(np.float64).sum(1) / stride for i in range(0, TIMES, stride)]
        return np.stack(means, 1).astype(np.float32)

    def part(self, sizes: dict[str, int]) -> dict[str, object]:
        """Positions along some dimensions: one, a slice in either direction, or a list in any order."""
        chosen: dict[str, object] = {}
        for dim, size in sizes.items():
            way = self.rng.integers(4)
            if way == 0:
                chosen[dim] = int(self.rng.integers(-size, size))
            elif way == 1:
                ends = sorted(self.rng.integers(0, size + 1, 2).tolist())
                chosen[dim] = slice(ends[0], max(ends[1], ends[0] + 1), int(self.rng.integers(1, 3)))
            elif way == 2:
                chosen[dim] = self.rng.integers(0, size, self.rng.integers(1, 5)).tolist()
        return chosen


def test_random_reads_are_what_another_process_drew(bottle, truth, request):
    rng = np.random.default_rng(20261130)
    for number in range(request.config.getoption("--reads")):
        read = Read(rng)
        if read.forget:
            cache.shared().clear()
        with AMBIENT[read.ambient]():
            array = read.opened(bottle)[read.name]
            part = read.part(dict(array.sizes))
            found = array.isel(part).values
        expected = xr.DataArray(read.whole(truth), dims=array.dims).isel(part).values
        assert found.shape == expected.shape, (number, read, part)
        if read.batch_size is None:
            np.testing.assert_array_equal(found, expected, err_msg=f"{number} {read} {part}")
        else:
            scale = max(float(np.nanstd(read.whole(truth))), 1e-30)
            assert np.array_equal(np.isnan(found), np.isnan(expected)), (number, read, part)
            assert np.nanmax(np.abs(found - expected), initial=0) <= 1e-4 * scale, (number, read, part)


# Indices of one dimension that are easily taken for another: all of it, its first positions, each twice, backwards.
TELLING = [slice(None), 0, [0], [0, 1], [1, 0], [0, 0, 1, 1], slice(None, None, -1), slice(1, 2)]


@pytest.mark.parametrize("zoom", [NATIVE, FINE])
def test_an_index_of_chunks_is_that_of_values(bottle, truth, zoom):
    """Each telling index of each dimension; at the native zoom the shapes of all pairs too."""
    name = "tas" if zoom == FINE else "ta"
    array = Cube(bottle, zoom=zoom, members=MEMBERS, time=TIME, progress=False).to_dataset({})[name]
    expected = xr.DataArray(truth[f"{zoom} {LABELS[0]} {SEEDS[0]} {name}"], dims=array.dims)
    for dims in itertools.combinations(array.dims, 2) if zoom == NATIVE else ():
        for indices in itertools.product(TELLING, TELLING):
            part = dict(zip(dims, indices, strict=True))
            assert array.isel(part).shape == expected.isel(part).shape, part
    for dim, index in itertools.product(array.dims, TELLING):
        part = {"cell": slice(0, 16), dim: index}
        np.testing.assert_array_equal(array.isel(part).values, expected.isel(part).values, err_msg=str(part))


def test_the_universe_of_reads_is_not_degenerate(truth):
    """Values differ between labels, seeds, members and times: a read of the wrong one would be seen."""
    at = [truth[f"{NATIVE} {label} {seed} tas"] for label, seed in itertools.product(LABELS, SEEDS)]
    fields = np.concatenate([values.reshape(MEMBERS * TIMES, -1) for values in at])
    assert len(np.unique(fields, axis=0)) == len(fields)
