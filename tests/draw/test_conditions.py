"""SST as a network gets it, and the calendar."""

from __future__ import annotations

import numpy as np

from xr_cbottle.draw.conditions import LAND_KELVIN, SST_MEAN, SST_STD, day_of_year, encode_sst, second_of_day


def test_encode_sst():
    encoded = encode_sst(np.array([[SST_MEAN, SST_MEAN + SST_STD, np.nan]], "f4"))
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, [[0, 1, (LAND_KELVIN - SST_MEAN) / SST_STD]], atol=1e-5)


def test_calendar():
    times = np.array(["1990-01-01T00", "1990-01-01T06", "2000-12-31T18", "1959-03-01T01:30"], "datetime64[ns]")
    np.testing.assert_array_equal(second_of_day(times), [[0], [21600], [64800], [5400]])
    np.testing.assert_array_equal(day_of_year(times), [[0], [0.25], [365.75], [59.0625]])
    assert day_of_year(times).dtype == second_of_day(times).dtype == np.float32
