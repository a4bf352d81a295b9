"""Forcings in training: what made runs were made of is found again, and what cannot be told is refused."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from tests.bottles import sst_cells  # noqa: E402
from xr_cbottle.bottle import open_bottle  # noqa: E402
from xr_cbottle.bottle.harmonics import Fit, basis  # noqa: E402
from xr_cbottle.draw.emulator import Emulator  # noqa: E402
from xr_cbottle.fields.sst import SeaSurfaceTemperature  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402
from xr_cbottle.training import bottling, loop, regression, warm_start  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import data as training_data  # noqa: E402

ZOOM = 2
CELLS = healpix.n_cells(ZOOM)
START, END = "1980-01-01", "1981-01-01"
STEPS = np.arange(np.datetime64(START, "s"), np.datetime64(END, "s"), np.timedelta64(18, "h"))
#: Name, offset of the sea in K, carbon dioxide: offsets and doublings are not correlated.
RUNS = (("base", 0.0, 360.0), ("a", 2.0, 360.0), ("b", 2.0, 720.0), ("c", -2.0, 720.0), ("d", -2.0, 360.0))
PER_KELVIN, PER_DOUBLING, MOIST = 1.2, 0.6, 0.07
"""Of every cell: K per K and per doubling, and logarithm of the spread of the second channel per K."""
LAT = healpix.lonlat(ZOOM)[1]
SEA = sst_cells(ZOOM).clip(275)  # free of ice
SEA.sst.attrs["units"] = "K"


def made(offset: float, co2: float, seed: int) -> xr.Dataset:
    """A run: a season, a response that is stronger in one season and in the north, and weather."""
    rng = np.random.default_rng(seed)
    season = basis(STEPS, 1, 0)[:, 1, 0][:, None]
    north = 1 + 0.5 * np.sin(np.deg2rad(LAT))
    tas = 280 + 5 * season + PER_KELVIN * north * (1 + 0.3 * season) * offset + PER_DOUBLING * np.log2(co2 / 360)
    ps = np.full((len(STEPS), CELLS), 50.0)
    shape = (len(STEPS), CELLS)
    tas = tas + 0.5 * rng.standard_normal(shape)
    ps = ps + 2.0 * np.exp(MOIST * offset) * rng.standard_normal(shape)
    return xr.Dataset(
        {"tas": (("time", "cell"), tas.astype(np.float32), {"units": "K"}),
         "prw": (("time", "cell"), ps.astype(np.float32), {"units": "kg m-2"})},
        {"time": STEPS.astype("datetime64[ns]")},
        {"sst_offset": offset, "co2_ppmv": co2},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("forced")
    for seed, (name, offset, co2) in enumerate(RUNS):
        made(offset, co2, seed).to_netcdf(folder / f"{name}.nc")
    SEA.to_netcdf(folder / "sst.nc")
    return folder


@pytest.fixture
def values(folder) -> dict[str, Any]:
    values = copy.deepcopy(trainings.values(folder))
    values["data"] |= {
        "channels": ["tas", "tcwv"],
        "scale": "climatology",
        "annual_harmonics": 1,
        "sst": {"path": str(folder / "sst.nc")},
        "sources": [
            {"label": "m", "files": str(folder / f"{name}.nc"), "start": START, "end": END} for name, _, _ in RUNS
        ],
        "forcings": {"co2": {"units": "ppmv", "reference": 360, "series": 400, "transform": "log2"}},
        "sst_modes": ["global"],
    }
    values["bottle"] |= {"start": "1980-01-01", "end": "1981-12-31"}
    values["training"] |= {"total_images": 8}
    return values


def prepared(values, folder) -> training_data.TrainingData:
    return training_data.prepare(configs.parse(values).data, folder, progress=False)


def test_the_response_that_made_the_runs_is_found_with_its_error(values, folder):
    known = prepared(values, folder).climatology
    found, scale = known.response, known.scale
    assert found.predictors == ("global", "co2")
    np.testing.assert_allclose(found.learnt, [[-2.05, 2.05], [0, 1]], atol=0.06)
    tas = found.mean[0, :, 0] * scale[0]  # (predictor, season, cell)
    north = 1 + 0.5 * np.sin(np.deg2rad(LAT))
    error = found.error[0, :, 0] * scale[0]
    deviations = (tas[0, 0] - PER_KELVIN * north) / error[0]
    assert 0.6 < deviations.std() < 1.6  # the error is one
    np.testing.assert_allclose(tas[0, 0].mean(), PER_KELVIN * north.mean(), rtol=0.01)
    np.testing.assert_allclose(tas[0, 1] / tas[0, 0], 0.3, atol=0.12)
    np.testing.assert_allclose(tas[1, 0].mean(), PER_DOUBLING, rtol=0.03)
    assert abs((tas[1, 0] - PER_DOUBLING) / error[1]).mean() < 1.5
    np.testing.assert_allclose(found.spread[0, 0, 1].mean(), MOIST, rtol=0.1)
    np.testing.assert_allclose(found.spread[0, 1].mean(), 0, atol=0.03)
    assert abs(found.spread[0, 0, 1] - MOIST).max() < 0.05  # cells are drawn to the mean of all


def test_what_the_network_learns_from_has_unit_size_in_every_climate(values, folder):
    data = prepared(values, folder)
    assert [run.label for run in data.runs] == ["m"] * len(RUNS)
    assert [label.label for label in data.labels] == ["m"]
    for run in data.runs:
        x = np.asarray(run.values, np.float64)
        np.testing.assert_allclose(x.mean((0, 2)), 0, atol=0.02)
        np.testing.assert_allclose(x.std((0, 2)), 0.5, rtol=0.03)


def test_images_are_told_their_own_sea_and_forcing(values, folder):
    config = configs.parse(values)
    data = prepared(values, folder)
    from xr_cbottle.training.batches import Batches

    batches = Batches(config, data)
    batch = batches.training(0, 40)
    assert batch.condition.shape == (40, 3, 1, CELLS)
    chosen = np.array([batches.train[batches._epochs.member(i)] for i in range(40)])
    offset, co2 = (np.array([RUNS[run][k] for run, _ in chosen]) for k in (1, 2))
    np.testing.assert_allclose(batch.condition[:, 2, 0, 0].numpy(), np.log2(co2 / 360), atol=1e-6)
    anomaly = batch.condition[:, 1, 0].numpy()
    sea = anomaly.any(0)
    assert abs(anomaly[:, sea].mean(1) - offset).max() < 0.1
    assert (batch.labels[:, 0] == 1).sum() > 30
    assert (batch.labels[:, 1:] == 0).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(sources=[d["sources"][i] for i in (0, 2)]), "co2 rises and falls with the sea in its"),
        (lambda d: d.update(sources=[d["sources"][i] for i in (0, 1, 4)]), "co2 is 360 in all runs: what it does"),
        (lambda d: d["sources"][1].update(forcings={"ch4": 1800}), "forcings has .'ch4'., which data: forcings has"),
        (lambda d: d.update(sst_modes=["nino"]), "sst_modes names .'nino'.: choose among global, nino34"),
        (lambda d: d.update(scale="std"), "need scale: climatology"),
        (lambda d: d["sources"][1].update(diurnal_harmonics=2), "diurnal_harmonics must be the same in all sources"),
        (lambda d: d["sources"][1].update(sst_offset="40"), "sst_offset is 40 K: it must be from -15 to 15 K"),
        (lambda d: d["forcings"].update(n2o={"units": "ppbv", "reference": 300, "series": 310}),
         "neither its forcings nor the attribute n2o_ppbv of its files say what n2o was"),
        (lambda d: d["forcings"]["co2"].update(series=1000), None),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_is_refused(values, folder, change, says):
    change(values["data"])
    if says is None:
        with pytest.raises(ValueError, match="the series of the bottle's own years goes from 1000 to 1000 ppmv"):
            loop.Run(configs.parse(values), folder / "refused", progress=False)
        return
    with pytest.raises(ValueError, match=says):
        prepared(values, folder)


def test_a_series_must_cover_the_bottles_years(values):
    values["data"]["forcings"]["co2"]["series"] = "1pctCO2"
    values["bottle"]["end"] = "2013-12-31"
    with pytest.raises(ValueError, match=r"co2 .1pctCO2. is known from 1850-01-01 to 1999-12-31 and the times go"):
        configs.parse(values)


def test_a_run_packs_a_bottle_that_answers(values, folder, tmp_path):
    config = configs.parse(values)
    run = loop.train(config, tmp_path / "run", progress=False)
    path = bottling.pack_run(run, tmp_path / "made.cbottle", calibrate=12)
    plain = Emulator(path, device="cpu")
    manifest = plain.bottle.manifest
    assert list(manifest.forcings) == ["co2"]
    assert (manifest.forcings["co2"].low, manifest.forcings["co2"].high) == (360, 720)
    assert manifest.trained_on["data"]["m"]["runs"] == len(RUNS)
    assert manifest.trained_on["response"]["global"][1] == pytest.approx(2.0, abs=0.1)
    ds = [xr.open_dataset(path, engine="cbottle", **more) for more in ({}, {"sst": "+2K"}, {"co2": 720})]
    tas = [one.tas.isel(time=[0, 40, 80]).mean().item() for one in ds]
    assert tas[1] - tas[0] == pytest.approx(2 * PER_KELVIN * 1.1, abs=0.7)  # a network that has learnt nothing yet
    assert tas[2] - tas[0] == pytest.approx(PER_DOUBLING * np.log2(720 / 400), abs=0.5)


@pytest.mark.parametrize("bounds", [{}, {"tcwv": {"most": 70}}])
def test_the_mapping_of_what_is_never_negative_goes_with_the_climate(values, folder, tmp_path, bounds):
    values["bottle"] |= {"nonnegative": ["tcwv"], "matched": ["tas", "tcwv"], "bounds": bounds}
    run = loop.train(configs.parse(values), tmp_path / "run", progress=False)
    emulator = Emulator(bottling.pack_run(run, tmp_path / "made.cbottle", calibrate=12), device="cpu")
    assert emulator.climatology.calibration.scaled.tolist() == [[False, not bounds]]
    times = np.array(["1980-02-03", "1980-08-01"], "datetime64[s]")
    _, _, ratio = emulator.climatology.about("m", times, emulator.predictors(times))
    assert (ratio is None) == bool(bounds)


def test_a_smaller_network_is_a_start_that_draws_the_same(values, folder, tmp_path):
    small = copy.deepcopy(values)
    small["data"] |= {"channels": ["tcwv"], "forcings": {}, "sst_modes": []}
    first = loop.train(configs.parse(small), tmp_path / "small", progress=False)
    with torch.no_grad():
        for parameter in first.average.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    small_bottle = bottling.pack_run(first, tmp_path / "small.cbottle")
    values["training"]["initial"] = str(small_bottle)
    values["network"]["label_dim"] = 3
    grown = loop.Run(configs.parse(values), tmp_path / "large", progress=False)
    x, sigma = torch.randn(2, 2, 1, CELLS), torch.tensor([1.0, 3.0])
    condition = torch.randn(2, 3, 1, CELLS)
    clock = torch.zeros(2, 1)
    from xr_cbottle.network.edm import Denoiser

    part = warm_start.known(small_bottle, 0.02, 200.0)
    from xr_cbottle.network import unet

    old = unet.build(part.config)
    old.load_state_dict(part.state())
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    with torch.no_grad():
        told = dict(second_of_day=clock, day_of_year=clock)
        before = Denoiser(old)(x[:, 1:], sigma, labels=labels, condition=condition[:, :2], **told)
        after = Denoiser(grown.net)(
            x, sigma, labels=torch.nn.functional.pad(labels, (0, 1)), condition=condition, **told
        )
    np.testing.assert_allclose(after[:, 1:].numpy(), before.numpy(), atol=1e-4)
    values["network"]["model_channels"] = 16
    with pytest.raises(ValueError, match="which has another network than this run: they differ in model_channels"):
        loop.Run(configs.parse(values), tmp_path / "other", progress=False)


# The regression -----------------------------------------------------------------------------------------------------


def test_ridge_draws_to_nothing_what_instants_do_not_tell():
    rng = np.random.default_rng(0)
    times, numbers = STEPS, 1e-3 * rng.normal(size=(len(STEPS), 1))
    values = rng.normal(size=(len(STEPS), 50))
    free, bound = (Fit(1, 0, (50,), 1, 0, ridge) for ridge in (0.0, 5.0))
    for fit in (free, bound):
        fit.add(times, values, numbers)
    assert abs(free.coefficients()[3]).mean() > 20
    assert abs(bound.coefficients()[3]).max() < 0.1


def test_errors_count_months_and_not_hours():
    """Weather that stays for a month says little, however often it is written down."""
    rng = np.random.default_rng(0)
    times = np.arange(np.datetime64("1980-01-01", "s"), np.datetime64("1984-01-01", "s"), np.timedelta64(6, "h"))
    months = times.astype("datetime64[M]").astype(int)
    numbers = np.where(months % 2 == 0, 1.0, -1.0)[:, None]
    cells = 400
    values = rng.normal(size=(months.max() + 1, cells))[months]
    fit = Fit(1, 0, (1, cells), 1, 0, 0.0)
    fit.add(times, values[:, None], numbers)
    residuals = regression.Residuals(fit, fit.coefficients())
    residuals.add(0, times, values[:, None], numbers)
    actual = fit.coefficients()[3].std()
    assert residuals.errors()[0].mean() == pytest.approx(actual, rel=0.15)


def test_spread_is_log_linear_and_noise_of_cells_is_taken_out():
    rng = np.random.default_rng(0)
    numbers = rng.uniform(-2, 4, (40, 1))
    quarters = np.arange(40) % 4
    true = 0.1 + 0.05 * (np.arange(1000) % 2)
    noise = 0.3 * rng.normal(size=(40, 1000))
    power = np.exp(quarters[:, None] + 2 * numbers * true + noise)
    found = regression.half_logarithm(power, numbers, quarters, np.full(40, 360.0))[0]
    raw = regression.half_logarithm(
        np.exp(quarters[:, None] + 2 * numbers * true), numbers, quarters, np.full(40, 360.0)
    )
    np.testing.assert_allclose(raw[0], true, atol=0.01)
    assert found.mean() == pytest.approx(0.125, abs=0.005)
    assert abs(found - true).mean() < 0.9 * abs(found.mean() - true).mean()


def test_a_source_may_have_a_sea_of_its_own_and_an_offset_that_is_a_field(values, folder, tmp_path):
    (SEA + 1).to_netcdf(tmp_path / "warm.nc")
    field = xr.DataArray(np.where(LAT > 0, 2.0, 0.0), dims="cell", name="offset", attrs={"units": "K"})
    field.to_netcdf(tmp_path / "field.nc")
    values["data"]["sources"][1] |= {"sst": str(tmp_path / "warm.nc")}
    values["data"]["sources"][3] |= {"sst_offset": str(tmp_path / "field.nc"), "forcings": {"co2": "historical"}}
    runs = prepared(values, folder).runs
    times = STEPS[:3]
    base = SeaSurfaceTemperature.from_dataset(SEA, ZOOM).at(times)
    np.testing.assert_allclose(runs[1].climate.sst.at(times) - base, np.where(np.isnan(base), np.nan, 1), atol=3e-3)
    wanted = np.where(np.isnan(base), np.nan, field.values)
    np.testing.assert_allclose(runs[3].climate.sst.at(times) - base, wanted, atol=3e-3)
    assert runs[3].climate.forcings["co2"].at(["1980-07-01"])[0] == pytest.approx(338.7, abs=0.1)


def test_the_sea_that_the_files_name_is_taken_if_it_lies_beside_them(values, folder, tmp_path):
    with xr.open_dataset(folder / "c.nc") as run:
        named = run.load().assign_attrs(sst_forcing="sea.nc", sst_pattern="pattern.nc", sst_offset=-1.0)
    named.to_netcdf(tmp_path / "c.nc")
    values["data"]["sources"][3]["files"] = str(tmp_path / "c.nc")
    with pytest.raises(ValueError, match=r"the offset of its sea is pattern\.nc, by its attribute sst_pattern: give"):
        prepared(values, folder)
    (SEA - 1.5).to_netcdf(tmp_path / "sea.nc")
    runs = prepared(values, folder).runs
    base = SeaSurfaceTemperature.from_dataset(SEA, ZOOM).at(STEPS[:3])
    found = runs[3].climate.sst.at(STEPS[:3]) - base
    np.testing.assert_allclose(found, np.where(np.isnan(base), np.nan, -1.5), atol=3e-3)


def test_a_forcing_may_differ_from_file_to_file(values, folder, tmp_path):
    with xr.open_dataset(folder / "b.nc") as run:
        run = run.load()
    run.isel(time=slice(0, 240)).assign_attrs(co2_ppmv=500.0).to_netcdf(tmp_path / "b1.nc")
    run.isel(time=slice(240, None)).to_netcdf(tmp_path / "b2.nc")
    values["data"]["sources"][2]["files"] = str(tmp_path / "b?.nc")
    climate = prepared(values, folder).runs[2].climate
    np.testing.assert_allclose(climate.told(STEPS[[0, 239, 240, -1]])[:, 0], np.log2([500 / 360, 500 / 360, 2, 2]))


def test_files_of_one_source_must_agree(values, folder, tmp_path):
    del values["data"]["sources"][0]  # of which base.nc is a file too
    values["data"]["sources"][0]["files"] = [str(folder / "base.nc"), str(folder / "a.nc")]
    with pytest.raises(ValueError, match="its files differ in sst_offset: make a source of each run"):
        prepared(values, folder)


def test_old_configurations_have_no_response(values, folder):
    values["data"] |= {"forcings": {}, "sst_modes": [], "sources": values["data"]["sources"][:1]}
    data = prepared(values, folder)
    assert data.climatology.response is None
    assert data.forcings == {}
    assert dataclasses.asdict(configs.parse(values).network)


def test_a_label_of_one_run_is_added_to_a_climate_that_moves(values, folder, tmp_path):
    base = loop.train(configs.parse(values), tmp_path / "base", progress=False)
    bottle = bottling.pack_run(base, tmp_path / "base.cbottle")
    new = made(2.0, 720.0, 9)  # under a warmer sea and more carbon dioxide alone
    (new.assign(tas=new.tas + 3)).to_netcdf(tmp_path / "n.nc")
    values["data"]["sources"] = [{"label": "n", "files": str(tmp_path / "n.nc"), "start": START, "end": END}]
    values["data"] |= {"standardised_as": str(bottle), "response_of": {"n": "m"}}
    values["network"] = {"from": str(bottle), "replay": {"every": 2, "instants": 2}, "label_dropout": 0.0}
    run = loop.train(configs.parse(values), tmp_path / "run", progress=False)

    known, found = open_bottle(bottle).climatology(), run.data.climatology
    assert found.labels == ("m", "n")
    np.testing.assert_array_equal(found.response.mean[1], known.response.mean[0])
    still = np.zeros((len(STEPS[::20]), 2))  # the usual sea and 360 ppmv: what n was never run under
    tas = [found.usual(label, STEPS[::20], still)[:, 0].mean() for label in ("m", "n")]
    assert tas[1] - tas[0] == pytest.approx(3, abs=0.15)
    x = np.asarray(run.data.runs[0].values, np.float64)
    np.testing.assert_allclose(x.mean((0, 2)), 0, atol=0.02)
    np.testing.assert_allclose(x.std((0, 2)), 0.5, rtol=0.05)
    spread = [found.at(label, STEPS[:1], still[:1])[1][0, 1].mean() for label in ("m", "n")]
    assert spread[1] / spread[0] == pytest.approx(1, abs=0.03)  # not that of the warmer climate, 1.15 times

    batch = run.batches.training(0, 4)
    assert batch.replayed.tolist() == [False, True, False, True]
    told = batch.condition[:, 2, 0, 0]
    np.testing.assert_allclose(told, [1, np.log2(400 / 360)] * 2, rtol=1e-5)  # the bottle's own series is 400
    out = bottling.pack_run(run, tmp_path / "all.cbottle")
    before, after = open_bottle(bottle).manifest, open_bottle(out).manifest
    assert (after.forcings, after.sea_range, after.sst) == (before.forcings, before.sea_range, before.sst)
    assert list(after.labels) == ["m", "n"]
    drawn = Emulator(out, sst=base.data.sst).draw(["1980-07-01"], label="n", progress=False)
    assert np.isfinite(drawn).all()

    wrong = (
        ({"response_of": {"n": "z"}}, "response_of names z, and made has the labels m"),
        ({"response_of": {"z": "m"}}, r"response_of names \['z'\], but the sources are n"),
        ({"standardised_as": None}, "response_of is of labels that are added to standardised_as"),
    )
    for change, says in wrong:
        with pytest.raises(ValueError, match=says):
            loop.Run(configs.parse({**values, "data": values["data"] | change}), tmp_path / "wrong", progress=False)
    values["data"]["forcings"] = {"co2": values["data"]["forcings"]["co2"] | {"reference": 400}}
    with pytest.raises(ValueError, match="whose co2 is in ppmv about 360, transform log2: forcings must say the same"):
        loop.Run(configs.parse(values), tmp_path / "wrong", progress=False)
    made(2.0, 900.0, 9).to_netcdf(tmp_path / "n.nc")
    values["data"]["forcings"]["co2"]["reference"] = 360
    with pytest.raises(ValueError, match="has learnt co2 from 360 to 720, and the sources go beyond that"):
        loop.Run(configs.parse(values), tmp_path / "beyond", progress=False)
