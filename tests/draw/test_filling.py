"""Filling what is missing in fields."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bottle.test_climatology import made
from tests.bottles import synthetic_bottle
from xr_cbottle.bottle.calibration import Calibration
from xr_cbottle.draw.emulator import Emulator, Instant
from xr_cbottle.draw.filling import Standardised, infill
from xr_cbottle.draw.own_work import Infilling

TIMES = np.datetime64("1980-02-01T00", "s") + np.arange(3) * np.timedelta64(6, "h")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    path = synthetic_bottle(tmp_path_factory.mktemp("bottles") / "small.cbottle")
    return Emulator(path, device="cpu", batch_size=2)


def test_known_values_stay_and_nothing_depends_on_the_batch(small: Emulator) -> None:
    fields = small.draw(TIMES, label="a").values
    fields[:, 2] = np.nan
    fields[1, :, 10:60] = np.nan
    fields[2] = np.nan
    together = infill(small, fields, TIMES, Infilling("b"), seed=1)
    known = np.isfinite(fields)
    np.testing.assert_array_equal(together[known], fields[known])
    assert np.isfinite(together).all()
    alone = infill(small, fields[1:2], TIMES[1:2], Infilling("b"), seed=1)
    assert np.abs((alone[0] - together[1]) / small.model.scales[:, None]).max() < 1e-4
    other = infill(small, fields[:1], TIMES[:1], Infilling("b"), seed=1, member=1)
    assert np.abs((other[0] - together[0])[2]).max() > 1
    plain = small.draw_instants([Instant("b", 1, 0, TIMES[2])])
    np.testing.assert_allclose(together[2], plain[0], rtol=1e-6)


def test_what_is_known_says_what_the_network_drew_whatever_calibration_does(tmp_path) -> None:
    """With the right guess for the rest, the network's own state comes back where it is known."""
    channels = ("tas", "pr")
    known = made(channels=channels, cells=192)
    gain = np.ones((2, 2, 9))
    gain[:, :, 2:] = 0.5
    none = np.zeros((2, 0, 2))
    calibrated = dict(gain=gain, matched=np.array([], np.int64), drawn=none, known=none)
    known = type(known)(**{**vars(known), "calibration": Calibration(**calibrated)})
    path = synthetic_bottle(tmp_path / "c.cbottle", channels=channels, climatology=known)
    emulator = Emulator(path, device="cpu", batch_size=1)
    x = np.random.default_rng(1).normal(size=(1, 2, 192))
    x[:, 1] = np.abs(x[:, 1])
    values = emulator.climatology.physical(x, "a", TIMES[:1])
    values[0, 0, 100:] = np.nan
    standardised = Standardised(emulator, values, "a", TIMES[:1])
    there = standardised.known[0, 0]
    assert 0 < there.sum() < 192
    right = standardised.given(x)[0, 0][there]
    np.testing.assert_allclose(right, x[0, 0][there], atol=1e-3)
    state, known_cells = emulator.known_part(values, "a", TIMES[:1])
    assert (state[~known_cells] == 0).all()
    assert (state[known_cells] != 0).all()
    wrong = standardised.given(np.zeros_like(x))[0, 0][there]
    assert np.abs(wrong - x[0, 0][there]).max() > 0.1
