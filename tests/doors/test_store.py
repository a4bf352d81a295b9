"""The Zarr store: equal to the engine bit for bit, through zarr and xarray, and nothing drawn before it is read."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import dask
import numpy as np
import pytest
import xarray as xr
import zarr
from dask.base import tokenize
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.cube import cache
from xr_cbottle.cube.sources import DrawnInstants
from xr_cbottle.serve import hierarchy
from xr_cbottle.serve.hierarchy import Hierarchy
from xr_cbottle.store import CBottleStore

PROTOTYPE = default_buffer_prototype()

pytestmark = [
    pytest.mark.usefixtures("unfilled"),
    # zarr's, where no format is asked for
    pytest.mark.filterwarnings("ignore:Both zarr.json:zarr.errors.ZarrUserWarning"),
    pytest.mark.filterwarnings("ignore:Object at .* is not recognized:zarr.errors.ZarrUserWarning"),
]


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    """Three months, or xarray spends most of the time on making dask's chunks."""
    time = bottles.TimeSpec("1980-01-01", "1980-03-31T18:00:00", "PT6H")
    two = bottles.SamplerDefaults(num_steps=2, sigma_max=80.0)
    return bottles.synthetic_bottle(tmp_path_factory.mktemp("store") / "small.cbottle", time=time, sampler=two)


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
def batches(monkeypatch):
    """Lengths of the batches drawn since the test began."""
    lengths = []
    draw = DrawnInstants.draw

    def counted(self, keys):
        lengths.append(len(keys))
        return draw(self, keys)

    monkeypatch.setattr(DrawnInstants, "draw", counted)
    return lengths


def engine(bottle, **keywords):
    return xr.open_dataset(bottle, engine="cbottle", **keywords).drop_vars("cell")


def get(store, key, byte_range=None):
    found = asyncio.run(store.get(key, PROTOTYPE, byte_range))
    return None if found is None else found.to_bytes()


async def collected(keys):
    return [key async for key in keys]


# Equality with the engine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"zoom": 1, "label": "b"},
        {"zoom": 0, "seed": 9},
        {"members": 2, "time": "PT12H"},
        {"members": [5, 2], "zoom": 1},
        {"time": "P1D", "time_method": "mean"},
        {"time": "PT12H", "time_method": "mean", "members": 2, "label": "b", "zoom": 1},
        {"time": ["1980-03-01", "1980-01-01T06:00"]},
    ],
    ids=str,
)
def test_equal_to_the_engine(bottle, keywords):
    expected = engine(bottle, **keywords).isel(time=slice(0, 2)).load()
    assert np.isfinite(expected.tas).all()
    for chunking in ("face", "globe"):
        store = CBottleStore(bottle, chunking=chunking, **keywords)
        for zarr_format in (2, 3):
            ds = xr.open_zarr(store, zarr_format=zarr_format, chunks=None if chunking == "face" else {})
            xr.testing.assert_identical(ds.isel(time=slice(0, 2)).load(), expected)
            assert list(ds.data_vars) == list(expected.data_vars)
            assert ds.time.dtype == expected.time.dtype


def test_the_whole_axis_is_that_of_the_engine(bottle, monkeypatch, drawn):
    monkeypatch.setattr(hierarchy, "_TIMES_IN_A_CHUNK", 100)  # of 364
    for zarr_format in (2, 3):
        ds = xr.open_zarr(CBottleStore(bottle), zarr_format=zarr_format)
        xr.testing.assert_identical(ds.coords.to_dataset(), engine(bottle).coords.to_dataset())
        assert ds.indexes["time"].equals(engine(bottle).indexes["time"])
    assert drawn() == 0


def test_a_single_member_is_as_one_of_several(bottle):
    store = CBottleStore(bottle, members=[3], member_dimension=False)
    expected = engine(bottle, members=[3]).isel(member=0, time=slice(1, 3)).load()
    for zarr_format in (2, 3):
        ds = xr.open_zarr(store, zarr_format=zarr_format).isel(time=slice(1, 3)).load()
        xr.testing.assert_identical(ds, expected)
    again = engine(bottle, members=4).isel(member=3, time=slice(1, 3)).load()
    xr.testing.assert_equal(again.drop_vars("member"), expected.drop_vars("member"))


def test_ways_to_open(bottle):
    store = CBottleStore(bottle)
    expected = engine(bottle).isel(time=[5]).load()
    for ds in (
        xr.open_zarr(store),
        xr.open_zarr(store, consolidated=True),
        xr.open_zarr(store, consolidated=False, zarr_format=3),
        xr.open_zarr(store, consolidated=False, zarr_format=2),
        xr.open_dataset(store, engine="zarr"),
        xr.open_dataset(store, engine="zarr", chunks={}),
        xr.open_dataset(store, engine="zarr", chunks={"time": 10}, zarr_format=2),
        xr.open_zarr(CBottleStore(Cube(bottle))),
    ):
        xr.testing.assert_identical(ds.isel(time=[5]).load(), expected)
    for zarr_format in (2, 3, None):
        for group in (
            zarr.open_group(store, mode="r", zarr_format=zarr_format),
            zarr.open_consolidated(store, mode="r", zarr_format=zarr_format),
        ):
            np.testing.assert_array_equal(group["ta"][5], expected.ta.values[0])
            np.testing.assert_array_equal(
                group["ta"].oindex[[5], [1], [7, 3]], expected.ta.values[:, [1]][:, :, [7, 3]]
            )
            assert group["crs"][()] == 1
            assert group["tas"].attrs["units"] == "K"
            assert group.attrs["bottle"] == "small"
        array = zarr.open_array(store, path="tas", mode="r", zarr_format=zarr_format)
        np.testing.assert_array_equal(array[5], expected.tas.values[0])
        np.testing.assert_array_equal(array[-1:0], np.empty((0, 192)))


def test_one_format_asked_for_is_opened_without_warnings(bottle, recwarn):
    for zarr_format in (2, 3):
        xr.open_zarr(CBottleStore(bottle), zarr_format=zarr_format).tas.isel(time=0).load()
    assert not [warning for warning in recwarn if "Zarr" in str(warning.category)]


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_dask(bottle, drawn, scheduler):
    ds = xr.open_zarr(CBottleStore(bottle, chunking="face"), zarr_format=3).isel(time=slice(0, 6))
    assert ds.tas.chunks == ((1,) * 6, (16,) * 12)
    assert set(ds.chunks) == {"time", "pressure", "cell"}  # coordinates agree with it
    with dask.config.set(scheduler=scheduler):
        mean = ds[["tas", "ta"]].mean("time").compute()
    assert drawn() == 6
    xr.testing.assert_allclose(mean, engine(bottle)[["tas", "ta"]].isel(time=slice(0, 6)).mean("time"))
    same = xr.open_zarr(CBottleStore(bottle, chunking="face"), zarr_format=3).isel(time=slice(0, 6))
    assert same.tas.data.name == ds.tas.data.name


def test_it_can_be_copied_to_a_real_store(bottle, drawn):
    ds = xr.open_zarr(CBottleStore(bottle, members=2), zarr_format=3).isel(time=slice(0, 3))
    copy = MemoryStore()
    ds.to_zarr(copy, zarr_format=3, consolidated=False)
    again = xr.open_zarr(copy, zarr_format=3, consolidated=False)
    xr.testing.assert_identical(again.load(), engine(bottle, members=2).isel(time=slice(0, 3)).load())
    assert drawn() == 6


# What is drawn ---------------------------------------------------------------------------------------------


def test_metadata_draw_nothing(bottle, drawn, monkeypatch):
    def read(*_):
        raise AssertionError("read")

    monkeypatch.setattr(Cube, "read", read)
    store = CBottleStore(bottle, members=2)
    for zarr_format in (2, 3):
        for chunks in (None, {}):
            ds = xr.open_zarr(store, zarr_format=zarr_format, chunks=chunks)
            assert "tas" in repr(ds)
            assert ds.nbytes > 0
            assert ds.isel(time=0).sel(pressure=50000).ta.attrs["units"] == "K"
            ds.coords.to_dataset().load()
            pickle.loads(pickle.dumps(ds))
        group = zarr.open_group(store, mode="r", zarr_format=zarr_format)
        assert len(list(group.array_keys())) == 12
        assert group["ta"].info
    assert asyncio.run(store.exists("ta/0.0.0.0"))
    assert asyncio.run(store.getsize("ta/c/0/0/0/0")) == 4 * 192
    assert next(iter(asyncio.run(collected(store.list_dir("")))))
    assert drawn() == 0


def test_a_frame_is_drawn_once_for_twelve_readers(bottle, drawn, batches):
    store = CBottleStore(bottle, chunking="face")

    async def frame(time):
        return await asyncio.gather(*(store.get(f"ta/{time}.1.{face}", PROTOTYPE) for face in range(12)))

    parts = asyncio.run(frame(7))
    assert drawn() == 1
    assert batches == [1]
    values = np.frombuffer(b"".join(part.to_bytes() for part in parts), "<f4")
    np.testing.assert_array_equal(values, engine(bottle).ta.isel(time=7, pressure=1))
    asyncio.run(frame(7))
    get(store, "tas/c/7/3")
    assert drawn() == 1


def test_whoever_reads_the_same_instant_shares_it(bottle, drawn):
    stores = [CBottleStore(bottle, chunking="face"), CBottleStore(bottle, zoom=1), CBottleStore(bottle, time="PT12H")]

    async def everybody():
        keys = [["tas/2.0", "pr/c/2/11"], ["ta/2.0.0"], ["ta/1.0.0", "sst/c/1/0"]]
        reads = [store.get(key, PROTOTYPE) for store, of in zip(stores, keys, strict=True) for key in of]
        return await asyncio.gather(*reads)

    assert all(asyncio.run(everybody()))
    assert drawn() == 1


def test_reads_of_several_instants_fill_batches(bottle, batches):
    array = zarr.open_array(CBottleStore(bottle), path="tas", mode="r", zarr_format=3)
    array[:16]
    assert sum(batches) == 16
    assert len(batches) < 16


def test_means_cost_their_instants(bottle, drawn):
    store = CBottleStore(bottle, time="P1D", time_method="mean", chunking="face")
    chunk = store.hierarchy.chunk("tas/2.5")
    assert chunk.frames == ((0, 2),)
    assert store.cube.spec.axis.instants_per_value == 4
    get(store, "tas/2.5")
    assert drawn() == 4
    get(store, "ta/c/2/0/0")
    assert drawn() == 4


# Keys and bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["tas/0.3", "ta/c/0/1/11", ".zmetadata", "zarr.json", "tas/.zattrs", "time/0", "crs/c"])
def test_parts_of_what_is_under_a_key(bottle, key):
    store = CBottleStore(bottle, chunking="face")
    whole = get(store, key)
    length = len(whole)
    assert asyncio.run(store.getsize(key)) == length
    ranges = {
        RangeByteRequest(2, 7): whole[2:7],
        RangeByteRequest(0, 10**9): whole,
        RangeByteRequest(length, length + 5): b"",
        RangeByteRequest(10**12, 10**15): b"",
        OffsetByteRequest(3): whole[3:],
        OffsetByteRequest(length): b"",
        OffsetByteRequest(10**12): b"",
        SuffixByteRequest(4): whole[-4:],
        SuffixByteRequest(length): whole,
        SuffixByteRequest(10**12): whole,
        SuffixByteRequest(0): b"",
        None: whole,
    }
    for byte_range, expected in ranges.items():
        assert get(store, key, byte_range) == expected, byte_range
    parts = asyncio.run(store.get_partial_values(PROTOTYPE, [(key, r) for r in ranges] + [("nope", None)]))
    assert [part.to_bytes() for part in parts[:-1]] == list(ranges.values())
    assert parts[-1] is None
    assert asyncio.run(store._get_bytes(key, prototype=PROTOTYPE)) == whole
    with pytest.raises(TypeError, match="Unexpected byte_range, got"):
        get(store, key, (0, 2))


@pytest.mark.parametrize(
    "key", ["", "/", "tas", "tas/", "cell/0", "tas/9999.0", "tas/c/0/12", "../x", "tas/-1.0", "c/0", "\x00"]
)
def test_where_nothing_is(bottle, key):
    store = CBottleStore(bottle, chunking="face")
    assert get(store, key) is None
    assert not asyncio.run(store.exists(key))
    with pytest.raises(FileNotFoundError):
        asyncio.run(store.getsize(key))


def test_lists(bottle):
    store = CBottleStore(bottle, time=slice("1980-01-01", "1980-01-02"))
    every = asyncio.run(collected(store.list()))
    assert every == list(store.hierarchy.keys())
    assert asyncio.run(collected(store.list_prefix("tas/c"))) == [key for key in every if key.startswith("tas/c")]
    assert "tas" in asyncio.run(collected(store.list_dir("")))
    assert asyncio.run(collected(store.list_dir("tas/c"))) == [str(i) for i in range(8)]
    assert not asyncio.run(store.is_empty(""))
    assert not asyncio.run(store.is_empty("tas"))
    assert asyncio.run(store.is_empty("ta/x"))
    sizes = {key: len(get(store, key)) for key in every if key.startswith("tas/")}
    assert asyncio.run(store.getsize_prefix("tas/")) == sum(sizes.values())


# The store as an object ------------------------------------------------------------------------------------


def test_it_is_a_read_only_store(bottle):
    store = CBottleStore(bottle)
    assert isinstance(store, Store)
    assert store.read_only
    assert store.supports_listing
    assert store.supports_consolidated_metadata
    assert not store.supports_writes
    assert not store.supports_deletes
    assert not store.supports_partial_writes
    with pytest.raises(AttributeError):
        store.read_only = False
    assert store.with_read_only(True) == store
    value = PROTOTYPE.buffer.from_bytes(b"1")
    for write in (
        store.set("tas/0.0", value),
        store.set("new", value),
        store.delete("tas/0.0"),
        store.delete_dir("tas"),
        store.set_if_not_exists("new", value),
    ):
        with pytest.raises((ValueError, NotImplementedError)):
            asyncio.run(write)
    for write in (
        lambda: store.with_read_only(False),
        lambda: zarr.open_array(store, path="tas", mode="r", zarr_format=3).__setitem__(0, 1),
        lambda: asyncio.run(store.set("new", value)),
    ):
        with pytest.raises(ValueError, match=r"is read-only, its values are drawn from the bottle: write to another"):
            write()
    for mode in ("a", "r+", "w", "w-"):
        with pytest.raises(ValueError, match="read-only"):
            zarr.open_group(store, mode=mode)
    with pytest.raises(ValueError, match="read-only"):
        xr.Dataset({"a": ("x", [1.0])}).to_zarr(store)


def test_opened_and_closed(bottle):
    async def use():
        with await CBottleStore.open(bottle) as store:
            assert store._is_open
            with pytest.raises(ValueError, match="already open"):
                await store._open()
        assert not store._is_open
        assert await store.get("crs/0", PROTOTYPE)

    asyncio.run(use())


def test_equal_if_the_content_is(bottle, tmp_path):
    copy = tmp_path / bottle.name
    copy.write_bytes(bottle.read_bytes())
    store = CBottleStore(bottle, seed=2)
    same = [CBottleStore(copy, seed=2), CBottleStore(Cube(bottle, seed=2)), pickle.loads(pickle.dumps(store))]
    for one in same:
        assert one == store
        assert hash(one) == hash(store)
        assert tokenize(one) == tokenize(store)
        assert str(one) == str(store)
    others = [
        CBottleStore(bottle), CBottleStore(bottle, seed=2, chunking="face"), CBottleStore(bottle, seed=2, members=1),
        CBottleStore(bottle, seed=2, label="b"),
    ]  # fmt: skip
    for one in others:
        assert one != store
        assert tokenize(one) != tokenize(store)
    assert store != "small"
    assert "of <Cube of 'small'" in repr(store)
    assert str(store).startswith("cbottle://small/")


def test_pickles_are_small(bottle):
    store = CBottleStore(bottle, members=[3], chunking="face", member_dimension=False)
    store.hierarchy.documents()
    assert len(pickle.dumps(store)) < 2000
    again = pickle.loads(pickle.dumps(store))
    assert again.read_only
    assert dict(again.hierarchy.documents()) == dict(store.hierarchy.documents())
    ds = xr.open_zarr(store, zarr_format=3, chunks=None)
    assert len(pickle.dumps(ds.tas.variable)) < 20_000


def in_another_process(store, key):
    return get(store, key)


def test_in_another_process(bottle):
    store = CBottleStore(bottle)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = np.frombuffer(pool.submit(in_another_process, store, "tas/3.0").result(), "<f4")
    here = np.frombuffer(get(store, "tas/3.0"), "<f4")
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-4 * here.std())


def test_wrong_values_are_refused(bottle):
    with pytest.raises(ValueError, match="choose 'face', 'globe'"):
        CBottleStore(bottle, chunking="cell")
    with pytest.raises(ValueError, match="zooms 0 to 2"):
        CBottleStore(bottle, zoom=3)
    with pytest.raises(TypeError, match="has its keywords already: leave out seed"):
        CBottleStore(Cube(bottle), seed=1)
    with pytest.raises(TypeError, match="nope"):
        CBottleStore(bottle, nope=1)


def test_an_error_reaches_the_reader_and_the_next_read_tries_again(bottle, monkeypatch):
    store = CBottleStore(bottle)
    with monkeypatch.context() as patched:
        patched.setattr(DrawnInstants, "draw", lambda self, keys: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            zarr.open_array(store, path="tas", mode="r", zarr_format=3)[4]
    assert get(store, "tas/4.0") is not None


def test_the_server_and_the_store_have_the_same_hierarchy(bottle):
    assert dict(CBottleStore(bottle).hierarchy.documents()) == dict(Hierarchy(Cube(bottle)).documents())
