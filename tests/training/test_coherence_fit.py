"""The fit of coherence: what was put into noise is found again, and a bottle is given it on the command line."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr
import yaml

torch = pytest.importorskip("torch")

from tests import bottles, forcings, trainings  # noqa: E402
from xr_cbottle.bottle import open_bottle  # noqa: E402
from xr_cbottle.bottle.climatology import Climatology  # noqa: E402
from xr_cbottle.draw.coherent_noise import Parts, correlation  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402
from xr_cbottle.grid.rings import rings  # noqa: E402
from xr_cbottle.training import coherence_fit as fit  # noqa: E402
from xr_cbottle.training import coherence_measures as measures  # noqa: E402
from xr_cbottle.training.coherence_measures import Composition, LagCovariance  # noqa: E402
from xr_cbottle.training.train_command import main  # noqa: E402

DAY = 86400
TWO_DAYS = 110_000  # seconds between knots


@pytest.fixture(autouse=True)
def few_speeds(monkeypatch):
    monkeypatch.setattr(fit, "_SPEEDS", np.arange(-30.0, 31.0, 15.0))
    monkeypatch.setattr(fit, "_CYCLES", np.arange(-24.0, 25.0, 12.0))


def measured(speed: float) -> LagCovariance:
    """What fields of two channels have whose noise lasts two days and travels at a speed, measured for ever."""
    sphere = rings(2)
    lags = np.arange(0, 17) * DAY // 4
    turn = np.exp(-1j * sphere.wavenumber * np.deg2rad(speed) / DAY * lags[:, None])
    covariance = correlation(lags, TWO_DAYS)[:, None] * turn
    pooled = measures._pool(covariance, measures._hats(sphere) * np.where(sphere.real, 1, 2), sphere)
    return LagCovariance(lags, np.stack([np.stack([pooled] * 2, 1)] * measures.SEASONS))


def plain(share=None) -> Composition:
    share = np.eye(2) if share is None else share
    return Composition(np.tile(share, (4, 1, 1)), np.zeros((2, len(measures.LATITUDES), 9)))


def found_correlation(share, lag):
    return share @ np.array([correlation(np.array(lag), spacing) for spacing in fit.SPACINGS])


def test_memory_and_speed_are_found_again():
    share, speed, cycle = fit.fit_label(measured(15.0), plain())
    middle, waves = [4, 6, 8], [1, 2, 3]  # 30 S, the equator, 30 N; wavenumbers 1 to 3
    for lag in (DAY // 4, DAY, 3 * DAY):
        wanted = correlation(np.array(lag), TWO_DAYS)
        assert found_correlation(share[:, middle][:, :, waves].mean((0, 1, 2)), lag) == pytest.approx(wanted, abs=0.05)
    weight = share.mean(0)[middle][:, waves]
    mean = (speed[middle][:, waves] * weight).sum() / weight.sum()
    assert mean == pytest.approx(15, abs=1)
    assert (speed[:, 0] == 0).all()  # the mean over a ring goes nowhere
    assert abs(cycle).max() < 1  # and it goes as fast all year


def test_waves_that_are_fast_in_winter_are_found_again():
    """The noise of a known speed and cycle has, season by season, what the fit is told of; it gives them back."""
    sphere = rings(2)
    turn, cycle = (-np.deg2rad(one) / DAY * np.where(sphere.real, 0, sphere.wavenumber)[:, None] for one in (8.0, 12.0))
    noise = Parts(2, 2, (TWO_DAYS,), np.ones((1, 1, 1)), turn, np.concatenate([cycle, 0 * cycle], 1))
    base = measured(0.0)
    ahead = np.zeros((measures.SEASONS, len(base.lags), len(sphere.ring)), np.complex128)
    for q in range(measures.SEASONS):
        days = np.linspace(q, q + 1, 46)[:-1] / measures.SEASONS * measures.YEAR
        for i, lag in enumerate(base.lags.tolist()):
            ahead[q, i] = np.mean([np.exp(1j * noise.angle(0, int(t), int(t) + lag)) for t in days], 0)
    weights = measures._hats(sphere) * np.where(sphere.real, 1, 2)
    pooled = measures._pool(correlation(base.lags, TWO_DAYS)[:, None] * ahead, weights, sphere)
    share, speed, found = fit.fit_label(LagCovariance(base.lags, np.stack([pooled] * 2, 2)), plain())
    middle, waves = [4, 6, 8], [1, 2, 3]
    np.testing.assert_allclose(found[middle][:, waves].mean((0, 1)), [12, 0], atol=1.5)
    weight = share.mean(0)[middle][:, waves]
    assert (speed[middle][:, waves] * weight).sum() / weight.sum() == pytest.approx(8, abs=1.5)


def test_a_channel_made_of_the_noise_of_two_lasts_as_it_should():
    covariance = measured(0.0)
    slow, fast = correlation(covariance.lags, 2 * DAY), correlation(covariance.lags, DAY)
    power = covariance.values[0, 0]
    values = np.stack([slow[:, None, None] * power[0], fast[:, None, None] * power[1]], 1)
    made_of = np.array([[0.9, 0.1], [0.2, 0.8]])
    every = np.stack([values] * measures.SEASONS)
    share, *_ = fit.fit_label(LagCovariance(covariance.lags, every), plain(made_of))
    for channel, wanted in ((0, slow), (1, fast)):
        got = found_correlation((made_of @ share[:, 6, 2])[channel], DAY)
        assert got == pytest.approx(np.interp(DAY, covariance.lags, wanted), abs=0.08)


def test_covariances_of_a_series_are_those_of_its_noise():
    sphere = rings(2)
    turn = -np.deg2rad(15.0) / DAY * np.where(sphere.real, 0, sphere.wavenumber)[:, None]
    noise = Parts(2, 4, (TWO_DAYS,), np.ones((1, 1, 1)), turn)
    times = np.arange(160) * DAY // 4
    modes = np.stack([sphere.to_modes(noise.normals(seed=3, member=0, time=np.datetime64(int(t), "s"))) for t in times])
    by_season = measures.pooled_covariance(times, modes, np.array([0, DAY]), sphere)
    assert not by_season[1:].any()  # January and a bit of February
    found = by_season[0].mean(1)[:, 6]  # about the equator
    likeness = found[1, 1:4].sum() / np.real(found[0, 1:4]).sum()
    assert abs(likeness) == pytest.approx(correlation(np.array(DAY), TWO_DAYS), abs=0.12)
    phases = -np.rad2deg(np.angle(found[1, 1:4] / found[0, 1:4])) / np.arange(1, 4)
    np.testing.assert_allclose(phases, 15, atol=4)


def test_what_follows_the_sea_is_not_asked_of_the_noise():
    covariance = measured(0.0)
    values = covariance.values.copy()
    values *= 0.5
    values += 0.5 * values[:, :1] * 2 * 0.5  # a third that lasts for ever
    forced = np.full((2, len(measures.LATITUDES), 9), 1 / 3)
    share, *_ = fit.fit_label(LagCovariance(covariance.lags, values), Composition(plain().share, forced))
    naive, *_ = fit.fit_label(LagCovariance(covariance.lags, values), plain())
    three_days = [found_correlation(one[:, 6, 1:4].mean((0, 1)), 3 * DAY) for one in (share, naive)]
    assert three_days[0] < three_days[1] - 0.15


def test_gaps_leave_no_pairs_across_them():
    sphere = rings(1)
    times = np.array([0, 1, 2, 10, 11]) * 3600
    modes = np.ones((5, 1, len(sphere.ring)), np.complex64)
    found = measures.pooled_covariance(times, modes, np.array([0, 3600, 5 * 3600]), sphere)
    np.testing.assert_allclose(found[0, 1], found[0, 0])  # three pairs stand for five
    assert not found[0, 2].any()
    late = measures.pooled_covariance(times + 200 * DAY, modes, np.array([0]), sphere)
    np.testing.assert_array_equal(late[:, 0].any((1, 2, 3)), [False, False, True, False])


# A bottle ------------------------------------------------------------------------------------------------------------


def climatology(channels=("tas", "Z500")) -> Climatology:
    cells = healpix.n_cells(2)
    shape = (2, len(channels), 1, 1, cells)
    return Climatology(
        ("a", "b"), tuple(channels), np.array([288.0, 5000 * 9.80665]), np.array([10.0, 1000.0]),
        np.zeros(shape, np.float32), np.ones((2, len(channels), cells), np.float32),
        np.ones(shape, np.float32), np.zeros((1, cells), np.float32), np.ones(len(channels)),
    )  # fmt: skip


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    trainings.write(tmp_path)
    values = trainings.values(tmp_path)
    values["data"]["channels"] = ["tas", "Z500"]
    values["data"]["sources"][1]["missing"] = ["Z500"]
    path = tmp_path / "made.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(values))))
    monkeypatch.setattr(measures, "PAIRS", 2)
    monkeypatch.setattr(measures, "CHANGED", 1)
    return path


def test_a_bottle_is_given_it_by_the_command_line(configuration, tmp_path, capsys):
    into = bottles.synthetic_bottle(tmp_path / "into.cbottle", channels=("tas", "Z500"), climatology=climatology())
    out = tmp_path / "out.cbottle"
    assert main([str(configuration), "--coherence", "--into", str(into), "--pack", str(out)]) == 0
    before, after = open_bottle(into), open_bottle(out)
    assert after.coherence().labels == ("a", "b")
    assert [part.sha256 for part in after.manifest.parts] == [part.sha256 for part in before.manifest.parts]
    assert after.manifest.climatology == before.manifest.climatology
    assert "coherence.nc" in after.manifest.trained_on
    opened = (xr.open_dataset(path, engine="cbottle", coherence="none") for path in (into, out))
    independent = [ds.tas.isel(time=[5, 6]).values for ds in opened]
    np.testing.assert_array_equal(*independent)
    lasting = xr.open_dataset(out, engine="cbottle", coherence="latents").tas.isel(time=[5, 6]).values
    assert np.isfinite(lasting).all()
    assert not np.array_equal(lasting, independent[0])


def test_of_several_runs_of_a_label_the_longest_is_fitted_to(configuration, tmp_path):
    values = yaml.safe_load(configuration.read_text())
    base = values["data"]["sources"][0]
    short = dict(base, validation_start=None, end=str(np.datetime64(base["start"]) + np.timedelta64(2, "D")))
    values["data"]["scale"] = "climatology"
    values["data"]["annual_harmonics"] = 0
    values["data"]["sources"] += [short]  # a run of another climate, named last
    configuration.write_text(yaml.safe_dump(values))
    into = bottles.synthetic_bottle(tmp_path / "into.cbottle", channels=("tas", "Z500"), climatology=climatology())
    out = tmp_path / "out.cbottle"
    assert main([str(configuration), "--coherence", "--into", str(into), "--pack", str(out)]) == 0
    fitted_to = open_bottle(out).manifest.trained_on["coherence.nc"]
    assert fitted_to["a"] == f"{base['start']} to {base.get('validation_start') or base['end']}"


def test_a_bottle_whose_climate_responds_is_given_it_too(configuration, tmp_path):
    """Anomalies are from the climatology under the sea and the forcings of the bottle, in the data and in draws."""
    known = dataclasses.replace(forcings.climatology(), channels=("tas", "Z500"))
    into = bottles.synthetic_bottle(
        tmp_path / "into.cbottle", channels=("tas", "Z500"), climatology=known,
        forcings={"co2": dataclasses.replace(forcings.CO2, values=(360.0,), times=())},
        sea_range=(-2.0, 2.0),
    )  # fmt: skip
    out = tmp_path / "out.cbottle"
    assert main([str(configuration), "--coherence", "--into", str(into), "--pack", str(out)]) == 0
    lasting = xr.open_dataset(out, engine="cbottle", coherence="latents").tas.isel(time=[5, 6]).values
    assert np.isfinite(lasting).all()


def test_what_cannot_be_fitted_is_refused(configuration, tmp_path, capsys):
    plain = bottles.synthetic_bottle(tmp_path / "plain.cbottle", channels=("tas", "Z500"))
    other = bottles.synthetic_bottle(
        tmp_path / "other.cbottle", channels=("tas", "Z500"), labels={"c": bottles.LabelSpec(0)}
    )
    out = str(tmp_path / "out.cbottle")
    for into, sentence in ((plain, "has no climatology"), (other, "has no climatology")):
        with pytest.raises(SystemExit):
            main([str(configuration), "--coherence", "--into", str(into), "--pack", out])
        assert sentence in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(configuration), "--coherence"])
    assert "needs --pack" in capsys.readouterr().err
