"""Instants that are made of states, each drawn after others that it hangs on, which are kept in the cache like it.

Reading an instant takes its states and those that they hang on; reading many that follow each other takes hardly more
than theirs. States are drawn from those that hang on none downwards, those of one depth in batches.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from xr_cbottle.cube import cache
from xr_cbottle.cube.cache import Deliver
from xr_cbottle.cube.disk import DiskTier
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.shares import Share
from xr_cbottle.cube.sources import DrawnInstants
from xr_cbottle.grid import healpix
from xr_cbottle.grid.time_order import TimeOrder, stretches

if TYPE_CHECKING:
    from xr_cbottle.draw.emulator import Instant
    from xr_cbottle.draw.states import States


class Place(NamedTuple):
    """Where fields of a read are kept."""

    disk: DiskTier | None
    share: Share

    def has(self, key: Key) -> bool:
        """Whether a field is there, in memory or in the folder."""
        return key in cache.shared() or (self.disk is not None and self.disk.has(key))


@dataclass(frozen=True, eq=False)
class HangingInstants(DrawnInstants, abc.ABC):
    """Instants that a bottle's networks draw from others; its ``spec`` has the order of the states below them.

    Beside an instant, in the channels' units, its *state* is kept, as the network draws it: under a namespace of its
    own for each depth, so that who draws one may wait for those above it, and nobody for himself.
    """

    @property
    def order(self) -> TimeOrder:
        """Which states are drawn from which."""
        assert self.spec.tree is not None
        return self.spec.tree

    @abc.abstractmethod
    def networks(self) -> States:
        """The networks that draw states from others, loaded once for this process; imports torch."""

    @abc.abstractmethod
    def _from_others(self, keys: Sequence[Key], known: Mapping[Key, Field]) -> list[Field]:
        """States of one depth, drawn now from those that they hang on."""

    @abc.abstractmethod
    def _state_at(self, seconds: int, states: Mapping[int, Field]) -> npt.NDArray[np.floating]:
        """State at a time, (channel, cell), of those that it is made of."""

    def _gather(self, keys: Sequence[Key], deliver: Deliver, following: Sequence[Key], passing: bool) -> None:
        fields, batch = cache.shared(), self.spec.batch_size
        shape = len(self.channels), healpix.n_cells(self.spec.native_zoom)
        place = Place(self.reading.disk(shape), self.reading.share(passing))
        together = self.order.together(4 * shape[0] * shape[1])
        for stretch in stretches(keys, lambda key: (key.seed, key.member, self.order.root(key.seconds)), together):
            missing = [key for key in stretch if not place.has(key)]
            ahead = [key for key in following if not place.has(key)]
            with self._held(missing):
                for level in self._levels(missing, place):
                    self._states(level, place, self._next(level, ahead))
                fields.gather(
                    stretch, lambda wanted: self._fields(wanted, place), deliver,
                    batch=batch, disk=place.disk, share=place.share,
                )  # fmt: skip

    def _tier(self, place: Place, rank: int) -> DiskTier | None:
        """The folder of states of a rank, which may be several fields of the globe each."""
        if place.disk is None:
            return None
        channels, cells = place.disk.shape
        return dataclasses.replace(place.disk, shape=(self.order.fields_of(rank) * channels, cells))

    def _at_once(self, rank: int) -> int:
        """How many states of a rank are drawn at once: those of as many fields as a batch has, one at least."""
        return max(1, self.spec.batch_size // self.order.fields_of(rank))

    # Which states ------------------------------------------------------------------------------------------------

    def state_key(self, key: Key, leaf: int) -> Key:
        """Key of a state by its time, for an instant or a state of the same label, seed and member."""
        return key._replace(namespace=self._namespace(self._rank(leaf)), seconds=leaf)

    def _rank(self, leaf: int) -> int:
        """Which states are drawn after which: each hangs on some of lower rank only."""
        return self.order.depth_of(leaf)

    def _namespace(self, rank: int) -> str:
        return hashlib.sha256(f"{self.spec.namespace} state {rank}".encode()).hexdigest()

    def _leaves(self, keys: Iterable[Key]) -> dict[Key, list[int]]:
        """Times of the states that some instants are made of; by the first of those of one seed and member."""
        found: dict[tuple[int, int], tuple[Key, list[int]]] = {}
        for key in keys:
            found.setdefault((key.seed, key.member), (key, []))[1].extend(self.order.around(key.seconds))
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
        """States that must be there for some to be, and are not."""
        return [leaf for level in self.order.levels(leaves, have) for leaf in level]

    def _next(self, level: Sequence[Key], following: Sequence[Key]) -> list[Key]:
        """States of the same rank that will be wanted next, and could be drawn now."""
        if not following or not level:
            return []
        fields, rank = cache.shared(), self._rank(level[0].seconds)
        wanted = next((some for some in self._levels(following) if self._rank(some[0].seconds) == rank), [])
        return [key for key in wanted if all(above in fields for above in self._above(key))]

    def _above(self, key: Key) -> list[Key]:
        """States that a state hangs on."""
        return [self.state_key(key, leaf) for leaf in self.order.parents(key.seconds)]

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
            filled = sum(self._instants_in(key) for key in wanted if key in ahead)
            if filled:
                self.emulator().count_ahead(filled)
            return drawn

        if keys:
            rank = self._rank(keys[0].seconds)
            cache.shared().gather(
                keys, draw, found.__setitem__,
                batch=self._at_once(rank), disk=self._tier(place, rank), share=place.share, following=following,
            )  # fmt: skip
        return found

    def _instants_in(self, key: Key) -> int:
        """How many instants are drawn with a state."""
        return 1

    def _several(self, keys: Iterable[Key], place: Place) -> dict[Key, Field]:
        """States of any rank, from the cache or drawn."""
        ranks: dict[int, dict[Key, None]] = {}
        for key in keys:
            ranks.setdefault(self._rank(key.seconds), {})[key] = None
        return {key: state for rank in sorted(ranks) for key, state in self._states(list(ranks[rank]), place).items()}

    def _drawn(self, keys: Sequence[Key], place: Place) -> list[Field]:
        """States of one rank, drawn now after those that they hang on; imports torch."""
        if not self.order.depth_of(keys[0].seconds):
            return self._roots(keys, place)
        return self._from_others(keys, self._several((above for key in keys for above in self._above(key)), place))

    def _roots(self, keys: Sequence[Key], place: Place) -> list[Field]:
        """States that hang on no others, drawn now."""
        return self.networks().roots(keys[0].label, [instant_of(key) for key in keys])

    def _fields(self, keys: Sequence[Key], place: Place) -> list[Field]:
        """Instants in the channels' units, of states that are there or drawn now."""
        networks = self.networks()
        leaves = {key: {leaf: self.state_key(key, leaf) for leaf in self.order.around(key.seconds)} for key in keys}
        known = self._several((state for some in leaves.values() for state in some.values()), place)
        found = []
        for key in keys:
            state = self._state_at(key.seconds, {leaf: known[one] for leaf, one in leaves[key].items()})
            found.append(networks.fields(key.label, np.array([key.seconds], "datetime64[s]"), [state])[0])
        return found


def instant_of(key: Key) -> Instant:
    """The instant that a key is of."""
    from xr_cbottle.draw.emulator import Instant

    return Instant(key.label, key.seed, key.member, np.datetime64(key.seconds, "s"))
