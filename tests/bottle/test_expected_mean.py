"""The mean that is expected of a channel whose root is Gaussian, and how it changes with the climate."""

from __future__ import annotations

import numpy as np
import pytest

from tests import forcings
from tests.bottle.test_response import TIMES, moving, predictors
from xr_cbottle.bottle.expected_mean import ExpectedMean

SQUARES = ExpectedMean(center=3.0, scale=0.4, root=2.0)
CUBES = ExpectedMean(center=0.1, scale=0.4, root=3.0)


def climate(mean: float, spread: float, cells: int = 192) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return mean + 0.1 * rng.normal(size=(2, cells)), spread * rng.uniform(0.5, 1.5, (2, cells))


def test_the_mean_of_a_root_is_more_than_the_power_of_its_mean():
    m, s = 3 + 0.5 * 0.4, 0.25 * 0.4
    about = np.full((1, 192), 0.5), np.full((1, 192), 0.25)
    assert SQUARES.of(*about) == pytest.approx(m**2 + s**2, rel=1e-6)
    by_mean, by_logarithm = SQUARES.slopes(*about)
    assert by_mean == pytest.approx(2 * m * 0.4, rel=1e-6)
    assert by_logarithm == pytest.approx(2 * s**2, rel=1e-6)


def test_of_many_draws_it_is_their_mean_also_where_some_are_cut_at_zero():
    mean, spread = np.array([0.3]), np.array([1.0])
    drawn = np.maximum(0.1 + 0.4 * (0.3 + np.random.default_rng(1).normal(size=10**6)), 0) ** 3
    assert CUBES.of(mean, spread) == pytest.approx(drawn.mean(), rel=0.01)


def test_without_a_root_it_is_the_mean_and_knows_no_zero():
    plain = ExpectedMean(center=-9.0, scale=2.0, root=1.0)
    about = climate(1.0, 3.0)
    np.testing.assert_allclose(plain.of(*about), -9 + 2 * about[0])
    by_mean, by_logarithm = plain.slopes(*about)
    np.testing.assert_allclose(by_mean, 2)
    np.testing.assert_allclose(by_logarithm, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("usual", "moved", "wanted"),
    [((0.5, 0.25), (0.5, 0.25), 1.0), ((0.0, 0.01), (99.0, 0.01), 10.0), ((99.0, 0.01), (0.0, 0.01), 0.1),
     ((-99.0, 0.01), (0.5, 0.25), 1.0), ((0.5, 0.25), (-99.0, 0.01), 1.0)],
)  # fmt: skip
def test_the_ratio_is_bounded_and_one_where_a_mean_is_zero(usual, moved, wanted):
    assert CUBES.ratio(climate(*usual), climate(*moved)) == pytest.approx([wanted] * 2)


def test_the_ratio_is_that_of_global_means():
    usual, moved = climate(0.5, 0.25), climate(0.8, 0.5)
    means = [CUBES.of(*one).mean(1) for one in (usual, moved)]
    np.testing.assert_allclose(CUBES.ratio(usual, moved), means[1] / means[0])


@pytest.mark.parametrize("mean", [0.8, 99.0])  # the latter is beyond the bound of the ratio
def test_gradients_are_carried_back_through_the_ratio(mean):
    usual, moved, gradient = climate(0.5, 0.25), climate(mean, 0.5), np.array([2.0, -3.0])
    rng, step = np.random.default_rng(2), 1e-5
    ratio = CUBES.ratio(usual, moved)
    by_mean, by_logarithm = CUBES.ratio_back(moved, ratio, gradient)
    ways = rng.normal(size=(2, *moved[0].shape))
    ends = [
        CUBES.ratio(usual, (moved[0] + sign * step * ways[0], moved[1] * np.exp(sign * step * ways[1])))
        for sign in (1, -1)
    ]
    wanted = gradient * (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose((by_mean * ways[0] + by_logarithm * ways[1]).sum(1), wanted, rtol=1e-5, atol=1e-12)


def test_a_ratio_is_found_for_those_alone_who_ask_for_it(monkeypatch):
    known = moving(forcings.climatology())
    at = predictors(known, 3, 0)
    mean, spread, ratio = known.about("a", TIMES, at)
    assert ratio is not None
    monkeypatch.delattr(ExpectedMean, "ratio")  # it costs more than mean and spread
    for found, wanted in zip(known.at("a", TIMES, at), (mean, spread), strict=True):
        np.testing.assert_array_equal(found, wanted)
    known.usual("a", TIMES, at)
