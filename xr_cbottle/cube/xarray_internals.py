"""The names of xarray that we use and that are not public: each with why, and what breaks without it.

Nothing else in the package imports from ``xarray.core`` or ``xarray.namedarray``. A weekly run against xarray's main
branch tells when one of them moves.

`ExplicitIndexer`, `OuterIndexer`, `VectorizedIndexer`
    What xarray gives to `xarray.backends.BackendArray.__getitem__`. Without them an index with arrays cannot be told
    from one with slices, and a pointwise index would draw the whole block around its points.
`LazilyIndexedArray`, `MemoryCachedArray`, `CopyOnWriteArray`
    What xarray wraps the arrays of a backend in. `LazilyIndexedArray` makes one lazy without an engine
    (`Cube.to_dataset`); the other two are looked through, to see whether all of a variable is there still.
`apply_indexer`, `as_indexable`
    How xarray indexes dask's arrays. A variable on the shared graph uses them, so that it is indexed as any other.
`IndexingSupport`, `explicit_indexing_adapter`
    What xarray tells authors of backends to index their arrays with; it has no public name.
`makes_dask`
    Which library makes the chunked arrays of ``open_dataset(chunks=, chunked_array_type=)``. Without it a
    variable would come as a dask array where another library's was asked for.
`remade`, `HeldVariable`
    `xarray.Variable._replace` and ``_data``. Subclasses of `xarray.Variable` are made by it at each copy and index;
    without `remade` they would forget what they are, and with it each says which kind it becomes.
"""

from __future__ import annotations

from typing import Any

import xarray as xr
from xarray.core.indexing import (
    CopyOnWriteArray,
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    MemoryCachedArray,
    OuterIndexer,
    VectorizedIndexer,
    apply_indexer,
    as_indexable,
    explicit_indexing_adapter,
)

__all__ = [
    "CopyOnWriteArray",
    "ExplicitIndexer",
    "HeldVariable",
    "IndexingSupport",
    "LazilyIndexedArray",
    "MemoryCachedArray",
    "OuterIndexer",
    "VectorizedIndexer",
    "apply_indexer",
    "as_indexable",
    "explicit_indexing_adapter",
    "makes_dask",
    "remade",
    "unwrapped",
    "wrapped",
]


def wrapped(array: Any) -> Any:
    """An array of a backend as `xarray.open_dataset` holds it: copied when written to, read once."""
    return MemoryCachedArray(CopyOnWriteArray(array))


def unwrapped(array: Any) -> Any:
    """The array below what `wrapped` added, if it did."""
    while isinstance(array, (MemoryCachedArray, CopyOnWriteArray)):
        array = array.array
    return array


def makes_dask(chunked_array_type: Any) -> bool:
    """Whether xarray is to make dask arrays, and not those of another library."""
    from xarray.namedarray.daskmanager import DaskManager
    from xarray.namedarray.parallelcompat import guess_chunkmanager

    return isinstance(guess_chunkmanager(chunked_array_type), DaskManager)


def remade(kind: type[xr.Variable], old: xr.Variable, dims: Any, data: Any, attrs: Any, encoding: Any) -> Any:
    """A variable of another kind with what `xarray.Variable._replace` is given, the rest from the old one."""
    return kind(
        old._dims if dims is None else dims,
        data,
        dict(old._attrs or {}) if attrs is None else attrs,
        dict(old._encoding or {}) if encoding is None else encoding,
        fastpath=True,
    )


def state(variable: xr.Variable) -> tuple[Any, ...]:
    """Arguments that make a variable again, without looking at its values."""
    return variable._dims, variable._data, variable._attrs, variable._encoding, True


class HeldVariable(xr.Variable):
    """A coordinate that is in memory from the beginning: xarray need not hide it behind a cache or in dask."""

    __slots__ = ()

    @property
    def data(self) -> Any:
        """The values."""
        return xr.Variable.data.fget(self)  # type: ignore[attr-defined]

    @data.setter
    def data(self, data: Any) -> None:
        if not isinstance(data, MemoryCachedArray | CopyOnWriteArray):
            xr.Variable.data.fset(self, data)  # type: ignore[attr-defined]

    def _replace(self, dims: Any = None, data: Any = None, attrs: Any = None, encoding: Any = None) -> Any:
        kind = HeldVariable if data is None or data is self._data else xr.Variable
        return remade(kind, self, dims, self._data if data is None else data, attrs, encoding)

    def __reduce__(self) -> tuple[Any, ...]:
        return xr.Variable, state(self)
