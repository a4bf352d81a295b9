"""One instant is drawn once; nobody waits for ever; memory and disk hold what they should."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from xr_cbottle.cube import cache
from xr_cbottle.cube.cache import FieldCache
from xr_cbottle.cube.disk import DiskTier
from xr_cbottle.cube.keys import Key

SHAPE = (2, 12)
NBYTES = 2 * 12 * 4


def key(i, namespace="n" * 64):
    return Key(namespace, "a", 0, 0, 3600 * i)


def value(k):
    return np.full(SHAPE, k.seconds, np.float32)


class Drawer:
    """Draws what is asked for and keeps count; may be told to fail or to wait."""

    def __init__(self, error=None, gate=None):
        self.batches, self.error, self.gate = [], error, gate
        self.started = threading.Event()

    def __call__(self, keys):
        self.batches.append([k.seconds // 3600 for k in keys])
        self.started.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return [value(k) for k in keys]

    @property
    def drawn(self):
        return sorted(i for batch in self.batches for i in batch)


def gather(of, wanted, draw, batch=8, disk=None, namespace="n" * 64):
    got, wanted = {}, list(wanted)

    def deliver(k, field):
        assert k not in got
        np.testing.assert_array_equal(field, value(k))
        got[k] = field

    of.gather([key(i, namespace) for i in wanted], draw, deliver, batch=batch, disk=disk)
    assert sorted(got) == sorted(key(i, namespace) for i in wanted)
    return got


def run(*calls):
    """Calls in threads; their results or exceptions."""
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        return [f.exception(timeout=20) or f.result() for f in futures]


def wait_until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("never happened")


def test_full_batches_and_then_none():
    c, draw = FieldCache(10**6), Drawer()
    gather(c, range(20), draw)
    assert [len(b) for b in draw.batches] == [8, 8, 4]
    gather(c, reversed(range(20)), draw)
    assert len(draw.drawn) == 20
    assert c.nbytes == 20 * NBYTES
    assert len(c) == 20


def test_cached_ones_leave_room_in_a_batch():
    c, draw = FieldCache(10**6), Drawer()
    gather(c, range(0, 16, 2), draw)
    gather(c, range(16), draw)
    assert [len(b) for b in draw.batches] == [8, 8]


def test_fields_are_shared_and_read_only():
    c, draw = FieldCache(10**6), Drawer()
    a, b = gather(c, [1], draw)[key(1)], gather(c, [1], draw)[key(1)]
    assert a is b
    assert not a.flags.writeable


def test_bounded_by_bytes_oldest_out():
    c, draw = FieldCache(4 * NBYTES), Drawer()
    gather(c, range(4), draw)
    gather(c, [0], draw)
    gather(c, [9], draw)
    assert c.nbytes == 4 * NBYTES
    gather(c, [0, 9, 2, 3], draw)
    assert draw.drawn == [0, 1, 2, 3, 9]
    gather(c, [1], draw)
    assert draw.drawn == [0, 1, 1, 2, 3, 9]


def test_a_limit_of_nothing_keeps_nothing():
    c, draw = FieldCache(0), Drawer()
    gather(c, range(3), draw)
    gather(c, range(3), draw)
    assert draw.drawn == [0, 0, 1, 1, 2, 2]
    assert c.nbytes == 0 == len(c)


@pytest.mark.parametrize("limit", [10**6, 0])
def test_overlapping_requests_draw_only_what_is_missing(limit):
    c, gate = FieldCache(limit), threading.Event()
    first, second = Drawer(gate=gate), Drawer()

    def other():
        assert first.started.wait(10)
        timer = threading.Timer(0.2, gate.set)
        timer.start()
        return gather(c, range(5, 13), second)

    results = run(lambda: gather(c, range(1, 9), first), other)
    assert all(isinstance(r, dict) for r in results), results
    assert first.batches == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert second.batches == [[9, 10, 11, 12]]


def test_many_threads_draw_each_instant_once():
    c, draw = FieldCache(10**6), Drawer()
    rng = np.random.default_rng(0)
    requests = [rng.permutation(40)[:25] for _ in range(16)]
    results = run(*(lambda r=r: gather(c, r.tolist(), draw) for r in requests))
    assert all(isinstance(r, dict) for r in results), results
    assert draw.drawn == sorted(set(np.concatenate(requests).tolist()))


def test_small_requests_meanwhile_fill_one_batch():
    c, gate = FieldCache(10**6), threading.Event()
    draw = Drawer(gate=gate)

    def later(i):
        assert draw.started.wait(10)
        return gather(c, [i], draw)

    def release():
        wait_until(lambda: c.waiting == 6)
        gate.set()
        return {}

    results = run(lambda: gather(c, [0], draw), release, *(lambda i=i: later(i) for i in range(1, 7)))
    assert all(isinstance(r, dict) for r in results), results
    assert [len(b) for b in draw.batches] == [1, 6]


def test_namespaces_are_apart():
    c, draw = FieldCache(10**6), Drawer()
    gather(c, range(3), draw, namespace="a")
    gather(c, range(3), draw, namespace="b")
    assert draw.drawn == [0, 0, 1, 1, 2, 2]


def test_an_error_reaches_all_who_wait_and_leaves_nothing_stuck():
    c, gate = FieldCache(10**6), threading.Event()
    broken = Drawer(error=RuntimeError("out of memory"), gate=gate)
    others = [Drawer() for _ in range(3)]

    def wait_for_it(draw):
        assert broken.started.wait(10)
        return gather(c, range(8), draw)

    def release():
        assert broken.started.wait(10)
        time.sleep(0.2)
        gate.set()

    results = run(lambda: gather(c, range(8), broken), release, *(lambda d=d: wait_for_it(d) for d in others))
    assert [str(r) for r in results[:1] + results[2:]] == ["out of memory"] * 4
    assert c.idle()
    draw = Drawer()
    gather(c, range(8), draw)
    assert draw.drawn == list(range(8))


def test_an_interrupt_is_for_one_thread_only():
    c, gate = FieldCache(10**6), threading.Event()
    interrupted, draw = Drawer(error=KeyboardInterrupt(), gate=gate), Drawer()

    def wait_for_it():
        assert interrupted.started.wait(10)
        threading.Timer(0.2, gate.set).start()
        return gather(c, range(4), draw)

    results = run(lambda: gather(c, range(4), interrupted), wait_for_it)
    assert isinstance(results[0], KeyboardInterrupt)
    assert isinstance(results[1], dict)
    assert draw.drawn == [0, 1, 2, 3]
    assert c.idle()


def test_a_consumer_that_fails_takes_its_requests_back():
    c, draw = FieldCache(10**6), Drawer()

    def deliver(k, field):
        raise ZeroDivisionError

    gather(c, [0], draw)
    with pytest.raises(ZeroDivisionError):
        c.gather([key(1), key(2), key(0), key(3)], draw, deliver, batch=8)
    assert c.idle()
    gather(c, range(4), draw)


def test_wrong_number_of_fields_is_an_error():
    with pytest.raises(RuntimeError, match="3 fields were to be drawn and 1 came"):
        gather(FieldCache(10**6), range(3), lambda keys: [value(keys[0])])


def test_shared_caches():
    assert cache.shared() is cache.shared(None) is cache.shared(cache.default_limit())
    assert cache.shared(123) is cache.shared(123) is not cache.shared()
    assert 0 < cache.default_limit() <= 4 * 2**30


@contextlib.contextmanager
def locked(c):
    """Another thread stands still within the cache's lock: it counts keys that never come."""
    inside, go_on = threading.Event(), threading.Event()

    def keys():
        inside.set()
        assert go_on.wait(30)
        yield key(0)

    thread = threading.Thread(target=c.missing, args=(keys(),))
    thread.start()
    assert inside.wait(10)
    yield
    go_on.set()
    thread.join(10)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_child_does_not_inherit_a_held_lock():
    c, gate = FieldCache(10**6), threading.Event()
    held = Drawer(gate=gate)
    thread = threading.Thread(target=lambda: gather(c, range(4), held))
    thread.start()
    assert held.started.wait(10)
    with locked(c):
        child = multiprocessing.get_context("fork").Process(target=lambda: gather(c, range(4), Drawer()))
        child.start()
    child.join(20)
    gate.set()
    thread.join(20)
    assert child.exitcode == 0


def test_disk_keeps_instants(tmp_path):
    disk = DiskTier(str(tmp_path / "new"), SHAPE)
    draw = Drawer()
    gather(FieldCache(10**6), range(5), draw, disk=disk)
    again = Drawer()
    gather(FieldCache(10**6), range(7), again, disk=disk)
    assert again.drawn == [5, 6]
    names = [p.name for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(names)[0] == "19700101T000000.npy"
    assert len(names) == 7
    np.testing.assert_array_equal(np.load(disk.path(key(3))), value(key(3)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b[:-10],
        lambda b: b"",
        lambda b: b[:100],
        lambda b: b[:150] + bytes([b[150] ^ 1]) + b[151:],
        lambda b: b"\x80\x04" + b,
    ],
)
def test_spoiled_files_are_drawn_again(tmp_path, spoil):
    disk, draw = DiskTier(str(tmp_path), SHAPE), Drawer()
    gather(FieldCache(0), range(3), draw, disk=disk)
    path = disk.path(key(1))
    path.write_bytes(spoil(path.read_bytes()))
    again = Drawer()
    gather(FieldCache(0), range(3), again, disk=disk)
    assert again.drawn == [1]
    gather(FieldCache(0), range(3), again, disk=disk)
    assert again.drawn == [1]


def test_other_shapes_and_namespaces_are_not_taken_from_disk(tmp_path):
    draw = Drawer()
    gather(FieldCache(0), [0], draw, disk=DiskTier(str(tmp_path), SHAPE))
    assert DiskTier(str(tmp_path), (3, 12)).load(key(0)) is None
    assert DiskTier(str(tmp_path), SHAPE).load(key(0, "m" * 64)) is None
    strange = key(0)._replace(label="../../etc")
    assert (tmp_path / strange.namespace[:32]) in DiskTier(str(tmp_path), SHAPE).path(strange).resolve().parents


def test_a_file_that_was_moved_is_not_taken_for_another_instant(tmp_path):
    disk = DiskTier(str(tmp_path), SHAPE)
    gather(FieldCache(0), range(2), Drawer(), disk=disk)
    shutil.copy(disk.path(key(0)), disk.path(key(1)))
    again = Drawer()
    gather(FieldCache(0), range(2), again, disk=disk)
    assert again.drawn == [1]
    assert np.load(disk.path(key(0))).shape == SHAPE  # still a file that numpy reads


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot keep finished instants"):
        gather(FieldCache(0), [0], Drawer(), disk=DiskTier(str(tmp_path / "file" / "x"), SHAPE))


def test_disk_is_read_in_several_threads_once(tmp_path):
    disk = DiskTier(str(tmp_path), SHAPE)
    gather(FieldCache(0), range(0, 20, 2), Drawer(), disk=disk)
    c, draw = FieldCache(10**6), Drawer()
    results = run(*(lambda: gather(c, range(20), draw, disk=disk) for _ in range(8)))
    assert all(isinstance(r, dict) for r in results), results
    assert draw.drawn == list(range(1, 20, 2))
