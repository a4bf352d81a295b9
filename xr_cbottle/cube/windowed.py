"""Instants that are frames of windows, which a video network draws at once and which are kept in the cache whole.

A window begins with the last frame of the one before. Some windows make a chain from one anchor to the next: an anchor
is an instant of the coarse networks, with which the first window of a chain begins and the last one ends. Reading an
instant takes the windows of its chain up to its own, and no more; all frames of a window come with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xr_cbottle.cube.hanging import HangingInstants, instant_of
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.grid.window_chain import WindowChain

if TYPE_CHECKING:
    from xr_cbottle.draw.video import Video, Window


@dataclass(frozen=True, eq=False)
class WindowedInstants(HangingInstants):
    """Instants that are frames of windows; its ``spec`` has their chains.

    Of a window all frames are kept as one field, (frame and channel, cell), the channels of a frame together.
    """

    @property
    def chain(self) -> WindowChain:
        """The chains of windows."""
        assert isinstance(self.spec.tree, WindowChain)
        return self.spec.tree

    def networks(self) -> Video:
        """The video network, loaded once for this process; imports torch."""
        from xr_cbottle.draw.emulator import Sampler
        from xr_cbottle.draw.video import Video

        asked = self.spec.windows
        assert asked is not None  # the spec of such instants says how their windows are drawn
        return Video(self.emulator(), Sampler(*asked.sampler, asked.sigmas or ()))

    def _from_others(self, keys: Sequence[Key], known: Mapping[Key, Field]) -> list[Field]:
        windows = [self._window(key, known) for key in keys]
        drawn = self.networks().windows(keys[0].label, windows)
        return [frames.reshape(-1, frames.shape[-1]) for frames in drawn]

    def _window(self, key: Key, known: Mapping[Key, Field]) -> Window:
        """The window of a key, which begins, and may end, with frames of those that it hangs on."""
        from xr_cbottle.draw.video import Window

        chain, first = self.chain, self.chain.first(key.seconds)
        given = {
            number: self._frame(known[self.state_key(key, state)], state, first + number * chain.step)
            for number, state in chain.given(key.seconds).items()
        }
        return Window(instant_of(key._replace(seconds=first)), given)

    def _frame(self, field: Field, state: int, seconds: int) -> Field:
        """The frame at a time, (channel, cell), of a window or an anchor."""
        if not self.chain.depth_of(state):
            return field
        number, channels = self.chain.frame(state, seconds), len(self.channels)
        return field[number * channels : (number + 1) * channels]

    def _state_at(self, seconds: int, states: Mapping[int, Field]) -> Field:
        ((state, field),) = states.items()
        return self._frame(field, state, seconds)

    def _instants_in(self, key: Key) -> int:
        depth = self.chain.depth_of(key.seconds)
        return self.chain.frames - len(self.chain.given(key.seconds)) if depth else 1
