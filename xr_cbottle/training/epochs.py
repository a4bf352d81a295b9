"""Epochs: in which order images are drawn, and how often those of each source come."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Epochs:
    """Order of the members of some sources, epoch after epoch, as a pure function of the number of images drawn.

    In an epoch each member comes as often as its source's weight says. Of a weight that is no whole number the part
    behind the point is how many of the members come once more: others in each epoch, until it was the turn of all.

    Parameters
    ----------
    counts
        Members of each source; they are numbered one source after the other.
    weights
        Of each source.
    stream
        Gives the random numbers of an epoch by its number, and of source ``i`` by ``-1 - i``.
    """

    def __init__(
        self, counts: Sequence[int], weights: Sequence[float], stream: Callable[[int], np.random.Generator]
    ) -> None:
        self._stream, self._whole, self._turns = stream, [], []
        first = 0
        for i, (count, weight) in enumerate(zip(counts, weights, strict=True)):
            members, times = np.arange(first, first + count), math.floor(weight)
            extra = round((weight - times) * count)
            extra = max(extra, 1) if count and not times else extra
            self._whole.append(np.tile(members, times))
            if extra:
                self._turns.append((members[stream(-1 - i).permutation(count)], extra))
            first += count
        self.length = sum(map(len, self._whole)) + sum(extra for _, extra in self._turns)

    def member(self, image: int) -> int:
        """Number of the member that an image is."""
        epoch, place = divmod(image, self.length)
        return int(self._order(epoch)[place])

    @functools.lru_cache(maxsize=2)  # noqa: B019  (a run has one or two of these objects)
    def _order(self, epoch: int) -> Array:
        turns = [order[np.arange(epoch * extra, (epoch + 1) * extra) % len(order)] for order, extra in self._turns]
        return np.concatenate([*self._whole, *turns])[self._stream(epoch).permutation(self.length)]
