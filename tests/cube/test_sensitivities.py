"""What a kelvin of the sea does: lazily, for any part of a variable, and in agreement with draws of another sea."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xr_cbottle
from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.grid import healpix

TIMES = ["1980-02-01T00", "1980-03-01T12"]
CELLS = healpix.n_cells(2)


@pytest.fixture(scope="session")
def bottle(tmp_path_factory):
    path = tmp_path_factory.mktemp("sensitive") / "small.cbottle"
    return bottles.synthetic_bottle(path, 2, ("T850", "T500", "Z500", "tas", "pr", "sst"))


@pytest.fixture(autouse=True)
def _fresh():
    cache.shared().clear()


def opened(bottle, **keywords):
    return xr.open_dataset(bottle, engine="cbottle", time=TIMES, **keywords)


def test_lazy_and_of_all_members_and_months(bottle):
    ds = opened(bottle, members=2)
    found = xr_cbottle.sensitivity(ds.tas)
    assert found.dims == ("member", "time", "month", "cell")
    assert found.attrs["units"] == "K K-1"
    assert found.name == "tas_sensitivity"
    assert len(cache.shared()) == 0
    values = found.load()
    assert float(abs(values).max()) > 0
    share = values.isel(cell=100) / values.isel(cell=100).sum("month")
    months = found.month.values
    assert months.size == 3
    np.testing.assert_allclose(share.isel(member=0, time=0).values, [15 / 31, 16 / 31, 0], atol=0.01)
    land = bottles.sst_cells(2).sst.isel(time=0).isnull().values
    np.testing.assert_array_equal(np.isnan(values.isel(member=0, time=0, month=0).values), land)


@pytest.mark.parametrize("name", ["tas", "zg"])
def test_it_is_the_difference_that_another_sea_makes(bottle, name):
    """In units of the variable, for levels and cells that are taken from it."""
    step = 0.2

    def mean(change):
        sea = bottles.sst_cells(2)
        sea["sst"] = (sea.sst.astype("f8") + change).assign_attrs(units="K")
        field = opened(bottle, sst=sea, seed=4, label="a")[name]
        field = field.sel(pressure=50000) if "pressure" in field.dims else field
        return field.isel(cell=slice(20, 60))

    numeric = (mean(step).astype("f8").mean("cell") - mean(-step).astype("f8").mean("cell")) / (2 * step)
    found = xr_cbottle.sensitivity(mean(0.0)).sum(["month", "cell"])
    scale = float(abs(numeric).max())
    np.testing.assert_allclose(found.values, numeric.values, atol=0.01 * scale)
    weights = xr.DataArray(np.full(40, 1 / 40), {"cell": np.arange(20, 60)}, ("cell",))
    weighted = xr_cbottle.sensitivity(mean(0.0), weights).sum(["month", "cell"])
    np.testing.assert_allclose(weighted.values, found.values, rtol=1e-5)


def test_parts_chunks_and_coarser_zooms(bottle):
    whole = xr_cbottle.sensitivity(opened(bottle, members=[3, 5]).ta).load()
    dask = xr_cbottle.sensitivity(opened(bottle, members=[3, 5], chunks={}).ta)
    np.testing.assert_array_equal(dask.values, whole.values)
    cache.shared().clear()
    one = xr_cbottle.sensitivity(opened(bottle, members=[3, 5]).ta.sel(member=5).isel(time=[1]))
    assert one.dims == ("time", "month", "cell")
    np.testing.assert_allclose(
        one.sum("month").values, whole.sel(member=5).isel(time=[1]).sum("month").values, atol=1e-6
    )
    coarse = xr_cbottle.sensitivity(opened(bottle, zoom=1, members=[3]).tas)
    fine = xr_cbottle.sensitivity(opened(bottle, members=[3]).tas)
    np.testing.assert_allclose(coarse.values, fine.values, rtol=1e-4, atol=1e-9)


def test_what_is_wrong_is_said_in_a_sentence(bottle):
    ds = opened(bottle)
    daily = xr.open_dataset(bottle, engine="cbottle", time="P1D", time_method="mean")
    ones = xr.DataArray(np.ones(CELLS), dims="cell")
    for call, says in (
        (lambda: xr_cbottle.sensitivity(ds), "takes a variable of a data set of a bottle, not Dataset"),
        (lambda: xr_cbottle.sensitivity(opened(bottle).tas + 1), "does not say what drew it"),
        (lambda: xr_cbottle.sensitivity(daily.tas), "is a mean over time"),
        (lambda: xr_cbottle.sensitivity(ds.tas, ones[:5]), "weights have 5 of cell without a coordinate"),
        (lambda: xr_cbottle.sensitivity(ds.tas, ones.rename(cell="x")), "weights must be a DataArray"),
        (lambda: xr_cbottle.sensitivity(ds.tas, ones * np.nan), "weights have missing values"),
    ):
        with pytest.raises(ValueError, match=says):
            call()
    assert isinstance(Cube(bottle), Cube)
