"""The layout of a data set: its dimensions, sizes, variables and chunks, and which fields a value is made of.

A pure function of what is asked for: nothing is drawn or opened here, and no torch is needed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xr_cbottle.cube.keys import Key
from xr_cbottle.cube.selection import Index, Selection, by_piece, select_within
from xr_cbottle.cube.spec import CubeSpec
from xr_cbottle.fields import channels
from xr_cbottle.fields.channels import Variable, VariableLayout
from xr_cbottle.grid import healpix

# All variables of a task are in memory together: of a few instants of `gcm` at zoom 5, of one of `icon` at zoom 10.
_MOST_BYTES_IN_A_TASK = 2**26

Parts = Mapping[int | None, tuple[slice | Index, slice | Index]]
"""{piece: (which of some cells lie in it, their positions within it)}; the whole globe is the piece None."""


@dataclass(frozen=True)
class Layout:
    """Layout of a data set.

    Attributes
    ----------
    spec
        What is asked for.
    channels
        Names of the channels of a field, in their order.
    member
        Number of the member where there is no dimension of members.
    as_variables
        Whether fields are in the units of variables and not of channels.
    own
        Variables that the bottle defines.
    """

    spec: CubeSpec
    channels: tuple[str, ...]
    member: int = 0
    as_variables: bool = False
    own: tuple[Variable, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return Layout, (self.spec, self.channels, self.member, self.as_variables, self.own)  # without what is cached

    @functools.cached_property
    def variables(self) -> dict[str, VariableLayout]:
        """Levels and channels of each variable, by its name."""
        found = channels.variables(self.channels, {one.name: one for one in self.own})
        return {name: replace(one, factor=1.0) for name, one in found.items()} if self.as_variables else found

    @functools.cached_property
    def pressures(self) -> tuple[int, ...]:
        """Pressure axis in Pa, ascending; empty if no variable has levels."""
        return channels.pressure_axis(self.variables)

    @functools.cached_property
    def sizes(self) -> dict[str, int]:
        """Length of each dimension."""
        members = {} if self.spec.members is None else {"member": len(self.spec.members)}
        pressure = {"pressure": len(self.pressures)} if self.pressures else {}
        return {**members, "time": self.spec.axis.count, **pressure, "cell": healpix.n_cells(self.spec.zoom)}

    def dims(self, name: str) -> tuple[str, ...]:
        """Dimensions of a variable."""
        has_levels = self.variables[name].pressures is not None
        return tuple(dim for dim in self.sizes if dim != "pressure" or has_levels)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a variable."""
        return tuple(self.sizes[dim] for dim in self.dims(name))

    def select(self, name: str, part: Mapping[str, Any]) -> Selection:
        """Find what a part of a variable touches: positions or slices for some dimensions, all of the others."""
        dims = self.dims(name)
        return select_within(tuple(part.get(dim, slice(None)) for dim in dims), self.shape(name), dims)

    # What is drawn at once -------------------------------------------------------------------------------------

    @property
    def values_per_batch(self) -> int:
        """Times of the axis that one batch of instants makes; 1 above the native zoom, where tiles are drawn singly."""
        if self.spec.fine is not None:
            return 1
        return max(1, self.spec.batch_size // self.spec.axis.instants_per_value)

    @property
    def values_per_task(self) -> int:
        """Times of the axis that one task of dask draws: those of a batch, or fewer where all tiles of them are much.

        Below the native zoom that is `values_per_batch`; of instants that hang in a tree it is those between two roots.
        """
        if self.spec.fine is None and self.spec.tree is None:
            return self.values_per_batch
        batch = max(1, self._instants_at_once // self.spec.axis.instants_per_value)
        nbytes = 4 * self.sizes["cell"] * len(self.channels)
        return min(batch, max(1, _MOST_BYTES_IN_A_TASK // nbytes))

    @property
    def _instants_at_once(self) -> int:
        tree, axis = self.spec.tree, self.spec.axis
        between = axis.native if axis.method == "mean" or axis.listed is not None else axis.step
        return self.spec.batch_size if tree is None else max(self.spec.batch_size, tree.interval // between)

    @property
    def unit(self) -> str:
        """The word for what is drawn at once: instant, or above the native zoom tile."""
        return "instant" if self.spec.fine is None else "tile"

    def preferred_chunks(self, name: str | None = None) -> dict[str, int]:
        """Chunks of a variable, or of all dimensions, that cost least: a batch of instants, all levels and cells."""
        dims = self.sizes if name is None else self.dims(name)
        once = {"time": min(self.sizes["time"], self.values_per_task), "member": 1}
        return {dim: once.get(dim, self.sizes[dim]) for dim in dims}

    # Fields ----------------------------------------------------------------------------------------------------

    @property
    def field_zoom(self) -> int:
        """HEALPix level of the fields that values are made of: the native zoom, or that of super-resolution."""
        return self.spec.native_zoom if self.spec.fine is None else self.spec.fine.zoom

    def keys(self, member: int, time: int, piece: int | None = None) -> list[Key]:
        """The fields that a time of a member, given by their positions, is made of: instants, or a piece of each."""
        spec = self.spec
        number = self.member if spec.members is None else spec.members[member]
        return [
            Key(spec.field_namespace, spec.label, spec.seed, number, seconds, piece)
            for seconds in spec.axis.instants(time).tolist()
        ]

    def instants(self, member: int, time: int) -> list[Key]:
        """The instants that a time of a member, given by their positions, is made of, also above the native zoom."""
        return [key._replace(namespace=self.spec.namespace) for key in self.keys(member, time)]

    def parts(self, cells: slice | Index) -> Parts:
        """Cells of the data set by the piece of a field that they lie in."""
        fine = self.spec.fine
        if fine is None:
            return {None: (slice(None), cells)}
        return dict(by_piece(cells, self.sizes["cell"], fine.cells(self.spec.zoom)).items())

    def cells_of(self, pieces: Sequence[int]) -> slice | Index:
        """Cells of the data set that some ascending pieces of a field cover; a slice where there is no gap."""
        assert self.spec.fine is not None
        size = self.spec.fine.cells(self.spec.zoom)
        if pieces[-1] - pieces[0] == len(pieces) - 1:
            return slice(pieces[0] * size, (pieces[-1] + 1) * size)
        return (np.array(pieces, np.int64)[:, None] * size + np.arange(size)).ravel()

    def native_cells(self, piece: int | None) -> slice:
        """Cells of the native zoom that a piece of a field covers."""
        if piece is None or self.spec.fine is None:
            return slice(None)
        size = self.spec.fine.cells(self.spec.native_zoom)
        return slice(piece * size, (piece + 1) * size)
