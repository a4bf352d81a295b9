"""Which instants are compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import evaluation_data
from xr_cbottle.evaluation import instants


@given(
    hours=st.sampled_from([1, 3, 5, 6, 7, 24]), days=st.integers(3, 800), count=st.integers(1, 200),
    gap=st.integers(0, 4000),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_as_many_as_asked_for_each_once_and_ascending(hours, days, count, gap):
    times = evaluation_data.times(days=days, hours=hours)
    times = np.concatenate([times, times[-1] + np.timedelta64(gap + hours, "h") + (times - times[0])])
    chosen = instants.choose(times, count)
    assert len(chosen) == min(count, len(times))
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < len(times)


@pytest.mark.parametrize(("hours", "count"), [(1, 360), (6, 360), (6, 365), (6, 100), (3, 96), (5, 240)])
def test_hours_of_the_day_and_days_of_the_year_are_visited_alike(hours, count):
    times = evaluation_data.times("1990-01-01", 365, hours)
    chosen = times[instants.choose(times, count)]
    hour = (chosen - chosen.astype("datetime64[D]")).astype("timedelta64[h]").astype(int)
    visits = np.unique(hour, return_counts=True)[1]
    assert len(visits) == min(24, 24 // np.gcd(hours, 24))
    assert visits.max() - visits.min() <= 1
    months = np.unique(chosen.astype("datetime64[M]"), return_counts=True)[1]
    assert len(months) == 12
    assert months.max() - months.min() <= max(3, 0.3 * months.mean())
    # No hour has a season of its own.
    for one in np.unique(hour):
        day = (chosen[hour == one] - times[0]) / np.timedelta64(1, "D")
        assert abs(np.exp(2j * np.pi * day / 365).mean()) < 0.35


def test_times_without_an_order_in_the_day_are_taken_evenly():
    rng = np.random.default_rng(0)
    times = np.datetime64("1990-01-01", "s") + np.sort(rng.choice(86400 * 365, 500, replace=False))
    chosen = instants.choose(times, 50)
    assert len(chosen) == 50
    assert set(np.diff(chosen)) == {10}


def test_halves_are_blocks_of_days_by_turns():
    times = evaluation_data.times(days=60)
    first, second = instants.halves(times)
    assert len(first) + len(second) == len(times)
    assert not set(first) & set(second)
    assert len(np.unique(times[first].astype("datetime64[D]"))) == pytest.approx(30, abs=10)


def test_other_years_are_as_long_as_the_reference_and_the_nearest_come_first():
    others = evaluation_data.times("1980-01-01", 365 * 5 + 2, 24)
    one = instants.years(others, evaluation_data.times("1985-01-01", 365, 24), 3)
    assert [str(others[stretch[0]].astype("datetime64[Y]")) for stretch in one] == ["1984", "1983", "1982"]
    two = instants.years(others, evaluation_data.times("1985-01-01", 730, 24), 3)
    assert [np.unique(others[stretch].astype("datetime64[Y]")).astype(str).tolist() for stretch in two] == [
        ["1983", "1984"],
        ["1981", "1982"],
    ]


def test_months_are_counted_by_the_calendar():
    assert instants.months(evaluation_data.times("1980-12-31", 2, 24)) == 2
