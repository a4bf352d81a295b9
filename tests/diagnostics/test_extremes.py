"""Wet instants, and return values of distributions whose quantiles are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests import analytic_fields
from xr_cbottle.diagnostics import return_values, wet_days
from xr_cbottle.diagnostics.extremes import HOURS_PER_YEAR


def test_wet_days() -> None:
    rain = np.zeros((10, 12))
    rain[:3] = 5 / 86400
    rain[3:5] = 0.5 / 86400
    rain[9] = -2e-6
    rain[8, 1] = -9e-7
    rain[:, 2] = 0
    days = wet_days(analytic_fields.field(rain, analytic_fields.times(10, "1D"), "pr"))
    np.testing.assert_allclose(days.frequency[[0, 2]], [0.3, 0])
    np.testing.assert_allclose(days.intensity[0], 5 / 86400)
    assert days.intensity[2].isnull()
    np.testing.assert_allclose(days.contribution[0], 15 / (16 - 2e-6 * 86400))
    np.testing.assert_allclose(days.negative[:3], [0.1, 0.1, 0])
    assert days.intensity.attrs["units"] == "kg m-2 s-1"


def test_missing_rain_is_not_dry() -> None:
    rain = analytic_fields.field(np.full((4, 12), 1e-3), analytic_fields.times(4, "1D"), "pr")
    rain[2:, 0] = np.nan
    np.testing.assert_array_equal(wet_days(rain).frequency, 1)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_return_values_of_a_pareto_tail(shape: float) -> None:
    """All of these draws lie in a generalised Pareto distribution, whose quantiles scipy knows."""
    count, cells = 1500, 192
    values = stats.genpareto.rvs(shape, scale=3, size=(count, cells), random_state=5)
    periods = [0.01, 0.1, 1]  # in hours: 88, 877 and 8766 instants, the last beyond all of them
    found = return_values(
        analytic_fields.field(values, analytic_fields.times(count)), periods, step="PT1H", tail=0.2, n=0
    )
    exact = stats.genpareto.isf(1 / (np.array(periods) * HOURS_PER_YEAR), shape, scale=3)
    np.testing.assert_allclose(found.value.mean("cell"), exact, rtol=0.06)
    assert list(found.data_vars) == ["value"]
    assert "no persistence" in found.value.attrs["comment"]
    assert found.period.attrs["units"] == "years"


def test_their_error_is_that_of_many_experiments() -> None:
    values = stats.expon.rvs(size=(600, 192), random_state=1)
    found = return_values(analytic_fields.field(values, analytic_fields.times(600)), [0.05], step="1h", n=60)
    assert float(found.standard_error.mean()) == pytest.approx(float(found.value.std()), rel=0.2)
    inside = (found.lower <= found.value) & (found.value <= found.upper)
    assert float(inside.mean()) > 0.8
    again = return_values(analytic_fields.field(values[:, :12], analytic_fields.times(600)), [0.05], step="1h", n=60)
    np.testing.assert_array_equal(again.standard_error, found.standard_error[:, :12])


def test_blocks_know_of_persistence() -> None:
    """Each value is repeated ten times: a tenth of the information, and about sqrt(10) times the error."""
    values = np.repeat(stats.expon.rvs(size=(120, 48), random_state=2), 10, 0)
    field = analytic_fields.field(values, analytic_fields.times(1200))
    errors = [return_values(field, [0.02], step="1h", n=50, block=b).standard_error.mean() for b in (1, 10)]
    assert 2 < errors[1] / errors[0] < 4.5


def test_frequent_values_are_plain_quantiles() -> None:
    field = analytic_fields.noise(analytic_fields.times(400, "1D"))
    found = return_values(field, [10 / 365.25], step="P1D", n=0)
    np.testing.assert_allclose(found.value[0], np.quantile(field.astype(float), 0.9, axis=0))


def test_the_step_sets_the_probability() -> None:
    field = analytic_fields.noise(analytic_fields.times(400, "1D"))
    by_day, by_hour = (return_values(field, [p], step=s, n=0).value for p, s in ((2.4, "1D"), (0.1, "1h")))
    np.testing.assert_allclose(by_day, by_hour.values)


def test_where_it_never_rains() -> None:
    values = np.zeros((100, 12))
    values[:, 1] = np.nan
    values[:50, 2] = 7.0
    found = return_values(analytic_fields.field(values, analytic_fields.times(100), "pr"), [1], step="1h", n=5)
    np.testing.assert_array_equal(found.value[0, :3], [0, np.nan, 7])
    np.testing.assert_array_equal(found.standard_error[0, :2], [0, np.nan])


@pytest.mark.parametrize(
    ("count", "keywords", "message"),
    [
        (39, {}, "give 40 instants at least"),
        (400, {"tail": 0.6}, "fraction up to 0.5"),
        (400, {"step": "0h"}, "each longer than a step"),
        (400, {"periods": [1e-6]}, "each longer than a step"),
        (400, {"block": 401}, "between 1 and 400"),
        (400, {"confidence": 2}, "between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(count: int, keywords: dict, message: str) -> None:
    arguments = {"periods": [1], "step": "1h"} | keywords
    with pytest.raises(ValueError, match=message):
        return_values(analytic_fields.noise(analytic_fields.times(count)), **arguments)
