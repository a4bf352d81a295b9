"""Chains of windows over time: every frame has one place in them, which follows from its time alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_cbottle.grid.window_chain import WindowChain

HOUR = 3600
numbers = st.integers(-(10**6), 10**6)
chains = st.builds(
    WindowChain, st.sampled_from([1, HOUR, 6 * HOUR, 86400]), st.integers(3, 13), st.integers(1, 6),
    st.integers(-(10**11), 10**11),
)  # fmt: skip


def test_the_published_windows():
    """Twelve frames, 6 hours apart: windows of 66 hours, four of them in 11 days."""
    chain = WindowChain(6 * HOUR, 12, 4)
    assert (chain.spacing, chain.interval) == (66 * HOUR, 11 * 86400)
    hours = (0, 6, 66, 72, 132, 138, 264, 270, -6)
    assert [chain.around(hour * HOUR)[0] // HOUR for hour in hours] == [0, 6, 6, 72, 72, 138, 264, 270, -60]
    assert [chain.depth_of(hour * HOUR) for hour in (0, 6, 72, 138, 204, 264, 270, -60)] == [0, 1, 2, 3, 4, 0, 1, 4]
    assert chain.parents(6 * HOUR) == (0,)
    assert chain.parents(72 * HOUR) == (6 * HOUR,)
    assert chain.given(204 * HOUR) == {0: 138 * HOUR, 11: 264 * HOUR}
    assert chain.given(0) == {}
    assert chain.levels([204 * HOUR]) == [[0, 264 * HOUR], *([hour * HOUR] for hour in (6, 72, 138, 204))]
    assert chain.levels([204 * HOUR], {138 * HOUR}.__contains__) == [[264 * HOUR], [], [], [], [204 * HOUR]]
    assert (chain.first(72 * HOUR), chain.frame(72 * HOUR, 132 * HOUR)) == (66 * HOUR, 11)
    assert [chain.together(nbytes) for nbytes in (10**9, 320_000)] == [1, 8]
    with pytest.raises(ValueError, match="there is no frame 3600 seconds"):
        chain.around(HOUR)


def test_a_chain_of_one_window_has_an_anchor_at_either_end():
    assert WindowChain(1, 3, 1).given(1) == {0: 0, 2: 2}


@given(chains, numbers)
def test_every_frame_has_one_place(chain, number):
    seconds = chain.origin + number * chain.step
    (state,) = chain.around(seconds)
    assert (chain.depth_of(state) == 0) == ((seconds - chain.origin) % chain.interval == 0)
    if chain.depth_of(state):
        assert 1 <= chain.frame(state, seconds) < chain.frames
        # What it begins with is the frame at this time of what it is said to be of.
        for frame, parent in chain.given(state).items():
            assert (parent,) == chain.around(chain.first(state) + frame * chain.step)
            assert chain.depth_of(parent) < chain.depth_of(state)
    assert chain.root(state) == chain.root(seconds - (chain.depth_of(state) > 0))


@given(chains, numbers)
def test_a_frame_hangs_on_no_more_than_one_chain(chain, number):
    seconds = chain.origin + number * chain.step
    levels = chain.levels(chain.around(seconds))
    assert sum(map(len, levels)) <= chain.windows + 2
    assert all(abs(state - seconds) <= chain.interval for level in levels for state in level)
