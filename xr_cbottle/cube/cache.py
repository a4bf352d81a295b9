"""Finished fields, instants or tiles: one shared cache in memory in which each is drawn once, and one on disk.

Whoever reads a data set, in whichever thread and order, asks here. What nobody has is queued, and one thread at
a time draws a batch of it, including what others have queued meanwhile: many small reads then fill a batch as one
large read does. All who want a field get that one. Who cannot wait in a thread takes a ticket of a bounded `Queue`.
"""

from __future__ import annotations

import collections
import enum
import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from types import TracebackType

from xr_cbottle.base import forks
from xr_cbottle.cube.disk import DiskTier
from xr_cbottle.cube.keys import Field, Group, Key
from xr_cbottle.cube.recent import RecentFields
from xr_cbottle.cube.shares import Share
from xr_cbottle.cube.turns import Turns

Deliver = Callable[[Key, Field], None]
Draw = Callable[[Sequence[Key]], Sequence[Field]]
Gather = Callable[[Sequence[Key], Deliver], None]


class State(enum.Enum):
    """State of a field that somebody has asked for."""

    QUEUED = "it waits to be drawn"
    READING = "a thread looks for it on disk"
    DRAWING = "a thread draws it"
    DONE = "it is there"
    FAILED = "it could not be drawn"


class _Flight:
    """A field that somebody has asked for and nobody has yet."""

    __slots__ = ("client", "error", "field", "queue", "share", "state", "tickets", "unread", "wanted")

    def __init__(self, client: Hashable, queue: Queue | None) -> None:
        self.client, self.queue, self.state = client, queue, State.QUEUED
        self.unread = queue is not None  # who takes a ticket does not look for it on disk; who gathers does at once
        self.wanted = 0  # by how many threads, workers and tickets
        self.tickets: list[Ticket] = []
        self.field: Field | None = None
        self.error: Exception | None = None
        self.share: Share | None = None  # the largest of those who gather it

    def keep(self, share: Share) -> None:
        """Keep it in this share of the memory, if no larger one is told already."""
        if self.share is None or share.limit > self.share.limit:
            self.share = share


class FieldCache:
    """Single-flight cache of fields, least recently used out first; thread-safe.

    Parameters
    ----------
    limit
        Bytes of finished fields to keep for those who do not say how many; None for what suits the process. 0 keeps
        none, but those who want one at the same time still share it.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.share = Share(limit)
        self._reset()
        # A lock that another thread held stays held in a child: it starts with an empty cache.
        forks.in_child(self._reset)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._recent = RecentFields()
        self._flights: dict[Key, _Flight] = {}
        self._turns: Turns[Key] = Turns()
        self._drawing: set[Group] = set()

    @property
    def nbytes(self) -> int:
        """Bytes kept now."""
        return self._recent.nbytes

    @property
    def waiting(self) -> int:
        """How many fields wait to be drawn."""
        with self._changed:
            return len(self._turns)

    @property
    def held(self) -> int:
        """How many keys are held, see `hold`."""
        return self._recent.held

    def __len__(self) -> int:
        return len(self._recent)

    def __contains__(self, key: object) -> bool:
        return key in self._recent

    def idle(self) -> bool:
        """Whether no field is on its way: none waits, is read from disk or is drawn."""
        with self._changed:
            return not (self._flights or self._drawing or len(self._turns))

    def clear(self) -> None:
        """Forget all finished fields."""
        with self._changed:
            self._recent.clear()

    def missing(self, keys: Iterable[Key]) -> int:
        """How many fields are not in memory now."""
        with self._changed:
            return sum(key not in self._recent for key in keys)

    def hold(self, keys: Iterable[Key]) -> None:
        """Keep fields until `release`, beyond the limit if need be, also those that are yet to be drawn."""
        with self._changed:
            self._recent.hold(keys)

    def release(self, keys: Iterable[Key]) -> None:
        """Let go of what was held; as often as it was held."""
        with self._changed:
            self._recent.release(keys)

    def gather(
        self,
        keys: Sequence[Key],
        draw: Draw,
        deliver: Deliver,
        *,
        batch: int,
        disk: DiskTier | None = None,
        share: Share | None = None,
        following: Sequence[Key] = (),
    ) -> None:
        """Get fields, drawing those that are nowhere yet.

        Parameters
        ----------
        keys
            Of the fields, each once, all of one group.
        draw
            Draws up to ``batch`` fields of these, also some that were asked for elsewhere.
        deliver
            Called in this thread with each field once, in any order; the field is shared and read-only.
        batch
            Fields to draw at once.
        disk
            Folder to look into before drawing, and to keep what was drawn.
        share
            Share of the memory in which they are kept; the cache's own if None.
        following
            Of fields of the same group that will be wanted next. They are drawn in places of a batch that would be
            empty, and kept, and not delivered.

        Raises
        ------
        Exception
            What ``draw`` raised, here or in the thread that was drawing one of these. The fields are
            then free to be asked for again.
        """
        share = share or self.share
        pending = collections.deque(keys)
        mine: dict[Key, _Flight] = {}  # all I wait for, in the order of asking
        brought: set[Key] = set()  # those of them that nobody else had asked for
        try:
            while pending or mine:
                while pending and len(brought) < batch and len(mine) < 4 * batch:
                    key = pending.popleft()
                    field = self._ask(key, mine, brought, disk, share)
                    if field is not None:
                        deliver(key, field)
                for key in self._advance(mine, draw, batch, disk, following) if mine else ():
                    flight = mine.pop(key)
                    brought.discard(key)
                    if flight.error is not None:
                        raise flight.error
                    assert flight.field is not None
                    deliver(key, flight.field)
        finally:
            self._let_go(mine)

    def _ask(
        self, key: Key, mine: dict[Key, _Flight], brought: set[Key], disk: DiskTier | None, share: Share
    ) -> Field | None:
        """The field if it is there; otherwise it is now in the queue or already on its way."""
        with self._changed:
            field = self._recent.get(key, share)
            if field is not None:
                return field
            flight = self._flights.get(key)
            new = flight is None
            if flight is None:
                flight = self._begin(key, None, None)
                brought.add(key)
            flight.wanted += 1
            flight.keep(share)
            mine[key] = flight
            if disk is None or not (new or flight.unread) or flight.state is not State.QUEUED:
                return None
            flight.state, flight.unread = State.READING, False
        try:
            field = disk.load(key)
        finally:
            self._looked(key, flight, field)
        if field is not None:
            del mine[key]
            brought.discard(key)
        return field

    def _begin(self, key: Key, client: Hashable, queue: Queue | None) -> _Flight:
        flight = self._flights[key] = _Flight(client, queue)
        self._turns.add(client, key)
        return flight

    def _looked(self, key: Key, flight: _Flight, field: Field | None) -> None:
        """Say what was on disk."""
        with self._changed:
            flight.state = State.QUEUED
            ended = [] if field is None else self._decide(key, field, None)
            self._changed.notify_all()
        _tell(ended)

    def _advance(
        self, mine: dict[Key, _Flight], draw: Draw, batch: int, disk: DiskTier | None, following: Sequence[Key]
    ) -> list[Key]:
        """Wait until some of my fields are decided, drawing a batch if nobody else is; returns those."""
        group = next(iter(mine)).group
        share = next(iter(mine.values())).share or self.share
        ahead = [key for key in following if disk is None or not disk.has(key)]
        keys: list[Key] = []
        fields: Mapping[Key, Field] = {}
        error: Exception | None = None
        try:
            with self._changed:
                while not keys:
                    decided = _decided(mine)
                    if decided:
                        return decided
                    if group not in self._drawing:
                        keys += self._next(group, batch, skip_unread=disk is not None)
                    if keys:
                        self._drawing.add(group)
                        keys += self._fill_up(ahead, batch - len(keys), share)
                    else:
                        self._changed.wait()

            def drawn(wanted: Sequence[Key]) -> list[Field]:
                return _checked(draw(wanted), len(wanted))

            if disk is None:
                fields = dict(zip(keys, drawn(keys), strict=True))
            else:
                fields = disk.draw_once(keys, drawn, optional=ahead)
        except Exception as raised:
            error = raised
        finally:  # after an interrupt too, which is for this thread alone: the others draw it themselves
            if keys:
                self._settle(group, keys, fields, error)
        return _decided(mine)

    def _next(self, group: Group, batch: int, skip_unread: bool) -> list[Key]:
        """Take those whose turn it is; those that may be on disk are for who asks for them."""

        def ready(key: Key) -> bool:
            flight = self._flights[key]
            return key.group == group and flight.state is State.QUEUED and not (flight.unread and skip_unread)

        keys = self._turns.take(batch, ready)
        for key in keys:
            self._flights[key].state = State.DRAWING
        return keys

    def _fill_up(self, following: Iterable[Key], places: int, share: Share) -> list[Key]:
        """Take what nobody has asked for yet, for the empty places of a batch."""
        new = [key for key in following if key not in self._recent and key not in self._flights][: max(places, 0)]
        for key in new:
            flight = self._flights[key] = _Flight(None, None)
            flight.state = State.DRAWING
            flight.keep(share)
        return new

    def _settle(self, group: Group, keys: list[Key], fields: Mapping[Key, Field], error: Exception | None) -> None:
        """Tell everybody what became of a batch; what has neither field nor error is to be drawn by somebody else."""
        ended: list[Ticket] = []
        with self._changed:
            self._drawing.discard(group)
            for key in keys if error is not None else fields:
                ended += self._decide(key, None if error is not None else fields[key], error)
            for key in reversed([] if error is not None else [key for key in keys if key not in fields]):
                self._put_back(key)
            self._changed.notify_all()
        _tell(ended)

    def _put_back(self, key: Key) -> None:
        flight = self._flights[key]
        flight.state = State.QUEUED
        if flight.wanted:
            self._turns.add(flight.client, key, first=True)
        else:
            del self._flights[key]

    def _decide(self, key: Key, field: Field | None, error: Exception | None) -> list[Ticket]:
        """Write down what became of a field; returns the tickets that end with it."""
        flight = self._flights.pop(key)
        self._turns.discard(flight.client, key)
        flight.field, flight.error = field, error
        flight.state = State.FAILED if field is None else State.DONE
        if field is not None:
            self._recent.put(key, field, flight.share or self.share)
        if flight.queue is not None:
            flight.queue.counts["failed" if field is None else "drawn"] += 1
        return [ticket for ticket in flight.tickets if ticket._decide(key, error)]

    def _let_go(self, flights: Mapping[Key, _Flight]) -> None:
        """Want fields no more; those that nobody wants are taken out of the queue, if they still are in it."""
        with self._changed:
            for key, flight in flights.items():
                flight.wanted -= 1
                if flight.wanted or flight.state is not State.QUEUED:
                    continue
                del self._flights[key]
                self._turns.discard(flight.client, key)
                if flight.queue is not None:
                    flight.queue.counts["dropped"] += 1


class Full(Exception):
    """The queue has no place."""


class Ticket:
    """A place in a `Queue` for fields that are wanted together; use it in a `with` block.

    Within the block the fields stay in memory. At its end those that nobody else wants, and that have not begun, are
    taken out of the queue.

    Attributes
    ----------
    client
        Who asked.
    cost
        How many of the fields were not in memory.
    joined
        Whether all of those were on their way already.
    error
        Why they cannot be had, once that is known.
    """

    def __init__(
        self, queue: Queue, keys: Sequence[Key], client: Hashable, ended: Callable[[Ticket], None] | None
    ) -> None:
        self.client, self.cost, self.joined = client, 0, False
        self.error: Exception | None = None
        self._queue, self._keys, self._ended = queue, tuple(keys), ended
        self._flights: dict[Key, _Flight] = {}  # undecided

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def done(self) -> bool:
        """Whether all fields are in memory or there is an error."""
        return self.error is not None or not self._flights

    @property
    def begun(self) -> bool:
        """Whether no field still waits for its turn."""
        return not any(flight.state is State.QUEUED for flight in self._flights.values())

    def close(self) -> None:
        """Want the fields no more; may be called twice."""
        self._queue._leave(self)

    def _decide(self, key: Key, error: Exception | None) -> bool:
        """Write down what became of one field; returns whether the ticket ends with that."""
        was_done = self.done
        self._flights.pop(key, None)
        self.error = self.error or error
        return self.done and not was_done


class Queue:
    """A bounded queue for the fields of one network, into a cache; clients take turns. Thread-safe.

    Parameters
    ----------
    cache
        Where the fields will be.
    limit
        Fields that may wait or be drawn at a time. A ticket that alone has more is let in if nothing else waits. Where
        the queue is full and one client has much more in it than another who comes, the newest tickets of that one
        make room: they end with the error `Full`.

    Attributes
    ----------
    counts
        Fields ``drawn`` (or found on disk), ``failed`` and ``dropped``, because nobody wanted them any more.
    """

    def __init__(self, cache: FieldCache, limit: int) -> None:
        self.cache, self.limit = cache, limit
        self.counts: collections.Counter[str] = collections.Counter()
        self._tickets: dict[Ticket, None] = {}  # in the order of coming
        self._gathers: dict[Group, Gather] = {}

    def _on_their_way(self) -> list[_Flight]:
        return [flight for flight in self.cache._flights.values() if flight.queue is self]

    @property
    def pending(self) -> int:
        """How many fields wait or are being drawn."""
        with self.cache._changed:
            return len(self._on_their_way())

    @property
    def waiting(self) -> int:
        """How many fields wait to be drawn."""
        with self.cache._changed:
            return sum(flight.state is State.QUEUED for flight in self._on_their_way())

    def ticket(
        self,
        keys: Sequence[Key],
        gather: Gather,
        *,
        client: Hashable = None,
        ended: Callable[[Ticket], None] | None = None,
    ) -> Ticket:
        """Ask for fields without waiting for them.

        Parameters
        ----------
        keys
            Of the fields, all of one group.
        gather
            Gets fields of that group from the cache, see `FieldCache.gather`; also those of other tickets.
        client
            Who asks, for turns.
        ended
            Called once, in the thread that finishes the last field or fails; not if all is there already.

        Raises
        ------
        Full
            If too much waits already.
        """
        cache, ticket = self.cache, Ticket(self, keys, client, ended)
        with cache._changed:
            missing = [key for key in dict.fromkeys(keys) if key not in cache._recent]
            new = [key for key in missing if key not in cache._flights]
            evicted = self._make_room(len(new), client)
            ticket.cost, ticket.joined = len(missing), not new
            cache._recent.hold(ticket._keys)
            for key in missing:
                flight = cache._flights.get(key) or cache._begin(key, client, self)
                flight.queue = self if flight.queue is None else flight.queue
                flight.wanted += 1
                flight.tickets.append(ticket)
                ticket._flights[key] = flight
            self._tickets[ticket] = None
            if missing:
                self._gathers[missing[0].group] = gather
            cache._changed.notify_all()
        _tell(evicted)
        return ticket

    def _make_room(self, new: int, client: Hashable) -> list[Ticket]:
        """Tickets that ended so that others fit in."""
        flights = self._on_their_way()
        excess = len(flights) + new - self.limit
        if not flights or not new or excess <= 0:
            return []
        counts = collections.Counter(flight.client for flight in flights)
        greedy = max(counts, key=counts.__getitem__)
        leaving: list[Ticket] = []
        for ticket in reversed(self._tickets):
            alone = [f for f in ticket._flights.values() if f.wanted == 1 and f.queue is self]
            waits = alone and all(flight.state is State.QUEUED for flight in alone)
            left = counts[greedy] - len(alone)
            if excess > 0 and waits and ticket.client == greedy != client and left >= counts[client] + new:
                leaving.append(ticket)
                excess -= len(alone)
                counts[greedy] = left
        if excess > 0:
            raise Full(f"{len(flights)} fields are waiting to be drawn, and {self.limit} may")
        for ticket in leaving:
            ticket.error = Full(f"{self.limit} fields are waiting to be drawn, and others had fewer of them")
            self._drop(ticket)
        return leaving

    def _leave(self, ticket: Ticket) -> None:
        with self.cache._changed:
            if ticket in self._tickets:
                self._drop(ticket)

    def _drop(self, ticket: Ticket) -> None:
        del self._tickets[ticket]
        for flight in ticket._flights.values():
            flight.tickets.remove(ticket)
        self.cache._let_go(ticket._flights)
        self.cache._recent.release(ticket._keys)

    def draw(self, batch: int) -> int:
        """Draw a batch of fields, those whose turn it is, in this thread.

        When it returns, at least one of them is decided: drawn, failed or, by an interrupt, failed too.

        Returns
        -------
        How many fields were asked for; 0 if none waits.
        """
        keys, gather, flights = self._chosen(batch)
        if gather is None:
            return 0
        error: Exception = RuntimeError(f"{len(keys)} fields were to be drawn and none came")
        try:
            gather(keys, _ignore)
        except Exception as raised:  # told to all who have a ticket
            error = raised
        except BaseException as raised:
            error = RuntimeError(f"the thread was ended by {raised!r}")
            raise
        finally:
            self._finish(flights, error)
        return len(keys)

    def _chosen(self, batch: int) -> tuple[list[Key], Gather | None, dict[Key, _Flight]]:
        """Those next in turn, of one group; from now on they are wanted here too."""
        cache = self.cache
        with cache._changed:
            ours = [
                key
                for key in cache._turns
                if cache._flights[key].queue is self and cache._flights[key].state is State.QUEUED
            ]
            keys = [key for key in ours if key.group == ours[0].group][:batch]
            flights = {key: cache._flights[key] for key in keys}
            for flight in flights.values():
                flight.wanted += 1
            return keys, self._gathers[keys[0].group] if keys else None, flights

    def _finish(self, flights: dict[Key, _Flight], error: Exception) -> None:
        """Let go of a batch; one of which nothing was decided would be tried for ever, so it fails."""
        ended: list[Ticket] = []
        with self.cache._changed:
            if all(flight.state is State.QUEUED for flight in flights.values()):
                ended = [ticket for key in flights for ticket in self.cache._decide(key, None, error)]
            self.cache._let_go(flights)
            self.cache._changed.notify_all()
        _tell(ended)


def _ignore(key: Key, field: Field) -> None:
    """What was drawn for tickets is in memory, and they hold it."""


def _tell(tickets: Collection[Ticket]) -> None:
    for ticket in tickets:
        if ticket._ended is not None:
            ticket._ended(ticket)


def _decided(flights: Mapping[Key, _Flight]) -> list[Key]:
    return [key for key, flight in flights.items() if flight.state in (State.DONE, State.FAILED)]


def _checked(fields: Sequence[Field], n: int) -> list[Field]:
    """The fields, read-only, as they are shared from now on."""
    if len(fields) != n:
        raise RuntimeError(f"{n} fields were to be drawn and {len(fields)} came")
    for field in fields:
        field.flags.writeable = False
    return list(fields)


_shared = FieldCache()


def shared() -> FieldCache:
    """The cache of this process: one for all data sets, whatever part of its memory each of them may take."""
    return _shared
