"""Things made once: how many are kept, and what counts."""

from __future__ import annotations

import threading

import pytest

from xr_cbottle.draw.once import Once


class Thing:
    """Something that has a size."""

    def __init__(self, size: int = 1) -> None:
        self.size = size


def filled(limit: int, *sizes: int) -> tuple[Once, list[int]]:
    """A store that was asked for things of these sizes, and which were made."""
    once, made = Once(limit, lambda thing: thing.size), []
    for key, size in enumerate(sizes):
        once.get(key, lambda key=key, size=size: (made.append(key), Thing(size))[1])
    return once, made


def test_those_used_longest_ago_are_let_go() -> None:
    once, made = filled(10, 4, 4)
    once.get(0, Thing)
    once.get(2, lambda: Thing(4))  # now 1 has been unused for longest
    assert once.size == 8
    assert once.get(0, lambda: pytest.fail("it is there")).size == 4
    once.get(1, lambda: (made.append(1), Thing(4))[1])
    assert made == [0, 1, 1]


def test_the_last_one_stays_however_large() -> None:
    once, _ = filled(10, 4, 50)
    assert (once.size, len(once)) == (50, 1)
    assert once.get(1, lambda: pytest.fail("it is there")).size == 50


def test_what_is_in_use_counts_and_is_not_made_again() -> None:
    once = Once(10, lambda thing: thing.size)
    used = once.get("used", lambda: Thing(8))
    once.get("a", lambda: Thing(4))
    assert once.size == 12  # let go, but alive
    once.get("b", lambda: Thing(4))
    assert once.size == 12  # a had to go
    assert once.get("used", lambda: pytest.fail("it is alive")) is used
    del used
    once.get("a", lambda: Thing(4))
    assert once.size == 4


def test_making_leaves_nothing_behind() -> None:
    once, _ = filled(3, *[1] * 50)
    with pytest.raises(OSError, match="no disk"):
        once.get("x", lambda: (_ for _ in ()).throw(OSError("no disk")))
    assert once._turns == {}
    assert len(once) == 3
    assert len(once._alive) <= 4


def test_one_makes_while_others_wait() -> None:
    once, made, begun, go = Once(2), [], threading.Event(), threading.Event()

    def make() -> Thing:
        made.append(1)
        begun.set()
        go.wait(10)
        return Thing()

    found: list[Thing] = []
    threads = [threading.Thread(target=lambda: found.append(once.get("key", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    assert once.get("other", Thing) is not None  # does not wait for the first
    go.set()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(map(id, found))) == 1
