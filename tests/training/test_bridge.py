"""A bridge is trained: which states its images are told of, its packing, and the weather that it draws."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

torch = pytest.importorskip("torch")

from tests import bottles, trainings  # noqa: E402
from xr_cbottle import Cube, cli  # noqa: E402
from xr_cbottle.bottle.bottle import open_bottle  # noqa: E402
from xr_cbottle.bottle.records import BridgeSpec  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402
from xr_cbottle.network import unet  # noqa: E402
from xr_cbottle.training import loop, warm_start  # noqa: E402
from xr_cbottle.training.bottling import pack_run  # noqa: E402
from xr_cbottle.training.bridge_batches import ToldStates  # noqa: E402
from xr_cbottle.training.bridge_config import BridgeConfig  # noqa: E402
from xr_cbottle.training.bridge_packing import pack_bridge  # noqa: E402
from xr_cbottle.training.patchwise import patch_config as configs  # noqa: E402

HOUR = 3600


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trainings.write(tmp_path_factory.mktemp("bridge"))


@pytest.fixture
def values(folder):
    return bridging(trainings.values(folder))


def bridging(values: dict) -> dict:
    """The configuration of a bridge for what another configuration trains."""
    made = copy.deepcopy(values)
    del made["bottle"]
    made["data"]["sources"] = made["data"]["sources"][:1]  # the other one is two days long
    return {**made, "bridge": {"interval": "P1D", "step": "PT6H"}, "part": {"dtype": "float32", "weights": "last"}}


@pytest.fixture(scope="module")
def coarse(folder):
    """A bottle of the same sources, hardly trained."""
    values = trainings.values(folder)
    values["data"]["sources"] = values["data"]["sources"][:1]
    values["training"]["total_images"] = 8
    run = loop.train(configs.parse(values), folder / "coarse", progress=False)
    return pack_run(run, folder / "coarse.cbottle")


# Configuration and batches --------------------------------------------------------------------------------------


def test_the_kind_of_run(values):
    assert isinstance(configs.parse(values), BridgeConfig)
    with pytest.raises(ValueError, match="has sections bridge and superres and data: a run is of one kind"):
        configs.parse({**values, "superres": {}})
    with pytest.raises(ValueError, match=r"unknown key\(s\) \['bottle'\]"):
        configs.parse({**values, "bottle": {}})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"interval": "P5D"}, "bridge: interval is 'P5D', must be step (PT6H) times 2, 4, 8"),
        ({"end_noise": [0.1]}, "end_noise is (0.1,), must be two numbers"),
        ({"neither": 0.9}, "must be shares that add up to less than 1"),
        ({"before_only": -0.1}, "must be shares that add up to less than 1"),
    ],
)
def test_wrong_configurations_are_refused_in_a_sentence(values, changes, says):
    values["bridge"] |= changes
    with pytest.raises(ValueError, match=r"^config: bridge: ") as caught:
        configs.parse(values)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_data_that_are_no_series_are_refused(values, tmp_path):
    values["bridge"]["step"], values["bridge"]["interval"] = "PT1H", "PT4H"
    with pytest.raises(
        ValueError, match="bridge: no two instants of training lie PT2H apart with one half way between"
    ):
        loop.Run(configs.parse(values), tmp_path, progress=False)


def test_images_are_told_of_states_as_far_on_either_side(values, tmp_path):
    values["bridge"]["end_noise"] = [1e-6, 1e-6]
    batches = loop.Run(configs.parse(values), tmp_path, progress=False).batches
    run, channels = batches.data.runs[0], 3
    many = batches.training(0, 256)
    told = many.condition[:, 1:]
    assert told.shape == (256, 2 * channels + 3, 1, trainings.CELLS)
    clean, times = torch.from_numpy(np.array(run.values, np.float32)), run.times
    kinds, gaps = [], set()
    for i in range(256):
        index = int((clean == many.clean[i, :, 0]).all((1, 2)).nonzero())
        before, after, far = (int(told[i, -3, 0, 0]), int(told[i, -2, 0, 0]), float(told[i, -1, 0, 0]))
        kinds.append((before, after))
        gap = np.timedelta64(round(24 * 2 ** (4 * far)), "h")
        for sign, there, first in ((-1, before, 0), (1, after, channels)):
            state = told[i, first : first + channels, 0]
            if there:
                place = np.flatnonzero(times == times[index] + sign * gap)
                assert not run.validation[place]
                torch.testing.assert_close(state, clean[place[0]], atol=1e-4, rtol=0)
            else:
                assert not state.any()
        gaps.add((before + after, int(gap / np.timedelta64(1, "h")) if before or after else 0))
    assert gaps == {(2, 6), (2, 12), (1, 6), (1, 12), (1, 24), (0, 0)}
    share = {kind: kinds.count(kind) / 256 for kind in kinds}
    assert share[1, 0] == pytest.approx(0.1, abs=0.06)
    assert share[0, 1] == pytest.approx(0.1, abs=0.06)
    assert share[1, 1] > 0.6
    assert len(batches.validation)
    batches.validating(4)


def test_what_is_not_there_is_not_told_of(values, tmp_path):
    batches = loop.Run(configs.parse(values), tmp_path, progress=False).batches
    assert batches._sides(0, 0, 0.9, 0.0) == ToldStates(None, None, 1)
    assert batches._sides(0, 0, 0.2, 0.0) == ToldStates(None, 1, 6 * HOUR)
    assert batches._sides(0, 0, 0.1, 0.0) == ToldStates(None, None, 1)
    assert batches._sides(0, 1, 0.9, 0.99) == ToldStates(0, 2, 6 * HOUR)
    assert batches._sides(0, 9, 0.9, 0.99) == ToldStates(7, 11, 12 * HOUR)
    last = int(np.flatnonzero(~batches.data.runs[0].validation)[-1])
    assert batches._sides(0, last, 0.9, 0.0) == ToldStates(None, None, 1)  # what comes after is held out


def test_a_batch_depends_on_the_number_of_images_alone(values, tmp_path):
    batches = loop.Run(configs.parse(values), tmp_path, progress=False).batches
    together = batches.training(5, 6)
    for i in range(6):
        alone = batches.training(5 + i, 1)
        for field in dataclasses.fields(together):
            assert torch.equal(getattr(together, field.name)[i], getattr(alone, field.name)[0]), field.name


def test_noise_is_added_to_the_ends(values, tmp_path):
    values["bridge"] |= {"neither": 0.0, "before_only": 0.0, "after_only": 0.0}
    values["bridge"]["end_noise"] = [1e-6, 1e-6]
    plain = loop.Run(configs.parse(values), tmp_path / "a", progress=False).batches.training(0, 32)
    values["bridge"]["end_noise"] = [0.1, 0.1]
    noisy = loop.Run(configs.parse(values), tmp_path / "b", progress=False).batches.training(0, 32)
    there = plain.condition[:, -3, 0, 0] == 1
    change = (noisy.condition - plain.condition)[there, 1:7]
    assert float(change.std()) == pytest.approx(0.1, rel=0.1)


# Start and packing ------------------------------------------------------------------------------------------------


def test_it_begins_as_the_coarse_network_whatever_it_is_told(values, coarse, tmp_path):
    values["training"]["initial"] = str(coarse)
    values["network"]["start"] = "random"
    run = loop.Run(configs.parse(values), tmp_path, progress=False)
    small = warm_start.known(coarse, 0.02, 200)
    batch = run.batches.training(0, 4)
    net = unet.build(small.config)
    net.load_state_dict(small.state())
    levels = batch.sigma.log() / 4
    calendar = batch.labels, batch.second_of_day, batch.day_of_year
    with torch.no_grad():
        told = run.net(torch.cat([batch.noise, batch.condition], 1), levels, *calendar)[0]
        plain = net(torch.cat([batch.noise, batch.condition[:, :1]], 1), levels, *calendar)[0]
    torch.testing.assert_close(told, plain, atol=1e-5, rtol=1e-4)
    assert float(batch.condition[:, 1:].abs().max()) > 0.1


def test_train_pack_and_read(values, coarse, tmp_path, capsys):
    values["training"] |= {"total_images": 32, "initial": str(coarse)}
    config, out = tmp_path / "bridge.yaml", tmp_path / "out.cbottle"
    config.write_text(yaml.safe_dump(values))
    command = ["train", str(config), "--run", str(tmp_path / "run"), "--pack", str(out)]
    with pytest.raises(SystemExit):
        cli.main(command)
    assert "give --into BOTTLE.cbottle" in capsys.readouterr().err
    assert cli.main([*command, "--into", str(coarse)]) == 0
    made, before = open_bottle(out), open_bottle(coarse)
    assert made.manifest.bridge == BridgeSpec("PT6H", "P1D", ("a",))
    assert made.manifest.parts[:-1] == before.manifest.parts
    assert made.manifest.trained_on["bridge.checkpoint"]["ends"]["interval"] == "P1D"
    assert json.loads(made.manifest.to_json())["parts"][-1]["bridge"]["labels"] == ["a"]
    kept = Cube(before).to_dataset().tas.isel(time=3).values
    np.testing.assert_array_equal(Cube(made).to_dataset().tas.isel(time=3).values, kept)
    assert np.isfinite(Cube(made, coherence="bridge").to_dataset().tas.isel(time=[3, 9])).all()
    assert cli.main(["train", str(config), "--run", str(tmp_path / "run"), "--only-pack", "--pack", str(out), "--into",
                     str(out), "--expert", "2", str(config), str(tmp_path / "run")]) == 0  # fmt: skip
    assert [part.sigma_min for part in open_bottle(out).manifest.bridges] == [2, 0]


def test_a_bottle_of_another_kind_is_refused_in_a_sentence(values, coarse, tmp_path):
    run = loop.Run(configs.parse(values), tmp_path / "run", progress=False)
    out = tmp_path / "out.cbottle"
    other = bottles.synthetic_bottle(tmp_path / "other.cbottle")
    with pytest.raises(
        ValueError, match=r"^[^\n]* bridges tas, Z500, Z850 at zoom 2, but other has [^\n]*they must agree$"
    ):
        pack_bridge(run, out, other)
    strange = bottles.synthetic_bottle(tmp_path / "strange.cbottle", channels=("tas", "Z500", "Z850"))
    with pytest.raises(ValueError, match=r"^[^\n]* saw its data standardised in another way than strange draws them"):
        pack_bridge(run, out, strange)
    assert not out.exists()
    with pytest.raises(ValueError, match="coarse is no run of a bridge"):
        pack_bridge(loop.Run(configs.parse(_of_coarse(coarse)), tmp_path / "coarse", progress=False), out, coarse)


def _of_coarse(coarse):
    values = trainings.values(coarse.parent)
    values["data"]["sources"] = values["data"]["sources"][:1]
    return values


def test_data_are_standardised_as_the_bottle_draws_them(folder, tmp_path):
    """Whatever years a bridge learns from; those of a measured climatology are refused, if it is another."""
    base = trainings.values(folder)
    base["data"] |= {"sources": base["data"]["sources"][:1], "scale": "climatology", "annual_harmonics": 0}
    base["training"]["total_images"] = 4
    run = loop.train(configs.parse(base), tmp_path / "base", progress=False)
    bottle, out = pack_run(run, tmp_path / "base.cbottle"), tmp_path / "out.cbottle"
    values = bridging(base)
    values["data"]["sources"][0] |= {"end": "2000-01-07", "validation_start": "2000-01-06"}
    other = loop.Run(configs.parse(values), tmp_path / "other", progress=False)
    with pytest.raises(ValueError, match=r"^[^\n]* saw its data standardised in another way than made draws them"):
        pack_bridge(other, out, bottle)
    values["data"]["standardised_as"] = str(bottle)
    same = loop.Run(configs.parse(values), tmp_path / "same", progress=False)
    with xr.open_dataset(folder / "a.nc") as ds:
        tas = ds.tas.values[3:5]
    known = open_bottle(bottle).climatology()
    fields = np.zeros((2, 3, trainings.CELLS))
    fields[:, 0] = tas
    wanted = known.standardised(fields, "a", same.data.runs[0].times[3:5])[:, 0, healpix.nest_to_padxy(2)]
    np.testing.assert_allclose(same.data.runs[0].values[3:5, 0], wanted, atol=3e-3)
    assert np.abs(other.data.runs[0].values[3:5, 0] - wanted).max() > 0.01
    pack_bridge(same, out, bottle)
    assert np.isfinite(Cube(out, coherence="bridge").to_dataset().tas.isel(time=5)).all()
    wrong = {"scale": "std"}, {"channels": ["tas"]}, {"sst_modes": ["global"]}
    for change, says in zip(
        wrong, ("needs scale: climatology", "whose channels are", "moves with nothing"), strict=True
    ):
        with pytest.raises(ValueError, match=says) as caught:
            loop.Run(configs.parse({**values, "data": values["data"] | change}), tmp_path / "wrong", progress=False)
        assert "\n" not in str(caught.value)


# What a trained one draws -------------------------------------------------------------------------------------------

MEMORY = np.exp(-6 / 48)
"""Correlation of a cell with itself six hours later, in the series that is learnt."""


def learnt(folder: Path) -> Path:
    """A bottle whose bridge was trained for a minute of a core on cells that forget within two days."""
    rng, steps = np.random.default_rng(0), 1600
    x = rng.standard_normal((steps, trainings.CELLS))
    for i in range(1, steps):
        x[i] = MEMORY * x[i - 1] + np.sqrt(1 - MEMORY**2) * x[i]
    times = np.datetime64("2000-01-01", "ns") + np.arange(steps) * np.timedelta64(6, "h")
    xr.Dataset({"tas": (("time", "cell"), 280 + 10 * x)}, {"time": times}).to_netcdf(folder / "series.nc")
    months = np.datetime64("1999-12-15", "ns") + np.arange(16) * np.timedelta64(30, "D")
    sst = xr.DataArray(np.full((16, trainings.CELLS), 290.0), {"time": months}, ("time", "cell"), name="sst")
    sst.to_netcdf(folder / "still.nc")
    source = {"label": "a", "files": str(folder / "series.nc"), "start": "2000-01-01", "end": "2001-02-01",
              "validation_start": "2001-01-20"}  # fmt: skip
    values = {
        "data": {"zoom": 2, "channels": ["tas"], "sst": {"path": str(folder / "still.nc")}, "sources": [source]},
        "network": {"model_channels": 16, "channel_mult": [1], "num_blocks": 1, "attn_resolutions": [], "label_dim": 1,
                    "start": "random"},
        "training": {"total_images": 6400, "batch_size": 16, "lr": 3e-3, "matrix_lr": 0.01, "warmup_images": 200,
                     "sigma_max": 20.0, "sigma_focus": 0.3, "sigma_focus_range": [0.2, 3.0], "log_images": 1600},
        "bottle": {"name": "series", "title": "made", "summary": "made", "licence": "CC0-1.0", "source": "made",
                   "start": "2000-01-01", "end": "2001-01-31T18:00", "step": "PT6H", "num_steps": 12,
                   "sigma_max": 20.0, "dtype": "float32", "weights": "last"},
    }  # fmt: skip
    path = pack_run(loop.train(configs.parse(values), folder / "coarse", progress=False), folder / "series.cbottle")
    del values["bottle"]
    values |= {
        "bridge": {"interval": "P4D", "end_noise": [0.01, 0.05]},
        "part": {"dtype": "float32", "weights": "last"},
    }
    values["training"] |= {"total_images": 12800, "initial": str(path)}
    return pack_bridge(loop.train(configs.parse(values), folder / "bridge", progress=False), path, path)


@pytest.mark.long
@pytest.mark.slow
def test_a_trained_bridge_draws_the_correlations_in_time_that_it_has_learnt(tmp_path):
    """Measured: variance 1.00, correlations 0.02 to 0.04 too small, steps at roots and dyadic times 0.98 of others."""
    ds = Cube(learnt(tmp_path), coherence="bridge", batch_size=16).to_dataset().isel(time=slice(0, 200))
    x = (ds.tas.values - 280) / 10
    assert x.var() == pytest.approx(1, abs=0.1)
    for steps in (1, 2, 4, 8, 16):
        assert (x[steps:] * x[:-steps]).mean() / x.var() == pytest.approx(MEMORY**steps, abs=0.06)
    tree = BridgeSpec("PT6H", "P4D").tree()
    depth = np.array([tree.depth_of(int(time)) for time in ds.time.values.astype("datetime64[s]").astype(np.int64)])
    at, change = np.minimum(depth[1:], depth[:-1]), np.sqrt(((x[1:] - x[:-1]) ** 2).mean(1))
    for level in range(3):
        assert change[at == level].mean() / change[at == 3].mean() == pytest.approx(1, abs=0.06)
