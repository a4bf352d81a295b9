"""An order of states in time: which are drawn before which, so that each can be drawn by itself or in company."""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")
_KEPT_BYTES = 128 << 20  # of states at a time, or those of one interval


class TimeOrder(abc.ABC):
    """An order of states in time, fixed once and for all; a state is named by a time, in seconds since 1970.

    Intervals follow each other, and each begins with a state that hangs on none. Where a state lies follows from its
    time alone.

    Attributes
    ----------
    step
        Seconds between two times that there are states of.
    origin
        Time at which an interval begins, in seconds since 1970.
    """

    step: int
    origin: int

    @property
    @abc.abstractmethod
    def deepest(self) -> int:
        """How many states hang on each other one after the other, without the first, at most."""

    @property
    @abc.abstractmethod
    def interval(self) -> int:
        """Seconds between two states that hang on none."""

    @property
    @abc.abstractmethod
    def fields(self) -> int:
        """How many fields of the globe all states of an interval have."""

    @abc.abstractmethod
    def around(self, seconds: int) -> tuple[int, ...]:
        """The states that an instant is made of."""

    @abc.abstractmethod
    def depth_of(self, state: int) -> int:
        """How many states at most hang on each other up to a state: 0 of one that hangs on none, at most `deepest`."""

    @abc.abstractmethod
    def parents(self, state: int) -> tuple[int, ...]:
        """The states that a state is drawn from, all of less depth."""

    def fields_of(self, depth: int) -> int:
        """How many fields of the globe a state of a depth has."""
        return 1

    def together(self, nbytes: int) -> int:
        """How many intervals to draw together if a field has so many bytes: states of one depth should fill batches."""
        return max(1, _KEPT_BYTES // nbytes // self.fields)

    def root(self, seconds: int) -> int:
        """Number of the interval that a time lies in; that which begins at the origin is 0."""
        return (seconds - self.origin) // self.interval

    def levels(self, states: Iterable[int], have: Callable[[int], bool] = lambda state: False) -> list[list[int]]:
        """States that must be there for some to be: those and all that they hang on, by depth, ascending.

        Parameters
        ----------
        states
            Their times.
        have
            Whether a state is there already; neither it nor what it hangs on is then among the result.
        """
        found: list[set[int]] = [set() for _ in range(self.deepest + 1)]
        for state in states:
            if not have(state):
                found[self.depth_of(state)].add(state)
        for level in reversed(found):
            for parent in {one for state in level for one in self.parents(state)}:
                if not have(parent):
                    found[self.depth_of(parent)].add(parent)
        return [sorted(level) for level in found]


def stretches(things: Iterable[T], interval: Callable[[T], Hashable], most: int) -> list[list[T]]:
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
