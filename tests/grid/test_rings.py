"""Rings of latitude: the transform along them is orthonormal, and turning a ring turns its phases."""

from __future__ import annotations

import healpy
import numpy as np
import pytest

from xr_cbottle.grid import healpix
from xr_cbottle.grid.rings import ring_lengths, rings


@pytest.mark.parametrize("zoom", range(5))
def test_fields_come_back_and_sums_of_squares_stay(zoom):
    fields = np.random.default_rng(zoom).standard_normal((2, 3, healpix.n_cells(zoom)))
    sphere = rings(zoom)
    modes = sphere.to_modes(fields)
    assert modes.shape == (2, 3, len(sphere.ring))
    np.testing.assert_allclose(sphere.to_cells(modes), fields, atol=1e-14)
    squares = (np.abs(modes) ** 2 * np.where(sphere.real, 1, 2)).sum(-1)
    np.testing.assert_allclose(squares, (fields**2).sum(-1), rtol=1e-12)


def test_independent_numbers_make_white_noise_to_the_last_bits():
    sphere = rings(2)
    made = sphere.to_cells(sphere.white(np.eye(192)))  # every number by itself: what noise is the sum of
    np.testing.assert_allclose(made.T @ made, np.eye(192), atol=1e-14)


def test_rings_are_those_of_healpy():
    sphere = rings(3)
    lengths = ring_lengths(3)
    assert lengths.sum() == 768
    for ring in (0, 3, 9, 20, 30):
        start, count, *_ = healpy.ringinfo(8, np.array([ring + 1]))
        assert (lengths[:ring].sum(), lengths[ring]) == (start[0], count[0])
        assert sphere.latitude[ring] == pytest.approx(healpy.pix2ang(8, start[0], lonlat=True)[1])
    assert sphere.wavenumber.max() == 16


def test_a_turn_by_a_cell_moves_cells_eastward():
    sphere = rings(2)
    field = np.random.default_rng(0).standard_normal(192)
    lengths = ring_lengths(2)
    lon = healpix.lonlat(2)[0]
    turned = sphere.to_modes(field) * np.exp(-2j * np.pi * sphere.wavenumber / lengths[sphere.ring])
    moved = sphere.to_cells(turned)
    ring_of = np.repeat(np.arange(15), lengths)[healpix.nest_to_ring(2)]
    for ring in (0, 4, 7, 14):
        cells = np.flatnonzero(ring_of == ring)
        cells = cells[np.argsort(lon[cells])]
        np.testing.assert_allclose(moved[np.roll(cells, -1)], field[cells], atol=1e-13)
