"""Selections say what an index touches: pure functions from xarray's indexers to the instants and cells they need.

Reading goes instant by instant, because an instant is what is drawn. A `Selection` therefore says for each
touched (member, time) where its values go in the result, and which levels and cells they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.cube.xarray_internals import ExplicitIndexer, VectorizedIndexer

DIMS = ("member", "time", "pressure", "cell")

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Selection:
    """A part of a (member, time, pressure, cell) array, by the instants that it is made of.

    The result is flat while it is filled: one row for each combination of member, time and level (the
    *lead*), or for each point if the index is pointwise in cells too.

    Attributes
    ----------
    shape
        Shape of the result.
    pairs
        (k, 2) the touched (member, time), as positions, each once, ascending.
    rows
        k arrays: the rows of the result that come from each pair.
    levels
        (row,) positions on the pressure axis.
    cells
        The cells of every row; or with ``pointwise`` the one cell of each row.
    pointwise
        Whether each row is one cell.
    """

    shape: tuple[int, ...]
    pairs: Index
    rows: tuple[Index, ...]
    levels: Index
    cells: slice | Index
    pointwise: bool

    @property
    def size(self) -> tuple[int, ...]:
        """Shape of the flat result: (row, cell), or (row,) if pointwise."""
        if self.pointwise:
            return (len(self.levels),)
        cells = self.shape[-1:] if isinstance(self.cells, slice) else (len(self.cells),)
        return (len(self.levels), *cells)


def select(key: ExplicitIndexer, shape: tuple[int, ...], dims: tuple[str, ...]) -> Selection:
    """Find what an index of an array with some of the dimensions `DIMS` touches.

    Raises
    ------
    IndexError
        If a position is beyond the array.
    """
    if isinstance(key, VectorizedIndexer):
        return _vectorized(_by_dim(key.tuple, shape, dims), dict(zip(dims, shape, strict=True)))
    return select_within(key.tuple, shape, dims)


def select_within(key: tuple[Any, ...], shape: tuple[int, ...], dims: tuple[str, ...]) -> Selection:
    """Find what positions, slices and arrays of positions touch, each dimension by itself.

    Raises
    ------
    IndexError
        If a position is beyond the array.
    """
    return _orthogonal(_by_dim(key, shape, dims), dict(zip(dims, shape, strict=True)))


def narrowing(key: Any, size: int) -> tuple[slice | Index, int | slice | Index] | None:
    """Take one dimension's part of an index in two steps: first what it touches, then its own order and shape.

    Parameters
    ----------
    key
        Position, slice or array of positions.
    size
        Length of the dimension.

    Returns
    -------
    The positions touched, and the index that makes of them what ``key`` makes of all. None where there is nothing to
    take or the index is of another kind or wrong, of which others know better what to say.
    """
    if isinstance(key, slice):
        return (key, slice(None)) if _length(key, size) else None
    if not isinstance(key, (int, np.integer, np.ndarray)):
        return None
    positions = np.asarray(key)
    if not positions.size or not -size <= positions.min() <= positions.max() < size:
        return None
    if not positions.ndim:
        first = int(positions) % size
        return slice(first, first + 1), 0
    touched, rest = np.unique(positions % size, return_inverse=True)
    return touched, rest.reshape(positions.shape)


def by_piece(cells: slice | Index, total: int, size: int) -> dict[int, tuple[slice | Index, slice | Index]]:
    """Part positions among ``total`` cells by the pieces of ``size`` cells that they lie in.

    Returns
    -------
    {piece: (which of the positions, the positions within the piece)}, ascending. A slice takes no memory.
    """
    if not isinstance(cells, slice):
        owner, within = np.divmod(cells, size)
        order = np.argsort(owner, kind="stable")
        pieces, begins = np.unique(owner[order], return_index=True)
        parts = np.split(order, begins[1:])
        return {piece: (part, within[part]) for piece, part in zip(pieces.tolist(), parts, strict=False)}
    positions = range(*cells.indices(total))
    if not positions:
        return {}
    step = positions.step
    found: dict[int, tuple[slice | Index, slice | Index]] = {}
    for piece in range(min(positions[0], positions[-1]) // size, max(positions[0], positions[-1]) // size + 1):
        low, high = piece * size, (piece + 1) * size
        edges = (low, high) if step > 0 else (high - 1, low - 1)
        begin, end = (-((positions.start - edge) // step) for edge in edges)  # both rounded up
        part = slice(max(begin, 0), min(end, len(positions)))
        inside = positions[part]
        if inside:
            contiguous = slice(inside.start - low, inside.stop - low)
            found[piece] = part, contiguous if step == 1 else np.array(inside, np.int64) - low
    return found


def is_everything(key: Any) -> bool:
    """Whether an index along one dimension is all of it, as it is."""
    return isinstance(key, slice) and key == slice(None)


def _by_dim(key: tuple[Any, ...], shape: tuple[int, ...], dims: tuple[str, ...]) -> dict[str, int | slice | Index]:
    return {dim: _normalised(k, n, dim) for dim, k, n in zip(dims, key, shape, strict=True)}


def _normalised(k: Any, size: int, dim: str) -> int | slice | Index:
    """A position, slice or array of positions with negative ones counted from the end."""
    if isinstance(k, slice):
        return k
    positions = np.asarray(k)
    if positions.size and not -size <= positions.min() <= positions.max() < size:
        raise IndexError(f"index {k} is out of bounds for dimension {dim} of size {size}")
    positions = np.where(positions < 0, positions + size, positions).astype(np.int64)
    return positions if positions.ndim else int(positions)


def _orthogonal(key: dict[str, Any], sizes: dict[str, int]) -> Selection:
    lead, shape = [], []
    for dim in DIMS[:-1]:
        k = key.get(dim, 0)
        positions = np.atleast_1d(_positions(k, sizes.get(dim, 1)))
        lead.append(positions)
        if not isinstance(k, int):
            shape.append(len(positions))
    cells = key["cell"]
    if isinstance(cells, int):
        cells = np.array([cells])
    else:
        shape.append(_length(cells, sizes["cell"]))
    grid = [axis.ravel() for axis in np.meshgrid(*lead, indexing="ij")]
    members, times, levels = grid
    return _grouped(tuple(shape), members, times, levels, cells, pointwise=False, n_times=sizes["time"])


def _vectorized(key: dict[str, Any], sizes: dict[str, int]) -> Selection:
    """xarray's rule: the dimensions that the arrays share come first, then those of slices in their order."""
    common = np.broadcast_shapes(*(k.shape for k in key.values() if isinstance(k, np.ndarray)))
    slices = [dim for dim in DIMS[:-1] if isinstance(key.get(dim), slice)]
    lengths = [_length(key[dim], sizes[dim]) for dim in slices]
    full = (*common, *lengths)

    def spread(dim: str) -> Index:
        """Positions along one dimension for every row."""
        k = key.get(dim, 0)
        if isinstance(k, slice):
            place = len(common) + slices.index(dim)
            k = _positions(k, sizes[dim]).reshape([-1 if axis == place else 1 for axis in range(len(full))])
        elif isinstance(k, np.ndarray):
            k = k.reshape((1,) * (len(common) - k.ndim) + k.shape + (1,) * len(slices))
        return np.broadcast_to(k, full).ravel()

    members, times, levels = (spread(dim) for dim in DIMS[:-1])
    pointwise = not isinstance(key["cell"], slice)
    cells = spread("cell") if pointwise else key["cell"]
    shape = full if pointwise else (*full, _length(cells, sizes["cell"]))
    return _grouped(shape, members, times, levels, cells, pointwise=pointwise, n_times=sizes["time"])


def _grouped(
    shape: tuple[int, ...],
    members: Index,
    times: Index,
    levels: Index,
    cells: slice | Index,
    *,
    pointwise: bool,
    n_times: int,
) -> Selection:
    empty = 0 in shape  # nothing is asked for, whichever instants it would be of
    code = members * n_times + times if not empty else np.empty(0, np.int64)
    order = np.argsort(code, kind="stable")
    touched, begins = np.unique(code[order], return_index=True)
    rows = tuple(np.split(order, begins[1:])) if len(touched) else ()
    pairs = np.stack(np.divmod(touched, n_times), axis=-1) if len(touched) else np.empty((0, 2), np.int64)
    return Selection(shape, pairs, rows, levels, cells, pointwise)


def _positions(k: int | slice | Index, size: int) -> Index:
    return np.arange(size)[k] if isinstance(k, slice) else np.asarray(k, np.int64)


def _length(k: slice | Index, size: int) -> int:
    return len(range(*k.indices(size))) if isinstance(k, slice) else len(k)
