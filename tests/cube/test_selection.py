"""What an index touches, against numpy and xarray on an array in memory."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from xarray.backends import BackendArray
from xarray.core.indexing import BasicIndexer, LazilyIndexedArray

from xr_cbottle.cube.selection import DIMS, by_piece, select

SIZES = {"member": 2, "time": 5, "pressure": 3, "cell": 12}


class Recorder(BackendArray):
    """An array read through `select`, one (member, time) after the other."""

    def __init__(self, values, dims):
        self.values, self.dims = values, dims
        self.shape, self.dtype = values.shape, values.dtype
        self.touched = []

    def __getitem__(self, key):
        selection = select(key, self.shape, self.dims)
        out = np.full(selection.size, np.nan)
        full = self.values.reshape([SIZES[d] if d in self.dims else 1 for d in DIMS])
        for (member, time), rows in zip(selection.pairs.tolist(), selection.rows, strict=True):
            self.touched.append((member, time))
            levels = selection.levels[rows]
            if selection.pointwise:
                out[rows] = full[member, time, levels, selection.cells[rows]]
            else:
                out[rows] = full[member, time][levels][:, selection.cells]
        return out.reshape(selection.shape)


def pair(dims):
    values = np.arange(np.prod([SIZES[d] for d in dims]), dtype=float).reshape([SIZES[d] for d in dims])
    recorder = Recorder(values, dims)
    return xr.DataArray(values, dims=dims), xr.DataArray(LazilyIndexedArray(recorder), dims=dims), recorder


def check(dims, index):
    array, lazy, recorder = pair(dims)
    expected = array.isel(index)
    got = lazy.isel(index)
    xr.testing.assert_identical(got.compute(), expected)
    assert len(set(recorder.touched)) == len(recorder.touched)
    return recorder


def one_index(size):
    position = st.integers(-size, size - 1)
    return st.one_of(
        position,
        st.slices(size),
        st.lists(position, max_size=size + 2),
    )


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_orthogonal(data):
    dims = data.draw(st.sampled_from([DIMS, DIMS[1:], ("time", "cell"), ("member", "time", "cell")]))
    check(dims, {d: data.draw(one_index(SIZES[d])) for d in dims if data.draw(st.booleans())})


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_pointwise(data):
    dims = data.draw(st.sampled_from([DIMS, DIMS[1:], ("time", "cell")]))
    n = data.draw(st.integers(0, 4))
    index = {}
    for d in dims:
        kind = data.draw(st.sampled_from(["points", "points", "grid", "other", "none"]))
        if kind == "points":
            positions = data.draw(st.lists(st.integers(-SIZES[d], SIZES[d] - 1), min_size=n, max_size=n))
            index[d] = xr.DataArray(np.array(positions, int), dims="points")
        elif kind == "grid":
            positions = data.draw(st.lists(st.integers(0, SIZES[d] - 1), min_size=2 * n, max_size=2 * n))
            index[d] = xr.DataArray(np.array(positions, int).reshape(2, n), dims=("row", "points"))
        elif kind == "other":
            index[d] = data.draw(one_index(SIZES[d]))
    check(dims, index)


def test_only_touched_instants():
    assert set(check(DIMS, {"time": [3, 1, 1], "cell": 0, "member": 1}).touched) == {(1, 1), (1, 3)}
    points = xr.DataArray([0, 4, 0], dims="points")
    assert set(check(DIMS[1:], {"time": points, "cell": points}).touched) == {(0, 0), (0, 4)}
    assert check(DIMS, {"cell": slice(0, 0)}).touched == []
    assert check(DIMS, {"pressure": []}).touched == []


def test_slices_of_slices_and_reversed():
    array, lazy, recorder = pair(("time", "cell"))
    got = lazy.isel(time=slice(1, None)).isel(time=slice(None, None, -2), cell=slice(None, None, -1))
    xr.testing.assert_identical(
        got.compute(), array.isel(time=slice(1, None)).isel(time=slice(None, None, -2), cell=slice(None, None, -1))
    )
    assert set(recorder.touched) == {(0, 4), (0, 2)}


def test_out_of_bounds():
    recorder = pair(("time", "cell"))[2]
    with pytest.raises(IndexError, match="dimension time of size 5"):
        recorder[BasicIndexer((5, slice(None)))]


@given(st.one_of(st.slices(24), st.lists(st.integers(0, 23), max_size=30)), st.sampled_from([1, 2, 6, 24]))
def test_by_piece(cells, size):
    """Whatever the index, its parts put together from the pieces are the index of the whole."""
    cells = cells if isinstance(cells, slice) else np.array(cells, np.int64)
    values = np.random.default_rng(0).standard_normal(24)
    expected = values[cells]
    got, filled = np.full(len(expected), np.nan), np.zeros(len(expected), int)
    parts = by_piece(cells, 24, size)
    for piece, (place, within) in parts.items():
        got[place] = values[piece * size : (piece + 1) * size][within]
        filled[place] += 1
    np.testing.assert_array_equal(got, expected)
    assert (filled == 1).all()
    assert list(parts) == sorted({*(np.arange(24)[cells] // size).tolist()})
