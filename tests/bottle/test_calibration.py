"""What is mended in what a network draws: harmonics by degree, and distributions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xr_cbottle.bottle.calibration import Calibration, mapped
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.fields.nonnegative import without_negatives
from xr_cbottle.grid import healpix

ZOOM = 2
CELLS = healpix.n_cells(ZOOM)
DEGREES = 2 * healpix.nside(ZOOM) + 1


def fields(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*shape, CELLS))


def calibration(**changes) -> Calibration:
    rng = np.random.default_rng(0)
    parts = {
        "gain": rng.uniform(0.7, 1.4, (2, 3, DEGREES)),
        "matched": np.array([2]),
        "drawn": np.array([[[-1.0, 0.0, 3.0]], [[-2.0, 0.0, 1.0]]]),
        "known": np.array([[[0.0, 1e-9, 2.0]], [[-2.0, 0.0, 1.0]]]),
        "rest": np.array([[0.5, 1.0, 0.7], [1.0, 0.8, 0.3]]),
    }
    return Calibration(**(parts | changes))


def test_without_a_gain_of_the_rest_it_is_left_alone():
    x = fields(6, 1, 3)
    bare = calibration(rest=None)
    np.testing.assert_array_equal(bare.amplified(x, 0), calibration(rest=np.ones((2, 3))).amplified(x, 0))
    assert not np.array_equal(bare.amplified(x, 0), calibration().amplified(x, 0))


def test_each_label_has_its_own_gain_of_the_rest():
    same = calibration(gain=np.ones((2, 3, DEGREES)))
    for label in range(2):
        np.testing.assert_array_equal(same.rest_of(label), same.rest[label])
    assert not np.array_equal(same.amplified(fields(6, 1, 3), 0), same.amplified(fields(6, 1, 3), 1))


def test_what_is_amplified_does_not_depend_on_what_it_is_amplified_with():
    known, x = calibration(), fields(1, 5, 3)
    whole = known.amplified(x, 1)
    for i in range(5):
        np.testing.assert_array_equal(known.amplified(x[i : i + 1], 1)[0], whole[i])


def test_amplification_has_an_inverse():
    known, x = calibration(), fields(2, 2, 3)
    np.testing.assert_allclose(known.unamplified(known.amplified(x, 0), 0), x, atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=6, unique=True),
    st.lists(st.floats(0.01, 50), min_size=6, max_size=6),
    st.lists(st.floats(-300, 300), min_size=1, max_size=20),
)
def test_a_map_of_quantiles_rises_and_has_an_inverse(knots, steps, values):
    knots = np.unique(np.round(knots, 2))
    if len(knots) < 2:
        return
    wanted = np.cumsum(steps)[: len(knots)]
    values = np.sort(values)
    there = mapped(values, knots, wanted)
    assert (np.diff(there) >= -1e-12).all()  # to rounding
    np.testing.assert_allclose(mapped(there, wanted, knots), values, atol=1e-6)
    np.testing.assert_allclose(mapped(knots, knots, wanted), wanted)


def test_beyond_the_last_quantiles():
    there = mapped(np.array([-3.0, 6.0]), np.array([-1.0, 0.0, 3.0]), np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(there, [-2.0, 3.0])  # shifted below, as the last piece above


@given(st.floats(0.2, 5), st.floats(0.2, 5))
def test_a_mapping_that_goes_with_the_climate_makes_a_share_more_of_a_share_more(one, two):
    known, ratio = calibration(scaled=np.array([[True], [False]])), np.ones((2, 3))
    ratio[:, 2] = one, two
    values = fields(3, 2, 3)
    moved = known.mapped(values * ratio[..., None], 0, ratio)
    np.testing.assert_allclose(moved, known.mapped(values, 0) * ratio[..., None], rtol=1e-9, atol=1e-9)
    kept = values * ratio[..., None]
    kept[:, 2] = without_negatives(kept[:, 2])
    np.testing.assert_allclose(known.unmapped(moved, 0, ratio), kept, atol=1e-6)
    assert known.moving(0) == [2]
    assert known.moving(1) == calibration().moving(0) == []


def test_what_is_below_0_is_no_rain_of_a_warmer_climate():
    """More noise below 0, at the same mean: a mapping that makes 0 of it would add it to the mean."""
    quantiles = np.tile([[[0.0, 1.0, 10.0]]], (2, 1, 1))
    same = {"drawn": quantiles, "known": quantiles}
    values = 1 + fields(4, 4, 3) * np.array([1.0, 2.0, 3.0, 4.0])[:, None, None]
    moved = calibration(scaled=np.ones((2, 1), bool), **same).mapped(values, 0)[:, 2]
    np.testing.assert_allclose(moved.mean(-1), values[:, 2].mean(-1))
    assert (moved >= 0).all()


def test_only_matched_channels_are_mapped():
    known, values = calibration(), fields(3, 2, 3)
    there = known.mapped(values, 0)
    np.testing.assert_array_equal(there[:, :2], values[:, :2])
    assert (there[:, 2] != values[:, 2]).all()
    np.testing.assert_allclose(known.unmapped(there, 0), values, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"gain": np.ones((2, 3))}, "a calibration needs gain of"),
        ({"matched": np.array([3])}, "a calibration needs gain of"),
        (
            {"matched": np.array([2, 2]), **{name: np.arange(12.0).reshape(2, 2, 3) for name in ("drawn", "known")}},
            "different numbers of matched channels",
        ),
        ({"drawn": np.zeros((2, 1, 1)), "known": np.zeros((2, 1, 1))}, "two knots or more"),
        ({"gain": np.full((2, 3, 4), np.nan)}, "gains must be finite and positive"),
        ({"gain": np.zeros((2, 3, 4))}, "gains must be finite and positive"),
        ({"known": np.zeros((2, 1, 3))}, "quantiles must be finite and rising"),
        ({"rest": np.ones((2, 2))}, r"rest must be of \(label, channel\)"),
        ({"rest": np.zeros((2, 3))}, "gains must be finite and positive"),
    ],
)
def test_what_cannot_be_a_calibration(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        calibration(**changes)


def test_more_degrees_than_the_cells_resolve_are_refused_before_anything_is_made_of_them():
    """A small file could ask for a matrix of any size."""
    with pytest.raises(
        ValueError, match="of 192 cells has gains of 9 degrees at most, which these resolve, and not of"
    ):
        climatology(calibration(gain=np.ones((2, 3, DEGREES + 1))))


def climatology(known: Calibration | None) -> Climatology:
    rng = np.random.default_rng(4)
    mean = rng.standard_normal((2, 3, 1, 1, CELLS)).astype(np.float32)
    return Climatology(
        ("a", "b"), ("tas", "psl", "pr"), np.array([288.0, 1e5, 1.0]), np.array([2.0, 500.0, 1.0]), mean,
        np.ones((2, 3, CELLS), np.float32), np.ones_like(mean), np.full((1, CELLS), 290, np.float32), np.ones(3),
        known,
    )  # fmt: skip


def test_a_climatology_mends_what_is_drawn(tmp_path):
    times, x = np.array(["2000-01-01", "2000-02-01"], "datetime64[s]"), fields(5, 2, 3)
    plain, mended = climatology(None), climatology(calibration())
    expected = plain.physical(calibration().amplified(x, 1), "b", times)
    expected[:, 2] = mapped(expected[:, 2], calibration().drawn[1, 0], calibration().known[1, 0])
    values = mended.physical(x, "b", times)
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    np.testing.assert_allclose(mended.standardised(values, "b", times), x, atol=2e-3)

    mended.write(tmp_path / "climatology.nc")
    import xarray as xr

    with xr.open_dataset(tmp_path / "climatology.nc") as ds:
        again = Climatology.from_dataset(ds)
        assert again.calibration is not None
        for field in dataclasses.fields(Calibration):
            np.testing.assert_array_equal(getattr(again.calibration, field.name), getattr(calibration(), field.name))
        with pytest.raises(BottleError, match="is no climatology of a bottle"):
            Climatology.from_dataset(ds.drop_vars("known").load())


def test_a_calibration_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="of the same labels and channels"):
        climatology(calibration(gain=np.ones((2, 4, DEGREES)), rest=None))
