"""Variables of a cube as xarray holds them before they are read.

A backend's arrays are chunked by xarray one variable at a time, with names that say path and time of the
file. The variables here are chunked onto the graph that all variables of the cube share (`xr_cbottle.cube.graph`),
with names that say the bottle's digest. Whatever else is done to them makes ordinary variables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core.indexing import CopyOnWriteArray, LazilyIndexedArray, MemoryCachedArray

from xr_cbottle.cube.chunked import onto_graph, remade
from xr_cbottle.cube.selection import select

if TYPE_CHECKING:
    from xarray.core.indexing import ExplicitIndexer

    from xr_cbottle.cube.cube import Cube


class LazyVariable(BackendArray):
    """One variable of a cube as an array; indexing draws the instants that the index touches.

    Parameters
    ----------
    cube, name
        The cube and the name of the variable.
    company
        All variables of the data set, which are drawn together where dask is used.
    """

    def __init__(self, cube: Cube, name: str, company: tuple[str, ...]) -> None:
        self.cube, self.name, self.company = cube, name, company
        self.dims = cube.dims(name)
        self.shape = tuple(cube.sizes[dim] for dim in self.dims)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: ExplicitIndexer) -> npt.NDArray[np.float32]:
        return self.cube.read({self.name: select(key, self.shape, self.dims)})[self.name]

    async def async_getitem(self, key: ExplicitIndexer) -> npt.NDArray[np.float32]:
        """As indexing, in a thread, so that several variables and data sets are read at once."""
        return await asyncio.to_thread(self.__getitem__, key)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return self.cube.spec.token, self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyVariable, (self.cube, self.name, self.company)


class CubeVariable(xr.Variable):
    """All of a variable, not read yet."""

    __slots__ = ()

    @classmethod
    def of(cls, lazy: LazyVariable) -> CubeVariable:
        """A variable of a cube, without attributes."""
        return cls(lazy.dims, LazilyIndexedArray(lazy), fastpath=True)

    def chunk(  # type: ignore[override]
        self,
        chunks: Any = MappingProxyType({}),
        name: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> xr.Variable:
        """As `xarray.Variable.chunk`, onto the shared graph if chunks are regular in time and member."""
        lazy = _whole(self._data)
        if lazy is not None and lazy.cube.spec.fine is not None:
            # A task for each tile of each variable: they meet in the cache of tiles.
            from dask.base import tokenize

            own = {"name": f"cbottle-{lazy.name}-{tokenize(lazy, self.dims, str(chunks))}"}
            name, kwargs = None, {**kwargs, "from_array_kwargs": {**(kwargs.get("from_array_kwargs") or {}), **own}}
        elif lazy is not None and lazy.dims == self.dims:  # and not renamed
            everything = (range(self.sizes["time"]),)
            chunked = onto_graph(self, lazy, everything, dict.fromkeys(self.dims, -1), chunks, kwargs)
            if chunked is not None:
                return chunked
        plain = xr.Variable(self.dims, self._data, self._attrs, self._encoding, fastpath=True)
        return plain.chunk(chunks, name, *args, **kwargs)

    def _replace(self, dims: Any = None, data: Any = None, attrs: Any = None, encoding: Any = None) -> Any:
        data = self._data if data is None else data
        kind = CubeVariable if _whole(data) is not None else xr.Variable
        return remade(kind, self, dims, data, attrs, encoding)

    def __reduce__(self) -> tuple[Any, ...]:
        kind = CubeVariable if _whole(self._data) is not None else xr.Variable
        return kind, (self._dims, self._data, self._attrs, self._encoding, True)


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
        return xr.Variable, (self._dims, self._data, self._attrs, self._encoding, True)


class IndexRange(BackendArray):
    """The numbers 0 to n - 1 as an array that takes no memory until it is indexed."""

    def __init__(self, n: int) -> None:
        self.shape, self.dtype = (n,), np.dtype(np.int64)

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        (k,) = key.tuple
        n = self.shape[0]
        if isinstance(k, slice):
            return np.arange(*k.indices(n), dtype=np.int64)
        positions = np.asarray(k, np.int64)
        if positions.size and not -n <= positions.min() <= positions.max() < n:
            raise IndexError(f"index {k} is out of bounds for dimension cell of size {n}")
        return np.where(positions < 0, positions + n, positions)

    async def async_getitem(self, key: ExplicitIndexer) -> Any:
        """As indexing, which waits for nothing."""
        return self[key]

    def __reduce__(self) -> tuple[Any, ...]:
        return IndexRange, self.shape


class FineDataset(xr.Dataset):
    """A data set above the native zoom, which says of variables that there are only below why they are not here.

    What is made of it, by selecting or by computing, is an ordinary `xarray.Dataset`.
    """

    __slots__ = ("_absent",)

    _absent: Mapping[Any, str]

    @classmethod
    def of(cls, ds: xr.Dataset, absent: Mapping[Any, str]) -> FineDataset:
        """A data set with a sentence for each variable that is not in it."""
        made = object.__new__(cls)
        for name in ("_variables", "_coord_names", "_dims", "_indexes", "_attrs", "_close", "_encoding"):
            setattr(made, name, getattr(ds, name))
        made._absent = dict(absent)
        return made

    @classmethod
    def _construct_direct(cls, *args: Any, **kwargs: Any) -> Any:
        return xr.Dataset._construct_direct(*args, **kwargs)

    def _replace(self, *args: Any, **kwargs: Any) -> Any:
        made = super()._replace(*args, **kwargs)
        # xarray copies what it opens, and makes chunks of it.
        same = made is not self and made._variables.keys() == self._variables.keys() and made._dims == self._dims
        return FineDataset.of(made, self._absent) if same else made

    def compute(self, **kwargs: Any) -> xr.Dataset:  # type: ignore[override]
        """As `xarray.Dataset.compute`."""
        return xr.Dataset._construct_direct(
            dict(self._variables), set(self._coord_names), dict(self._dims), self._attrs, dict(self._indexes),
            self._encoding, self._close,
        ).compute(**kwargs)  # fmt: skip

    def __getitem__(self, key: Any) -> Any:
        for name in key if isinstance(key, list) else [key]:
            if isinstance(name, Hashable) and name in self._absent and name not in self._variables:
                raise KeyError(self._absent[name])
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        if name in object.__getattribute__(self, "_absent"):
            raise AttributeError(self._absent[name])
        return super().__getattr__(name)


def _whole(data: Any) -> LazyVariable | None:
    """The variable that an array of xarray's stands for, if it is all of it and not yet in memory."""
    while isinstance(data, (MemoryCachedArray, CopyOnWriteArray)):
        data = data.array
    if isinstance(data, LazilyIndexedArray):
        everything = all(isinstance(k, slice) and k == slice(None) for k in data.key.tuple)
        data = data.array if everything else None
    return data if isinstance(data, LazyVariable) else None
