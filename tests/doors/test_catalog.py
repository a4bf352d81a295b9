"""The intake driver and the catalogs, with the intake that is installed and, at the end, in other environments."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import os
import pickle
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import intake
import numpy as np
import pytest
import xarray as xr
import yaml

from tests import bottles, environments
from tests.doors.test_package import modules_after
from tests.webserver import WebServer
from xr_cbottle import Cube, open_bottle
from xr_cbottle.backend import KEYWORDS
from xr_cbottle.bottle import location
from xr_cbottle.catalog import MAIN, CbottleSource
from xr_cbottle.cube import cache
from xr_cbottle.cube.chunks import from_text as chunks_of
from xr_cbottle.cube.keywords import from_text as exact
from xr_cbottle.draw.fine import finest_zoom
from xr_cbottle.serve import address

pytestmark = [
    pytest.mark.usefixtures("unfilled"),
    # intake says so of every parameter that is text.
    pytest.mark.filterwarnings("ignore:Shell command not executed:UserWarning"),
    pytest.mark.filterwarnings("ignore:The specified chunks separate:UserWarning"),
]

FOLDER = Path(MAIN).parent
CATALOG = """
metadata: {version: 1}
sources:
  x:
    driver: cbottle
    description: a small one
    args:
      urlpath: "{{CATALOG_DIR}}/small.cbottle"
      chunks: null
      batch_size: 2
      zoom: "{{ zoom }}"
      time: "{{ time }}"
      time_method: "{{ time_method }}"
      seed: "{{ seed }}"
      members: "{{ members }}"
      label: "{{ label }}"
    parameters:
      zoom: {allowed: [2, 1, 0], default: 2, description: level, type: int}
      time: {allowed: [PT6H, P1D], default: PT6H, description: step, type: str}
      time_method: {allowed: [inst, mean], default: inst, description: method, type: str}
      seed: {default: 0, description: seed, type: int}
      members: {default: 0, description: members, type: other}
      label: {allowed: [a, b], default: a, description: label, type: str}
    metadata: {title: small}
  a.b: {driver: cbottle, args: {urlpath: "{{CATALOG_DIR}}/small.cbottle"}}
  nested: {driver: yaml_file_cat, args: {path: "{{CATALOG_DIR}}/catalog.yaml"}}
  words:
    driver: cbottle
    args: {urlpath: "{{CATALOG_DIR}}/small.cbottle", zoom: "{{ {'coarse': 0, 'fine': 2}[resolution] }}"}
    parameters:
      resolution: {allowed: [coarse, fine], default: fine, description: in words, type: str}
  forgetful:
    driver: cbottle
    args: {urlpath: "{{CATALOG_DIR}}/small.cbottle", seed: 1}
    parameters:
      zoom: {default: 1, description: level, type: int}
      seed: {default: 2, description: seed, type: int}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalog")
    bottles.synthetic_bottle(folder / "small.cbottle")
    (folder / "catalog.yaml").write_text(CATALOG)
    return folder


@pytest.fixture
def cat(folder):
    return intake.open_catalog(str(folder / "catalog.yaml"))


@pytest.fixture
def drawn(folder):
    cache.shared().clear()
    emulator = Cube(folder / "small.cbottle", batch_size=2).emulator()
    before = emulator.drawn
    return lambda: emulator.drawn - before


def expected(folder, **keywords):
    return xr.open_dataset(folder / "small.cbottle", engine="cbottle", batch_size=2, **keywords)


# The driver ------------------------------------------------------------------------------------------------


def test_intake_knows_the_driver():
    assert "cbottle" in intake.registry
    assert intake.open_cbottle is CbottleSource
    source = intake.open_cbottle("gcm", zoom=3)
    assert (source.container, source.name, source.partition_access) == ("xarray", "cbottle", True)
    assert source.to_dask().sizes["cell"] == 768


def test_opening_draws_nothing_and_imports_no_torch():
    code = f"import intake; cat = intake.open_catalog({MAIN!r})\n" + "\n".join(
        f"cat[{name!r}](zoom=3, seed=1).to_dask()" for name in location.bundled()
    )
    assert modules_after(code, ("torch", "healpy")) == []


PARAMETERS = {"zoom": 1, "time": "P1D", "time_method": "mean", "seed": 3, "members": 2, "label": "b"}


@pytest.mark.parametrize(
    "call",
    [
        lambda cat: cat["x"](**PARAMETERS),
        lambda cat: cat.x(**PARAMETERS),
        lambda cat: cat.x(zoom=1, members=2)(time="P1D")(time_method="mean", seed=3, label="b"),
        lambda cat: cat.x(zoom=2, seed=9)(**PARAMETERS),
        lambda cat: cat.x.get(**PARAMETERS),
        lambda cat: cat.x.configure_new(**PARAMETERS),
        lambda cat: cat["nested.x"](**PARAMETERS),
        lambda cat: cat["nested", "x"](**PARAMETERS),
        lambda cat: cat.nested["nested.x"](zoom=1)(**PARAMETERS),
        lambda cat: cat.nested.nested.x(**{k: str(v) for k, v in PARAMETERS.items()}),
        lambda cat: pickle.loads(pickle.dumps(cat.x(**PARAMETERS))),
        lambda cat: pickle.loads(pickle.dumps(cat.x(zoom=2)))(**PARAMETERS),
    ],
)
def test_parameters_take_effect_however_they_are_given(cat, folder, call):
    ds, wanted = call(cat).to_dask(), expected(folder, **PARAMETERS)
    assert ds.attrs == wanted.attrs
    xr.testing.assert_identical(ds.tas[:, :2].load(), wanted.tas[:, :2].load())
    assert not ds.tas.chunks


def test_a_dotted_name_is_found(cat):
    assert cat["a.b"].to_dask().sizes["cell"] == 192
    assert cat["a.b"](zoom=0).to_dask().sizes["cell"] == 12
    assert cat["nested.a.b"](zoom=0).to_dask().sizes["cell"] == 12


def test_a_parameter_may_have_other_names_than_the_keyword(cat):
    assert cat.words.to_dask().sizes["cell"] == 192
    assert cat.words(resolution="coarse")(seed=4).to_dask().attrs["zoom"] == 0


def test_calls_leave_the_entry_as_it_was(cat):
    cat.x(zoom=0, seed=5).to_dask()
    ds = cat.x.to_dask()
    assert (ds.attrs["zoom"], ds.attrs["seed"]) == (2, 0)


def test_parameters_that_the_entry_does_not_declare_go_to_the_engine(cat):
    ds = cat.x(num_steps=5, drop_variables=["tas"], cache_size="1 MiB").to_dask()
    assert ds.attrs["num_steps"] == 5
    assert "tas" not in ds
    source = cat.x
    for name in KEYWORDS:
        assert source(**{name: None}).to_dask().attrs["zoom"] == 2  # None is the default of each


@pytest.mark.parametrize("chunks", [{}, "auto", "{}", {"time": "auto"}])
def test_preferred_chunks(cat, folder, chunks):
    ds = cat.x(chunks=chunks, members=2).to_dask()
    xr.testing.assert_equal(ds.isel(time=slice(2)), expected(folder, members=2).isel(time=slice(2)))
    assert ds.chunks["time"][:2] == (2, 2)
    assert ds.chunks["member"] == (1, 1)
    assert ds.chunks["cell"] == (192,)


def test_other_chunks(cat):
    assert cat.x(chunks={"time": 8}).to_dask().chunks["time"][:2] == (8, 8)
    assert cat.x(chunks=8).to_dask().chunks["cell"] == (192,)
    assert cat.x(chunks={})(chunks=None).to_dask().chunks == {}
    assert cat["a.b"].to_dask().chunks["time"][0] == 4  # as with other sources: dask, unless the entry says no


def test_one_graph_for_all_variables(cat, drawn):
    ds = cat.x(chunks={}).to_dask()[["tas", "ta", "pr"]].isel(time=slice(4))
    ds.compute()
    assert drawn() == 4


def test_read_draws_each_instant_once(cat, folder, drawn):
    several = cat["a.b"](time=["1980-01-01T06", "1981-01-01"], members=2, batch_size=2, cache_size=0)
    ds = several.read()
    assert drawn() == 4
    assert all(isinstance(variable._data, np.ndarray) for variable in ds.data_vars.variables.values())
    wanted = several.to_dask()
    xr.testing.assert_identical(ds, wanted.load())
    assert ds.tas.encoding == wanted.tas.encoding


def test_read_is_refused_beyond_max_instants(cat, drawn):
    # 1980 and 1981 every 6 hours
    message = (
        r"x.read\(\) would draw all 2924 instants of the data set, and max_instants is 100: take .to_dask\(\) and "
        r"select what you need, choose longer steps or fewer members, or give max_instants=2924"
    )
    with pytest.raises(ValueError, match=message):
        cat.x(max_instants=100).read()
    with pytest.raises(ValueError, match="all 8772 instants"):
        cat.x(max_instants=100, members=3, time="P1D", time_method="mean").read()
    assert drawn() == 0


def test_partitions_are_the_data_set(cat, drawn):
    times = ["1980-01-01T00", "1980-01-01T06", "1980-01-02T00"]
    with cat["a.b"](time=times, members=2, batch_size=2) as source:
        assert source.npartitions == 4
        parts = [source.read_partition(i) for i in range(4)]
        assert drawn() == 6
        whole = source.read()
        assert source.read_chunked().sizes == whole.sizes
    assert [dict(part.sizes)["time"] for part in parts] == [2, 1, 2, 1]
    xr.testing.assert_identical(xr.combine_by_coords(parts, combine_attrs="override"), whole)
    with pytest.raises(IndexError, match="out of range"):
        source.read_partition(4)


def test_discover_and_metadata(cat, drawn):
    source = cat.x(members=2)
    assert source.metadata["title"] == "small"
    found = source.discover()
    assert found["npartitions"] == source.npartitions == 2924
    assert found["metadata"]["dims"] == {"member": 2, "time": 2924, "pressure": 2, "cell": 192}
    assert "tas" in found["metadata"]["data_vars"]
    assert found["metadata"]["bottle"] == "small"
    assert "dims" not in cat.x.metadata
    assert "dims" not in source.yaml()
    source.close()
    assert source.to_dask().sizes["member"] == 2
    assert drawn() == 0


def test_describe(cat):
    described = cat.x.describe()
    assert (described["name"], described["container"], described["driver"]) == ("x", "xarray", ["cbottle"])
    assert [p["name"] for p in described["user_parameters"]] == list(
        yaml.safe_load(CATALOG)["sources"]["x"]["parameters"]
    )
    assert described["metadata"] == {"title": "small"}
    assert list(cat.search("small")) != []


def test_its_yaml_is_a_catalog(cat, tmp_path):
    source = cat.x(zoom=1, seed=2**63 - 1, chunks={"time": 6}, members=[0, 3])
    (tmp_path / "saved.yaml").write_text(source.yaml())
    again = intake.open_catalog(str(tmp_path / "saved.yaml")).x
    xr.testing.assert_identical(again.to_dask().isel(time=0).load(), source.to_dask().isel(time=0).load())
    assert again.to_dask().chunks == source.to_dask().chunks
    assert again(zoom=0).to_dask().attrs["zoom"] == 0
    assert again.metadata["title"] == "small"
    assert repr(source) == source.yaml()


def test_a_whole_catalog_can_be_saved(cat, folder):
    (folder / "copy.yaml").write_text(cat.serialize())
    again = intake.open_catalog(str(folder / "copy.yaml"))
    assert sorted(again) == sorted(cat)
    assert again.x(**PARAMETERS).to_dask().attrs == cat.x(**PARAMETERS).to_dask().attrs


def test_what_yaml_cannot_say_is_told(cat):
    source = cat.x(sst=bottles.sst_cells(2))
    assert len(repr(source)) < 2000
    assert "<xarray.Dataset>" in repr(source)
    assert source.to_dask().attrs["sst"].startswith("the user's")


# Parameters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("zoom", "3", 3), ("zoom", " 3 ", 3), ("zoom", 3.0, 3), ("zoom", np.int64(3), 3), ("zoom", "", None),
        ("seed", "9223372036854775807", 2**63 - 1), ("seed", "None", None), ("seed", None, None), ("seed", "-1", -1),
        ("members", "4", 4), ("members", 0, None), ("members", "0", None), ("members", "[0, 3]", [0, 3]),
        ("members", "(1,)", [1]), ("members", range(2), [0, 1]), ("members", np.array([2, 5]), [2, 5]),
        ("sigma_min", "0.02", 0.02), ("sigma_max", 80, 80), ("progress", "false", False), ("progress", "True", True),
        ("cache_size", "2 GiB", "2 GiB"), ("time", "PT6H", "PT6H"), ("time", ["1980-01-01"], ["1980-01-01"]),
        ("label", "a", "a"),
    ],
)  # fmt: skip
def test_text_is_converted_exactly(name, value, wanted):
    found = exact(name, value)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("zoom", "three", "zoom is 'three': it must be an integer"),
        ("zoom", "3.5", "zoom is '3.5': it must be an integer"),
        ("seed", 1.5, "seed is 1.5: it must be an integer"),
        ("seed", True, "seed is True: it must be an integer"),
        ("seed", float("nan"), "seed is nan: it must be an integer"),
        ("num_steps", "0x10", "num_steps is '0x10': it must be an integer"),
        ("max_instants", "1e4", "max_instants is '1e4': it must be an integer"),
        ("members", "many", "members is 'many': give how many, or a list of member numbers such as"),
        ("members", 2.5, "members is 2.5: it must be an integer"),
        ("members", "[0, 1.5]", "a member is 1.5: it must be an integer"),
        ("sigma_min", "small", "sigma_min is 'small': it must be a positive number"),
        ("chunks", "big", "chunks is 'big': give {}, 'auto', None, a number of times, or {'time': n}"),
        ("chunks", True, "chunks is True: give"),
        ("chunks", 1.5, "chunks is 1.5: give"),
    ],
)
def test_nonsense_is_refused(cat, name, value, message):
    for make in (cat.x, cat["a.b"], lambda **given: intake.open_cbottle("gcm", **given)):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            make(**{name: value})
        assert str(error.value).startswith(message)


@pytest.mark.parametrize("value", [None, "None", ""])
def test_no_chunks(value):
    assert chunks_of(value) is None


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"zoom": 3}, "zoom=3 is not one of the allowed values: 2,1,0"),
        ({"time": "PT3H"}, "time=PT3H is not one of the allowed values: PT6H,P1D"),
        ({"label": "c"}, "label=c is not one of the allowed values: a,b"),
        ({"members": -1}, "members is -1: give how many, at least 1, or a list of member numbers"),
        ({"seed": -1}, "seed is -1: it must be an integer from 0 to 9223372036854775807"),
        ({"precision": "half"}, "precision is 'half': choose one of float32, tf32, bfloat16, float16"),
        ({"num_steps": 1}, "num_steps is 1: it must be an integer from 2"),
        ({"cache_size": "lots"}, "cache_size is 'lots': give bytes"),
        ({"storage_options": {"a": 1}}, "storage_options is not for bottles"),
    ],
)
def test_a_wrong_value_lists_the_right_ones(cat, keywords, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        cat.x(**keywords).to_dask()
    assert str(error.value).startswith(message)


def test_an_unknown_parameter_lists_the_known_ones(cat):
    with pytest.raises(TypeError) as error:
        cat.x(zom=1)
    listed = str(error.value)
    assert listed.startswith("unknown parameter zom: x takes zoom, time, time_method, seed, members, label, coherence")
    assert listed.endswith("did you mean zoom?")
    assert all(name in listed for name in (*KEYWORDS, "chunks", "urlpath", "drop_variables"))
    with pytest.raises(TypeError, match="unknown parameter resolution: x takes"):
        cat.x(resolution="fine")
    with pytest.raises(TypeError, match="unknown parameter nothing: words takes resolution, zoom"):
        cat.words(nothing=1)
    with pytest.raises(TypeError, match="unknown parameter zom: cbottle takes zoom"):
        intake.open_cbottle("gcm", zom=3)


def test_a_declared_parameter_that_intake_would_drop_is_refused(cat):
    message = 'forgetful declares zoom, seed and its args do not use it.* zoom: "{{ zoom }}", seed: "{{ seed }}"'
    for source in (cat.forgetful, cat.forgetful(zoom=0), cat["nested.forgetful"](seed=5)):
        with pytest.raises(ValueError, match=message.replace("{", "\\{").replace("}", "\\}")):
            source.to_dask()


def test_a_catalogs_own_parameters_are_for_the_entries_that_use_them(folder):
    text = CATALOG.replace("{version: 1}", "{parameters: {host: {default: h, description: d, type: str}}}")
    (folder / "shared.yaml").write_text(text)
    assert intake.open_catalog(str(folder / "shared.yaml")).x(zoom=0).to_dask().attrs["zoom"] == 0
    text = CATALOG.replace("{version: 1}", "{parameters: {zoom: {default: 0, description: d, type: int}}}")
    (folder / "shared.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"a\.b declares zoom"):
        intake.open_catalog(str(folder / "shared.yaml"))["a.b"].to_dask()


def test_a_bottle_that_is_not_there(tmp_path):
    (tmp_path / "x.yaml").write_text("sources: {x: {driver: cbottle, args: {urlpath: gmc}}}")
    cat = intake.open_catalog(str(tmp_path / "x.yaml"))
    assert list(cat) == ["x"]
    assert cat.x.describe()["name"] == "x"
    with pytest.raises(FileNotFoundError, match="did you mean 'gcm'"):
        cat.x.to_dask()


# The catalogs ----------------------------------------------------------------------------------------------


def entries(file):
    """Name and text of every entry that is no catalog."""
    sources = yaml.safe_load((FOLDER / file).read_text())["sources"]
    return [(file, name, entry) for name, entry in sources.items() if entry["driver"] != "yaml_file_cat"]


ENTRIES = entries("main.yaml") + entries("served.yaml")
IDS = [f"{file}:{name}" for file, name, _ in ENTRIES]


def choices(entry, request):
    """Combinations of allowed values; those of others are tried one by one with the defaults.

    ``--long`` takes all of them; else such that any two values of two parameters are there together.
    """
    declared = entry["parameters"]
    allowed = {name: p["allowed"] for name, p in declared.items() if "allowed" in p}
    if request.config.getoption("--long"):
        found = itertools.product(*allowed.values())
        yield from (dict(zip(allowed, values, strict=True)) for values in found)
    else:
        most = sorted(allowed, key=lambda name: -len(allowed[name]))
        for (i, one), (j, other) in itertools.product(*(enumerate(allowed[name]) for name in most[:2])):
            turns = {name: allowed[name][(i + (j >> k)) % len(allowed[name])] for k, name in enumerate(most[2:])}
            yield {most[0]: one, most[1]: other, **turns}
    yield {}
    yield from ({"seed": seed} for seed in (1, 2**63 - 1))
    yield from ({"members": members} for members in (0, 1, 3))


def test_all_bundled_bottles_have_entries():
    assert {name for _, name, _ in entries("main.yaml")} == set(location.bundled())
    assert {name for _, name, _ in entries("served.yaml")} == set(location.bundled())


@pytest.mark.parametrize(("file", "name", "entry"), ENTRIES, ids=IDS)
def test_every_parameter_is_used(file, name, entry):
    text = " ".join(str(value) for value in entry["args"].values())
    for parameter, declared in entry["parameters"].items():
        assert f"{{{{ {parameter}" in text or f"{{% if {parameter}" in text
        assert declared["description"]
        assert declared["default"] in declared.get("allowed", [declared["default"]])


@pytest.mark.parametrize(("file", "name", "entry"), ENTRIES, ids=IDS)
def test_metadata_is_the_bottles(file, name, entry):
    manifest, metadata = open_bottle(name).manifest, entry["metadata"]
    assert {"project", "source_id", "simulation_id"} <= set(metadata)
    for key, wanted in [("title", manifest.title), ("summary", manifest.summary), ("license", manifest.licence)]:
        assert metadata[key] == wanted
    assert metadata["source"] == manifest.source
    assert all(reference in metadata["references"] for reference in manifest.references)
    assert metadata["time_start"] == datetime.datetime.fromisoformat(manifest.time.start)
    assert metadata["time_end"] == datetime.datetime.fromisoformat(manifest.time.end)
    assert entry["parameters"]["zoom"]["allowed"] == list(range(finest_zoom(manifest), -1, -1))
    one = {"allowed": list(manifest.labels)[:1], "default": manifest.default_label}
    labels = entry["parameters"].get("label", one)
    assert (labels["allowed"], labels["default"]) == (list(manifest.labels), manifest.default_label)


def test_drawn_here_or_by_a_server_the_parameters_are_the_same():
    here, served = ({name: entry["parameters"] for _, name, entry in entries(f)} for f in ("main.yaml", "served.yaml"))
    for name, parameters in here.items():
        assert list(served[name]) == ["server", *parameters]
        for parameter, declared in parameters.items():
            other = served[name][parameter]
            assert (other["default"], other.get("allowed")) == (declared["default"], declared.get("allowed"))


@pytest.mark.parametrize("name", location.bundled())
def test_every_choice_opens(name, request):
    cat = intake.open_catalog(MAIN)
    (entry,) = (entry for _, other, entry in entries("main.yaml") if other == name)
    tried = 0
    for parameters in choices(entry, request):
        attrs = (ds := cat[name](**parameters).to_dask()).attrs
        default = {p: declared["default"] for p, declared in entry["parameters"].items()}
        asked = {**default, **parameters}
        cube = Cube(name, **{k: v or None if k == "members" else v for k, v in asked.items()})
        assert ds.sizes == cube.sizes
        assert (attrs["zoom"], attrs["seed"]) == (asked["zoom"], asked["seed"])
        assert ("mean" in attrs["time_method"]) == (asked["time_method"] == "mean")
        assert attrs["label"] == asked.get("label", cube.spec.label)
        tried += 1
    assert tried >= 30


@pytest.mark.parametrize("name", location.bundled())
def test_every_choice_has_an_address(name, request):
    """Of the server's; what the entry makes of its parameters, before any driver."""
    entry = intake.open_catalog(MAIN).served._entries[name]
    (declared,) = (entry for _, other, entry in entries("served.yaml") if other == name)
    for parameters in choices(declared, request):
        _, arguments = entry._create_open_args({"server": "http://h:1/", **parameters})
        start, _, dataset = arguments["urlpath"].removesuffix(".zarr").rpartition("/")
        assert start == f"http://h:1/{name}"
        found = address.parse(dataset)
        asked = {p: d["default"] for p, d in declared["parameters"].items()} | parameters
        assert (found.time, found.time_method, found.seed, found.zoom, found.label) == (
            asked["time"], asked["time_method"], asked["seed"], asked["zoom"], asked.get("label"),
        )  # fmt: skip
        assert len(found.members or [0]) == max(1, asked["members"])


def test_the_catalog_opens_by_path_and_by_url(cat, folder):
    with WebServer(FOLDER) as ours, WebServer(folder) as other:
        for where in (MAIN, Path(MAIN), f"{ours.url}/main.yaml"):
            main = intake.open_catalog(where)
            assert list(main) == [*(name for _, name, _ in entries("main.yaml")), "served"]
            assert main["gcm"](zoom=2, time="P1D").to_dask().attrs["zoom"] == 2
            assert list(main.served) == list(names_of_served := [name for _, name, _ in entries("served.yaml")])
            assert names_of_served
            assert list(main.walk(depth=3))
        here = cat.x(**PARAMETERS).to_dask()
        there = intake.open_catalog(f"{other.url}/catalog.yaml")["nested.x"](**PARAMETERS).to_dask()
        assert there.attrs == here.attrs
        xr.testing.assert_equal(there.tas[:, 0].load(), here.tas[:, 0].load())


def test_values_of_the_first_thing_that_users_try():
    entry = intake.open_catalog(MAIN).gcm(num_steps=2, batch_size=1)
    fields = {label: entry(label=label).to_dask().tas.isel(time=0).load() for label in ("jcm", "plasim")}
    for field in fields.values():
        assert 240 < field.mean() < 310
        assert field.dims == ("cell",)
    assert not np.array_equal(*fields.values())
    np.testing.assert_array_equal(entry.to_dask().tas.isel(time=0), fields["plasim"])


# Other environments: what is above, and what needs a server ------------------------------------------------


@contextmanager
def serving(*arguments):
    """The command ``xr-cbottle serve`` in a process of its own, as its URL."""
    command = [sys.executable, "-c", "import sys; from xr_cbottle.cli import main; sys.exit(main())", "serve"]
    process = subprocess.Popen(
        [*command, *arguments, "--port", "0", "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("http://"), line + process.stdout.read()
        yield line.split()[0]
    finally:
        process.terminate()
        process.communicate(timeout=60)


CLIENT = """
import hashlib, sys, warnings
warnings.simplefilter("ignore")
import intake

catalog, server = sys.argv[1:]
cat = intake.open_catalog(catalog)
# In one call: of driver zarr, intake forgets in the second what was given in the first.
ds = cat["served.gcm"](zoom=2, time="PT3H", seed=7, members=2, label="jcm", server=server).to_dask()
assert dict(ds.sizes)["member"] == 2, ds
assert (ds.attrs["zoom"], ds.attrs["seed"], ds.attrs["label"]) == (2, 7, "jcm"), ds
field = ds.tas.isel(time=5).sel(member=1)
print(intake.__version__, hashlib.sha256(field.values.tobytes()).hexdigest())
"""

IGNORED = """
import importlib.metadata, sys, warnings
warnings.simplefilter("ignore")
import intake

cat = intake.open_catalog(sys.argv[1])
source = cat["served.gcm"](zoom=2, server="http://h")
print(importlib.metadata.version("intake"), importlib.metadata.version("intake_xarray"), source.reader.kwargs)
"""


@pytest.fixture(scope="module")
def server():
    with serving("gcm", "--num-steps", "2") as url:
        yield url


@pytest.mark.slow
class TestOtherEnvironments:
    def test_all_of_the_above_with_intake_0_7(self):
        code = """
import sys, intake, pytest
print("intake", intake.__version__)
sys.exit(pytest.main([*sys.argv[1:], "-q", "-p", "no:cacheprovider", "-k", "not TestOtherEnvironments"]))
"""
        said = environments.old_intake().python(code, "tests/doors/test_catalog.py", timeout=1200)
        assert said.startswith("intake 0.7.0\n")
        assert int(said.splitlines()[-1].split(" passed")[0]) > 50, said

    @pytest.mark.parametrize("made", ["client", "old_intake", "old_intake_xarray"])
    def test_plain_zarr_entries(self, made, server):
        """``client`` is a machine without xr_cbottle, which has the catalog by its URL."""
        environment = getattr(environments, made)()
        with WebServer(FOLDER) as web:
            version, digest = environment.python(CLIENT, f"{web.url}/main.yaml", server).split()
        keywords = {"zoom": 2, "time": "PT3H", "seed": 7, "members": 2, "label": "jcm", "num_steps": 2}
        field = intake.open_catalog(MAIN).gcm(**keywords).to_dask().tas.isel(time=5).sel(member=1)
        assert digest == hashlib.sha256(field.values.tobytes()).hexdigest()
        assert version == ("2.0.9" if made == "old_intake_xarray" else "0.7.0")

    def test_the_client_has_nothing_of_ours(self):
        said = (
            environments.client()
            .python(f"""
import importlib.util
print([name for name in ("xr_cbottle", "torch") if importlib.util.find_spec(name)])
import intake, zarr
print(intake.__version__, zarr.__version__)
cat = intake.open_catalog({MAIN!r})
print(list(cat))
try:
    cat.gcm
except ValueError as error:
    print(error)
""")
            .splitlines()
        )
        assert said[:2] == ["[]", "0.7.0 2.18.7"]
        assert said[2] == str([*(name for _, name, _ in entries("main.yaml")), "served"])
        assert said[3] == "No plugins loaded for this entry: cbottle"

    def test_intake_xarray_2_ignores_parameters_of_driver_zarr(self):
        """If this fails, it has learned to: tell so in served.yaml and docs/catalogs.md."""
        said = environments.new_intake().python(IGNORED, MAIN)
        assert said.startswith("2.0.9 2.0.0 ")
        assert "http://127.0.0.1:8000/gcm/PT6H_inst_s0_m0_z4_lplasim.zarr" in said

    def test_without_a_registry_tests_are_skipped(self, tmp_path, monkeypatch):
        monkeypatch.setattr(environments, "FOLDER", tmp_path)
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        with pytest.raises(pytest.skip.Exception, match="the package registry cannot be reached: ERROR: "):
            environments.old_intake_xarray()
