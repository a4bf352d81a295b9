"""Mean and spread by harmonics of the year and the day: fits, files, and drawing about them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import xarray as xr
from hypothesis import strategies as st

from tests.bottles import synthetic_bottle
from xr_cbottle import open_bottle
from xr_cbottle.bottle import climatology
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.harmonics import Fit, basis

YEAR = np.datetime64("1987-01-01T00", "s") + np.arange(0, 365 * 24, 5) * np.timedelta64(1, "h")


def made(
    labels: tuple[str, ...] = ("a", "b"), channels: tuple[str, ...] = ("tas", "pr"), cells: int = 12
) -> Climatology:
    """Of two annual and one diurnal harmonic, with a dry place and a land."""
    rng = np.random.default_rng(1)
    shape = (len(labels), len(channels), 5, 3, cells)
    mean, cycle = rng.normal(size=shape), 0.1 * rng.normal(size=shape)
    cycle[:, :, 0, 0] = 1
    spread = rng.uniform(0.5, 2, (len(labels), len(channels), cells))
    spread[:, :, 0] = 0
    sst = np.concatenate([np.full((1, cells), 290.0), rng.normal(size=(4, cells))])
    sst[:, :3] = np.nan
    floats = (x.astype(np.float32) for x in (mean, spread, cycle, sst))
    return Climatology(labels, channels, np.array([280.0, 1e-5]), np.array([10.0, 4e-5]), *floats, np.ones(2))


def test_basis_is_products_of_harmonics():
    times = np.array(["1987-01-01T00", "1987-01-01T06", "1988-07-01T18"], "datetime64[s]")
    rows = basis(times, 2, 1)
    assert rows.shape == (3, 5, 3)
    np.testing.assert_allclose(rows[0], np.outer([1, 1, 0, 1, 0], [1, 1, 0]), atol=1e-12)
    np.testing.assert_allclose(rows[1, 0], [1, 0, 1], atol=1e-12)
    turns = 2 * np.pi * (182 + 0.75) / 365.25  # 1988 is a leap year
    np.testing.assert_allclose(rows[2], np.outer(
        [1, np.cos(turns), np.sin(turns), np.cos(2 * turns), np.sin(2 * turns)], [1, 0, -1]), atol=1e-9)  # fmt: skip
    assert basis(times, 0, 0).tolist() == [[[1.0]]] * 3


def test_fit_finds_the_coefficients_that_made_the_data():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(5, 5, 7))
    rows = basis(YEAR, 2, 2).reshape(len(YEAR), -1)
    values = rows @ true.reshape(25, 7)
    whole, parts = Fit(2, 2, (7,)), Fit(2, 2, (7,))
    whole.add(YEAR, values)
    for start in range(0, len(YEAR), 100):
        parts.add(YEAR[start : start + 100], values[start : start + 100])
    np.testing.assert_allclose(whole.solve(), true, atol=1e-9)
    np.testing.assert_allclose(parts.solve(), true, atol=1e-9)


def test_insignificant_diurnal_terms_are_left_out():
    rng = np.random.default_rng(0)
    day = np.cos(2 * np.pi * (YEAR - YEAR.astype("datetime64[D]")) / np.timedelta64(1, "D"))
    values = rng.normal(size=(len(YEAR), 200))
    values[:, :100] += day[:, None]
    fit = Fit(1, 1, (200,))
    fit.add(YEAR, values)
    found = fit.solve(significance=2.5)
    np.testing.assert_allclose(found[0, 1, :100], 1, atol=0.15)
    assert (found[0, 1, 100:] == 0).mean() > 0.95
    assert (found[:, 0] != 0).all()  # the year's are kept


def test_too_few_instants_are_refused():
    fit = Fit(2, 2, (1,))
    fit.add(YEAR[:20], np.zeros((20, 1)))
    with pytest.raises(ValueError, match="20 instants are too few for 25 harmonics: give more"):
        fit.solve()


@hypothesis.given(st.integers(0, 10**9), st.sampled_from(["a", "b"]))
@hypothesis.settings(max_examples=25, deadline=None)
def test_standardised_is_the_inverse_of_physical(seconds: int, label: str):
    known = made()
    times = np.datetime64(seconds, "s") + np.arange(2) * np.timedelta64(7, "h")
    x = np.random.default_rng(seconds).normal(size=(2, 2, 12))
    values = known.physical(x, label, times)
    np.testing.assert_allclose(known.standardised(values, label, times), x, atol=1e-6)
    both = known.physical(x[::-1], label, times[::-1])[::-1]
    np.testing.assert_allclose(both, values, rtol=1e-6)  # each time for itself


def test_a_root_makes_what_is_below_zero_dry_and_is_undone():
    known = dataclasses.replace(
        made(), center=np.array([280.0, 1e-3]), scale=np.array([10.0, 4e-3]), root=np.array([1, 2])
    )
    times = YEAR[:3]
    x = np.random.default_rng(0).normal(size=(3, 2, 12))
    plain, values = dataclasses.replace(known, root=np.ones(2)).physical(x, "a", times), known.physical(x, "a", times)
    np.testing.assert_array_equal(values[:, 0], plain[:, 0])
    np.testing.assert_allclose(values[:, 1], np.maximum(plain[:, 1], 0) ** 2)
    assert (values[:, 1] == 0).any()
    wet = values[:, 1] > 0
    np.testing.assert_allclose(known.standardised(values, "a", times)[:, 1][wet], x[:, 1][wet], atol=1e-6)
    np.testing.assert_allclose(known.standardised(values, "a", times)[:, 0], x[:, 0], atol=1e-6)


def test_a_file_of_the_first_bottles_has_no_roots(tmp_path: Path):
    old = made().to_dataset().drop_vars("root")
    assert Climatology.from_dataset(old).root.tolist() == [1, 1]


@pytest.mark.parametrize("root", [[1, 0.5], [1, np.nan]])
def test_roots_are_one_or_more(root):
    with pytest.raises(ValueError, match="roots must be 1 or more"):
        dataclasses.replace(made(), root=np.array(root))


def test_an_instant_is_the_same_to_the_last_bit_whatever_is_drawn_with_it():
    rng, times, shape = np.random.default_rng(0), YEAR[:50:10], (26, 3072)  # a large product, which is cut by BLAS
    coefficients = rng.normal(size=(1, 26, 5, 9, 3072)).astype(np.float32)
    spread, sst = np.ones((1, *shape), np.float32), rng.normal(size=(5, 3072)).astype(np.float32)
    ones, names = np.ones(26), tuple(map(str, range(26)))
    known = Climatology(("a",), names, ones, ones, coefficients, spread, abs(coefficients), sst, ones)
    x = rng.normal(size=(len(times), *shape))
    together = known.physical(x, "a", times), known.sst_anomaly(280 + x[:, 0], times)
    for i in range(len(times)):
        one = slice(i, i + 1)
        alone = known.physical(x[one], "a", times[one]), known.sst_anomaly(280 + x[one, 0], times[one])
        for values, value in zip(together, alone, strict=True):
            np.testing.assert_array_equal(value[0], values[i])


def test_spread_has_a_floor():
    known = made()
    _, spread = known.at("a", YEAR[:50])
    least = climatology.SMALLEST_SPREAD * climatology.SMALLEST_CYCLE**0.5
    assert spread.min() >= least * (1 - 1e-6)
    assert (spread[:, :, 0] <= climatology.SMALLEST_SPREAD * 2).all()


def test_sst_anomaly_is_from_the_mean_year_and_zero_over_land():
    known = made()
    mean = basis(YEAR[:3], 2, 0)[:, :, 0] @ known.sst
    anomaly = known.sst_anomaly(mean + 2, YEAR[:3])
    assert anomaly.dtype == np.float32
    assert (anomaly[:, :3] == 0).all()
    np.testing.assert_allclose(anomaly[:, 3:], 2 / climatology.SST_ANOMALY_KELVIN, atol=1e-4)


def test_file_keeps_the_values_to_its_steps_and_then_exactly(tmp_path: Path):
    known = made()
    known.write(tmp_path / "c.nc")
    with xr.open_dataset(tmp_path / "c.nc") as dataset:
        read = Climatology.from_dataset(dataset.load())
    assert read.labels == known.labels
    assert read.channels == known.channels
    np.testing.assert_array_equal(read.center, known.center)
    np.testing.assert_allclose(read.mean, known.mean, atol=2.0**-9)
    np.testing.assert_allclose(read.spread, known.spread, atol=2.0**-11)
    np.testing.assert_allclose(read.sst, known.sst, atol=2.0**-8)
    read.write(tmp_path / "d.nc")
    with xr.open_dataset(tmp_path / "d.nc") as dataset:
        again = Climatology.from_dataset(dataset.load())
    for name in ("center", "scale", "mean", "spread", "cycle", "sst"):
        np.testing.assert_array_equal(getattr(again, name), getattr(read, name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.drop_vars("cycle"), r"is no climatology of a bottle.*cycle"),
        (lambda ds: ds.isel(annual=slice(0, 4)), "is no climatology of a bottle"),
        (lambda ds: ds.assign(mean=ds["mean"] * np.nan), "must be finite"),
        (lambda ds: ds.assign(scale=0 * ds.scale), "scale positive"),
    ],
)
def test_what_is_no_climatology_is_refused(change, message):
    with pytest.raises(BottleError, match=message):
        Climatology.from_dataset(change(made().to_dataset()), "c.nc")


@pytest.mark.filterwarnings("ignore:the data of .* are strange")
def test_a_bottle_draws_anomalies_from_its_climatology(tmp_path: Path):
    pytest.importorskip("torch")
    from xr_cbottle.draw.emulator import Emulator
    from xr_cbottle.draw.own_work import Translation
    from xr_cbottle.draw.translation import translate

    channels = ("tas", "pr")
    known = made(channels=channels, cells=192)
    path = synthetic_bottle(tmp_path / "c.cbottle", channels=channels, climatology=known)
    emulator = Emulator(path, device="cpu", batch_size=2)
    times = YEAR[[0, 3]]
    drawn = {label: emulator.draw(times, label=label).values for label in ("a", "b")}
    stored = emulator.bottle.climatology()
    for label, values in drawn.items():
        x = stored.standardised(values.astype(np.float64), label, times)
        assert np.isfinite(values).all()
        assert 0.05 < np.abs(x[..., 1:]).mean() < 50  # of order one, whatever the unit
    assert "climatology" in open_bottle(path).manifest.to_json()
    x = np.random.default_rng(0).normal(size=drawn["a"].shape)
    np.testing.assert_allclose(emulator.normalised(emulator.physical(x, "b", times), "b", times), x, atol=1e-9)
    told = emulator.condition(times)
    assert told.shape == (2, 2, 1, 192)
    translated, _ = translate(emulator, drawn["a"], times, Translation("a", "b"))
    assert np.abs(stored.standardised(translated, "b", times)[..., 1:]).mean() < 50


def test_nonnegative_channels_have_nothing_below_zero_and_say_so(tmp_path: Path):
    pytest.importorskip("torch")
    from xr_cbottle.draw.emulator import Emulator

    channels = ("tas", "pr")
    paths = [
        synthetic_bottle(tmp_path / f"{name}.cbottle", channels=channels, climatology=made(cells=192), **more)
        for name, more in (("free", {}), ("bound", {"nonnegative": ("pr",)}))
    ]
    free, bound = (Emulator(path, device="cpu", batch_size=2).draw(YEAR[:2]).values for path in paths)
    assert (free[:, 1] < 0).any()
    np.testing.assert_array_equal(bound[:, 0], free[:, 0])
    assert (bound[:, 1] >= 0).all()
    assert ((bound[:, 1] > 0) <= (free[:, 1] > 0)).all()
    np.testing.assert_allclose(bound[:, 1].mean(-1), np.maximum(free[:, 1].mean(-1), 0), rtol=1e-5, atol=1e-12)
    ds = xr.open_dataset(paths[1], engine="cbottle")
    assert ds.pr.attrs["comment"].startswith("Values below 0 are set to 0,")
    assert "comment" not in ds.tas.attrs
    with pytest.raises(BottleError, match=r"nonnegative\[0\].*one of channels"):
        synthetic_bottle(tmp_path / "x.cbottle", channels=channels, nonnegative=("tos",))


def test_a_climatology_that_does_not_fit_the_manifest_is_refused(tmp_path: Path):
    pytest.importorskip("torch")
    wrong = made(labels=("a", "c"), channels=("tas", "pr"), cells=192)
    path = synthetic_bottle(tmp_path / "c.cbottle", channels=("tas", "pr"), climatology=wrong)
    with pytest.raises(BottleError, match="other labels or channels"):
        open_bottle(path).climatology()
    small = made(channels=("tas", "pr"), cells=48)
    path = synthetic_bottle(tmp_path / "d.cbottle", channels=("tas", "pr"), climatology=small)
    with pytest.raises(BottleError, match="another zoom"):
        open_bottle(path).climatology()


def test_a_part_must_take_the_conditions_of_its_bottle(tmp_path: Path):
    pytest.importorskip("torch")
    known = made(channels=("tas", "pr"), cells=192)
    with pytest.raises(BottleError, match=r"takes 1 conditions.*must take 2"):
        synthetic_bottle(tmp_path / "c.cbottle", channels=("tas", "pr"), climatology=known, conditions=1)


def test_bottles_without_one_keep_their_text_and_digest():
    manifest = open_bottle("icon").manifest
    assert "climatology" not in manifest.to_json()
    assert "climatology" not in manifest.canonical()


def test_the_deviation_of_what_the_network_sees_is_that_of_its_preconditioning():
    pytest.importorskip("torch")
    from xr_cbottle.network import edm
    from xr_cbottle.training import statistics

    assert statistics.SIGMA_DATA == edm.SIGMA_DATA
