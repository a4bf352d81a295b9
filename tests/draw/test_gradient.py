"""Gradients with respect to the sea, against finite differences."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests import forcings
from tests.bottle.test_climatology import made
from tests.bottles import sst_cells, synthetic_bottle
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.bottle.calibration import Calibration
from xr_cbottle.bottle.climatology import departure
from xr_cbottle.bottle.gaps import Gaps
from xr_cbottle.bottle.static_fields import StaticFields
from xr_cbottle.draw import adjoint, gradient
from xr_cbottle.draw.bounds import within
from xr_cbottle.draw.emulator import Emulator, Instant, Sampler
from xr_cbottle.draw.normalisation import Normalisation
from xr_cbottle.fields.nonnegative import without_negatives
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.fields.sst_offset import SstOffset

TIMES = np.datetime64("1980-02-01T00", "s") + np.arange(2) * np.timedelta64(6, "h")
CELLS = 192


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """Of anomalies, calibrated: a gain of harmonics, a channel that is mapped, one that is a root, and no negatives."""
    rng = np.random.default_rng(5)
    channels = ("tas", "pr")
    known = made(channels=channels, cells=CELLS)
    known = type(known)(**{**vars(known), "root": np.array([1.0, 2.0]), "center": np.array([280.0, 4e-3])})
    knots = np.array([0.0, 1e-5, 4e-5, 2e-4])
    mended = Calibration(
        rng.uniform(0.6, 1.4, (2, 2, 8)),
        np.array([1]),
        np.tile(knots, (2, 1, 1)),
        np.tile(1.3 * knots + knots**2, (2, 1, 1)),
        rng.uniform(0.6, 1, (2, 2)),
    )
    known = type(known)(**{**vars(known), "calibration": mended})
    path = synthetic_bottle(
        tmp_path_factory.mktemp("bottles") / "small.cbottle", channels=channels, climatology=known, nonnegative=("pr",)
    )
    return Emulator(path, device="cpu", batch_size=2)


def slope(function, at, direction, step):
    return (function(at + step * direction) - function(at - step * direction)) / (2 * step)


def test_without_negatives() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.4, -0.1):  # of which the mean is above, and below 0
        values, w, d = rng.normal(size=(3, 2, CELLS))
        values = values + shift - values.mean(-1, keepdims=True)
        by_hand = (adjoint.without_negatives(values, w) * d).sum()
        assert slope(lambda v, w=w: (w * without_negatives(v)).sum(), values, d, 1e-7) == pytest.approx(
            by_hand, rel=1e-4
        )


@pytest.mark.parametrize("bounds", [(0.0, None), (None, 0.6), (-0.3, 0.7), (-5.0, 5.0)])
def test_bounds(bounds: tuple[float | None, float | None]) -> None:
    """By the values, and by the upper bound of each cell."""
    rng = np.random.default_rng(1)
    values, w, d, e = rng.normal(size=(4, 2, CELLS))
    least, most = (None if one is None else np.full((2, CELLS), one) for one in bounds)
    by_values, by_most = adjoint.within_back(values, least, most, w)
    numeric = slope(lambda v: (w * within(v, least, most)).sum(), values, d, 1e-6)
    assert (by_values * d).sum() == pytest.approx(numeric, rel=1e-3, abs=1e-6)
    if most is not None:
        numeric = slope(lambda m: (w * within(values, least, m)).sum(), most, e, 1e-6)
        assert (by_most * e).sum() == pytest.approx(numeric, rel=1e-3, abs=1e-6)


def test_units_and_calibration(emulator: Emulator) -> None:
    rng = np.random.default_rng(2)
    x, w, d = rng.normal(size=(3, 2, 2, CELLS))
    w[:, 1] *= 1e5  # rain is small
    by_hand = (adjoint.physical(emulator.normalisation, x, "b", TIMES, w) * d).sum()
    numeric = slope(lambda v: (w * emulator.physical(v, "b", TIMES)).sum(), x, d, 1e-6)
    assert numeric == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("label", ["a", "b"])
def test_volume_is_the_determinant_of_what_normalises(emulator: Emulator, label: str) -> None:
    """Of all cells and both channels, through spread, root, mapping, gains of degrees, and that of the rest."""
    known = emulator.normalisation.climatology
    knots = np.linspace(0, 4e-5, 40)  # some of its pieces are met
    bent = 1e-6 * np.cumsum(np.random.default_rng(8).uniform(0.5, 2, (2, 1, 40)), -1)
    mended = dataclasses.replace(known.calibration, drawn=np.tile(knots, (2, 1, 1)), known=bent)
    units = dataclasses.replace(emulator.normalisation, climatology=dataclasses.replace(known, calibration=mended))
    size = 2 * CELLS
    values = units.physical(np.random.default_rng(3).normal(size=(1, 2, CELLS)), label, TIMES[:1])
    steps = np.repeat([1e-4, 1e-11], CELLS)  # K, and kg m-2 s-1
    moved = values.reshape(1, size) + np.concatenate([np.diag(steps), -np.diag(steps)])
    x = units.normalised(moved.reshape(-1, 2, CELLS), label, np.repeat(TIMES[:1], 2 * size)).reshape(2, size, size)
    sign, found = np.linalg.slogdet((x[0] - x[1]) / (2 * steps[:, None]))
    assert sign == 1
    volume = adjoint.log_volume(units, values, label, TIMES[:1])[0] - CELLS * np.log(known.scale).sum()
    # What degrees leak into each other is of this size; one harmonic more or less would be 0.05 and more.
    assert volume == pytest.approx(found, abs=5e-3)


@pytest.mark.parametrize("solver", ["heun", "dpmpp_2m"])
def test_against_finite_differences(emulator: Emulator, solver: str) -> None:
    """Of all cells at once and of one alone, through all steps of either solver."""
    weights = np.zeros((2, CELLS))
    weights[0, 20:60] = 1 / 40
    instants = [Instant("a", 3, 1, time) for time in TIMES]
    sea = sst_cells(2)

    def ours(change: np.ndarray) -> Emulator:
        moved = sea.copy(deep=True)
        moved["sst"] = (moved.sst.astype("f8") + change).assign_attrs(units="K")
        sst = SeaSurfaceTemperature.from_dataset(moved, 2)
        sampler = type(emulator.sampler)(4, 0.05, 20.0, solver=solver)
        return Emulator(emulator.bottle, device="cpu", batch_size=2, sst=sst, sampler=sampler)

    def total(change: np.ndarray) -> np.ndarray:
        drawn = ours(change).draw_instants(instants).astype(np.float64)
        return (weights * (drawn - 280)).sum((1, 2))

    found = gradient.of_sea(ours(np.zeros(CELLS)), instants, weights)
    land = np.isnan(sea.sst.values[0])
    assert (found[:, land] == 0).all()
    rng = np.random.default_rng(0)
    for direction in (np.ones(CELLS), rng.normal(size=CELLS)):
        numeric = (total(0.05 * direction) - total(-0.05 * direction)) / 0.1
        scale = np.abs(found @ np.abs(direction)).max()
        np.testing.assert_allclose(found @ direction, numeric, atol=2e-3 * scale + 2e-4)
    alone = gradient.of_sea(ours(np.zeros(CELLS)), instants[1:], weights)
    np.testing.assert_allclose(alone[0], found[1], atol=1e-5 * np.abs(found).max())


# A climate that changes -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Bottle:
    """Mean and spread respond to the sea; one channel is the sea over open water, the other keeps its global mean."""
    bounds = {"tas": {"sea": True}, "pr": {"mean": 0.3}}
    static = StaticFields(("a", "b"), {"sftlf": np.zeros((2, CELLS), np.float32)})
    path = tmp_path_factory.mktemp("bottles") / "changing.cbottle"
    return open_bottle(forcings.bottle(path, bounds=bounds, static=static))


def under(bottle: Bottle, change: np.ndarray, offset: str) -> Emulator:
    """Its emulator under a sea that is changed, and warmer by an offset."""
    sea = sst_cells(2)
    sea["sst"] = (sea.sst.astype("f8") + change).assign_attrs(units="K")
    sst = SeaSurfaceTemperature.from_dataset(sea, 2).changed(SstOffset.of(offset, 2))
    return Emulator(bottle, device="cpu", batch_size=2, sst=sst, sampler=Sampler(4, 0.05, 20.0, solver="heun"))


WEIGHTS = np.random.default_rng(4).uniform(0.5, 1.5, (2, CELLS)) * np.array([1.0, 1e5])[:, None] / CELLS


@pytest.mark.parametrize("channels", [[0], [1], [0, 1]])
def test_the_climate_of_a_state(changing: Bottle, channels: list[int]) -> None:
    """What sea and climatology make of one state."""
    rng = np.random.default_rng(6)
    x, direction = rng.normal(size=(2, 2, CELLS)), rng.normal(size=CELLS)
    weights = np.zeros((2, CELLS))
    weights[channels] = WEIGHTS[channels]
    ours = under(changing, np.zeros(CELLS), "+1K")

    def total(step: float) -> np.ndarray:
        moved = under(changing, step * direction, "+1K")
        return (weights * moved.physical(x, "b", TIMES)).sum((1, 2))

    back = adjoint.through(ours.normalisation, x, "b", TIMES, np.broadcast_to(weights, x.shape))
    assert back.predictors is not None
    kelvin, known = ours.sst.at(TIMES), ours.climatology
    by_sea = known.response.values_back(departure(kelvin, TIMES, known.sst), back.predictors) + back.sst
    numeric = (total(0.02) - total(-0.02)) / 0.04
    np.testing.assert_allclose(by_sea @ direction, numeric, rtol=2e-3, atol=1e-4 * np.abs(numeric).max())
    assert np.abs(back.sst).max() > 0 or 0 not in channels
    assert np.abs(back.predictors).max() > 0


@pytest.mark.parametrize("root", [1.0, 2.0])
def test_a_mapping_that_goes_with_the_climate(changing: Bottle, root: float) -> None:
    """The ratio by which it goes is a number that all cells make; without a root, values are cut at 0 before."""
    rng = np.random.default_rng(7)
    x, direction = rng.normal(size=(2, 2, CELLS)), rng.normal(size=CELLS) + 0.5
    ours = under(changing, np.zeros(CELLS), "+1K")
    known = ours.climatology
    assert known is not None
    assert known.response is not None
    moved = known.response.mean.copy()
    moved[:, :, 1] += 0.3 * moved[:, :, 0]
    center = np.array([280.0, 5e-3 if root == 2 else 0.5 * known.scale[1]])
    response = dataclasses.replace(known.response, mean=moved)
    rooted = dataclasses.replace(known, root=np.array([1.0, root]), center=center, response=response)
    usual = rooted.usual("b", TIMES, ours.predictors(TIMES))[:, 1]
    knots = np.quantile(usual, [0.0, 0.5, 1.0]) * [0.5, 1, 2]
    shape = (len(known.labels), 1, 3)
    calibration = Calibration(
        np.ones((*shape[:1], 2, 3)), np.array([1]), np.broadcast_to(knots, shape),
        np.broadcast_to(knots * [1, 1.5, 4], shape), scaled=np.ones(shape[:2], bool),
    )  # fmt: skip
    mapped = dataclasses.replace(rooted, calibration=calibration)
    weights = WEIGHTS * np.array([0, 1])[:, None]

    def units(step: float) -> Normalisation:
        moved = under(changing, step * direction, "+1K").normalisation
        return dataclasses.replace(moved, climatology=mapped, bounds=None)

    def total(step: float) -> np.ndarray:
        return (weights * units(step).physical(x, "b", TIMES)).sum((1, 2))

    back = adjoint.through(units(0), x, "b", TIMES, np.broadcast_to(weights, x.shape))
    assert back.predictors is not None
    by_sea = known.response.values_back(departure(ours.sst.at(TIMES), TIMES, known.sst), back.predictors)
    numeric = (total(0.02) - total(-0.02)) / 0.04
    np.testing.assert_allclose(by_sea @ direction, numeric, rtol=5e-3)
    along = rng.normal(size=x.shape)
    numeric = slope(lambda v: (weights * units(0).physical(v, "b", TIMES)).sum(), x, along, 1e-6)
    assert numeric == pytest.approx((back.x * along).sum(), rel=1e-4)


@pytest.mark.parametrize("offset", ["+1K", "+4K"])
def test_a_climate_that_changes_against_finite_differences(changing: Bottle, offset: str) -> None:
    """Within the sea that was learnt, and beyond it, where the network is told of the warmest that it knows."""
    instants = [Instant("a", 3, 1, time) for time in TIMES]
    found = gradient.of_sea(under(changing, np.zeros(CELLS), offset), instants, WEIGHTS)
    for direction in (np.ones(CELLS), np.random.default_rng(0).normal(size=CELLS)):

        def total(step: float, direction: np.ndarray = direction) -> np.ndarray:
            drawn = under(changing, step * direction, offset).draw_instants(instants).astype(np.float64)
            return (WEIGHTS * (drawn - np.array([280.0, 0.0])[:, None])).sum((1, 2))

        numeric = (total(0.05) - total(-0.05)) / 0.1
        scale = np.abs(found @ np.abs(direction)).max()
        np.testing.assert_allclose(found @ direction, numeric, atol=3e-3 * scale)


def test_units_where_a_label_has_gaps(tmp_path) -> None:
    """Means that are kept are those of the cells that have values, and what is asked of the others is not looked at."""
    absent = np.zeros((2, 2, CELLS), bool)
    absent[1, 0, 30:110], absent[1, 1, :50] = True, True
    known = made(channels=("tas", "pr"), cells=CELLS)
    path = synthetic_bottle(
        tmp_path / "gappy.cbottle", channels=("tas", "pr"), climatology=known, nonnegative=("pr",),
        gaps=Gaps(("a", "b"), ("tas", "pr"), absent), bounds={"tas": {"mean": 0.3, "most": 300.0}},
    )  # fmt: skip
    emulator = Emulator(path, device="cpu", batch_size=2)
    rng = np.random.default_rng(2)
    x, w, d = rng.normal(size=(3, 2, 2, CELLS))
    inside = np.where(absent[1], 0.0, w)
    units = emulator.normalisation
    by_hand = (adjoint.physical(units, x, "b", TIMES, inside) * d).sum()
    numeric = slope(lambda v: (inside * emulator.physical(v, "b", TIMES)).sum(), x, d, 1e-6)
    assert numeric == pytest.approx(by_hand, rel=1e-4)
    np.testing.assert_array_equal(
        adjoint.physical(units, x, "b", TIMES, w), adjoint.physical(units, x, "b", TIMES, inside)
    )
    there = ~absent[1, 0]
    bounded, free = (make(x, "b", TIMES)[:, 0] for make in (units.physical, units.unbounded))
    usual = units.climatology.usual("b", TIMES)[:, 0]  # as it is stored
    departure = [(field - usual)[:, there].mean(-1) for field in (bounded, free)]
    np.testing.assert_allclose(departure[0], 0.3 * departure[1], rtol=1e-6)
    np.testing.assert_array_equal(bounded[:, ~there], free[:, ~there])
