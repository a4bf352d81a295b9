"""The engine as users meet it: what it opens, how fast, what it looks like and what it refuses."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import subprocess
import sys
import warnings

import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from dask.base import tokenize

from tests import bottles, webserver
from xr_cbottle import Cube, open_bottle
from xr_cbottle.backend import CbottleBackendEntrypoint
from xr_cbottle.bottle.errors import BottleError, BottleNotFound
from xr_cbottle.bottle.records import TimeSpec
from xr_cbottle.cube import cache

pytestmark = pytest.mark.filterwarnings("ignore:The specified chunks separate:UserWarning")

FOUR = ["ta", "tas", "pr", "sst"]


@pytest.fixture(scope="session")
def bottle(tmp_path_factory):
    return bottles.synthetic_bottle(tmp_path_factory.mktemp("backend") / "small.cbottle")


@pytest.fixture
def drawn(bottle):
    cache.shared().clear()
    emulator = Cube(bottle).emulator()
    before = emulator.drawn
    return lambda: emulator.drawn - before


@pytest.fixture
def ahead(bottle):
    """How many instants were drawn in places of a batch that would have been empty."""
    emulator = Cube(bottle).emulator()
    before = emulator.ahead
    return lambda: emulator.ahead - before


def open_dataset(path, **keywords):
    return xr.open_dataset(path, engine="cbottle", **keywords)


# Opening ---------------------------------------------------------------------------------------------------


def test_guesses_by_suffix_only(bottle, tmp_path):
    entry = CbottleBackendEntrypoint()
    for name in (bottle, str(bottle), "https://x.org/a.cbottle", "folder.cbottle/", "A.CBOTTLE"):
        assert entry.guess_can_open(name)
    for name in ("a.nc", "a.zarr", "cbottle", 5, None, b"a.cbottle", open(os.devnull, "rb")):  # noqa: SIM115
        assert not entry.guess_can_open(name)
    assert list(xr.open_dataset(bottle).data_vars) == ["ta", "ua", "zg", "tas", "pr", "rlut", "sst"]


@contextlib.contextmanager
def opened(kind, bottle):
    """An open file of a bottle, and the path or URL that it is opened by."""
    if kind == "fsspec on a web server":
        with webserver.WebServer(bottle.parent) as server:
            url = f"{server.url}/{bottle.name}"
            with fsspec.open(url) as file:
                yield file, url
    elif kind == "fsspec, not opened yet":
        yield fsspec.open(str(bottle)), str(bottle)
    else:
        with open(bottle, "rb") if kind == "open" else fsspec.open(f"file://{bottle}") as file:
            yield file, str(bottle)


@pytest.mark.parametrize("kind", ["open", "fsspec", "fsspec, not opened yet", "fsspec on a web server"])
def test_open_files_are_bottles(kind, bottle, tmp_path, monkeypatch):
    monkeypatch.setenv("XR_CBOTTLE_CACHE", str(tmp_path))
    with opened(kind, bottle) as (file, where):
        assert CbottleBackendEntrypoint().guess_can_open(file)
        ds = open_dataset(file, chunks={})
        assert open_bottle(file).path == where
        assert xr.open_datatree(file, engine="cbottle").groups
        copy = pickle.loads(pickle.dumps(ds.tas[0]))
        xr.testing.assert_identical(copy.load(), open_dataset(bottle).tas[0].load())


@pytest.mark.parametrize("given", [io.BytesIO(b"PK"), 5, None, ["gcm"]])
def test_what_cannot_be_opened_again_is_refused(given):
    with pytest.raises(TypeError, match=r"is no bottle: give a path.*written to a file NAME\.cbottle"):
        open_dataset(given)


LIGHT = """
import json, sys
import xarray as xr
ds = xr.open_dataset(sys.argv[1], engine="cbottle")
heavy = [name for name in ("dask.array", "scipy") if name in sys.modules]
repr(ds), ds.nbytes, ds.isel(time=slice(0, 100)).sel(cell=5), ds.attrs
heavy += [name for name in ("torch", "healpy", "matplotlib") if name in sys.modules]
print(json.dumps([heavy, ds.sizes["time"]]))
"""


@pytest.mark.parametrize("name", ["icon", "small"])
def test_opening_imports_nothing_heavy(name, bottle):
    """How long it takes is measured by tests/benchmarks/bench_open.py."""
    command = [sys.executable, "-c", LIGHT, "icon" if name == "icon" else str(bottle)]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(out.stdout) == [[], 727_584 if name == "icon" else 2924]


def test_import_alone_is_light():
    heavy = "('torch', 'healpy', 'matplotlib')"
    code = f"import sys, xr_cbottle, xr_cbottle.backend; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"


def test_opens_bottles_and_cubes(bottle):
    ds = open_dataset(bottle, seed=3)
    assert ds.encoding["source"] == str(bottle)
    xr.testing.assert_identical(
        ds.attrs and ds.coords.to_dataset(), open_dataset(str(bottle), seed=3).coords.to_dataset()
    )
    assert open_dataset(open_bottle(bottle)).sizes == ds.sizes
    assert open_dataset(Cube(bottle, seed=3)).attrs == ds.attrs
    with pytest.raises(TypeError, match="leave out zoom"):
        open_dataset(Cube(bottle), zoom=1)
    with open_dataset(bottle) as closed:
        assert closed.tas.isel(time=0).values.size == 192
    closed.close()


# The form --------------------------------------------------------------------------------------------------


def test_form(bottle):
    ds = open_dataset(bottle, members=2)
    assert dict(ds.sizes) == {"member": 2, "time": 2924, "pressure": 2, "cell": 192}
    assert ds.ta.dims == ("member", "time", "pressure", "cell")
    assert ds.tas.dims == ("member", "time", "cell")
    assert {v.dtype for v in ds.data_vars.values()} == {np.dtype("float32")}
    assert ds.time.dtype == "datetime64[ns]"
    assert ds.indexes["time"].is_monotonic_increasing
    assert ds.pressure.dtype == np.int64
    assert ds.pressure.values.tolist() == [50000, 85000]
    assert ds.pressure.attrs == {
        "long_name": "air pressure", "standard_name": "air_pressure", "units": "Pa", "axis": "Z", "positive": "down"
    }  # fmt: skip
    assert ds.cell.dtype == np.int64
    assert ds.cell.attrs["standard_name"] == "healpix_index"
    assert ds.cell.attrs["units"] == "1"
    np.testing.assert_array_equal(ds.cell.values, np.arange(192))
    assert "cell_ids" not in ds.indexes
    assert "cell_ids" in ds.coords
    assert "lat" not in ds
    assert "lon" not in ds
    assert ds.cell_ids.attrs == {"grid_name": "healpix", "level": 2, "indexing_scheme": "nested"}
    assert ds.crs.dims == ()
    assert ds.crs.dtype == np.int64
    assert int(ds.crs) == 1
    assert ds.crs.attrs == {
        "long_name": "HEALPix grid, nested order", "grid_mapping_name": "healpix", "healpix_nside": 4,
        "healpix_order": "nest", "refinement_level": 2, "indexing_scheme": "nested",
    }  # fmt: skip
    for variable in ds.data_vars.values():
        assert {"units", "long_name", "standard_name", "cell_methods"} <= set(variable.attrs)
        assert variable.attrs["grid_mapping"] == "crs"
        assert variable.attrs["cell_methods"] == "time: point"
    assert ds.ta.encoding["preferred_chunks"] == {"member": 1, "time": 4, "pressure": 2, "cell": 192}
    for holder in (ds, *ds.variables.values()):
        for value in holder.attrs.values():
            assert isinstance(value, (str, int, float, np.int32))
            assert not isinstance(value, bool)


def test_attributes_say_what_made_the_values(bottle):
    ds = open_dataset(bottle, label="b", seed=7, num_steps=4, zoom=1, time="P1D", time_method="mean")
    attrs = ds.attrs
    assert attrs["Conventions"] == "CF-1.13"
    assert attrs["license"] == "CC0-1.0"
    assert attrs["bottle"] == "small"
    assert attrs["bottle_digest"] == "sha256:" + open_bottle(bottle).digest
    assert (attrs["label"], attrs["seed"], attrs["num_steps"], attrs["precision"]) == ("b", 7, 4, "float32")
    assert (attrs["zoom"], attrs["native_zoom"], attrs["instants_per_value"]) == (1, 2, 4)
    assert "mean of 4 instants every PT6H" in attrs["time_method"]
    assert "zoom=1, time=P1D, time_method=mean, seed=7, label=b, num_steps=4" in attrs["history"]
    assert "drawn under label a" in ds.rlut.attrs["comment"]
    assert "sea surface temperature" in ds.sst.attrs["comment"]
    assert "comment" not in open_dataset(bottle).rlut.attrs
    assert "no keywords" in open_dataset(bottle).attrs["history"]
    assert open_dataset(bottle).attrs == open_dataset(bottle).attrs


def test_levels_are_those_that_were_chosen_or_given(tmp_path):
    levels = [80.0, 6.0, 0.7, 0.05]
    sampler = bottles.SamplerDefaults(4, 0.02, 80.0, solver="dpmpp_2m", sigmas=(tuple(levels),))
    chosen = bottles.synthetic_bottle(tmp_path / "chosen.cbottle", sampler=sampler)
    at = {"time": ["1980-01-05T06"]}
    ds = open_dataset(chosen, **at)
    assert ds.attrs["sampler"] == "DPM-Solver++(2M), chosen noise levels, no churn"
    assert (ds.attrs["num_steps"], ds.attrs["sigma_max"], ds.attrs["sigma_min"]) == (4, 80.0, 0.05)
    assert ds.attrs["sigmas"] == levels
    assert "rho" not in ds.attrs
    given = open_dataset(chosen, sigmas=np.array(levels), **at)
    assert "sigmas=[8.e+01 6.e+00 7.e-01 5.e-02]" in given.attrs["history"]
    np.testing.assert_array_equal(ds.tas, given.tas)
    for other in ({"num_steps": 5}, {"sigma_min": 0.03}, {"solver": "heun"}):
        spaced = open_dataset(chosen, **other, **at)
        assert "sigmas" not in spaced.attrs
        assert spaced.attrs["rho"] == 7.0
        assert float(abs(spaced.tas - ds.tas).max()) > 1e-3
    many = open_dataset(chosen, sigmas=np.geomspace(80, 0.02, 60), **at)
    np.testing.assert_allclose(many.tas, open_dataset(chosen, num_steps=60, **at).tas, atol=1.0)


def test_a_solver_with_one_evaluation_a_step_comes_to_the_same(bottle):
    at = dict(time="1980-01-02", drop_variables=["rlut"])
    heun, other = (open_dataset(bottle, num_steps=40, solver=name, **at) for name in ("heun", "dpmpp_2m"))
    assert heun.attrs["sampler"] == "Heun, EDM schedule, no churn"
    assert other.attrs["sampler"] == "DPM-Solver++(2M), EDM schedule, no churn"
    assert "solver=dpmpp_2m" in other.attrs["history"]
    difference = abs(heun.tas - other.tas) / heun.tas.std()
    assert 0 < float(difference.max()) < 0.1


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_to_netcdf(bottle, tmp_path, engine):
    ds = open_dataset(bottle, members=2).isel(time=slice(0, 3))
    ds.to_netcdf(tmp_path / "a.nc", engine=engine)
    with xr.open_dataset(tmp_path / "a.nc", engine=engine) as back:
        xr.testing.assert_equal(back.load(), ds.compute())
        assert back.tas.attrs["grid_mapping"] == "crs"
        assert back.attrs["bottle"] == "small"
        assert back.crs.attrs == ds.crs.attrs


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [None, {}])
def test_to_zarr_and_on(bottle, tmp_path, zarr_format, chunks):
    ds = open_dataset(bottle, chunks=chunks)[FOUR].isel(time=slice(0, 16))
    ds.to_zarr(tmp_path / "a.zarr", zarr_format=zarr_format, consolidated=False)
    back = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)
    xr.testing.assert_equal(back.compute(), ds.compute())
    assert back.tas.attrs["grid_mapping"] == "crs"
    later = open_dataset(bottle)[FOUR].isel(time=slice(16, 20))
    later.to_zarr(tmp_path / "a.zarr", append_dim="time", consolidated=False)
    back = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)
    np.testing.assert_array_equal(back.time.values, open_dataset(bottle).time.values[:20])


# Drawing through the engine --------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [None, {}, {"time": 1}, {"time": 3}, {"time": 16}, "auto", {"time": 16, "cell": 64}])
def test_each_instant_once(bottle, drawn, ahead, tmp_path, chunks):
    ds = open_dataset(bottle, time=slice("1980-01-01", "1980-01-04"), chunks=chunks)
    ds[FOUR].isel(time=slice(0, 16)).to_zarr(tmp_path / "a.zarr", consolidated=False)
    assert drawn() + ahead() == 16
    back = xr.open_zarr(tmp_path / "a.zarr", consolidated=False).compute()
    xr.testing.assert_equal(back, ds[FOUR].isel(time=slice(0, 16)).compute())


@pytest.mark.parametrize("chunks", [{}, {"time": 3}, {"time": 100}, "auto"])
def test_chunks_share_one_graph_and_draw_no_more_than_is_read(bottle, drawn, chunks):
    ds = open_dataset(bottle, chunks=chunks, cache_size=0)
    part = ds[FOUR].isel(time=slice(5, 21)).compute()
    assert drawn() == 16
    xr.testing.assert_equal(part, open_dataset(bottle)[FOUR].isel(time=slice(5, 21)).compute())
    later = open_dataset(bottle, cache_size=0).chunk(time=4)[FOUR].isel(time=slice(40, 48))
    before = drawn()
    later.compute()
    assert drawn() - before == 8


def test_irregular_chunks_work_too(bottle, drawn, ahead):
    ds = open_dataset(bottle, chunks={"time": (3, 5, 2916)})[FOUR].isel(time=slice(0, 8))
    xr.testing.assert_equal(ds.compute(), open_dataset(bottle)[FOUR].isel(time=slice(0, 8)).compute())
    assert 8 <= drawn() + ahead() <= 12  # what comes after the eighth may fill a batch


def test_very_large_chunks_are_read_one_by_one(tmp_path):
    time = TimeSpec("1000-01-01", "9999-12-31T18:00:00", "PT6H")
    path = bottles.synthetic_bottle(tmp_path / "long.cbottle", zoom=3, channels=("tas", "pr"), time=time)
    ds = open_dataset(path, chunks={"time": 500_000})
    assert ds.tas.data.name.startswith("open_dataset")
    assert ds.time.dtype == "datetime64[s]"
    assert xr.open_dataset(path).tas.isel(time=[0, -1]).compute().shape == (2, 768)


def test_tokens_do_not_know_the_file(bottle, tmp_path):
    def token(path, **keywords):
        return tokenize(open_dataset(path, chunks={}, **keywords))

    first = token(bottle)
    os.utime(bottle, (1, 1))
    assert token(bottle) == first
    copy = tmp_path / bottle.name
    copy.write_bytes(bottle.read_bytes())
    assert open_dataset(copy, chunks={}).tas.data.name == open_dataset(bottle, chunks={}).tas.data.name
    assert token(bottle, seed=1) != first


def test_chunks_of_any_kind_draw_nothing(bottle, drawn):
    for chunks in ({}, "auto", {"time": 5}, 100, {"cell": 96}):
        ds = open_dataset(bottle, chunks=chunks)
        assert tokenize(ds)
        pickle.loads(pickle.dumps(ds))
        assert repr(ds)
    assert drawn() == 0


def test_without_xarrays_own_cache(bottle, drawn):
    ds = open_dataset(bottle, cache=False)
    assert ds.tas.isel(time=slice(0, 2)).values.shape == (2, 192)
    assert drawn() == 2


def test_open_mfdataset_and_grouping(bottle, drawn):
    both = xr.open_mfdataset(
        [bottle, bottle],
        engine="cbottle",
        combine="nested",
        concat_dim="member",
        time=slice("1980-01-01", "1980-01-02"),
    )
    assert both.tas.sizes["member"] == 2
    assert both.tas.compute().shape == (2, 8, 192)
    ds = open_dataset(bottle, time=slice("1980-01-01", "1980-01-05"))
    assert ds.tas.groupby("time.hour").mean().sizes["hour"] == 4
    assert drawn() == 20


def test_drop_variables(bottle):
    assert list(open_dataset(bottle, drop_variables=["ta", "ua", "zg"]).data_vars) == ["tas", "pr", "rlut", "sst"]
    assert "tas" not in open_dataset(bottle, drop_variables="tas")


# What is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        (dict(zoom=3), "zoom is 3: small has zooms 0 to 2, and no super-resolution"),
        (dict(zoom=-1), "zooms 0 to 2"),
        (dict(zoom="2"), "zooms 0 to 2"),
        (dict(zoom=True), "zooms 0 to 2"),
        (dict(label="icon"), "small has the labels a, b"),
        (dict(label=1), "labels a, b"),
        (dict(seed=None), "seed is None: it must be an integer from 0"),
        (dict(seed=-1), "seed is -1"),
        (dict(seed=2**63), "seed"),
        (dict(members=0), "give how many, at least 1"),
        (dict(members=[1, 1]), "each once"),
        (dict(members=[]), "at least one"),
        (dict(members="3"), "member"),
        (dict(members=2.5), "give how many, or a list"),
        (dict(members=[-1]), "a member is -1"),
        (dict(time="PT1H"), "no multiple of the bottle's PT6H"),
        (dict(time="1979-01-01"), "out of range: there are 1980-01-01T00:00 to 1981-12-31T18:00"),
        (dict(time_method="max"), "choose one of inst, mean"),
        (dict(num_steps=1), "num_steps is 1"),
        (dict(num_steps=2.0), "num_steps"),
        (dict(solver="euler"), "solver is 'euler': choose one of heun, dpmpp_2m, ipndm3"),
        (dict(sigmas=[1.0, 2.0]), "give 2 to 10000 noise levels, each less than the one before"),
        (dict(sigmas=[1.0]), "give 2 to 10000 noise levels"),
        (dict(sigmas="80,2"), "give 2 to 10000 noise levels"),
        (dict(sigmas=3.0), "give 2 to 10000 noise levels"),
        (dict(sigmas=[2.0, 0.0]), "sigmas is 0"),
        (dict(sigmas=[2.0, 1.0], sigma_min=0.1), "sigmas gives all noise levels: leave sigma_min out"),
        (dict(sigma_min=0), "sigma_min is 0: it must be a positive number"),
        (dict(sigma_max=float("nan")), "sigma_max is nan"),
        (dict(sigma_min=90.0), "sigma_min is 90 and sigma_max 80"),
        (dict(precision="float64"), "choose one of float32, tf32, bfloat16, float16"),
        (dict(batch_size=0), "batch_size is 0"),
        (dict(cache_size="lots"), "give bytes, or text such as '2 GiB'"),
        (dict(cache_size=-1), "cache_size is -1"),
        (dict(cache_size=1.5), "cache_size is 1.5"),
        (dict(cache_dir=__file__), "give the path of a folder"),
        (dict(cache_dir=5), "give the path of a folder"),
        (dict(max_instants=0), "max_instants is 0"),
        (dict(progress="bar"), "choose True, False, or None"),
        (dict(sst=5), "an SST is a path, a Dataset or a DataArray, not int"),
        (dict(sst=xr.Dataset()), "which variable"),
    ],
    ids=str,
)
def test_wrong_values(bottle, keywords, says):
    with pytest.raises(ValueError, match=says) as caught:
        open_dataset(bottle, **keywords)
    assert "\n" not in str(caught.value)


def test_wrong_devices_are_refused_where_values_are_read(bottle):
    ds = open_dataset(bottle, device="abacus")
    with pytest.raises(ValueError, match="device is 'abacus': use cpu"):
        ds.tas.isel(time=0).load()


def test_unknown_keywords(bottle):
    with pytest.raises(TypeError, match="unknown keyword tim: a data set takes zoom, time, time_method"):
        open_dataset(bottle, tim="PT6H")
    assert open_dataset(bottle, decode_times=True, decode_coords="all").sizes["time"] == 2924


def test_what_is_no_bottle(bottle, tmp_path):
    with pytest.raises(BottleNotFound, match="nowhere"):
        open_dataset("nowhere.cbottle")
    broken = tmp_path / "broken.cbottle"
    broken.write_bytes(bottle.read_bytes()[:1000])
    with pytest.raises(BottleError):
        open_dataset(broken)


def test_cache_sizes_in_words(bottle):
    assert Cube(bottle, cache_size="2 GiB").reading.cache_size == 2 * 2**30
    assert Cube(bottle, cache_size=0).reading.cache_size == 0
    assert Cube(bottle).reading.cache_size is None


@pytest.mark.parametrize(
    "decoder", [{"decode_times": False}, {"mask_and_scale": False}, {"decode_coords": False}, {"use_cftime": True}]
)
def test_decoding_that_cannot_be_undone_is_refused(bottle, decoder):
    (name,) = decoder
    with pytest.raises(ValueError, match=f"{name}={decoder[name]} cannot be had: a bottle holds no encoded values"):
        open_dataset(bottle, **decoder)


def test_decoding_that_holds_is_taken(bottle):
    with pytest.raises(ValueError, match="comes decoded"):
        open_dataset(bottle, decode_cf=False)
    plain = open_dataset(bottle)
    same = open_dataset(bottle, decode_cf=True, decode_times=True, decode_coords="all", decode_timedelta=False)
    assert (same.attrs, same.sizes, list(same.variables)) == (plain.attrs, plain.sizes, list(plain.variables))


# xarray's other doors -----------------------------------------------------------------------------------------------


def test_open_mfdataset_knows_bottles_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = {"time": ["1990-07-15T06"], "num_steps": 2}
    both = xr.open_mfdataset(
        ["gcm", "gcm"], engine="cbottle", combine="nested", concat_dim="run", backend_kwargs=few,
        preprocess=lambda ds: ds[["tas"]],
    )  # fmt: skip
    assert both.tas.sizes["run"] == 2
    with pytest.raises(FileNotFoundError, match="did you mean 'gcm'"):
        xr.open_mfdataset(["gmc"], engine="cbottle")


@pytest.mark.parametrize("label", [None, "b"])
def test_a_tree_has_every_zoom_of_every_label(bottle, label):
    keywords = {} if label is None else {"label": label}
    tree = xr.open_datatree(bottle, engine="cbottle", **keywords)
    groups = xr.open_groups(bottle, engine="cbottle", **keywords)
    paths = {f"/{name}/zoom_{zoom}" for name in open_bottle(bottle).manifest.labels for zoom in range(3)}
    assert set(groups) - {"/"} == (paths if label is None else {f"/zoom_{zoom}" for zoom in range(3)})
    for path, ds in groups.items():
        if path != "/":
            assert ds.sizes["cell"] == 12 * 4 ** int(path[-1])
            assert tree[path].sizes == ds.sizes
            assert ds.attrs["label"] == (label or path.split("/")[1])
    with pytest.raises(TypeError, match="a tree has all zooms: leave zoom out"):
        xr.open_datatree(bottle, engine="cbottle", zoom=1)


@pytest.mark.parametrize(
    ("text", "count"), [("1980-02", 29 * 4), ("1980", 366 * 4), ("1980-02-03", 4), ("1980-02-03T06", 1)]
)
def test_a_part_of_a_date_is_all_of_it(bottle, text, count):
    whole = open_dataset(bottle)
    opened = open_dataset(bottle, time=text)
    assert opened.sizes["time"] == count == whole.sel(time=[text] if "T" in text else text).sizes["time"]
    assert opened.time.values[0] == whole.sel(time=text).time.values.ravel()[0]


@pytest.mark.parametrize(
    "time",
    [
        "1980-02-03T06:00Z", "1980-02-03T08:00+02:00", pd.Timestamp("1980-02-03T07", tz="Europe/Berlin"),
        pd.DatetimeIndex(["1980-02-03T06"], tz="UTC"), ["1980-02-03T06:00Z"],
    ],
)  # fmt: skip
def test_times_of_a_zone_are_brought_to_utc(bottle, time):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = open_dataset(bottle, time=time)
    assert ds.time.values.tolist() == [np.datetime64("1980-02-03T06", "ns").astype(int)]


def test_chunks_that_no_graph_can_hold_are_refused():
    with pytest.raises(ValueError, match=r"cut \w+ into \d{7,} pieces, along .*cell too: name the dimension"):
        xr.open_dataset("gcm", engine="cbottle", chunks=10)
    assert xr.open_dataset("gcm", engine="cbottle", chunks={"time": 10}).tas.chunks[0][0] == 10
