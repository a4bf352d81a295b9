"""What is left of a batch is drawn for who reads on: in time, backwards, in steps, over members; values stay."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import bottles
from tests.pretended import made, pretended
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.cube.read_path import ReadPath
from xr_cbottle.draw.emulator import Emulator


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    return bottles.synthetic_bottle(tmp_path_factory.mktemp("path") / "small.cbottle")


@pytest.fixture(autouse=True)
def empty_cache():
    cache.shared().clear()


@pytest.fixture
def batches(monkeypatch):
    """The batches that networks draw from now on, as (member, hour since 1980)."""
    drawn: list[list[tuple[int, int]]] = []
    whole = Emulator._draw_batch

    def draw(self, label, instants):
        first = np.datetime64("1980-01-01T00", "s")
        drawn.append([(one.member, int((one.time - first) // np.timedelta64(1, "h"))) for one in instants])
        return whole(self, label, instants)

    monkeypatch.setattr(Emulator, "_draw_batch", draw)
    return drawn


@pytest.mark.filterwarnings("ignore:The specified chunks separate:UserWarning")
@pytest.mark.parametrize("chunks", [None, {}, {"time": 1}], ids=str)
def test_maps_in_a_loop_cost_what_one_read_does(bottle, batches, chunks):
    ds = xr.open_dataset(bottle, engine="cbottle", chunks=chunks)
    maps = [ds.tas.isel(time=i).compute() for i in range(4)]
    assert batches == [[(0, 0), (0, 6), (0, 12), (0, 18)]]
    cache.shared().clear()
    xr.testing.assert_equal(xr.concat(maps, "time"), ds.tas.isel(time=slice(0, 4)).compute())


def test_values_do_not_know_what_fills_a_batch(bottle, batches):
    alone = [xr.open_dataset(bottle, engine="cbottle", cache_size=0).ta.isel(time=i).compute() for i in range(3)]
    assert [len(batch) for batch in batches] == [1, 1, 1]  # nothing could be kept
    filled = [xr.open_dataset(bottle, engine="cbottle").ta.isel(time=i).compute() for i in range(3)]
    assert [len(batch) for batch in batches[3:]] == [4]
    for one, other in zip(alone, filled, strict=True):
        assert one.values.tobytes() == other.values.tobytes()


@pytest.mark.parametrize(
    ("keywords", "reads", "expected"),
    [
        ({}, [dict(time=100), dict(time=9)], [[100, 101, 102, 103], [9, 10, 11, 12]]),
        ({}, [dict(time=i) for i in (50, 49, 48, 47)], [[50, 51, 52, 53], [49, 54, 55, 56], [48, 47, 46, 45]]),
        ({"members": 1}, [dict(time=i) for i in (0, 8, 16, 24)], [[0, 1, 2, 3], [8, 9, 10, 11], [16, 24, 32, 40]]),
        ({}, [dict(time=slice(0, 6))], [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ({}, [dict(time=slice(0, 20, 4))], [[0, 4, 8, 12], [16, 20, 24, 28]]),
        ({}, [dict(time=-1)], [[2923]]),
        ({"time": ["1980-01-01", "1980-01-03"]}, [dict(time=0)], [[0, 8]]),
    ],
)
def test_what_comes_next_in_time(bottle, batches, keywords, reads, expected):
    ds = xr.open_dataset(bottle, engine="cbottle", **keywords)
    for read in reads:
        ds.tas.isel(read).load()
    assert [[hour // 6 for _, hour in batch] for batch in batches] == expected


def test_what_comes_next_among_members(bottle, batches):
    ds = xr.open_dataset(bottle, engine="cbottle", members=12, time=["1980-01-01"])
    for member in (0, 3, 6):
        ds.tas.isel(member=member, time=0).load()
    assert [[member for member, _ in batch] for batch in batches] == [[0, 1, 2, 3], [6, 9, 7, 8]]


def test_nothing_is_drawn_ahead_where_a_batch_is_one(bottle, batches):
    xr.open_dataset(bottle, engine="cbottle", batch_size=1).tas.isel(time=0).load()
    assert batches == [[(0, 0)]]
    assert Cube("icon").spec.batch_size == 1  # an instant of it costs the same in any batch


def test_what_does_not_fit_is_not_drawn_ahead(bottle, batches):
    layout = Cube(bottle).layout
    nbytes = 4 * len(layout.channels) * layout.sizes["cell"]
    xr.open_dataset(bottle, engine="cbottle", cache_size=4 * nbytes - 1).tas.isel(time=0).load()
    xr.open_dataset(bottle, engine="cbottle", cache_size=4 * nbytes).tas.isel(time=10).load()
    assert [len(batch) for batch in batches] == [1, 4]


def test_a_path_has_no_circles(bottle):
    """Whatever is read, what follows is there, each once, and not more than a batch has places."""
    layout = Cube(bottle, members=3, time=slice("1980-01-01", "1980-01-04")).layout
    path, rng = ReadPath(layout), np.random.default_rng(0)
    for _ in range(300):
        count = rng.integers(0, 5)
        pairs = np.unique(rng.integers(0, (3, layout.sizes["time"]), (count, 2)), axis=0).reshape(-1, 2)
        keys = path.following([pairs, pairs[:1]])
        assert len(set(keys)) == len(keys) <= 12
        assert all(0 <= key.member < 3 for key in keys)


def test_a_task_of_dask_keeps_little(tmp_path):
    """A month passes through, and a loop over maps still finds what was drawn with the first."""
    cube = pretended("gcm", tmp_path / "made")
    ds = cube.to_dataset(chunks={})
    ds.psl.isel(time=slice(0, 744)).mean().compute(scheduler="synchronous")
    assert 0 < cache.shared().nbytes <= cube.reading.share(passing=True).limit <= 2**26
    before = sum(made(tmp_path / "made").values())
    for i in range(1000, 1004):
        ds.psl.isel(time=i).compute()
    assert sum(made(tmp_path / "made").values()) - before == 4


@pytest.mark.long
def test_a_worker_of_a_gigabyte_finishes(tmp_path):
    """500 instants of icon's size: a worker whose cache is a share of the machine's memory is paused for ever."""
    from distributed import Client, LocalCluster

    cube = pretended("icon", tmp_path / "made")
    mean = cube.to_dataset(chunks={}).tas.isel(time=slice(0, 500)).mean()
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, memory_limit="1GB", dashboard_address=None)
    with cluster, Client(cluster) as client:
        assert np.isfinite(client.compute(mean).result(timeout=300))
    assert set(made(tmp_path / "made").values()) == {1}
    assert len(made(tmp_path / "made")) == 500
