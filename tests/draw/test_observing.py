"""What stations see of a field, and how much of it cells do not hold."""

from __future__ import annotations

import numpy as np
import pytest

from xr_cbottle.draw.observing import EARTH_RADIUS_KM, Operator, unresolved
from xr_cbottle.fields.observations import Observations
from xr_cbottle.grid import healpix


def observations(lon, lat, channel):
    n = len(lon)
    columns = (np.asarray(one, float) for one in (lon, lat, np.zeros(n), np.ones(n), np.full(n, np.nan)))
    return Observations(np.zeros(n, np.int64), np.asarray(channel), *columns)


def test_stations_see_four_cells_by_their_weights():
    zoom = 4
    lon, lat = healpix.lonlat(zoom)
    x, y, z = np.cos(np.deg2rad(lat)) * np.cos(np.deg2rad(lon)), lon, np.sin(np.deg2rad(lat))
    where = [10.0, 200.0, 359.9], [0.0, 40.0, -89.9]
    operator = Operator(observations(*where, [3, 1, 3]), zoom)
    assert operator.channels.tolist() == [1, 3]
    seen = operator.seen(np.stack([y, z])[None])
    assert seen.shape == (1, 3)
    assert seen[0, 0] == pytest.approx(0, abs=1e-3)
    assert seen[0, 2] == pytest.approx(-1, abs=0.01)
    assert seen[0, 1] == pytest.approx(200, abs=0.5)
    np.testing.assert_allclose(operator.seen(np.stack([x, x])), healpix.interpolate(x, zoom, *where), rtol=1e-12)


def test_distances_are_great_circles_and_stations_of_one_place_are_one():
    operator = Operator(observations([0.0, 90.0, 0.0], [0.0, 0.0, 0.0], [0, 0, 1]), 2)
    assert operator.places.tolist() == [0, 1, 0]
    cells, places = operator.tapers(np.pi / 2 * EARTH_RADIUS_KM)
    assert cells.shape == (192, 2)
    assert places.shape == (2, 2)
    np.testing.assert_allclose(places, places.T)
    assert (np.linalg.eigvalsh(places) > 0).all()
    assert 0.8 < places[0, 0] <= 1
    assert places[0, 1] < 0.02  # a quarter of the globe away
    np.testing.assert_allclose(operator.seen(np.stack([cells.T, cells.T], 1))[:, :2], places, rtol=1e-5)


def test_what_cells_do_not_hold_follows_from_how_variance_falls_with_scale():
    """A field of cells of zoom 6 averaged to zoom 4 loses what is then estimated from the averages alone."""
    rng = np.random.default_rng(0)
    fine = sum(
        2.0**-level * np.repeat(rng.standard_normal((4, 1, healpix.n_cells(level))), 4 ** (7 - level), -1)
        for level in range(8)
    )  # each scale has a quarter of the variance of the one above: each loss is four times the next
    cells = healpix.coarsen(fine, 3)
    within = ((fine - np.repeat(cells, 64, -1)) ** 2).mean()
    assert unresolved(cells)[0] * (cells**2).mean() == pytest.approx(within, rel=0.15)
    white = rng.standard_normal((4, 1, 3072))
    assert unresolved(white)[0] > 1  # cells that know nothing of each other hold little of what is within them
