"""Admission: who may ask for frames, over all clients and bottles."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from xr_cbottle.cube.cache import InstantCache
from xr_cbottle.cube.keys import Key
from xr_cbottle.serve.http.lane import Gather, Gone, Lane, Unavailable


class Admission:
    """Lets requests to frames, over all clients.

    Parameters
    ----------
    cache
        Where finished instants are.
    most_requests
        That may be under way at a time.
    loading_wait
        Seconds for which a request waits for networks that are being loaded.
    """

    def __init__(self, cache: InstantCache, most_requests: int, loading_wait: float) -> None:
        self.cache, self.most_requests, self.loading_wait = cache, most_requests, loading_wait
        self.requests = 0
        self.counts: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def frame(self, lane: Lane, keys: Sequence[Key], gather: Gather, gone: Gone) -> AsyncIterator[str]:
        """A frame; its instants stay in memory within the block.

        Parameters
        ----------
        lane
            Of the bottle.
        keys
            The instants.
        gather
            Draws them, and others of the same bottle and label.
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
        self.requests += 1
        held: Sequence[Key] = ()
        try:
            if lane.status != "ok":
                await lane.loaded(self.loading_wait, gone)
            cost, held = self.cache.hold(keys), keys
            how = await lane.drawn(keys, gather, cost, gone) if cost else "cached"
            self.counts[how] += 1
            yield how
        except Unavailable:
            self.counts["refused"] += 1
            raise
        finally:
            self.requests -= 1
            self.cache.release(held)
