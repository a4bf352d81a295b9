"""Steered data sets: weights beside the fields, everywhere that draws are read; and odds."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xr_cbottle
from tests import bottles
from xr_cbottle import Cube, events
from xr_cbottle.cli import main
from xr_cbottle.cube import cache
from xr_cbottle.store import CBottleStore

TIMES = ["1980-02-01T00", "1980-03-01T12"]
WARM = events.Guide(events.box("tas", 0, 90, -30, 30, above=290, softness=3), 1.0)
TEXT = "box:variable=tas,west=0,east=90,south=-30,north=30,above=290,softness=3,strength=1"


@pytest.fixture(scope="session")
def bottle(tmp_path_factory):
    path = tmp_path_factory.mktemp("odds") / "small.cbottle"
    return bottles.synthetic_bottle(path, 2, ("T850", "tas", "pr"))


@pytest.fixture(autouse=True)
def _fresh():
    cache.shared().clear()


def test_weights_lie_beside_the_fields(bottle):
    ds = xr.open_dataset(bottle, engine="cbottle", time=TIMES, members=3, guide=WARM)
    assert ds.log_weight.dims == ("member", "time")
    assert len(cache.shared()) == 0
    assert "above=290" in ds.attrs["guide"]
    weights = ds.log_weight.values
    assert (weights != 0).all()
    fields = ds.tas.values
    plain = xr.open_dataset(bottle, engine="cbottle", time=TIMES, members=3)
    assert "log_weight" not in plain
    assert (plain.tas.values != fields).any()
    np.testing.assert_array_equal(ds.log_weight.isel(member=[2, 0], time=1).values, weights[[2, 0], 1])
    dask = xr.open_dataset(bottle, engine="cbottle", time=TIMES, members=3, guide=WARM, chunks={})
    np.testing.assert_allclose(dask.log_weight.values, weights, atol=1e-3)
    np.testing.assert_allclose(dask.tas.isel(time=0).values, fields[:, 0], atol=0.05)
    assert "log_weight" not in xr.open_dataset(bottle, engine="cbottle", guide=WARM, drop_variables="log_weight")


def test_command_line_and_text(bottle, tmp_path):
    expected = xr.open_dataset(bottle, engine="cbottle", time=TIMES, guide=TEXT)
    for name in ("out.zarr", "out.nc"):
        out = tmp_path / name
        assert main(["sample", str(bottle), str(out), "--time", ",".join(TIMES), "--guide", TEXT, "--quiet"]) == 0
        with xr.open_dataset(out, engine="zarr" if out.is_dir() else None) as written:
            np.testing.assert_allclose(written.log_weight.values, expected.log_weight.values, atol=1e-4)
            np.testing.assert_allclose(written.pr.values, expected.pr.values, atol=1e-9)


def test_odds(bottle):
    likely = events.Guide(events.box("tas", 0, 90, -30, 30, above=100, softness=30), 0.1)
    found = xr_cbottle.probability(likely, bottle, TIMES[:1], samples=6, label="a")
    assert float(found.steered.values[0]) == 1
    assert float(found.probability.values[0]) == pytest.approx(float(found.mean_weight.values[0]))
    assert 0 < float(found.effective_samples.values[0]) <= 6
    assert found.attrs["samples"] == 6
    unsteered = xr_cbottle.probability(events.Guide(WARM.event, 0.0), bottle, TIMES[:1], samples=4)
    assert float(unsteered.mean_weight.values[0]) == 1
    assert float(unsteered.effective_samples.values[0]) == pytest.approx(4)


def test_what_is_wrong_is_said_in_a_sentence(bottle):
    with pytest.raises(ValueError, match="guide is for instants"):
        Cube(bottle, guide=WARM, time="P1D", time_method="mean")
    with pytest.raises(ValueError, match="leave guide out"):
        CBottleStore(bottle, time="P1D", guide=WARM)
    with pytest.raises(ValueError, match="guide is 'storm': write it as"):
        Cube(bottle, guide="storm")
    with pytest.raises(TypeError, match="leave zoom out"):
        xr_cbottle.probability(WARM, bottle, TIMES, zoom=1)
    steered = xr.open_dataset(bottle, engine="cbottle", time=TIMES, guide=WARM)
    with pytest.raises(ValueError, match="steered to an event: open the bottle without guide"):
        xr_cbottle.sensitivity(steered.tas)
