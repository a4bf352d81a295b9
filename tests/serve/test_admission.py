"""A frame is drawn once for all who want it, nobody waits in vain, and only so many wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest

from tests.cube.test_cache import NBYTES, Drawer, key
from xr_cbottle.cube.cache import FieldCache
from xr_cbottle.serve.http.admission import Admission
from xr_cbottle.serve.http.lane import ClientGone, Lane, Unavailable

BATCH = 4


class Desk:
    """An admission with one lane, and clients who ask for instants by number."""

    def __init__(self, limit=10**6, gate=None, error=None, most_instants=8, most_requests=100, load=None, wait=5.0):
        self.draw = Drawer(error, gate)
        self.cache = FieldCache(limit)
        self.admission = Admission(most_requests, wait)
        self.lane = Lane("a bottle", load or (lambda: None), self.cache, BATCH, most_instants)
        self.lane.open()

    def gather(self, keys, deliver):
        self.cache.gather(keys, self.draw, deliver, batch=BATCH)

    async def ask(self, *numbers, gone=None, inside=None, client="somebody"):
        """What it took to get some fields."""
        gone = gone or asyncio.get_running_loop().create_future()
        keys = [key(i) for i in numbers]
        async with self.admission.fields(self.lane, keys, self.gather, client, lambda: gone) as how:
            assert self.cache.missing(keys) == 0
            if inside is not None:
                await inside()
            return how

    def start(self, *numbers, **options):
        return asyncio.ensure_future(self.ask(*numbers, **options))


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never happened")


@pytest.fixture
def gate():
    made = threading.Event()
    yield made
    made.set()


def run(scenario):
    async def limited():
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(limited())


def test_a_frame_is_drawn_once_and_then_cached():
    async def scenario():
        desk = Desk()
        hows = await asyncio.gather(*(desk.ask(3) for _ in range(20)))
        assert sorted(hows) == ["drawn"] + ["joined"] * 19
        assert await desk.ask(3) == "cached"
        assert desk.draw.drawn == [3]
        assert desk.admission.counts == {"drawn": 1, "joined": 19, "cached": 1}
        assert desk.lane.queue.counts["drawn"] == 1
        assert desk.admission.requests == 0
        assert desk.cache.held == 0
        assert desk.cache.idle()

    run(scenario())


def test_frames_that_come_together_or_meanwhile_fill_batches(gate):
    async def scenario():
        desk = Desk(gate=gate, most_instants=20)
        first = [desk.start(i) for i in range(3)]
        await until(desk.draw.started.is_set)
        later = [desk.start(i) for i in range(10, 16)]
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.gather(*first, *later)
        assert desk.draw.batches == [[0, 1, 2], [10, 11, 12, 13], [14, 15]]

    run(scenario())


def test_labels_are_not_mixed_in_a_batch(gate):
    async def scenario():
        desk = Desk(gate=gate)
        gate.set()
        keys = [key(i)._replace(label=label) for i, label in enumerate("abab")]
        gone = asyncio.get_running_loop().create_future()

        async def ask(one):
            async with desk.admission.fields(desk.lane, [one], desk.gather, one, lambda: gone) as how:
                return how

        await asyncio.gather(*map(ask, keys))
        assert desk.draw.batches == [[0, 2], [1, 3]]

    run(scenario())


def test_those_who_come_when_too_many_wait_are_told_when_to_come_again(gate):
    async def scenario():
        desk = Desk(gate=gate, most_instants=5)
        desk.cache.gather([key(99)], Drawer(), lambda *_: None, batch=1)
        await until(lambda: desk.lane.status == "ok")
        waiting = [desk.start(i) for i in range(5)]
        await until(desk.draw.started.is_set)
        with pytest.raises(Unavailable, match="5 fields of a bottle are waiting to be drawn, and 5 may") as refused:
            await desk.ask(5)
        assert refused.value.busy
        assert refused.value.retry_after == 10  # two batches, of which none was measured
        joined = desk.start(4)
        assert await desk.ask(99) == "cached"
        gate.set()
        await asyncio.gather(*waiting)
        assert await joined == "joined"
        assert await desk.ask(5) == "drawn"
        assert desk.admission.counts["refused"] == 1
        assert 0 < desk.lane.seconds_per_batch < 5
        assert desk.lane.seconds_left == 0

    run(scenario())


def test_a_frame_larger_than_the_queue_is_drawn_when_nothing_else_waits(gate):
    async def scenario():
        desk = Desk(gate=gate, most_instants=5)
        large = desk.start(*range(10))
        await until(desk.draw.started.is_set)
        with pytest.raises(Unavailable):
            await desk.ask(10)
        gate.set()
        assert await large == "drawn"
        assert desk.draw.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert await desk.ask(*range(10)) == "cached"
        assert await desk.ask(*range(5, 15)) == "drawn"
        assert desk.draw.drawn == list(range(15))

    run(scenario())


def test_a_frame_that_nobody_waits_for_is_dropped_if_it_has_not_begun(gate):
    async def scenario():
        desk = Desk(gate=gate)
        loop = asyncio.get_running_loop()
        await until(lambda: desk.lane.status == "ok")
        begun_by, left_by, stays = loop.create_future(), loop.create_future(), loop.create_future()
        begun = [desk.start(i, gone=begun_by) for i in range(4)]
        await until(desk.draw.started.is_set)
        alone = desk.start(5, gone=left_by)
        shared = [desk.start(6, gone=left_by), desk.start(6, gone=stays)]
        await until(lambda: desk.lane.queue.waiting == 2)
        left_by.set_result(None)
        begun_by.set_result(None)
        for task in (*begun, alone, shared[0]):
            with pytest.raises(ClientGone):
                await task
        assert desk.lane.queue.waiting == 1
        assert desk.lane.queue.counts["dropped"] == 1
        gate.set()
        assert await shared[1] == "joined"
        assert desk.draw.drawn == [0, 1, 2, 3, 6]
        assert await desk.ask(0) == "cached"

    run(scenario())


def test_a_cancelled_request_leaves_nothing(gate):
    async def scenario():
        desk = Desk(gate=gate)
        first = desk.start(0)
        await until(desk.draw.started.is_set)
        task = desk.start(1)
        await until(lambda: desk.lane.queue.waiting)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert desk.lane.queue.waiting == 0
        gate.set()
        await first
        assert desk.cache.held == 0
        assert desk.admission.requests == 0

    run(scenario())


@pytest.mark.parametrize("limit", [0, NBYTES])
def test_a_cache_too_small_holds_what_is_being_read(limit):
    async def scenario():
        desk = Desk(limit=limit)

        async def slowly():
            await asyncio.sleep(0.05)
            assert len(desk.cache) == 3

        hows = await asyncio.gather(*(desk.ask(0, 1, 2, inside=slowly) for _ in range(5)))
        assert sorted(hows) == ["drawn"] + ["joined"] * 4
        assert desk.draw.drawn == [0, 1, 2]
        assert desk.cache.nbytes <= limit

    run(scenario())


def test_an_error_reaches_all_who_wait_and_the_next_one_is_drawn():
    async def scenario():
        desk = Desk(error=RuntimeError("out of memory"))
        results = await asyncio.gather(*(desk.ask(i % 2) for i in range(6)), return_exceptions=True)
        assert [str(r) for r in results] == ["out of memory"] * 6
        assert desk.lane.queue.counts["failed"] == 2
        desk.draw.error = None
        assert await desk.ask(0) == "drawn"

    run(scenario())


def test_an_exit_in_a_thread_is_not_one_of_the_server():
    async def scenario():
        desk = Desk(error=SystemExit(3))
        with pytest.raises(RuntimeError, match=r"ended by SystemExit\(3\)"):
            await desk.ask(0)

    run(scenario())


def test_so_many_requests_may_wait(gate):
    async def scenario():
        desk = Desk(gate=gate, most_requests=3)
        waiting = [desk.start(0), desk.start(0)]
        await until(desk.draw.started.is_set)
        with pytest.raises(Unavailable, match="2 requests of yours are waiting"):
            await desk.ask(0)
        waiting.append(desk.start(0, client="another"))
        await until(lambda: desk.admission.requests == 3)
        with pytest.raises(Unavailable, match="3 requests are waiting"):
            await desk.ask(0, client="a third")
        gate.set()
        await asyncio.gather(*waiting)
        assert await desk.ask(0) == "cached"

    run(scenario())


def test_loading_is_waited_for(gate):
    async def scenario():
        patient = Desk(load=gate.wait)
        waiting = [patient.start(0), patient.start(1)]
        hasty = Desk(load=gate.wait, wait=0.01)
        with pytest.raises(Unavailable, match="networks of a bottle are still being loaded") as refused:
            await hasty.ask(0)
        assert not refused.value.busy
        assert refused.value.retry_after == 5
        gate.set()
        assert await asyncio.gather(*waiting) == ["drawn", "drawn"]
        assert patient.draw.batches == [[0, 1]]

    run(scenario())


def test_a_bottle_that_cannot_be_loaded_says_why_and_is_tried_again_later():
    async def scenario():
        tries = []

        def load():
            tries.append(1)
            if len(tries) == 1:
                raise OSError("the network\nis down")

        desk = Desk(load=load)
        for _ in range(2):
            with pytest.raises(Unavailable, match="a bottle cannot be drawn from: the network is down") as refused:
                await desk.ask(0)
            assert 50 < refused.value.retry_after <= 60
        assert desk.lane.facts()["failure"] == "the network is down"
        desk.lane._load_again = 0
        assert await desk.ask(0) == "drawn"
        assert len(tries) == 2
        assert "failure" not in desk.lane.facts()

    run(scenario())


def test_stopping_finishes_what_has_begun_and_nothing_more(gate):
    async def scenario():
        desk = Desk(gate=gate)
        begun = [desk.start(i) for i in range(4)]
        await until(desk.draw.started.is_set)
        waiting = [desk.start(5), desk.start(6)]
        await until(lambda: desk.lane.queue.waiting == 2)
        desk.lane.stop(20)
        assert desk.lane.busy
        for asked in (*waiting, desk.start(7)):
            with pytest.raises(Unavailable, match="the server is being stopped"):
                await asked
        gate.set()
        assert await asyncio.gather(*begun) == ["drawn"] * 4
        await until(lambda: not desk.lane.busy)
        assert desk.draw.drawn == [0, 1, 2, 3]

    run(scenario())


def test_stopping_begins_nothing_when_a_batch_has_just_ended(gate):
    async def scenario():
        desk = Desk(gate=gate)
        begun = [desk.start(i) for i in range(4)]
        await until(desk.draw.started.is_set)
        waiting = [desk.start(5), desk.start(6)]
        await until(lambda: desk.lane.queue.waiting == 2)
        gate.set()
        time.sleep(0.3)  # the batch ends, and the event loop has yet to hear of it
        desk.lane.stop(20)
        for asked in waiting:
            with pytest.raises(Unavailable, match="the server is being stopped"):
                await asked
        assert await asyncio.gather(*begun) == ["drawn"] * 4
        await until(lambda: not desk.lane.busy)
        assert desk.draw.drawn == [0, 1, 2, 3]

    run(scenario())


def test_stopping_gives_up_what_takes_too_long(gate):
    async def scenario():
        desk = Desk(gate=gate)
        begun = desk.start(0)
        await until(desk.draw.started.is_set)
        desk.lane.stop(0.05)
        with pytest.raises(Unavailable, match="the server is being stopped"):
            await begun
        assert desk.lane.busy
        loading = Desk(load=gate.wait)
        waits = loading.start(0)
        await asyncio.sleep(0.01)
        loading.lane.stop(20)
        with pytest.raises(Unavailable):
            await waits

    run(scenario())
