"""Shares of memory: how many bytes of finished fields this process keeps, and for whom. Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass

from xr_cbottle.draw.memory import process_memory, worker_memory

DEFAULT_LIMIT = 4 * 2**30
_PASSING = 2**26


def default_limit() -> int:
    """A quarter of the memory that this process, or dask's worker in it, may use, at most 4 GiB, in bytes."""
    return min(DEFAULT_LIMIT, process_memory() // 4, (worker_memory() or DEFAULT_LIMIT * 4) // 4)


@dataclass(frozen=True)
class Share:
    """The bytes that fields may take which are kept for the same reason; equal shares are one.

    Attributes
    ----------
    asked
        Bytes that a user gave; None for what suits the process.
    passing
        Whether fields pass through to dask, which keeps what it needs of them itself: then few stay.
    """

    asked: int | None = None
    passing: bool = False

    @property
    def limit(self) -> int:
        """Most bytes."""
        limit = default_limit() if self.asked is None else self.asked
        return min(limit // 8, _PASSING) if self.passing else limit
