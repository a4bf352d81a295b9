"""Orders, padding, changes of zoom and interpolation on the sphere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_cbottle.grid import healpix

zooms = st.integers(0, 5)


@given(zooms)
def test_orders_are_inverse_permutations(zoom: int) -> None:
    cells = np.arange(healpix.n_cells(zoom))
    nest = cells[healpix.padxy_to_nest(zoom)]
    np.testing.assert_array_equal(np.sort(nest), cells)
    np.testing.assert_array_equal(nest[healpix.nest_to_padxy(zoom)], cells)


@given(zooms)
def test_padxy_is_healpix_xy_flipped(zoom: int) -> None:
    import healpy

    n = healpix.nside(zoom)
    face, row, column = np.unravel_index(np.arange(healpix.n_cells(zoom)), (12, n, n))
    expected = healpy.xyf2pix(n, n - 1 - row, n - 1 - column, face, nest=True)
    np.testing.assert_array_equal(healpix.nest_to_padxy(zoom), expected)


@given(st.integers(1, 5), st.data())
def test_padding_takes_the_nearest_cells(zoom: int, data: st.DataObject) -> None:
    """A padded pixel lies where the face's own grid goes on: beside the edge, one cell further out."""
    n = healpix.nside(zoom)
    table = healpix.face_padding(n, 1)
    lon, lat = (angle[healpix.nest_to_padxy(zoom)] for angle in healpix.lonlat(zoom))
    xyz = np.stack([np.cos(np.deg2rad(lat)) * f(np.deg2rad(lon)) for f in (np.cos, np.sin)] + [np.sin(np.deg2rad(lat))])
    padded = xyz[:, table.gather].reshape(3, 12, n + 2, n + 2)
    face, place = data.draw(st.integers(0, 11)), data.draw(st.integers(1, n))
    for inside, outside in (
        (padded[:, face, 1, place], padded[:, face, 0, place]),
        (padded[:, face, n, place], padded[:, face, n + 1, place]),
        (padded[:, face, place, 1], padded[:, face, place, 0]),
        (padded[:, face, place, n], padded[:, face, place, n + 1]),
    ):
        spacing = np.sqrt(4 * np.pi / healpix.n_cells(zoom))
        assert np.arccos(np.clip(inside @ outside, -1, 1)) < 2 * spacing


def test_padding_refuses_more_than_a_face() -> None:
    with pytest.raises(ValueError, match="between 0 and the face's 4 cells"):
        healpix.face_padding(4, 5)


@given(st.integers(0, 3), st.integers(0, 3))
def test_coarsen_is_the_mean_of_means(zoom: int, steps: int) -> None:
    values = np.random.default_rng(zoom).standard_normal((2, healpix.n_cells(zoom + steps)))
    expected = values.reshape(2, -1, 4**steps).mean(-1)
    np.testing.assert_allclose(healpix.coarsen(values, steps), expected, atol=1e-14)
    once = values
    for _ in range(steps):
        once = healpix.coarsen(once, 1)
    np.testing.assert_array_equal(healpix.coarsen(values, steps), once)


def test_coarsen_leaves_out_missing_cells() -> None:
    values = np.array([[1, np.nan, 3, np.nan] + [np.nan] * 4 + [1, 2, 3, 4] * 10], np.float32)
    coarse = healpix.coarsen(values, 1)
    assert coarse.dtype == np.float32
    np.testing.assert_array_equal(coarse[0, :3], [2, np.nan, 2.5])


def smooth(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    return np.sin(lat) + np.cos(lat) * np.cos(lon) + 0.3 * np.cos(lat) ** 2 * np.sin(2 * lon)


@pytest.mark.parametrize("lat", [np.linspace(-89.5, 89.5, 180), np.linspace(90, -90, 181)])
@pytest.mark.parametrize("lon", [np.arange(360.0), np.arange(-180.0, 180.0) + 0.5])
def test_bilinear_from_latlon_finds_the_field(lat: np.ndarray, lon: np.ndarray) -> None:
    cells = healpix.bilinear_from_latlon(smooth(lon[None, :], lat[:, None]), lat, lon, 4)
    np.testing.assert_allclose(cells, smooth(*healpix.lonlat(4)), atol=2e-3)


def test_bilinear_from_latlon_near_land() -> None:
    lat, lon = np.linspace(-87.5, 87.5, 36), np.arange(2.5, 360, 5)
    values = np.where((lon > 100) & (lon < 200), np.nan, 1.0) * np.ones((36, 1))
    cells = healpix.bilinear_from_latlon(values, lat, lon, 3)
    cell_lon, _ = healpix.lonlat(3)
    assert np.isnan(cells[(cell_lon > 106) & (cell_lon < 194)]).all()
    np.testing.assert_allclose(cells[~np.isnan(cells)], 1)
    assert not np.isnan(cells[(cell_lon < 98) | (cell_lon > 202)]).any()


def test_resample_up_and_down() -> None:
    fine = smooth(*healpix.lonlat(5))
    np.testing.assert_array_equal(healpix.resample(fine, 5, 3), healpix.coarsen(fine, 2))
    np.testing.assert_allclose(healpix.resample(smooth(*healpix.lonlat(4)), 4, 5), fine, atol=0.02)
    np.testing.assert_array_equal(healpix.resample(fine, 5, 5), fine)
