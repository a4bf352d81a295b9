"""Variables of a cube as xarray holds them before they are read.

A backend's arrays are chunked by xarray one variable at a time, with names that say path and time of the
file. The variables here are chunked onto the graph that all variables of the cube share (`xr_cbottle.cube.graph`),
with names that say the bottle's digest. Whatever else is done to them makes ordinary variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import xarray as xr

from xr_cbottle.cube.chunked import onto_graph, whole
from xr_cbottle.cube.chunks import check_number
from xr_cbottle.cube.lazy import LazyVariable
from xr_cbottle.cube.xarray_internals import LazilyIndexedArray, remade, state, unwrapped, wrapped


class CubeVariable(xr.Variable):
    """All of a variable, not read yet."""

    __slots__ = ()

    @classmethod
    def of(cls, lazy: LazyVariable) -> CubeVariable:
        """A variable of a cube, without attributes."""
        return cls(lazy.dims, LazilyIndexedArray(lazy), fastpath=True)

    def cached(self) -> CubeVariable:
        """Make the variable that `xarray.open_dataset` holds of this one: what is read once is kept."""
        return self._replace(data=wrapped(self._data))

    def chunk(  # type: ignore[override]
        self,
        chunks: Any = MappingProxyType({}),
        name: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> xr.Variable:
        """Chunk it onto the shared graph, if chunks are regular in time and member; arguments as of xarray."""
        lazy = _whole(self._data)
        if lazy is not None and isinstance(chunks, Mapping) and lazy.dims == self.dims:
            check_number(lazy.name, self.sizes, lazy.reader.layout.preferred_chunks(lazy.name), chunks)
        if lazy is not None and lazy.dims == self.dims:  # and not renamed
            chunked = onto_graph(self, whole(lazy), dict.fromkeys(self.dims, -1), chunks, kwargs)
            if chunked is not None:
                return chunked
        if lazy is not None and lazy.reader.layout.spec.fine is not None:
            # A task for each part of each variable: they meet in the cache of tiles.
            from dask.base import tokenize

            own = {"name": f"cbottle-{lazy.name}-{tokenize(lazy, self.dims, str(chunks))}"}
            name, kwargs = None, {**kwargs, "from_array_kwargs": {**(kwargs.get("from_array_kwargs") or {}), **own}}
        plain = xr.Variable(self.dims, self._data, self._attrs, self._encoding, fastpath=True)
        return plain.chunk(chunks, name, *args, **kwargs)

    def _replace(self, dims: Any = None, data: Any = None, attrs: Any = None, encoding: Any = None) -> Any:
        data = self._data if data is None else data
        kind = CubeVariable if _whole(data) is not None else xr.Variable
        return remade(kind, self, dims, data, attrs, encoding)

    def __reduce__(self) -> tuple[Any, ...]:
        kind = CubeVariable if _whole(self._data) is not None else xr.Variable
        return kind, state(self)


def _whole(data: Any) -> LazyVariable | None:
    """The variable that an array of xarray's stands for, if it is all of it and not yet in memory."""
    data = unwrapped(data)
    if isinstance(data, LazilyIndexedArray):
        everything = all(isinstance(k, slice) and k == slice(None) for k in data.key.tuple)
        data = data.array if everything else None
    return data if isinstance(data, LazyVariable) else None
