"""Figures of instants beside the fields: one number, or a few, for each member and time; drawn with the instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray

from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.layout import Layout
from xr_cbottle.cube.sources import FieldSource
from xr_cbottle.cube.xarray_internals import (
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    explicit_indexing_adapter,
    wrapped,
)


class FigureArray(BackendArray):
    """A figure of each instant as an array, (member, time) or (member, time, part); indexing draws the instants.

    Parameters
    ----------
    layout, source
        Of the data set, at the native zoom; a field of the source has its figures in its last row.
    columns
        Where they are in that row: one, or one for each part.
    """

    def __init__(self, layout: Layout, source: FieldSource, columns: int | Sequence[int]) -> None:
        self.layout, self.source, self.columns = layout, source, columns
        parts = () if isinstance(columns, int) else (len(columns),)
        self.shape = (*(layout.sizes[dim] for dim in ("member", "time") if dim in layout.sizes), *parts)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, self._read)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.layout.spec.token, str(self.columns)

    def __reduce__(self) -> tuple[Any, ...]:
        return FigureArray, (self.layout, self.source, self.columns)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[np.float32]:
        chosen = [np.arange(size)[one] for size, one in zip(self.shape, key, strict=True)]
        flat = [np.atleast_1d(one) for one in chosen]
        if "member" not in self.layout.sizes:
            flat = [np.zeros(1, int), *flat]
        columns = np.atleast_1d(self.columns)[flat[2]] if len(flat) > 2 else self.columns
        out: npt.NDArray[np.float32] = np.empty((len(flat[0]), len(flat[1]), np.size(columns)), np.float32)
        wanted: dict[Key, list[tuple[int, int]]] = {}
        for m, member in enumerate(flat[0].tolist()):
            for t, time in enumerate(flat[1].tolist()):
                (only,) = self.layout.keys(member, time)
                wanted.setdefault(only, []).append((m, t))

        def deliver(one: Key, field: Field) -> None:
            for m, t in wanted[one]:
                out[m, t] = field[-1, columns]

        self.source.gather(list(wanted), deliver)
        return out.reshape([len(one) for one in chosen if one.ndim])


def figure(
    layout: Layout, source: FieldSource, columns: int | Sequence[int], attrs: Mapping[str, Any], part: str = "part"
) -> xr.Variable:
    """A figure of each instant as a variable that is not read; see `FigureArray`."""
    array = FigureArray(layout, source, columns)
    dims: tuple[str, ...] = tuple(dim for dim in ("member", "time") if dim in layout.sizes)
    dims = dims if isinstance(columns, int) else (*dims, part)
    return xr.Variable(dims, wrapped(LazilyIndexedArray(array)), dict(attrs), fastpath=True)
