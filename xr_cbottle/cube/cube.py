"""The cube: everything that a bottle stands for as lazy arrays, of which a read draws the instants it touches."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.bottle.records import BridgeSpec, VideoSpec
from xr_cbottle.cube import cache, graph, keywords, metadata
from xr_cbottle.cube import chunks as chunking
from xr_cbottle.cube.assembly import CubeReader
from xr_cbottle.cube.bridged import BridgedInstants
from xr_cbottle.cube.cache import Deliver
from xr_cbottle.cube.chunked import ChunkedVariable
from xr_cbottle.cube.climate import AskedClimate, warn
from xr_cbottle.cube.coordinates import coordinates
from xr_cbottle.cube.instant_figures import figure
from xr_cbottle.cube.keys import Key
from xr_cbottle.cube.keywords import Keywords
from xr_cbottle.cube.layout import Layout
from xr_cbottle.cube.lazy import LazyVariable
from xr_cbottle.cube.pieces import Pieces
from xr_cbottle.cube.reading import Reading
from xr_cbottle.cube.selection import Selection
from xr_cbottle.cube.sources import DrawnInstants, FieldSource, named
from xr_cbottle.cube.spec import CubeSpec, make_spec, settled_coherence
from xr_cbottle.cube.static_variables import StaticArray, static_variable
from xr_cbottle.cube.variables import CubeVariable
from xr_cbottle.cube.windowed import WindowedInstants
from xr_cbottle.draw.defaults import BRIDGE, VIDEO
from xr_cbottle.fields.channels import VariableLayout

if TYPE_CHECKING:
    from xr_cbottle.draw.emulator import Emulator
    from xr_cbottle.fields.sst import SeaSurfaceTemperature


_KINDS: dict[Any, type[DrawnInstants]] = {BRIDGE: BridgedInstants, VIDEO: WindowedInstants}
"""Sources of instants that are drawn from others, by their coherence."""
LOG_WEIGHT = "log_weight"
"""Name of the variable with the weights of draws that are steered to an event."""
_WEIGHT_ATTRS = {
    "long_name": "natural logarithm of the weight of a draw",
    "units": "1",
    "comment": "means with the weights exp(log_weight) are those of the bottle that is not steered",
}


class Cube:
    """A data set that a bottle stands for. Nothing is drawn, and torch is not imported, until values are read.

    Parameters
    ----------
    bottle
        Path, URL or name of a bottle, or an open `Bottle`.
    {keywords}

    Attributes
    ----------
    spec
        Everything that its values and its form are a function of.
    reading
        How values are read.
    told
        Keywords that are not the default, as text.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If a value is wrong; it lists the right ones.
    BottleNotFound, BottleError
        If the bottle is not there, or not what it should be.
    """

    @keywords.documented()
    def __init__(self, bottle: str | os.PathLike[str] | Bottle, **given: Unpack[Keywords]) -> None:
        asked = keywords.checked(given, "a data set")
        if isinstance(bottle, Bottle):
            if asked["weights"] is not None:
                raise ValueError("weights is for a bottle that is opened here: give it to open_bottle")
        else:
            bottle = open_bottle(bottle, weights=asked["weights"])
        asked["coherence"] = settled_coherence(bottle.manifest, asked)
        climate = AskedClimate.of(bottle.manifest, asked)
        spec = named(make_spec(bottle.manifest, bottle.digest, asked, climate), bottle, bottle)
        spec = dataclasses.replace(spec, outside=climate.outside(bottle, spec.axis))
        warn(spec.outside)
        reading = Reading.of(asked)
        instants = _KINDS.get(spec.coherence, DrawnInstants)(bottle, spec, climate, reading, asked["guide"])
        self._fill(instants, bottle, spec, reading, keywords.told(given))

    @classmethod
    def over(
        cls,
        instants: FieldSource,
        bottle: Bottle,
        spec: CubeSpec,
        reading: Reading,
        told: dict[str, str],
        member: int = 0,
    ) -> Cube:
        """A cube whose instants come from another source, of one member."""
        cube = cls.__new__(cls)
        cube._fill(instants, bottle, spec, reading, told, member)
        return cube

    def _fill(
        self,
        instants: FieldSource,
        bottle: Bottle,
        spec: CubeSpec,
        reading: Reading,
        told: dict[str, str],
        member: int = 0,
    ) -> None:
        self.instants, self.bottle, self.spec, self.reading, self.told = instants, bottle, spec, reading, told
        self.member = member

    def __reduce__(self) -> tuple[Any, ...]:
        return Cube.over, (self.instants, self.bottle, self.spec, self.reading, self.told, self.member)

    def __dask_tokenize__(self) -> str:
        return self.spec.token

    def __repr__(self) -> str:
        sizes = ", ".join(f"{k}: {v}" for k, v in self.sizes.items())
        return f"<Cube of {self.bottle.manifest.name!r}, ({sizes}), {len(self.layouts)} variables>"

    # What it is ------------------------------------------------------------------------------------------------

    @functools.cached_property
    def source(self) -> FieldSource:
        """The source of the fields that values are made of: instants, or pieces of them above the native zoom."""
        fine = self.spec.fine
        return self.instants if fine is None else Pieces(self.instants, self.bottle, self.spec, fine, self.reading)

    @functools.cached_property
    def layout(self) -> Layout:
        """Dimensions, sizes, variables and chunks of the data set."""
        own = tuple(self.bottle.manifest.own.values())
        return Layout(self.spec, self.source.channels, self.member, self.source.as_variables, own)

    @functools.cached_property
    def reader(self) -> CubeReader:
        """The reader of the values of the data set."""
        return CubeReader(self.layout, self.source, self.reading)

    @property
    def layouts(self) -> dict[str, VariableLayout]:
        """Levels and channels of each variable, by its name."""
        return self.layout.variables

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each dimension."""
        return self.layout.sizes

    @functools.cached_property
    def static(self) -> dict[str, StaticArray]:
        """Fields that do not change in time, by their names; none above the bottle's zoom."""
        spec, static = self.spec, self.bottle.manifest.static
        if static is None or spec.fine is not None or not isinstance(self.instants, DrawnInstants):
            return {}
        return {name: StaticArray(self.bottle, spec.label, name, spec.zoom) for name in static.variables}

    def dims(self, name: str) -> tuple[str, ...]:
        """Dimensions of a variable."""
        return self.layout.dims(name)

    @property
    def sst(self) -> SeaSurfaceTemperature | None:
        """The user's sea surface temperature; None for the bottle's."""
        return self.instants.climate.sst if isinstance(self.instants, DrawnInstants) else None

    def variables(self, drop_variables: str | Iterable[str] | None = None) -> list[str]:
        """Names of the variables, without some."""
        dropped = _names(drop_variables)
        return [name for name in self.layouts if name not in dropped]

    # Values ----------------------------------------------------------------------------------------------------

    def read(self, selections: Mapping[str, Selection], *, passing: bool = False) -> dict[str, npt.NDArray[np.float32]]:
        """Values of variables, from each instant that they touch once; see `CubeReader.read`."""
        return self.reader.read(selections, passing=passing)

    def gather(self, keys: Sequence[Key], deliver: Deliver) -> None:
        """Give instants, or pieces of them, to ``deliver``, each once and in any order."""
        self.reader.gather(keys, deliver)

    @property
    def instant_cache(self) -> cache.FieldCache:
        """Where its finished instants are kept."""
        return cache.shared()

    def emulator(self) -> Emulator:
        """The emulator that draws, loaded once for this process; imports torch."""
        if not isinstance(self.instants, DrawnInstants):
            raise ValueError("the instants of this cube are read from a data set, and no emulator draws them")
        return self.instants.emulator()

    # The data set ----------------------------------------------------------------------------------------------

    def lazy_dataset(self, drop_variables: str | Iterable[str] | None = None) -> xr.Dataset:
        """The data set as a backend gives it to xarray: each variable an array that draws when it is indexed."""
        own = self._dataset({one.name: CubeVariable.of(one) for one in self._lazy(drop_variables)}, drop_variables)
        return self._weighted(own, drop_variables)

    def to_dataset(
        self,
        chunks: int | str | Mapping[str, int] | None = None,
        *,
        drop_variables: str | Iterable[str] | None = None,
    ) -> xr.Dataset:
        """The data set.

        Parameters
        ----------
        chunks
            None: lazy arrays, as `xarray.open_dataset` makes them. ``{}``, ``"auto"``, a number of times or
            ``{"time": n, "member": m}``: dask arrays of one graph, in which one task draws all variables of a
            block. A job on many variables then draws each instant once, also when it is larger than any cache
            or spread over machines.
        drop_variables
            Variables to leave out; they cost nothing either way.

        Raises
        ------
        ValueError
            If the chunks split levels or cells that are drawn together.
        """
        if chunks is None:
            cached = {one.name: CubeVariable.of(one).cached() for one in self._lazy(drop_variables)}
            return self._weighted(self._dataset(cached, drop_variables), drop_variables)
        asked = chunking.lengths(chunks, self.sizes)
        blocks = graph.blocks(self.layout, asked, chunks)
        lazy = self._lazy(drop_variables)
        chunked = self._dataset({one.name: ChunkedVariable.of(one, blocks) for one in lazy}, drop_variables)
        return self._weighted(chunked, drop_variables, chunked.chunksizes)

    def _weighted(
        self, ds: xr.Dataset, drop_variables: str | Iterable[str] | None, chunks: Mapping[Any, Any] | None = None
    ) -> xr.Dataset:
        """The data set with the weights of its draws, if they are steered to an event."""
        if self.spec.guide is None or LOG_WEIGHT in _names(drop_variables):
            return ds
        layout = dataclasses.replace(self.layout, spec=dataclasses.replace(self.spec, fine=None))
        weight = figure(layout, self.instants, 0, _WEIGHT_ATTRS)
        if chunks is not None:
            weight = weight.chunk({dim: chunks[dim] for dim in weight.dims if dim in chunks})
        return ds.assign({LOG_WEIGHT: weight})

    def _lazy(self, drop_variables: str | Iterable[str] | None) -> list[LazyVariable]:
        names = tuple(self.variables(drop_variables))
        return [LazyVariable(self.reader, name, names) for name in names]

    def _dataset(self, variables: Mapping[str, xr.Variable], drop_variables: str | Iterable[str] | None) -> xr.Dataset:
        manifest, layout = self.bottle.manifest, self.layout
        for name, variable in variables.items():
            variable.attrs = metadata.variable_attrs(layout.variables[name], self.spec, manifest)
            variable.encoding = {"preferred_chunks": layout.preferred_chunks(name)}
        levels = any(layout.variables[name].pressures for name in variables)
        without = _names(drop_variables)
        coords, others = coordinates(self.spec, layout.pressures if levels else (), without)
        about = manifest.static.variables if manifest.static else {}
        static = {
            name: static_variable(array, about[name]) for name, array in self.static.items() if name not in without
        }
        ds = xr.Dataset(
            {**variables, **static, **others}, coords, metadata.global_attrs(self.spec, manifest, self.told)
        )
        ds = ds.set_coords(list(others))  # not as coords before, which would make base variables of them
        ds.encoding["source"] = self.bottle.path
        ds.set_close(self.close)
        return ds

    def close(self) -> None:
        """Nothing to close: no file stays open, and what is in memory is shared."""


Cube.__doc__ = keywords.with_keywords(Cube.__doc__)


def warn_of_means(cube: Cube) -> None:
    """Warn the program that opened a data set if its values are means of independent draws."""
    axis = cube.spec.axis
    if axis.instants_per_value < 2 or cube.spec.coherence is not None:
        return

    def knows(spec: BridgeSpec | VideoSpec | None) -> bool:
        return spec is not None and (cube.spec.label is None or cube.spec.label in spec.labels)

    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    manifest = cube.bottle.manifest
    best = next((repr(how) for how, spec in ((BRIDGE, manifest.bridge), (VIDEO, manifest.video)) if knows(spec)), None)
    best = best or ("'latents'" if manifest.coherence is not None else "'2D'")
    warnings.warn(
        f"time_method='mean' of independent draws: means of {axis.instants_per_value} of them vary far less than means "
        f"of weather do, and have no persistence; open it with coherence={best} for weather that lasts",
        stacklevel=level,
    )


_BETWEEN = ("xr_cbottle", "xarray", "intake", "intake_xarray", "pydantic")
"""Packages between a program and a data set that it opens."""


def _names(names: str | Iterable[str] | None) -> set[str]:
    return {names} if isinstance(names, str) else set(names or ())
