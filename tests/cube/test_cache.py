"""One instant is drawn once; nobody waits for ever; memory and disk hold what they should."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from xr_cbottle.cube import cache, shares
from xr_cbottle.cube.cache import FieldCache
from xr_cbottle.cube.disk import DiskTier
from xr_cbottle.cube.keys import Key
from xr_cbottle.cube.shares import Share

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


def gather(of, wanted, draw, batch=8, disk=None, namespace="n" * 64, **keywords):
    got, wanted = {}, list(wanted)

    def deliver(k, field):
        assert k not in got
        np.testing.assert_array_equal(field, value(k))
        got[k] = field

    of.gather([key(i, namespace) for i in wanted], draw, deliver, batch=batch, disk=disk, **keywords)
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


def test_one_cache_and_one_bound_for_the_process():
    """Who gives a size has as much, who gives none has what suits the process, and all together have no more."""
    assert cache.shared() is cache.shared()
    assert 0 < shares.default_limit() <= 4 * 2**30
    c, draw = FieldCache(4 * NBYTES), Drawer()
    small, large = Share(2 * NBYTES), Share(6 * NBYTES)
    for i in range(20):
        gather(c, [i], draw, share=(None, small, large)[i % 3])
        assert c.nbytes <= 6 * NBYTES
    assert draw.drawn == list(range(20))
    kept = [i for i in range(20) if key(i) in c]
    assert sum(i % 3 == 1 for i in kept) == 2  # one tells the caches of others nothing
    gather(c, kept, Drawer(error=OSError("nothing is drawn again, whoever asks")), share=Share(0))
    gather(c, [100], draw, share=Share(0))
    assert key(100) not in c


def test_a_small_share_gives_way_to_a_larger_one():
    c, draw = FieldCache(100 * NBYTES), Drawer()
    passing = Share(32 * NBYTES, passing=True)
    assert passing.limit == 4 * NBYTES
    gather(c, range(10), draw, share=passing)
    assert [i for i in range(10) if key(i) in c] == [6, 7, 8, 9]
    gather(c, [9], draw)  # somebody who keeps fields wants this one
    gather(c, range(20, 30), draw, share=passing)
    assert key(9) in c
    assert len(c) == 5


def test_empty_places_are_filled_with_what_is_wanted_next():
    c, draw = FieldCache(100 * NBYTES), Drawer()
    following = [key(i) for i in (5, 6, 7, 8, 9)]
    gather(c, [4], draw, batch=4, following=following)
    gather(c, [5, 6], draw, batch=4, following=following)
    assert draw.batches == [[4, 5, 6, 7]]
    gather(c, [20, 21, 22, 23, 24], draw, batch=4, following=[key(25), key(21), key(26)])
    assert draw.batches[1:] == [[20, 21, 22, 23], [24, 25, 26]]
    failing = Drawer(error=OSError("a place of a batch"))
    with pytest.raises(OSError, match="a place of a batch"):
        gather(c, [40], failing, batch=4, following=[key(41)])
    gather(c, [41, 40], draw, batch=4)  # nothing is left of what failed
    assert c.idle()


def test_the_limit_is_that_of_dasks_worker(monkeypatch):
    assert shares.default_limit() > 2**28
    monkeypatch.setattr(shares, "worker_memory", lambda: 2**30)
    assert shares.default_limit() == 2**28
    assert Share(passing=True).limit == 2**25


# A process that draws slowly into a folder, and tells what it drew.
DRAWS = """
import sys, time
import numpy as np
from tests.cube.test_cache import SHAPE, Drawer, key, value
from xr_cbottle.cube.cache import FieldCache
from xr_cbottle.cube.disk import DiskTier

folder, seconds, *wanted = sys.argv[1:]

def draw(keys):
    print(*(k.seconds // 3600 for k in keys), flush=True)
    time.sleep(float(seconds))
    return [value(k) for k in keys]

got = {}
FieldCache(0).gather([key(int(i)) for i in wanted], draw, got.__setitem__, batch=2, disk=DiskTier(folder, SHAPE))
assert all((field == value(k)).all() for k, field in got.items()) and len(got) == len(wanted)
"""


def start(folder, seconds, wanted):
    command = [sys.executable, "-c", DRAWS, str(folder), str(seconds), *map(str, wanted)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_that_miss_at_the_same_time_draw_once(tmp_path):
    one, two = start(tmp_path, 0.5, range(6)), start(tmp_path, 0.5, [5, 4, 0, 1, 2, 3])
    drawn = [int(i) for process in (one, two) for i in process.communicate(timeout=60)[0].split()]
    assert (one.returncode, two.returncode) == (0, 0)
    assert sorted(drawn) == list(range(6))


def test_what_a_killed_process_was_drawing_is_drawn_by_who_waits(tmp_path):
    slow = start(tmp_path, 60, [0, 1])
    assert slow.stdout.readline().split() == ["0", "1"]
    quick = start(tmp_path, 0, [1, 0, 2])
    time.sleep(1)
    assert quick.poll() is None
    slow.kill()
    assert sorted(map(int, quick.communicate(timeout=60)[0].split())) == [0, 1, 2]
    assert quick.returncode == 0
    slow.communicate(timeout=60)


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.npy*"))


def test_a_folder_is_bounded(tmp_path):
    """Those used longest ago go first; a file of somebody else, and what is in another place, stay."""
    disk = DiskTier(str(tmp_path), SHAPE)
    gather(FieldCache(0), [0], Drawer(), disk=disk)
    one = size_of(tmp_path)
    stranger = disk.path(key(0)).parent.parent / "mine.npy"
    stranger.write_bytes(bytes(100))
    disk = DiskTier(str(tmp_path), SHAPE, 10 * one)
    for i in range(1, 30):
        gather(FieldCache(0), [i], Drawer(), disk=disk)
        os.utime(disk.path(key(i)), (i, i))
        assert size_of(tmp_path) - 100 <= 10 * one
        if i > 3:
            assert disk.load(key(3)) is not None  # it is used all the time
    assert disk.load(key(29)) is not None
    assert disk.load(key(1)) is None
    assert stranger.exists()
    gather(FieldCache(0), [99], Drawer(), disk=DiskTier(str(tmp_path), SHAPE, one - 1))
    assert not disk.has(key(99))


def test_a_folder_is_bounded_whoever_is_killed(tmp_path):
    """A note that was not written, or is not there, and what somebody had begun to write long ago."""
    disk = DiskTier(str(tmp_path), SHAPE)
    gather(FieldCache(0), range(8), Drawer(), disk=disk)
    one = size_of(tmp_path) // 8
    left = disk.path(key(0)).with_name(".left.npy.123.abc")
    left.write_bytes(bytes(3 * one))
    os.utime(left, (1, 1))
    for spoil in (lambda note: note.unlink(), lambda note: note.write_text("x"), lambda note: note.write_text("1e9")):
        spoil(tmp_path / ".locks" / "bytes")
        gather(FieldCache(0), [50], Drawer(), disk=DiskTier(str(tmp_path), SHAPE, 9 * one))
        disk.path(key(50)).unlink()
        assert size_of(tmp_path) <= 9 * one
        assert not left.exists()


def test_a_folder_without_a_bound_leaves_the_disk_its_half(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=300))
    disk = DiskTier(str(tmp_path), SHAPE)
    gather(FieldCache(0), range(3), Drawer(), disk=disk)
    assert size_of(tmp_path) <= 300


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
    names = [p.name for p in tmp_path.rglob("*.npy*")]
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
