"""The cube: a value does not depend on how it is asked for, and one instant is drawn once. On a real small bottle."""

from __future__ import annotations

import asyncio
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import dask
import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize

from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.fields import channels
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix

FOUR = ["ta", "tas", "pr", "sst"]
SIXTEEN = slice(5, 21)  # not at the edges of batches of 8


@pytest.fixture(scope="session")
def bottle(tmp_path_factory):
    return bottles.synthetic_bottle(tmp_path_factory.mktemp("cube") / "small.cbottle")


@pytest.fixture(autouse=True)
def empty_cache():
    cache.shared().clear()


@pytest.fixture
def drawn(bottle):
    """How many instants were drawn since the test began."""
    emulator = Cube(bottle).emulator()
    before = emulator.drawn
    return lambda: emulator.drawn - before


@pytest.fixture
def ahead(bottle):
    """How many were drawn in places of a batch that would have been empty."""
    emulator = Cube(bottle).emulator()
    before = emulator.ahead
    return lambda: emulator.ahead - before


@pytest.fixture(scope="session")
def truth(bottle):
    """The first 32 instants."""
    return Cube(bottle).to_dataset().isel(time=slice(0, 32)).compute()


def same_bits(a, b):
    xr.testing.assert_equal(a, b)  # NaN equals NaN


def close(a, b):
    """Within 1e-4 of the scale of each variable."""
    for name in a.data_vars:
        scale = float(a[name].std()) or 1.0
        np.testing.assert_allclose(a[name].values, b[name].values, rtol=0, atol=1e-4 * scale, err_msg=name)


# What is drawn ---------------------------------------------------------------------------------------------


def test_looking_draws_nothing(bottle, drawn):
    ds = Cube(bottle).to_dataset()
    for look in (
        ds,
        ds.isel(time=[1, 2]),
        ds.sel(time="1980-03"),
        ds.chunk(time=4),
        Cube(bottle).to_dataset(chunks={}),
    ):
        assert "ta" in repr(look)
        assert look._repr_html_()
        assert look.nbytes > 0
        assert look.copy().sizes["cell"] == 192
        pickle.loads(pickle.dumps(look))
        look.copy(deep=True)
        assert look.tas.isel(time=0).sel(cell=3).attrs["units"] == "K"
    assert tokenize(ds.chunk(time=4)) == tokenize(Cube(bottle).to_dataset().chunk(time=4))
    assert drawn() == 0


def test_load_draws_each_instant_once(bottle, drawn):
    Cube(bottle).to_dataset()[FOUR].isel(time=SIXTEEN).load()
    assert drawn() == 16


def test_one_variable_after_the_other(bottle, drawn):
    ds = Cube(bottle).to_dataset().isel(time=SIXTEEN)
    for name in FOUR:
        ds[name].values  # noqa: B018
    for i in range(16):
        ds.ua.isel(time=i).values  # noqa: B018
    assert drawn() == 16


def test_to_zarr(bottle, drawn, tmp_path, truth):
    Cube(bottle).to_dataset()[FOUR].isel(time=SIXTEEN).to_zarr(tmp_path / "a.zarr", consolidated=False)
    assert drawn() == 16
    same_bits(xr.open_zarr(tmp_path / "a.zarr", consolidated=False).compute(), truth[FOUR].isel(time=SIXTEEN))


@pytest.mark.parametrize("chunks", [{}, {"time": 1}, {"time": 3}, {"time": 16}, "auto", 5])
def test_the_graph_draws_each_instant_once_without_any_cache(bottle, drawn, tmp_path, truth, chunks):
    ds = Cube(bottle, cache_size=0).to_dataset(chunks=chunks)
    ds[FOUR].isel(time=SIXTEEN).to_zarr(tmp_path / "a.zarr", consolidated=False)
    assert drawn() == 16
    got = xr.open_zarr(tmp_path / "a.zarr", consolidated=False).compute()
    same_bits(got, truth[FOUR].isel(time=SIXTEEN))
    means = [ds[name].isel(time=slice(8)).mean() for name in FOUR]
    dask.compute(*means)
    assert drawn() == 24


def test_threads_share(bottle, drawn, ahead, truth):
    ds = Cube(bottle, time=truth.time.values[:16]).to_dataset()
    rng = np.random.default_rng(1)
    requests = [(FOUR[i % 4], np.sort(rng.choice(16, 9, replace=False))) for i in range(24)]

    def read(request):
        name, times = request
        return ds[name].isel(time=times).values

    with ThreadPoolExecutor(8) as pool:
        for (name, times), values in zip(requests, pool.map(read, requests), strict=True):
            np.testing.assert_array_equal(values, truth[name].isel(time=times).values)
    assert drawn() + ahead() == len(set(np.concatenate([times for _, times in requests])))


def test_fancy_indices_draw_what_they_touch(bottle, drawn, truth):
    ds = Cube(bottle).to_dataset()[FOUR]
    times, cells = [3, 1, 14, 1], [7, 0, 191, 50]
    points = {"time": xr.DataArray(times, dims="points"), "cell": xr.DataArray(cells, dims="points")}
    for index in (
        points,
        {"time": times, "cell": cells},
        {"time": slice(14, None, -13), "cell": slice(None, None, -1)} | {"time": slice(14, 0, -13)},
        {"time": 3, "cell": 5},
        {"time": [3], "cell": []},
    ):
        same_bits(ds.isel(index).compute(), truth[FOUR].isel(index))
    assert drawn() == 3
    assert ds.ta.isel(time=[], cell=[1]).values.shape == (0, 2, 1)
    assert drawn() == 3


def test_async_loading_shares_too(bottle, drawn, truth):
    async def both():
        ds = Cube(bottle).to_dataset()[FOUR].isel(time=SIXTEEN)
        other = Cube(bottle).to_dataset()[FOUR].isel(time=SIXTEEN)
        return await asyncio.gather(ds.load_async(), other.load_async())

    for ds in asyncio.run(both()):
        same_bits(ds, truth[FOUR].isel(time=SIXTEEN))
    assert drawn() == 16


def test_disk_tier(bottle, drawn, tmp_path, truth):
    def read(**keywords):
        return (
            Cube(bottle, cache_size=0, cache_dir=tmp_path / "kept", **keywords)
            .to_dataset()
            .isel(time=SIXTEEN)
            .tas.load()
        )

    read()
    assert drawn() == 16
    np.testing.assert_array_equal(read().values, truth.tas.isel(time=SIXTEEN).values)
    assert drawn() == 16
    files = sorted((tmp_path / "kept").rglob("*.npy"))
    assert len(files) == 16
    files[3].write_bytes(files[3].read_bytes()[:-7])
    np.testing.assert_array_equal(read().values, truth.tas.isel(time=SIXTEEN).values)
    assert drawn() == 17
    read(num_steps=2)
    assert drawn() == 17  # by another emulator: other settings do not take these
    assert len(list((tmp_path / "kept").rglob("*.npy"))) == 32


def test_too_many_at_once(bottle, drawn):
    ds = Cube(bottle, max_instants=10, members=3).to_dataset()
    with pytest.raises(ValueError, match=r"takes 12 instants to draw and max_instants is 10: read fewer.*chunks=\{\}"):
        ds.tas.isel(time=slice(4)).load()
    ds.tas.isel(time=slice(3)).load()
    days = Cube(bottle, max_instants=10, time="P1D", time_method="mean").to_dataset()
    with pytest.raises(ValueError, match="takes 12 instants"):
        days.tas.isel(time=slice(3)).load()
    assert Cube(bottle, max_instants=10).to_dataset(chunks={"time": 40}).tas.isel(time=slice(40)).compute().size


def test_progress(bottle, capsys):
    Cube(bottle, progress=True).to_dataset().tas.isel(time=slice(17)).load()
    assert "drawing" in capsys.readouterr().err
    for keywords, n in (({"progress": False}, 20), ({}, 20), ({"progress": True}, 8)):
        cache.shared().clear()
        Cube(bottle, **keywords).to_dataset().tas.isel(time=slice(n)).load()
        assert capsys.readouterr().err == ""


def test_an_error_while_drawing_reaches_the_reader_and_passes(bottle, monkeypatch):
    ds = Cube(bottle, num_steps=4).to_dataset()
    emulator = Cube(bottle, num_steps=4).emulator()
    with monkeypatch.context() as patch:
        patch.setattr(emulator, "draw_instants", lambda instants: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ds.tas.isel(time=0).load()
    assert np.isfinite(ds.tas.isel(time=0).values).all()


# What it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunks", [None, {"time": 1}, {"time": 3}, {"time": 16}, {"time": 16, "cell": 48, "pressure": 1}]
)
def test_chunks_do_not_matter(bottle, truth, chunks):
    ds = Cube(bottle).to_dataset().isel(time=slice(0, 16))
    ds = ds.chunk(chunks) if chunks else ds
    same_bits(ds.compute(), truth.isel(time=slice(0, 16)))


def test_order_does_not_matter(bottle, truth):
    ds = Cube(bottle).to_dataset()
    for i in reversed(range(16)):
        same_bits(ds.isel(time=i).compute(), truth.isel(time=i))
    cache.shared().clear()
    same_bits(ds.isel(time=slice(15, None, -1)).compute(), truth.isel(time=slice(15, None, -1)))


def test_alone_or_in_company(bottle, truth):
    ds = Cube(bottle).to_dataset()
    for i in (0, 7, 13):
        cache.shared().clear()
        same_bits(ds.isel(time=i, cell=[3, 100]).compute(), truth.isel(time=i, cell=[3, 100]))


def test_another_batch_is_close(bottle, truth):
    close(Cube(bottle, batch_size=3).to_dataset().isel(time=slice(0, 5)).compute(), truth.isel(time=slice(0, 5)))


def test_steps_do_not_matter(bottle, truth):
    days = Cube(bottle, time="P1D").to_dataset()
    same_bits(days.isel(time=slice(0, 4)).compute(), truth.isel(time=slice(0, 16, 4)))
    listed = Cube(bottle, time=truth.time.values[[9, 2]]).to_dataset()
    same_bits(listed.compute(), truth.isel(time=[9, 2]))
    part = Cube(bottle, time=slice("1980-01-02", "1980-01-03")).to_dataset()
    same_bits(part.compute(), truth.sel(time=slice("1980-01-02", "1980-01-03")))


def test_coarser_zooms_are_means(bottle, truth):
    for zoom in (1, 0):
        got = Cube(bottle, zoom=zoom).to_dataset().isel(time=slice(0, 3)).compute()
        finer = Cube(bottle, zoom=zoom + 1).to_dataset().isel(time=slice(0, 3)).compute()
        expected = finer.drop_vars(["cell_ids", "crs"]).coarsen(cell=4).mean()
        assert got.sizes["cell"] == healpix.n_cells(zoom)
        for name in got.data_vars:
            np.testing.assert_allclose(
                got[name].values, expected[name].values, rtol=1e-6, atol=1e-6 * float(abs(expected[name]).max())
            )
    points = {"time": xr.DataArray([0, 2], dims="x"), "cell": xr.DataArray([47, 1], dims="x")}
    one = Cube(bottle, zoom=1).to_dataset()
    same_bits(one.isel(points).compute(), one.isel(time=slice(0, 3)).compute().isel(points))


def test_means_are_means_of_the_instants_before(bottle, truth, drawn):
    days = Cube(bottle, time="P1D", time_method="mean").to_dataset()
    got = days.isel(time=slice(0, 8)).compute()
    expected = truth.drop_vars("crs").resample(time="1D", label="right").mean()
    close(got.drop_vars("crs"), expected)
    np.testing.assert_array_equal(got.time.values, expected.time.values)
    assert days.tas.attrs["cell_methods"] == "time: mean"
    assert days.attrs["instants_per_value"] == 4
    assert drawn() == 32
    cache.shared().clear()
    same_bits(days.isel(time=[6]).compute(), got.isel(time=[6]))
    chunked = Cube(bottle, time="P1D", time_method="mean", cache_size=0).to_dataset(chunks={})
    assert chunked.tas.chunks[0][0] == 1
    same_bits(chunked.isel(time=slice(0, 8)).compute(), got)


def test_other_noise_is_other_weather(bottle, truth):
    one = truth.isel(time=[0])
    base = Cube(bottle, members=[0], seed=0, label="a").to_dataset().isel(time=[0]).compute()
    same_bits(base.isel(member=0, drop=True), one)
    for keywords in ({"seed": 1}, {"seed": 2**40}, {"label": "b"}, {"members": [1]}):
        other = Cube(bottle, **keywords).to_dataset().isel(time=[0]).compute()
        other = other.isel(member=0, drop=True) if "member" in other.dims else other
        for name in one.data_vars:
            a, b = one[name].values, other[name].values
            valid = np.isfinite(a)
            assert np.mean(np.abs(a - b)[valid]) > 0.01 * np.std(a[valid]), (keywords, name)
    assert not np.allclose(truth.tas[0], truth.tas[1])


def test_members(bottle, truth, drawn):
    ds = Cube(bottle, members=3).to_dataset()
    assert ds.tas.dims == ("member", "time", "cell")
    assert ds.ta.dims == ("member", "time", "pressure", "cell")
    assert ds.member.values.tolist() == [0, 1, 2]
    assert ds.member.attrs["standard_name"] == "realization"
    got = ds.isel(time=slice(0, 4)).compute()
    assert drawn() == 12
    same_bits(got.isel(member=0, drop=True), truth.isel(time=slice(0, 4)))
    picked = Cube(bottle, members=[2, 0]).to_dataset().isel(time=slice(0, 4)).compute()
    same_bits(picked, got.isel(member=[2, 0]))
    for chunks in ({}, {"member": 2, "time": 3}):
        chunked = Cube(bottle, members=3, cache_size=0).to_dataset(chunks=chunks)
        same_bits(chunked.isel(time=slice(1, 4)).compute(), got.isel(time=slice(1, 4)))


def test_in_other_processes(bottle, truth, tmp_path):
    from distributed import Client, LocalCluster

    ds = Cube(bottle).to_dataset(chunks={"time": 3})[FOUR].isel(time=slice(0, 16))
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        got = client.compute(ds, sync=True)
        lazy = Cube(bottle).to_dataset()
        parts = client.gather(client.map(lambda i: lazy.tas.isel(time=i).values, [4, 11]))
    close(got, truth[FOUR].isel(time=slice(0, 16)))
    for i, part in zip([4, 11], parts, strict=True):
        np.testing.assert_allclose(part, truth.tas.values[i], atol=1e-4 * float(truth.tas.std()))


def test_channels_become_variables(bottle, truth):
    cube = Cube(bottle)
    raw = cube.emulator().draw(truth.time.values[:2], label="a")
    np.testing.assert_array_equal(truth.ta.isel(time=slice(0, 2)).sel(pressure=85000), raw.sel(channel="T850"))
    np.testing.assert_array_equal(truth.ta.isel(time=slice(0, 2)).sel(pressure=50000), raw.sel(channel="T500"))
    np.testing.assert_allclose(
        truth.zg.isel(time=0).sel(pressure=50000) * channels.GRAVITY, raw.sel(channel="Z500")[0], rtol=1e-6
    )
    assert np.isnan(truth.zg.sel(pressure=85000)).all()
    assert np.isnan(truth.ua.sel(pressure=50000)).all()


def test_sea_variables_are_missing_over_land(bottle, truth):
    land = np.isnan(bottles.sst_cells(2).sst.values[0])
    assert 0 < land.sum() < 192
    np.testing.assert_array_equal(np.isnan(truth.sst.values), np.broadcast_to(land, (32, 192)))
    for name in ("ta", "tas", "pr", "rlut", "ua"):
        known = truth[name].dropna("pressure", how="all") if "pressure" in truth[name].dims else truth[name]
        assert np.isfinite(known.values).all()


def test_users_own_sst(bottle, truth, tmp_path):
    own = bottles.sst_cells(2, "2050-01-01", 3)
    warm = Cube(bottle, sst=own + 4).to_dataset()
    assert warm.time.values[[0, -1]].tolist() == np.array(["2050-01-01", "2050-03-31T18"], "datetime64[ns]").tolist()
    assert warm.attrs["sst"].startswith("the user's, sha256:")
    path = tmp_path / "sst.nc"
    (own + 4).to_netcdf(path)
    from_file = Cube(bottle, sst=str(path))
    same_bits(from_file.to_dataset().isel(time=[3]).compute(), warm.isel(time=[3]).compute())
    assert len(pickle.dumps(from_file)) < 10_000
    again = pickle.loads(pickle.dumps(from_file)).to_dataset()
    same_bits(again.isel(time=[3]).compute(), warm.isel(time=[3]).compute())
    cold = Cube(bottle, sst=own).to_dataset()
    assert abs(cold.tas.isel(time=3) - warm.tas.isel(time=3)).max() > 0
    made = SeaSurfaceTemperature.from_dataset(own, 2)
    same_bits(Cube(bottle, sst=made).to_dataset().isel(time=[3]).compute(), cold.isel(time=[3]).compute())
    with pytest.raises(ValueError, match="brought to zoom 1 and the bottle's is 2"):
        Cube(bottle, sst=SeaSurfaceTemperature.from_dataset(own, 1))
    with pytest.raises(ValueError, match="out of range: there are 2050-01-01T00:00"):
        Cube(bottle, sst=own, time="1980-01-01")


# Tokens, pickles, graphs -----------------------------------------------------------------------------------


def test_pickles_are_small_and_work(bottle, truth):
    cube = Cube(bottle, members=2, time="PT12H")
    assert len(pickle.dumps(cube)) < 2000
    ds = cube.to_dataset()
    assert len(pickle.dumps(ds.tas.variable)) < 10_000
    again = pickle.loads(pickle.dumps(ds.tas)).isel(member=0, time=slice(0, 2)).compute()
    np.testing.assert_array_equal(again.values, truth.tas.values[[0, 2]])
    loaded = pickle.dumps(truth.tas.variable)
    assert b"xr_cbottle" not in loaded


def test_tokens_are_of_the_content(bottle, tmp_path):
    def of(path=bottle, **keywords):
        return tokenize(Cube(path, **keywords).to_dataset(chunks={}))

    assert of() == of()
    copy = tmp_path / bottle.name
    copy.write_bytes(bottle.read_bytes())
    assert tokenize(Cube(copy)) == tokenize(Cube(bottle))
    assert Cube(copy).to_dataset(chunks={}).tas.data.name == Cube(bottle).to_dataset(chunks={}).tas.data.name
    changes = [
        dict(seed=1), dict(label="b"), dict(zoom=1), dict(members=1), dict(members=2), dict(time="P1D"),
        dict(num_steps=2), dict(sigmas=[80.0, 2.0, 0.02]), dict(sigmas=[80.0, 2.1, 0.02]),
        dict(sigma_max=70.0), dict(sigma_min=0.03), dict(time="P1D", time_method="mean"), dict(batch_size=3),
        dict(sst=bottles.sst_cells(2)), dict(precision="bfloat16"),
    ]  # fmt: skip
    tokens = {tokenize(Cube(bottle, **change)) for change in changes}
    assert len(tokens | {tokenize(Cube(bottle))}) == len(changes) + 1
    for free in (dict(cache_size=0), dict(max_instants=5), dict(progress=False), dict(cache_dir=tmp_path)):
        assert tokenize(Cube(bottle, **free)) == tokenize(Cube(bottle))


def test_chunks_of_the_graph(bottle):
    cube = Cube(bottle, members=3)
    assert cube.to_dataset(chunks={}).ta.chunks == ((1,) * 3, (4,) * 731, (2,), (192,))
    assert cube.to_dataset(chunks={"time": 1000, "member": -1}).tas.chunks == ((3,), (1000, 1000, 924), (192,))
    assert cube.to_dataset(chunks={"time": 10**6, "cell": -1}).tas.chunks == ((1,) * 3, (2924,), (192,))
    for chunks in (
        {"cell": 4},
        {"time": 0},
        {"time": 2.5},
        {"x": 1},
        "all",
        True,
        [1],
        {"time": True},
    ):
        with pytest.raises(ValueError, match=r"give \{\}, a number of times, or"):
            cube.to_dataset(chunks=chunks)


def test_chunked_data_sets_are_ordinary(bottle, truth):
    ds = Cube(bottle, cache_size=0).to_dataset(chunks={})
    part = ds.isel(time=slice(3, 30)).isel(time=slice(2, None)).sel(time=slice("1980-01-02T06", "1980-01-05T03"))
    expected = truth.isel(time=slice(5, 17))
    assert part.tas.chunks[0] == (4, 4, 4)
    same_bits(part.compute(), expected)
    xr.testing.assert_allclose((part.tas + 1).mean("time").compute(), (expected.tas + 1).mean("time"))
    same_bits(part.isel(time=-1).compute(), expected.isel(time=-1))
    same_bits(
        part.isel(time=slice(None, None, -2), cell=[4, 2]).compute(),
        expected.isel(time=slice(None, None, -2), cell=[4, 2]),
    )
    same_bits(part.isel(time=[3, 1]).compute(), expected.isel(time=[3, 1]))
    same_bits(part.isel(time=slice(0, 0)).compute(), expected.isel(time=slice(0, 0)))
    same_bits(part.ta.transpose("cell", ...).isel(time=2).compute(), expected.ta.transpose("cell", ...).isel(time=2))
    same_bits(part.rename(time="t").isel(t=2).compute(), expected.rename(time="t").isel(t=2))
    same_bits(xr.concat([part, part], "time").isel(time=13).compute(), expected.isel(time=1))
    same_bits(part.chunk(time=4).isel(time=slice(1, 6)).compute(), expected.isel(time=slice(1, 6)))
    same_bits(pickle.loads(pickle.dumps(part)).isel(time=1).compute(), expected.isel(time=1))
    written = part.copy()
    written["tas"] = written.tas * 0
    assert float(written.tas.isel(time=0).sum()) == 0
    with pytest.raises(IndexError):
        part.isel(time=99)
    loaded = part.copy().load()
    same_bits(loaded.isel(time=slice(1, 3)), expected.isel(time=slice(1, 3)))
    loaded.tas[0] = 5.0
    assert float(loaded.tas.isel(time=0).mean()) == 5.0


def test_lazy_data_sets_are_ordinary(bottle, truth):
    ds = Cube(bottle).to_dataset().isel(time=slice(0, 4))
    ds.tas[0] = 5.0
    assert float(ds.tas.isel(time=0).mean()) == 5.0
    fresh = Cube(bottle).to_dataset().isel(time=slice(0, 4))
    same_bits(fresh.compute(), truth.isel(time=slice(0, 4)))
    loaded = Cube(bottle, time=slice("1980-01-01", "1980-01-01")).to_dataset().load()
    same_bits(loaded.chunk(time=2).compute(), truth.isel(time=slice(0, 4)))
    loaded.tas[1] = 7.0
    assert float(loaded.tas.isel(time=1).chunk().mean()) == 7.0
    same_bits(loaded.isel(time=slice(2, 4)), truth.isel(time=slice(2, 4)))
    first = Cube(bottle).to_dataset()
    first.ta.isel(time=0).values[:] = 0  # what one reader does to values another one must not see
    same_bits(first.isel(time=0).compute(), truth.isel(time=0))


def test_drop_variables(bottle, drawn):
    for chunks in (None, {}):
        ds = Cube(bottle).to_dataset(chunks, drop_variables=["ta", "zg", "ua"])
        assert list(ds.data_vars) == ["tas", "pr", "rlut", "sst"]
        assert "pressure" not in ds.coords
        assert "crs" not in Cube(bottle).to_dataset(chunks, drop_variables="crs").coords
        assert list(Cube(bottle).to_dataset(chunks, drop_variables="tas").data_vars)[:3] == ["ta", "ua", "zg"]


def test_public_names_load_what_they_need():
    import xr_cbottle

    assert xr_cbottle.Cube is Cube
    assert {"open_bottle", "Emulator", "Cube"} <= set(dir(xr_cbottle))
    assert xr_cbottle.open_bottle.__name__ == "open_bottle"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = xr_cbottle.nothing
    assert "torch" in sys.modules  # by other tests; see test_backend for what opening imports


def test_a_bottle_without_labels(tmp_path):
    path = bottles.synthetic_bottle(tmp_path / "plain.cbottle", channels=("tas", "pr"), labels={})
    ds = Cube(path, cache_dir=tmp_path / "kept").to_dataset()
    assert "label" not in ds.attrs
    assert "pressure" not in ds.coords
    assert np.isfinite(ds.tas.isel(time=0).values).all()
    assert len(list((tmp_path / "kept").rglob("*.npy"))) == 4  # the others filled its batch
    with pytest.raises(ValueError, match="plain has no labels, leave it out"):
        Cube(path, label="a")
