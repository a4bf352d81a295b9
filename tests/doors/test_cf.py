"""Names, units and files as CF's own tools see them: cf_xarray, pint-xarray and the IOOS compliance checker."""

from __future__ import annotations

import re
import socket

import numpy as np
import pytest
import xarray as xr

from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.bottle import location
from xr_cbottle.cube import cache
from xr_cbottle.fields import channels

pytest.importorskip("cf_xarray", reason="pip install '.[test]'")

TIMES = ["1980-07-01T00", "1980-07-01T06"]


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    return bottles.synthetic_bottle(tmp_path_factory.mktemp("cf") / "small.cbottle")


@pytest.fixture(scope="module")
def ds(bottle):
    """All that a data set may have: members, levels that a variable lacks, the sea."""
    return xr.open_dataset(bottle, engine="cbottle", members=2, time=TIMES)


# cf_xarray -------------------------------------------------------------------------------------------------


def test_axes_and_coordinates(ds):
    assert ds.cf.axes == {"T": ["time"], "Z": ["pressure"]}
    assert ds.cf.coordinates == {"time": ["time"], "vertical": ["pressure"]}
    assert ds.cf.standard_names["realization"] == ["member"]
    assert ds.cf.standard_names["healpix_index"] == ["cell"]
    assert ds.cf.standard_names["air_temperature"] == ["ta", "tas"]
    for name, variable in ds.data_vars.items():
        assert variable.attrs["standard_name"] in ds.cf.standard_names, name
    assert "realization" in repr(ds.cf)
    with pytest.raises(KeyError, match="latitude"):  # there is none until easygems or xdggs attach it
        _ = ds.cf["latitude"]


def test_operations_by_the_names_of_cf(ds):
    assert ds.ta.cf.mean("T").dims == ("member", "pressure", "cell")
    assert ds.ta.cf.mean("realization").dims == ("time", "pressure", "cell")
    np.testing.assert_array_equal(ds.ta.cf.isel(Z=-1), ds.ta.sel(pressure=85000))
    assert ds.cf["toa_outgoing_longwave_flux"].name == "rlut"
    assert ds.cf[["toa_outgoing_longwave_flux"]].cf["grid_mapping"].name == "crs"
    assert ds.cf.sel(time="1980-07-01T06:00").tas.shape == (2, 192)


def test_a_file_that_is_read_back(ds, tmp_path):
    ds.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "x.nc", engine="h5netcdf", decode_coords="all") as back:
        assert back.cf.grid_mapping_names == {"healpix": ["crs"]}
        assert back.cf.axes == ds.cf.axes
        assert list(back.data_vars) == list(ds.data_vars)
        assert dict(back.time.attrs) == dict(ds.time.attrs)


# pint ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registry():
    """pint with the units of udunits, as cf_xarray makes it."""
    pytest.importorskip("pint_xarray", reason="pip install pint-xarray")
    import cf_xarray.units

    return cf_xarray.units.units


@pytest.mark.parametrize("variable", channels.VARIABLES.values(), ids=lambda v: v.name)
def test_units_are_understood(variable, registry):
    parsed = registry.parse_units(variable.units)
    assert f"{parsed:cf}" == {"kg kg-1": "1"}.get(variable.units, variable.units)


def test_quantities_and_back(ds, registry):
    quantities = ds.pint.quantify(unit_registry=registry)
    assert {name: f"{v.pint.units:cf}" or "1" for name, v in quantities.data_vars.items()} == {
        name: v.attrs["units"] for name, v in ds.data_vars.items()
    }
    assert quantities.time.dtype == ds.time.dtype
    assert quantities.time.encoding == ds.time.encoding
    assert quantities.crs.attrs == ds.crs.attrs
    assert quantities.cell_ids.attrs == ds.cell_ids.attrs
    back = quantities.pint.dequantify(format="cf")
    for name, variable in ds.variables.items():
        np.testing.assert_array_equal(back[name], variable)
        assert back[name].attrs == variable.attrs
        assert back[name].dtype == variable.dtype


def test_what_quantities_are_for(ds, registry):
    quantities = ds.pint.quantify(unit_registry=registry)
    celsius = quantities.tas.pint.to("degC")
    np.testing.assert_allclose(celsius.pint.magnitude, ds.tas - 273.15, atol=1e-3)
    day = (quantities.pr * registry("1 day")).pint.to("kg m-2")
    np.testing.assert_allclose(day.pint.magnitude, ds.pr * 86400, rtol=1e-6)
    geopotential = (quantities.zg * registry("9.80665 m s-2")).pint.to("J kg-1")
    np.testing.assert_allclose(geopotential.pint.magnitude, ds.zg * 9.80665, rtol=1e-6)
    level = quantities.ta.pint.sel(pressure=registry("850 hPa"))
    np.testing.assert_array_equal(level.pint.magnitude, ds.ta.sel(pressure=85000))
    with pytest.raises(Exception, match=r"[Cc]annot convert"):
        quantities.tas.pint.to("m")


def test_quantities_are_lazy_with_dask(bottle, registry):
    cache.shared().clear()
    before = Cube(bottle).emulator().drawn
    quantities = xr.open_dataset(bottle, engine="cbottle", chunks={}).pint.quantify(unit_registry=registry)
    day = quantities.tas.isel(time=slice(0, 4)).mean("time").pint.to("degC")
    assert Cube(bottle).emulator().drawn == before
    assert day.pint.dequantify().compute().shape == (192,)
    assert Cube(bottle).emulator().drawn == before + 4


# The compliance checker ------------------------------------------------------------------------------------

# What it says of every file of ours, by a reason of its own.
KNOWN = {
    # The newest conventions that it knows are CF-1.11. HEALPix is a grid mapping since CF-1.13, which is what we
    # follow and name, as do easygems and CDO; the name of its index is not in the table of standard names yet.
    r"§2\.6\.1 Conventions global attribute does not contain \"CF-1\.11\"",
    r"healpix is not a valid grid_mapping_name\. See Appendix F for valid grid mappings",
    r"standard_name healpix_index is not defined in Standard Name Table v\d+\.",
    # xdggs takes every attribute of cell_ids for one of its grid's, and fails on a long_name.
    r"Attribute long_name or/and standard_name is highly recommended for variable cell_ids",
    # A recommendation: to the checker the cells, which are X and Y in one, are one more dimension, and should not
    # be the last. The tools of the hackathon want them last.
    r"\w+'s spatio-temporal dimensions are not in the recommended order T, Z, Y, X and/or further dimensions are not "
    r"located left of T, Z, Y, X\. The dimensions \(and their guessed types\) are (member \(U\), )?(time \(T\), )?"
    r"(pressure \(Z\), )?cell \(U\) \(with U: other/unknown; L: unlimited\)\.",
}


@pytest.fixture(scope="module")
def suite():
    pytest.importorskip("compliance_checker", reason="pip install compliance-checker")
    from compliance_checker.suite import CheckSuite

    CheckSuite.load_all_available_checkers()
    return CheckSuite()


@pytest.fixture
def offline(monkeypatch):
    """The checker may not ask the internet for tables: it brings its own."""

    def refuse(self, address):
        raise AssertionError(f"connects to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def newest(suite):
    """The checker of the newest conventions there is."""
    versions = [tuple(map(int, name[3:].split("."))) for name in suite.checkers if re.fullmatch(r"cf:1\.\d+", name)]
    return "cf:" + ".".join(map(str, max(versions)))


def findings(suite, path):
    """All that it has to say, recommendations too."""
    groups, failures = suite.run_all(suite.load_dataset(str(path)), [newest(suite)], include_checks=[], skip_checks=[])[
        newest(suite)
    ]
    assert not failures  # of the checker itself

    def messages(result):
        score, out_of = result.value if isinstance(result.value, tuple) else (bool(result.value), 1)
        own = result.msgs or [] if score < out_of else []  # others are remarks on what is right
        return [*own, *(m for child in result.children or [] for m in messages(child))]

    assert len(groups) > 10
    return {message for group in groups for message in messages(group)}


def files(bottle):
    """Data sets of every form."""
    opened = {
        "instants": xr.open_dataset(bottle, engine="cbottle", time=TIMES),
        "members": xr.open_dataset(bottle, engine="cbottle", time=TIMES, members=2, label="b"),
        "means": xr.open_dataset(bottle, engine="cbottle", time="P1D", time_method="mean").isel(time=slice(0, 2)),
        "a snapshot": xr.open_dataset(bottle, engine="cbottle").sel(time=TIMES[0]),
        "coarser": xr.open_dataset(bottle, engine="cbottle", time=TIMES, zoom=0),
    }
    if "gcm" in location.bundled():
        opened["gcm"] = xr.open_dataset("gcm", engine="cbottle", time=TIMES, num_steps=2)
    return opened


def test_compliance_checker(bottle, suite, offline, tmp_path):
    for name, made in files(bottle).items():
        made.to_netcdf(tmp_path / f"{name}.nc")
        said = findings(suite, tmp_path / f"{name}.nc")
        unknown = [message for message in said if not any(re.fullmatch(known, message) for known in KNOWN)]
        assert not unknown, name


def test_nothing_is_wrong_but_what_is_newer_than_the_checker(bottle, suite, offline, tmp_path):
    """The same files without HEALPix, which their conventions know and the checker does not: no finding at all."""
    for name, made in files(bottle).items():
        plain = made.drop_vars(["crs", "cell_ids", "cell"]).assign_attrs(Conventions="CF-1.11")
        for variable in plain.data_vars.values():
            del variable.attrs["grid_mapping"]
        plain.to_netcdf(tmp_path / f"{name}.nc")
        said = findings(suite, tmp_path / f"{name}.nc")
        assert not [message for message in said if "spatio-temporal dimensions" not in message], name


def test_the_checker_does_find_what_is_wrong(bottle, suite, offline, tmp_path):
    made = xr.open_dataset(bottle, engine="cbottle", time=TIMES)[["tas", "pr"]].load()
    made.tas.attrs["units"] = "kg"
    made.pr.attrs["standard_name"] = "rain"
    made.to_netcdf(tmp_path / "wrong.nc")
    said = " ".join(findings(suite, tmp_path / "wrong.nc"))
    assert "kg" in said
    assert "standard_name rain is not defined" in said


def test_every_standard_name_is_in_the_table_with_units_of_its_kind(suite):
    """Also of variables that none of these bottles has."""
    from cf_units import Unit
    from compliance_checker.cf.util import StandardNameTable

    table = StandardNameTable()
    for variable in channels.VARIABLES.values():
        if not variable.standard_name:  # of what CF has no name for
            continue
        assert variable.standard_name in table, variable.name
        canonical = table[variable.standard_name].canonical_units
        assert Unit(variable.units).is_convertible(Unit(canonical)), variable.name
