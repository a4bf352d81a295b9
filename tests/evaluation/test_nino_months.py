"""Months of Nino 3.4 of both sides: whole records as their means, and few instants of each month of a bottle."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import bottles, evaluation_data
from xr_cbottle import diagnostics
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.evaluation import nino_months
from xr_cbottle.evaluation.null_bottle import NullBottle
from xr_cbottle.evaluation.reference import StoredReference, open_stored
from xr_cbottle.evaluation.sampling import Drawing
from xr_cbottle.evaluation.sides import Sides, null_of

NAMES = ("tas", "pr", "ts")
ALL = evaluation_data.times("1979-07-01", 915, hours=24)  # to the last day of 1981
LAST = np.array(["1982-01-01"], "datetime64[ns]")


@pytest.fixture(scope="module")
def whole():
    """Two years and a half of days, and the stamp that ends them."""
    return evaluation_data.dataset(NAMES, np.concatenate([ALL, LAST]))


@pytest.fixture(scope="module")
def stored(whole, tmp_path_factory):
    """Files of some times of the simulation."""
    folder = tmp_path_factory.mktemp("nino")

    def of(first: str, last: str) -> StoredReference:
        path = folder / f"{first}_{last}.nc"
        if not path.exists():
            whole.sel(time=slice(first, last)).to_netcdf(path)
        return open_stored([str(path)])

    return of


def test_whole_records_are_means_of_all_instants_of_a_month_whoever_has_them(whole, stored):
    """The reference ends in the middle of a month, and the record with a stamp of the next one."""
    known = stored("1980-03-01", "1980-10-01"), stored("1980-10-02", "1982-01-01")
    left = stored("1979-07-01", "1981-12-31")
    found = nino_months.gathered(Sides("", known[0], known[1], left), left, 1, None)
    assert (found.reason, found.null, found.instants) == ("", None, 0)
    mine, theirs = found.months
    for side, first in ((mine, "1979-07"), (theirs, "1980-03")):
        expected = diagnostics.monthly(whole.sel(time=slice(first, "1981-12")))
        for name in ("tas", "pr"):
            np.testing.assert_array_equal(side.fields[name]["time"], expected["time"])
            np.testing.assert_allclose(side.fields[name].values, expected[name].values, rtol=1e-6)
        np.testing.assert_allclose(side.index, diagnostics.nino34(expected), rtol=1e-6)
    assert (mine.years, theirs.years) == (3, 2)


@pytest.fixture(scope="module")
def drawing(tmp_path_factory):
    """A bottle that has 1980 and 1981, every six hours."""
    folder = tmp_path_factory.mktemp("drawing")
    path = bottles.synthetic_bottle(folder / "small.cbottle", channels=("tas", "pr", "sst"))
    return Drawing(open_bottle(path), folder, 2, dict(bottles.QUICK_SAMPLER), progress=False)


def test_a_bottle_is_asked_for_some_instants_of_each_month_that_it_has(stored, drawing):
    reference, others = stored("1980-03-01", "1980-03-31"), stored("1979-07-01", "1981-12-31")
    sides = Sides("a", reference, others, drawing)
    times = reference.times[:4]
    drawn = drawing.draw("a", times)
    found = nino_months.gathered(sides, drawn, 2, null_of(sides))
    assert found.instants == 2 * 24
    mine, theirs = found.months
    assert len(mine.index["time"]) == 24  # none of 1979, which it has not
    assert len(theirs.index["time"]) == 30
    asked = nino_months._times(sides, drawing, 2)
    both = np.union1d(asked, times)
    again = drawing.draw("a", both, ("tas",))
    expected = diagnostics.monthly(again.read(next(one for one in again.quantities if one.name == "tas")))
    np.testing.assert_allclose(mine.fields["tas"].values, expected.values, rtol=1e-4)
    assert isinstance(null_of(sides), NullBottle)
    assert not np.allclose(found.null.fields["tas"].values, mine.fields["tas"].values, atol=1)
    xr.testing.assert_equal(found.null.index, mine.index)  # over the same sea


@pytest.mark.parametrize(
    ("monthly", "drop", "says"), [(0, (), "it was left out"), (1, ("ts",), "3.4 needs one of sst, tos, ts")]
)
def test_without_months_it_is_said_why(whole, tmp_path, monthly, drop, says):
    whole.isel(time=slice(0, 40)).drop_vars(drop).to_netcdf(tmp_path / "few.nc")
    left = open_stored([str(tmp_path / "few.nc")])
    found = nino_months.gathered(Sides("", left, None, left), left, monthly, None)
    assert found.months is None
    assert says in found.reason


def test_the_null_bottle_is_of_the_climatology_else_of_other_years_else_there_is_none(stored, drawing):
    year, few = stored("1979-07-01", "1981-12-31"), stored("1980-03-01", "1980-03-31")
    assert null_of(Sides("", few, None, few)) is None
    assert null_of(Sides("", few, few, few)) is None
    assert null_of(Sides("a", few, year, drawing)).simulation is year  # a bottle without a climatology
