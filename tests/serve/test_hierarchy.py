"""The Zarr hierarchy: documents as xarray would write them, and for any text a chunk or none. Nothing is drawn."""

from __future__ import annotations

import json
import math
import pickle
import tracemalloc

import numpy as np
import pytest
import zarr
from hypothesis import example, given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

from tests import bottles
from tests.doors.test_package import modules_after
from xr_cbottle import Cube
from xr_cbottle.cube.sources import DrawnInstants
from xr_cbottle.serve import hierarchy
from xr_cbottle.serve.hierarchy import Hierarchy
from xr_cbottle.serve.zarray import Array

TIMES = slice("1980-01-01", "1980-01-03", "PT12H")


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    return bottles.synthetic_bottle(tmp_path_factory.mktemp("hierarchy") / "small.cbottle")


@pytest.fixture(scope="module")
def small(bottle):
    """Few enough chunks to name them all."""
    return Hierarchy(Cube(bottle, time=TIMES, members=[0, 3]), "face")


@pytest.fixture(autouse=True)
def nothing_is_read(monkeypatch):
    def read(*_):
        raise AssertionError("drawn")

    monkeypatch.setattr(Cube, "read", read)
    monkeypatch.setattr(DrawnInstants, "draw", read)


def content(document: bytes):
    return json.loads(document, parse_constant=pytest.fail)  # NaN is no JSON


# Documents -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keywords", [{}, {"members": 2, "time": "P1D", "time_method": "mean"}, {"label": "b"}])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_attributes_and_types_are_what_xarray_would_write(bottle, keywords, zarr_format):
    cube = Cube(bottle, **keywords)
    ds = cube.lazy_dataset().drop_vars("cell").isel(time=slice(0, 2))
    for name, variable in ds.data_vars.items():  # values do not matter
        ds[name] = (variable.dims, np.zeros(variable.shape, np.float32), variable.attrs)
    written = MemoryStore()
    ds.to_zarr(written, zarr_format=zarr_format, consolidated=False)
    documents = Hierarchy(cube).documents()
    if zarr_format == 2:
        theirs = {key: content(value.to_bytes()) for key, value in written._store_dict.items() if "/.z" in f"/{key}"}
        ours = {key: content(documents[key]) for key in theirs}
        for key, document in ours.items():
            if key.endswith(".zarray"):
                for field in ("dtype", "fill_value", "order", "filters", "zarr_format", "dimension_separator"):
                    assert document[field] == theirs[key][field]
            else:
                assert document == theirs[key]
                assert list(document) == list(theirs[key])
    else:
        theirs = {k: content(v.to_bytes()) for k, v in written._store_dict.items() if k.endswith("zarr.json")}
        ours = {key: content(documents[key]) for key in theirs}
        for key, document in ours.items():
            theirs[key]["attributes"].pop("_FillValue", None)  # xarray's own, for NaN that is NaN anyway
            for field in ("attributes", "zarr_format", "node_type"):
                assert document[field] == theirs[key][field]
            if document["node_type"] == "array":
                for field in ("data_type", "fill_value", "chunk_key_encoding"):
                    assert document[field] == theirs[key][field]
                assert document["dimension_names"] == theirs[key].get("dimension_names", [])
                assert document["codecs"] == theirs[key]["codecs"][:1]


def test_all_documents_are_there_and_consolidated(small):
    documents = small.documents()
    names = {"ta", "ua", "zg", "tas", "pr", "rlut", "sst", "member", "time", "pressure", "crs", "cell_ids"}
    assert set(small.arrays) == names
    assert set(documents) == {".zgroup", ".zattrs", ".zmetadata", "zarr.json"} | {
        f"{name}/{document}" for name in names for document in (".zarray", ".zattrs", "zarr.json")
    }
    two = content(documents[".zmetadata"])
    assert two["zarr_consolidated_format"] == 1
    assert two["metadata"] == {
        key: content(text) for key, text in documents.items() if ".z" in key and key != ".zmetadata"
    }
    three = content(documents["zarr.json"])["consolidated_metadata"]
    assert three["metadata"] == {name: content(documents[f"{name}/zarr.json"]) for name in names}
    assert content(documents["zarr.json"])["attributes"] == content(documents[".zattrs"])
    with pytest.raises(TypeError):
        documents["x"] = b""
    assert small.documents() is documents


def test_there_is_no_array_of_cells(small):
    assert not [key for key in small.documents() if key.startswith("cell/")]
    assert small.chunk("cell/0") is None
    assert small.chunk("cell/c/0") is None


@pytest.mark.parametrize(
    ("keywords", "chunking", "chunks"),
    [
        ({}, None, {"ta": (1, 1, 192), "tas": (1, 192), "cell_ids": (192,), "time": (2924,), "crs": ()}),
        ({"zoom": 0}, None, {"ta": (1, 1, 12), "tas": (1, 12), "cell_ids": (12,)}),
        ({"zoom": 0}, "face", {"ta": (1, 1, 1), "tas": (1, 1), "cell_ids": (1,)}),
        ({}, "face", {"ta": (1, 1, 16), "tas": (1, 16), "cell_ids": (16,), "pressure": (2,)}),
        ({"members": 3}, "face", {"ta": (1, 1, 1, 16), "tas": (1, 1, 16), "member": (3,)}),
        ({"members": 3}, "globe", {"ta": (1, 1, 1, 192), "tas": (1, 1, 192), "member": (3,)}),
    ],
)
def test_chunks(bottle, keywords, chunking, chunks):
    arrays = Hierarchy(Cube(bottle, **keywords), chunking).arrays
    assert {name: arrays[name].chunks for name in chunks} == chunks


def test_faces_at_high_zooms(monkeypatch):
    icon = Cube("icon", time="P1D")  # zoom 6
    assert Hierarchy(icon).arrays["tas"].chunks == (1, 49152)
    monkeypatch.setattr(hierarchy, "FACES_FROM_ZOOM", 6)
    assert Hierarchy(icon).arrays["tas"].chunks == (1, 4096)
    assert Hierarchy(icon, "globe").arrays["tas"].chunks == (1, 49152)


def test_a_single_member_without_its_dimension(bottle):
    one = Hierarchy(Cube(bottle, members=[3]), member_dimension=False)
    assert one.arrays["tas"].dims == ("time", "cell")
    assert one.arrays["member"].shape == ()
    assert one.chunk("member/0").read() == np.int64(3).tobytes()
    assert one.chunk("tas/7.0").frames == ((0, 7),)
    none = Hierarchy(Cube(bottle), member_dimension=False)
    assert dict(none.documents()) == dict(Hierarchy(Cube(bottle)).documents())
    with pytest.raises(ValueError, match="2 members need a dimension"):
        Hierarchy(Cube(bottle, members=2), member_dimension=False)
    with pytest.raises(ValueError, match="choose 'face', 'globe', or None"):
        Hierarchy(Cube(bottle), "faces")


def test_documents_of_83_years_hourly_are_light():
    cube = Cube("icon", members=4096, time="PT1H")
    tracemalloc.start()
    one = Hierarchy(cube)
    one.documents()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert one.arrays["ta"].shape == (4096, 727_584, 8, 49152)
    assert peak < 40e6  # the times, for a moment
    assert len(pickle.dumps((one.documents().copy(), one.arrays))) < 200_000
    last = one.chunk("ta/4095.727583.7.0")
    assert (last.frames, last.nbytes) == (((4095, 727_583),), 4 * 49152)
    assert one.chunk("ta/c/4095/727583/7/0").frames == last.frames
    assert one.chunk("time/11").nbytes == 8 * 2**16
    assert one.chunk("time/12") is None
    assert kept < peak


def test_documents_import_little():
    code = """
from xr_cbottle import Cube
from xr_cbottle.serve.hierarchy import Hierarchy
one = Hierarchy(Cube("icon"))
one.documents(), one.chunk("tas/0.0").frames, one.chunk("time/0").read()
"""
    assert modules_after(code, ("torch", "healpy", "zarr", "scipy", "dask.array", "matplotlib")) == []


# Chunks ----------------------------------------------------------------------------------------------------


def test_all_keys(small):
    keys = list(small.keys())
    assert len(keys) == len(set(keys))
    for key in keys:
        chunk = small.chunk(key)
        assert (chunk is None) == (key in small.documents())
        if chunk is not None:
            assert (chunk.key, chunk.name) == (key, key.partition("/")[0])
            assert chunk.nbytes == math.prod(chunk.array.chunks) * np.dtype(chunk.array.dtype).itemsize
    variables = 3 * 2 * 6 * 2 * 12 + 4 * 2 * 6 * 12  # levels, members, times, faces
    assert len(keys) == len(small.documents()) + 2 * (variables + 4 + 12)  # and member, time, pressure, crs, cell_ids


def test_frames_and_selections(small):
    for key in ("ta/1.4.1.11", "ta/c/1/4/1/11"):
        chunk = small.chunk(key)
        assert chunk.frames == ((1, 4),)
        assert chunk.selection.pairs.tolist() == [[1, 4]]
        assert chunk.selection.cells == slice(176, 192)
        assert chunk.selection.shape == (16,)
        assert chunk.selection.levels.tolist() == [1]
    assert small.chunk("tas/1.4.0").frames == ((1, 4),)
    assert small.chunk("time/0").frames == ()
    assert small.chunk("time/0").selection is None


NUMBERS = st.one_of(
    st.integers(-2, 13).map(str),
    st.integers(0, 13).map(lambda n: f"0{n}"),
    st.integers(10**17, 10**30).map(str),
    st.sampled_from(["", "+1", " 1", "1 ", "1_0", "١", "1e0", "1.0", "0x1", "c", "..", "NaN", "１", "²", "9" * 5000]),
)
NAMES = st.sampled_from(["tas", "ta", "time", "crs", "cell_ids", "member", "pressure", "cell", "nope", "", "..", "TAS"])
KEYS = st.one_of(
    st.text(max_size=40),
    st.text("tascrmie_0123456789./-c", max_size=20),
    st.builds(
        lambda name, sep, parts, prefix: f"{name}/{prefix}{sep.join(parts)}",
        NAMES,
        st.sampled_from([".", "/", "//", "-"]),
        st.lists(NUMBERS, max_size=6),
        st.sampled_from(["", "c/", "c", "/"]),
    ),
)


@given(key=KEYS)
@example(key="tas/c/0/0/0/0")
@example(key="tas/0.0.0\n")
@example(key="crs/c/")
@example(key="tas/../tas/0.0.0")
@example(key="\udcff/0")
def test_any_text_is_a_key_or_none(small, key):
    every = getattr(small, "_every", None) or set(small.keys()) - set(small.documents())
    small._every = every
    assert (small.chunk(key) is not None) == (key in every)


@pytest.mark.parametrize("chunking", ["face", "globe"])
@pytest.mark.parametrize("times_in_a_chunk", [2**16, 1000, 731])
def test_coordinates_are_those_of_the_data_set(bottle, monkeypatch, chunking, times_in_a_chunk):
    monkeypatch.setattr(hierarchy, "_TIMES_IN_A_CHUNK", times_in_a_chunk)
    cube = Cube(bottle, members=[4, 1])
    one = Hierarchy(cube, chunking)
    ds = cube.lazy_dataset()
    for name in ("member", "time", "pressure", "cell_ids", "crs"):
        array = one.arrays[name]
        chunks = [one.chunk(f"{name}/{key}") for key in array.keys_v2()]
        parts = [chunk.read() for chunk in chunks]
        assert [len(part) for part in parts] == [chunk.nbytes for chunk in chunks]  # the last one is padded
        values = np.frombuffer(b"".join(parts), "<i8")
        expected = ds[name].values.astype("datetime64[s]") if name == "time" else ds[name].values
        np.testing.assert_array_equal(values[: array.shape[0] if array.shape else 1], expected.astype(np.int64).ravel())
        assert not values[array.shape[0] if array.shape else 1 :].any()


def test_times_one_by_one_and_far_away(bottle, tmp_path):
    listed = Hierarchy(Cube(bottle, time=["1980-02-01", "1980-01-01"]))
    times = np.frombuffer(listed.chunk("time/c/0").read(), "<i8")
    np.testing.assert_array_equal(times.astype("datetime64[s]"), np.array(["1980-02-01", "1980-01-01"], "M8[s]"))
    far = bottles.synthetic_bottle(tmp_path / "far.cbottle", time=bottles.TimeSpec("3000-01-01", "3000-12-31", "P1D"))
    one = Hierarchy(Cube(far))
    assert content(one.documents()["time/zarr.json"])["attributes"]["units"] == "seconds since 1970-01-01"
    times = np.frombuffer(one.chunk("time/0").read(), "<i8")
    assert times.astype("datetime64[s]")[0] == np.datetime64("3000-01-01")


# Lists -----------------------------------------------------------------------------------------------------


def test_lists_are_those_of_the_keys(small):
    keys = list(small.keys())
    for prefix in (
        "",
        "t",
        "ta",
        "ta/",
        "ta/c",
        "ta/c/1/",
        "ta/1.",
        "ta/.z",
        ".z",
        "zarr.json",
        "crs/",
        "crs/c",
        "no",
        "/",
    ):
        assert sorted(small.list_prefix(prefix)) == sorted(key for key in keys if key.startswith(prefix)), prefix
    folders = {""} | {key[:i] for key in keys for i, letter in enumerate(key) if letter == "/"}
    for folder in folders:
        start = f"{folder}/" if folder else ""
        below = {key.removeprefix(start).split("/")[0] for key in keys if key.startswith(start)}
        for text in (folder, f"{folder}/"):
            listed = list(small.list_dir(text))
            assert len(listed) == len(set(listed))
            assert set(listed) == below
    for nowhere in (
        "no",
        "tas/x",
        "tas/0.0.0",
        "ta/c/1/99",
        "crs/c",
        "crs/c/0",
        "tas/c/0/0/0",
        "tas/c/01",
        "../",
        "tas/c/-1",
    ):
        assert list(small.list_dir(nowhere)) == []


def test_lists_are_lazy():
    one = Hierarchy(Cube("icon", members=4096), "face")
    assert next(one.list_prefix("ta/c")) == "ta/c/0/0/0/0"
    assert next(one.list_prefix("ta/0.0.")) == "ta/0.0.0.0"
    assert len([key for _, key in zip(range(10_000), one.keys(), strict=False)]) == 10_000


def test_an_array_is_as_zarr_reads_it():
    array = Array("a", ("x", "y"), (5, 4), (2, 4), "float32", {"units": "K"})
    assert array.grid == (3, 1)
    for zarr_format, keys in ((2, array.keys_v2()), (3, array.keys_v3())):
        store = MemoryStore()
        options = {"fill_value": np.nan, "attributes": {"units": "K"}, "overwrite": True, "zarr_format": zarr_format}
        if zarr_format == 3:
            options["dimension_names"] = ["x", "y"]
        made = zarr.create_array(
            store, shape=(5, 4), chunks=(2, 4), dtype="<f4", compressors=None, filters=None, **options
        )
        made[:] = 1
        written = {key: value.to_bytes() for key, value in store._store_dict.items()}
        assert sorted(keys) == sorted(key for key in written if "z" not in key)
        if zarr_format == 3:
            assert array.document_v3() == json.loads(written["zarr.json"])
        else:
            ours, attributes = array.documents_v2()
            assert ours == json.loads(written[".zarray"])
            assert attributes == {"units": "K", "_ARRAY_DIMENSIONS": ["x", "y"]}
        assert {len(value) for key, value in written.items() if "z" not in key} == {array.chunk_nbytes}


def test_the_repr_says_what_it_is(bottle):
    assert "chunks of one globe" in repr(Hierarchy(Cube(bottle)))
