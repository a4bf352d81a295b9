"""From instants to the values of a variable: levels, units, land, zoom and means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xr_cbottle import healpix
from xr_cbottle.cache import Field
from xr_cbottle.selection import Selection

if TYPE_CHECKING:
    from xr_cbottle.cube import Cube


class Target:
    """The values of one variable while they come in, instant by instant."""

    def __init__(self, cube: Cube, name: str, selection: Selection) -> None:
        layout = cube.layouts[name]
        self.selection, self.factor = selection, layout.factor
        self.steps = cube.spec.native_zoom - cube.spec.zoom
        self.per_value = cube.spec.axis.instants_per_value
        self.land = cube._land if layout.variable.ocean_only and len(selection.pairs) else None
        # Channel of each position of the pressure axis, -1 where this variable has none.
        at = dict(zip(layout.pressures or (0,), layout.channels, strict=True))
        self.channels = np.array([at.get(p, -1) for p in (cube.pressures if layout.pressures else (0,))])
        # Sums of float32 are all but exact in float64: a mean does not depend on the order of its instants.
        self.out = np.zeros(selection.size, np.float64) if self.per_value > 1 else np.empty(selection.size, np.float32)

    def fill(self, group: int, field: Field) -> None:
        """Take in one instant, (channel, cell) at the native zoom."""
        selection = self.selection
        rows = selection.rows[group]
        wanted, inverse = np.unique(self.channels[selection.levels[rows]], return_inverse=True)
        cells = field[wanted]
        if self.land is not None:
            cells[:, self.land] = np.nan
        cells = healpix.coarsen(cells, self.steps)
        cells[wanted < 0] = np.nan
        if self.factor != 1:
            cells *= np.float32(self.factor)
        chosen = selection.cells
        if selection.pointwise and not isinstance(chosen, slice):
            values = cells[inverse, chosen[rows]]
        else:
            values = cells[:, chosen][inverse]
        if self.per_value > 1:
            self.out[rows] += values
        else:
            self.out[rows] = values

    def finished(self) -> npt.NDArray[np.float32]:
        """All values, in the shape of the selection."""
        if self.per_value > 1:
            self.out /= self.per_value
        return self.out.astype(np.float32, copy=False).reshape(self.selection.shape)
