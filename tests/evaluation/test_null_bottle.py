"""The null bottle: the climatology's mean and spread, each channel's spectrum, and nothing that a network would add."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests import bottles, evaluation_data, forcings
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.harmonics import basis
from xr_cbottle.diagnostics import power_spectrum
from xr_cbottle.evaluation import label_comparison
from xr_cbottle.evaluation.null_bottle import NullBottle, gaussian, spectrum
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.quantity_case import QuantityCase
from xr_cbottle.evaluation.reference import open_stored
from xr_cbottle.evaluation.sampling import Drawing
from xr_cbottle.evaluation.sides import Sides, null_of


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    """A year of a simulation, every five hours."""
    path = tmp_path_factory.mktemp("null") / "sim_1981.nc"
    return open_stored([evaluation_data.write(path, ("tas", "pr", "ta"), evaluation_data.times(days=365, hours=5))])


@pytest.fixture(scope="module")
def drawing(tmp_path_factory):
    """A bottle whose climatology answers to its sea and to CO2."""
    folder = tmp_path_factory.mktemp("bottle")
    return Drawing(open_bottle(forcings.bottle(folder / "small.cbottle")), folder, 2, {}, False)


def test_fields_have_the_mean_the_spread_and_the_spectrum_of_the_years_that_they_are_fitted_to(simulation):
    null = NullBottle.of_years(simulation)
    when = evaluation_data.times("1990-01-01", 365, 13)
    mine, theirs = null.fields(Quantity("tas"), when), evaluation_data.field("tas", when, seed=5)
    np.testing.assert_array_equal(mine["time"], when)
    difference = mine.mean("time") - theirs.mean("time")
    assert float(abs(difference).mean()) < 0.15  # of independent weather of 2 K
    assert float((mine.std("time") / theirs.std("time")).mean()) == pytest.approx(1, abs=0.03)
    weather = [power_spectrum(one - one.mean("time")).sel(degree=slice(1, 5)) for one in (mine, theirs)]
    np.testing.assert_allclose(weather[0] / weather[1], 1, atol=0.3)
    np.testing.assert_array_equal(null.fields(Quantity("tas"), when), mine)


def test_channels_are_independent_of_each_other(simulation):
    null = NullBottle.of_years(simulation)
    when = evaluation_data.times("1990-01-01", 40, 6)
    fields = [null.fields(Quantity("ta", level), when) for level in evaluation_data.LEVELS]
    rows = basis(when, 2, 1).reshape(len(when), -1)
    noise = [one.values - rows @ np.linalg.lstsq(rows, one.values, rcond=None)[0] for one in fields]
    assert abs(np.corrcoef(*(one.ravel() for one in noise))[0, 1]) < 0.05
    assert float(fields[1]["pressure"]) == 85000


def test_a_bottle_with_a_climatology_lends_it(simulation, drawing):
    null = NullBottle.of_bottle(drawing, "b", simulation)
    assert null.about.startswith("the bottle's own climatology")
    known = drawing.bottle.climatology()
    when = evaluation_data.times("1990-01-01", 60, 6)
    # Its mean year, at no anomaly of the sea and the CO2 of reference: nothing is known of this sea.
    mean, spread = dataclasses.replace(known, response=None).at("b", when)
    field = null.fields(Quantity("tas"), when)
    x = (field.values - known.center[0] - known.scale[0] * mean[:, 0]) / (known.scale[0] * spread[:, 0])
    assert abs(x.mean()) < 0.05
    assert x.std() == pytest.approx(1, abs=0.03)
    assert np.isfinite(null.fields(Quantity("pr"), when)).all()


def test_without_a_climatology_and_without_years_there_is_none(simulation, tmp_path):
    bottles.synthetic_bottle(tmp_path / "plain.cbottle", channels=("tas", "pr"))
    drawing = Drawing(open_bottle(tmp_path / "plain.cbottle"), tmp_path, 2, {}, False)
    assert NullBottle.of_bottle(drawing, "a", simulation) is None
    assert NullBottle.of_years(None) is None
    sides = Sides("a", simulation, None, drawing)
    assert null_of(sides) is None
    assert null_of(dataclasses.replace(sides, others=simulation)) is not None


def test_it_stands_in_every_row_and_does_not_change_the_rest(simulation):
    when = evaluation_data.times("1981-01-01", 365, 30)
    reference, bottle = (evaluation_data.field("tas", when, seed=seed) for seed in (1, 2))
    null = NullBottle.of_years(simulation).fields(Quantity("tas"), when)
    case = QuantityCase(Quantity("tas"), "made", bottle, reference, (), None, 4)
    rows, plain = label_comparison.judged(case, null), label_comparison.judged(case)
    assert [dataclasses.replace(row, null=None) for row in rows] == plain
    assert all(row.null is not None for row in rows if not row.reason)
    found = {row.key: row for row in rows}
    assert found["b.rmse.tas"].null_verdict == found["c.standard_deviation.tas"].null_verdict == "met"


def test_noise_has_the_power_that_is_asked_for():
    power = np.r_[0.0, np.full(11, 1.0)]
    power *= 4 * np.pi / ((2 * np.arange(12) + 1) * power).sum()
    fields = gaussian(300, power, 2, 1)
    assert fields.shape == (300, 192)
    assert fields.std() == pytest.approx(1, abs=0.02)
    again = spectrum(fields, 2)
    np.testing.assert_allclose(again[1:6] / power[1:6], 1, atol=0.15)
