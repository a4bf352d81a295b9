"""Earth2Studio's door: its protocol of a data source. Its own ``fetch_data`` is run by examples/tools."""

from __future__ import annotations

import asyncio
from datetime import datetime

import healpy
import numpy as np
import pytest
import xarray as xr

from tests import bottles
from xr_cbottle.earth2studio import BottleData

TIME = np.array(["1980-01-05T00", "1980-01-05T06"], "M8[ns]")


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    path = tmp_path_factory.mktemp("e2s") / "small.cbottle"
    return bottles.synthetic_bottle(path, 2, ("T850", "Z500", "tas", "pres_msl", "uas"))


def test_arrays_are_those_of_the_bottle_in_the_lexicons_units(bottle):
    source = BottleData(bottle, 10.0, batch_size=2)
    made = source(TIME, np.array(["t2m", "t850", "z500", "u10m"]))
    assert made.dims == ("time", "variable", "lat", "lon")
    assert (made.shape, made.dtype) == ((2, 4, 19, 36), np.float32)
    assert made.lat.values[[0, -1]].tolist() == [90, -90]
    ds = xr.open_dataset(bottle, engine="cbottle", batch_size=2).sel(time=TIME[1])
    lon, lat = np.meshgrid(made.lon, made.lat)
    for name, field in {
        "t2m": ds.tas, "t850": ds.ta.sel(pressure=85000), "z500": ds.zg.sel(pressure=50000) * 9.80665, "u10m": ds.uas,
    }.items():  # fmt: skip
        points = healpy.get_interp_val(field.values.astype(float), lon.ravel(), lat.ravel(), nest=True, lonlat=True)
        np.testing.assert_allclose(made.sel(variable=name)[1].values.ravel(), points, rtol=1e-5, atol=1e-4)


def test_one_time_and_one_variable_in_any_form(bottle):
    source = BottleData(bottle, 30.0, batch_size=2)
    made = source(datetime(1980, 1, 5, 6), "msl")
    assert made.shape == (1, 1, 7, 12)
    xr.testing.assert_equal(made, asyncio.run(source.fetch(["1980-01-05T06"], ["msl"])))
    assert source.variables == ["t2m", "msl", "u10m", "t850", "z500"]


@pytest.mark.parametrize(
    ("time", "variable", "says"),
    [("1980-01-05T06", "tp06", "no 'tp06': choose among t2m, msl"), ("2100-01-01", "t2m", "its times go from 1980")],
)
def test_what_is_not_there_is_said(bottle, time, variable, says):
    with pytest.raises(ValueError, match=says):
        BottleData(bottle, 30.0)(time, variable)


def test_what_is_no_source(bottle):
    with pytest.raises(ValueError, match="180 degrees are no whole number of 7"):
        BottleData(bottle, 7.0)
    with pytest.raises(ValueError, match="leave members out"):
        BottleData(bottle, members=2)
