"""Tickets for fields: clients take turns, only so many wait, and readers in threads share batches with them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.cube.test_cache import NBYTES, SHAPE, Drawer, gather, key, value, wait_until
from xr_cbottle.cube.cache import FieldCache, Full, Queue
from xr_cbottle.cube.disk import DiskTier
from xr_cbottle.cube.turns import Turns

BATCH = 4


class Desk:
    """A queue into a cache, whose fields are drawn when the test says so."""

    def __init__(self, limit=100, cache_limit=10**6, disk=None, **drawer):
        self.draw_fields, self.disk = Drawer(**drawer), disk
        self.cache = FieldCache(cache_limit)
        self.queue = Queue(self.cache, limit)
        self.ended = []

    def gather(self, keys, deliver):
        self.cache.gather(keys, self.draw_fields, deliver, batch=BATCH, disk=self.disk)

    def ask(self, *numbers, client=None):
        return self.queue.ticket([key(i) for i in numbers], self.gather, client=client, ended=self.ended.append)

    def draw_all(self):
        while self.queue.draw(BATCH):
            pass


def test_turns_are_one_item_a_client():
    turns = Turns()
    for client, items in (("a", [1, 2, 3, 4]), ("b", [11, 12]), ("c", [21])):
        for item in items:
            turns.add(client, item)
    assert list(turns) == [1, 11, 21, 2, 12, 3, 4]
    assert turns.take(2, lambda _: True) == [1, 11]
    assert turns.take(2, lambda item: item != 21) == [2, 12]
    turns.add("b", 13)
    turns.add("a", 0, first=True)
    turns.discard("a", 3)
    assert turns.take(9, lambda _: True) == [21, 0, 13, 4]
    assert len(turns) == 0
    assert turns.take(9, lambda _: True) == []


def test_a_polite_client_is_in_the_next_batch_however_much_another_wants():
    desk = Desk()
    greedy = [desk.ask(i, client="greedy") for i in range(20)]
    polite = desk.ask(50, client="polite")
    assert desk.queue.draw(BATCH) == 4
    assert desk.draw_fields.batches == [[0, 50, 1, 2]]
    assert polite.done
    assert desk.ended == [greedy[0], polite, greedy[1], greedy[2]]
    desk.ask(51, client="polite")
    desk.draw_all()
    assert desk.draw_fields.batches[1] == [3, 51, 4, 5]
    assert all(ticket.done for ticket in greedy)


def test_a_full_queue_makes_room_for_who_has_less_in_it():
    desk = Desk(limit=8)
    greedy = [desk.ask(i, client="greedy") for i in range(8)]
    with pytest.raises(Full, match="8 fields are waiting to be drawn, and 8 may"):
        desk.ask(8, client="greedy")
    with pytest.raises(Full):
        desk.ask(*range(20, 26), client="polite")  # more than the other would have left
    assert desk.ended == []
    polite = [desk.ask(50 + i, client="polite") for i in range(4)]
    assert desk.ended == greedy[:3:-1]
    assert all(isinstance(ticket.error, Full) for ticket in greedy[4:])
    with pytest.raises(Full):
        desk.ask(60, client="polite")
    third = desk.ask(70, client="third")
    assert third.error is None
    desk.draw_all()
    done = [ticket for ticket in (*greedy, *polite, third) if ticket.done and ticket.error is None]
    assert len(done) == 8
    assert len(desk.draw_fields.drawn) == 8
    assert desk.queue.counts == {"drawn": 8, "dropped": 5}


def test_what_others_want_too_or_has_begun_makes_no_room():
    gate = threading.Event()
    desk = Desk(limit=5, gate=gate)
    begun = [desk.ask(i, client="greedy") for i in range(4)]
    with ThreadPoolExecutor(1) as pool:
        drawing = pool.submit(desk.queue.draw, BATCH)
        assert desk.draw_fields.started.wait(10)
        shared = desk.ask(4, client="greedy"), desk.ask(4, client="friend")
        with pytest.raises(Full):
            desk.ask(9, client="polite")
        gate.set()
        assert drawing.result(10) == 4
    desk.draw_all()
    assert all(ticket.done and ticket.error is None for ticket in (*begun, *shared))


def test_a_closed_ticket_is_not_drawn_unless_others_want_it():
    desk = Desk()
    with desk.ask(1, 2), desk.ask(2, 3) as second:
        assert not second.joined
        with desk.ask(2) as third:
            assert third.joined
        assert desk.queue.waiting == 3
        second.close()
        assert desk.queue.waiting == 2
        desk.draw_all()
    assert desk.draw_fields.batches == [[1, 2]]
    assert desk.queue.counts == {"drawn": 2, "dropped": 1}
    assert desk.cache.held == 0
    assert desk.cache.idle()


@pytest.mark.parametrize("limit", [0, NBYTES])
def test_a_ticket_keeps_its_fields_in_memory(limit):
    desk = Desk(cache_limit=limit)
    with desk.ask(0, 1, 2) as ticket:
        desk.draw_all()
        assert ticket.done
        assert desk.cache.missing([key(i) for i in range(3)]) == 0
    assert desk.cache.nbytes <= limit


def test_readers_in_threads_and_tickets_fill_the_same_batches():
    gate = threading.Event()
    desk = Desk(gate=gate)
    with ThreadPoolExecutor(2) as pool:
        reader = pool.submit(gather, desk.cache, [0], desk.draw_fields, BATCH)
        assert desk.draw_fields.started.wait(10)
        tickets = [desk.ask(i) for i in (1, 2)]
        other = pool.submit(gather, desk.cache, [2, 3], desk.draw_fields, BATCH)
        wait_until(lambda: desk.cache.waiting == 3)
        gate.set()
        reader.result(10)
        other.result(10)
        assert desk.draw_fields.batches == [[0], [1, 2, 3]]
        assert all(ticket.done for ticket in tickets)
        assert desk.queue.draw(BATCH) == 0
    assert desk.cache.idle()


def test_tickets_and_readers_at_random_draw_each_field_once():
    desk, rng, stop = Desk(limit=10**6), np.random.default_rng(1), threading.Event()
    requests = [rng.permutation(40)[:25].tolist() for _ in range(24)]

    def worker():
        while not stop.is_set() or desk.queue.draw(BATCH):
            desk.queue.draw(BATCH)

    def client(number, wanted):
        if number % 2:
            return gather(desk.cache, wanted, desk.draw_fields, BATCH)
        with desk.ask(*wanted, client=number % 3) as ticket:
            wait_until(lambda: ticket.done)
            assert ticket.error is None
            return gather(desk.cache, wanted, Drawer(error=AssertionError("it should be here")), BATCH)

    with ThreadPoolExecutor(26) as pool:
        workers = [pool.submit(worker) for _ in range(2)]
        try:
            for done in [pool.submit(client, *pair) for pair in enumerate(requests)]:
                done.result(30)
        finally:
            stop.set()
        for one in workers:
            one.result(10)
    assert desk.draw_fields.drawn == sorted({i for wanted in requests for i in wanted})
    assert desk.cache.idle()
    assert desk.cache.held == 0


def test_an_error_is_for_all_who_have_a_ticket_and_only_an_error_counts_as_failed():
    desk = Desk(error=RuntimeError("out of memory"))
    first, second = desk.ask(0, 1), desk.ask(1)
    assert desk.queue.draw(BATCH) == 2
    assert str(first.error) == str(second.error) == "out of memory"
    assert desk.ended == [first, second]
    assert desk.queue.counts["failed"] == 2
    desk.draw_fields.error = None
    again = desk.ask(1)
    assert desk.queue.draw(BATCH) == 1
    assert again.done
    assert again.error is None
    assert desk.queue.counts == {"failed": 2, "drawn": 1}


def test_a_batch_of_which_nothing_comes_fails_and_is_not_tried_for_ever():
    desk = Desk()
    ticket = desk.queue.ticket([key(0), key(1)], lambda keys, deliver: None)
    assert desk.queue.draw(BATCH) == 2
    with pytest.raises(RuntimeError, match="2 fields were to be drawn and none came"):
        raise ticket.error
    assert desk.queue.draw(BATCH) == 0
    assert desk.queue.counts == {"failed": 2}


def test_a_reader_who_is_interrupted_leaves_tickets_in_their_place():
    gate = threading.Event()
    desk = Desk()
    interrupted = Drawer(error=KeyboardInterrupt(), gate=gate)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(gather, desk.cache, [0, 1], interrupted, BATCH)
        assert interrupted.started.wait(10)
        ticket, left = desk.ask(1, 2), desk.ask(0)
        left.close()
        gate.set()
        assert isinstance(reader.exception(10), KeyboardInterrupt)
    assert not ticket.done
    assert desk.queue.waiting == 2
    desk.draw_all()
    assert desk.draw_fields.batches == [[1, 2]]
    assert desk.cache.idle()


def test_what_an_interrupted_reader_drew_for_nobody_is_not_drawn_again():
    gate = threading.Event()
    desk, interrupted = Desk(), Drawer(error=KeyboardInterrupt(), gate=gate)
    ticket = desk.ask(1)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(gather, desk.cache, [0], interrupted, BATCH)
        assert interrupted.started.wait(10)
        assert interrupted.batches == [[1, 0]]
        ticket.close()
        gate.set()
        assert isinstance(reader.exception(10), KeyboardInterrupt)
    assert desk.cache.idle()
    assert desk.cache.waiting == 0


def test_tickets_are_found_on_disk(tmp_path):
    disk = DiskTier(str(tmp_path), SHAPE)
    gather(FieldCache(0), [1, 4], Drawer(), disk=disk)
    desk = Desk(disk=disk)
    tickets = [desk.ask(i) for i in range(6)]
    desk.draw_all()
    assert all(ticket.done and ticket.error is None for ticket in tickets)
    assert desk.draw_fields.drawn == [0, 2, 3, 5]  # 4 is no part of the first batch, though there is a place
    assert desk.queue.counts == {"drawn": 6}


def test_groups_are_apart_and_each_is_drawn_by_its_own():
    desk, drawn = Desk(), []

    def of(namespace):
        def draw(keys):
            drawn.append((namespace, len(keys)))
            return [value(k) for k in keys]

        return lambda keys, deliver: desk.cache.gather(keys, draw, deliver, batch=BATCH)

    for i in range(3):
        for namespace in "ab":
            desk.queue.ticket([key(i, namespace)], of(namespace))
    desk.draw_all()
    assert drawn == [("a", 3), ("b", 3)]
