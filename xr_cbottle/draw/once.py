"""Things that are made once for all who ask, and kept within a bound. Needs no torch."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from xr_cbottle.base import forks


class _Turn:
    """Who makes one thing now, and how many are there or wait."""

    def __init__(self) -> None:
        self.lock, self.waiting = threading.Lock(), 0


class Once:
    """Things made once by whoever asks first, while others wait; those used longest ago are let go.

    What was let go and is still in use somewhere counts as long as it lives, and is given again rather than made a
    second time. The thing used last is always kept, however large. If making fails or is interrupted, that is the
    maker's alone: the next who waits tries again.

    Parameters
    ----------
    limit
        How much all things that are alive may be together.
    size
        How much one is; 1 for each by default.
    """

    def __init__(self, limit: float, size: Callable[[Any], int] | None = None) -> None:
        self.limit = limit
        self._size = size
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._alive: dict[Hashable, tuple[weakref.ref, int]] = {}
        self._renew()
        forks.in_child(self._renew)

    def _renew(self) -> None:
        """Begin in a forked child: what is made is there, and who was making is not."""
        self._lock = threading.Lock()
        self._turns: dict[Hashable, _Turn] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Size of all things that are alive, kept or in use."""
        with self._lock:
            return self._total()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Give what is kept under ``key``, made by ``make`` if it is not there."""
        with self._turn(key):
            found = self._find(key)
            if found is None:
                found = make()
                self._keep(key, found)
            return found

    def clear(self) -> None:
        """Forget everything, also what is in use."""
        with self._lock:
            self._kept.clear()
            self._alive.clear()

    @contextlib.contextmanager
    def _turn(self, key: Hashable) -> Iterator[None]:
        with self._lock:
            turn = self._turns.setdefault(key, _Turn())
            turn.waiting += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.waiting -= 1
                if not turn.waiting:
                    del self._turns[key]

    def _find(self, key: Hashable) -> Any:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            alive = self._alive.get(key)
            found = None if alive is None else alive[0]()
            if found is not None:
                self._kept[key] = found
                self._shrink()
            return found

    def _keep(self, key: Hashable, made: Any) -> None:
        size = 1 if self._size is None else self._size(made)
        with self._lock:
            self._kept[key] = made
            self._alive[key] = weakref.ref(made), size
            self._shrink()

    def _shrink(self) -> None:
        while len(self._kept) > 1 and self._total() > self.limit:
            self._kept.popitem(last=False)

    def _total(self) -> int:
        for key in [key for key, (alive, _) in self._alive.items() if alive() is None]:
            del self._alive[key]
        return sum(size for _, size in self._alive.values())
