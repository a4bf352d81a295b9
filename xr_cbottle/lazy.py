"""Variables of a cube as xarray holds them: lazy until they are read, or dask arrays of one graph.

A backend's arrays are chunked by xarray one variable at a time, with names that say path and time of the
file. The variables here are chunked onto the graph that all variables of the cube share (`xr_cbottle.graph`),
with names that say the bottle's digest; and a chunked one draws no times that were cut off. Whatever else is
done to them makes ordinary variables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core.indexing import CopyOnWriteArray, LazilyIndexedArray, MemoryCachedArray

from xr_cbottle import graph
from xr_cbottle.selection import select

if TYPE_CHECKING:
    from xarray.core.indexing import ExplicitIndexer

    from xr_cbottle.cube import Cube

# A chunk of the shared graph holds all variables for a moment: larger ones are better read one by one.
_MOST_BYTES_IN_A_CHUNK = 2**30


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
        ours = lazy is not None and lazy.dims == self.dims  # and not renamed
        if ours and isinstance(chunks, Mapping) and _makes_dask(kwargs.get("chunked_array_type")):
            import dask.array as da

            assert lazy is not None
            asked = {**chunks, **{dim: kwargs[dim] for dim in self.dims if dim in kwargs}}
            lengths = tuple(asked.get(dim, -1) for dim in self.dims)
            split = da.core.normalize_chunks(lengths, self.shape, dtype=self.dtype)
            by_dim = dict(zip(self.dims, split, strict=True))
            blocks = _blocks(lazy, by_dim)
            if blocks is not None:
                chunked = ChunkedVariable.of(lazy, blocks)
                chunked.attrs, chunked.encoding = dict(self.attrs), dict(self.encoding)
                return chunked if chunked.chunks == split else chunked.chunk(by_dim)
        plain = xr.Variable(self.dims, self._data, self._attrs, self._encoding, fastpath=True)
        return plain.chunk(chunks, name, *args, **kwargs)

    def _replace(self, dims: Any = None, data: Any = None, attrs: Any = None, encoding: Any = None) -> Any:
        data = self._data if data is None else data
        kind = CubeVariable if _whole(data) is not None else xr.Variable
        return _remade(kind, self, dims, data, attrs, encoding)

    def __reduce__(self) -> tuple[Any, ...]:
        kind = CubeVariable if _whole(self._data) is not None else xr.Variable
        return kind, (self._dims, self._data, self._attrs, self._encoding, True)


class ChunkedVariable(xr.Variable):
    """A variable on the shared graph, which can be cut in time without drawing what was cut off."""

    __slots__ = ("_blocks", "_lazy", "_name")

    _lazy: LazyVariable
    _blocks: graph.Blocks
    _name: str

    @classmethod
    def of(cls, lazy: LazyVariable, blocks: graph.Blocks) -> ChunkedVariable:
        """A variable of a cube, without attributes."""
        array = graph.array(lazy.cube, lazy.name, lazy.company, blocks)
        variable = cls(lazy.dims, array, fastpath=True)
        variable._lazy, variable._blocks, variable._name = lazy, blocks, array.name
        return variable

    @property
    def _untouched(self) -> bool:
        """Whether nothing was assigned to it, in place, since it was made."""
        return getattr(self._data, "name", None) == self._name and self._dims == self._lazy.dims

    def __getitem__(self, key: Any) -> Any:
        if not self._untouched:
            return super().__getitem__(key)
        place = self.dims.index("time")
        keys = self._expanded(key)
        size = self.shape[place]
        if keys is not None and isinstance(keys[place], slice) and keys[place].step in (None, 1):
            first, last, _ = keys[place].indices(size)
            keys[place] = slice(None)
        elif keys is not None and isinstance(keys[place], (int, np.integer)) and -size <= keys[place] < size:
            first, last = keys[place] % size, keys[place] % size + 1
            keys[place] = 0
        else:
            return super().__getitem__(key)
        if not first < last:
            return super().__getitem__(key)
        part = ChunkedVariable.of(self._lazy, self._blocks.narrowed(first, last))
        part.attrs, part.encoding = dict(self.attrs), dict(self.encoding)
        return part if all(k == slice(None) for k in keys) else xr.Variable.__getitem__(part, tuple(keys))

    def _expanded(self, key: Any) -> list[Any] | None:
        """One integer or slice for each dimension; None for an index of another kind."""
        if isinstance(key, Mapping):
            key = tuple(key.get(dim, slice(None)) for dim in self.dims)
        keys = list(key) if isinstance(key, tuple) else [key]
        keys = [k.item() if isinstance(k, np.ndarray) and k.ndim == 0 and k.dtype.kind in "iu" else k for k in keys]
        keys += [slice(None)] * (self.ndim - len(keys))
        plain = len(keys) == self.ndim and all(
            isinstance(k, (int, np.integer, slice)) and not isinstance(k, bool) for k in keys
        )
        return keys if plain else None

    def _replace(self, dims: Any = None, data: Any = None, attrs: Any = None, encoding: Any = None) -> Any:
        if (data is None or data is self._data) and (dims is None or tuple(dims) == self._dims):
            same = _remade(ChunkedVariable, self, dims, self._data, attrs, encoding)
            same._lazy, same._blocks, same._name = self._lazy, self._blocks, self._name
            return same
        return _remade(xr.Variable, self, dims, self._data if data is None else data, attrs, encoding)

    def __reduce__(self) -> tuple[Any, ...]:
        return xr.Variable, (self._dims, self._data, self._attrs, self._encoding, True)


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
        return _remade(kind, self, dims, self._data if data is None else data, attrs, encoding)

    def __reduce__(self) -> tuple[Any, ...]:
        return xr.Variable, (self._dims, self._data, self._attrs, self._encoding, True)


def _remade(kind: type[xr.Variable], old: xr.Variable, dims: Any, data: Any, attrs: Any, encoding: Any) -> Any:
    return kind(
        old._dims if dims is None else dims,
        data,
        dict(old._attrs or {}) if attrs is None else attrs,
        dict(old._encoding or {}) if encoding is None else encoding,
        fastpath=True,
    )


def _whole(data: Any) -> LazyVariable | None:
    """The variable that an array of xarray's stands for, if it is all of it and not yet in memory."""
    while isinstance(data, (MemoryCachedArray, CopyOnWriteArray)):
        data = data.array
    if isinstance(data, LazilyIndexedArray):
        everything = all(isinstance(k, slice) and k == slice(None) for k in data.key.tuple)
        data = data.array if everything else None
    return data if isinstance(data, LazyVariable) else None


def _blocks(lazy: LazyVariable, split: dict[Any, tuple[int, ...]]) -> graph.Blocks | None:
    """Blocks that make these chunks, or None if they are irregular or too large."""
    cube = lazy.cube
    times, members = _regular(split["time"]), _regular(split.get("member", (1,)))
    if times is None or members is None:
        return None
    manifest = cube.bottle.manifest
    nbytes = 4 * times * members * len(manifest.channels) * cube.sizes["cell"]
    if nbytes > _MOST_BYTES_IN_A_CHUNK and times * members > cube.values_per_batch:
        return None
    return graph.cut(cube, members, times)


def _regular(parts: tuple[int, ...]) -> int | None:
    """Length of chunks that are all the same but for a shorter last one."""
    return parts[0] if all(n == parts[0] for n in parts[:-1]) and 0 < parts[-1] <= parts[0] else None


def _makes_dask(chunked_array_type: Any) -> bool:
    """Whether xarray is to make dask arrays, and not those of another library."""
    from xarray.namedarray.daskmanager import DaskManager
    from xarray.namedarray.parallelcompat import guess_chunkmanager

    return isinstance(guess_chunkmanager(chunked_array_type), DaskManager)
