"""Runs that begin from a network that is there: of the published form, of a bottle, with other channels and labels."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from xr_cbottle.bottle.architecture import BatchInfo, ModelConfig  # noqa: E402
from xr_cbottle.bottle.checkpoint import read_part, write_part  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402
from xr_cbottle.network import unet  # noqa: E402
from xr_cbottle.network.edm import Denoiser  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import loop, warm_start  # noqa: E402
from xr_cbottle.training.bottling import pack_run  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trainings.write(tmp_path_factory.mktemp("warm"))


@pytest.fixture
def values(folder):
    return trainings.values(folder)


@pytest.fixture(scope="module")
def bottle(folder):
    """A bottle whose weights are none that a start would make."""
    values = trainings.values(folder)
    values["bottle"]["dtype"] = "float32"
    run = loop.train(configs.parse(values), folder / "old", progress=False, stop_at=4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in run.average.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return pack_run(run, folder / "old.cbottle")


def recipe_state(net):
    """Weights that are known without being stored, by the recipe of tests/reference/README.md."""

    def made(key, shape):
        values = np.random.Generator(np.random.Philox(zlib.crc32(key.encode()))).standard_normal(shape)
        if key.endswith("pos_embed"):
            return 0.1 * values
        if len(shape) > 1:
            return values / np.sqrt(np.prod(shape[1:]))
        return 1 + 0.1 * values if key.endswith("weight") else 0.1 * values

    state = net.state_dict()
    floating = [key for key, value in state.items() if value.is_floating_point() and value.numel()]
    return state | {key: torch.from_numpy(made(key, tuple(state[key].shape)).astype(np.float32)) for key in floating}


def test_the_first_loss_on_published_weights_is_the_original_networks(tmp_path):
    channels = ["tas", "pr"]
    config = ModelConfig(model_channels=8, label_dim=1024, out_channels=2)  # calendar flag, zoom 6 and all
    state = recipe_state(unet.build(config))
    info = BatchInfo(("tas", "pr"), (20.0, 3e-5), (280.0, 3e-5))
    write_part(tmp_path / "published.checkpoint", config, info, state)
    zoom, times = 6, np.datetime64("2000-01-01", "ns") + np.arange(3) * np.timedelta64(6, "h")
    rng = np.random.default_rng(0)
    cells = healpix.n_cells(zoom)
    fields = {"tas": (288.0, 10.0), "pr": (3e-5, 2e-5)}
    xr.Dataset(
        {name: (("time", "cell"), mean + sd * rng.standard_normal((3, cells))) for name, (mean, sd) in fields.items()},
        {"time": times},
    ).to_netcdf(tmp_path / "fine.nc")
    sst = xr.DataArray(np.full((2, cells), 290.0), {"time": times[[0, 2]]}, ("time", "cell"), name="sst")
    sst.to_netcdf(tmp_path / "sst.nc")
    source = {"label": "icon", "files": str(tmp_path / "fine.nc"), "start": "2000-01-01", "end": "2000-02-01"}
    about = dict.fromkeys(("title", "summary", "source", "licence"), "made")
    config = configs.parse({
        "data": {"zoom": zoom, "channels": channels, "sst": {"path": str(tmp_path / "sst.nc")}, "sources": [source]},
        "network": {"from": str(tmp_path / "published.checkpoint"), "statistics": "bottle", "label_dropout": 0.0},
        "training": {"total_images": 8, "batch_size": 1},
        "bottle": {"name": "made", "start": "2000-01-01", "end": "2000-01-02", **about},
    })  # fmt: skip
    run = loop.Run(config, tmp_path / "run", progress=False)
    assert run.model_config == config_of_old(run)
    batch = run.batches.training(0, 1)
    with torch.no_grad():
        found = run.case.loss(Denoiser(run.net), batch, config.training)
        part = read_part(tmp_path / "published.checkpoint")
        original = unet.build(part.config)
        original.load_state_dict(part.state)
        labels = torch.zeros(1, 1024)
        labels[0, 0] = 1
        sigma = batch.sigma
        assert len(run.data.runs[0].values) == 3
        noisy = batch.clean + sigma * batch.noise
        denoised = Denoiser(original)(
            noisy, sigma, condition=batch.condition, labels=labels, second_of_day=batch.second_of_day,
            day_of_year=batch.day_of_year,
        )  # fmt: skip
    expected = ((sigma**2 + 0.25) / (sigma * 0.5) ** 2 * (denoised - batch.clean) ** 2).mean()
    assert float(found.plain[0]) == pytest.approx(float(expected), rel=1e-5)
    physical = batch.clean[0, :, 0] * torch.tensor(info.scales)[:, None] + torch.tensor(info.center)[:, None]
    assert float(physical[0].mean()) == pytest.approx(288.0, abs=0.2)
    assert float(physical[1].std()) == pytest.approx(2e-5, rel=0.02)


def config_of_old(run):
    """Form of the network that was published; only what it is never told of again may differ."""
    return dataclasses.replace(run.case.old.config, label_dropout=0.0)


def test_channels_labels_and_conditions_are_matched_by_name(values, folder, bottle, capsys):
    old = warm_start.known(bottle, 0.02, 200.0)
    data = values["data"]
    data["channels"] = ["Z850", "T850", "tas", "Z500"]
    data["sources"][1]["missing"] = ["Z850", "Z500", "T850"]
    data["sources"][0]["variables"] = {"T850": "tas"}
    new = dict(data["sources"][0], label="c")
    data["sources"] = [data["sources"][1], new, data["sources"][0]]  # b, c, a: they were a, b
    values["network"] = {"from": str(bottle), "like": {"c": "b"}}
    run = loop.Run(configs.parse(values), folder / "more")
    said = capsys.readouterr().out
    assert "channels begin at 0: T850" in said
    assert "labels are new: c" in said
    assert run.case.numbers == {"a": 0, "b": 1, "c": 2}
    assert run.model_config.label_dim == 3
    assert run.model_config.model_channels == 8
    x, sigma = torch.randn(3, 4, 1, trainings.CELLS), torch.tensor([0.5, 3.0, 1.0])
    told = {"condition": torch.randn(3, 1, 1, trainings.CELLS)} | dict.fromkeys(
        ("second_of_day", "day_of_year"), torch.rand(3, 1) * 300
    )
    network = unet.build(old.config)
    network.load_state_dict(old.state())
    places = [data["channels"].index(name) for name in old.info.channels]
    with torch.no_grad():
        # a, b and c of the new network are a, b and b of the old one
        new = Denoiser(run.net)(x, sigma, labels=torch.eye(3), **told)
        before = Denoiser(network)(x[:, places], sigma, labels=torch.eye(2)[[0, 1, 1]], **told)
        other = Denoiser(network)(x[:, places], sigma, labels=torch.eye(2)[[1, 0, 0]], **told)
    torch.testing.assert_close(new[:, places], before, atol=1e-4, rtol=1e-4)
    assert float((other - before).abs().max()) > 1e-3  # labels matter
    # A form that the configuration gives: labels are numbered in the order of the sources.
    values["network"] = trainings.values(folder)["network"] | {"label_dim": 3}
    values["training"]["initial"] = str(bottle)
    given = loop.Run(configs.parse(values), folder / "given", progress=False)
    assert given.case.numbers == {"b": 0, "c": 1, "a": 2}
    with torch.no_grad():
        again = Denoiser(given.net)(x, sigma, labels=torch.eye(3)[[2, 0, 0]], **told)
    torch.testing.assert_close(again[:, places], before, atol=1e-4, rtol=1e-4)
    batch = run.batches.training(0, 32)
    assert set(batch.labels.argmax(1).tolist()) == {0, 1, 2}
    assert not torch.isnan(batch.clean[batch.labels[:, 0] == 1]).any()  # a has all channels
    packed = pack_run(run, folder / "new.cbottle")
    manifest = warm_start.known(packed, 0.02, 200.0)
    assert dict(manifest.labels) == {"b": 1, "c": 2, "a": 0}


def test_statistics_that_differ_are_said(values, folder, bottle, capsys):
    values["network"] = {"from": str(bottle)}
    loop.Run(configs.parse(values), folder / "same")
    assert "statistics" not in capsys.readouterr().out
    with xr.open_dataset(folder / "a.nc") as stored:
        warmer = stored.assign(tas=stored.tas + 3).load()
    warmer.to_netcdf(folder / "warmer.nc")
    values["data"]["sources"][0]["files"] = [str(folder / "warmer.nc")]
    loop.Run(configs.parse(values), folder / "warm")
    lines = [line for line in capsys.readouterr().out.splitlines() if "instead of" in line]
    assert len(lines) == 1
    assert lines[0].strip().startswith("tas: mean ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"zoom": 1}}, "whose network is of zoom 2, but data: zoom is 1: make them the same"),
        ({"training": {"initial": "gcm"}}, "from and training: initial both say what to start from"),
        ({"network": {"like": {"a": "x"}}}, "like is 'x' for 'a'; .* has the labels a, b"),
        ({"network": {"like": {"x": "a"}}}, "like has 'x', but the sources are a, b"),
    ],
)
def test_what_cannot_be_is_one_sentence(values, folder, bottle, change, message):
    values["network"] = {"from": str(bottle)}
    for section, keys in change.items():
        values[section].update(keys)
    with pytest.raises(ValueError, match=message):
        loop.Run(configs.parse(values), folder / "no", progress=False)


def test_a_network_of_another_deviation_is_refused():
    with pytest.raises(ValueError, match=r"sigma_data is 1\.0, and networks of 0.5 alone are computed here"):
        ModelConfig.from_json({"sigma_data": 1.0})
    assert ModelConfig.from_json({"sigma_data": 0.5}) == ModelConfig()
