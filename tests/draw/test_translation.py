"""Translating between labels."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bottles import synthetic_bottle
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.draw.translation import translate

TIMES = np.datetime64("1980-02-01T00", "s") + np.arange(3) * np.timedelta64(6, "h")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    path = synthetic_bottle(tmp_path_factory.mktemp("bottles") / "small.cbottle")
    return Emulator(path, device="cpu", batch_size=2)


def scaled(small: Emulator, values: np.ndarray) -> np.ndarray:
    return values / small.model.scales[:, None]


def test_missing_channels_are_drawn_and_nothing_depends_on_the_batch(small: Emulator) -> None:
    fields = small.draw(TIMES, label="a").values
    fields[:, small.channels.index("rlut")] = np.nan
    fields[1, 0, :10] = np.nan
    together = translate(small, fields, TIMES, "b", "a", seed=1)
    assert np.isfinite(together).all()
    alone = translate(small, fields[2:], TIMES[2:], "b", "a", seed=1)
    assert np.abs(scaled(small, alone[0] - together[2])).max() < 1e-4
    again = translate(small, fields[2:], TIMES[2:], "b", "a", seed=2)
    assert np.abs(scaled(small, again - alone)).max() > 1e-2


def test_wrong_things_are_refused(small: Emulator) -> None:
    fields = small.draw(TIMES[:1], label="a").values
    with pytest.raises(ValueError, match="label is 'c'"):
        translate(small, fields, TIMES[:1], "a", "c")
    with pytest.raises(ValueError, match=r"all channels"):
        translate(small, fields[:, :2], TIMES[:1], "a", "b")
