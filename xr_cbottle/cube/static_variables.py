"""Variables of a data set that do not change in time: read from the bottle when they are indexed, and never drawn."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray

from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.bottle.records import FieldSpec
from xr_cbottle.cube.xarray_internals import (
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    explicit_indexing_adapter,
    wrapped,
)
from xr_cbottle.grid import healpix


class StaticArray(BackendArray):
    """A static field of a bottle as an array, (cell NEST) float32; indexing reads the file that holds it.

    Parameters
    ----------
    bottle, label, name
        Which field, under which label.
    zoom
        HEALPix level, the bottle's own or a coarser one.
    """

    def __init__(self, bottle: Bottle, label: str | None, name: str, zoom: int) -> None:
        self.bottle, self.label, self.name, self.zoom = bottle, label, name, zoom
        self.shape = (healpix.n_cells(zoom),)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, lambda one: self.values[one])

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.bottle.digest, self.label, self.name, self.zoom

    def __reduce__(self) -> tuple[Any, ...]:
        return StaticArray, (self.bottle, self.label, self.name, self.zoom)

    @functools.cached_property
    def values(self) -> npt.NDArray[np.float32]:
        """All of it."""
        fields = self.bottle.static_fields()
        assert fields is not None  # the manifest names it
        return fields.at(self.name, self.label, self.zoom)


def static_variable(array: StaticArray, about: FieldSpec) -> xr.Variable:
    """The variable of a static field, not read yet."""
    named = {"long_name": about.long_name, "standard_name": about.standard_name, "units": about.units}
    attrs = {key: text for key, text in named.items() if text}
    attrs |= {"grid_mapping": "crs", "cell_methods": "area: mean"}
    return xr.Variable(("cell",), wrapped(LazilyIndexedArray(array)), attrs, fastpath=True)
