"""The lane of a bottle: its networks, loaded once, and the queue of what they draw, one batch after another.

The queue is the cache's own: fields that a server and a reader in the same process want are drawn once and fill the
same batches. All here runs in one event loop, but for the networks, which load and draw in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Any, Literal

from xr_cbottle.cube.cache import FieldCache, Full, Gather, Queue, Ticket
from xr_cbottle.cube.keys import Key
from xr_cbottle.serve.http.text import printable

Status = Literal["loading", "ok", "failed"]
How = Literal["drawn", "joined", "cached"]
"""What it took to have some fields: drawing, waiting for those on their way, or nothing."""

Gone = Callable[[], asyncio.Future[None]]
"""Gives what is done when the client has gone away; asked for only by those who wait."""

_UNMEASURED = 5.0  # seconds a batch is taken to need until one has been drawn
_RETRY_LOADING = 60.0
_LONGEST_RETRY = 3600


class Unavailable(Exception):
    """A chunk cannot be had now.

    Parameters
    ----------
    sentence
        Why, and what to do.
    retry_after
        Seconds after which it may be worth another try.
    busy
        Whether that is because others are being served.
    """

    def __init__(self, sentence: str, retry_after: float, *, busy: bool = False) -> None:
        super().__init__(sentence)
        self.retry_after, self.busy = max(1, min(_LONGEST_RETRY, math.ceil(retry_after))), busy


class ClientGone(Exception):
    """Who asked does not wait any more."""


class Lane:
    """Draws what a queue holds for one bottle, and says how long that will take.

    Parameters
    ----------
    name
        Of the bottle.
    load
        Loads its networks; called in a thread.
    cache
        Where the fields will be.
    batch
        Fields drawn at once.
    most_waiting
        Fields that may wait or be drawn at a time, see `xr_cbottle.cube.cache.Queue`.
    """

    def __init__(self, name: str, load: Callable[[], object], cache: FieldCache, batch: int, most_waiting: int) -> None:
        self.name, self.batch, self.queue = name, batch, Queue(cache, most_waiting)
        self.status: Status = "loading"
        self.failure = ""
        self.seconds_per_batch: float | None = None
        self._load = load
        self._loaded: asyncio.Event | None = None
        self._load_again = math.inf
        self._asking: dict[Ticket, asyncio.Future[None]] = {}
        self._drawing = False
        self._stopping = False
        self._threads = 0

    @property
    def busy(self) -> bool:
        """Whether a thread of it loads or draws."""
        return self._threads > 0

    def facts(self) -> dict[str, Any]:
        """How it goes, as JSON has it."""
        waiting, pending = self.queue.waiting, self.queue.pending
        counts = {name: self.queue.counts[name] for name in ("drawn", "dropped", "failed")}
        found = {
            "status": self.status,
            "queue": {"waiting": waiting, "drawing": pending - waiting, **counts},
            "seconds_per_batch": self.seconds_per_batch and round(self.seconds_per_batch, 3),
        }
        return found | ({"failure": self.failure} if self.failure else {})

    @property
    def seconds_left(self) -> float:
        """Estimate of the time until all that waits is drawn."""
        return math.ceil(self.queue.pending / self.batch) * (self.seconds_per_batch or _UNMEASURED)

    def open(self) -> None:
        """Begin to load the networks."""
        self.status, self.failure, loaded = "loading", "", asyncio.Event()
        self._loaded = loaded

        def finished(error: Exception | None) -> None:
            self.status = "ok" if error is None else "failed"
            self.failure = "" if error is None else _sentence(error)
            self._load_again = time.monotonic() + _RETRY_LOADING
            loaded.set()

        self._in_thread(self._load, finished)

    def stop(self, patience: float) -> None:
        """Draw no more than what has begun, and give that up too after some seconds."""
        self._stopping = True
        for ticket, future in self._asking.items():
            if not ticket.begun:
                _finish(future, _stopping())
        if self._loaded is not None:
            self._loaded.set()

        def give_up() -> None:
            for future in self._asking.values():
                _finish(future, _stopping())

        asyncio.get_running_loop().call_later(patience, give_up)

    async def loaded(self, patience: float, gone: Gone) -> None:
        """Wait for the networks.

        Raises
        ------
        Unavailable
            If they are not there within some seconds, or could not be loaded.
        """
        if self.status == "failed" and time.monotonic() > self._load_again:
            self.open()
        if self.status == "loading":
            assert self._loaded is not None
            await _first(self._loaded.wait(), gone, patience)
        if self.status == "loading":
            raise Unavailable(f"the networks of {self.name} are still being loaded: try again soon", 5)
        if self.status == "failed":
            again = self._load_again - time.monotonic()
            raise Unavailable(f"{self.name} cannot be drawn from: {self.failure}", again)

    @contextlib.asynccontextmanager
    async def drawn(self, keys: Sequence[Key], gather: Gather, client: Hashable, gone: Gone) -> AsyncIterator[How]:
        """Wait until fields are drawn, and keep them in memory within the block.

        Yields
        ------
        ``drawn``; ``joined`` if all were on their way already; ``cached`` if all were there.

        Raises
        ------
        Unavailable
            If too much waits already.
        ClientGone
            If the client goes away before.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def ended(ticket: Ticket) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(_finish, future, ticket.error)

        with self._ticket(keys, gather, client, ended) as ticket:
            if not ticket.done:
                self._asking[ticket] = future
                # Not at once: requests that came together then go into one batch.
                loop.call_soon(self._advance)
                try:
                    await _first(future, gone)
                except Full:
                    raise self._full() from None
                finally:
                    del self._asking[ticket]
            yield "cached" if not ticket.cost else "joined" if ticket.joined else "drawn"

    def _ticket(self, keys: Sequence[Key], gather: Gather, client: Hashable, ended: Callable[[Ticket], None]) -> Ticket:
        if self._stopping and self.queue.cache.missing(keys):
            raise _stopping()
        try:
            return self.queue.ticket(keys, gather, client=client, ended=ended)
        except Full:
            raise self._full() from None

    def _full(self) -> Unavailable:
        return Unavailable(
            f"{self.queue.pending} fields of {self.name} are waiting to be drawn, and {self.queue.limit} may: "
            "try again later",
            self.seconds_left,
            busy=True,
        )

    def _advance(self) -> None:
        """Begin the next batch, if none is being drawn."""
        if self._drawing or self._stopping or not self.queue.waiting:
            return
        self._drawing, began, drawn = True, time.monotonic(), 0

        def work() -> None:
            nonlocal drawn
            drawn = self.queue.draw(self.batch)

        def finished(error: Exception | None) -> None:
            self._drawing = False
            if drawn and error is None:
                seconds = time.monotonic() - began
                before = self.seconds_per_batch or seconds
                self.seconds_per_batch = 0.7 * before + 0.3 * seconds
            self._advance()

        self._in_thread(work, finished)

    def _in_thread(self, work: Callable[[], object], finished: Callable[[Exception | None], None]) -> None:
        """Do some work in a thread of its own, and then tell the event loop.

        In a daemon: who stops the server does not wait for a batch that takes minutes.
        """
        loop = asyncio.get_running_loop()

        def ended(error: Exception | None) -> None:
            self._threads -= 1
            finished(error)

        def run() -> None:
            error: Exception | None = None
            try:
                work()
            except Exception as raised:
                error = raised
            except BaseException as raised:  # an exit, which is not for the event loop to raise
                error = RuntimeError(f"the thread was ended by {raised!r}")
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(ended, error)

        self._threads += 1
        threading.Thread(target=run, daemon=True, name=f"xr_cbottle {self.name}").start()


def _stopping() -> Unavailable:
    return Unavailable("the server is being stopped: try again when it is back", 30)


def _sentence(error: Exception) -> str:
    return printable(" ".join(str(error).split())) or type(error).__name__


def _finish(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
        return
    future.set_exception(error)
    future.exception()  # perhaps nobody waits, which is no reason to complain


async def _first(awaited: Any, gone: Gone, patience: float | None = None) -> None:
    """Wait for something; a client that goes away meanwhile is an error, and losing patience is not."""
    future, left = asyncio.ensure_future(awaited), gone()
    await asyncio.wait({future, left}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    if future.done():
        future.result()
        return
    if future is not awaited:
        future.cancel()
    if left.done():
        raise ClientGone
