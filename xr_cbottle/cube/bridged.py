"""Instants that hang in a tree over time: each is drawn between two others, which are kept in the cache like it.

Reading one takes those above it, at most one of each depth and two roots; reading many that follow each other takes
little more than one each. They are drawn from the roots downwards, those of one depth in batches.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xr_cbottle.cube import cache
from xr_cbottle.cube.cache import Deliver
from xr_cbottle.cube.disk import DiskTier
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.shares import Share
from xr_cbottle.cube.sources import DrawnInstants
from xr_cbottle.grid import healpix
from xr_cbottle.grid.time_order import windows
from xr_cbottle.grid.time_tree import TimeTree

if TYPE_CHECKING:
    from xr_cbottle.draw.bridge import Bridge
    from xr_cbottle.draw.emulator import Instant


class Place(NamedTuple):
    """Where fields of a read are kept."""

    disk: DiskTier | None
    share: Share

    def has(self, key: Key) -> bool:
        """Whether a field is there, in memory or in the folder."""
        return key in cache.shared() or (self.disk is not None and self.disk.has(key))


@dataclass(frozen=True, eq=False)
class BridgedInstants(DrawnInstants):
    """Instants that a bottle's networks draw between others; its ``spec`` has the tree.

    Beside an instant, in the channels' units, its *state* is kept, as the network draws it: under a namespace of its
    own for each depth, so that who draws one may wait for those above it, and nobody for himself.
    """

    @property
    def tree(self) -> TimeTree:
        """The tree that the instants hang in."""
        assert self.spec.tree is not None
        return self.spec.tree

    def bridge(self) -> Bridge:
        """The network between two states, loaded once for this process; imports torch."""
        from xr_cbottle.draw.bridge import Bridge

        return Bridge(self.emulator(), self.tree)

    def _gather(self, keys: Sequence[Key], deliver: Deliver, following: Sequence[Key], passing: bool) -> None:
        fields, batch = cache.shared(), self.spec.batch_size
        shape = len(self.channels), healpix.n_cells(self.spec.native_zoom)
        place = Place(self.reading.disk(shape), self.reading.share(passing))
        together = self.tree.together(4 * shape[0] * shape[1])
        for window in windows(keys, lambda key: (key.seed, key.member, self.tree.root(key.seconds)), together):
            missing = [key for key in window if not place.has(key)]
            ahead = [key for key in following if not place.has(key)]
            with self._held(missing):
                for level in self._levels(missing, place):
                    self._states(level, place, self._next(level, ahead))
                fields.gather(
                    window, lambda wanted: self._fields(wanted, place), deliver,
                    batch=batch, disk=place.disk, share=place.share,
                )  # fmt: skip

    # Which states ------------------------------------------------------------------------------------------------

    def state_key(self, key: Key, leaf: int) -> Key:
        """Key of the state of a leaf, for an instant or a state of the same label, seed and member."""
        return key._replace(namespace=self._namespace(self._rank(leaf)), seconds=leaf)

    def _rank(self, leaf: int) -> int:
        """Which states are drawn after which: each hangs on some of lower rank."""
        return self.tree.depth_of(leaf)

    def _namespace(self, rank: int) -> str:
        return hashlib.sha256(f"{self.spec.namespace} state {rank}".encode()).hexdigest()

    def _leaves(self, keys: Iterable[Key]) -> dict[Key, list[int]]:
        """Times of the leaves that some instants are made of; by the first of those of one seed and member."""
        found: dict[tuple[int, int], tuple[Key, list[int]]] = {}
        for key in keys:
            found.setdefault((key.seed, key.member), (key, []))[1].extend(self.tree.around(key.seconds))
        return dict(found.values())

    def _levels(self, keys: Collection[Key], place: Place | None = None) -> list[list[Key]]:
        """States that some instants need, those of one rank together, in the order in which they can be drawn.

        Parameters
        ----------
        keys
            Of the instants.
        place
            What is there already is left out, with what it alone hangs on; None: nothing is there.
        """
        ranks: dict[int, list[Key]] = {}
        for key, leaves in self._leaves(keys).items():

            def have(leaf: int, like: Key = key) -> bool:
                return place is not None and place.has(self.state_key(like, leaf))

            for leaf in self._needed(leaves, have):
                ranks.setdefault(self._rank(leaf), []).append(self.state_key(key, leaf))
        return [ranks[rank] for rank in sorted(ranks)]

    def _needed(self, leaves: Iterable[int], have: Callable[[int], bool]) -> list[int]:
        """Leaves that must be there for some to be, and are not."""
        return [leaf for level in self.tree.levels(leaves, have) for leaf in level]

    def _next(self, level: Sequence[Key], following: Sequence[Key]) -> list[Key]:
        """States of the same rank that will be wanted next, and could be drawn now."""
        if not following or not level:
            return []
        fields, rank = cache.shared(), self._rank(level[0].seconds)
        wanted = next((some for some in self._levels(following) if self._rank(some[0].seconds) == rank), [])
        return [key for key in wanted if all(above in fields for above in self._above(key))]

    def _above(self, key: Key) -> list[Key]:
        """States that a state hangs on: the two that it lies half way between."""
        return [self.state_key(key, leaf) for leaf in self.tree.parents(key.seconds)]

    @contextlib.contextmanager
    def _held(self, keys: Collection[Key]) -> Iterator[None]:
        """Keep all states that some instants hang on in memory."""
        states = [key for level in self._levels(keys) for key in level]
        cache.shared().hold(states)
        try:
            yield
        finally:
            cache.shared().release(states)

    # Drawing -----------------------------------------------------------------------------------------------------

    def _states(self, keys: Sequence[Key], place: Place, following: Sequence[Key] = ()) -> dict[Key, Field]:
        """States of one rank, from the cache or drawn."""
        found: dict[Key, Field] = {}
        ahead = frozenset(following)

        def draw(wanted: Sequence[Key]) -> list[Field]:
            drawn = self._drawn(wanted, place)
            filled = sum(key in ahead for key in wanted)
            if filled:
                self.emulator().count_ahead(filled)
            return drawn

        cache.shared().gather(
            keys, draw, found.__setitem__,
            batch=self.spec.batch_size, disk=place.disk, share=place.share, following=following,
        )  # fmt: skip
        return found

    def _several(self, keys: Iterable[Key], place: Place) -> dict[Key, Field]:
        """States of any rank, from the cache or drawn."""
        ranks: dict[int, dict[Key, None]] = {}
        for key in keys:
            ranks.setdefault(self._rank(key.seconds), {})[key] = None
        return {key: state for rank in sorted(ranks) for key, state in self._states(list(ranks[rank]), place).items()}

    def _drawn(self, keys: Sequence[Key], place: Place) -> list[Field]:
        """States of one rank, drawn now after those that they hang on; imports torch."""
        from xr_cbottle.draw.bridge import Ends

        depth = self.tree.depth_of(keys[0].seconds)
        if not depth:
            return self._roots(keys, place)
        known = self._several((above for key in keys for above in self._above(key)), place)
        sides = [[known[above] for above in self._above(key)] for key in keys]
        ends = [Ends(before, after, self.tree.distance(depth)) for before, after in sides]
        return self.bridge().between(keys[0].label, [instant_of(key) for key in keys], ends)

    def _roots(self, keys: Sequence[Key], place: Place) -> list[Field]:
        """States of roots, drawn now."""
        return self.bridge().roots(keys[0].label, [instant_of(key) for key in keys])

    def _fields(self, keys: Sequence[Key], place: Place) -> list[Field]:
        """Instants in the channels' units, of states that are there or drawn now."""
        bridge = self.bridge()
        leaves = {key: {leaf: self.state_key(key, leaf) for leaf in self.tree.around(key.seconds)} for key in keys}
        known = self._several((state for two in leaves.values() for state in two.values()), place)
        found = []
        for key in keys:
            state = bridge.state_at(key.seconds, {leaf: known[one] for leaf, one in leaves[key].items()})
            found.append(bridge.fields(key.label, np.array([key.seconds], "datetime64[s]"), [state])[0])
        return found


def instant_of(key: Key) -> Instant:
    """The instant that a key is of."""
    from xr_cbottle.draw.emulator import Instant

    return Instant(key.label, key.seed, key.member, np.datetime64(key.seconds, "s"))
