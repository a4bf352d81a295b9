"""States: instants as a network draws them, before they are values; others may be drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.draw.arithmetic import drawing

if TYPE_CHECKING:
    from xr_cbottle.draw.emulator import Emulator, Instant

State = npt.NDArray[np.float32]
"""(channel, cell NEST) float32: an instant as a network draws it, before `Emulator.physical`."""


class States:
    """Drawing of states of a loaded bottle.

    Parameters
    ----------
    emulator
        Draws those that hang on no others, and says how states become values.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def roots(self, label: str | None, instants: Sequence[Instant]) -> list[State]:
        """Draw states that hang on no others, as the coarse networks draw instants, in batches."""
        emulator = self.emulator
        drawn = self._batches(
            instants, lambda part, _: emulator.solve(label, part, emulator.sampler), emulator.batch_size
        )
        emulator.count_drawn(len(drawn))
        return drawn

    def _batches(
        self,
        asked: Sequence[Any],
        solve: Callable[[Sequence[Any], slice], npt.NDArray[np.floating[Any]]],
        size: int,
    ) -> list[State]:
        """What is asked for, so many at a time; ``solve`` takes some, and where they lie among all."""
        out: list[State] = []
        for start in range(0, len(asked), size):
            places = slice(start, start + size)
            drawn = self.emulator.finite(solve(asked[places], places)).astype(np.float32)
            out += [np.array(state) for state in drawn]  # copies: a view would keep the whole batch in memory
        return out

    def fields(
        self, label: str | None, times: npt.NDArray[np.datetime64], states: Sequence[npt.NDArray[np.floating[Any]]]
    ) -> npt.NDArray[np.float32]:
        """Values of states at (n,) times, (n, channel, cell NEST) in the channels' units."""
        with drawing(self.emulator.precision):
            values = self.emulator.physical(np.stack(states).astype(np.float64), label, times)
        return self.emulator.finite(values).astype(np.float32)
