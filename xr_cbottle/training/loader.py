"""Batches made ahead by threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from xr_cbottle.training.batches import Batch


class Loader:
    """Iterates over batches that threads make ahead, and gives them in order, whoever was first.

    What a batch holds depends on its first image alone, so that the number of threads changes nothing. Reading
    the memory map and drawing normals, which take most of the time, hold no lock of the interpreter.

    Parameters
    ----------
    make
        ``make(first, count)`` gives images ``first`` to ``first + count`` of the run, as `Batches.training` does.
    first, step, count
        The first image wanted, how far the next batch is from it, and the images in each.
    threads
        Threads, one of which makes a whole batch; at most ``threads + 1`` batches are ready or in the making.
    device
        Where they will be needed: for a GPU they are copied to pinned memory.
    """

    def __init__(
        self,
        make: Callable[[int, int], Batch],
        first: int,
        step: int,
        count: int,
        *,
        threads: int = 1,
        device: torch.device | None = None,
    ) -> None:
        self._make, self._next, self._step, self._count = make, first, step, count
        self._pinned = device is not None and device.type == "cuda"
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")
        self._coming: deque[Future[Batch]] = deque()
        self._ahead = threads + 1

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        while len(self._coming) < self._ahead:
            self._coming.append(self._pool.submit(self._made, self._next))
            self._next += self._step
        return self._coming.popleft().result()

    def _made(self, first: int) -> Batch:
        batch = self._make(first, self._count)
        return batch.pinned() if self._pinned else batch
