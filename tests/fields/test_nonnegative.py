"""Fields that are never negative."""

from __future__ import annotations

import numpy as np
import pytest

from xr_cbottle.fields.nonnegative import mean_of, without_negatives

SOME = np.array([True, True, True, False])


@pytest.mark.parametrize(
    ("values", "known", "wanted"),
    [
        ([-1, 2, 3, 100], SOME, [0, 1.6, 2.4, 80]),  # the mean of the first three stays
        ([-1, 2, 3, 4], None, [0, 16 / 9, 24 / 9, 32 / 9]),
        ([-5, 1, 1, 7], SOME, [0, 0, 0, 0]),  # a mean below 0 cannot stay
        ([-9, 1, 1, 1], None, [0, 0, 0, 0]),
        ([-1, -2, -3, 5], SOME, [0, 0, 0, 5]),  # nothing that counts is above 0
    ],
)
def test_what_is_negative_is_cut_and_the_mean_of_what_counts_stays(values, known, wanted):
    np.testing.assert_allclose(without_negatives(np.array([values], float), known), [wanted], rtol=1e-12)


def test_a_mean_of_no_cell_is_zero():
    assert mean_of(np.array([[1.0, 2.0]]), np.array([False, False])).tolist() == [[0.0]]
