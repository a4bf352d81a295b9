"""Variables of a cube as xarray holds them before they are read.

A backend's arrays are chunked by xarray one variable at a time, with names that say path and time of the
file. The variables here are chunked onto the graph that all variables of the cube share (`xr_cbottle.graph`),
with names that say the bottle's digest. Whatever else is done to them makes ordinary variables.
"""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core.indexing import CopyOnWriteArray, LazilyIndexedArray, MemoryCachedArray

from xr_cbottle.chunked import onto_graph, remade
from xr_cbottle.selection import select

if TYPE_CHECKING:
    from xarray.core.indexing import ExplicitIndexer

    from xr_cbottle.cube import Cube


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
        if lazy is not None and lazy.dims == self.dims:  # and not renamed
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


def _whole(data: Any) -> LazyVariable | None:
    """The variable that an array of xarray's stands for, if it is all of it and not yet in memory."""
    while isinstance(data, (MemoryCachedArray, CopyOnWriteArray)):
        data = data.array
    if isinstance(data, LazilyIndexedArray):
        everything = all(isinstance(k, slice) and k == slice(None) for k in data.key.tuple)
        data = data.array if everything else None
    return data if isinstance(data, LazyVariable) else None
