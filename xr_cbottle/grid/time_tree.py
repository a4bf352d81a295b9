"""A binary tree over time, fixed once and for all: which instants each instant lies between.

Roots lie at fixed times, an interval of ``step * 2**depth`` apart. Half way between two of them lies an instant of
depth 1, half way between that and either root one of depth 2, and so on, down to leaves that lie ``step`` apart. Where
an instant lies in it follows from its time alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_KEPT_BYTES = 128 << 20  # of states at a time, or those of one interval


@dataclass(frozen=True)
class TimeTree:
    """A binary tree over time.

    Attributes
    ----------
    step
        Seconds between two leaves.
    depth
        How often the interval between two roots is halved.
    origin
        Time of one of the roots, in seconds since 1970.
    """

    step: int
    depth: int
    origin: int = 0

    @property
    def interval(self) -> int:
        """Seconds between two roots."""
        return self.step << self.depth

    def together(self, nbytes: int) -> int:
        """How many intervals to draw together if a state has so many bytes: those of one depth should fill batches."""
        return max(1, _KEPT_BYTES // nbytes >> self.depth)

    def around(self, seconds: int) -> tuple[int, ...]:
        """The leaf that lies at a time, or the two that it lies between."""
        first = seconds - (seconds - self.origin) % self.step
        return (first,) if first == seconds else (first, first + self.step)

    def root(self, seconds: int) -> int:
        """Number of the last root up to a time; that at the origin is 0."""
        return (seconds - self.origin) // self.interval

    def depth_of(self, leaf: int) -> int:
        """Depth of a leaf's time: 0 of a root's, at most `depth`."""
        number = (leaf - self.origin) // self.step % (1 << self.depth)
        return self.depth - (number & -number).bit_length() + 1 if number else 0

    def distance(self, depth: int) -> int:
        """Seconds from an instant of a depth to either of those that it lies between."""
        return self.interval >> depth

    def parents(self, leaf: int) -> tuple[int, ...]:
        """The two times that a leaf's time lies half way between, both of less depth; none of a root."""
        depth = self.depth_of(leaf)
        far = self.distance(depth)
        return (leaf - far, leaf + far) if depth else ()

    def levels(self, leaves: Iterable[int], have: Callable[[int], bool] = lambda leaf: False) -> list[list[int]]:
        """Times that must be there for some leaves to be: theirs and those above them, by depth, ascending.

        Parameters
        ----------
        leaves
            Times of leaves.
        have
            Whether a leaf is there already; neither it nor what lies above it is then among the result.
        """
        found: list[set[int]] = [set() for _ in range(self.depth + 1)]
        for leaf in leaves:
            if not have(leaf):
                found[self.depth_of(leaf)].add(leaf)
        for level in reversed(found):
            for parent in {one for leaf in level for one in self.parents(leaf)}:
                if not have(parent):
                    found[self.depth_of(parent)].add(parent)
        return [sorted(level) for level in found]


def windows(things: Iterable[T], interval: Callable[[T], Hashable], most: int) -> list[list[T]]:
    """Things in their order, cut such that those that are together lie in no more than so many intervals."""
    found: list[list[T]] = []
    together: set[Hashable] = set()
    for thing in things:
        together.add(interval(thing))
        if not found or len(together) > most:
            found.append([])
            together = {interval(thing)}
        found[-1].append(thing)
    return found
