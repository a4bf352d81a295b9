"""The tree over time: every instant has one place in it, which follows from its time alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xr_cbottle.grid.time_order import stretches
from xr_cbottle.grid.time_tree import TimeTree

HOUR = 3600
times = st.integers(-(10**11), 10**11)
trees = st.builds(TimeTree, st.sampled_from([1, HOUR, 6 * HOUR, 86400]), st.integers(1, 8), times)


def test_a_tree_of_eight_days():
    tree = TimeTree(6 * HOUR, 5)
    assert tree.interval == 8 * 86400
    assert [tree.depth_of(hour * HOUR) for hour in (0, 6, 12, 18, 24, 48, 96, 192, -96)] == [0, 5, 4, 5, 3, 2, 1, 0, 1]
    assert tree.parents(18 * HOUR) == (12 * HOUR, 24 * HOUR)
    assert tree.parents(96 * HOUR) == (0, 192 * HOUR)
    assert tree.around(7 * HOUR) == (6 * HOUR, 12 * HOUR)
    assert tree.levels([6 * HOUR]) == [[0, 192 * HOUR], *([hour * HOUR] for hour in (96, 48, 24, 12, 6))]
    assert tree.levels([6 * HOUR], {0, 12 * HOUR}.__contains__) == [[], [], [], [], [], [6 * HOUR]]
    assert [tree.together(nbytes) for nbytes in (10**9, 10**6, 320_000)] == [1, 4, 13]
    month = [hour * HOUR for hour in range(0, 768, 6)]
    assert [len(level) for level in tree.levels(month)] == [5, 4, 8, 16, 32, 64]


def test_stretches_are_whole_intervals():
    tree = TimeTree(6 * HOUR, 2)
    hours = [0, 6, 12, 18, 24, 30, 48, 0]
    assert stretches(hours, lambda hour: tree.root(hour * HOUR), 1) == [[0, 6, 12, 18], [24, 30], [48], [0]]
    assert stretches(hours, lambda hour: tree.root(hour * HOUR), 2) == [[0, 6, 12, 18, 24, 30], [48, 0]]
    assert stretches([], str, 2) == []


@given(trees, times)
def test_parents_are_of_less_depth_and_as_far_on_either_side(tree, seconds):
    for leaf in tree.around(seconds):
        assert (leaf - tree.origin) % tree.step == 0
        depth, parents = tree.depth_of(leaf), tree.parents(leaf)
        assert 0 <= depth <= tree.depth
        if not depth:
            assert (leaf - tree.origin) % tree.interval == 0
            assert parents == ()
        else:
            assert leaf - parents[0] == parents[1] - leaf == tree.distance(depth)
            assert max(map(tree.depth_of, parents)) == depth - 1
    assert tree.root(seconds) * tree.interval <= seconds - tree.origin < (tree.root(seconds) + 1) * tree.interval


@given(trees, times)
def test_one_instant_needs_one_of_each_depth_and_two_roots_at_most(tree, seconds):
    leaf = tree.around(seconds)[0]
    levels = tree.levels([leaf])
    assert [len(level) for level in levels[1:]] == [
        int(depth <= tree.depth_of(leaf)) for depth in range(1, tree.depth + 1)
    ]
    assert len(levels[0]) == (1 if tree.depth_of(leaf) == 0 else 2)
