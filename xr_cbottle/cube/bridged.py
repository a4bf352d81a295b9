"""Instants that hang in a tree over time: each is drawn between two others, which are kept in the cache like it.

Reading one takes those above it, at most one of each depth and two roots; reading many that follow each other takes
little more than one each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xr_cbottle.cube.hanging import HangingInstants, instant_of
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.grid.time_tree import TimeTree

if TYPE_CHECKING:
    from xr_cbottle.draw.bridge import Bridge


@dataclass(frozen=True, eq=False)
class BridgedInstants(HangingInstants):
    """Instants that a bottle's networks draw between others; its ``spec`` has the tree."""

    @property
    def tree(self) -> TimeTree:
        """The tree that the instants hang in."""
        assert isinstance(self.spec.tree, TimeTree)
        return self.spec.tree

    def networks(self) -> Bridge:
        """The network between two states, loaded once for this process; imports torch."""
        from xr_cbottle.draw.bridge import Bridge

        return Bridge(self.emulator(), self.tree)

    def _from_others(self, keys: Sequence[Key], known: Mapping[Key, Field]) -> list[Field]:
        from xr_cbottle.draw.bridge import Ends

        far = self.tree.distance(self.tree.depth_of(keys[0].seconds))
        sides = [[known[above] for above in self._above(key)] for key in keys]
        ends = [Ends(before, after, far) for before, after in sides]
        return self.networks().between(keys[0].label, [instant_of(key) for key in keys], ends)

    def _state_at(self, seconds: int, states: Mapping[int, Field]) -> npt.NDArray[np.floating]:
        return self.networks().state_at(seconds, states)
