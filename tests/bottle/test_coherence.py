"""Coherence in a bottle: written and read again, looked at before it is believed, and interpolated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from tests import bottles
from xr_cbottle.bottle import BottleError, open_bottle
from xr_cbottle.bottle.coherence import Coherence

LATITUDES = np.array([-60.0, 0.0, 60.0])


def coherence(labels=("a", "b"), channels=bottles.CHANNELS) -> Coherence:
    """Two parts of all scales; the slow one travels at 10 degrees a day in the north, and makes more in label b."""
    share = np.full((len(labels), len(channels), 3, 2, 2), 0.5)
    share[1:, :, :, 0] = [0.25, 0.75]
    speed = np.zeros((len(labels), 3, 2, 2))
    speed[:, 2, :, 1] = 10
    return Coherence(
        tuple(labels), tuple(channels), np.array([36000, 400000]), LATITUDES, np.array([0, 4]), share, speed
    )


def test_written_and_read_again(tmp_path):
    made = coherence()
    made.write(tmp_path / "coherence.nc")
    with xr.open_dataset(tmp_path / "coherence.nc") as ds:
        read = Coherence.from_dataset(ds, "it")
    for name in ("labels", "channels"):
        assert getattr(read, name) == getattr(made, name)
    for name in ("spacing", "latitude", "wavenumber", "share", "speed"):
        np.testing.assert_allclose(getattr(read, name), getattr(made, name), atol=1e-4)


def test_a_cycle_of_speeds_is_written_read_and_interpolated(tmp_path):
    cycle = np.zeros((2, 3, 2, 2))
    cycle[1, 2, :] = [4.0, -2.0]
    made = dataclasses.replace(coherence(), cycle=cycle)
    made.write(tmp_path / "coherence.nc")
    with xr.open_dataset(tmp_path / "coherence.nc") as ds:
        read = Coherence.from_dataset(ds, "it")
        with pytest.raises(BottleError, match="speed_cycle must have the dimensions label, latitude, band, phase"):
            Coherence.from_dataset(ds.rename(phase="memory_"), "it")
    np.testing.assert_array_equal(read.cycle, cycle)
    np.testing.assert_allclose(
        read.at("b", np.array([0.0, 30.0, 80.0]), np.array([3, 4, 9]))[2], [[0, 0], [2, -1], [4, -2]]
    )


def test_shares_and_speeds_of_modes():
    share, speed, cycle = coherence().at("b", np.array([0.0, 30.0, 80.0]), np.array([3, 4, 9]))
    assert share.shape == (8, 3, 2)
    np.testing.assert_allclose(share[0], [[0.25, 0.75], [0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(speed, [[0, 0], [0, 5], [0, 10]])
    np.testing.assert_array_equal(cycle, 0)
    assert coherence().finest_spacing == pytest.approx(np.sqrt(36000 * 400000), abs=1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: {"share": c.share * 2}, "add up to 1"),
        (lambda c: {"share": c.share - 1}, "none below 0"),
        (lambda c: {"share": c.share * np.nan}, "finite"),
        (lambda c: {"share": c.share[:, :3]}, "needs share of"),
        (lambda c: {"speed": c.speed + 1e4}, "at most 720 degrees"),
        (lambda c: {"cycle": np.full((2, 3, 2, 2), 6e2)}, "at most 720 degrees"),
        (lambda c: {"cycle": np.full((2, 3, 2, 2), np.nan)}, "finite"),
        (lambda c: {"cycle": np.zeros((2, 3, 2))}, "needs speed_cycle of"),
        (lambda c: {"spacing": np.array([0, 5])}, "1 to 31622400 seconds"),
        (lambda c: {"spacing": np.array([5, 5])}, "there once"),
        (lambda c: {"wavenumber": np.array([1, 4])}, "ascend from 0"),
        (lambda c: {"latitude": LATITUDES[::-1]}, "must ascend"),
    ],
)
def test_wrong_values_are_named(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(coherence(), **change(coherence()))


def test_a_bottle_carries_it_and_says_so(tmp_path):
    path = bottles.synthetic_bottle(tmp_path / "small.cbottle", coherence=coherence())
    bottle = open_bottle(path)
    assert bottle.coherence().labels == ("a", "b")
    assert bottle.manifest.files[-1].location == "coherence.nc"
    plain = open_bottle(bottles.synthetic_bottle(tmp_path / "plain.cbottle", name="small"))
    assert plain.coherence() is None
    assert "coherence" not in plain.manifest.to_json()  # bottles without it keep their digests
    assert plain.digest != bottle.digest


@pytest.mark.parametrize("wrong", [dict(labels=("a",)), dict(channels=("tas",))])
def test_it_must_be_of_the_bottle(tmp_path, wrong):
    path = bottles.synthetic_bottle(tmp_path / "small.cbottle", coherence=coherence(**wrong))
    with pytest.raises(BottleError, match="other labels or channels"):
        open_bottle(path).coherence()


def test_it_is_bounded_before_it_is_read(tmp_path):
    made = coherence()
    many = dataclasses.replace(
        made, spacing=np.arange(1, 18), share=np.full((2, 8, 3, 2, 17), 1 / 17), speed=np.zeros((2, 3, 2, 17))
    )
    path = bottles.synthetic_bottle(tmp_path / "small.cbottle", coherence=many)
    with pytest.raises(BottleError, match="17 of memory; of this bottle it has at most 16"):
        open_bottle(path).coherence()


def test_a_file_of_something_else_is_refused(tmp_path):
    ds = coherence().to_dataset()
    with pytest.raises(BottleError, match="has no speed"):
        Coherence.from_dataset(ds.drop_vars("speed"), "it")
    with pytest.raises(BottleError, match="must have the dimensions label, latitude, band, memory"):
        Coherence.from_dataset(ds.assign(speed=ds.speed.transpose()), "it")
