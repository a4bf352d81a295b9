"""Patches of the faces: what they see and own, against tables of the whole globe."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xr_cbottle.grid import healpix
from xr_cbottle.grid.patches import PatchGrid, Region, face_coordinates, nest_cells

GRIDS = [PatchGrid(3, 4, 2), PatchGrid(3, 8, 4), PatchGrid(4, 16, 8), PatchGrid(4, 8, 2), PatchGrid(3, 7, 2)]
grids = st.sampled_from(GRIDS)


def test_published_grid() -> None:
    grid = PatchGrid(10, 128, 32)
    assert (grid.count, grid.side, grid.stride) == (1452, 11, 96)


@pytest.mark.parametrize(("size", "overlap"), [(128, 30), (128, 128), (2048, 32), (100, 0), (8, -1)])
def test_patches_that_do_not_fit_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=r"overlap"):
        PatchGrid(10, size, overlap)


@given(st.integers(0, 9), st.data())
def test_face_coordinates_are_those_of_nest(zoom: int, data: st.DataObject) -> None:
    cells = np.array(data.draw(st.lists(st.integers(0, healpix.n_cells(zoom) - 1), min_size=1, max_size=20)))
    face, row, column = face_coordinates(zoom, cells)
    np.testing.assert_array_equal(nest_cells(zoom, face, row, column), cells)
    if zoom <= 4:
        flat = (face * healpix.nside(zoom) + row) * healpix.nside(zoom) + column
        np.testing.assert_array_equal(healpix.nest_to_padxy(zoom)[flat], cells)


def padded_faces(grid: PatchGrid) -> tuple[np.ndarray, np.ndarray]:
    """(face, row, column) the first and the second NEST cell of every pixel of the padded faces."""
    n = healpix.nside(grid.zoom)
    table, order = healpix.face_padding(n, grid.overlap), healpix.nest_to_padxy(grid.zoom)
    first = order[table.gather]
    second = first.copy()
    second[table.averaged] = order[table.partner]
    shape = (12, n + 2 * grid.overlap, n + 2 * grid.overlap)
    return first.reshape(shape), second.reshape(shape)


@given(grids, st.data())
@settings(max_examples=30)
def test_patches_see_the_padded_faces(grid: PatchGrid, data: st.DataObject) -> None:
    patches = data.draw(st.lists(st.integers(0, grid.count - 1), min_size=1, max_size=6))
    tables = padded_faces(grid)
    for ours, whole in zip(grid.seen(patches), tables, strict=True):
        for patch, seen in zip(patches, ours, strict=True):
            face, place = divmod(patch, grid.side**2)
            i, j = (k * grid.stride for k in divmod(place, grid.side))
            np.testing.assert_array_equal(seen, whole[face, i : i + grid.size, j : j + grid.size])


def owned_cells(grid: PatchGrid, patch: int) -> np.ndarray:
    return grid.seen([patch])[0][0][grid.owned(patch)].ravel()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_every_cell_is_owned_and_its_owners_are_found(grid: PatchGrid) -> None:
    cells = [owned_cells(grid, patch) for patch in range(grid.count)]
    assert all(len(np.unique(one)) == len(one) for one in cells)
    assert len(np.unique(np.concatenate(cells))) == healpix.n_cells(grid.zoom)
    rng = np.random.default_rng(0)
    for _ in range(10):
        asked = rng.choice(healpix.n_cells(grid.zoom), 3)
        expected = [patch for patch in range(grid.count) if np.isin(asked, cells[patch]).any()]
        np.testing.assert_array_equal(grid.owners(asked), expected)


@given(grids, st.data())
@settings(max_examples=20)
def test_a_cone_holds_all_that_matters(grid: PatchGrid, data: st.DataObject) -> None:
    cell = data.draw(st.integers(0, healpix.n_cells(grid.zoom) - 1))
    first, last = grid.cone([cell], 2)
    np.testing.assert_array_equal(last, grid.owners([cell]))
    seen = np.concatenate([cells.ravel() for cells in grid.seen(last)])
    expected = [p for p in range(grid.count) if np.isin(seen, owned_cells(grid, p)).any()]
    np.testing.assert_array_equal(first, expected)


@given(grids, st.integers(0, 2), st.data())
@settings(max_examples=30)
def test_a_halo_grows(grid: PatchGrid, tile_zoom: int, data: st.DataObject) -> None:
    tile = data.draw(st.integers(0, healpix.n_cells(tile_zoom) - 1))
    size = 4 ** (grid.zoom - tile_zoom)
    cells = np.arange(tile * size, (tile + 1) * size)
    np.testing.assert_array_equal(grid.around(tile_zoom, tile, 0), grid.owners(cells))
    found = [set(grid.around(tile_zoom, tile, halo).tolist()) for halo in (0, 1, 4, 8)]
    assert all(small <= large for small, large in itertools.pairwise(found))


@given(grids, st.data())
@settings(max_examples=20)
def test_a_region_is_its_patches(grid: PatchGrid, data: st.DataObject) -> None:
    patches = data.draw(st.lists(st.integers(0, grid.count - 1), min_size=1, max_size=5))
    region = Region.of(grid, patches)
    first, second = grid.seen(region.patches)
    np.testing.assert_array_equal(region.cells[region.seen], first.reshape(len(region.patches), -1))
    other = region.cells[region.seen].ravel()
    other[region.averaged] = region.cells[region.partner]
    np.testing.assert_array_equal(other, second.ravel())
    assert len(region.cells) <= 2 * region.seen.size


def test_a_small_region_of_the_finest_level_is_small() -> None:
    """No table of the globe's 12.6 million cells is made for a tile of zoom 10."""
    region = Region.of(PatchGrid(10, 128, 32), PatchGrid(10, 128, 32).around(3, 5, 64))
    assert len(region.patches) <= 25
    assert len(region.cells) < 25 * 128**2
