"""Globes drawn given what stations observe of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.bottle.test_climatology import made
from tests.bottles import synthetic_bottle
from xr_cbottle.bottle.calibration import Calibration
from xr_cbottle.draw import denoising_errors, noise
from xr_cbottle.draw.assimilation import Case, _Units, assimilate
from xr_cbottle.draw.emulator import Emulator, Instant, Sampler
from xr_cbottle.draw.own_work import ASSIMILATION, Assimilation
from xr_cbottle.fields.observations import Observations
from xr_cbottle.grid import healpix

TIMES = np.datetime64("1980-02-01T00", "s") + np.arange(2) * np.timedelta64(6, "h")
CHANNELS = ("T850", "Z500", "tas", "pr")
TAS, HEIGHT = 2, 1


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    path = synthetic_bottle(tmp_path_factory.mktemp("bottles") / "small.cbottle", channels=CHANNELS)
    return Emulator(path, device="cpu", batch_size=2)


@pytest.fixture(scope="module")
def in_small_steps(small: Emulator) -> Emulator:
    """With random weights a few steps end nowhere."""
    return Emulator(small.bottle, device="cpu", batch_size=4, sampler=Sampler(10, 0.02, 80.0, solver="dpmpp_2m"))


@pytest.fixture(scope="module")
def truth(small: Emulator) -> np.ndarray:
    return small.draw(TIMES[:1], seed=9, label="a").values[0]


def observed(truth: np.ndarray, error: float = 1.0, count: int = 40, channel: int = TAS) -> Observations:
    rng = np.random.default_rng(4)
    lon, lat = rng.uniform(0, 360, count), np.rad2deg(np.arcsin(rng.uniform(-1, 1, count)))
    factor = 1 / 9.80665 if channel == HEIGHT else 1.0
    value = healpix.interpolate(truth[channel].astype(float), 2, lon, lat) * factor
    return Observations(
        np.full(count, TIMES[0].astype(int)), np.full(count, channel), lon, lat, value, np.full(count, error),
        np.full(count, np.nan),
    )  # fmt: skip


def case(observations: Observations, member: int = 0, time: int = 0, background: np.ndarray | None = None) -> Case:
    return Case(1, member, TIMES[time], observations, background, f"{observations.digest()} {time}")


def nothing(observations: Observations) -> Observations:
    return observations.between(0, 1)


@pytest.mark.parametrize("method", ASSIMILATION)
def test_exact_stations_are_kept_to_and_poor_ones_change_little(in_small_steps, truth, method):
    small, work = in_small_steps, Assimilation("a", method, 32, representativeness=())
    sure, poor = observed(truth, 0.05, 8), observed(truth, 1e4, 8)
    (exact,) = assimilate(small, [case(sure)], work)
    assert exact.observations == 8
    assert exact.channels.tolist() == [TAS]
    seen = healpix.interpolate(np.asarray(exact.values[TAS], float), 2, sure.lon, sure.lat)
    plain = small.draw_instants([Instant("a", 1, 0, TIMES[0])])[0]
    far = healpix.interpolate(plain[TAS].astype(float), 2, sure.lon, sure.lat)
    assert np.abs(seen - sure.value).mean() < 0.1 * np.abs(far - sure.value).mean()
    (loose,) = assimilate(small, [case(poor)], work)
    assert np.abs(loose.values[TAS] - plain[TAS]).mean() < 0.02 * np.abs(plain[TAS] - truth[TAS]).mean()


@pytest.mark.parametrize("method", ASSIMILATION)
def test_a_member_is_the_same_in_any_company(small, truth, method):
    work = Assimilation("a", method, 8, representativeness=())
    seen, aloft = observed(truth), observed(truth, 10.0, 20, HEIGHT)
    cases = [case(seen, 0), case(seen, 1), case(aloft, 0), case(nothing(seen), 3, 1), case(seen, 2)]
    together = assimilate(small, cases, work)
    alone = assimilate(small, cases[4:5], work) + assimilate(small, cases[2:3], work)
    for one, other in zip([together[4], together[2]], alone, strict=True):
        difference = np.abs(one.values - other.values) / small.model.scales[:, None]
        assert difference.max() < 1e-3
    assert np.abs(together[0].values - together[1].values)[TAS].max() > 1
    plain = small.draw_instants([Instant("a", 1, 3, TIMES[1])])[0]
    np.testing.assert_allclose(together[3].values, plain, rtol=1e-5, atol=1e-4)
    assert together[3].observations == 0


def test_the_error_of_cells_is_added_and_said(small, truth):
    seen = observed(truth, 1.0)
    (none,) = assimilate(small, [case(seen)], Assimilation("a", draws=8, representativeness=()))
    (given,) = assimilate(small, [case(seen)], Assimilation("a", draws=8, representativeness=(("tas", 5.0),)))
    (estimated,) = assimilate(small, [case(seen)], Assimilation("a", draws=8))
    assert none.representativeness.tolist() == [0]
    assert given.representativeness[0] == pytest.approx(5)
    assert estimated.representativeness[0] > 0
    residual = [
        np.abs(healpix.interpolate(np.asarray(one.values[TAS], float), 2, seen.lon, seen.lat) - seen.value).mean()
        for one in (none, given)
    ]
    assert residual[0] < residual[1]
    row = given.figures(len(CHANNELS))
    assert row[0] == 40
    assert row[1 + TAS] == pytest.approx(5)
    assert np.isnan(row[1])


@pytest.mark.parametrize("method", ASSIMILATION)
def test_a_background_is_kept_near_to_where_nothing_is_observed(small, truth, method):
    seen = nothing(observed(truth))
    background = np.asarray(truth, float)
    for strength, near in ((0.05, 0.2), (20.0, 1.0)):
        work = Assimilation("a", method, 8, strength, ())
        (got,) = assimilate(small, [case(seen, background=background)], work)
        distance = ((got.values - truth)[TAS] ** 2).mean() ** 0.5 / small.model.scales[TAS]
        assert distance < near if near < 1 else distance > 0.2


def test_optimal_interpolation_perturbs_what_is_observed(small, truth):
    """By keyed noise as large as the error: without it members would be too sure of themselves."""
    one = observed(truth, 12.0, 1)
    other = dataclasses.replace(one, value=one.value + 20)
    work = Assimilation("a", "enoi", 16, representativeness=())
    seen = [
        float(healpix.interpolate(np.asarray(made.values[TAS], float), 2, one.lon, one.lat)[0])
        for made in assimilate(small, [case(one, 3), case(other, 3)], work)
    ]
    plain = small.draw_instants([Instant("a", 1, 3, TIMES[0])])[0]
    before = float(healpix.interpolate(plain[TAS].astype(float), 2, one.lon, one.lat)[0])
    gain = (seen[1] - seen[0]) / 20
    assert 0.1 < gain < 1
    added = noise.normals((1,), seed=1, stage="assimilate", member=3, time=TIMES[0], block=0)[0]
    assert (seen[0] - before) / gain == pytest.approx(one.value[0] + 12 * added - before, rel=1e-3)


def test_errors_of_the_network_are_of_its_levels(small):
    """At high noise as large as the draws vary, at low noise as the noise; each level between two is between them."""
    known = denoising_errors.get(small, "a", 8)
    assert denoising_errors.get(small, "a", 8) is known
    assert (np.diff(known.levels) < 0).all()
    assert known.samples.shape == (len(known.levels), 8, len(CHANNELS), 192)
    highest = known.at(80.0).std()
    assert highest == pytest.approx(known.samples[0].astype("f4").std())
    assert known.at(1e-3).std() == pytest.approx(1e-3 / known.levels[-1] * known.samples[-1].astype("f4").std())
    if len(known.levels) > 1:
        between = known.at(float(np.sqrt(known.levels[-1] * known.levels[-2]))).std()
        ends = sorted(one.astype("f4").std() for one in known.samples[-2:])
        assert ends[0] <= between <= ends[1]


def test_times_of_samples_are_spread_over_years_and_hours():
    times = denoising_errors.times_of(0, 10 * 365 * 86400, 64)
    assert (np.diff(times).astype(int) > 0).all()
    hours = times.astype("datetime64[h]").astype(int) % 24
    assert len(set(hours.tolist())) > 20
    assert denoising_errors.times_of(100, 200, 8).min() >= np.datetime64(100, "s")


def test_what_stations_see_is_what_the_bottle_shows(tmp_path):
    """In the variables' units, through climatology, roots, gain, mapping and what is never negative; and its slope."""
    channels = ("tas", "pr", "Z500")
    two = made(channels=("tas", "pr"), cells=192)
    three = {name: getattr(two, name)[:, [0, 1, 0]] for name in ("mean", "spread", "cycle")}
    gain = np.ones((2, 3, 9))
    gain[:, :, 2:] = 0.7
    knots = np.linspace(0, 1e-3, 5) + np.zeros((2, 1, 5))
    known = dataclasses.replace(
        two, channels=channels, **three, center=np.array([280.0, 0.02, 54e3]), scale=np.array([10.0, 0.004, 3e3]),
        root=np.array([1.0, 2.0, 1.0]), calibration=Calibration(gain, np.array([1]), knots, 0.8 * knots + 1e-5),
    )  # fmt: skip
    path = synthetic_bottle(tmp_path / "c.cbottle", channels=channels, climatology=known, nonnegative=("pr",))
    emulator = Emulator(path, device="cpu", batch_size=1)
    x = np.random.default_rng(3).normal(size=(1, 3, 192))
    factors = np.array([[1.0], [1.0], [1 / 9.80665]])
    whole = emulator.physical(x, "b", TIMES[:1])[0] * factors
    for chosen in ([0, 1, 2], [1], [2]):
        units = _Units(emulator.normalisation, "b", TIMES[0], np.array(chosen), factors[chosen])
        np.testing.assert_allclose(units.values(x[0, chosen]), whole[chosen], rtol=1e-6)
    # The gain leaves the mean of the globe as it is, and so a field that is the same everywhere.
    flat = _Units(emulator.normalisation, "b", TIMES[0], np.array([0, 2]), factors[[0, 2]])
    change = flat.values(np.full((2, 192), 1e-3)) - flat.values(np.zeros((2, 192)))
    np.testing.assert_allclose(change, 1e-3 * flat.slope, rtol=1e-2)
