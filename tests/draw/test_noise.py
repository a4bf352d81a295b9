"""Noise is a pure function of seed, stage, member, time and block, and streams are independent."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xr_cbottle.draw.noise import normals, seconds_since_1970

TIME = np.datetime64("1990-01-01T06:00")
KEYS = st.tuples(
    st.integers(0, 2**63 - 1),
    st.sampled_from(["coarse", "translate"]),
    st.integers(0, 2**32 - 1),
    st.integers(-(10**10), 10**10),
)


def draw(seed=0, stage="coarse", member=0, time=TIME, block=None, n=8):
    return normals((n,), seed=seed, stage=stage, member=member, time=time, block=block)


def draw_key(key, n=8):
    seed, stage, member, seconds = key
    return draw(seed, stage, member, np.datetime64(seconds, "s"), n=n)


@pytest.mark.parametrize(
    ("key", "golden"),
    [
        (
            dict(seed=0, stage="coarse", member=0, time="1990-01-01T06:00"),
            [0.142957464, 0.380390465, -0.008733844, -0.298054725],
        ),
        (
            dict(seed=1099511627783, stage="coarse", member=3, time="1990-01-01T06:00"),
            [-0.117240913, -0.607299864, -0.953194201, 0.575894117],
        ),
        (
            dict(seed=0, stage="infill", member=0, time="1940-01-01T00:00", block=3),
            [1.837126851, -0.216534957, 0.26935634, -1.791891456],
        ),
        (
            dict(seed=1, stage="superres", member=0, time="2000-02-29T12:00", block=5),
            [0.540560842, 1.293608069, 0.344331473, -0.375148773],
        ),
    ],
)
def test_golden_values(key, golden):
    np.testing.assert_array_equal(draw(**key, n=4), np.array(golden, np.float32))


def test_is_the_documented_stream():
    sequence = np.random.SeedSequence(7, spawn_key=(0, 3, (-3600) % 2**64))
    expected = np.random.Generator(np.random.Philox(sequence)).standard_normal((2, 5)).astype(np.float32)
    got = normals((2, 5), seed=7, stage="coarse", member=3, time=np.datetime64("1969-12-31T23"))
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == np.float32


@settings(max_examples=50, deadline=None)
@given(st.lists(KEYS, min_size=2, max_size=6, unique=True), st.randoms())
def test_order_and_company_do_not_matter(keys, random):
    alone = {key: draw_key(key) for key in keys}
    random.shuffle(keys)
    for key in keys:
        np.testing.assert_array_equal(draw_key(key), alone[key])


@settings(max_examples=100, deadline=None)
@given(KEYS, KEYS)
def test_any_difference_changes_the_stream(a, b):
    assert np.array_equal(draw_key(a), draw_key(b)) == (a == b)


@pytest.mark.parametrize(
    "other",
    [
        dict(seed=1),
        dict(seed=2**32),
        dict(seed=2**62),
        dict(stage="translate"),
        dict(stage="infill", block=0),
        dict(stage="infill", block=1),
        dict(stage="guide", block=0),
        dict(stage="superres", block=0),
        dict(member=1),
        dict(member=2**32 - 1),
        dict(time=TIME + np.timedelta64(1, "h")),
        dict(time=np.datetime64("1950-01-01")),
        dict(time=np.datetime64("2150-01-01")),
    ],
    ids=str,
)
def test_streams_are_uncorrelated(other):
    n = 200_000
    a, b = draw(n=n), draw(**other, n=n)
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(n)
    assert abs(b.mean()) < 5 / np.sqrt(n)
    assert abs(b.std() - 1) < 5 / np.sqrt(n)


def test_many_streams_have_no_common_part():
    streams = [
        draw(seed, stage, member, TIME + np.timedelta64(hour, "h"), n=2000)
        for seed, stage, member, hour in itertools.product(
            (0, 2**32, 2**40 + 1), ("coarse", "translate"), (0, 1, 2), (0, 1)
        )
    ]
    correlations = np.corrcoef(streams) - np.eye(len(streams))
    assert np.abs(correlations).max() < 5 / np.sqrt(2000)


def test_seeds_keep_their_high_bits():
    assert not np.array_equal(draw(seed=5), draw(seed=5 + 2**32))
    assert not np.array_equal(draw(seed=0), draw(seed=2**62))


def test_time_is_the_time_however_written():
    for time in ("1990-01-01T06", np.datetime64("1990-01-01T06:00:00.000000000"), TIME.astype("datetime64[s]")):
        np.testing.assert_array_equal(draw(time=time), draw())
    assert seconds_since_1970("1969-12-31") == -86400


def test_blocks_of_superres_differ_also_far_from_1970():
    times = [np.datetime64(t) for t in ("1960-01-01", "2000-01-01", "2150-01-01")]
    streams = [draw(stage="superres", time=t, block=b) for t in times for b in (0, 1, 2**32 - 1)]
    assert len({s.tobytes() for s in streams}) == len(streams)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (dict(seed=-1), "seed is -1"),
        (dict(seed=2**63), "seed"),
        (dict(seed=None), "seed"),
        (dict(seed=1.5), "seed"),
        (dict(seed=True), "seed"),
        (dict(member=2**32), "member"),
        (dict(stage="fine"), "choose one of coarse, infill, superres"),
        (dict(stage=0), "unknown stage"),
        (dict(block=1), "leave block out"),
        (dict(stage="superres"), "give block"),
        (dict(time=np.datetime64("NaT")), "NaT"),
        (dict(time="1990-01-01T00:00:00.5"), "fraction of a second"),
    ],
    ids=str,
)
def test_wrong_keys_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        draw(**wrong)
