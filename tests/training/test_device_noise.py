"""Noise that the device makes: a pure function of seed and image too, and the loader's as it always was."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import loop  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that would have the GPU make its noise, on a CPU."""
    folder = trainings.write(tmp_path_factory.mktemp("noise"))
    values = trainings.values(folder)
    values["training"]["device_noise"] = True
    return loop.Run(configs.parse(values), folder / "run", progress=False)


@pytest.fixture
def seeded(run, monkeypatch):
    monkeypatch.setattr(run.batches, "noise_later", True)
    return run.batches


def test_on_a_cpu_it_is_the_loaders(run):
    assert not run.batches.noise_later
    assert run.batches.training(0, 4).noise.dtype == torch.float32


def test_noise_of_an_image_is_its_own_whatever_the_batch(seeded):
    batch = seeded.training(0, 8)
    assert batch.noise.shape == (8,)
    whole = batch.to("cpu")
    assert whole.noise.shape == whole.clean.shape
    pieces = [seeded.training(i, 2).to("cpu").noise for i in range(0, 8, 2)]
    assert torch.equal(whole.noise, torch.cat(pieces))
    assert torch.equal(batch.part(3, 2).to("cpu").noise, whole.noise[3:5])
    assert torch.equal(whole.to("cpu").noise, whole.noise)
    assert len(torch.unique(whole.noise[:, 0, 0, 0])) == 8


def test_it_is_standard_normal(seeded):
    noise = seeded.training(0, 32).to("cpu").noise.double()
    count = noise.numel()
    assert abs(float(noise.mean())) < 4 / count**0.5
    assert float(noise.std()) == pytest.approx(1, abs=4 / count**0.5)
    assert abs(float((noise[:-1] * noise[1:]).mean())) < 4 / count**0.5


def test_all_else_of_an_image_stays(run, seeded):
    with_seeds = seeded.training(0, 6)
    seeded.noise_later = False
    plain = seeded.training(0, 6)
    for name in ("clean", "sigma", "condition", "labels", "second_of_day", "day_of_year"):
        one, two = (np.nan_to_num(getattr(batch, name).numpy()) for batch in (with_seeds, plain))
        np.testing.assert_array_equal(one, two)


def test_validation_has_the_loaders_noise(seeded):
    assert seeded.validating(4).noise.dtype == torch.float32
    assert seeded.looking(1).batch.noise.dtype == torch.float32


def test_a_step_is_taken_on_it(run, seeded):
    batch = seeded.training(0, 4).to(run.device)
    assert torch.isfinite(run.case.loss(loop.Denoiser(run.net), batch, run.config.training).plain).all()
