"""Chains of windows over time, fixed once and for all: which window an instant is a frame of, and what it begins with.

A window is some frames a step apart. Its last frame is the first of the window that follows. Some windows make a chain,
from one anchor to the next: an anchor is a single state, the first frame of the first window of a chain and the last of
the last. Where an instant lies follows from its time alone, and hangs on one chain only, not on all time before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from xr_cbottle.grid.time_order import TimeOrder


@dataclass(frozen=True)
class WindowChain(TimeOrder):
    """Chains of windows over time. An anchor is named by its time, a window by that of its second frame.

    Attributes
    ----------
    step
        Seconds between two frames.
    frames
        How many a window has, at least three.
    windows
        How many there are from one anchor to the next.
    origin
        Time of an anchor, in seconds since 1970.
    """

    step: int
    frames: int
    windows: int
    origin: int = 0

    @property
    def deepest(self) -> int:
        """How many windows there are in a chain."""
        return self.windows

    @property
    def spacing(self) -> int:
        """Seconds from the first frame of a window to that of the next."""
        return (self.frames - 1) * self.step

    @property
    def interval(self) -> int:
        """Seconds between two anchors."""
        return self.windows * self.spacing

    @property
    def fields(self) -> int:
        """How many frames the windows of a chain have."""
        return self.windows * self.frames

    def fields_of(self, depth: int) -> int:
        """How many fields of the globe an anchor has, which is one, or a window."""
        return self.frames if depth else 1

    def has(self, seconds: int) -> bool:
        """Whether there is a frame at a time."""
        return (seconds - self.origin) % self.step == 0

    def around(self, seconds: int) -> tuple[int, ...]:
        """The anchor at a time, or the window that has the frame at a time, not as its first.

        Raises
        ------
        ValueError
            If there is no frame at this time.
        """
        if not self.has(seconds):
            raise ValueError(f"there is no frame {seconds} seconds after 1970")
        past = (seconds - self.origin) % self.interval
        return (seconds if not past else seconds - (past - self.step) % self.spacing,)

    def depth_of(self, state: int) -> int:
        """0 of an anchor, 1 of the first window after it, up to `windows`."""
        past = (state - self.origin) % self.interval
        return past // self.spacing + 1 if past else 0

    def parents(self, state: int) -> tuple[int, ...]:
        """The state that a window's first frame is of, and of the last window of a chain the anchor that it ends at."""
        return tuple(self.given(state).values())

    def given(self, state: int) -> dict[int, int]:
        """Which states the given frames of a window are of, by the numbers of the frames; none of an anchor."""
        depth, first = self.depth_of(state), self.first(state)
        if not depth:
            return {}
        found = {0: first if depth == 1 else state - self.spacing}
        if depth == self.windows:
            found[self.frames - 1] = first + self.spacing
        return found

    def first(self, state: int) -> int:
        """Time of the first frame of a window."""
        return state - self.step

    def frame(self, state: int, seconds: int) -> int:
        """Number of the frame of a window at a time."""
        return (seconds - self.first(state)) // self.step
