"""Fine fields with given means over coarse cells."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xr_cbottle.grid.conservation import with_means

NUMBERS = st.floats(-1e3, 1e3, width=32)


@given(arrays.arrays(np.float64, (2, 12), elements=NUMBERS), arrays.arrays(np.float64, (2, 3), elements=NUMBERS))
def test_means_are_kept_and_nothing_is_negative(fine, coarse):
    plain = with_means(fine, coarse)
    np.testing.assert_allclose(plain.reshape(2, 3, 4).mean(-1), coarse, atol=1e-9)
    shifts = (plain - fine).reshape(2, 3, 4)
    np.testing.assert_allclose(shifts - shifts[..., :1], 0, atol=1e-9)  # differences within a coarse cell stay
    some = with_means(fine, coarse, (False, True))
    np.testing.assert_array_equal(some[0], plain[0])
    cells = some[1].reshape(3, 4)
    np.testing.assert_allclose(cells.mean(-1), coarse[1], atol=1e-9)
    assert (cells[coarse[1] > 0] >= 0).all()
    dry = coarse[1] <= 0
    np.testing.assert_array_equal(cells[dry], np.repeat(coarse[1][dry, None], 4, 1))


def test_a_cell_that_is_cut_is_scaled():
    found = with_means(np.array([[-3.0, 1.0, 1.0, 1.0]]), np.array([[1.0]]), (True,))
    np.testing.assert_allclose(found, [[0, 4 / 3, 4 / 3, 4 / 3]])
