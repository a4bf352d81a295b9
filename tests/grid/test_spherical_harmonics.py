"""Gains of spherical harmonics: by degree, transposed, by matrices as by healpy's transforms."""

from __future__ import annotations

import healpy
import numpy as np
import pytest

from xr_cbottle.grid import healpix, spherical_harmonics
from xr_cbottle.grid.spherical_harmonics import amplified, amplified_back, power

ZOOM = 2
CELLS = healpix.n_cells(ZOOM)
DEGREES = 2 * healpix.nside(ZOOM) + 1


def fields(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*shape, CELLS))


@pytest.fixture(params=["matrices", "healpy"])
def way(request, monkeypatch):
    if request.param == "healpy":
        monkeypatch.setattr(spherical_harmonics, "_MOST_NUMBERS", 0)
    return request.param


def test_harmonics_are_multiplied_by_the_gain_of_their_degree(way):
    n = healpix.nside(ZOOM)
    ring = healpy.ring2nest(n, np.arange(CELLS))
    gain = np.linspace(0.5, 1.5, DEGREES)
    x = np.empty((1, 2, CELLS))
    for degree in (1, 3, 5):
        harmonics = np.zeros(healpy.Alm.getsize(DEGREES - 1), complex)
        harmonics[healpy.Alm.getidx(DEGREES - 1, degree, 1)] = 1 + 2j
        x[0, :, ring] = healpy.alm2map(harmonics, n, lmax=DEGREES - 1)[:, None]
        y = amplified(x, np.stack([gain, np.ones(DEGREES)]), np.array([0.3, 1.0]))
        np.testing.assert_allclose(y[0, 0], gain[degree] * x[0, 0], atol=1e-3)
        np.testing.assert_array_equal(y[0, 1], x[0, 1])  # a gain of 1 does not touch a bit


def test_what_no_degree_holds_is_the_rest(way):
    """Cells that alternate at the finest scale have no harmonics; a smooth field has no rest."""
    x = np.zeros((1, 1, CELLS))
    x[0, 0] = np.tile([1.0, -1.0, -1.0, 1.0], CELLS // 4)  # NEST: the four cells of each coarser one
    finer = x - amplified(x, np.ones((1, DEGREES)), np.zeros(1))
    y = amplified(x, np.ones((1, DEGREES)), np.array([0.25]))
    np.testing.assert_allclose(y, x - 0.75 * finer, atol=1e-9)
    assert (y**2).mean() < 0.2 * (x**2).mean()


def gains() -> tuple[np.ndarray, np.ndarray]:
    gain = np.random.default_rng(1).uniform(0.2, 2, (3, DEGREES))
    gain[1] = 1
    return gain, np.array([0.4, 1, 1])


@pytest.mark.parametrize("one", [amplified, amplified_back])
def test_matrices_do_as_healpy_does(one, monkeypatch):
    x, given = fields(2, 2, 3), gains()
    dense = one(x, *given)
    monkeypatch.setattr(spherical_harmonics, "_MOST_NUMBERS", 0)
    np.testing.assert_allclose(dense, one(x, *given), rtol=0, atol=1e-12)


def test_it_is_transposed_exactly(way):
    x, w = fields(3, 2, 1, 3)
    forward = (w * amplified(x, *gains())).sum()
    assert (x * amplified_back(w, *gains())).sum() == pytest.approx(forward, rel=1e-10)


def test_an_instant_is_the_same_whatever_is_beside_it(way):
    x = fields(4, 5, 3)
    whole = amplified(x, *gains())
    for i in range(5):
        np.testing.assert_array_equal(amplified(x[i : i + 1], *gains())[0], whole[i])


def test_power_is_that_of_healpy(way):
    x = fields(5, 4, 2)
    n, ring = healpix.nside(ZOOM), healpy.ring2nest(healpix.nside(ZOOM), np.arange(CELLS))
    expected = [
        np.mean([healpy.anafast(one[ring], lmax=DEGREES - 1, iter=3) for one in x[:, c]], axis=0) for c in range(2)
    ]
    assert n == 4
    np.testing.assert_allclose(power(x, DEGREES), expected, rtol=1e-9)


def test_cells_resolve_degrees_to_twice_their_nside():
    assert [spherical_harmonics.resolved(12 * nside**2) for nside in (1, 4, 16)] == [3, 9, 33]


def test_large_grids_keep_no_matrix():
    assert spherical_harmonics._fits(healpix.n_cells(4), 33)
    assert not spherical_harmonics._fits(healpix.n_cells(5), 65)
