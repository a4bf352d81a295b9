"""Admission: who may ask for fields, over all clients and bottles."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Sequence

from xr_cbottle.cube.cache import Gather
from xr_cbottle.cube.keys import Key
from xr_cbottle.serve.http.lane import Gone, How, Lane, Unavailable


class Admission:
    """Lets requests to fields, over all clients.

    Parameters
    ----------
    most_requests
        That may be under way at a time, half of them of one client.
    loading_wait
        Seconds for which a request waits for networks that are being loaded.
    """

    def __init__(self, most_requests: int, loading_wait: float) -> None:
        self.most_requests, self.loading_wait = most_requests, loading_wait
        self.requests = 0
        self._of_clients: Counter[Hashable] = Counter()
        self.counts: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def fields(
        self, lane: Lane, keys: Sequence[Key], gather: Gather, client: Hashable, gone: Gone
    ) -> AsyncIterator[How]:
        """Wait for what a chunk is made of; it stays in memory within the block.

        Parameters
        ----------
        lane
            Of the bottle.
        keys
            Of the fields.
        gather
            Draws them, and others of the same bottle and label.
        client
            Who asks; clients take turns.
        gone
            Gives what is done when the client has gone away.

        Yields
        ------
        ``drawn``, ``joined`` or ``cached``: what it took.

        Raises
        ------
        Unavailable, ClientGone
            See `Lane.loaded` and `Lane.drawn`.
        """
        if self.requests >= self.most_requests:
            self.counts["refused"] += 1
            raise Unavailable(f"{self.requests} requests are waiting: try again later", lane.seconds_left, busy=True)
        if self._of_clients[client] >= (self.most_requests + 1) // 2:
            self.counts["refused"] += 1
            raise Unavailable(
                f"{self._of_clients[client]} requests of yours are waiting: try again later",
                lane.seconds_left,
                busy=True,
            )
        self.requests += 1
        self._of_clients[client] += 1
        try:
            if lane.status != "ok":
                await lane.loaded(self.loading_wait, gone)
            async with lane.drawn(keys, gather, client, gone) as how:
                self.counts[how] += 1
                yield how
        except Unavailable:
            self.counts["refused"] += 1
            raise
        finally:
            self.requests -= 1
            self._of_clients -= Counter([client])  # which also forgets who has none left
