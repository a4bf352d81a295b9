"""Another climate: keywords, what is outside of training, keys of the cache, and the doors."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

torch = pytest.importorskip("torch")

from tests import bottles, forcings  # noqa: E402
from xr_cbottle import Cube  # noqa: E402
from xr_cbottle.cli import main  # noqa: E402
from xr_cbottle.cube.climate import OutsideTraining  # noqa: E402
from xr_cbottle.store import CBottleStore  # noqa: E402

DAILY = {"engine": "cbottle", "time": "P1D", "batch_size": 2}


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    return forcings.bottle(tmp_path_factory.mktemp("climate") / "b.cbottle")


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    return forcings.still(tmp_path_factory.mktemp("climate") / "still.cbottle")


def opened(bottle, **keywords) -> xr.Dataset:
    return xr.open_dataset(bottle, **DAILY, **keywords)


def quiet(bottle, **keywords) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return opened(bottle, **keywords)


def series(values, times=("1980-01-01", "1981-01-01")) -> xr.DataArray:
    return xr.DataArray(np.array(values, float), {"time": pd.to_datetime(list(times))}, ("time",))


def drawn(ds: xr.Dataset, time: int = 3) -> np.ndarray:
    return ds.isel(time=time).tas.values


def test_the_mean_follows_the_sea_that_the_cube_uses_and_carbon_dioxide(bottle):
    """Of one emulator and one state: a network with random weights answers too."""
    cubes = [
        Cube(bottle, **keywords) for keywords in ({}, {"sst": "+2K"}, {"co2": 720}, {"sst_offset": -1, "co2": 300})
    ]
    times = np.array(["1980-05-01", "1981-02-01"], "datetime64[s]")
    x = np.random.default_rng(0).normal(size=(2, 2, 192))
    tas = [cube.emulator().physical(x, "a", times)[:, 0] for cube in cubes]
    own = cubes[0].emulator().forcings["co2"].at(times)[:, None]
    sea = [np.nanmean(cube.emulator().sst.at(times), 1)[:, None] for cube in cubes]
    for values, warm, kelvin, co2 in zip(tas[1:], sea[1:], (2, 0, -1), (own, 720, 300), strict=True):
        np.testing.assert_allclose(warm - sea[0], kelvin, atol=0.15 * abs(kelvin))  # there is ice
        wanted = forcings.PER_KELVIN * (warm - sea[0]) + forcings.PER_DOUBLING * np.log2(co2 / own)
        np.testing.assert_allclose(values - tas[0], np.broadcast_to(wanted, values.shape), atol=0.02)


def test_a_users_own_sea_counts(bottle):
    warm = bottles.sst_cells(2) + 1
    ds = quiet(bottle, sst=warm)
    times = np.array(["1980-05-01"], "datetime64[s]")
    found = [Cube(bottle, **more).emulator().predictors(times)[0, 0] for more in ({}, {"sst": warm})]
    assert found[1] - found[0] == pytest.approx(1, abs=1e-4)
    assert ds.attrs["sst"].startswith("the user's, sha256:")
    both = Cube(bottle, sst=warm, sst_offset=0.5).emulator().predictors(times)[0, 0]
    assert both - found[0] == pytest.approx(1.5, abs=0.05)


def test_attributes_say_which_climate_it_is(bottle):
    assert quiet(bottle).attrs["forcing_co2"] == "the bottle's"
    attrs = quiet(bottle, sst="+2K", co2="ssp585").attrs
    assert attrs["sst"] == "the bottle's, +2 K"
    assert attrs["forcing_co2"] == "ssp585 of CMIP6 (Meinshausen et al. 2017, 2020)"
    assert "sst=+2K, co2=ssp585" in attrs["history"]
    assert "outside_training" not in attrs
    field = xr.DataArray(np.linspace(0, 1, 192), dims="cell", attrs={"units": "K"})
    attrs = quiet(bottle, sst_offset=field, co2=series([300, 310])).attrs
    assert attrs["sst"].startswith("the bottle's, and a field of +0 to +1 K, sha256:")
    assert attrs["forcing_co2"].startswith("a series, sha256:")
    assert "array" not in attrs["history"]
    for value in attrs.values():
        assert isinstance(value, (str, int, float, np.int32))


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"sst": "+3K"}, r"the global mean of the sea is \+2\.\d\d to \+[23].*to \+2\.00 K., [01]\.\d\d K outside"),
        ({"sst_offset": -3}, r"the global mean of the sea is -[23]\.\d\d to -2\.\d\d K"),
        ({"co2": 1500}, r"co2 is 1500 ppmv .learnt: 280 to 1120 ppmv., 21% of the range outside"),
        ({"co2": series([300, 1500])}, r"co2 is 300 to 1500 ppmv"),
    ],
)  # fmt: skip
def test_outside_of_training_is_said_and_by_how_much(bottle, keywords, says):
    with pytest.warns(OutsideTraining, match=says) as caught:
        ds = opened(bottle, **keywords)
    assert caught[0].filename == __file__  # at the line of who asked
    assert pd.Series([ds.attrs["outside_training"]]).str.contains(says, regex=True)[0]


@pytest.mark.parametrize(("keywords", "far"), [({"sst": "+7K"}, "4."), ({"co2": 3000}, "71%"), ({"co2": 100}, "74%")])
def test_far_outside_is_refused_unless_asked_for(bottle, keywords, far):
    with pytest.raises(ValueError, match=rf"{far}.* outside of what was learnt, which is far.*extrapolate=True$"):
        opened(bottle, **keywords)
    with pytest.warns(OutsideTraining, match=far):
        opened(bottle, **keywords, extrapolate=True)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"co2": -5}, "co2 is -5 ppmv: it must be a positive number"),
        ({"co2": 0}, "co2 is 0 ppmv: it must be a positive number"),
        ({"co2": "ssp9"}, "co2 is 'ssp9', and there is no such file: give a number of ppmv, one of historical"),
        ({"co2": series([300, 310], ("1980-01-01", "1980-02-01"))}, "is known from 1980-01-01 to 1980-02-29 and"),
        ({"sst": "+40K"}, "sst_offset is 40 K: it must be from -15 to 15 K"),
        ({"sst": "+2K", "sst_offset": 1}, "sst_offset is given too: give one of them"),
        ({"forcings": {"ch4": 1}}, "b knows nothing of ch4: it has the forcings co2; leave ch4 out"),
        ({"forcings": {"co2": 1}, "co2": 1}, "co2 is given twice"),
        ({"forcings": 3}, "forcings is 3: give a mapping"),
        ({"extrapolate": "yes"}, "extrapolate is 'yes': choose True or False"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(bottle, keywords, says):
    with pytest.raises(ValueError, match=says) as error:
        opened(bottle, **keywords)
    assert "\n" not in str(error.value)
    assert not str(error.value).endswith(".")


def test_a_sea_of_other_years_needs_forcings_of_them(bottle):
    future = bottles.sst_cells(2, "2030-01-01", 24)
    with pytest.raises(ValueError, match=r"co2 .the bottle's. is known from 1980.* and the times go from 2030-01-01"):
        opened(bottle, sst=future)
    assert quiet(bottle, sst=future, co2="ssp245").sizes["time"] > 600


def test_a_bottle_without_forcings(still):
    with pytest.raises(ValueError, match="still knows nothing of co2: it has no forcings, as it was trained without"):
        opened(still, co2=560)
    with pytest.warns(
        OutsideTraining, match=r"too weak .*gcm, label jcm, rises by 1\.08 K, and that of JCM itself by 1\.91"
    ):
        ds = opened(still, sst="+2K")
    assert "too weak" in ds.attrs["outside_training"]
    assert (drawn(ds) != drawn(quiet(still))).any()
    assert "forcing_co2" not in ds.attrs


def test_keys_tell_climates_apart_and_old_ones_are_as_they_were(bottle, still):
    field = xr.DataArray(np.linspace(0, 1, 192), dims="cell", attrs={"units": "K"})
    keywords = (
        {}, {"co2": 560}, {"co2": 561}, {"co2": series([300, 310])}, {"co2": series([300, 311])}, {"sst_offset": 1},
        {"sst_offset": 1.5}, {"sst_offset": field}, {"sst_offset": 2 * field}, {"sst_offset": 1, "co2": 560},
        {"sst": bottles.sst_cells(2)}, {"sst": bottles.sst_cells(2), "sst_offset": 1},
    )  # fmt: skip
    specs = [Cube(bottle, **more).spec for more in keywords]
    for name in ("namespace", "field_namespace", "token"):
        assert len({getattr(spec, name) for spec in specs}) == len(specs)
    same = Cube(bottle, forcings={"co2": "560"}).spec
    assert same.namespace == specs[1].namespace
    assert Cube(bottle, sst="+1K").spec.namespace == specs[5].namespace
    assert Cube(bottle, co2=560, extrapolate=True).spec.namespace == specs[1].namespace
    assert Cube(still).spec.namespace == Cube(still, extrapolate=True).spec.namespace


def test_values_are_the_same_bits_however_they_are_read(bottle):
    keywords = {"sst": "+1K", "co2": "ssp245"}
    whole = quiet(bottle, **keywords).isel(time=slice(0, 5)).load()
    backwards = quiet(bottle, **keywords)
    for i in (4, 1, 3):
        xr.testing.assert_identical(backwards.isel(time=i).load(), whole.isel(time=i))
    chunked = xr.open_dataset(bottle, **DAILY, **keywords, chunks={})
    xr.testing.assert_equal(chunked.isel(time=slice(0, 5)).load(), whole)
    cube = pickle.loads(pickle.dumps(Cube(bottle, time="P1D", batch_size=2, **keywords)))
    xr.testing.assert_equal(cube.to_dataset().isel(time=slice(0, 5)).load(), whole)


def test_drawing_alone_is_drawing_in_another_process_or_from_a_folder(bottle, tmp_path):
    keywords = {"sst_offset": 1.5, "co2": 700, "cache_dir": str(tmp_path)}
    first = drawn(quiet(bottle, **keywords))
    assert list(tmp_path.rglob("*"))
    np.testing.assert_array_equal(drawn(quiet(bottle, **keywords, cache_size=0)), first)
    other = drawn(quiet(bottle, **{**keywords, "co2": 701}))
    assert (other != first).any()


def test_stores_and_the_command_line_take_them(bottle, tmp_path, capsys):
    store = CBottleStore(bottle, time="P1D", co2="ssp245", sst="+1K")
    with xr.open_zarr(store, zarr_format=3) as ds:
        assert ds.attrs["forcing_co2"].startswith("ssp245")
    out = tmp_path / "o.nc"
    time = ["--time", "1980-05-01", "--variables", "tas", "--quiet"]
    assert main(["sample", str(bottle), str(out), *time, "--co2", "560", "--sst=+1K"]) == 0
    with xr.open_dataset(out) as ds:
        assert ds.attrs["forcing_co2"] == "560 ppmv"
        assert ds.attrs["sst"] == "the bottle's, +1 K"
        wanted = xr.open_dataset(bottle, engine="cbottle", time="1980-05-01", co2=560, sst_offset=1).tas
        np.testing.assert_allclose(ds.tas.values, wanted.values, atol=0.01)
    assert main(["sample", str(bottle), str(tmp_path / "p.nc"), *time, "--forcings", "co2=560"]) == 0
    assert main(["sample", str(bottle), str(tmp_path / "q.nc"), *time, "--co2=-3"]) == 2
    assert "co2 is -3 ppmv: it must be a positive number" in capsys.readouterr().err
    assert main(["info", str(bottle)]) == 0
    assert "co2 (280 to 1120 ppmv)" in capsys.readouterr().out


def test_looking_at_another_climate_draws_nothing(bottle):
    ds = quiet(bottle, sst="+1K", co2=560)
    repr(ds)
    before = Cube(bottle, batch_size=2, time="P1D", sst="+1K", co2=560).emulator().drawn
    ds.isel(time=5).tas.load()
    after = Cube(bottle, batch_size=2, time="P1D", sst="+1K", co2=560).emulator().drawn
    assert after - before in (0, 1)  # 0 if it was in the cache


def test_catalogs_and_addresses_take_them(bottle):
    pytest.importorskip("intake")
    pytest.importorskip("starlette")
    from xr_cbottle.catalog import CbottleSource
    from xr_cbottle.serve.http.answer import Refused
    from xr_cbottle.serve.http.settings import Settings
    from xr_cbottle.serve.http.shelf import Shelf

    ds = CbottleSource(str(bottle), time="P1D", co2="560", sst_offset="+1", extrapolate="False").to_dask()
    assert ds.attrs["forcing_co2"] == "560 ppmv"
    assert ds.attrs["sst"] == "the bottle's, +1 K"
    shelf = Shelf([str(bottle)], Settings())
    name = next(iter(shelf.bottles))
    hierarchies = [shelf.open(name, f"P1D_inst_s0_m0_z2{more}") for more in ("", "_k+1_c560", "_k-0.5", "_cssp245_lb")]
    specs = [hierarchy.cube.spec for hierarchy in hierarchies]
    assert len({spec.namespace for spec in specs}) == 4
    assert specs[1].namespace == Cube(bottle, sst="+1K", co2=560, **shelf.settings.keywords).spec.namespace
    for more, says in (("_k+9", "which is far"), ("_c0", "must be a positive number"), ("_k+40", "from -15 to 15 K")):
        with pytest.raises(Refused, match=says):
            shelf.open(name, f"P1D_inst_s0_m0_z2{more}")
    entry = shelf.intake("http://here")["sources"][name]
    assert {"co2", "sst_offset"} <= set(entry["parameters"])
