"""The dry run says what a run takes, and writes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from xr_cbottle import cli  # noqa: E402
from xr_cbottle.fields import channels  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402
from xr_cbottle.network import unet  # noqa: E402
from xr_cbottle.training import coarse, estimate, loop, speed  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training.patchwise import patch_config  # noqa: E402

SHIPPED = Path(__file__).parents[2] / "examples" / "training"
SCALES = ("std", "anomaly", "climatology")


@pytest.fixture
def folder(tmp_path):
    return trainings.write(tmp_path)


def tree(folder):
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_before_and_after(folder, monkeypatch):
    monkeypatch.setattr(speed, "LOADER_SECONDS", 0.1)
    config = configs.parse(trainings.values(folder))
    before = tree(folder)
    found = estimate.estimate(config, folder / "run", progress=False)
    assert tree(folder) == before
    assert found.instants == {"a": 40, "b": 4}
    assert not found.prepared
    assert found.data_bytes == 2 * 44 * 3 * trainings.CELLS
    assert found.loader is None
    assert (found.done, found.total) == (0, 96)
    assert found.seconds == pytest.approx(96 / found.speed.images_per_second)

    net = unet.build(coarse.model_config(config))
    assert found.speed.parameters == sum(p.numel() for p in net.parameters())
    assert found.speed.bytes["weights"] == 4 * found.speed.parameters
    # Adam keeps two numbers for each of its weights, Muon one
    assert 1 < found.speed.bytes["optimizer"] / found.speed.bytes["weights"] < 2
    assert found.bottle_bytes == 2 * found.speed.parameters

    run = loop.train(config, folder / "run", progress=False, stop_at=32)
    before = tree(folder)
    found = estimate.estimate(config, folder / "run", progress=False)
    assert tree(folder) == before
    assert found.prepared
    assert found.data_bytes == pytest.approx(sum(label.values.nbytes for label in run.data.labels), rel=0.5)
    assert (found.done, found.total) == (32, 96)
    assert found.loader > 0
    assert found.instants == {"a": 40, "b": 4}


def test_memory_of_a_step_grows_with_the_batch(folder):
    config = configs.parse(trainings.values(folder))
    kept = [
        speed.measure(config, torch.device("cpu"), share=share, steps=1).bytes["kept of a step"] for share in (2, 4)
    ]
    assert kept[0] > 12 * 4**trainings.ZOOM * 8 * 2 * 4  # at least one field of the network's width
    assert kept[1] == pytest.approx(2 * kept[0], rel=0.1)


@pytest.mark.parametrize("scale", SCALES)
def test_made_images_have_the_shapes_and_types_of_real_ones(folder, scale):
    values = trainings.values(folder)
    values["data"] |= {"scale": scale, "annual_harmonics": 0}
    values["data"]["sources"] = values["data"]["sources"][:1]
    run = loop.Run(configs.parse(values), folder / "run", progress=False)
    made, real = speed.made_batch(run.config, 3), run.batches.training(0, 3)
    for field in dataclasses.fields(real):
        one, other = getattr(made, field.name), getattr(real, field.name)
        assert (one.shape, one.dtype) == (other.shape, other.dtype), field.name


def shipped_configurations():
    """Those of coarse networks that were made of the years under the observed sea alone."""
    names = [path.name for path in sorted(SHIPPED.glob("*.yaml")) if path.name.startswith("before")]
    return [name for name in names if isinstance(patch_config.load(SHIPPED / name), configs.Config)]


def test_a_dry_run_is_for_the_three_runs_of_the_first_bundled_bottle():
    assert shipped_configurations() == ["before.yaml", "before_high.yaml", "before_low.yaml"]


def everything(names, zoom):
    """A data set with all channels, whose values are all 0."""
    times = np.datetime64("1989-01-01", "ns") + trainings.STEPS
    fields = {}
    for name, layout in channels.variables(names).items():
        levels = () if layout.pressures is None else (len(layout.pressures),)
        dims = ("time", "pressure", "cell") if levels else ("time", "cell")
        zeros = np.zeros((len(times), *levels, healpix.n_cells(zoom)), np.float32)
        fields[name] = (dims, zeros, {"units": layout.variable.units})
    return xr.Dataset(fields, {"time": times, "pressure": [25000, 50000, 85000]})


@pytest.mark.parametrize("name", shipped_configurations())
def test_the_command_says_what_a_shipped_configuration_takes(name, tmp_path, monkeypatch, capsys):
    data = configs.load(SHIPPED / name).data
    for label in ("jcm", "plasim"):
        (tmp_path / label).mkdir()
        everything(data.channels, data.zoom).to_netcdf(tmp_path / label / f"{label}_1989.nc")
    monkeypatch.setenv("SIM", str(tmp_path))
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    smaller = {"base": str(SHIPPED / name), "training": {"batch_size": 1}}  # the same network and data, in less time
    (tmp_path / name).write_text(yaml.safe_dump(smaller))
    assert cli.main(["train", str(tmp_path / name), "--run", str(tmp_path / "run"), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "jcm 40, plasim 40" in out
    assert "measured over 3 steps of 1 images" in out


@pytest.mark.parametrize("scale", SCALES)
def test_the_command(folder, capsys, scale):
    values = trainings.values(folder)
    values["training"]["max_hours"] = 1e-9
    values["data"]["scale"] = scale
    (folder / "c.yaml").write_text(yaml.safe_dump(values))
    before = tree(folder)
    assert cli.main(["train", str(folder / "c.yaml"), "--run", str(folder / "run"), "--dry-run"]) == 0
    assert tree(folder) == before
    out = capsys.readouterr().out
    for word in ("parameters", "a 40, b 4", "not prepared yet", "images a second", "for 96 of 96 images", "max_hours"):
        assert word in out
    assert out.endswith("(nothing was written)\n")


@pytest.mark.parametrize(
    ("seconds", "words"), [(5.2, "5 s"), (600, "10 min"), (12_000, "3 h 20 min"), (360_000, "4 days 4 h")]
)
def test_durations(seconds, words):
    assert estimate.duration(seconds) == words
