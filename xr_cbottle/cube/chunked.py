"""A variable of a cube on the shared graph, of which some times can be taken without drawing the others.

To dask, a chunk is drawn or it is not. So where times are taken, the chunks are not cut: the graph is made again,
of the times that are wanted, and above the native zoom of the tiles that are. What else is done to the variable,
beside taking levels and cells, makes an ordinary one, of which whole chunks are drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xr_cbottle.cube import graph
from xr_cbottle.cube.lazy import LazyVariable
from xr_cbottle.cube.selection import Index, is_everything, narrowing
from xr_cbottle.cube.xarray_internals import (
    VectorizedIndexer,
    apply_indexer,
    as_indexable,
    makes_dask,
    remade,
    state,
)

if TYPE_CHECKING:
    import dask.array as da

# A chunk of the shared graph holds all variables for a moment: larger ones are better read one by one.
_MOST_BYTES_IN_A_CHUNK = 2**30

Split = Mapping[Any, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How the array of a variable is made, so that it can be made again of fewer times, and of fewer tiles.

    Attributes
    ----------
    lazy, blocks
        The variable, and how it is cut.
    cells
        Above the native zoom, the cells that were taken, ascending; None for all.
    split
        Chunks of levels and cells, where they are split.
    steps
        Indexes that were applied one after the other to the array of these times and cells.
    axes
        The dimension of each axis of the result. None where the order of its positions is another one, of which less
        cannot be taken from the recipe.
    """

    lazy: LazyVariable
    blocks: graph.Blocks
    cells: Index | None = None
    split: Split = field(default_factory=dict)
    steps: tuple[tuple[Any, ...], ...] = ()
    axes: tuple[str | None, ...] = ()

    @functools.cached_property
    def array(self) -> da.Array:
        """The array; its name tells all of the recipe."""
        lazy = self.lazy
        array = graph.array(lazy.reader, lazy.name, lazy.company, self.blocks)
        within = self._cells_within()
        if within is not None:
            array = graph.indexed(array, tuple(within if dim == "cell" else slice(None) for dim in lazy.dims))
        parts = {lazy.dims.index(dim): parts for dim, parts in self.split.items() if len(parts) > 1}
        if any(array.chunks[axis] != lengths for axis, lengths in parts.items()):
            array = array.rechunk(parts)
        for step in self.steps:
            array = graph.indexed(array, step)
        return array

    def _cells_within(self) -> slice | Index | None:
        """Which cells of the pieces that are drawn were taken; None for all of them."""
        if self.cells is None or self.blocks.pieces is None:
            return None
        size = self._cells_in_a_piece
        if len(self.cells) == size * len(self.blocks.pieces):
            return None
        within = np.searchsorted(self.blocks.pieces, self.cells // size) * size + self.cells % size
        gap_free = within[-1] - within[0] == len(within) - 1
        return slice(int(within[0]), int(within[-1]) + 1) if gap_free else within

    def narrowed(self, keys: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Recipe, tuple[Any, ...]] | None:
        """The recipe of what an index touches, and what is left of the index; None where that is for others to do."""
        recipe, rest = self, list(keys)
        for place, axis in enumerate(self.axes):
            if axis == "time":
                found = narrowing(keys[place], shape[place])
                if found is None:
                    return None
                recipe = replace(recipe, blocks=recipe.blocks.narrowed(found[0]))
                rest[place] = _plain(found[1])
            elif axis == "cell" and not is_everything(keys[place]):
                key = keys[place]
                if isinstance(key, slice) and key.step is not None and key.step < 0:
                    key = np.arange(shape[place])[key]  # which is then put into this order
                found = narrowing(key, shape[place])
                if found is None:
                    return None
                recipe = recipe._of_cells(found[0])
                rest[place] = _plain(found[1])
        return recipe, tuple(rest)

    def of_points(self, keys: tuple[Any, ...]) -> tuple[Recipe, tuple[Any, ...]]:
        """The recipe in blocks of one tile of one time, and an index of scattered points, which are of few of them."""
        if self.blocks.pieces is None or self.steps or "cell" not in self.axes:
            return self, keys
        place, within = self.axes.index("cell"), self._cells_within()
        rest = list(keys)
        if within is not None:
            size = len(self.blocks.pieces) * self._cells_in_a_piece
            rest[place] = np.arange(size)[within][keys[place]]
        blocks = replace(self.blocks, times=1, inner=1, pieces_together=1)
        return replace(self, blocks=blocks, cells=None, split={}), tuple(rest)

    @property
    def _cells_in_a_piece(self) -> int:
        fine = self.lazy.reader.layout.spec.fine
        assert fine is not None  # only above the native zoom are there pieces
        return fine.cells(self.lazy.reader.layout.spec.zoom)

    def _of_cells(self, touched: slice | Index) -> Recipe:
        """The recipe of some cells among those that there are; both ascending."""
        total = self.lazy.reader.layout.sizes["cell"] if self.cells is None else len(self.cells)
        # No array of all cells: at zoom 10 each is 100 MB.
        places = np.arange(*touched.indices(total)) if isinstance(touched, slice) else touched
        cells = places if self.cells is None else self.cells[places]
        pieces = np.unique(cells // self._cells_in_a_piece)
        split = dict(self.split)
        if "cell" in split:
            ends = np.searchsorted(places, np.cumsum(split["cell"]))
            split["cell"] = tuple(n for n in np.diff(ends, prepend=0).tolist() if n)
        return replace(self, cells=cells, blocks=self.blocks.within(pieces.tolist()), split=split)

    def indexed(self, keys: tuple[Any, ...]) -> Recipe:
        """The recipe of fewer levels, cells or members, or of another order."""
        if all(is_everything(k) for k in keys):
            return self
        left = [
            axis if is_everything(k) or axis not in ("time", "cell") else None
            for axis, k in zip(self.axes, keys, strict=True)
            if not isinstance(k, (int, np.integer))
        ]
        return replace(self, steps=(*self.steps, keys), axes=tuple(left))


def _plain(rest: Any) -> Any:
    """An index of what was narrowed to, of which it takes each at least once: as a slice where it is in order."""
    if isinstance(rest, np.ndarray) and rest.ndim == 1 and np.array_equal(rest, np.arange(len(rest))):
        return slice(None)
    return rest


def _axes(lazy: LazyVariable) -> tuple[str | None, ...]:
    """The axes of a variable from which less can be taken: times, and above the native zoom cells."""
    taken = ("time", "cell") if lazy.reader.layout.spec.fine is not None else ("time",)
    return tuple(dim if dim in taken else None for dim in lazy.dims)


def whole(lazy: LazyVariable) -> Recipe:
    """The recipe of all of a variable, in one block."""
    return Recipe(lazy, graph.Blocks(1, 1, 1, (range(lazy.reader.layout.sizes["time"]),)), axes=_axes(lazy))


class ChunkedVariable(xr.Variable):
    """A variable on the shared graph, which draws the times that are taken from it, of fine zooms the tiles, alone."""

    __slots__ = ("_recipe",)

    _recipe: Recipe

    @classmethod
    def of(
        cls, lazy: LazyVariable, blocks: graph.Blocks, split: Split = MappingProxyType({}), cells: Index | None = None
    ) -> ChunkedVariable:
        """All levels of a variable of a cube, and all cells or some, without attributes."""
        return cls._of(Recipe(lazy, blocks, cells, split, axes=_axes(lazy)), lazy.dims)

    @classmethod
    def _of(cls, recipe: Recipe, dims: tuple[Any, ...], like: xr.Variable | None = None) -> ChunkedVariable:
        variable = cls(dims, recipe.array, fastpath=True)
        variable._recipe = recipe
        if like is not None:
            variable.attrs, variable.encoding = dict(like.attrs), dict(like.encoding)
        return variable

    def _is_made(self, data: Any) -> bool:
        """Whether this is what the recipe makes, or a copy of it: values may have been assigned in place."""
        made = self._recipe.array
        return type(data) is type(made) and data.name == made.name  # a quantity of pint has the name of what it holds

    def __getitem__(self, key: Any) -> Any:
        if not self._is_made(self._data):
            return super().__getitem__(key)
        dims, indexer, order = self._broadcast_indexes(key)
        found = self._recipe.narrowed(indexer.tuple, self.shape)
        if found is None:
            return super().__getitem__(key)
        recipe, rest = found
        if not isinstance(indexer, VectorizedIndexer):
            return self._of(recipe.indexed(rest), dims, self)
        recipe, rest = recipe.of_points(rest)
        data = apply_indexer(as_indexable(recipe.array), type(indexer)(rest))
        return self._replace(dims, np.moveaxis(data, range(len(order)), order) if order else data)

    def chunk(  # type: ignore[override]
        self,
        chunks: Any = MappingProxyType({}),
        name: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> xr.Variable:
        """Chunk it on the shared graph, if chunks are regular in time and member; arguments as of xarray."""
        recipe = self._recipe
        if self._is_made(self._data) and self.dims == recipe.lazy.dims and not recipe.steps:
            chunked = onto_graph(self, recipe, self.chunksizes, chunks, kwargs)
            if chunked is not None:
                return chunked
        return super().chunk(chunks, name, *args, **kwargs)

    def to_base_variable(self) -> xr.Variable:
        """Return the variable itself: xarray asks after an index with a `DataArray`, and more times may be taken."""
        return self._replace()

    def _replace(self, dims: Any = None, data: Any = None, attrs: Any = None, encoding: Any = None) -> Any:
        if data is None or self._is_made(data):
            same = remade(ChunkedVariable, self, dims, self._data if data is None else data, attrs, encoding)
            same._recipe = self._recipe
            return same
        return remade(xr.Variable, self, dims, data, attrs, encoding)

    def __reduce__(self) -> tuple[Any, ...]:
        return xr.Variable, state(self)


def onto_graph(
    variable: xr.Variable, recipe: Recipe, now: Mapping[Any, Any], chunks: Any, kwargs: Mapping[Any, Any]
) -> ChunkedVariable | None:
    """A variable with other chunks, or None if these are not for the shared graph.

    Parameters
    ----------
    variable, recipe
        It is what the recipe makes, without steps.
    now
        Chunks of each dimension, where others are not asked for.
    chunks, kwargs
        As to `xarray.Variable.chunk`.
    """
    if not isinstance(chunks, Mapping) or not makes_dask(kwargs.get("chunked_array_type")):
        return None
    import dask.array as da

    lazy, before = recipe.lazy, recipe.blocks
    asked = {**chunks, **{dim: kwargs[dim] for dim in variable.dims if dim in kwargs}}
    lengths = tuple(now[dim] if asked.get(dim) is None else asked[dim] for dim in variable.dims)
    normal = da.core.normalize_chunks(lengths, variable.shape, dtype=variable.dtype)
    split: dict[Any, tuple[int, ...]] = dict(zip(lazy.dims, normal, strict=True))
    blocks = _blocks(lazy, split, recipe.cells is None)
    if blocks is None:
        return None
    within = {dim: parts for dim, parts in split.items() if dim in ("pressure", "cell")}
    if blocks.pieces_together is None:
        blocks = replace(blocks, pieces_together=before.pieces_together)
    blocks = replace(blocks, runs=before.runs, pieces=before.pieces)
    chunked = ChunkedVariable.of(lazy, blocks, within, recipe.cells)
    chunked.attrs, chunked.encoding = dict(variable.attrs), dict(variable.encoding)
    return chunked


def _blocks(lazy: LazyVariable, split: Split, all_cells: bool) -> graph.Blocks | None:
    """Blocks that make these chunks, or None if they are irregular or too large."""
    layout = lazy.reader.layout
    times, members, cells = _regular(split["time"]), _regular(split.get("member", (1,))), _regular(split["cell"])
    if times is None or members is None:
        return None
    if layout.spec.fine is None:
        nbytes = 4 * times * members * len(layout.channels) * layout.sizes["cell"]
        too_large = nbytes > _MOST_BYTES_IN_A_CHUNK and times * members > layout.values_per_batch
        return None if too_large else graph.cut(layout, members, times)
    if not all_cells:
        return graph.cut(layout, members, times)
    if cells is None or not graph.are_whole(layout, cells):  # a piece of one would draw all of it
        return None
    return graph.cut(layout, members, times, cells)


def _regular(parts: tuple[int, ...]) -> int | None:
    """Length of chunks that are all the same but for a shorter last one."""
    return parts[0] if all(n == parts[0] for n in parts[:-1]) and 0 < parts[-1] <= parts[0] else None
