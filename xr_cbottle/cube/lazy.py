"""A variable of a cube as an array: indexing it draws the instants that the index touches."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import numpy.typing as npt
from xarray.backends import BackendArray

from xr_cbottle.cube.assembly import CubeReader
from xr_cbottle.cube.selection import select
from xr_cbottle.cube.xarray_internals import ExplicitIndexer


class LazyVariable(BackendArray):
    """One variable of a cube as an array; indexing draws the instants that the index touches.

    Parameters
    ----------
    reader, name
        What reads the cube, and the name of the variable.
    company
        All variables of the data set, which are drawn together where dask is used.
    """

    def __init__(self, reader: CubeReader, name: str, company: tuple[str, ...]) -> None:
        self.reader, self.name, self.company = reader, name, company
        self.dims, self.shape = reader.layout.dims(name), reader.layout.shape(name)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: ExplicitIndexer) -> npt.NDArray[np.float32]:
        return self.reader.read({self.name: select(key, self.shape, self.dims)})[self.name]

    async def async_getitem(self, key: ExplicitIndexer) -> npt.NDArray[np.float32]:
        """Index it in a thread, so that several variables and data sets are read at once."""
        return await asyncio.to_thread(self.__getitem__, key)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return self.reader.layout.spec.token, self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyVariable, (self.reader, self.name, self.company)
