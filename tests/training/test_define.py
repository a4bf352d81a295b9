"""Variables of a centre's own, and those of hk25."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from tests.trainings import CELLS, N, simulation  # noqa: E402
from xr_cbottle.bottle import SchemaError, facts, open_bottle  # noqa: E402
from xr_cbottle.bottle.manifest import Manifest  # noqa: E402
from xr_cbottle.bottle.records import VariableSpec  # noqa: E402
from xr_cbottle.fields import channels, reader  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import loop  # noqa: E402

#: What is in the stores of icon_d3hp003, but for what is no field of the atmosphere on pressures or single levels:
#: coordinates, orog, sftlf, sftgif, the levels of soil, z_mc, which is no geopotential height, and what ngc4008 adds.
_ICON = (
    "clivi clt clwvi egpvi einvi ekhvi ekvvi hfls hfss hur hus hydro_fract_snow_box hydro_weq_snow_box "
    "o3vi pr pres_msl pres_sfc prls prw qall qv2m rlds rldscs rlus rlut rlutcs rsds rsdscs rsdt rsus "
    "rsuscs rsut rsutcs sic tas tauu tauv temp tend_egpdynvi tend_eincldvi tend_eindynvi tend_einradvi "
    "tend_eintmxvi tend_ekhdynvi tend_ekhtmxvi tend_ekvdynvi ts u uas v vas vor wa_phy cllvi qgvi qrvi "
    "qsvi sfcwind sit hydro_discharge_ocean_box hydro_drainage_box hydro_runoff_box "
    "hydro_transpiration_box hydro_w_snow_box "
)
#: What is in the stores of ifs_tco3999, as they came and as they were renamed.
_IFS = (
    "2t 2d 10u 10v msl sp skt tcc lcc mcc hcc tp cp lsp sf tcwv tclw tciw tcrw tcsw ttr ttrc tisr ssrd ssrdc strd slhf "
    "sshf ewss nsss ci sd blh cape u v w t q r z rlut rsut pr psl ts uas vas tas clwvi clivi hflsd hfssd rlutcs rlus "
    "rluscs rlds rsdt rsus rsuscs rsds rsdscs prs prw ps tauu tauv clt swe siconc qall"
)
ON_LEVELS = {"hur", "hus", "qall", "temp", "u", "v", "vor", "wa_phy", "w", "t", "q", "r", "z"}


@pytest.mark.parametrize("name", sorted({*_ICON.split(), *_IFS.split()}))
def test_every_variable_of_hk25_is_known_by_its_name(name):
    dims, levels = (("pressure", "cell"), [1]) if name in ON_LEVELS else (("cell",), [])
    ds = xr.Dataset({name: (dims, np.zeros([*levels, 12]))}, {"pressure": ("pressure", [85000.0], {"units": "Pa"})})
    known = [v for v in channels.VARIABLES.values() if v.on_pressure == (name in ON_LEVELS)]
    found = [variable.name for variable in known if (reader.find_variable(ds, variable) or ("",))[0] == name]
    assert len(found) == 1, found


@pytest.mark.parametrize(("name", "sign"), [("hfls", -1), ("hfss", -1), ("rlut", 1)])
def test_icons_heat_fluxes_that_say_they_are_downward_are_turned_round(name, sign):
    said = channels.VARIABLES[name].standard_name.replace("upward", "downward")
    ds = xr.Dataset({name: ("cell", np.zeros(12), {"standard_name": said})})
    assert reader.find_variable(ds, channels.VARIABLES[name]) == (name, sign)
    ds[name].attrs["standard_name"] = channels.VARIABLES[name].standard_name
    assert reader.find_variable(ds, channels.VARIABLES[name]) == (name, 1.0)


def test_signs_that_the_table_of_names_has_are_not_turned_twice():
    ds = xr.Dataset({"slhf": ("cell", np.zeros(12), {"standard_name": "surface_downward_latent_heat_flux"})})
    assert reader.find_variable(ds, channels.VARIABLES["hfls"]) == ("slhf", -1.0)


@pytest.fixture
def values(tmp_path):
    folder = trainings.write(tmp_path)
    ds = simulation(0)
    rng = np.random.default_rng(3)
    ds["hail"] = (("time", "cell"), 1e3 * rng.random((N, CELLS)), {"units": "g m-2"})
    ds["turb"] = (("time", "pressure", "cell"), rng.standard_normal((N, 2, CELLS)), {"units": "m2 s-2"})
    ds.to_netcdf(folder / "a.nc")
    values = trainings.values(folder)
    values["data"]["sources"] = values["data"]["sources"][:1]
    values["data"] |= {
        "channels": ["tas", "hail", "tke850"],
        "define": {
            "hail": {"units": "kg m-2", "long_name": "mass of hail", "nonnegative": True},
            "tke": {"units": "m2 s-2", "long_name": "turbulent kinetic energy", "levels": True,
                    "standard_name": "specific_turbulent_kinetic_energy_of_air"},
        },
    }  # fmt: skip
    values["data"]["sources"][0]["variables"] = {"tke": "turb"}
    values["training"] |= {"total_images": 8, "batch_size": 4}
    return values


def test_a_variable_of_ones_own_goes_from_the_data_to_every_door(values, tmp_path):
    from xr_cbottle.store import CBottleStore
    from xr_cbottle.training.bottling import pack_run

    run = loop.train(configs.parse(values), tmp_path / "run", progress=False)
    assert run.data.statistics.center[1] == pytest.approx(0.5, abs=0.02)  # kg, not g
    path = pack_run(run, tmp_path / "own.cbottle")
    bottle = open_bottle(path)
    assert bottle.manifest.nonnegative == ("hail",)
    assert Manifest.from_json(bottle.manifest.to_json()) == bottle.manifest
    ds = xr.open_dataset(path, engine="cbottle", num_steps=2, batch_size=2)
    assert ds.hail.attrs["units"] == "kg m-2"
    assert ds.hail.attrs["long_name"] == "mass of hail"
    assert "standard_name" not in ds.hail.attrs
    assert ds.tke.attrs["standard_name"] == "specific_turbulent_kinetic_energy_of_air"
    assert ds.tke.dims == ("time", "pressure", "cell")
    hail = ds.hail.isel(time=0).values
    assert (hail >= 0).all()
    assert np.isfinite(ds.tke.isel(time=0)).all()
    known = facts.facts(bottle)["variables"]
    assert known["tke"]["pressures"] == [85000]
    assert known["hail"]["long_name"] == "mass of hail"
    stored = xr.open_zarr(CBottleStore(path, num_steps=2, batch_size=2), consolidated=True, chunks=None)
    assert stored.hail.attrs["units"] == "kg m-2"
    np.testing.assert_array_equal(stored.hail.isel(time=0).squeeze().values, hail)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["define"].update(tas={"units": "K"}), "define: tas: variables.tas must be of a name that xr_cb"),
        (lambda d: d["define"].update(T={"units": "K", "levels": True}), "define: T: variables.T must be of a name"),
        (lambda d: d["define"].update(q2={"units": "K", "levels": True}), "q2 must be of a name without digits"),
        (lambda d: d["define"]["hail"].update(units="bananas"), "define: hail: .*bananas"),
        (lambda d: d["define"]["hail"].update(standard_name="Hail!"), "standard_name must be a standard name of CF"),
        (lambda d: d["define"].update(rime={"units": "kg m-2"}), "define has rime, of which there is no channel"),
        (lambda d: d["channels"].append("rime"), "unknown channel 'rime': .*; or say under define what it is"),
        (lambda d: d["channels"].append("tke"), "unknown channel 'tke'"),
    ],
)
def test_wrong_definitions_are_one_sentence(values, change, message):
    change(values["data"])
    with pytest.raises(ValueError, match=message) as error:
        configs.parse(values)
    assert "\n" not in str(error.value)


def test_a_manifest_defines_no_variable_that_is_known():
    spec = {"units": "K"}
    base = json.loads(open_bottle("gcm").manifest.to_json())
    with pytest.raises(SchemaError, match=r"variables\.psl must be of a name that xr_cbottle does not know"):
        Manifest.from_json(json.dumps(base | {"variables": {"psl": spec}}))
    with pytest.raises(SchemaError, match=r"variables\.hail\.units"):
        Manifest.from_json(json.dumps(base | {"variables": {"hail": {"units": "<b>"}}}))
    assert "variables" not in json.loads(Manifest.from_json(json.dumps(base)).canonical())  # `static` has its own
    assert VariableSpec("K").plain() == {"units": "K", "long_name": "", "standard_name": "", "levels": False}
