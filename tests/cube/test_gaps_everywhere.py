"""Bottles whose labels have no values in some cells, with all else that a bottle can do: states, stations, bounds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xr_cbottle
from tests import bottles
from xr_cbottle import Cube, continue_from
from xr_cbottle.bottle.gaps import Gaps
from xr_cbottle.bottle.records import BridgeSpec, VariableSpec, VideoSpec
from xr_cbottle.bottle.sampler import SamplerDefaults
from xr_cbottle.cube import cache
from xr_cbottle.cube.sensitivities import spread
from xr_cbottle.draw.bridge import Bridge, Ends
from xr_cbottle.draw.emulator import Instant
from xr_cbottle.draw.observing import Operator, visible
from xr_cbottle.draw.video import Video, Window
from xr_cbottle.fields.observations import Observations
from xr_cbottle.grid import healpix
from xr_cbottle.store import CBottleStore

ZOOM = 2
CELLS = healpix.n_cells(ZOOM)
CHANNELS = ("T850", "tas", "pr", "soil")
LON, LAT = healpix.lonlat(ZOOM)
LAND = (LON > 60) & (LON < 180) & (LAT > -30)
"""Where label a has no T850."""
START = np.datetime64("1980-01-01", "s")


@pytest.fixture(scope="module")
def gaps():
    absent = np.zeros((2, len(CHANNELS), CELLS), bool)
    absent[0, 0] = LAND
    return Gaps(("a", "b"), CHANNELS, absent)


@pytest.fixture(scope="module")
def bottle(tmp_path_factory, gaps):
    return bottles.synthetic_bottle(
        tmp_path_factory.mktemp("gappy") / "gappy.cbottle", ZOOM, CHANNELS, gaps=gaps,
        variables={"soil": VariableSpec("kg m-2", "water in the soil")}, nonnegative=("pr",),
        bridge=BridgeSpec("PT6H", "P2D", ("a", "b")),
        video=VideoSpec(4, "PT6H", 2, ("a", "b"), SamplerDefaults(2, 0.02, 10.0)),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh():
    cache.shared().clear()


# States -----------------------------------------------------------------------------------------------------------


def test_states_of_bridge_and_video_are_0_in_gaps_as_those_of_instants_are(bottle):
    """What is drawn there would be told to the network when it draws the next state: it has learnt with 0."""
    emulator = Cube(bottle).emulator()
    bridge, video = Bridge(emulator), Video(emulator)
    first = Instant("a", 0, 0, START)
    (root,) = bridge.roots("a", [first])
    (between,) = bridge.between("a", [first._replace(time=START + 86400)], [Ends(root, root, 86400)])
    (frames,) = video.windows("a", [Window(first, {0: root})])
    for state in (root, between, *frames):
        assert np.abs(state[0, LAND]).max() < 1e-12  # the last step rounds
        assert np.abs(state[0, ~LAND]).min() > 1e-6
        assert np.abs(state[1:]).min() > 1e-7
    (other,) = bridge.between("b", [first._replace(label="b")], [Ends(root, None, 86400)])
    assert np.abs(other[0, LAND]).min() > 1e-6


@pytest.mark.parametrize("coherence", ["bridge", "video"])
def test_readers_find_no_value_in_gaps_in_a_data_set_and_in_a_store(bottle, coherence):
    ds = Cube(bottle, coherence=coherence).to_dataset()
    stored = xr.open_zarr(CBottleStore(bottle, coherence=coherence), chunks=None, consolidated=False)
    for one in (ds, stored):
        ta = one.ta.isel(time=[1, 7])
        np.testing.assert_array_equal(np.isnan(ta.values), np.broadcast_to(LAND, ta.shape))
    np.testing.assert_array_equal(stored.ta.isel(time=7).values, ds.ta.isel(time=7).values)


def test_a_state_goes_on_whatever_it_has_in_gaps(bottle):
    """Also if it has nothing there, as what the bottle itself has drawn."""
    state = Cube(bottle, seed=9).to_dataset().isel(time=40).load()
    assert np.isnan(state.ta.values[0]).sum() == LAND.sum()
    own = continue_from(state, bottle, until="P1D").isel(time=3).tas.values
    full = state.assign(ta=state.ta.fillna(400.0))
    np.testing.assert_array_equal(continue_from(full, bottle, until="P1D").isel(time=3).tas.values, own)
    other = state.assign(ta=state.ta + 40)
    assert not np.array_equal(continue_from(other, bottle, until="P1D").isel(time=3).tas.values, own)
    holed = state.assign(ta=state.ta.where(np.arange(CELLS) != np.flatnonzero(~LAND)[0]))
    with pytest.raises(ValueError, match="the state lacks values of T850: draw them first"):
        continue_from(holed, bottle, until="P1D").tas.isel(time=3).load()


@pytest.mark.filterwarnings("ignore:the data of")
def test_what_a_user_gives_in_gaps_changes_nothing_that_is_filled_or_translated(bottle):
    state = Cube(bottle, seed=9).to_dataset().isel(time=[40]).load()
    full = state.assign(ta=state.ta.fillna(400.0))
    for made in (
        lambda ds: xr_cbottle.infill(ds.drop_vars("tas"), bottle, label="a"),
        lambda ds: xr_cbottle.translate(ds, bottle, source="a", target="b"),
    ):
        found = [made(ds).tas.values for ds in (state, full)]
        np.testing.assert_array_equal(*found)


# Stations -----------------------------------------------------------------------------------------------------------


def stations(lon, lat, variable, value, **columns):
    base = {"time": START + 6 * 3600, "lat": lat, "lon": lon, "variable": variable, "value": value, "error": 1.0}
    return pd.DataFrame({**base, **columns})


SURFACE = stations([0.0, 40.0, 200.0], [10.0, 50.0, -20.0], "tas", [290.0, 280.0, 295.0])


@pytest.mark.parametrize("method", ["diffusion", "enoi"])
def test_what_is_observed_in_gaps_is_left_out(bottle, method):
    """A sonde reports a level that the simulation has below its ground: the rest counts as if it had not."""
    asked = {"draws": 8, "members": None, "method": method, "label": "a"}
    below = stations([120.0, 110.0], [40.0, 45.0], "ta", 250.0, level=850.0)
    plain = xr_cbottle.assimilate(None, SURFACE, bottle, **asked).load()
    both = xr_cbottle.assimilate(None, pd.concat([SURFACE, below]), bottle, **asked).load()
    np.testing.assert_array_equal(both.ta.values, plain.ta.values)
    np.testing.assert_array_equal(both.tas.values, plain.tas.values)
    assert both.observation_count.item() == 3
    assert np.isnan(both.misfit.sel(observed="ta850").values).all()
    told = xr_cbottle.assimilate(None, pd.concat([SURFACE, below]), bottle, **{**asked, "label": "b"})
    assert told.observation_count.item() == 5


def test_a_station_at_the_edge_of_a_gap_sees_the_cells_that_have_values(gaps):
    known = ~gaps.of("a")
    lon, lat = np.meshgrid(np.arange(0, 360, 7.0), np.arange(-60, 61, 8.0))
    count = lon.size
    numbers = (lon.ravel(), lat.ravel(), np.zeros(count), np.ones(count), np.full(count, np.nan))
    observed = Observations(np.arange(count), np.zeros(count, np.int64), *numbers)
    seen = visible(observed, ZOOM, known)
    field = np.where(known[:1], 7.0, 1e9)
    np.testing.assert_allclose(Operator(seen, ZOOM, known).seen(field), 7.0)
    assert (Operator(seen, ZOOM).seen(field) > 1e6).any()  # which see a gap in part
    mostly = healpix.interpolate(known[0].astype(float), ZOOM, lon.ravel(), lat.ravel())
    np.testing.assert_array_equal(seen.seconds, np.flatnonzero(mostly >= 0.5))


def test_a_variable_that_a_bottle_defines_is_observed_like_any_other(bottle):
    soil = stations([0.0, 200.0], [10.0, -20.0], "soil", [0.5, 1.5], error=0.1, units="kg m-2")
    ds = xr_cbottle.assimilate(None, pd.concat([SURFACE, soil]), bottle, draws=8, members=None, label="b",
                               representativeness={"soil": 0.25})  # fmt: skip
    assert ds.attrs["representativeness"] == "soil 0.25 kg m-2"
    assert ds.attrs["observed_variables"] == "tas soil"
    assert np.isfinite(ds.soil.values).all()
    assert float(ds.representativeness_error.sel(observed="soil").squeeze()) == pytest.approx(0.25)


# Sums ---------------------------------------------------------------------------------------------------------------


def test_weights_of_coarse_cells_are_shared_out_as_their_means_are_made():
    rng = np.random.default_rng(0)
    values, known = rng.normal(size=CELLS), rng.random(CELLS) < 0.6
    known[:16] = False  # one coarse cell without any
    weights = rng.normal(size=CELLS // 16)
    means = healpix.coarsen(np.where(known, values, np.nan), 2)
    assert np.nansum(weights * means) == pytest.approx((spread(weights, known, 2) * values)[known].sum())
    assert (spread(weights, known, 2)[~known] == 0).all()
    np.testing.assert_array_equal(spread(weights, np.ones(CELLS, bool), 2), np.repeat(weights, 16) / 16)


@pytest.mark.parametrize("zoom", [ZOOM, ZOOM - 1])
def test_the_sensitivity_of_a_mean_is_that_of_the_cells_with_values(bottle, zoom):
    ds = Cube(bottle, label="a", zoom=zoom, time=["1980-02-01T00"]).to_dataset()
    there = ds.ta.isel(time=0, pressure=0).notnull().load()
    assert 0 < int(there.sum()) < there.size
    weights = (there / there.sum()).drop_vars(["pressure", "time"])
    np.testing.assert_allclose(
        xr_cbottle.sensitivity(ds.ta).values, xr_cbottle.sensitivity(ds.ta, weights).values, rtol=1e-6, atol=1e-9
    )
    none = xr_cbottle.sensitivity(ds.ta, (1.0 - there).drop_vars(["pressure", "time"]))
    assert np.nanmax(np.abs(none.values)) == 0


def test_a_likelihood_of_all_cells_is_refused_where_some_have_none(bottle):
    ds = Cube(bottle, label="b").to_dataset().isel(time=[0]).load()
    with pytest.raises(ValueError, match="and a of gappy lacks T850 in some: choose label='b'"):
        xr_cbottle.log_likelihood(ds, bottle)
    assert np.isfinite(xr_cbottle.log_likelihood(ds, bottle, label="b", probes=1).log_likelihood.values).all()
