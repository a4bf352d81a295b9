"""Connections: how many there may be, how long they may be silent, and which of them make room for others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import time
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from xr_cbottle.serve.http.envelope import LOGGER

AT_ONCE = 16
"""Connections that are accepted in one step of the event loop; it takes four steps until others are closed for them."""

_LEAST_SENT = 10_000  # bytes that a client takes in while it is waited for once
_SELDOM = 60.0  # seconds between two complaints of one kind
_FOR_FILES = 128  # descriptors that are no connections
_FEWEST = 8
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def client_of(address: str) -> str:
    """Whom an address stands for when clients take turns: of IPv6 the network, in which anybody has many addresses."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))


def affordable(most: int) -> int:
    """How many connections there may be: as many as wished, if this process may open as many files."""
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            return max(_FEWEST, min(most, files - _FOR_FILES - 4 * AT_ONCE))
    return most


class Seldom:
    """Warnings into the log, one of a kind in a minute."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def warn(self, sentence: str, *values: object) -> None:
        """Write a sentence, unless it has been written a moment ago."""
        now = time.monotonic()
        if now - self._last.get(sentence, -_SELDOM) >= _SELDOM:
            self._last[sentence] = now
            LOGGER.warning(sentence, *values)


class Connection(H11Protocol):
    """A connection that is counted, and closed if its client is silent for too long.

    Parameters
    ----------
    gate
        Counts it.
    **given
        Those of uvicorn.
    """

    def __init__(self, *, gate: Gate, **given: Any) -> None:
        super().__init__(**given)
        self.gate, self.of = gate, ""
        self.since: float | None = None  # when the client was seen to be waited for
        self.unsent = 0  # bytes, at that time

    @property
    def idle(self) -> bool:
        """Whether the server waits for the client: no request is complete that has no answer."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def buffered(self) -> int:
        """Bytes of answers that the client has not taken in."""
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self.of = client_of(self.client[0] if self.client else "")
        self.gate.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection that is gone."""
        self.gate.leave(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """The next wait begins."""
        self.since = None
        super().on_response_complete()

    def abort(self) -> None:
        """Close it without another word."""
        self.transport.abort()


class Gate:
    """The connections that are open.

    Parameters
    ----------
    most
        How many there may be. Then one of the client who has most makes room: that which has been idle for longest or,
        if it has none and the newcomer is of somebody else, its newest.
    patience
        Seconds for which a client is waited for: to send a whole request, or to take in 10 kB of an answer.
    """

    def __init__(self, most: int, patience: float) -> None:
        self.most, self.patience, self.closed = most, patience, 0
        self.seldom = Seldom()
        self._open: dict[Connection, None] = {}  # in the order of coming

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, newcomer: Connection) -> None:
        """Count a connection; another one, or this one, is closed if these are too many."""
        self._open[newcomer] = None
        if len(self._open) > self.most:
            victim = self._victim(newcomer)
            self.closed += 1
            self.seldom.warn("there are %d connections, and no more may be: idle ones make room", self.most)
            self.leave(victim)
            victim.abort()

    def leave(self, connection: Connection) -> None:
        """Count it no more."""
        self._open.pop(connection, None)

    def _victim(self, newcomer: Connection) -> Connection:
        counts = Counter(one.of for one in self._open)
        greedy = max(counts, key=counts.__getitem__)
        its = [one for one in self._open if one.of == greedy and one is not newcomer]
        idle = next((one for one in its if one.idle), None)
        if idle is not None:
            return idle
        return newcomer if greedy == newcomer.of else its[-1]

    def sweep(self) -> None:
        """Close what has been waited for too long; to be called every second or so."""
        now = time.monotonic()
        for one in list(self._open):
            unsent = one.buffered
            if not one.idle and not unsent:
                one.since = None
            elif one.since is None:
                one.since, one.unsent = now, unsent
            elif now - one.since > self.patience:
                if unsent and one.unsent - unsent >= _LEAST_SENT:
                    one.since, one.unsent = now, unsent
                else:
                    self.closed += 1
                    one.abort()

    def complaint(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error of the event loop: that no connection can be accepted comes in thousands."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            self.seldom.warn("no connection can be accepted now: %s", error.strerror)
        else:
            loop.default_exception_handler(context)
