"""Batches made ahead are those asked for, in order, by any number of threads."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training.batches import Batches  # noqa: E402
from xr_cbottle.training.data import prepare  # noqa: E402
from xr_cbottle.training.loader import Loader  # noqa: E402


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    folder = trainings.write(tmp_path_factory.mktemp("loader"))
    config = configs.parse(trainings.values(folder))
    return Batches(config, prepare(config.data, folder, progress=False))


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_change_nothing(batches, threads):
    with Loader(batches.training, 6, 4, 2, threads=threads) as loader:
        for first in range(6, 70, 4):  # over the end of an epoch
            made, expected = next(loader), batches.training(first, 2)
            for field in dataclasses.fields(made):
                one, two = (getattr(batch, field.name).nan_to_num(99) for batch in (made, expected))
                assert torch.equal(one, two), (first, field.name)


def test_threads_work_at_once_and_not_too_far_ahead():
    lock, working, most, begun = threading.Lock(), 0, 0, []

    def slowly(first, count):
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
            begun.append(first)
        time.sleep(0.05 if first % 3 else 0.1)  # the later ones are ready first
        with lock:
            working -= 1
        return first

    with Loader(slowly, 0, 1, 1, threads=3) as loader:
        assert [next(loader) for _ in range(4)] == [0, 1, 2, 3]
        time.sleep(0.3)
        assert sorted(begun) == list(range(7))
    assert most == 3


def test_an_error_comes_at_its_batch():
    def broken(first, count):
        if first == 2:
            raise OSError("the disk is gone")
        return first

    with Loader(broken, 0, 1, 1, threads=2) as loader:
        assert [next(loader), next(loader)] == [0, 1]
        with pytest.raises(OSError, match="the disk is gone"):
            next(loader)
