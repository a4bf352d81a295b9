"""What a network gets wrong is measured on what it learnt, and taken out of what it draws."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from xr_cbottle.draw.emulator import Emulator  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402
from xr_cbottle.grid.spherical_harmonics import amplified  # noqa: E402
from xr_cbottle.training import calibrator, loop  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training.bottling import pack_run  # noqa: E402


@pytest.fixture
def run(tmp_path):
    values = trainings.values(trainings.write(tmp_path))
    values["data"] |= {"scale": "climatology", "annual_harmonics": 0}
    values["data"]["sources"] = values["data"]["sources"][:1]
    return loop.train(configs.parse(values), tmp_path / "run", progress=False, stop_at=16)


def test_moments_weigh_cells_by_their_spread():
    x = np.array([[[1.0, 5.0]], [[3.0, 5.0]]])
    mean, deviation = calibrator.moments(x, np.array([[1.0, 0.0]]))
    assert (mean.item(), deviation.item()) == (2, 1)
    mean, deviation = calibrator.moments(x, np.array([[2.0, 2.0]]))
    assert mean.item() == 3.5
    assert deviation.item() == pytest.approx(x.std())


def test_noise_in_single_cells_is_taken_out_and_none_is_added():
    """A quarter of white noise too much beyond what harmonics hold: the rest's gain is that of its deviations."""
    rng = np.random.default_rng(3)
    degrees, cells = 5, healpix.n_cells(2)
    white = rng.standard_normal((40, 3, cells))
    drawn = white * np.array([1.25, 0.5, 1.0])[:, None]
    smooth = drawn[:, 2] - amplified(drawn[:, 2:], np.zeros((1, degrees)), np.ones(1))[:, 0]
    known = np.stack([white[:, 0], white[:, 1], smooth], 1)
    found = calibrator.rest_gains(drawn, known, degrees)
    np.testing.assert_allclose(found[:2], [1 / 1.25, 1.0], rtol=1e-6)  # the second lacks noise: it is not made up
    assert found[2] == calibrator.LEAST_GAIN  # the data have none


def test_a_calibrated_bottle_draws_as_what_was_learnt(run, tmp_path):
    plain, mended = pack_run(run, tmp_path / "a.cbottle"), pack_run(run, tmp_path / "b.cbottle", calibrate=8)
    label = run.data.labels[0]
    learnt = np.flatnonzero(~label.validation)
    chosen = calibrator._evenly(learnt, 8)
    about = run.data.climatology

    def off(path):
        drawn = Emulator(path).draw(label.times[chosen], member=calibrator.MEMBER, label="a", progress=False).values
        x = about.standardised(drawn, "a", label.times[chosen])
        of_drawn, of_data = (
            calibrator.moments(values, about.spread[0]) for values in (x, calibrator._values(label, chosen))
        )
        power = [
            calibrator.power(values * about.at("a", label.times[positions])[1], 9)[:, 1:]
            for values, positions in ((x, chosen), (calibrator._values(label, learnt), learnt))
        ]
        return np.abs(of_drawn[0] - of_data[0]), of_drawn[1] / of_data[1], power[0] / power[1]

    (mean, ratio, power), (mean_then, ratio_then, power_then) = off(plain), off(mended)
    # It has seen 16 images, and is off by more than may be mended here and there.
    assert np.abs(ratio - 1).max() > 0.1
    assert np.abs(np.log(power)).mean() > 3 * np.abs(np.log(power_then)).mean()
    assert (np.abs(ratio_then - 1) < 0.05).all()
    assert (mean_then < 0.05).all()
    assert Emulator(mended).bottle.manifest.trained_on["calibrated_on"] == 8
    assert mean.shape == (3,)


def test_levels_are_chosen_before_what_they_draw_is_calibrated(run, tmp_path):
    about = dataclasses.replace(run.config.bottle, num_steps=3, solver="ipndm3")
    run.config = dataclasses.replace(run.config, bottle=about)
    emulator = Emulator(pack_run(run, tmp_path / "b.cbottle", calibrate=8, choose_levels=(3,)))
    label = run.data.labels[0]
    chosen = calibrator._evenly(np.flatnonzero(~label.validation), 8)
    data = calibrator._values(label, chosen)

    def deviation(sampler):
        emulator.sampler = sampler
        drawn = emulator.draw(label.times[chosen], member=calibrator.MEMBER, label="a", progress=False).values
        x = run.data.climatology.standardised(drawn, "a", label.times[chosen])
        spread = run.data.climatology.spread[0]
        return calibrator.moments(x, spread)[1] / calibrator.moments(data, spread)[1]

    assert len(emulator.sampler.sigmas) == 3
    ratio, spaced = deviation(emulator.sampler), deviation(dataclasses.replace(emulator.sampler, sigmas=()))
    assert (np.abs(ratio - 1) < 0.05).all()
    assert np.abs(spaced - 1).max() > 0.1


def test_a_matched_channel_has_the_distribution_of_what_was_learnt(run, tmp_path):
    run.config = dataclasses.replace(run.config, bottle=dataclasses.replace(run.config.bottle, matched=("tas",)))
    emulator = Emulator(pack_run(run, tmp_path / "b.cbottle", calibrate=8))
    label = run.data.labels[0]
    learnt = np.flatnonzero(~label.validation)
    times = label.times[calibrator._evenly(learnt, 8)]
    drawn = emulator.draw(times, member=calibrator.MEMBER, label="a", progress=False).sel(channel="tas").values
    known = run.data.climatology.physical(calibrator._values(label, learnt), "a", label.times[learnt])[:, 0]
    shares = [0.01, 0.1, 0.5, 0.9, 0.99]
    np.testing.assert_allclose(np.quantile(drawn, shares), np.quantile(known, shares), atol=0.1)


def test_what_is_matched_must_be_a_channel(tmp_path):
    values = trainings.values(trainings.write(tmp_path))
    values["bottle"]["matched"] = ["pr"]
    with pytest.raises(ValueError, match=r"bottle: matched lists \['pr'\], which are not among the channels"):
        configs.parse(values)


def test_calibrating_needs_a_climatology(tmp_path):
    values = trainings.values(trainings.write(tmp_path))
    run = loop.train(configs.parse(values), tmp_path / "run", progress=False, stop_at=4)
    with pytest.raises(ValueError, match="calibrate needs a climatology: train with scale: climatology"):
        pack_run(run, tmp_path / "no.cbottle", calibrate=4)
