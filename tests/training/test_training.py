"""Training on a made data set: the loss falls, a kill changes nothing, the packed bottle opens."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from tests.trainings import CELLS, ZOOM, N, simulation  # noqa: E402
from xr_cbottle.fields import channels  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402
from xr_cbottle.network import unet  # noqa: E402
from xr_cbottle.network.edm import Denoiser  # noqa: E402
from xr_cbottle.training import coarse, loop  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import data as training_data  # noqa: E402
from xr_cbottle.training.batches import Batches  # noqa: E402
from xr_cbottle.training.loss import edm_loss  # noqa: E402
from xr_cbottle.training.start import start  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trainings.write(tmp_path_factory.mktemp("training"))


@pytest.fixture
def values(folder):
    return trainings.values(folder)


@pytest.fixture
def config(values):
    return configs.parse(values)


def weights(run) -> dict[str, torch.Tensor]:
    return {k: v for k, v in run.average.state_dict().items() if v.is_floating_point()}


def test_prepared_data_are_normalised_channels(config, folder):
    data = training_data.prepare(config.data, folder, progress=False)
    a, b = data.labels
    expected = simulation(0)
    assert a.values.shape == (N, 3, CELLS)
    assert a.validation.sum() == N - 36
    assert len(b.times) == 4
    nest = np.asarray(a.values, np.float64)[..., healpix.padxy_to_nest(ZOOM)]
    physical = nest * data.statistics.scale[:, None] + data.statistics.center[:, None]
    np.testing.assert_allclose(physical[:, 0], expected.tas, atol=0.05)
    np.testing.assert_allclose(physical[:, 2] / channels.GRAVITY, expected.zg.sel(pressure=85000), atol=1)
    assert np.isnan(b.values[:, 1:]).all()
    assert not np.isnan(b.values[:, 0]).any()
    assert (data.sst.land == (np.arange(CELLS) % 3 >= 1)).all()
    np.testing.assert_allclose(physical[:36, 1].std(), data.statistics.scale[1], rtol=1e-3)


def test_batches_depend_on_images_seen_only(config, folder):
    batches = Batches(config, training_data.prepare(config.data, folder, progress=False))
    whole = batches.training(8, 6)
    parts = [batches.training(8, 2), batches.training(10, 4)]
    for field in dataclasses.fields(whole):
        joined = torch.cat([getattr(part, field.name) for part in parts])
        assert torch.equal(getattr(whole, field.name).nan_to_num(99), joined.nan_to_num(99)), field.name
    seen = batches.training(0, len(batches.train))
    stamps = torch.round((seen.day_of_year * 24) / 6) / 4  # the 6-hourly instants below the jitter of 3 h
    assert len(batches.train) == 36 + 4
    assert len(torch.unique(stamps)) >= 36
    assert (seen.second_of_day % 21600 != 0).any()
    assert seen.sigma.log().std() == pytest.approx(np.log(1e4) / 12**0.5, rel=0.05)
    assert seen.sigma.min() >= 0.02
    assert seen.sigma.max() <= 200


def test_loss_ignores_missing_channels_and_images_do_not_mix(config, folder):
    data = training_data.prepare(config.data, folder, progress=False)
    batch = Batches(config, data).training(0, len(Batches(config, data).train))
    missing = torch.isnan(batch.clean[:, 1, 0, 0])
    assert missing.sum() == 4
    net = unet.build(coarse.model_config(config))
    torch.nn.init.normal_(net.model.dec["4x4_aux_conv"].weight)
    objective, plain = edm_loss(Denoiser(net), batch, 0.5)
    assert torch.isfinite(objective).all()
    assert (objective >= plain).all()
    other = dataclasses.replace(batch, noise=batch.noise.clone())
    other.noise[missing, 1:] = 7
    other.noise[0] += 1
    _, changed = edm_loss(Denoiser(net), other)
    assert changed[0] != plain[0]
    torch.testing.assert_close(changed[1:], plain[1:])


@pytest.mark.parametrize("weight", [0.0, 0.25])
def test_the_weight_of_coarse_errors_in_the_configuration_reaches_the_objective(values, weight, tmp_path):
    values["training"]["coarse_weight"] = weight
    run = loop.Run(configs.parse(values), tmp_path, progress=False)
    found = run.case.loss(Denoiser(run.net), run.batches.training(0, 4), run.config.training)
    assert bool((found.objective > found.plain).all()) == (weight > 0)
    expected, plain = edm_loss(Denoiser(run.net), run.batches.training(0, 4), weight)
    torch.testing.assert_close(found.objective, expected)
    torch.testing.assert_close(found.plain, plain)


def test_training_steps_along_the_objective(values, tmp_path):
    runs = []
    for weight in (0.0, 4.0):
        values["training"].update(coarse_weight=weight, total_images=4)
        runs.append(loop.train(configs.parse(values), tmp_path / str(weight), progress=False))
    assert any(not torch.equal(x, weights(runs[1])[k]) for k, x in weights(runs[0]).items())


def test_loss_falls_and_an_interruption_changes_nothing(config, folder, tmp_path):
    whole = loop.train(config, tmp_path / "whole", progress=False)
    loop.train(config, tmp_path / "broken", progress=False, stop_at=40)
    broken = loop.train(config, tmp_path / "broken", progress=False)
    assert whole.images == broken.images == 96
    assert all(torch.equal(x, weights(broken)[k]) for k, x in weights(whole).items())
    lines = [json.loads(line) for line in (tmp_path / "broken" / "log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines if "loss" in line] == [16, 32, 48, 64, 80, 96]
    losses = [line["validation"] for line in lines if "validation" in line]
    assert losses[-1] < 0.9 * losses[0]


def test_muon_makes_singular_values_equal():
    from xr_cbottle.training.optimizer import orthogonalised

    matrices = torch.randn(3, 40, 16, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, -1.5, 16)
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_informed_start_passes_fields_on(config, folder, values):
    values["network"]["model_channels"] = 16
    config = configs.parse(values)
    data = training_data.prepare(config.data, folder, progress=False)
    net = unet.build(coarse.model_config(config))
    start(net, data.statistics)
    seen = {}
    net.model.dec["4x4_aux_norm"].register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0]))
    batch = Batches(config, data).training(0, 4)
    edm_loss(Denoiser(net), batch)
    c_in = (batch.sigma**2 + 0.25).rsqrt().view(-1, 1, 1)
    noisy = (batch.clean + batch.sigma.view(-1, 1, 1, 1) * batch.noise).nan_to_num(0)[:, :, 0] * c_in
    torch.testing.assert_close(seen["x"][:, :3].flatten(2) * 2**0.5, noisy, atol=1e-4, rtol=1e-4)


def test_packed_bottle_draws(config, folder, tmp_path):
    bottle = pytest.importorskip("xr_cbottle.bottle")
    from xr_cbottle.draw.emulator import Emulator, Sampler
    from xr_cbottle.training.bottling import pack_run

    run = loop.train(config, tmp_path / "run", progress=False, stop_at=16)
    path = pack_run(run, tmp_path / "made.cbottle", {"checked": True})
    manifest = bottle.open_bottle(path).manifest
    assert manifest.trained_on["images"] == 16
    assert manifest.trained_on["checked"]
    assert manifest.labels["b"].masked == ("Z500", "Z850")
    assert manifest.labels["b"].donor == "a"
    emulator = Emulator(path, sampler=Sampler(4, 0.02, 200.0), batch_size=2)
    drawn = emulator.draw(["2000-01-01", "2000-01-02T07"], label="b", progress=False)
    assert drawn.shape == (2, 3, CELLS)
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["training"].update(learning_rate=1), r"unknown key\(s\) \['learning_rate'\]; known are"),
        (lambda v: v["training"].pop("total_images"), r"\['total_images'\] are missing"),
        (lambda v: v["training"].update(batch_size="many"), "batch_size: 'many' is not of type int"),
        (lambda v: v["training"].update(sigma_min=300), "sigma_min < sigma_max"),
        (lambda v: v["data"].update(scale="log"), "'std', 'anomaly' or 'climatology'"),
        (lambda v: v["data"]["sources"][0].update(start="yesterday"), "not an ISO-8601 time"),
        (lambda v: v["data"]["sources"][1].update(label="a"), "missing must be the same in all sources of one label"),
        (lambda v: v["network"].update(label_dim=1), "label_dim is 1, but there are 2 labels"),
        (lambda v: v["bottle"].update(nonnegative=["pr"]), r"nonnegative lists \['pr'\]"),
        (lambda v: v["data"].update(annual_harmonics=9), "annual_harmonics is 9, must be 0 to 6"),
    ],
)
def test_wrong_configurations_are_refused(values, change, message):
    change(values)
    with pytest.raises(ValueError, match=message):
        configs.parse(values)


def test_bounds_are_those_of_the_bottle_that_will_be_packed(values):
    values["bottle"]["bounds"] = {"tas": {"sea": True}}
    assert configs.parse(values).bottle.bounds == {"tas": {"sea": True}}
    values["bottle"]["bounds"] = {"tos": {"least": 0}}
    with pytest.raises(ValueError, match=r"bottle: .*bounds\.tos must be one of channels"):
        configs.parse(values)


def test_wrong_data_are_refused(values, folder, tmp_path):
    values["data"].update(channels=["tas", "T500"], cache=str(tmp_path))
    values["data"]["sources"] = values["data"]["sources"][:1]
    with pytest.raises(ValueError, match="no variable 'ta' for channel 'T500'; list the channel under 'missing'"):
        training_data.prepare(configs.parse(values).data, tmp_path, progress=False)
    values["data"]["sources"][0]["files"] = ["nothing*.nc"]
    with pytest.raises(FileNotFoundError, match="no file matches"):
        training_data.prepare(configs.parse(values).data, tmp_path, progress=False)


def test_shipped_configuration_is_valid():
    from pathlib import Path

    folder = Path(__file__).parents[2] / "examples/training"
    assert configs.load(folder / "before_low.yaml").training.sigma_max == 2
    forced = configs.load(folder / "gcm_low.yaml")
    assert len(forced.data.channels) == 56
    assert len(forced.data.sources) == 15
    assert forced.bottle.bounds["ts"] == {"sea": True}
    config = configs.load(folder / "before_high.yaml")
    assert len(config.data.channels) == 26
