"""Draws steered to an event: weights, purity, and events that are asked for wrongly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.bottles import synthetic_bottle
from xr_cbottle.bottle.gaps import Gaps
from xr_cbottle.cube.odds import probability
from xr_cbottle.draw import events, steering
from xr_cbottle.draw.emulator import Emulator, Instant
from xr_cbottle.draw.events import BoxMean, Guide, Own
from xr_cbottle.grid import healpix

TIMES = np.datetime64("1980-02-01T00", "s") + np.arange(3) * np.timedelta64(6, "h")
WARM = BoxMean("tas", 0, 90, -30, 30, above=290, softness=3)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    channels = ("T850", "T500", "Z500", "tas", "pres_msl", "pr")
    path = synthetic_bottle(tmp_path_factory.mktemp("bottles") / "small.cbottle", channels=channels)
    return Emulator(path, device="cpu", batch_size=2)


def members(count: int) -> list[Instant]:
    return [Instant("a", 1, member, TIMES[0]) for member in range(count)]


def test_steered_draws_go_there_and_say_what_they_count(small: Emulator) -> None:
    def mean(values: np.ndarray) -> float:
        lon, lat = healpix.lonlat(2)
        inside = (lon <= 90) & (np.abs(lat) <= 30)
        return float(values[:, 3, inside].mean())

    plain, none = steering.draw(small, members(8), Guide(WARM, 0.0))
    steered, weights = steering.draw(small, members(8), Guide(WARM, 2.0))
    assert (none == 0).all()
    assert mean(steered) > mean(plain)
    assert (weights != 0).all()
    assert np.isfinite(weights).all()


def test_nothing_depends_on_the_batch(small: Emulator) -> None:
    guide = Guide(WARM, 1.0)
    together, weights = steering.draw(small, members(3), guide)
    alone, weight = steering.draw(small, members(3)[2:], guide)
    assert np.abs((alone[0] - together[2]) / small.model.scales[:, None]).max() < 1e-3
    assert weight[0] == pytest.approx(weights[2], abs=1e-3)


def test_the_gradient_is_that_of_the_event_in_units(small: Emulator) -> None:
    """Through levels, units and a function of one's own."""
    manifest = small.bottle.manifest
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 192)) + 280
    direction = rng.normal(size=values.shape)

    def warm(state: events.Weather) -> torch.Tensor:
        return (
            state.field("zg", 50000)[:9].mean() / 20 - 1 + 0.01 * state["ta"][1].mean() + (state["tas"][3] - 280) ** 2
        )

    found = (steering._of_event(Own(warm), values, manifest) * direction).sum()

    def wanted(at: np.ndarray) -> float:
        leaf = torch.from_numpy(at)
        return float(torch.nn.functional.logsigmoid(warm(steering.state_of(leaf, manifest))))

    step = 1e-5
    numeric = (wanted(values + step * direction) - wanted(values - step * direction)) / (2 * step)
    assert found == pytest.approx(numeric, rel=1e-5)


def test_ready_made_events(small: Emulator) -> None:
    manifest = small.bottle.manifest
    values = np.full((6, 192), 280.0)
    values[4] = 101300
    lon, lat = healpix.lonlat(2)
    cell = int(np.argmin((lon - 140) ** 2 + (lat - 20) ** 2))
    cyclone = events.cyclone(140, 20, radius=2500, below=98000)
    assert not steering.happened(cyclone, values, manifest)
    values[4, cell] = 97000
    assert steering.happened(cyclone, values, manifest)
    distance = cyclone.distance(steering.state_of(torch.from_numpy(values), manifest))
    assert float(distance) == pytest.approx(2, abs=0.1)
    assert not steering.happened(events.cyclone(-40, 20, radius=2500, below=98000), values, manifest)
    across = events.box("tas", 350, 10, -20, 20, below=281)
    assert steering.happened(across, values, manifest)
    assert not steering.happened(events.box("tas", 350, 10, -20, 20, above=281), values, manifest)
    assert not steering.happened(events.box("ta", 0, 90, -20, 20, above=281, pressure=85000), values, manifest)


def test_events_as_text() -> None:
    assert events.parse("guide", "cyclone:lon=140,lat=20,below=97000,strength=0.3") == Guide(
        events.cyclone(140, 20, below=97000), 0.3
    )
    assert events.parse("guide", "box:variable=ta,west=0,east=9,south=1,north=2,above=3,pressure=85000") == Guide(
        events.box("ta", 0, 9, 1, 2, above=3, pressure=85000)
    )
    assert events.as_guide("guide", WARM).token == repr(Guide(WARM))
    same = [Guide(Own(lambda state: state["tas"].mean())).token for _ in range(2)]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: events.parse("guide", "storm:lon=1"), "write it as cyclone:lon=140"),
        (lambda: events.parse("guide", "cyclone:lon=1"), "cyclone needs lon, lat"),
        (lambda: events.parse("guide", "cyclone:lon=1,lat=2,deep=3"), "guide has deep: cyclone takes lon, lat"),
        (lambda: events.box("tas", 0, 1, 0, 1), "give one of above= and below="),
        (lambda: events.box("tas", 0, 1, 1, 0, above=1), "give the southern edge first"),
        (lambda: events.cyclone(0, 91), "latitudes are from -90 to 90"),
        (lambda: events.cyclone(0, 1, softness=0), "must be positive"),
        (lambda: events.cyclone(0, 1, below=np.nan), "below of an event is nan: give a finite number"),
        (lambda: events.parse("guide", "box:variable=tas,west=0,east=inf,south=0,north=9,above=3"), "east of an event"),
        (lambda: Guide(WARM, -1), "strength of guidance is -1"),
        (lambda: events.as_guide("guide", 3), "guide is 3: give an event"),
    ],
)
def test_wrong_events_are_refused(make, says) -> None:
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (events.box("hus", 0, 1, 0, 1, above=1), "the event is about 'hus', and the bottle has"),
        (events.box("ta", 0, 90, 0, 90, above=1), "at pressure None, and it has levels 50000, 85000 Pa"),
        (events.box("tas", 0, 1, 0, 0.5, above=1), "the box of the event holds no centre of a cell"),
        (Own(lambda state: 3.0), "must give one torch number"),
        (Own(lambda state: torch.zeros(())), "must be made of the state by torch"),
    ],
)
def test_events_that_do_not_fit_the_bottle_are_refused(small: Emulator, event, says) -> None:
    with pytest.raises(ValueError, match=says):
        steering.draw(small, members(1), Guide(event))


@pytest.mark.parametrize(("west", "east"), [(0, 360), (-180, 180), (-180, 540)])
def test_a_box_all_around_has_all_longitudes(small: Emulator, west, east) -> None:
    values = np.full((6, 192), 280.0)
    lon, lat = healpix.lonlat(2)
    values[3, np.abs(lat) <= 30] += np.where(lon[np.abs(lat) <= 30] > 100, 10, 0)
    mean = float(values[3, np.abs(lat) <= 30].mean())
    for shift, there in ((-0.01, True), (0.01, False)):
        event = events.box("tas", west, east, -30, 30, above=mean + shift)
        assert steering.happened(event, values, small.bottle.manifest) is there


@pytest.fixture(scope="module")
def gappy(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """Label a has no T850 east of 45 E, and the sea none over land."""
    channels = ("T850", "T500", "tas", "pres_msl", "sst")
    lon, _ = healpix.lonlat(2)
    absent = np.zeros((2, len(channels), 192), bool)
    absent[0, 0] = lon > 45
    path = synthetic_bottle(
        tmp_path_factory.mktemp("bottles") / "gappy.cbottle", channels=channels, gaps=Gaps(("a", "b"), channels, absent)
    )
    return Emulator(path, device="cpu", batch_size=2)


def test_an_event_sees_the_cells_that_have_a_value(gappy: Emulator) -> None:
    manifest, (lon, lat) = gappy.bottle.manifest, healpix.lonlat(2)
    there = steering.present(manifest, gappy.normalisation.known("a"), gappy.sst.land)
    assert (there[0] == (lon <= 45)).all()
    assert there[1:4].all()
    assert (there[4] == ~gappy.sst.land).all()
    values = np.full((5, 192), 280.0)
    values[0, lon > 45] = values[4, gappy.sst.land] = 500.0  # without a meaning
    box = {"west": 0, "east": 90, "south": -60, "north": 60, "above": 281}
    for name, pressure in (("ta", 85000), ("sst", None)):
        event = events.box(name, **box, pressure=pressure)
        assert steering.happened(event, values, manifest)
        assert not steering.happened(event, values, manifest, there)
        c = 0 if name == "ta" else 4
        found = steering._of_event(event, values, manifest, there)
        inside = (lon <= 90) & (np.abs(lat) <= 60) & there[c]
        assert (np.flatnonzero(found[c]) == np.flatnonzero(inside)).all()
        assert not np.delete(found, c, 0).any()
    weather = steering.state_of(torch.from_numpy(values), manifest, there)
    assert (weather.there("ta", 85000) == there[0]).all()
    assert weather.there("ta", 50000).all()
    with pytest.raises(ValueError, match="at pressure 10, and it has levels"):
        weather.there("ta", 10)


def test_an_event_in_gaps_alone_is_refused(gappy: Emulator) -> None:
    event = events.box("ta", 60, 90, -60, 60, above=281, pressure=85000)
    with pytest.raises(ValueError, match="ta has no value in any cell of the box of the event: choose another box"):
        steering.draw(gappy, members(1), Guide(event))
    assert np.isfinite(steering.draw(gappy, [Instant("b", 1, 0, TIMES[0])], Guide(event))[1]).all()
    with pytest.raises(ValueError, match="sst has no value in any cell of the box"):
        steering.draw(gappy, members(1), Guide(events.box("sst", 30, 60, 0, 60, above=281)))


def test_odds_are_of_the_cells_that_have_a_value(gappy: Emulator) -> None:
    """Nothing is left of a box but where there is no value: drawn once it can be, and refused."""
    event = events.box("ta", 60, 90, -60, 60, above=281, pressure=85000)
    with pytest.raises(ValueError, match="ta has no value"):
        probability(event, gappy.bottle, TIMES[0], samples=2, label="a")
    wide = events.box("ta", 30, 90, -60, 60, above=281, pressure=85000)
    narrow = events.box("ta", 30, 45, -60, 60, above=281, pressure=85000)
    one, two = (
        probability(Guide(event, 0.2), gappy.bottle, TIMES[0], samples=2, label="a") for event in (wide, narrow)
    )
    np.testing.assert_allclose(one.mean_weight, two.mean_weight)
    np.testing.assert_array_equal(one.steered, two.steered)
    (lon, lat), drawn = healpix.lonlat(2), gappy.draw(TIMES[0], label="a").values[0, 0]
    box = (lon >= 30) & (lon <= 90) & (np.abs(lat) <= 60)
    means = drawn[box & (lon <= 45)].mean(), drawn[box].mean()
    assert abs(means[0] - means[1]) > 0.1  # the gaps have values without a meaning
    between = events.box("ta", 30, 90, -60, 60, above=float(np.mean(means)), pressure=85000)
    found = probability(Guide(between, 1e-3), gappy.bottle, TIMES[0], samples=1, label="a")
    assert found.steered.values.tolist() == [float(means[0] > means[1])]
