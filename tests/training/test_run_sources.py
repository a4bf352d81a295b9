"""Sources of a run: files, URLs and catalogs under other names, units, orders and calendars give the same channels."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from pathlib import Path

import healpy
import numpy as np
import pytest
import xarray as xr
import yaml

from tests import trainings
from tests.trainings import CELLS, ZOOM, N, simulation
from xr_cbottle.fields import channels
from xr_cbottle.grid import healpix
from xr_cbottle.training import config as configs
from xr_cbottle.training import data as training_data
from xr_cbottle.training import run_sources, survey
from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.source_config import SourceConfig

CHANNELS = ("tas", "Z500", "Z850", "pr")


def truth() -> xr.Dataset:
    """The simulation with rain, in our own names and units."""
    ds = simulation(0)
    ds["pr"] = ds.tas * 1e-6
    return ds.astype(np.float32)


def expected() -> np.ndarray:
    """(time, channel, cell) in the channels' own units."""
    ds = truth()
    heights = [ds.zg.sel(pressure=p) * channels.GRAVITY for p in (50000, 85000)]
    return np.stack([ds.tas, *heights, ds.pr], 1)


def source(**keys):
    """A source of all instants."""
    return configs.build(SourceConfig, {"label": "a", "start": "2000-01-01", "end": "2001-01-01", **keys}, "source")


def read(what, names=CHANNELS, zoom=ZOOM) -> np.ndarray:
    """All that a source has, as training reads it."""
    parts = []
    for address in run_sources.addresses(what):
        with run_sources.opened(what, address) as instants:
            parts += [instants.read(part, names, zoom) for part in instants.blocks()]
    return np.concatenate(parts)


def foreign() -> xr.Dataset:
    """The same values as another centre would store them."""
    ds = truth()
    zg = ds.zg.isel(pressure=[1, 0]).rename(pressure="level") * channels.GRAVITY
    zg = zg.assign_coords(level=("level", [850.0, 500.0], {"units": "hPa"}))
    return xr.Dataset(
        {
            "t2m": (ds.tas - 273.15).assign_attrs(units="degC"),
            "z": zg.assign_attrs(units="m**2 s**-2").rename(cell="values"),
            "tp": (ds.pr * 86400).assign_attrs(units="mm/day"),
        }
    )


FOREIGN = {"tas": "t2m", "zg": "z", "pr": {"name": "tp"}}


def test_names_and_units_of_others(tmp_path):
    foreign().to_netcdf(tmp_path / "f.nc")
    values = read(source(files=str(tmp_path / "f.nc"), variables=FOREIGN))
    np.testing.assert_allclose(values, expected(), rtol=1e-5)


def test_unit_and_factor_of_the_configuration_come_first(tmp_path):
    ds = truth()
    ds["ttr"] = (-3600 * ds.tas).assign_attrs(units="J m-2")
    ds.to_netcdf(tmp_path / "f.nc")
    given = {"rlut": {"name": "ttr", "units": "W m-2", "factor": -1 / 3600}}
    values = read(source(files=str(tmp_path / "f.nc"), variables=given), ("rlut",))
    np.testing.assert_allclose(values[:, 0], truth().tas, rtol=1e-5)
    with pytest.raises(ValueError, match=r"units of 'ttr': 'J m-2' cannot be converted to 'W m-2'.*rlut: \{name: ttr"):
        read(source(files=str(tmp_path / "f.nc"), variables={"rlut": "ttr"}), ("rlut",))


@pytest.mark.parametrize("order", ["ring", "shuffled"])
def test_other_orders_of_cells(order, tmp_path):
    ds = truth()
    if order == "ring":
        ds = ds.isel(cell=healpy.ring2nest(2**ZOOM, np.arange(CELLS)))
        ds = ds.assign_coords(crs=((), 0, {"grid_mapping_name": "healpix", "healpix_order": "ring"}))
    else:
        ds = ds.assign_coords(cell=np.arange(CELLS)).isel(cell=np.random.default_rng(0).permutation(CELLS))
    ds.to_netcdf(tmp_path / "f.nc")
    np.testing.assert_allclose(read(source(files=str(tmp_path / "f.nc"))), expected(), rtol=1e-6)


def test_single_levels_finer_cells_and_no_leap_years(tmp_path):
    ds = simulation(3, ZOOM + 1).astype(np.float32)
    flat = ds.assign(z500=ds.zg.sel(pressure=50000, drop=True), tas=ds.tas.expand_dims(height=1, axis=1))
    flat = flat.drop_vars(["zg", "pressure"]).convert_calendar("noleap", use_cftime=True)
    flat.to_netcdf(tmp_path / "f.nc")
    what = source(files=str(tmp_path / "f.nc"), variables={"Z500": "z500"})
    values = read(what, ("tas", "Z500"))
    np.testing.assert_allclose(values[:, 0], healpix.coarsen(ds.tas.values, 1), rtol=1e-6)
    np.testing.assert_allclose(values[:, 1], healpix.coarsen(ds.zg.values[:, 0] * np.float32(9.80665), 1), rtol=1e-5)
    with run_sources.opened(what, run_sources.addresses(what)[0]) as instants:
        np.testing.assert_array_equal(instants.times, ds.time.values)
    with pytest.raises(ValueError, match=r"none of them is pressure; .* such as T850: z500"):
        read(source(files=str(tmp_path / "f.nc"), variables={"zg": "z500"}), ("Z500",))


def test_days_that_our_calendar_has_not(tmp_path):
    import cftime

    ds = truth().isel(time=slice(2)).assign_coords(time=[cftime.Datetime360Day(2000, 2, 30, hour) for hour in (0, 6)])
    ds.to_netcdf(tmp_path / "f.nc")
    with pytest.raises(ValueError, match=r"no dates of our calendar .*convert_calendar\('standard'"):
        read(source(files=str(tmp_path / "f.nc")))


def test_several_stores_of_a_label_share_their_instants(tmp_path):
    ds = truth()
    ds[["tas"]].isel(time=slice(None, None, 2)).to_netcdf(tmp_path / "surface.nc")
    ds[["zg"]].isel(time=slice(10)).to_netcdf(tmp_path / "levels_1.nc")
    ds[["zg"]].isel(time=slice(10, 30)).to_netcdf(tmp_path / "levels_2.nc")
    ds[["pr"]].isel(time=slice(4, None))[{"time": slice(None, None, -1)}].to_zarr(tmp_path / "rain.zarr", zarr_format=2)
    what = source(
        files=str(tmp_path / "surface.nc"),
        also=[{"files": str(tmp_path / "levels_?.nc")}, {"files": [str(tmp_path / "rain.zarr")]}],
    )
    np.testing.assert_allclose(read(what), expected()[4:30:2], rtol=1e-6)
    assert survey.survey(what).instants == 13


def test_blocks_are_whole_chunks(tmp_path):
    chunks = {name: {"chunks": (12, CELLS)} for name in ("tas", "pr")}
    truth().to_zarr(tmp_path / "c.zarr", encoding=chunks, zarr_format=2)
    what = source(files=str(tmp_path / "c.zarr"), start="2000-01-02")
    with run_sources.opened(what, run_sources.addresses(what)[0]) as instants:
        assert instants.stores[0].block == 120
        instants.stores[0].block = 12
        assert [(part[0], part[-1]) for part in instants.blocks()] == [(4, 11), (12, 23), (24, 35), (36, 39)]


@pytest.fixture
def server(tmp_path):
    """A folder over HTTP."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()


def test_urls(tmp_path, server):
    first, second = truth().isel(time=slice(25)), truth().isel(time=slice(25, None))
    first.to_zarr(tmp_path / "first.zarr", zarr_format=2)
    second.to_netcdf(tmp_path / "second.nc")
    what = source(files=[f"{server}/first.zarr", f"{server}/second.nc"])
    np.testing.assert_allclose(read(what), expected(), rtol=1e-6)


CATALOG = """
sources:
  nested:
    driver: yaml_file_cat
    description: another catalog
    args: {path: "{{ CATALOG_DIR }}/inner.yaml"}
"""
INNER = """
sources:
  made:
    driver: zarr
    description: made
    args: {urlpath: "{{ CATALOG_DIR }}/made_{{ zoom }}.zarr", consolidated: true}
    parameters: {zoom: {type: int, default: 3, allowed: [2, 3], description: zoom}}
"""


@pytest.fixture
def catalog(tmp_path):
    pytest.importorskip("intake_xarray")
    (tmp_path / "main.yaml").write_text(CATALOG)
    (tmp_path / "inner.yaml").write_text(INNER)
    foreign().to_zarr(tmp_path / "made_2.zarr", zarr_format=2)
    return {"catalog": str(tmp_path / "main.yaml"), "entry": "nested.made", "variables": FOREIGN}


def test_entry_of_a_catalog(catalog):
    np.testing.assert_allclose(read(source(**catalog, parameters={"zoom": 2})), expected(), rtol=1e-5)


def test_an_intake_xarray_that_ignores_parameters_is_refused(catalog, monkeypatch):
    monkeypatch.setattr(run_sources.metadata, "version", lambda name: "2.0.0")
    with pytest.raises(ValueError, match=r"intake-xarray 2.0.0 ignores parameters .* 'intake-xarray<2'"):
        read(source(**catalog, parameters={"zoom": 2}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {"level": 2}}, r"has no parameter\(s\) \['level'\]; it has \['zoom'\]"),
        ({"parameters": {"zoom": 9}}, r"zoom.*not one of the allowed"),
        ({"entry": "nested.other"}, "has no entry 'nested.other'"),
    ],
)
def test_entries_that_there_are_not(catalog, change, message):
    with pytest.raises(ValueError, match=message):
        read(source(**{**catalog, **change}))


def test_example_for_own_data_is_valid():
    text = (Path(__file__).parents[2] / "examples" / "training" / "README.md").read_text()
    *_, block = re.findall(r"```yaml\n(data:.*?)```", text, re.S)
    config = configs.build(DataConfig, yaml.safe_load(block)["data"], "data")
    assert config.sources[0].entry == "online.icon_d3hp003"
    assert config.sources[1].variables["rlut"].factor == pytest.approx(-1 / 3600, rel=1e-4)
    assert config.sources[1].also[0].variables["zg"].name == "z"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"catalog": "a.yaml", "entry": "b"}, "source 'a': give either files or catalog"),
        ({"files": []}, "give either files or catalog"),
        ({"files": [], "catalog": "a.yaml"}, "catalog and entry belong together"),
        ({"parameters": {"zoom": 3}}, "files have none"),
        ({"variables": {"tas": {"nme": "t2m"}}}, r"variables: tas: unknown key\(s\) \['nme'\]; known are \['name'"),
        ({"variables": {"tas2": "t2m"}}, r"variables maps \['tas2'\]: neither channels of this run nor variables"),
        ({"also": [{"files": "a.nc", "entry": "b"}]}, r"also\[0\]: catalog and entry belong together"),
    ],
)
def test_wrong_stores_are_refused(tmp_path, change, message):
    values = trainings.values(tmp_path)
    values["data"]["sources"][0].update(change)
    with pytest.raises(ValueError, match=message):
        configs.parse(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.drop_vars("pr"), "no variable 'pr' for channel 'pr'; .* 'missing'.* or say under 'variables'"),
        (lambda ds: ds.isel(pressure=[0]), "zg has no level 85000 Pa; it has 50000 Pa"),
        (lambda ds: ds.isel(cell=slice(100)), "100 cells along cell: the whole globe"),
        (lambda ds: ds.drop_vars("time"), "has no coordinate 'time'"),
        (lambda ds: ds.drop_vars("pressure"), "no pressures with a coordinate in Pa"),
        (lambda ds: ds.assign(tas=ds.tas.expand_dims(member=2)), "has the dimension member too: choose one"),
    ],
)  # fmt: skip
def test_wrong_data_are_refused(tmp_path, change, message):
    change(truth()).to_netcdf(tmp_path / "f.nc")
    with pytest.raises(ValueError, match=message):
        read(source(files=str(tmp_path / "f.nc")))


# SST of a source ----------------------------------------------------------------------------------------------


@pytest.fixture
def of_source(tmp_path):
    """A configuration whose SST is the surface temperature of its first source, in degC, from 25 January on."""
    ds = simulation(0)
    ds = ds.assign_coords(time=ds.time + np.timedelta64(24, "D"))
    ds["ts"] = (ds.tas.clip(275) - 273.15).assign_attrs(units="degC")
    ds["sftlf"] = ("cell", np.arange(CELLS) % 3 / 2)
    ds.to_netcdf(tmp_path / "a.nc")
    values = trainings.values(tmp_path)
    values["data"].update(
        sources=[{"label": "a", "files": str(tmp_path / "a.nc"), "start": "2000-01-01", "end": "2000-03-01"}],
        sst={"source": "a", "variable": "ts"},
    )
    return values, ds


def test_sst_is_made_of_a_source(of_source, tmp_path):
    values, ds = of_source
    sst = training_data.prepare(configs.parse(values).data, tmp_path, progress=False).sst
    np.testing.assert_array_equal(sst.times, np.array(["2000-01-16T12", "2000-02-15T12"], "datetime64[s]"))
    means = (ds.ts + 273.15).groupby("time.month").mean().where(ds.sftlf < 0.5)
    np.testing.assert_allclose(sst.values, means, atol=0.002)
    assert (np.isnan(sst.values[0]) == (np.arange(CELLS) % 3 >= 1)).all()
    assert N == 40
    assert (ds.time.dt.month == 1).sum() == 28


@pytest.mark.parametrize(
    ("sst", "message"),
    [
        ({"source": "a", "variable": "tos"}, "no variable 'tos'"),
        ({"source": "other", "variable": "ts"}, "source is 'other', but the sources are a"),
        ({"variable": "ts"}, "give either path or source"),
        ({"source": "a", "variable": "zg"}, "zg has dimensions"),
        ({"source": "a", "variable": "tas"}, "no sea"),
    ],
)
def test_wrong_ssts_are_refused(of_source, tmp_path, sst, message):
    values, _ = of_source
    values["data"]["sst"] = sst
    with pytest.raises(ValueError, match=message):
        training_data.prepare(configs.parse(values).data, tmp_path, progress=False)


def test_another_sst_file_is_noticed(tmp_path):
    config = configs.parse(trainings.values(trainings.write(tmp_path))).data
    before = training_data.prepared_folder(config, tmp_path)
    assert training_data.prepared_folder(config, tmp_path) == before
    xr.open_dataset(tmp_path / "sst.nc").load().isel(time=slice(2)).to_netcdf(tmp_path / "sst2.nc")
    (tmp_path / "sst2.nc").replace(tmp_path / "sst.nc")
    assert training_data.prepared_folder(config, tmp_path) != before
