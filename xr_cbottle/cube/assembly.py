"""From instants, or pieces of them, to the values of a variable: levels, units, land, zoom and means."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xr_cbottle.cube.keys import Field
from xr_cbottle.cube.selection import Index, Selection, by_piece
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    from xr_cbottle.cube.cube import Cube


class Target:
    """The values of one variable while they come in, instant by instant."""

    def __init__(self, cube: Cube, name: str, selection: Selection) -> None:
        layout = cube.layouts[name]
        self.cube, self.selection, self.factor = cube, selection, layout.factor
        self.per_value = cube.spec.axis.instants_per_value
        self.masked = layout.variable.ocean_only
        # Channel of each position of the pressure axis, -1 where this variable has none.
        at = dict(zip(layout.pressures or (0,), layout.channels, strict=True))
        self.channels = np.array([at.get(p, -1) for p in (cube.pressures if layout.pressures else (0,))])
        # Sums of float32 are all but exact in float64: a mean does not depend on the order of its instants.
        self.out = np.zeros(selection.size, np.float64) if self.per_value > 1 else np.empty(selection.size, np.float32)

    def pieces(self, group: int) -> Iterable[int | None]:
        """Which pieces of its instants one group of the selection needs: none but the whole."""
        return (None,)

    def fill(self, group: int, field: Field, piece: int | None = None) -> None:
        """Take in one instant, (channel, cell) at the native zoom."""
        selection, spec = self.selection, self.cube.spec
        rows = selection.rows[group]
        land = self.cube._land if self.masked else None
        cells, inverse = self._prepared(field, rows, land, spec.native_zoom - spec.zoom)
        chosen = selection.cells
        if selection.pointwise and not isinstance(chosen, slice):
            values = cells[inverse, chosen[rows]]
        else:
            values = cells[:, chosen][inverse]
        if self.per_value > 1:
            self.out[rows] += values
        else:
            self.out[rows] = values

    def _prepared(
        self, field: Field, rows: Index, land: npt.NDArray[np.bool_] | None, steps: int
    ) -> tuple[npt.NDArray[np.floating], Index]:
        """(level, cell) of the levels that some rows need, as users read them, and which of these each row is."""
        wanted, inverse = np.unique(self.channels[self.selection.levels[rows]], return_inverse=True)
        cells: npt.NDArray[np.floating] = field[wanted]
        if land is not None:
            cells[:, land] = np.nan
        cells = healpix.coarsen(cells, steps)
        cells[wanted < 0] = np.nan
        if self.factor != 1:
            cells *= np.float32(self.factor)
        return cells, inverse

    def finished(self) -> npt.NDArray[np.float32]:
        """All values, in the shape of the selection."""
        if self.per_value > 1:
            self.out /= self.per_value
        return self.out.astype(np.float32, copy=False).reshape(self.selection.shape)


class FineTarget(Target):
    """The values of one variable above the native zoom, where a piece comes in at a time."""

    def __init__(self, cube: Cube, name: str, selection: Selection) -> None:
        super().__init__(cube, name, selection)
        assert cube.spec.fine is not None  # there are pieces above the native zoom only
        self.fine = cube.spec.fine
        self.size = self.fine.cells(cube.spec.zoom)

    def pieces(self, group: int) -> Iterable[int]:
        """Which pieces of its instants one group of the selection needs."""
        return self._parts(group)

    def fill(self, group: int, field: Field, piece: int | None = None) -> None:
        """Take in one piece of an instant, (channel, cell of the piece) at the finest zoom."""
        assert piece is not None
        fine, spec = self.fine, self.cube.spec
        place, within = self._parts(group)[piece]
        rows = self.selection.rows[group]
        if self.selection.pointwise:
            rows = rows[place]
        cells, inverse = self._prepared(field, rows, self._land(piece), fine.zoom - spec.zoom)
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

    def _parts(self, group: int) -> dict[int, tuple[slice | Index, slice | Index]]:
        cells = self.selection.cells
        if self.selection.pointwise and not isinstance(cells, slice):
            return by_piece(cells[self.selection.rows[group]], self.cube.sizes["cell"], self.size)
        return self._shared_parts

    @functools.cached_property
    def _shared_parts(self) -> dict[int, tuple[slice | Index, slice | Index]]:
        return by_piece(self.selection.cells, self.cube.sizes["cell"], self.size)

    def _land(self, piece: int) -> npt.NDArray[np.bool_] | None:
        """(cell of the piece,) at the finest zoom where the native cell around it is land."""
        land = self.cube._land if self.masked else None
        if land is None:
            return None
        native = self.cube.spec.native_zoom
        size = self.fine.cells(native)
        return np.repeat(land[piece * size : (piece + 1) * size], 4 ** (self.fine.zoom - native))
