"""A variable of a cube on the shared graph, of which some times can be taken without drawing the others.

To dask, a chunk is drawn or it is not. So where times are taken, the chunks are not cut: the graph is made again,
of the times that are wanted. What else is done to the variable, beside taking levels and cells, makes an ordinary one,
of which whole chunks are drawn.
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
from xr_cbottle.cube.selection import is_everything, narrowing
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
    """How the array of a variable is made, so that it can be made again of fewer times.

    Attributes
    ----------
    lazy, blocks
        The variable, and how it is cut.
    split
        Chunks of levels and cells, where they are split.
    steps
        Indexes that were applied one after the other; none takes from the times.
    time_axis
        Position of the time axis in the array.
    """

    lazy: LazyVariable
    blocks: graph.Blocks
    split: Split = field(default_factory=dict)
    steps: tuple[tuple[Any, ...], ...] = ()
    time_axis: int = 0

    @functools.cached_property
    def array(self) -> da.Array:
        """The array; its name tells all of the recipe."""
        lazy = self.lazy
        array = graph.array(lazy.reader, lazy.name, lazy.company, self.blocks)
        if any(len(parts) > 1 for parts in self.split.values()):
            array = array.rechunk({lazy.dims.index(dim): parts for dim, parts in self.split.items()})
        for step in self.steps:
            array = graph.indexed(array, step)
        return array

    def indexed(self, keys: tuple[Any, ...]) -> Recipe:
        """The recipe of fewer levels, cells or members."""
        if all(is_everything(k) for k in keys):
            return self
        place = sum(not isinstance(k, (int, np.integer)) for k in keys[: self.time_axis])
        return replace(self, steps=(*self.steps, keys), time_axis=place)


class ChunkedVariable(xr.Variable):
    """A variable on the shared graph, which draws no times but those that are taken from it."""

    __slots__ = ("_recipe",)

    _recipe: Recipe

    @classmethod
    def of(cls, lazy: LazyVariable, blocks: graph.Blocks, split: Split = MappingProxyType({})) -> ChunkedVariable:
        """All levels and cells of a variable of a cube, without attributes."""
        return cls._of(Recipe(lazy, blocks, split, time_axis=lazy.dims.index("time")), lazy.dims)

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
        recipe, keys = self._recipe, list(indexer.tuple)
        place, pointwise = recipe.time_axis, isinstance(indexer, VectorizedIndexer)
        found = narrowing(keys[place], self.shape[place])
        if found is None:
            return super().__getitem__(key)
        times, rest = found
        if isinstance(rest, np.ndarray) and not pointwise and np.array_equal(rest, np.arange(len(rest))):
            rest = slice(None)
        keys[place] = rest
        recipe = replace(recipe, blocks=recipe.blocks.narrowed(times))
        if is_everything(rest) and not pointwise:
            return self._of(recipe.indexed(tuple(keys)), dims, self)
        data = apply_indexer(as_indexable(recipe.array), type(indexer)(tuple(keys)))
        return self._replace(dims, np.moveaxis(data, range(len(order)), order) if order else data)

    def chunk(  # type: ignore[override]
        self,
        chunks: Any = MappingProxyType({}),
        name: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> xr.Variable:
        """Chunk it on the shared graph, if chunks are regular in time and member; arguments as of xarray."""
        lazy, blocks = self._recipe.lazy, self._recipe.blocks
        if self._is_made(self._data) and self.dims == lazy.dims and not self._recipe.steps:
            chunked = onto_graph(self, lazy, blocks.runs, self.chunksizes, chunks, kwargs)
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
    variable: xr.Variable,
    lazy: LazyVariable,
    runs: tuple[range, ...],
    now: Mapping[Any, Any],
    chunks: Any,
    kwargs: Mapping[Any, Any],
) -> ChunkedVariable | None:
    """A variable with other chunks, or None if these are not for the shared graph.

    Parameters
    ----------
    variable, lazy, runs
        It has all levels and cells of ``lazy``, and of the times those of `graph.Blocks.runs`.
    now
        Chunks of each dimension, where others are not asked for.
    chunks, kwargs
        As to `xarray.Variable.chunk`.
    """
    if not isinstance(chunks, Mapping) or not makes_dask(kwargs.get("chunked_array_type")):
        return None
    import dask.array as da

    asked = {**chunks, **{dim: kwargs[dim] for dim in variable.dims if dim in kwargs}}
    lengths = tuple(now[dim] if asked.get(dim) is None else asked[dim] for dim in variable.dims)
    normal = da.core.normalize_chunks(lengths, variable.shape, dtype=variable.dtype)
    split: dict[Any, tuple[int, ...]] = dict(zip(lazy.dims, normal, strict=True))
    blocks = _blocks(lazy, split)
    if blocks is None:
        return None
    within = {dim: parts for dim, parts in split.items() if dim in ("pressure", "cell")}
    chunked = ChunkedVariable.of(lazy, replace(blocks, runs=runs), within)
    chunked.attrs, chunked.encoding = dict(variable.attrs), dict(variable.encoding)
    return chunked


def _blocks(lazy: LazyVariable, split: Split) -> graph.Blocks | None:
    """Blocks that make these chunks, or None if they are irregular or too large."""
    layout = lazy.reader.layout
    times, members = _regular(split["time"]), _regular(split.get("member", (1,)))
    if times is None or members is None:
        return None
    nbytes = 4 * times * members * len(layout.channels) * layout.sizes["cell"]
    if nbytes > _MOST_BYTES_IN_A_CHUNK and times * members > layout.values_per_batch:
        return None
    return graph.cut(layout, members, times)


def _regular(parts: tuple[int, ...]) -> int | None:
    """Length of chunks that are all the same but for a shorter last one."""
    return parts[0] if all(n == parts[0] for n in parts[:-1]) and 0 < parts[-1] <= parts[0] else None
