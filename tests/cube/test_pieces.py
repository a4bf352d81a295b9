"""Above the native zoom: a value does not depend on how it is asked for, and a read draws the tiles it touches."""

from __future__ import annotations

import asyncio
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import dask
import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize

from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.grid import healpix
from xr_cbottle.serve.hierarchy import Hierarchy
from xr_cbottle.store import CBottleStore

pytestmark = pytest.mark.filterwarnings("ignore:The specified chunks separate:UserWarning")

CHANNELS = ("T850", "tas", "pr", "sst")
NATIVE, FINE = 3, 6
TILES = 48  # of 32 x 32 cells, at zoom 1
SIZE = 4**5


@pytest.fixture(scope="session")
def bottle(tmp_path_factory):
    # No overlap, which is for speed: how patches share cells is tested where they do it, in test_tiles.
    specs = bottles.fine_specs(FINE, ("tas", "pr", "sst"), overlap=0)
    path = tmp_path_factory.mktemp("mosaic") / "small.cbottle"
    return bottles.synthetic_bottle(path, NATIVE, CHANNELS, superres=specs)


@pytest.fixture(autouse=True)
def empty_cache():
    cache.shared().clear()


@pytest.fixture
def drawn(bottle):
    """How many tiles were drawn since the test began, by which network."""
    resolvers = {n: Cube(bottle, zoom=FINE, sr_network=n).source.resolver() for n in ("distilled", "full")}
    before = {name: one.drawn for name, one in resolvers.items()}
    return lambda name="distilled": resolvers[name].drawn - before[name]


@pytest.fixture
def instants(bottle):
    emulator = Cube(bottle).emulator()
    before = emulator.drawn
    return lambda: emulator.drawn - before


def fine(bottle, zoom=FINE, **keywords):
    return xr.open_dataset(bottle, engine="cbottle", zoom=zoom, **keywords)


@pytest.fixture(scope="session")
def truth(bottle):
    """One time of the globe."""
    cache.shared().clear()
    return fine(bottle).isel(time=0).compute()


NINE = [0, 1, 2, 3, 20, 21, 22, 23, 5]  # faces 0 and 5, and one more


def test_nine_tiles_in_any_order_from_two_processes_and_at_once(bottle, truth, drawn, tmp_path):
    ds = fine(bottle, sr_network="full")
    cells = np.concatenate([np.arange(t * SIZE, (t + 1) * SIZE) for t in NINE])
    at_once = ds.tas.isel(time=0, cell=cells).values.reshape(len(NINE), SIZE)
    assert drawn("full") == len(NINE)
    cache.shared().clear()
    for tile in NINE[::-1]:
        got = ds.tas.isel(time=0, cell=slice(tile * SIZE, (tile + 1) * SIZE)).values
        np.testing.assert_array_equal(got, at_once[NINE.index(tile)])
    cache.shared().clear()
    shuffled = np.random.default_rng(3).permutation(NINE).tolist()
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda t: ds.tas.isel(time=0, cell=slice(t * SIZE, (t + 1) * SIZE)).values, shuffled)
        for tile, part in zip(shuffled, parts, strict=True):
            np.testing.assert_array_equal(part, at_once[NINE.index(tile)])
    assert drawn("full") == 3 * len(NINE)

    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        workers = list(client.scheduler_info()["workers"])
        futures = [
            client.submit(
                lambda t: ds.tas.isel(time=0, cell=slice(t * SIZE, (t + 1) * SIZE)).values, t, workers=workers[i % 2]
            )
            for i, t in enumerate(NINE)
        ]
        elsewhere = np.stack(client.gather(futures))
    np.testing.assert_allclose(elsewhere, at_once, atol=1e-4 * 15.6)


def test_a_read_draws_the_tiles_that_it_touches(bottle, truth, drawn, instants):
    ds = fine(bottle)
    for index, tiles in (
        ({"cell": slice(100, 200)}, {0}),
        ({"cell": slice(SIZE - 1, SIZE + 1)}, {1}),
        ({"cell": [5 * SIZE, 7]}, {5}),
        ({"cell": slice(7 * SIZE, 5 * SIZE, -17)}, {6, 7}),
        ({"cell": 9 * SIZE}, {9}),
        ({"cell": xr.DataArray([40 * SIZE, 41 * SIZE, 40 * SIZE + 3], dims="points")}, {40, 41}),
        ({"cell": []}, set()),
        ({"cell": slice(3, 3)}, set()),
    ):
        before = drawn()
        xr.testing.assert_equal(ds.isel(time=0, **index).compute(), truth.isel(index))
        assert drawn() - before == len(tiles), index
    before = drawn()
    xr.testing.assert_equal(ds.tas.sel(time=truth.time, cell=[SIZE * 12, 3]).compute(), truth.tas[[SIZE * 12, 3]])
    assert drawn() - before == 1
    assert instants() == 1


def test_where_draws_the_box(bottle, truth, drawn):
    lon, lat = healpix.lonlat(FINE)
    inside = (lon > 40) & (lon < 50) & (lat > 20) & (lat < 30)
    assert inside.any()
    mask = xr.DataArray(inside, {"cell": np.arange(inside.size)}, "cell")
    got = fine(bottle).tas.isel(time=0).where(mask, drop=True).compute()
    np.testing.assert_array_equal(got.values, truth.tas.values[inside])
    assert drawn() == len({*np.flatnonzero(inside) // SIZE})


def test_zooms_between_are_means_of_the_finest(bottle, truth, drawn):
    finer = truth
    for zoom in (5, 4):
        got = fine(bottle, zoom).isel(time=0).compute()
        assert got.sizes["cell"] == healpix.n_cells(zoom)
        expected = finer.drop_vars(["cell_ids", "crs"]).coarsen(cell=4).mean()
        for name in got.data_vars:
            scale = float(abs(expected[name]).max())
            np.testing.assert_allclose(got[name].values, expected[name].values, rtol=1e-6, atol=1e-6 * scale)
        finer = got
    assert drawn() == TILES  # zoom 4 is of the same tiles
    one = fine(bottle, 4).pr.isel(time=0, cell=slice(64, 128, 7))
    np.testing.assert_array_equal(one.values, finer.pr.values[64:128:7])
    below = fine(bottle, NATIVE - 1)
    assert "T850" not in below
    assert set(below.data_vars) == {"ta", "tas", "pr", "sst"}


def test_land_is_missing_and_nothing_else(bottle, truth):
    land = np.isnan(bottles.sst_cells(NATIVE).sst.values[0])
    np.testing.assert_array_equal(np.isnan(truth.sst.values), np.repeat(land, 4 ** (FINE - NATIVE)))
    assert np.isfinite(truth.tas.values).all()
    assert np.isfinite(truth.pr.values).all()


def test_instants_come_in_batches_and_tiles_once(bottle, drawn, instants):
    ds = fine(bottle)
    part = ds[["tas", "pr"]].isel(time=slice(0, 6), cell=slice(0, 2 * SIZE)).compute()
    assert (drawn(), instants()) == (12, 6)
    one = ds.tas.isel(time=5, cell=slice(SIZE, SIZE + 4))
    np.testing.assert_array_equal(one.values, part.tas.values[5, SIZE : SIZE + 4])
    assert drawn() == 12
    cache.shared().clear()
    alone = fine(bottle, cache_size=0).tas.isel(time=slice(0, 6), cell=slice(0, 2 * SIZE))
    np.testing.assert_array_equal(alone.values, part.tas.values)
    assert (drawn(), instants()) == (24, 12)  # instants stay as long as their tiles need them


def test_single_flight(bottle, truth, drawn):
    ds = fine(bottle)
    with ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(lambda n: ds[n].isel(time=0, cell=slice(0, 50)).values, n) for n in 4 * ["tas", "pr"]]
        for name, read in zip(4 * ["tas", "pr"], reads, strict=True):
            np.testing.assert_array_equal(read.result(), truth[name].values[:50])
    assert drawn() == 1


def test_asynchronous(bottle, truth, drawn):
    async def read():
        return await fine(bottle)[["tas", "pr"]].isel(time=0, cell=slice(0, 9)).load_async()

    xr.testing.assert_equal(asyncio.run(read()).tas, truth.tas[:9])
    assert drawn() == 1


def test_bytes_are_bounded(bottle, drawn):
    limit = 5 * 3 * SIZE * 4
    ds = fine(bottle, cache_size=limit)
    ds.tas.isel(time=0, cell=slice(0, 8 * SIZE)).load()
    assert 0 < cache.shared().nbytes <= limit
    assert drawn() == 8
    ds.pr.isel(time=0, cell=slice(7 * SIZE, 8 * SIZE)).load()
    assert drawn() == 8
    ds.pr.isel(time=0, cell=slice(0, SIZE)).load()
    assert drawn() == 9


def test_disk(bottle, truth, drawn, instants, tmp_path):
    def read():
        part = fine(bottle, cache_size=0, cache_dir=tmp_path).tas.isel(time=0, cell=slice(3 * SIZE - 5, 3 * SIZE + 5))
        np.testing.assert_array_equal(part.values, truth.tas.values[3 * SIZE - 5 : 3 * SIZE + 5])

    read()
    assert (drawn(), instants()) == (2, 1)
    read()
    assert (drawn(), instants()) == (2, 1)
    assert sorted(path.name for path in tmp_path.rglob("*.npy")) == [
        "19800101T000000-2.npy", "19800101T000000-3.npy", "19800101T000000.npy"
    ]  # fmt: skip


def test_a_box_takes_the_memory_of_a_box(tmp_path):
    """At zoom 10 the globe of one field is 50 MB; opening and reading a coordinate of a box takes a fraction."""
    icon = "icon"
    fine(icon, 10, time="PT6H")
    tracemalloc.start()
    try:
        ds = fine(icon, 10, time="PT6H")
        box = ds.isel(cell=slice(5_000_000, 5_000_100))
        assert box.cell_ids.values[[0, -1]].tolist() == [5_000_000, 5_000_099]
        assert box.cell.values[7] == 5_000_007
        assert ds.sel(cell=[12_582_911]).cell_ids.values.tolist() == [12_582_911]
        assert ds.tas.encoding["preferred_chunks"] == {"time": 1, "cell": healpix.n_cells(10)}
        assert repr(ds)
        CBottleStore(Cube(icon, zoom=10)).hierarchy.documents()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_the_globe_at_once(bottle, truth, drawn):
    ds = fine(bottle, sr_mode="global")
    got = ds.isel(time=0).compute()
    assert drawn() == healpix.n_cells(1)  # the globe counts as all its tiles
    for name in ("tas", "pr"):
        spread = float(truth[name].std())
        np.testing.assert_allclose(got[name].values, truth[name].values, atol=1e-4 * spread)  # few steps are exact
    assert ds.tas.encoding["preferred_chunks"]["cell"] == healpix.n_cells(FINE)
    heun = fine(bottle, sr_mode="global", sr_network="full").tas.isel(time=0, cell=slice(0, SIZE)).values
    tile = fine(bottle, sr_network="full").tas.isel(time=0, cell=slice(0, SIZE)).values
    np.testing.assert_allclose(heun, tile, atol=1e-4 * np.std(tile))  # no patches overlap that could tell each other


def test_means(bottle, drawn):
    days = fine(bottle, time="P1D", time_method="mean").isel(time=[1], cell=slice(0, 3)).compute()
    hours = fine(bottle).isel(time=slice(4, 8), cell=slice(0, 3)).compute()
    np.testing.assert_allclose(days.tas.values[0], hours.tas.values.mean(0), rtol=1e-6)
    assert drawn() == 4


def test_members_and_seeds_differ(bottle):
    members = fine(bottle, members=2).tas.isel(time=0, cell=slice(0, 20)).values
    other = fine(bottle, seed=1).tas.isel(time=0, cell=slice(0, 20)).values
    assert np.abs(members[0] - members[1]).max() > 1
    assert np.abs(members[0] - other).max() > 1


def test_form(bottle):
    ds = fine(bottle, 5)
    assert list(ds.data_vars) == ["tas", "pr", "sst"]
    assert ds.crs.attrs["refinement_level"] == 5
    assert "pressure" not in ds.coords
    assert ds.tas.encoding["preferred_chunks"] == {"time": 4, "cell": healpix.n_cells(5)}
    attrs = ds.attrs
    assert (attrs["zoom"], attrs["native_zoom"]) == (5, NATIVE)
    assert attrs["superres_part"].startswith("sha256:")
    assert attrs["superres_evaluations"] == 2
    assert "superres_halo" not in attrs
    full = fine(bottle, 5, sr_network="full").attrs
    assert (full["superres_halo"], full["superres_num_steps"]) == (8, 2)
    assert "halo of 8 cells" in full["superres_mode"]
    assert "sr_network=full" in full["history"]
    assert "superres" not in fine(bottle, NATIVE).attrs
    for value in [*attrs.values(), *full.values()]:
        assert isinstance(value, (str, int, float, np.int32))
        assert not isinstance(value, bool)


def test_what_is_absent_is_told_in_an_attribute(bottle):
    below = set(Cube(bottle).layouts) - set(Cube(bottle, zoom=FINE).layouts)
    assert "ta" in below
    for ds in (fine(bottle), fine(bottle, chunks={}), fine(bottle).isel(time=0)):
        assert set(ds.attrs["variables_below"].split()) == below
        assert type(ds) is xr.Dataset
        with pytest.raises(KeyError, match="No variable named 'ta'"):
            _ = ds["ta"]
    assert "variables_below" not in Cube(bottle).to_dataset().attrs


def test_looking_draws_nothing(bottle, drawn, instants):
    for ds in (fine(bottle), fine(bottle, chunks={}), Cube(bottle, zoom=FINE).to_dataset(chunks={})):
        assert "tas" in repr(ds)
        assert ds._repr_html_()
        assert ds.copy(deep=True).nbytes > 0
        pickle.loads(pickle.dumps(ds))
    assert tokenize(ds)
    assert len(pickle.dumps(Cube(bottle, zoom=FINE))) < 3000
    assert (drawn(), instants()) == (0, 0)


def test_dask(bottle, truth, drawn):
    for ds in (fine(bottle, chunks={}), Cube(bottle, zoom=FINE).to_dataset(chunks={})):
        cache.shared().clear()
        before = drawn()
        assert ds.tas.chunks[0][0] == 4
        assert ds.tas.chunks[1] == (SIZE * TILES,)
        part = ds.isel(time=0, cell=slice(SIZE // 2, SIZE + SIZE // 2))
        means = dask.compute(part.tas.mean(), part.pr.mean())
        assert drawn() - before == 2  # for both variables
        np.testing.assert_allclose(means[0], truth.tas[SIZE // 2 : SIZE + SIZE // 2].mean(), rtol=1e-6)
    first, again = (fine(bottle, chunks={}).tas.data.name for _ in range(2))
    assert first == again
    assert len({first, *(fine(bottle, chunks=c).tas.data.name for c in ({"time": 2}, {"cell": 2 * SIZE}))}) == 3
    assert fine(bottle, chunks={}, seed=1).tas.data.name != first
    lengths = Cube(bottle, zoom=FINE).to_dataset(chunks={"time": 4, "cell": 2 * SIZE}).tas.chunks
    assert (lengths[0][0], lengths[1][0]) == (4, 2 * SIZE)
    assert Cube(bottle, zoom=FINE).to_dataset(chunks=3).tas.chunks[0][0] == 3
    for chunks in ({"x": 1}, True, "all"):
        with pytest.raises(ValueError, match=r"give \{\}, a number of times, or lengths of time, cell"):
            Cube(bottle, zoom=FINE).to_dataset(chunks=chunks)
    with pytest.raises(ValueError, match=f"levels and cells of a tile, which has {SIZE} cells, are drawn together"):
        Cube(bottle, zoom=FINE).to_dataset(chunks={"cell": 100})


def the_tiles(ds):
    """Cells of two tiles, of which one is taken in part."""
    return ds.isel(cell=np.r_[3 * SIZE + 7 : 4 * SIZE, 40 * SIZE : 40 * SIZE + 9])


WAYS_TO_TAKE = {
    "cells, then times": lambda ds: the_tiles(ds).isel(time=slice(0, 3)),
    "times, then cells": lambda ds: the_tiles(ds.isel(time=slice(0, 3))),
    "a time, then cells": lambda ds: the_tiles(ds.isel(time=2)),
    "cells twice": lambda ds: the_tiles(ds).isel(time=slice(0, 3)).isel(cell=slice(2, None, 3)),
    "one cell": lambda ds: the_tiles(ds).isel(time=slice(0, 3)).isel(cell=5),
    "another order": lambda ds: the_tiles(ds).isel(time=[2, 0, 1]).isel(cell=slice(None, None, -1)).isel(cell=[4, -2]),
    "points": lambda ds: the_tiles(ds).isel(
        time=xr.DataArray([0, 2, 1, 0], dims="point"), cell=xr.DataArray([5, 1, 1, -1], dims="point")
    ),
    "a mask": lambda ds: ds.isel(time=0).where(ds.cell < 30, drop=True),
    "chunks anew": lambda ds: the_tiles(ds).isel(time=slice(0, 3)).chunk(time=2),
    "cells in chunks": lambda ds: the_tiles(ds).isel(time=slice(0, 3)).chunk(cell=100).isel(cell=slice(90, 110)),
}


@pytest.mark.parametrize("chunks", [{}, {"time": 1, "cell": SIZE}, {"time": 2, "cell": 24 * SIZE}], ids=str)
@pytest.mark.parametrize("take", WAYS_TO_TAKE.values(), ids=WAYS_TO_TAKE)
def test_what_is_taken_is_drawn_and_nothing_else(bottle, drawn, instants, take, chunks):
    """In chunks as without, each tile once for all variables, whatever the order in which less was taken."""
    plain = fine(bottle)[["tas", "pr"]]
    expected = take(plain).compute()
    needed = drawn(), instants()
    cache.shared().clear()
    part = take(fine(bottle, chunks=chunks, cache_size=0)[["tas", "pr"]])
    assert (drawn(), instants()) == needed
    got = part.compute(scheduler="synchronous")
    xr.testing.assert_equal(got, expected)
    assert drawn() == 2 * needed[0]


def test_two_workers_draw_each_tile_once(bottle, truth):
    """One task draws what is wanted of an instant for all variables, on whichever worker it runs."""
    from distributed import Client, LocalCluster

    part = the_tiles(fine(bottle, chunks={"time": 1})[["tas", "pr"]]).isel(time=slice(0, 6))
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        got = client.compute(part).result(timeout=120)
        drawn = client.run(lambda path: Cube(path, zoom=FINE).source.resolver().drawn, bottle)
    assert sum(drawn.values()) == 6 * 2
    assert all(drawn.values())  # both had something to do
    np.testing.assert_allclose(got.tas.values[0], the_tiles(truth).tas.values, atol=1e-4 * 15.6)


def test_the_graph_is_of_what_is_taken(bottle):
    """A task draws, and one for each variable takes: not one for each tile of all times."""
    part = the_tiles(fine(bottle, chunks={}).isel(time=slice(40, 48)))
    (together,) = dask.optimize(part)
    tasks = {key for name in ("tas", "pr", "sst") for key in together[name].data.dask}
    assert sum("draw" in str(key) for key in tasks) == 2
    assert len(tasks) < 20


def test_written_and_read_again(bottle, truth, drawn, tmp_path):
    box = fine(bottle)[["tas", "sst"]].isel(time=[0], cell=slice(SIZE, 2 * SIZE))
    box.to_netcdf(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as back:
        np.testing.assert_array_equal(back.tas.values[0], truth.tas.values[SIZE : 2 * SIZE])
        assert back.cell_ids.values[0] == SIZE
    box.to_zarr(tmp_path / "a.zarr", consolidated=False)
    assert drawn() == 1


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_store(bottle, truth, drawn, zarr_format):
    """A chunk of the store is a tile."""
    store = CBottleStore(bottle, zoom=FINE)
    ds = xr.open_zarr(store, zarr_format=zarr_format, chunks=None)
    assert ds.tas.encoding["chunks"] == (1, SIZE)
    got = ds.tas.isel(time=0, cell=slice(2 * SIZE + 5, 3 * SIZE + 1)).values
    np.testing.assert_array_equal(got, truth.tas.values[2 * SIZE + 5 : 3 * SIZE + 1])
    assert drawn() == 2
    assert ds.cell_ids.values[[0, -1]].tolist() == [0, healpix.n_cells(FINE) - 1]
    chunk = store.hierarchy.chunk("tas/0.2")
    assert [key.piece for key in chunk.keys] == [2]
    with pytest.raises(ValueError, match="above zoom 3 a chunk is one 'tile'"):
        Hierarchy(Cube(bottle, zoom=FINE), "face")
    with pytest.raises(ValueError, match="chunking is 'tile'"):
        Hierarchy(Cube(bottle), "tile")


def test_server(bottle, truth):
    from tests import serving

    with serving.running([bottle]) as client:
        address = f"small/PT6H_inst_s0_m0_z{FINE}.zarr"
        body = client.ask(f"/{address}/tas/0.7").body
        np.testing.assert_array_equal(np.frombuffer(body, "<f4"), truth.tas.values[7 * SIZE : 8 * SIZE])
        assert client.ask(f"/{address}/pr/c/0/7").body == truth.pr.values[7 * SIZE : 8 * SIZE].tobytes()
        assert client.ask(f"/{address}/ta/0.0.0").status == 404
        (entry,) = client.ask("/catalog.json").json["bottles"]
        assert (entry["zooms"], entry["fine_zooms"]) == ([0, 1, 2, 3], [4, 5, 6])
        assert client.ask("/small/PT6H_inst_s0_m0_z7.zarr/.zmetadata").status == 404


def test_too_much_at_once(bottle):
    ds = fine(bottle, max_instants=10)
    with pytest.raises(ValueError, match="takes 48 tiles to draw and max_instants is 10: read fewer cells"):
        ds.tas.isel(time=0).load()
    with pytest.raises(ValueError, match="takes 11 instants"):
        ds.tas.isel(time=slice(11), cell=0).load()


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        (dict(zoom=7), "zoom is 7: small has zooms 0 to 3, and by super-resolution up to 6"),
        (dict(zoom=5, sr_mode="box"), "sr_mode is 'box': choose one of tiles, global"),
        (dict(zoom=2, sr_network="fast"), "sr_network is 'fast': small has distilled and full"),
    ],
)
def test_wrong_values(bottle, keywords, says):
    with pytest.raises(ValueError, match=says):
        fine(bottle, **keywords)


def test_tokens_and_names(bottle):
    base = Cube(bottle, zoom=FINE).spec
    others = [Cube(bottle, zoom=FINE, **k).spec for k in (dict(sr_mode="global"), dict(sr_network="full"))]
    assert len({base.token, *(spec.token for spec in others)}) == 3
    assert len({base.field_namespace, *(spec.field_namespace for spec in others)}) == 3
    assert {spec.namespace for spec in others} == {base.namespace} == {Cube(bottle).spec.namespace}
    assert Cube(bottle, zoom=5).spec.field_namespace == base.field_namespace
    assert Cube(bottle, zoom=2, sr_mode="global").spec == Cube(bottle, zoom=2).spec
