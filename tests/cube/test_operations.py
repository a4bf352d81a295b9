"""What notebooks do to a data set draws the instants that it touches, each once: chunked and not."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import dask
import numpy as np
import pytest
import xarray as xr

from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.bottle.manifest import SamplerDefaults
from xr_cbottle.bottle.records import TimeSpec
from xr_cbottle.cube import cache, graph
from xr_cbottle.cube.selection import narrowing
from xr_cbottle.grid import healpix

intake = pytest.importorskip("intake")

pytestmark = [
    pytest.mark.usefixtures("unfilled"),
    pytest.mark.filterwarnings("ignore:The specified chunks separate:UserWarning"),
]

EIGHT = slice(5, 13)  # two days of a bottle of 6 hours, not at the edges of batches of 4
LON, LAT = healpix.lonlat(2)


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    return bottles.synthetic_bottle(
        tmp_path_factory.mktemp("operations") / "small.cbottle",
        sampler=SamplerDefaults(num_steps=2, sigma_max=80.0),
        time=TimeSpec("1980-01-01", "1980-01-31T18:00:00", "PT6H"),
    )


@pytest.fixture(scope="module")
def loaded(bottle):
    """The first 40 instants in memory: what the operations are to be equal to."""
    return with_coordinates(xr.open_dataset(bottle, engine="cbottle").isel(time=slice(0, 40)).load())


@pytest.fixture
def drawn(bottle):
    """How many instants were drawn since the test began."""
    cache.shared().clear()
    emulator = Cube(bottle).emulator()
    before = emulator.drawn
    return lambda: emulator.drawn - before


def with_coordinates(ds):
    """As easygems attaches them."""
    return ds.assign_coords(lat=("cell", LAT), lon=("cell", LON % 360))


def opened(bottle, how):
    """The data set of 124 times, opened in one of the ways that people do."""
    if how == "catalog":
        text = f"sources:\n  small:\n    driver: cbottle\n    args:\n      urlpath: '{bottle}'\n      chunks: auto\n"
        catalog = bottle.with_suffix(".yaml")
        catalog.write_text(text)
        ds = intake.open_catalog(str(catalog)).small.to_dask()
        assert ds.tas.chunks[0][:2] == (4, 4)
        return with_coordinates(ds)
    ds = xr.open_dataset(bottle, engine="cbottle", chunks="auto" if how == "one chunk" else None)
    return with_coordinates(ds.chunk(time=5, cell=48) if how == "chunk" else ds)


# Lazy arrays; a catalog's chunks="auto", which is a batch; dask's "auto", which is all times; others, in cells too.
WAYS = ["lazy", "catalog", "one chunk", "chunk"]
points = {"time": xr.DataArray([9, 6, 14, 6], dims="point"), "cell": xr.DataArray([3, 0, 191, 77], dims="point")}
weights = xr.DataArray(np.cos(np.deg2rad(LAT)), dims="cell")
bands = np.arange(-90, 91, 30)
late = np.datetime64("1980-01-02T20:00")

# {what: (on a data set of at least 40 times, instants that it touches)}
OPERATIONS = {
    # groups
    "groupby latitude": (lambda ds: ds.tas.isel(time=EIGHT).groupby("lat").mean(), 8),
    "groupby latitude on levels": (lambda ds: ds.ta.isel(time=EIGHT).groupby("lat").mean(), 8),
    "groupby_bins": (lambda ds: ds[["tas", "ta"]].isel(time=EIGHT).groupby_bins("lat", bands).mean(), 8),
    "groupby_bins maximum": (lambda ds: ds.pr.isel(time=EIGHT).groupby_bins("lon", [0, 90, 180, 360]).max(), 8),
    "groupby month": (lambda ds: ds.tas.isel(time=EIGHT).groupby("time.month").mean(), 8),
    "groupby hour": (lambda ds: ds[["tas", "pr"]].isel(time=EIGHT).groupby("time.hour").mean(), 8),
    "anomalies of hours": (lambda ds: anomalies(ds.tas.isel(time=EIGHT), "time.hour"), 8),
    "groupby map": (lambda ds: ds.tas.isel(time=EIGHT).groupby("time.hour").map(lambda x: x - x.mean()), 8),
    "groups one by one": (
        lambda ds: xr.concat([x.mean("time") for _, x in ds.tas.isel(time=EIGHT).groupby("time.hour")], "hour"),
        8,
    ),
    "resample": (lambda ds: ds[["tas", "ta", "pr"]].isel(time=EIGHT).resample(time="1D").mean(), 8),
    "resample to more": (lambda ds: ds.tas.isel(time=slice(0, 3)).resample(time="3h").nearest(), 3),
    # masks
    "where": (lambda ds: ds.tas.isel(time=EIGHT).where(ds.lat > 30), 8),
    "where drop": (lambda ds: ds[["tas", "ta"]].isel(time=EIGHT).where(ds.lat > 30, drop=True), 8),
    "where drop in time": (lambda ds: ds.isel(time=slice(0, 40)).pr.where(ds.time.dt.hour == 6, drop=True), 10),
    "where a field is large drop": (
        lambda ds: ds.pr.isel(time=EIGHT).where((ds.pr.isel(time=EIGHT) > 1e-4).compute(), drop=True), 8
    ),
    "where a field is large": (lambda ds: rainy(ds.isel(time=EIGHT)), 8),
    "a level, then times": (lambda ds: ds.ta.sel(pressure=85000).isel(time=[3, 30]), 2),
    "a pixel, then times": (lambda ds: ds[["tas", "ta"]].isel(cell=[9, 2]).isel(time=slice(0, 40, 10)), 4),
    "clip and fill": (lambda ds: ds.sst.isel(time=EIGHT).clip(280, 300).fillna(-1), 8),
    # statistics
    "quantile": (lambda ds: ds.tas.isel(time=EIGHT).quantile([0.1, 0.9], "cell"), 8),
    "quantile in time": (lambda ds: ds.tas.isel(time=EIGHT).chunk(time=-1).quantile(0.9, "time"), 8),
    "rolling": (lambda ds: ds.tas.isel(time=EIGHT).rolling(time=4, center=True).mean(), 8),
    "coarsen": (lambda ds: ds[["tas", "ta"]].isel(time=EIGHT).coarsen(cell=4).mean(), 8),
    "coarsen time": (lambda ds: ds.tas.isel(time=EIGHT).coarsen(time=4).mean(), 8),
    "weighted mean": (lambda ds: ds[["tas", "sst"]].isel(time=EIGHT).weighted(weights).mean("cell"), 8),
    "correlation": (lambda ds: xr.corr(ds.tas.isel(time=EIGHT), ds.pr.isel(time=EIGHT), "time"), 8),
    "extremes and when": (lambda ds: ds.tas.isel(time=EIGHT).idxmax("time"), 8),
    "cumulative": (lambda ds: ds.pr.isel(time=EIGHT).cumulative("time").sum(), 8),
    "cumsum": (lambda ds: ds.pr.isel(time=EIGHT).cumsum("time"), 8),
    "diff": (lambda ds: ds.tas.isel(time=EIGHT).diff("time"), 8),
    "shift": (lambda ds: ds.tas.isel(time=EIGHT).shift(time=1), 7),
    "integrate": (lambda ds: ds.ta.isel(time=EIGHT).integrate("pressure"), 8),
    "interpolated in pressure": (lambda ds: ds.ta.isel(time=EIGHT).interp(pressure=70000), 8),
    "polynomial": (lambda ds: ds.tas.isel(time=EIGHT).polyfit("time", 1), 8),
    # selections
    "one instant": (lambda ds: ds[["tas", "ta"]].isel(time=7), 1),
    "one instant by label": (lambda ds: ds.tas.sel(time="1980-01-03T06:00"), 1),
    "a day by label": (lambda ds: ds.tas.sel(time="1980-01-03"), 4),
    "nearest": (lambda ds: ds[["tas", "ta"]].sel(time=late, pressure=84000, method="nearest"), 1),
    "several nearest": (lambda ds: ds.tas.sel(time=[late, np.datetime64("1980-01-09T01")], method="nearest"), 2),
    "listed times": (lambda ds: ds[["tas", "ta"]].isel(time=[3, 30, 17]), 3),
    "listed twice": (lambda ds: ds.tas.isel(time=[9, 2, 9]), 2),
    "every tenth": (lambda ds: ds[["tas", "ta"]].isel(time=slice(0, 40, 10)), 4),
    "every tenth backwards": (lambda ds: ds.tas.isel(time=slice(39, None, -10)), 4),
    "some of every tenth": (lambda ds: ds.tas.isel(time=slice(0, 40, 10)).isel(time=slice(1, 3)), 2),
    "a mask of times": (lambda ds: (x := ds.isel(time=slice(0, 40))).tas.sel(time=x.time.dt.hour == 18), 10),
    "mornings": (lambda ds: (x := ds.isel(time=slice(0, 40)).tas)[x.time.dt.hour.isin([0, 6]).values].mean(), 20),
    "a pixel": (lambda ds: ds[["tas", "ta"]].isel(time=EIGHT, cell=77), 8),
    "some cells": (lambda ds: ds.ta.isel(time=EIGHT, cell=[5, 190, 5], pressure=-1), 8),
    "points": (lambda ds: ds[["tas", "ta"]].isel(points), 3),
    "a grid of longitudes and latitudes": (lambda ds: ds.tas.isel(time=EIGHT, cell=xr.DataArray([[0, 5], [9, 5]])), 8),
    "positions": (lambda ds: xr.concat([ds["tas"][i, :] for i in range(5, 13)], "time"), 8),
    "positions backwards": (lambda ds: xr.concat([ds["ta"][-i, 0, 3] for i in (1, 4)], "time"), 2),
    "head and tail": (lambda ds: xr.concat([ds.tas.head(time=2), ds.tas.tail(time=1)], "time"), 3),
    "thinned": (lambda ds: ds.tas.isel(time=slice(0, 40)).thin(time=8), 5),
    # forms
    "table of a pixel": (lambda ds: ds[["tas", "pr"]].isel(time=EIGHT, cell=3).to_dataframe().to_xarray(), 8),
    "stack": (lambda ds: ds.tas.isel(time=EIGHT).stack(z=("time", "cell")).drop_vars(["z", "time", "cell"]), 8),
    "expanded": (lambda ds: ds.tas.isel(time=EIGHT).expand_dims("run"), 8),
    "renamed": (lambda ds: ds.tas.rename(time="t").isel(t=[30, 2]), 2),
    "to_array": (lambda ds: ds[["tas", "pr"]].isel(time=EIGHT).to_array(), 8),
    "sorted": (lambda ds: ds.tas.isel(time=EIGHT).sortby("time", ascending=False), 8),
    "numpy": (lambda ds: np.hypot(ds.tas.isel(time=EIGHT), ds.pr.isel(time=EIGHT)), 8),
    "apply_ufunc": (
        lambda ds: xr.apply_ufunc(np.sort, ds.tas.isel(time=EIGHT), input_core_dims=[["cell"]],
                                  output_core_dims=[["cell"]], dask="parallelized", output_dtypes=["f4"],
                                  dask_gufunc_kwargs={"allow_rechunk": True}),
        8,
    ),
    "map_blocks": (lambda ds: xr.map_blocks(lambda x: x * 2 - 1, ds.tas.isel(time=EIGHT)), 8),
}  # fmt: skip


# They begin alike, with eight times of one chunk; what they do then has nothing to do with it.
OF_EIGHT = [what for what, (_, touched) in OPERATIONS.items() if touched == 8 and not what.startswith("group")]
FROM_THE_END = ("head and tail", "positions backwards")  # the loaded copy has another end
EAGER = ("table of a pixel", "where a field is large drop")  # draw at once, with dask too


def anomalies(da, group):
    """The usual two lines: a climatology, and the difference from it."""
    groups = da.groupby(group)
    return groups - groups.mean()


def rainy(ds):
    """Temperature where it rains more than usual."""
    return ds.tas.where(ds.pr > ds.pr.quantile(0.9, "cell"))


def same(result, expected, how):
    """To the bit if there are no chunks, on which the last bits of float32 means depend."""
    if how == "lazy":
        xr.testing.assert_equal(result, expected)
        return
    pairs = [(result, expected)] if isinstance(result, xr.DataArray) else [(result[v], expected[v]) for v in expected]
    for one, other in pairs:
        scale = 1.0 if other.dtype.kind == "M" else float(abs(other).max())
        xr.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("what", "how"),
    [(what, how) for what in OPERATIONS for how in WAYS if how != "one chunk" or what not in OF_EIGHT],
)
def test_draws_what_it_touches(bottle, loaded, drawn, what, how):
    operation, touched = OPERATIONS[what]
    ds = opened(bottle, how)
    if what in FROM_THE_END:
        ds = ds.isel(time=slice(0, 40))
    result = operation(ds)
    assert how == "lazy" or what in EAGER or drawn() == 0
    result = result.compute()
    assert drawn() == touched
    same(result, operation(loaded), how)


def test_interpolation_in_time_reads_few_neighbours(bottle, loaded, drawn):
    """Two would do; xarray takes a margin, and with dask the chunks around it."""
    when = np.datetime64("1980-01-04T09")
    result = opened(bottle, "lazy").tas.interp(time=when).compute()
    assert 2 <= drawn() <= 6
    same(result, loaded.tas.interp(time=when), "chunk")


@pytest.mark.parametrize("how", ["catalog", "chunk"])
def test_taken_after_arithmetic_whole_chunks_are_drawn(bottle, loaded, drawn, how):
    """dask does not know what of a chunk is wanted: take times first. (A batch costs the same for one time or four.)"""
    length = {"catalog": 4, "chunk": 5}[how]
    rain = opened(bottle, how).pr * 86400
    result = rain.isel(time=[0, 17]).compute()
    assert drawn() == 2 * length
    same(result, loaded.pr.isel(time=[0, 17]) * 86400, how)


# Several variables, threads, workers -----------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
def test_one_variable_after_the_other(bottle, drawn, how):
    ds = opened(bottle, how).isel(time=EIGHT)
    for name in ("tas", "ta", "pr", "tas"):
        ds[name].groupby("lat").mean().compute()
    assert drawn() == 8


@pytest.mark.parametrize("how", ["catalog", "chunk"])
@pytest.mark.parametrize("times", [EIGHT, [3, 30, 17], slice(2, 40, 9)], ids=str)
def test_one_graph_without_any_cache(bottle, loaded, drawn, how, times):
    chunks = {"catalog": {}, "chunk": {"time": 5, "cell": 48}}[how]
    ds = with_coordinates(xr.open_dataset(bottle, engine="cbottle", chunks=chunks, cache_size=0)).isel(time=times)
    wanted = [ds.tas.mean(), ds.ta.groupby("lat").mean(), ds.pr.max("time"), ds.sst.sel(cell=7), ds.zg]
    got = dask.compute(*wanted)
    assert drawn() == ds.sizes["time"]
    part = loaded.isel(time=times)
    for one, other in zip(got, [part.tas.mean(), part.ta.groupby("lat").mean(), part.pr.max("time"),
                                part.sst.sel(cell=7), part.zg], strict=True):  # fmt: skip
        same(one, other, how)


def test_threads(bottle, loaded, drawn):
    ds = opened(bottle, "lazy").isel(time=EIGHT)
    jobs = [lambda n=n: ds[n].groupby("time.hour").mean().compute() for n in ("tas", "ta", "pr", "sst", "zg", "ua")]
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda job: job(), jobs))
    assert drawn() == 8
    same(got[1], loaded.ta.isel(time=EIGHT).groupby("time.hour").mean(), "lazy")


def test_distributed(bottle, loaded, drawn):
    from distributed import Client, LocalCluster

    ds = opened(bottle, "catalog")
    with LocalCluster(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as c, Client(c):
        zonal = ds[["tas", "ta"]].isel(time=EIGHT).groupby("lat").mean().compute()
        listed = ds.tas.isel(time=[30, 8]).compute()
    assert drawn() == 9
    same(zonal, loaded[["tas", "ta"]].isel(time=EIGHT).groupby("lat").mean(), "catalog")
    same(listed, loaded.tas.isel(time=[30, 8]), "catalog")


def test_members(bottle, drawn):
    """A member, or a chunk of one, is drawn without the others."""
    for chunks in (None, {}):
        ds = xr.open_dataset(bottle, engine="cbottle", members=3, chunks=chunks, cache_size=0)
        spread = ds.tas.isel(time=[4, 30]).std("member").compute()
        assert spread.shape == (2, 192)
        one = ds.ta.sel(member=1, pressure=85000).isel(time=slice(0, 40, 20)).compute()
        assert one.shape == (2, 192)
    assert drawn() == 2 * (2 * 3 + 2)


@pytest.mark.parametrize("chunks", [{}, {"time": 5, "cell": 48}, {"time": 3, "member": 2}], ids=str)
def test_taking_levels_cells_and_members_before_times(bottle, chunks):
    expected = xr.open_dataset(bottle, engine="cbottle", members=2)[["ta", "tas"]].isel(time=slice(0, 8)).load()
    ds = xr.open_dataset(bottle, engine="cbottle", members=2, chunks=chunks)[["ta", "tas"]].isel(time=slice(0, 8))
    for first in (
        dict(pressure=1), dict(cell=3), dict(pressure=0, cell=[5, 1, 5]), dict(member=1), dict(pressure=[1]),
        dict(member=[1, 0], cell=slice(3, 100, 7)), dict(cell=slice(None, None, -1)), dict(cell=slice(50, 50)),
        dict(member=0, pressure=1, cell=190),
    ):  # fmt: skip
        for then in (dict(), dict(time=[6, 2]), dict(time=slice(1, 7, 3)), dict(time=-1)):
            got = ds.isel(first).isel(then)
            xr.testing.assert_equal(got.compute(), expected.isel(first).isel(then))
            assert got.ta.dtype == np.float32


def test_indexing_decades_makes_no_task_for_each_chunk(tmp_path):
    """dask makes them at once, and each takes time, before anything is computed."""
    from dask.blockwise import Blockwise

    time = TimeSpec("1950-01-01", "2049-12-31T18:00:00", "PT6H")
    path = bottles.synthetic_bottle(tmp_path / "long.cbottle", time=time)
    ds = xr.open_dataset(path, engine="cbottle", chunks={})
    for part in (
        ds.sel(pressure=85000),
        ds.isel(cell=[7, 5]),
        ds.isel(time=slice(None, None, 4)),
        ds.sel(time=ds.time.dt.month.isin([12, 1, 2])).isel(pressure=0, cell=3),
        ds.chunk(time=28).isel(pressure=[1]),
    ):
        assert all(isinstance(layer, Blockwise) for layer in part.ta.data.dask.layers.values())
        assert part.ta.isel(time=-1).compute().dtype == np.float32


# Taking times apart ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [3, -1, np.int64(5), slice(None), slice(2, 9), slice(9, 2, -3), slice(None, None, 4), np.array([4]),
     np.array([7, 2]), np.array([2, 2, 9]), np.array([-1, 0, -10]), np.array([[1, 5], [5, 0]]), np.array(6)],
    ids=str,
)  # fmt: skip
def test_narrowing(key):
    axis = np.arange(100, 110)
    times, rest = narrowing(key, 10)
    np.testing.assert_array_equal(axis[times][rest], axis[key])
    assert len(set(axis[times])) == len(axis[times])


@pytest.mark.parametrize("key", [10, -11, slice(4, 4), np.array([], np.int64), np.array([3, 10]), None], ids=str)
def test_narrowing_leaves_to_others_what_is_wrong_or_nothing(key):
    assert narrowing(key, 10) is None


@pytest.mark.parametrize(
    ("positions", "runs"),
    [
        ([5], 1),
        ([5, 6, 7, 8], 1),
        ([0, 24, 48, 72], 1),
        ([9, 6, 3], 1),
        ([0, 1, 2, 10, 11, 12, 20, 21, 22], 3),
        ([1, 5, 30], 2),
        (list(np.flatnonzero(np.random.default_rng(0).random(500) < 0.3)), None),
    ],
)
def test_blocks_are_of_the_positions_that_are_taken(positions, runs):
    blocks = graph.Blocks(1, 3, 2, (range(1000),)).narrowed(np.array(positions))
    np.testing.assert_array_equal(blocks.positions, positions)
    assert len(blocks) == len(positions)
    assert runs is None or len(blocks.runs) == runs
    parts = [blocks.span(chunk, part) for chunk in range(-(-len(positions) // 3)) for part in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts), positions)
    assert max(map(len, parts)) <= 2
    again = blocks.narrowed(slice(None, None, 2))
    np.testing.assert_array_equal(again.positions, positions[::2])
    assert hash(again) == hash(blocks.narrowed(slice(None, None, 2)))


def test_seasons_of_many_years_stay_small():
    hours = np.arange("1979-01-01", "2014-01-01", dtype="datetime64[h]")
    summers = np.flatnonzero(np.isin(hours.astype("datetime64[M]").astype(int) % 12, [5, 6, 7]))
    blocks = graph.Blocks(1, 4, 4, (range(len(hours)),)).narrowed(summers)
    assert len(blocks.runs) == 35
    assert len(pickle.dumps(blocks)) < 3000
