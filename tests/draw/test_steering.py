"""Draws steered to an event: weights, purity, and events that are asked for wrongly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.bottles import synthetic_bottle
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
