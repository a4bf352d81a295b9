"""Stations into an ensemble of globes: lazily, reproducibly, and with what was done in the attributes."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xr_cbottle
from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.draw import denoising_errors
from xr_cbottle.grid import healpix

ZOOM = 2
CELLS = healpix.n_cells(ZOOM)
TIMES = np.array(["1980-07-01T06", "1980-01-01"], "datetime64[ns]")


@pytest.fixture(scope="session")
def bottle(tmp_path_factory):
    path = tmp_path_factory.mktemp("stations") / "small.cbottle"
    fine = bottles.fine_specs(4, ("tas", "pr"), overlap=0)
    return bottles.synthetic_bottle(path, ZOOM, ("T850", "T500", "tas", "pr", "sst"), superres=fine)


@pytest.fixture(autouse=True)
def _fresh():
    cache.shared().clear()


def stations(times=TIMES, **columns):
    rng = np.random.default_rng(2)
    parts = []
    for time in times:
        lon, lat = rng.uniform(-180, 180, 12), rng.uniform(-80, 80, 12)
        value = 290 - 0.4 * np.abs(lat)
        base = {"time": time, "lat": lat, "lon": lon, "variable": "tas", "value": value, "error": 1.0}
        parts.append(pd.DataFrame({**base, **columns}))
    return pd.concat(parts, ignore_index=True)


def analysis(bottle, observations=None, background=None, **keywords):
    given = stations() if observations is None else observations
    asked = {"draws": 8, "members": 3, "seed": 1, **keywords}
    return xr_cbottle.assimilate(background, given, bottle, **asked)


def test_looking_draws_nothing(bottle, monkeypatch):
    monkeypatch.setattr(denoising_errors, "get", None)
    ds = analysis(bottle)
    assert dict(ds.sizes) == {"member": 3, "time": 2, "pressure": 2, "cell": CELLS, "observed": 1}
    assert repr(ds)
    assert ds.nbytes
    assert ds.isel(member=1).tas.attrs["units"] == "K"


def test_an_ensemble_comes_out_and_says_what_was_done(bottle):
    aloft = stations(TIMES[:1], variable="ta", level=850.0, value=280.0)
    ds = analysis(bottle, pd.concat([stations(), aloft], ignore_index=True), label="b", errors={"tas": 1.0})
    np.testing.assert_array_equal(ds.time.values, np.sort(TIMES))
    assert ds.ta.dims == ("member", "time", "pressure", "cell")
    assert ds.tas.std("member").mean() > 0
    assert ds.observed.values.tolist() == ["ta850", "tas"]
    np.testing.assert_array_equal(ds.observation_count.values, [[12, 24]] * 3)
    assert np.isnan(ds.misfit.sel(observed="ta850").values[:, 0]).all()
    assert np.isfinite(ds.misfit.sel(observed="tas").values).all()
    assert (ds.representativeness_error.sel(observed="tas") > 0).all()
    attrs = ds.attrs
    assert (attrs["label"], attrs["method"], attrs["draws"], attrs["seed"]) == ("b", "diffusion", 8, 1)
    assert attrs["observed_variables"] == "ta850 tas"
    assert attrs["representativeness"] == "estimated, see representativeness_error"
    assert (
        "observations assimilated by small, draws given what is observed (36 observations of 2 times)"
        in attrs["history"]
    )
    said = analysis(bottle, representativeness={"tas": 2.0}).attrs["representativeness"]
    assert said == "tas 2 K"
    assert analysis(bottle, representativeness=0).attrs["representativeness"] == "none"


@pytest.mark.parametrize("method", ["diffusion", "enoi"])
def test_order_batch_chunks_and_process_do_not_matter(bottle, method):
    expected = analysis(bottle, method=method).tas.load()
    cache.shared().clear()
    alone = analysis(bottle, method=method, members=[2]).tas.isel(member=0, time=[1]).values
    np.testing.assert_allclose(alone, expected.values[2, [1]], atol=1e-2)
    cache.shared().clear()
    lazy = analysis(bottle, method=method, chunks={})
    assert lazy.tas.chunks[0] == (2, 1)
    np.testing.assert_allclose(lazy.tas.compute().values, expected.values, atol=1e-2)
    cache.shared().clear()
    again = pickle.loads(pickle.dumps(analysis(bottle, method=method).tas))
    np.testing.assert_array_equal(again.values, expected.values)
    single = analysis(bottle, method=method, members=None)
    assert single.tas.dims == ("time", "cell")
    np.testing.assert_allclose(single.tas.isel(time=0).values, expected.values[0, 0], atol=1e-2)


def test_the_same_observations_are_worked_on_once_and_others_are_not_taken_for_them(bottle, tmp_path):
    denoising_errors._made.clear()  # what is in memory is not put into the folder
    first = analysis(bottle, cache_dir=tmp_path).tas.isel(time=1).load()
    emulator = Cube(bottle).emulator()
    calls = []
    original = emulator.denoise
    emulator.denoise = lambda *args, **inputs: calls.append(1) or original(*args, **inputs)
    try:
        cache.shared().clear()
        denoising_errors._made.clear()
        again = analysis(bottle, cache_dir=tmp_path).tas.isel(time=1)
        np.testing.assert_array_equal(again.values, first.values)
        assert not calls
        other = stations()
        other.loc[other.index[0], "value"] += 5  # of July
        changed = analysis(bottle, other, cache_dir=tmp_path).tas
        assert (changed.isel(time=1).values != first.values).any()
        assert len(calls) == 1  # the samples of errors are in the folder
        before = len(calls)
        same = analysis(bottle, cache_dir=tmp_path).tas.isel(time=0)
        np.testing.assert_array_equal(changed.isel(time=0).values, same.values)
        assert len(calls) == before + 1
    finally:
        del emulator.denoise


def test_times_windows_and_backgrounds(bottle):
    late = stations(TIMES[:1] + np.timedelta64(20, "m"))
    ds = analysis(bottle, late, time="1980-07-01T06")
    np.testing.assert_array_equal(ds.time.values, TIMES[:1])
    assert ds.observation_count.values[0, 0] == 12
    plain = Cube(bottle, time=["1980-07-01T06"], seed=1, members=[0]).to_dataset()
    first = plain.isel(member=0).load()
    near = analysis(bottle, late, first, method="enoi", strength=0.05, members=[1])
    assert near.attrs["strength"] == 0.05
    assert near.attrs["own_variables"] == "T850 T500 tas pr sst"
    change = np.abs(near.tas.values - first.tas.values).mean()
    assert 0 < change < np.abs(analysis(bottle, late).tas.values[1] - first.tas.values).mean()
    with pytest.raises(ValueError, match="the background has no field of 1980-01-01T00:00:00"):
        analysis(bottle, late, first, time="1980-01-01")


def test_above_the_native_zoom(bottle):
    fine = analysis(bottle, zoom=4, members=1)
    assert fine.sizes["cell"] == healpix.n_cells(4)
    assert np.isfinite(fine.tas.isel(time=0, cell=slice(0, 4)).values).all()


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"label": "c"}, "label is 'c'"),
        ({"method": "4dvar"}, "method is '4dvar': choose one of diffusion, enoi"),
        ({"draws": 3}, "draws is 3: it must be an integer from 8 to 1024"),
        ({"members": 0}, "members is 0: give how many"),
        ({"window": "long"}, "window is 'long': give a duration of at most a day"),
        ({"time": "noon"}, "time is 'noon': give one time or a list"),
        ({"time": "1980-03-01"}, "nothing was observed within 1800 s of the times of the analysis"),
        ({"representativeness": "some"}, "representativeness is 'some': choose 'estimated'"),
        ({"representativeness": {"snow": 1}}, r"representativeness\['snow'\] is 1: give errors of at least 0"),
        ({"background": stations()}, "small works on is an xarray.Dataset, not DataFrame"),
        ({"observations": stations(lat=91.0)}, "24 of 24 observations lie outside the globe"),
        ({"observations": stations(error=np.nan)}, "24 observations of tas have no error"),
        ({"observations": stations(TIMES + np.timedelta64(3650, "D"))}, "give sst= of their times"),
        ({"observations": stations(variable="psl", value=1e5)}, "small has no variable 'psl' that is observed"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_a_sentence(bottle, keywords, says):
    with pytest.raises(ValueError, match=says) as raised:
        analysis(bottle, **keywords)
    assert "\n" not in str(raised.value)


def test_unknown_keywords_are_refused(bottle):
    with pytest.raises(TypeError, match="unknown keyword guide: assimilate takes zoom, seed"):
        analysis(bottle, guide=None)


def test_command_line(bottle, tmp_path, capsys):
    from xr_cbottle.cli import main

    stations().drop(columns="error").to_csv(tmp_path / "seen.csv", index=False)
    common = [str(bottle), str(tmp_path / "seen.csv"), str(tmp_path / "out.zarr"), "--draws", "8", "--seed", "1"]
    asked = ["--members", "2", "--representativeness", "0", "--variables", "tas", "--quiet"]
    assert main(["assimilate", *common, *asked]) == 2
    assert "24 observations of tas have no error" in capsys.readouterr().err
    assert main(["assimilate", *common, *asked, "--errors", "tas=1"]) == 0
    with xr.open_zarr(tmp_path / "out.zarr") as written:
        expected = analysis(bottle, members=2, representativeness=0)
        np.testing.assert_allclose(written.tas.values, expected.tas.values, atol=1e-2)
        assert written.attrs["observed_variables"] == "tas"
        assert written.attrs["representativeness"] == "none"
    with pytest.raises(SystemExit):
        main(["assimilate", *common, "--errors", "tas"])
    assert "are no errors: write NAME=NUMBER" in capsys.readouterr().err
