"""The lane of a bottle: frames that wait to be drawn, one batch after another.

A *frame* is the instants that one chunk is made of: one for an instant, all of the step for a mean. Whoever
asks for a frame that is on its way waits for that one; a frame for which nobody waits any more is dropped, as
long as it has not begun. Only so many instants may wait: those who come then are told when to come again.

All of it runs in one event loop, but for the network, which loads and draws in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from xr_cbottle.cube.keys import Field, Key

Gather = Callable[[Sequence[Key], Callable[[Key, Field], None]], None]
Gone = Callable[[], asyncio.Future[None]]
"""Gives what is done when the client has gone away; asked for only by those who wait."""

_UNMEASURED = 5.0  # seconds a batch is taken to need until one has been drawn
_RETRY_LOADING = 60.0
_LONGEST_RETRY = 3600


class Unavailable(Exception):
    """It cannot be had now.

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


class Frame:
    """Some instants that are wanted together, and how many wait for them."""

    def __init__(self, keys: Sequence[Key], gather: Gather, cost: int) -> None:
        self.keys, self.gather, self.cost = tuple(keys), gather, cost
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiters = 0
        self.missing = set(keys)

    def finish(self, error: Exception | None = None) -> None:
        """Tell all who wait."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            self.done.exception()  # perhaps nobody waits, which is no reason to complain


class Lane:
    """What one bottle draws: the frames that wait, and those of the batch that is being drawn.

    Parameters
    ----------
    name
        Of the bottle.
    load
        Loads its networks; called in a thread.
    batch
        Instants drawn at once.
    most_instants
        That may wait or be drawn at a time. A frame that alone has more is let in if nothing else waits.
    """

    def __init__(self, name: str, load: Callable[[], object], batch: int, most_instants: int) -> None:
        self.name, self.batch, self.most_instants = name, batch, most_instants
        self.status, self.failure = "loading", ""
        self.waiting: OrderedDict[tuple[Key, ...], Frame] = OrderedDict()
        self.drawing: dict[tuple[Key, ...], Frame] = {}
        self.counts: Counter[str] = Counter()
        self.seconds_per_batch: float | None = None
        self._load = load
        self._loaded: asyncio.Event | None = None
        self._load_again = math.inf
        self._batch_under_way = False
        self._stopping = False
        self._threads = 0

    @property
    def busy(self) -> bool:
        """Whether a thread of it loads or draws."""
        return self._threads > 0

    def facts(self) -> dict[str, Any]:
        """How it goes, as JSON has it."""
        counts = {name: self.counts[name] for name in ("drawn", "dropped", "failed")}
        found = {
            "status": self.status,
            "frames": {"waiting": len(self.waiting), "drawing": len(self.drawing), **counts},
            "instants_waiting": self.instants,
            "seconds_per_batch": self.seconds_per_batch and round(self.seconds_per_batch, 3),
        }
        return found | ({"failure": self.failure} if self.failure else {})

    @property
    def instants(self) -> int:
        """How many wait or are being drawn."""
        return sum(frame.cost for frames in (self.waiting, self.drawing) for frame in frames.values())

    @property
    def seconds_left(self) -> float:
        """Estimate of the time until all of them are drawn."""
        return math.ceil(self.instants / self.batch) * (self.seconds_per_batch or _UNMEASURED)

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
        for frame in self.waiting.values():
            frame.finish(_stopping())
        self.waiting.clear()
        if self._loaded is not None:
            self._loaded.set()

        def give_up() -> None:
            for frame in self.drawing.values():
                frame.finish(_stopping())

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

    async def drawn(self, keys: Sequence[Key], gather: Gather, cost: int, gone: Gone) -> str:
        """Wait until a frame is drawn.

        Returns
        -------
        ``drawn``, or ``joined`` if it was on its way already.

        Raises
        ------
        Unavailable
            If too much waits already.
        ClientGone
            If the client goes away before.
        """
        frame = self.waiting.get(tuple(keys)) or self.drawing.get(tuple(keys))
        how = "joined" if frame else "drawn"
        if frame is None:
            frame = self._enter(Frame(keys, gather, cost))
        frame.waiters += 1
        try:
            await _first(frame.done, gone)
        finally:
            frame.waiters -= 1
            if not frame.waiters and self.waiting.get(frame.keys) is frame:
                del self.waiting[frame.keys]
                self.counts["dropped"] += 1
        return how

    def _enter(self, frame: Frame) -> Frame:
        if self._stopping:
            raise _stopping()
        waiting = self.instants
        if waiting and waiting + frame.cost > self.most_instants:
            raise Unavailable(
                f"{waiting} instants of {self.name} are waiting to be drawn, and {self.most_instants} may: "
                "try again later",
                self.seconds_left,
                busy=True,
            )
        self.waiting[frame.keys] = frame
        # Not at once: requests that came together then go into one batch.
        asyncio.get_running_loop().call_soon(self._advance)
        return frame

    def _advance(self) -> None:
        """Begin the next batch, if none is being drawn: the oldest frame, and others that fit in."""
        if self._batch_under_way or not self.waiting:
            return
        group = next(iter(self.waiting))[0].group
        wanted: dict[Key, None] = {}
        for frame in list(self.waiting.values()):
            if len(wanted) >= self.batch:
                break
            if frame.keys[0].group == group:
                wanted |= dict.fromkeys(frame.keys)
                self.drawing[frame.keys] = self.waiting.pop(frame.keys)
        self._batch_under_way = True
        gather = next(iter(self.drawing.values())).gather
        loop, began = asyncio.get_running_loop(), time.monotonic()

        def deliver(key: Key, field: Field) -> None:
            loop.call_soon_threadsafe(self._arrived, key)

        def finished(error: Exception | None) -> None:
            if error is None:
                seconds = (time.monotonic() - began) / math.ceil(len(wanted) / self.batch)
                before = self.seconds_per_batch or seconds
                self.seconds_per_batch = 0.7 * before + 0.3 * seconds
            for frame in self.drawing.values():
                frame.finish(error)
                self.counts["failed"] += 1
            self.drawing.clear()
            self._batch_under_way = False
            self._advance()

        self._in_thread(lambda: gather(list(wanted), deliver), finished)

    def _arrived(self, key: Key) -> None:
        for frame in list(self.drawing.values()):
            frame.missing.discard(key)
            if not frame.missing:
                del self.drawing[frame.keys]
                self.counts["drawn"] += 1
                frame.finish()

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
    return " ".join(str(error).split()) or type(error).__name__


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
