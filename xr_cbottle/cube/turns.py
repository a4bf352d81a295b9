"""Turns: what waits, in a line for each client, and who is next."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Turns(Generic[Item]):
    """Items that wait: first come, first served within a client, and clients take turns one item at a time."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Hashable, OrderedDict[Item, None]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[Item]:
        """All items in the order in which they would be taken."""
        lines = [iter(line) for line in self._lines.values()]
        while lines:
            heads = [(line, item) for line in lines for item in itertools.islice(line, 1)]
            yield from (item for _, item in heads)
            lines = [line for line, _ in heads]

    def add(self, client: Hashable, item: Item, *, first: bool = False) -> None:
        """Put an item at the end of its client's line, or at its head."""
        line = self._lines.setdefault(client, OrderedDict())
        line[item] = None
        if first:
            line.move_to_end(item, last=False)

    def discard(self, client: Hashable, item: Item) -> None:
        """Take an item out of the line of its client, if it is there."""
        line = self._lines.get(client, OrderedDict())
        line.pop(item, None)
        if not line:
            self._lines.pop(client, None)

    def take(self, most: int, ready: Callable[[Item], bool]) -> list[Item]:
        """Take out up to so many items that are ready; a client that gave one is then the last in turn."""
        taken: list[Item] = []
        before = -1
        while len(taken) > before:  # until a round brings nothing
            before = len(taken)
            for client, line in list(self._lines.items()):
                found = next(filter(ready, line), None)
                if found is None or len(taken) >= most:
                    continue
                taken.append(found)
                self._lines.move_to_end(client)
                self.discard(client, found)
        return taken
