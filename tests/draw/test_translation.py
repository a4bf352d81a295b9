"""Translating between labels."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bottles import synthetic_bottle
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.draw.own_work import Translation
from xr_cbottle.draw.translation import translate

TIMES = np.datetime64("1980-02-01T00", "s") + np.arange(3) * np.timedelta64(6, "h")
B_TO_A = Translation("b", "a")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    path = synthetic_bottle(tmp_path_factory.mktemp("bottles") / "small.cbottle")
    return Emulator(path, device="cpu", batch_size=2)


def scaled(small: Emulator, values: np.ndarray) -> np.ndarray:
    return values / small.model.scales[:, None]


@pytest.mark.filterwarnings("ignore:the data of")
@pytest.mark.parametrize("way", [B_TO_A, Translation("b", "a", 2.0), Translation(None, "a", 2.0)])
def test_missing_channels_are_drawn_and_nothing_depends_on_the_batch(small: Emulator, way: Translation) -> None:
    fields = small.draw(TIMES, label="a").values
    fields[:2, small.channels.index("rlut")] = np.nan
    fields[1, 0, :10] = np.nan
    together, _ = translate(small, fields, TIMES, way, seed=1)
    assert np.isfinite(together).all()
    alone, _ = translate(small, fields[2:], TIMES[2:], way, seed=1)
    assert np.abs(scaled(small, alone[0] - together[2])).max() < 1e-4
    other, _ = translate(small, fields[:1], TIMES[:1], way, seed=2)
    assert np.abs(scaled(small, other[0] - together[0])).max() > 1e-2


@pytest.mark.filterwarnings("ignore:the data of")
def test_what_is_turned_lower_keeps_more(small: Emulator) -> None:
    """Random weights make two labels that have nothing to do with each other."""
    fields = small.draw(TIMES[:2], label="b").values
    change = [
        np.abs(scaled(small, translate(small, fields, TIMES[:2], Translation("b", "a", strength))[0] - fields)).mean()
        for strength in (0.1, 1.0, None)
    ]
    assert change[0] < 0.5 * change[1] < 0.5 * change[2]


def test_wrong_things_are_refused(small: Emulator) -> None:
    fields = small.draw(TIMES[:1], label="a").values
    with pytest.raises(ValueError, match="label is 'c'"):
        translate(small, fields, TIMES[:1], Translation("a", "c"))
    with pytest.raises(ValueError, match=r"all channels"):
        translate(small, fields[:, :2], TIMES[:1], B_TO_A)
