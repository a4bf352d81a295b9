"""The path of who reads a data set: from where the last reads were to what will be wanted next.

A batch of the network costs the same whether it is full or not. So what is left of it is filled with the instants
that a loop over times, maps or members would ask for next. A wrong guess costs a place in memory, and no value depends
on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from xr_cbottle.cube.keys import Key
from xr_cbottle.cube.layout import Layout
from xr_cbottle.cube.selection import Index

_CANDIDATES = 4  # for each empty place: some of them are in memory already

_Place = tuple[int, int]
"""Position of a member and of a time."""


class ReadPath:
    """Reads of one data set by one process, which may be in several threads.

    Parameters
    ----------
    layout
        Of the data set.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._places: list[_Place] = []  # the last ones, which tell of steps

    def following(self, pairs: Sequence[Index]) -> list[Key]:
        """Instants that will be wanted after those of a read, some more than a batch can have empty places.

        Parameters
        ----------
        pairs
            (k, 2) the positions of member and time that are read, ascending, for each variable.
        """
        read = max(pairs, key=len, default=None)
        most = _CANDIDATES * (self.layout.spec.batch_size - 1)
        if read is None or not len(read) or not most:
            return []
        new = [(member, time) for member, time in read[-3:].tolist()]
        places = [*(place for place in self._places if place != new[0]), *new][-3:]
        self._places = places
        instants = (key for place in self._onwards(places) for key in self.layout.instants(*place))
        return list(itertools.islice(_once(instants), most))

    def _onwards(self, places: list[_Place]) -> Iterator[_Place]:
        """Places in steps as the last two were, if they were alike; then the times that come, then other members."""
        member, time = places[-1]
        members, times = self.layout.sizes.get("member", 1), self.layout.sizes["time"]
        steps = {(two[0] - one[0], two[1] - one[1]) for one, two in itertools.pairwise(places)}
        step = steps.pop() if len(places) == 3 and len(steps) == 1 else (0, 0)
        if 0 in step and any(step):  # along one dimension, as a loop goes
            for i in itertools.count(1):
                onwards = member + i * step[0], time + i * step[1]
                if not (0 <= onwards[0] < members and 0 <= onwards[1] < times):
                    break
                yield onwards
        yield from ((member, later) for later in range(time + 1, times))
        yield from ((other, time) for other in (*range(member + 1, members), *range(member)))


def _once(keys: Iterable[Key]) -> Iterator[Key]:
    seen: set[Key] = set()
    for key in keys:
        if key not in seen:
            seen.add(key)
            yield key
