"""Coherent noise: white at every time to the last bits, in any order, and correlated in time as it should be."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_cbottle.bottle.coherence import YEAR
from xr_cbottle.draw.coherent_noise import MEMORY, Parts, correlation, knots, spacing_of
from xr_cbottle.draw.noise import normals
from xr_cbottle.grid.rings import rings

DAY = 86400
CYCLE = [2.6831067, 0.4494595, 0.06361729]
GOLDEN = [-2.7040577, -1.8605125, -2.2426524]
UNIFORM = [-1.832183, 0.0929798, 0.0856317]
TIME = np.datetime64("1990-01-01T06:00")


def parts(zoom=1, channels=2):
    """Three parts whose shares and speeds differ by channel and mode."""
    sphere = rings(zoom)
    rng = np.random.default_rng(5)
    share = rng.dirichlet(np.ones(3), (channels, len(sphere.ring)))
    turn = rng.normal(size=(len(sphere.ring), 3)) * 1e-4 * np.where(sphere.real, 0, sphere.wavenumber)[:, None]
    return Parts(zoom, channels, (3 * 3600, 40000, 5 * DAY), np.sqrt(share), turn)


def draw(made, seconds, member=0, seed=0):
    return made.normals(seed=seed, member=member, time=np.datetime64(int(seconds), "s"))


def covariance(made, one, two):
    """(channel, cell, cell) covariance of the noise at two times, exactly: of what all numbers of all knots become."""
    sphere, cells = rings(made.zoom), 12 * 4**made.zoom
    every = sphere.white(np.eye(cells))
    total = np.zeros((len(made.factor), cells, cells))
    for channel, factor in enumerate(made.factor):
        alone = Parts(made.zoom, cells, made.spacing, factor[None], made.turn)
        for spacing in made.spacing:
            for knot in {*knots(one, spacing)[0], *knots(two, spacing)[0]}:

                def white(time, of, only=(knot, spacing)):
                    return every if (time, of) == only else 0 * every

                first, second = (alone.mixed(seconds, white) for seconds in (one, two))
                total[channel] += first.T @ second
    return total


@given(st.integers(-(10**10), 10**10), st.integers(1, 400 * DAY))
def test_squares_of_windows_add_up_to_one_at_any_time(seconds, spacing):
    times, weights = knots(seconds, spacing)
    assert len(times) == 4
    assert all(time % spacing == 0 for time in times)
    assert times[1] <= seconds < times[2]
    assert abs((weights**2).sum() - 1) < 1e-15


@pytest.mark.parametrize("seconds", [0, 40000, 123456789, -987654321])
def test_the_covariance_of_an_instant_is_the_unit_matrix(seconds):
    found = covariance(parts(zoom=1), seconds, seconds)
    np.testing.assert_allclose(found, np.tile(np.eye(48), (2, 1, 1)), atol=1e-12)


def test_the_covariance_of_two_instants_is_as_documented():
    made = Parts.uniform(0, 1, 2 * DAY)
    for lag in (0, DAY, 3 * DAY, 9 * DAY):
        at = np.arange(0, 2 * DAY, DAY // 4)
        mean = np.mean([covariance(made, int(t), int(t) + lag)[0, 3, 3] for t in at])
        assert abs(mean - correlation(np.array(lag), 2 * DAY)) < 2e-3
    assert not covariance(made, 5, 9 * DAY).any()


@pytest.mark.parametrize("number", [1000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.slow])])
def test_cells_have_variance_one_and_no_covariance(number):
    made = Parts(0, 2, (20000, 3 * DAY), np.sqrt(np.array([[[0.3, 0.7]]])), np.zeros((1, 2)))
    rng = np.random.default_rng(0)
    drawn = np.stack([draw(made, rng.integers(-(10**9), 2 * 10**9), member).ravel() for member in range(number)])
    found = drawn.T.astype(np.float64) @ drawn / number
    error = 1 / np.sqrt(number)
    assert np.abs(np.diag(found) - 1).max() < 4.5 * np.sqrt(2) * error
    assert np.abs(found - np.diag(np.diag(found))).max() < 4.5 * error
    assert abs(drawn.mean()) < 4.5 * error / np.sqrt(24)


def test_golden_values():
    sphere = rings(1)
    turn = np.where(sphere.real, 0, sphere.wavenumber)[:, None] * np.array([1e-5, -2e-5, 0])
    made = Parts(1, 2, (3 * 3600, 40000, 5 * DAY), np.sqrt(np.array([[[0.25, 0.25, 0.5]]])), turn)
    got = made.normals(seed=7, member=3, time=TIME)
    assert (got.shape, got.dtype) == ((2, 48), np.float32)
    np.testing.assert_allclose(got[1, [0, 20, 47]], GOLDEN, rtol=0, atol=1e-6)
    uniform = Parts.uniform(1, 1, DAY).normals(seed=0, member=0, time="1969-07-20T20:17:40")
    np.testing.assert_allclose(uniform[0, :3], UNIFORM, rtol=0, atol=1e-6)


def test_any_order_and_process_gives_the_same_bits():
    made, times = parts(), [int(t) for t in np.arange(-3, 12) * 21600]
    there = {t: draw(made, t) for t in times}
    for t in reversed(times):
        np.testing.assert_array_equal(draw(parts(), t), there[t])
    code = (
        "from tests.draw.test_coherent_noise import draw, parts; import sys;"
        "sys.stdout.buffer.write(draw(parts(), 21600).tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert other == there[21600].tobytes()


def test_seeds_members_and_spacings_are_other_noise():
    one = Parts.uniform(2, 3, DAY)
    drawn = [
        draw(one, 0), draw(one, 0, member=1), draw(one, 0, seed=1), draw(Parts.uniform(2, 3, DAY + 1), 0),
        normals((3, 192), seed=0, stage="coarse", member=0, time=np.datetime64(0, "s")),
    ]  # fmt: skip
    rows = np.stack([x.ravel() for x in drawn])
    assert np.abs(np.corrcoef(rows) - np.eye(5)).max() < 0.2


def test_correlation_falls_to_one_over_e_within_the_memory():
    assert correlation(np.array(MEMORY * DAY), DAY) == pytest.approx(np.exp(-1), abs=1e-3)
    assert spacing_of(MEMORY * DAY) == DAY
    assert spacing_of(1) == 1
    made, lag = Parts.uniform(3, 4, spacing_of(2 * DAY)), 2 * DAY
    pairs = [(draw(made, t), draw(made, t + lag)) for t in np.arange(20) * 11 * DAY]
    found = np.mean([(a * b).mean() for a, b in pairs])
    assert found == pytest.approx(np.exp(-1), abs=0.03)


def test_noise_travels_eastward():
    sphere = rings(3)
    turn = -np.deg2rad(22.5) / DAY * np.where(sphere.real, 0, sphere.wavenumber)[:, None]
    made = Parts(3, 1, (60 * DAY,), np.ones((1, 1, 1)), turn)
    before, after = (sphere.to_modes(draw(made, t))[0] for t in (0, DAY))
    middle = sphere.ring == 15  # the equator: 32 cells, of 11.25 degrees
    moved = np.fft.irfft(after[middle], 32, norm="ortho")
    still = np.fft.irfft(before[middle], 32, norm="ortho")
    assert np.corrcoef(np.roll(still, 2), moved)[0, 1] > 0.9
    assert np.corrcoef(still, moved)[0, 1] < 0.5


def test_the_speed_follows_the_year():
    """Waves go ahead by the integral of their speed; noise whose speed has a cycle is as white, and golden."""
    sphere = rings(1)
    turn, cycle = (
        np.where(sphere.real, 0, sphere.wavenumber)[:, None] * one for one in (1e-5, np.array([2e-6, -3e-6]))
    )
    made = Parts(1, 1, (3 * DAY,), np.ones((1, 1, 1)), turn, cycle)
    for start, end in ((0, 5 * DAY), (-40 * DAY, 300 * DAY), (200 * DAY, 199 * DAY)):
        seconds = np.linspace(start, end, 2001)
        phase = 2 * np.pi * seconds / YEAR
        speed = turn + cycle @ np.stack([np.cos(phase), np.sin(phase)])
        np.testing.assert_allclose(
            made.angle(0, start, end), np.trapezoid(speed, seconds, axis=-1), rtol=1e-5, atol=1e-5
        )
    some = np.concatenate([draw(made, t * 11 * DAY, member=t) for t in range(60)])
    assert abs(np.cov(some.T) - np.eye(48)).max() < 5 / np.sqrt(60)
    np.testing.assert_allclose(made.normals(seed=7, member=3, time=TIME)[0, [0, 20, 47]], CYCLE, rtol=0, atol=1e-6)


def test_noise_of_knots_needs_a_spacing_and_other_noise_has_none():
    stream = dict(seed=0, member=0, time=TIME)
    with pytest.raises(ValueError, match="give spacing"):
        normals((3,), stage="coherent", **stream)
    with pytest.raises(ValueError, match="leave spacing out"):
        normals((3,), stage="coarse", spacing=5, **stream)
    with pytest.raises(ValueError, match="give block"):
        normals((3,), stage="coherent-superres", spacing=5, **stream)
