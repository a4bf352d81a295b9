"""From fields to values: which fields a read needs, and their levels, units, land, zoom and means."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.cube.cache import Deliver
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.layout import Layout, Parts
from xr_cbottle.cube.read_path import ReadPath
from xr_cbottle.cube.reading import Reading, progress_bar
from xr_cbottle.cube.selection import Index, Selection
from xr_cbottle.cube.sources import FieldSource, Gappy
from xr_cbottle.grid import healpix

Land = Callable[[], npt.NDArray[np.bool_] | None]


class Assembly:
    """The values of one variable while they come in, field by field.

    Parameters
    ----------
    layout, name
        Of the data set, and which variable.
    selection
        What of it is wanted.
    land
        Gives (native cell,) where variables of the sea are missing; asked only for those.
    gaps
        (native cell,) where channels have no values, by their names.
    """

    def __init__(
        self, layout: Layout, name: str, selection: Selection, land: Land, gaps: Gappy = MappingProxyType({})
    ) -> None:
        variable = layout.variables[name]
        self.layout, self.selection, self.factor = layout, selection, variable.factor
        self.land = land if variable.variable.ocean_only else None
        self.gaps = {i: gaps[channel] for i, channel in enumerate(layout.channels) if channel in gaps}
        self.per_value = layout.spec.axis.instants_per_value
        # Channel of each position of the pressure axis, -1 where this variable has none.
        at = dict(zip(variable.pressures or (0,), variable.channels, strict=True))
        self.channels = np.array([at.get(p, -1) for p in (layout.pressures if variable.pressures else (0,))])
        # Sums of float32 are all but exact in float64: a mean does not depend on the order of its instants.
        self.out = np.zeros(selection.size, np.float64) if self.per_value > 1 else np.empty(selection.size, np.float32)

    def parts(self, group: int) -> Parts:
        """Cells of one group of the selection, by the piece of a field that they lie in."""
        cells = self.selection.cells
        if self.selection.pointwise and not isinstance(cells, slice):
            return self.layout.parts(cells[self.selection.rows[group]])
        return self._shared_parts

    @functools.cached_property
    def _shared_parts(self) -> Parts:
        return self.layout.parts(self.selection.cells)

    def fill(self, group: int, field: Field, piece: int | None = None) -> None:
        """Take in one field of a group: (channel, cell) of an instant at the native zoom, or of a piece above it."""
        place, within = self.parts(group)[piece]
        rows = self.selection.rows[group]
        if self.selection.pointwise:
            rows = rows[place]
        cells, inverse = self._prepared(field, rows, piece)
        where: tuple[slice | Index, ...]
        if self.selection.pointwise:
            where, values = (rows,), cells[inverse, within]
        else:
            where = (rows, place) if isinstance(place, slice) else (rows[:, None], place)
            values = cells[:, within][inverse]
        if self.per_value > 1:
            self.out[where] += values
        else:
            self.out[where] = values

    def _prepared(self, field: Field, rows: Index, piece: int | None) -> tuple[npt.NDArray[np.floating], Index]:
        """(level, cell) of the levels that some rows need, as users read them, and which of these each row is."""
        wanted, inverse = np.unique(self.channels[self.selection.levels[rows]], return_inverse=True)
        cells: npt.NDArray[np.floating] = field[wanted]
        land = self.land() if self.land else None
        zoom = self.layout.field_zoom
        finer, native = 4 ** (zoom - self.layout.spec.native_zoom), self.layout.native_cells(piece)
        if land is not None:
            cells[:, np.repeat(land[native], finer)] = np.nan
        for level, channel in enumerate(wanted.tolist()):
            if channel in self.gaps:
                cells[level, np.repeat(self.gaps[channel][native], finer)] = np.nan
        cells = healpix.coarsen(cells, zoom - self.layout.spec.zoom)
        cells[wanted < 0] = np.nan
        if self.factor != 1:
            cells *= np.float32(self.factor)
        return cells, inverse

    def finished(self) -> npt.NDArray[np.float32]:
        """All values, in the shape of the selection."""
        if self.per_value > 1:
            self.out /= self.per_value
        return self.out.astype(np.float32, copy=False).reshape(self.selection.shape)


@dataclass(frozen=True, eq=False)
class CubeReader:
    """Reads values of a data set; it can be pickled and sent to other processes.

    Attributes
    ----------
    layout
        Of the data set.
    source
        Where its fields come from.
    reading
        Limits and what is shown.
    """

    layout: Layout
    source: FieldSource
    reading: Reading

    def __reduce__(self) -> tuple[Any, ...]:
        return CubeReader, (self.layout, self.source, self.reading)  # without what is cached

    @functools.cached_property
    def tasks(self) -> dict[Any, Any]:
        """Tasks that `xr_cbottle.cube.graph` shares between the variables of this data set."""
        return {}

    @functools.cached_property
    def path(self) -> ReadPath:
        """The last reads of this data set, by which what comes next is guessed."""
        return ReadPath(self.layout)

    @functools.cached_property
    def _land(self) -> npt.NDArray[np.bool_] | None:
        return self.source.land

    @functools.cached_property
    def _gaps(self) -> Gappy:
        return self.source.gaps

    def read(self, selections: Mapping[str, Selection], *, passing: bool = False) -> dict[str, npt.NDArray[np.float32]]:
        """Values of variables, from each field that they touch once.

        Parameters
        ----------
        selections
            What to read of each variable, see `xr_cbottle.cube.selection`.
        passing
            Whether the caller keeps the values, so that little of the fields needs to stay in memory here.

        Returns
        -------
        {variable name: values}, in the shape of its selection.

        Raises
        ------
        ValueError
            If these are more instants, or above the native zoom more pieces of them, than ``max_instants``.
        """
        times = max((len(selection.pairs) for selection in selections.values()), default=0)
        self._check(times * self.layout.spec.axis.instants_per_value, "instant", "fewer times or members")
        parts = {
            name: Assembly(self.layout, name, selection, lambda: self._land, self._gaps)
            for name, selection in selections.items()
        }
        wanted: dict[Key, list[tuple[Assembly, int]]] = {}
        for part in parts.values():
            for group, (member, time) in enumerate(part.selection.pairs.tolist()):
                for piece in part.parts(group):
                    for key in self.layout.keys(member, time, piece):
                        wanted.setdefault(key, []).append((part, group))
        self._check(len(wanted), self.layout.unit, "fewer cells, times or members")

        def deliver(key: Key, field: Field) -> None:
            for part, group in wanted[key]:
                part.fill(group, field, key.piece)

        if wanted:
            following = self.path.following([selection.pairs for selection in selections.values()])
            self.gather(list(wanted), deliver, following=following, passing=passing)
        return {name: part.finished() for name, part in parts.items()}

    def gather(
        self, keys: Sequence[Key], deliver: Deliver, *, following: Sequence[Key] = (), passing: bool = False
    ) -> None:
        """Give each field to ``deliver`` once, in any order, with a bar if they are many; see `FieldSource.gather`."""
        few = 2 if self.layout.spec.fine else 2 * self.layout.spec.batch_size
        if len(keys) <= few:
            self.source.gather(keys, deliver, following=following, passing=passing)
            return
        with progress_bar(len(keys), self.reading.progress, self.layout.unit) as bar:

            def delivered(key: Key, field: Field) -> None:
                deliver(key, field)
                bar.update()

            self.source.gather(keys, delivered, following=following, passing=passing)

    def _check(self, needed: int, unit: str, less: str) -> None:
        most = self.reading.max_instants
        if needed > most:
            raise ValueError(
                f"this read takes {needed} {unit}s to draw and max_instants is {most}: read {less}, read in pieces "
                "with chunks={}, or open with a larger max_instants"
            )
