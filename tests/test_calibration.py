"""What a network gets wrong in mean and spread is taken out of its climatology."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from xr_cbottle.emulator import Emulator  # noqa: E402
from xr_cbottle.training import calibration, loop  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training.packing import pack_run  # noqa: E402


@pytest.fixture
def run(tmp_path):
    values = trainings.values(trainings.write(tmp_path))
    values["data"] |= {"scale": "climatology", "annual_harmonics": 0}
    values["data"]["sources"] = values["data"]["sources"][:1]
    return loop.train(configs.parse(values), tmp_path / "run", progress=False, stop_at=16)


def test_moments_weigh_cells_by_their_spread():
    x = np.array([[[1.0, 5.0]], [[3.0, 5.0]]])
    mean, deviation = calibration.moments(x, np.array([[1.0, 0.0]]))
    assert (mean.item(), deviation.item()) == (2, 1)
    mean, deviation = calibration.moments(x, np.array([[2.0, 2.0]]))
    assert mean.item() == 3.5
    assert deviation.item() == pytest.approx(x.std())


def test_a_calibrated_bottle_draws_with_the_moments_of_what_was_learnt(run, tmp_path):
    plain, mended = pack_run(run, tmp_path / "a.cbottle"), pack_run(run, tmp_path / "b.cbottle", calibrate=8)
    label = run.data.labels[0]
    chosen = np.flatnonzero(~label.validation)
    chosen = chosen[np.linspace(0, len(chosen) - 1, 8).round().astype(int)]
    about = run.data.climatology

    def off(path):
        drawn = Emulator(path).draw(label.times[chosen], member=calibration.MEMBER, label="a", progress=False).values
        x = about.standardised(drawn, "a", label.times[chosen])
        of_drawn, of_data = (
            calibration.moments(values, about.spread[0]) for values in (x, calibration._values(label, chosen))
        )
        return np.abs(of_drawn[0] - of_data[0]), of_drawn[1] / of_data[1]

    (mean, ratio), (mean_then, ratio_then) = off(plain), off(mended)
    # It has seen 16 images, and is off by more than may be mended of the spread; the mean is then what it should be.
    assert (np.abs(ratio - 1) > 0.01).any()
    np.testing.assert_allclose(
        ratio_then, ratio / np.clip(ratio, 1 - calibration.MOST, 1 + calibration.MOST), rtol=0.02
    )
    near = np.abs(ratio - 1) < calibration.MOST
    assert (mean_then[near] < 0.02).all()
    assert Emulator(mended).bottle.manifest.trained_on["calibrated_on"] == 8
    assert mean.shape == (3,)


def test_calibrating_needs_a_climatology(tmp_path):
    values = trainings.values(trainings.write(tmp_path))
    run = loop.train(configs.parse(values), tmp_path / "run", progress=False, stop_at=4)
    with pytest.raises(ValueError, match="calibrate needs a climatology: train with scale: climatology"):
        pack_run(run, tmp_path / "no.cbottle", calibrate=4)
