"""Networks in memory: bounded in bytes, shared, and loaded again when they are needed."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bottles import fine_specs, synthetic_bottle
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.draw import models
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.draw.memory import process_memory
from xr_cbottle.draw.once import Once

CPU = torch.device("cpu")
TIME = np.datetime64("1980-02-01T06", "s")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Once:
    """The store of the CPU, empty; bounds that a test sets are for it alone."""
    store = models.store(CPU)
    store.clear()
    monkeypatch.setattr(store, "limit", store.limit)
    return store


def alive() -> int:
    """Networks in memory, whoever holds them."""
    gc.collect()
    return sum(type(one) in (models.Model, models.PatchModel) for one in gc.get_objects())


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bottles")
    return [synthetic_bottle(folder / f"bottle{i}.cbottle", seed=i, superres=fine_specs(4)) for i in range(8)]


def test_eight_bottles_leave_no_more_networks_than_fit(store: Once, paths: list[Path]) -> None:
    before = alive()
    one = Emulator(paths[0]).model
    store.limit = 3.5 * one.nbytes
    del one
    cubes = [Cube(path, time=[TIME]) for path in paths]
    first = [cube.to_dataset().tas.values for cube in cubes]
    emulators = [cube.emulator() for cube in cubes]
    assert alive() - before == 3
    assert store.size <= store.limit
    gone = weakref.ref(emulators[-1].model)
    again = [emulator.draw(TIME, progress=False).values for emulator in emulators]
    assert gone() is None  # others took its place, and it was loaded anew
    assert alive() - before == 3
    tas = emulators[0].channels.index("tas")
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0, tas])


def test_tiles_and_instants_share_the_bound(store: Once, paths: list[Path]) -> None:
    before = alive()

    def tile() -> np.ndarray:
        cache.shared().clear()  # what others have drawn is taken, whatever is kept of this
        return Cube(paths[0], zoom=4, time=[TIME], cache_size=0).to_dataset().tas[:, :64].values

    first = tile()
    assert alive() - before == 2
    store.clear()
    store.limit = 1  # less than one: each takes the place of the other
    np.testing.assert_array_equal(tile(), first)
    assert alive() - before == 1


def test_what_a_model_takes_is_its_weights_and_its_climatology(store: Once, paths: list[Path]) -> None:
    model = Emulator(paths[0], precision="float32").model
    weights = sum(parameter.nbytes for parameter in model.experts[0][1].network.parameters())
    assert weights < model.nbytes < 2 * weights
    half = Emulator(paths[0], precision="bfloat16").model
    assert half.nbytes < 0.75 * model.nbytes
    climatology = Emulator("gcm").model
    arrays = (climatology.climatology.mean, climatology.climatology.cycle)
    assert climatology.nbytes > sum(array.nbytes for array in arrays)


def test_the_bound_is_a_share_of_the_memory() -> None:
    assert models.store(CPU).limit == models.SHARE * process_memory()
    assert 2**28 < process_memory() < 2**45
    assert models.store(torch.device("cpu")) is models.store(torch.device("cpu", 0))


def test_a_gpu_of_the_parent_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(RuntimeError, match="spawn or forkserver"):
        models.choose_device(None)
    assert models.choose_device("cpu") == CPU
