"""A binary tree over time, fixed once and for all: which instants each instant lies between.

Roots lie at fixed times, an interval of ``step * 2**depth`` apart. Half way between two of them lies an instant of
depth 1, half way between that and either root one of depth 2, and so on, down to leaves that lie ``step`` apart. Where
an instant lies in it follows from its time alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from xr_cbottle.grid.time_order import TimeOrder


@dataclass(frozen=True)
class TimeTree(TimeOrder):
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
    def deepest(self) -> int:
        """Depth of the leaves that lie nearest to each other: `depth`."""
        return self.depth

    @property
    def interval(self) -> int:
        """Seconds between two roots."""
        return self.step << self.depth

    @property
    def fields(self) -> int:
        """How many leaves an interval has, with one of its roots."""
        return 1 << self.depth

    def around(self, seconds: int) -> tuple[int, ...]:
        """The leaf that lies at a time, or the two that it lies between."""
        first = seconds - (seconds - self.origin) % self.step
        return (first,) if first == seconds else (first, first + self.step)

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
