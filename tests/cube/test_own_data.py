"""A user's own data translated and filled: lazily, reproducibly, and with what was done in the attributes."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import xarray as xr

import xr_cbottle
from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.grid import healpix

ZOOM = 2
CELLS = healpix.n_cells(ZOOM)
TIMES = np.array(["1980-07-01T06", "1980-01-01", "1981-03-01T06"], "datetime64[ns]")
pytestmark = pytest.mark.filterwarnings("ignore:the data of")


@pytest.fixture(scope="session")
def bottle(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "small.cbottle"
    fine = bottles.fine_specs(4, ("tas", "pr"), overlap=0)
    return bottles.synthetic_bottle(path, ZOOM, ("T850", "T500", "Z500", "tas", "pr", "sst"), superres=fine)


@pytest.fixture(autouse=True)
def _fresh():
    cache.shared().clear()


def own(zoom=ZOOM):
    """tas, ta of one level and geopotential height, as another model might have them; no rain."""
    rng = np.random.default_rng(4)
    anomalies = rng.standard_normal((3, len(TIMES), healpix.n_cells(zoom)))
    ds = xr.Dataset(
        {
            "tas": (("time", "cell"), 13 + 10 * anomalies[0], {"units": "degC"}),
            "ta": (("time", "pressure", "cell"), 280 + 10 * anomalies[1][:, None], {"units": "K"}),
            "zg": (("time", "pressure", "cell"), 5500 + 200 * anomalies[2][:, None].astype("f4"), {"units": "m"}),
        },
        {"time": TIMES, "pressure": ("pressure", [500.0], {"units": "hPa"})},
        {"history": "made by a test"},
    )
    return ds


def holed():
    ds = own()
    ds["zg"] = ds.zg.astype("f4")
    ds.zg[1, 0, 20:90] = np.nan
    ds.tas[0, :50] = np.nan
    for name in ds.data_vars:
        ds[name][2] = np.nan
    return ds


def translated(ds=None, bottle=None, **keywords):
    return xr_cbottle.translate(own() if ds is None else ds, bottle, **{"source": "b", "target": "a", **keywords})


def test_looking_reads_and_draws_nothing(bottle, monkeypatch):
    from xr_cbottle.fields.coarse_fields import Given

    monkeypatch.setattr(Given, "at", None)
    for ds in (translated(bottle=bottle), xr_cbottle.infill(own(), bottle)):
        assert dict(ds.sizes)["cell"] == CELLS
        assert repr(ds)
        assert ds.isel(time=1).tas.attrs["units"] == "K"
        assert ds.nbytes


def test_all_variables_come_out_and_say_what_was_done(bottle):
    ds = translated(bottle=bottle, seed=3, member=2, strength=2.0)
    assert set(ds.data_vars) >= {"tas", "ta", "zg", "pr", "sst", "latent_deviation", "latent_power"}
    assert ds.ta.dims == ("time", "pressure", "cell")
    assert np.isfinite(ds.pr.values).all()
    attrs = ds.attrs
    assert (attrs["label"], attrs["translated_from"], attrs["strength"], attrs["seed"], attrs["member"]) == (
        "a", "b", 2.0, 3, 2
    )  # fmt: skip
    assert attrs["own_variables"] == "T500 Z500 tas"
    first, last = attrs["history"].split("\n")
    assert first == "made by a test"
    assert "translated from b to a by small, turned at noise level 2 (HEALPix zoom 2; " in last
    assert "tas from degC to K" in last
    filled = xr_cbottle.infill(holed(), bottle, label="b")
    assert filled.attrs["label"] == "b"
    assert "missing values drawn by small (HEALPix zoom 2" in filled.attrs["history"]
    np.testing.assert_array_equal(np.isnan(ds.sst.values), np.isnan(filled.sst.values))  # land


def test_what_is_known_comes_out_to_the_last_bit(bottle):
    given = holed()
    ds = xr_cbottle.infill(given, bottle).load()
    assert all(np.isfinite(ds[name].sel(pressure=50000)).all() for name in ("ta", "zg"))
    assert all(np.isfinite(ds[name]).all() for name in ("tas", "pr"))
    height, known = ds.zg.sel(pressure=50000).values, np.isfinite(given.zg.values[:, 0])
    np.testing.assert_array_equal(height[known], given.zg.values[:, 0][known])
    known = np.isfinite(given.tas.values)
    np.testing.assert_array_equal(ds.tas.values[known], (given.tas.values[known] + 273.15).astype("f4"))
    assert 0 < known.sum() < known.size


def test_nothing_known_is_the_plain_draw_and_everything_known_the_data(bottle):
    filled = xr_cbottle.infill(holed(), bottle, seed=5, member=4)
    plain = Cube(bottle, time=[str(TIMES[2])], seed=5, members=[4]).to_dataset()
    np.testing.assert_array_equal(filled.pr.isel(time=2).values, plain.pr.isel(member=0, time=0).values)
    whole = xr_cbottle.infill(filled.drop_vars("sst").load().assign(sst=own().tas.copy()), bottle, seed=8)
    xr.testing.assert_equal(whole.tas.load(), filled.tas.load())
    xr.testing.assert_equal(whole.zg.load(), filled.zg.load())


def test_order_batch_chunks_and_process_do_not_matter(bottle):
    for make in (translated, xr_cbottle.infill):
        expected = make(holed(), bottle=bottle, seed=1)[["tas", "zg"]].compute()
        cache.shared().clear()
        alone = make(holed(), bottle=bottle, seed=1).tas.isel(time=[1, 0]).values
        np.testing.assert_allclose(alone, expected.tas.values[[1, 0]], atol=1e-3)
        cache.shared().clear()
        lazy = make(holed().chunk(time=1), bottle=bottle, seed=1, chunks={"time": 2})
        assert lazy.tas.chunks == ((2, 1), (CELLS,))
        np.testing.assert_allclose(lazy.zg.compute().values, expected.zg.values, atol=1e-2)
        cache.shared().clear()
        again = pickle.loads(pickle.dumps(make(holed(), bottle=bottle, seed=1).tas))
        np.testing.assert_array_equal(again.values, expected.tas.values)
        other = make(holed(), bottle=bottle, seed=2).tas.isel(time=0).values
        assert np.abs(other - expected.tas.values[0])[:50].max() > 1


def test_the_same_data_are_worked_on_once_and_others_are_not_taken_for_them(bottle, tmp_path):
    emulator = Cube(bottle).emulator()
    calls = []
    original = emulator.denoise
    emulator.denoise = lambda *args, **inputs: calls.append(1) or original(*args, **inputs)
    try:
        base = own()
        first = translated(base, bottle, cache_dir=tmp_path).tas.load()
        once = len(calls)
        assert once
        np.testing.assert_array_equal(translated(base.copy(deep=True), bottle).tas.values, first.values)
        cache.shared().clear()
        np.testing.assert_array_equal(translated(base, bottle, cache_dir=tmp_path).tas.values, first.values)
        assert len(calls) == once
        base.tas[0, 0] += 1  # in place: values follow
        changed = translated(base, bottle).tas.load()
        assert len(calls) > once
        assert (changed.values[0] != first.values[0]).any()
        np.testing.assert_array_equal(changed.values[1], first.values[1])
    finally:
        del emulator.denoise


def test_figures_of_the_latent(bottle):
    ds = translated(bottle=bottle, strength=80.0)
    assert ds.latent_power.dims == ("time", "degree")
    deviation = ds.latent_deviation.values
    assert deviation.shape == (3,)
    assert (deviation > 0).all()
    np.testing.assert_array_equal(ds.latent_deviation.isel(time=[2, 0]).values, deviation[[2, 0]])
    assert ds.latent_deviation.isel(time=1).values == deviation[1]
    lazy = translated(bottle=bottle, strength=80.0, chunks={})
    np.testing.assert_array_equal(lazy.latent_power.compute().values, ds.latent_power.values)


@pytest.mark.filterwarnings("error:the data of")
def test_strange_data_are_warned_of(bottle):
    strange = own()
    strange["tas"] = strange.tas + 200
    with pytest.warns(UserWarning, match="the data of 1980-07-01T06:00:00 are strange to small"):
        translated(strange, bottle).tas.isel(time=0).load()


def test_above_the_native_zoom(bottle):
    fine = translated(bottle=bottle, zoom=4)
    assert fine.sizes["cell"] == healpix.n_cells(4)
    values = fine.tas.isel(time=0, cell=slice(0, 20)).values
    assert np.isfinite(values).all()
    coarse = translated(bottle=bottle)
    assert fine.latent_mean.isel(time=0).values == coarse.latent_mean.isel(time=0).values
    assert "zg" not in fine


def test_latitudes_and_longitudes_and_one_time(bottle):
    lat, lon = np.arange(90, -91, -10.0), np.arange(0, 360, 10.0)
    warm = (280 + 20 * np.cos(np.deg2rad(lat))[:, None] + 0 * lon).astype("f4")
    warm[3, 4] = np.nan
    coords = {"latitude": lat, "longitude": lon, "time": TIMES[0]}
    ds = xr.Dataset({"t2m": (("latitude", "longitude"), warm, {"units": "K"})}, coords)
    got = xr_cbottle.infill(ds, bottle)
    assert got.tas.dims == ("cell",)
    assert np.isfinite(got.tas.values).all()
    assert "t2m taken for tas" in got.attrs["history"]


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"source": "c"}, "label is 'c'"),
        ({"strength": 0}, "strength is 0: it must be a positive number"),
        ({"strength": "much"}, "strength is 'much'"),
        ({"member": -1}, "member is -1"),
        ({"ds": own().drop_vars(["tas", "ta", "zg"])}, "the data set has none of the variables of small"),
        ({"ds": own().isel(cell=slice(0, 50))}, "50"),
        ({"ds": own().assign_coords(time=TIMES + np.timedelta64(3650, "D"))}, "give sst= of their times"),
        ({"ds": own(ZOOM - 1)}, "zoom 1 and small takes zoom 2"),
        ({"ds": own().tas}, "small works on is an xarray.Dataset, not DataArray"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_a_sentence(bottle, keywords, says):
    with pytest.raises(ValueError, match=says) as raised:
        translated(bottle=bottle, **keywords)
    assert "\n" not in str(raised.value)


def test_other_wrong_things(bottle):
    with pytest.raises(TypeError, match="unknown keyword label, time: translate takes zoom, seed"):
        translated(bottle=bottle, label="a", time="P1D")
    with pytest.raises(ValueError, match="rounds is 0: it must be an integer from 1 to 32"):
        xr_cbottle.infill(own(), bottle, rounds=0)
    wrong = own()
    wrong.tas.attrs["units"] = "m"
    with pytest.raises(ValueError, match="the units of tas"):
        xr_cbottle.infill(wrong, bottle)


def test_command_line(bottle, tmp_path, capsys):
    from xr_cbottle.cli import main

    holed().to_netcdf(tmp_path / "own.nc")
    holed().chunk(time=1).to_zarr(tmp_path / "own.zarr")
    common = [str(bottle), str(tmp_path / "own.nc"), str(tmp_path / "out.zarr"), "--seed", "1", "--member", "2"]
    assert main(["translate", *common, "--source", "b", "--target", "a", "--strength", "2", "--variables", "tas"]) == 0
    with xr.open_zarr(tmp_path / "out.zarr") as written:
        expected = translated(holed(), bottle, seed=1, member=2, strength=2.0)
        np.testing.assert_allclose(written.tas.values, expected.tas.values, atol=1e-3)
        assert written.attrs["translated_from"] == "b"
        assert list(written.data_vars) == ["tas"]
    assert main(["infill", str(bottle), str(tmp_path / "own.zarr"), str(tmp_path / "out.nc"), "--label", "b"]) == 0
    with xr.open_dataset(tmp_path / "out.nc") as written:
        assert np.isfinite(written.zg.sel(pressure=50000).values).all()
        assert "missing values drawn by small" in written.attrs["history"]
    assert "out.zarr: " in capsys.readouterr().out
    assert main(["translate", *common, "--source", "nowhere"]) == 2
    assert "label is 'nowhere'" in capsys.readouterr().err


def test_an_interrupted_store_is_continued_with_the_same_data_only(bottle, tmp_path, monkeypatch):
    from xr_cbottle.cube import own_data, writer
    from xr_cbottle.cube.keywords import checked

    def write(ds):
        cube = own_data.filled(ds, bottle, checked({"batch_size": 1}, "infill"), label="a")
        how = {"like": own_data.described(cube, cube.lazy_dataset(), ds), "origin": json.dumps(own_data.made_of(cube))}
        return writer.write(cube, tmp_path / "out.zarr", ["tas"], times_per_chunk=1, progress=False, **how)

    original, drawn = writer._draw, []

    def interrupted(cube, names, piece, bar, form):
        drawn.append(piece.times.start)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return original(cube, names, piece, bar, form)

    monkeypatch.setattr(writer, "_draw", interrupted)
    with pytest.raises(KeyboardInterrupt, match="the same command will continue"):
        write(holed())
    other = holed()
    other.tas[2, 3] = 280.0
    with pytest.raises(ValueError, match=r"begun with other settings \(data\)"):
        write(other)
    write(holed())
    assert drawn == [0, 1, 1, 2]
    expected = xr_cbottle.infill(holed(), bottle, label="a", batch_size=1).tas.values
    with xr.open_zarr(tmp_path / "out.zarr") as written:
        np.testing.assert_array_equal(written.tas.values, expected)


def test_likelihood_knows_which_label_drew(bottle):
    """Lazily, for all labels, in any company."""
    plain = Cube(bottle, time=["1980-01-01", "1980-07-01T06"], label="a", seed=3)
    emulator = plain.emulator()
    drawn = emulator.draw(["1980-01-01", "1980-07-01T06"], seed=3, label="a")
    ds = plain.to_dataset().load()
    ds["sst"] = (("time", "cell"), drawn.sel(channel="sst").values, {"units": "K"})
    cache.shared().clear()
    found = xr_cbottle.log_likelihood(ds, bottle, probes=3)
    assert found.log_likelihood.dims == ("label", "time")
    assert found.label.values.tolist() == ["a", "b"]
    assert len(cache.shared()) == 0
    values = found.log_likelihood.values
    assert np.isfinite(values).all()
    assert (found.standard_error.values > 0).all()
    assert (values[0] > values[1]).all()
    alone = xr_cbottle.log_likelihood(ds.isel(time=[1]), bottle, label="b", probes=3).log_likelihood
    np.testing.assert_allclose(alone.values[0, 0], values[1, 1], rtol=1e-4)
    with pytest.raises(ValueError, match="together and the data set has no tas: infill it first"):
        xr_cbottle.log_likelihood(ds.drop_vars("tas"), bottle)
    with pytest.raises(ValueError, match="probes is 0: it must be an integer from 1 to 1000"):
        xr_cbottle.log_likelihood(ds, bottle, probes=0)


def test_what_would_change_nothing_is_not_taken(bottle):
    from xr_cbottle.cli import main

    with pytest.raises(TypeError, match="unknown keyword coherence"):
        xr_cbottle.infill(holed(), bottle, coherence="2D")
    with pytest.raises(SystemExit):
        main(["translate", str(bottle), "in.nc", "out.nc", "--coherence", "2D"])
