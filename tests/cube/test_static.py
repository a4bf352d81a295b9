"""Fields that do not change in time are the bottle's own, through every door, and are never drawn."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

from tests import bottles
from xr_cbottle import Cube, cli, open_bottle
from xr_cbottle.bottle import BottleError
from xr_cbottle.bottle.errors import SchemaError
from xr_cbottle.bottle.records import FieldSpec, StaticSpec
from xr_cbottle.bottle.static_fields import StaticFields
from xr_cbottle.grid import healpix
from xr_cbottle.store import CBottleStore

CELLS = healpix.n_cells(2)
TIME = slice("1980-01-01", "1980-01-01T06")


@pytest.fixture(scope="module")
def static():
    rng = np.random.default_rng(5)
    values = {name: rng.normal(size=(2, CELLS)).astype(np.float32) for name in ("orog", "depth")}
    values["depth"][0, 7] = np.nan
    return StaticFields(("a", "b"), values)


@pytest.fixture(scope="module")
def bottle(tmp_path_factory, static):
    path = tmp_path_factory.mktemp("static") / "high.cbottle"
    specs = bottles.fine_specs(3, ("tas", "pr", "sst"))
    return bottles.synthetic_bottle(path, channels=("tas", "pr", "sst"), static=static, superres=specs)


@pytest.mark.parametrize("label", ["a", "b"])
@pytest.mark.parametrize("chunks", [None, {}])
def test_they_are_the_bottles_own_and_nothing_is_drawn(bottle, static, label, chunks):
    ds = xr.open_dataset(bottle, engine="cbottle", label=label, chunks=chunks)
    drawn = Cube(bottle).emulator().drawn
    row = ("a", "b").index(label)
    np.testing.assert_array_equal(ds.orog.values, static.values["orog"][row])
    np.testing.assert_array_equal(ds.depth[5:9].values, static.values["depth"][row, 5:9])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ds)).orog.values, static.values["orog"][row])
    assert Cube(bottle).emulator().drawn == drawn
    assert ds.orog.dims == ("cell",)
    assert ds.orog.attrs == {
        "long_name": "field orog", "standard_name": "surface_altitude", "units": "m", "grid_mapping": "crs",
        "cell_methods": "area: mean",
    }  # fmt: skip


def test_coarser_they_are_means_and_finer_they_are_not_there(bottle, static):
    coarse = xr.open_dataset(bottle, engine="cbottle", zoom=0)
    expected = static.values["orog"][0].reshape(12, 16).mean(1)
    np.testing.assert_allclose(coarse.orog.values, expected, rtol=1e-5)
    fine = xr.open_dataset(bottle, engine="cbottle", zoom=3)
    assert set(fine.data_vars) == {"tas", "pr", "sst"}
    assert fine.attrs["variables_below"].split() == ["depth", "orog"]
    assert set(xr.open_dataset(bottle, engine="cbottle", drop_variables=["orog", "tas"])) == {"pr", "sst", "depth"}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunking", ["face", "globe"])
def test_in_a_store(bottle, static, zarr_format, chunking):
    store = CBottleStore(bottle, time=TIME, chunking=chunking)
    ds = xr.open_zarr(store, zarr_format=zarr_format, chunks=None)
    np.testing.assert_array_equal(ds.depth.values, static.values["depth"][0])
    assert ds.depth.attrs["units"] == "m"


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_written_with_what_is_drawn(bottle, static, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    where = ["sample", str(bottle), str(out), "--time", "1980-01-01/1980-01-01T06", "--quiet"]
    assert cli.main([*where, "--variables", "tas", "orog"]) == 0
    with xr.open_dataset(out, chunks=None) as ds:
        assert set(ds.data_vars) == {"tas", "orog"}
        np.testing.assert_array_equal(ds.orog.values, static.values["orog"][0])
        assert np.isfinite(ds.tas.values).all()


def test_written_on_a_grid_and_of_a_box(bottle, static, tmp_path):
    common = ["--time", "1980-01-01", "--quiet", "--variables", "orog", "tas"]
    for extra in (["--bbox", "0", "0", "40", "40"], ["--grid", "10x10"], ["--grid", "10", "--conservative"]):
        out = tmp_path / f"{len(extra)}{extra[-1].strip('-')}.nc"
        assert cli.main(["sample", str(bottle), str(out), *common, *extra]) == 0
        with xr.open_dataset(out) as ds:
            assert ds.orog.dims == tuple(dim for dim in ds.tas.dims if dim != "time")
            assert ds.orog.attrs["units"] == "m"
            assert ds.orog.attrs.get("cell_methods") == "area: mean" or "bilinear" in ds.attrs["history"]
            inside = slice(None) if "lat" in ds.orog.dims else ds.cell.values
            if "cell" in ds.orog.dims:
                np.testing.assert_array_equal(ds.orog.values, static.values["orog"][0][inside])
            else:
                assert abs(float(ds.orog.mean()) - static.values["orog"][0].mean()) < 0.2


def test_told_by_info(bottle, capsys):
    assert cli.main(["info", str(bottle)]) == 0
    assert "depth (m), orog (m)" in capsys.readouterr().out.replace("\n", " ")


def files(folder, names=("orog", "sftlf"), zoom=2):
    """Two files, as of two simulations."""
    rng = np.random.default_rng(6)
    for label in ("a", "b"):
        fields = {name: ("cell", rng.random(healpix.n_cells(zoom)), {"units": "1"}) for name in names}
        xr.Dataset(fields).to_netcdf(folder / f"{label}.nc")
    return [f"{label}={folder / label}.nc" for label in ("a", "b")]


def test_given_to_a_bottle_by_the_command_line(tmp_path):
    bare = bottles.synthetic_bottle(tmp_path / "bare.cbottle", channels=("tas", "sst"))
    one, two = files(tmp_path, zoom=3)
    assert cli.main(["pack", str(tmp_path / "x.cbottle"), "--from", str(bare), "--static", one, "--static", two]) == 0
    given = xr.open_dataset(tmp_path / "b.nc").sftlf.values.reshape(-1, 4).mean(1)
    ds = xr.open_dataset(tmp_path / "x.cbottle", engine="cbottle", label="b")
    np.testing.assert_allclose(ds.sftlf.values, given, rtol=1e-6)
    assert cli.main(["pack", str(tmp_path / "y.cbottle"), "--from", str(bare), "--static", str(tmp_path / "a.nc")]) == 0
    assert open_bottle(tmp_path / "y.cbottle").static_fields().labels == ("a", "b")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda given, folder: given[:1], "--static lacks b: give LABEL=FILE for each label"),
        (lambda given, folder: [given[0], given[0]], "once for each of a, b"),
        (lambda given, folder: ["c=x", given[1]], "once for each of a, b"),
        (
            lambda given, folder: [given[0], f"b={folder / 'none.nc'}"],
            "none.nc: give FILE, or LABEL=FILE with a label of the bottle",
        ),
        (lambda given, folder: [__file__], "is no netCDF file that can be read"),
        (lambda given, folder: files(folder, zoom=1), "the bottle zoom 2: give cells of it, or finer"),
        (lambda given, folder: files(folder, ("tas", "orog")), "another name than those of the data set"),
        (lambda given, folder: files(folder, ("Orog",)), "a name of small letters"),
    ],
)
def test_what_is_no_static_field_is_one_sentence(tmp_path, capsys, change, says):
    bare = bottles.synthetic_bottle(tmp_path / "bare.cbottle", channels=("tas", "sst"))
    given = [option for one in change(files(tmp_path), tmp_path) for option in ("--static", one)]
    assert cli.main(["pack", str(tmp_path / "x.cbottle"), "--from", str(bare), *given]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "x.cbottle").exists()


@pytest.mark.parametrize("name", ["time", "tas", "crs", "log_weight"])
def test_names_of_the_data_set_are_refused(tmp_path, name):
    with pytest.raises(SchemaError, match=f"static.variables.{name}"):
        bottles.synthetic_bottle(
            tmp_path / "x.cbottle", channels=("tas", "sst"),
            static=StaticFields(("a", "b"), {name: np.zeros((2, CELLS), np.float32)}),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (StaticFields(("a", "b"), {"depth": np.zeros((2, CELLS), np.float32)}), "has no orog"),
        (StaticFields(("a", "c"), {"orog": np.zeros((2, CELLS), np.float32)}), "other labels or cells"),
        (StaticFields(("a", "b"), {"orog": np.zeros((2, 12), np.float32)}), "of another zoom"),
    ],
)
def test_a_file_that_is_not_what_the_manifest_says(tmp_path, fields, says, monkeypatch):
    about = StaticSpec("static.nc", variables={"orog": FieldSpec("m")})
    monkeypatch.setattr(bottles, "static_spec", lambda static: about)
    path = bottles.synthetic_bottle(tmp_path / "x.cbottle", channels=("tas", "sst"), static=fields)
    ds = xr.open_dataset(path, engine="cbottle")  # opening reads no file
    with pytest.raises(BottleError, match=says):
        ds.orog.load()
