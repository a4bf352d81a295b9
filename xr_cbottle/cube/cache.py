"""Finished instants, kept: one shared cache in memory in which an instant is drawn once, and one on disk.

Whoever reads the data set, in whichever thread and order, asks here for instants. Those that nobody has
are queued, and one thread at a time draws a batch of them, including those that other threads have queued
meanwhile: many small reads then fill a batch as one large read does. All who want an instant get that one.
"""

from __future__ import annotations

import collections
import functools
import os
import threading
from collections.abc import Callable, Iterable, Sequence

from xr_cbottle.cube.disk import DiskTier
from xr_cbottle.cube.keys import Field, Group, Key
from xr_cbottle.draw.forks import Lock
from xr_cbottle.draw.memory import process_memory

DEFAULT_LIMIT = 4 * 2**30
Draw = Callable[[Sequence[Key]], Sequence[Field]]


class _Flight:
    """An instant that somebody has asked for and nobody has yet."""

    __slots__ = ("error", "field", "state")

    def __init__(self) -> None:
        # reading (from disk) or queued by who asked first, drawing; then done, failed or, by an interrupt, abandoned
        self.state = "queued"
        self.field: Field | None = None
        self.error: BaseException | None = None


class InstantCache:
    """Single-flight cache of instants, least recently used out first; thread-safe.

    Parameters
    ----------
    limit
        Bytes of finished instants to keep; 0 keeps none, but those who want one at the same time
        still share it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reset()
        if hasattr(os, "register_at_fork"):
            # A lock that another thread held stays held in a child: it starts with an empty cache.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._fields: collections.OrderedDict[Key, Field] = collections.OrderedDict()
        self._bytes = 0
        self._flights: dict[Key, _Flight] = {}
        self._queues: dict[Group, collections.deque[Key]] = {}
        self._drawing: set[Group] = set()
        self._held: collections.Counter[Key] = collections.Counter()

    @property
    def nbytes(self) -> int:
        """Bytes kept now."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._fields)

    def clear(self) -> None:
        """Forget all finished instants."""
        with self._changed:
            self._fields.clear()
            self._bytes = 0

    def hold(self, keys: Iterable[Key]) -> int:
        """Keep instants until `release`, beyond the limit if need be, also those that are yet to be drawn.

        Returns
        -------
        How many of them are not here now.
        """
        with self._changed:
            keys = list(keys)
            self._held.update(keys)
            return sum(key not in self._fields for key in keys)

    def release(self, keys: Iterable[Key]) -> None:
        """Let go of what was held; as often as it was held."""
        with self._changed:
            for key in keys:
                self._held[key] -= 1
                if self._held[key] <= 0:
                    del self._held[key]
            self._shrink()

    def gather(
        self,
        keys: Sequence[Key],
        draw: Draw,
        deliver: Callable[[Key, Field], None],
        *,
        batch: int,
        disk: DiskTier | None = None,
    ) -> None:
        """Get instants, drawing those that are nowhere yet.

        Parameters
        ----------
        keys
            The instants, each once, all of one namespace and label.
        draw
            Draws up to ``batch`` instants of these, also some that were asked for elsewhere.
        deliver
            Called in this thread with each instant once, in any order; the field is shared and read-only.
        batch
            Instants to draw at once.
        disk
            Folder to look into before drawing, and to keep what was drawn.

        Raises
        ------
        Exception
            What ``draw`` raised, here or in the thread that was drawing one of these. The instants are
            then free to be asked for again.
        """
        pending = collections.deque(keys)
        mine: dict[Key, _Flight] = {}  # all I wait for, in the order of asking
        claimed: dict[Key, _Flight] = {}  # those of them that I brought into the queue
        try:
            while pending or mine:
                while pending and len(claimed) < batch and len(mine) < 4 * batch:
                    key = pending.popleft()
                    field = self._ask(key, mine, claimed, disk)
                    if field is not None:
                        deliver(key, field)
                for key in self._advance(mine, draw, batch, disk) if mine else ():
                    flight = mine.pop(key)
                    claimed.pop(key, None)
                    if flight.state == "abandoned":
                        pending.appendleft(key)
                    elif flight.error is not None:
                        raise flight.error
                    else:
                        assert flight.field is not None
                        deliver(key, flight.field)
        finally:
            self._abandon(claimed)

    def _ask(
        self, key: Key, mine: dict[Key, _Flight], claimed: dict[Key, _Flight], disk: DiskTier | None
    ) -> Field | None:
        """The field if it is there; otherwise it is now in the queue or already on its way."""
        with self._changed:
            field = self._fields.get(key)
            if field is not None:
                self._fields.move_to_end(key)
                return field
            flight = self._flights.get(key)
            if flight is not None:
                mine[key] = flight
                return None
            flight = self._flights[key] = mine[key] = claimed[key] = _Flight()
            if disk is None:
                self._enqueue(key)
                return None
            flight.state = "reading"
        field = disk.load(key)
        with self._changed:
            if field is None:
                flight.state = "queued"
                self._enqueue(key)
            else:
                self._finish(key, field)
                del mine[key], claimed[key]
            self._changed.notify_all()
        return field

    def _enqueue(self, key: Key) -> None:
        self._queues.setdefault(key.group, collections.deque()).append(key)

    def _advance(self, mine: dict[Key, _Flight], draw: Draw, batch: int, disk: DiskTier | None) -> list[Key]:
        """Wait until some of my instants are decided, drawing a batch if nobody else is; returns those."""
        group = next(iter(mine)).group
        keys: list[Key] = []
        fields: Sequence[Field] = ()
        error: Exception | None = None
        try:
            with self._changed:
                while not keys:
                    decided = _decided(mine)
                    if decided:
                        return decided
                    queue = self._queues.get(group)
                    if queue and group not in self._drawing:
                        while queue and len(keys) < batch:
                            keys.append(queue[0])
                            self._flights[queue.popleft()].state = "drawing"
                        self._drawing.add(group)
                    else:
                        self._changed.wait()
            fields = _checked(draw(keys), len(keys))
        except Exception as raised:
            error = raised
        finally:  # after an interrupt too, which is for this thread alone: the others draw it themselves
            if keys:
                self._settle(group, keys, fields, error)
        if disk is not None:
            for key, field in zip(keys, fields, strict=False):
                disk.save(key, field)
        return _decided(mine)

    def _settle(self, group: Group, keys: list[Key], fields: Sequence[Field], error: Exception | None) -> None:
        """Tell everybody what became of a batch."""
        with self._changed:
            self._drawing.discard(group)
            for i, key in enumerate(keys):
                if fields:
                    self._finish(key, fields[i])
                else:
                    self._fail(key, error)
            self._changed.notify_all()

    def _finish(self, key: Key, field: Field) -> None:
        flight = self._flights.pop(key)
        flight.field, flight.state = field, "done"
        if field.nbytes > self.limit and key not in self._held:
            return
        self._fields[key] = field
        self._bytes += field.nbytes
        self._shrink()

    def _shrink(self) -> None:
        """Forget the oldest that nobody holds until the rest is within the limit."""
        while self._bytes > self.limit:
            key = next((key for key in self._fields if key not in self._held), None)
            if key is None:
                return
            self._bytes -= self._fields.pop(key).nbytes

    def _fail(self, key: Key, error: Exception | None) -> None:
        flight = self._flights.pop(key)
        flight.error, flight.state = error, "abandoned" if error is None else "failed"

    def _abandon(self, claimed: dict[Key, _Flight]) -> None:
        """Take back what I brought and will not draw; those who wait for it bring it again."""
        if not claimed:
            return
        with self._changed:
            for key, flight in claimed.items():
                if self._flights.get(key) is not flight or flight.state == "drawing":
                    continue  # decided already, or another thread is drawing it and will say
                if flight.state == "queued" and key in self._queues[key.group]:
                    self._queues[key.group].remove(key)
                self._fail(key, None)
            self._changed.notify_all()


def _decided(flights: dict[Key, _Flight]) -> list[Key]:
    return [key for key, flight in flights.items() if flight.state in ("done", "failed", "abandoned")]


def _checked(fields: Sequence[Field], n: int) -> list[Field]:
    """The fields, read-only, as they are shared from now on."""
    if len(fields) != n:
        raise RuntimeError(f"{n} instants were to be drawn and {len(fields)} came")
    for field in fields:
        field.flags.writeable = False
    return list(fields)


@functools.cache
def _of_limit(limit: int) -> InstantCache:
    return InstantCache(limit)


_making = Lock()


def shared(limit: int | None = None) -> InstantCache:
    """The cache of this process: one for all who leave its size open, and one for each size asked for.

    Parameters
    ----------
    limit
        Bytes; None for a quarter of the memory, at most 4 GiB.
    """
    with _making:
        return _of_limit(default_limit() if limit is None else limit)


@functools.cache
def default_limit() -> int:
    """A quarter of the memory that this process may use, at most 4 GiB, in bytes."""
    return min(DEFAULT_LIMIT, process_memory() // 4)
