"""The form in which a data set is written: all cells or a box, members or their mean, HEALPix or a regular grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.cube.layout import Layout
from xr_cbottle.fields import onto_latlon
from xr_cbottle.grid import regular
from xr_cbottle.grid.healpix import Indices
from xr_cbottle.grid.regular import RegularGrid, Weights

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class OutputForm:
    """Form in which the values of a cube are written.

    Attributes
    ----------
    cells
        Numbers of the cells that are read; None for all.
    mean
        Whether the mean over members is taken.
    grid, weights
        Latitudes and longitudes that the cells are brought to, and how; None for the cells as they are.
    told
        What was asked for, as text: an unfinished store is continued in the same form only.
    """

    cells: Indices | None = None
    mean: bool = False
    grid: RegularGrid | None = None
    weights: Weights | None = None
    told: tuple[str, ...] = ()

    def sizes(self, layout: Layout) -> dict[str, int]:
        """Length of each dimension as it is written."""
        sizes = {dim: n for dim, n in layout.sizes.items() if not (dim == "member" and self.mean)}
        cells = sizes.pop("cell")
        if self.grid is not None:
            return {**sizes, "lat": self.grid.lat.size, "lon": self.grid.lon.size}
        return {**sizes, "cell": cells if self.cells is None else self.cells.size}

    def dims(self, layout: Layout, name: str) -> tuple[str, ...]:
        """Dimensions of a variable as it is written."""
        has_levels = layout.variables[name].pressures is not None
        return tuple(dim for dim in self.sizes(layout) if dim != "pressure" or has_levels)

    def draws(self, layout: Layout) -> int:
        """How many fields are drawn: instants, or above the native zoom tiles; the variables of each come with it."""
        spec, fine = layout.spec, layout.spec.fine
        instants = len(spec.members or (0,)) * spec.axis.count * spec.axis.instants_per_value
        if fine is None:
            return instants
        tile = fine.cells(spec.zoom)
        return instants * (layout.sizes["cell"] // tile if self.cells is None else len(np.unique(self.cells // tile)))

    @property
    def read(self) -> Mapping[str, Any]:
        """The part of a variable that is read, beside times and members."""
        return {} if self.cells is None else {"cell": self.cells}

    def horizontal(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(..., cell) that were read, as they are written."""
        return values if self.weights is None else self.weights.apply(values)

    def template(self, ds: xr.Dataset) -> xr.Dataset:
        """Coordinates and attributes of a data set as they are written; without its variables of values."""
        bare = ds.drop_vars(list(ds.data_vars))
        if self.mean:
            members = " ".join(map(str, ds["member"].values.tolist()))
            bare = bare.drop_vars("member").assign_attrs(members=members, ensemble="mean over members")
        if self.grid is not None:
            bare = bare.drop_vars(["cell", "cell_ids", "crs"]).assign_coords(onto_latlon.axes(self.grid))
            return bare.assign_attrs(onto_latlon.dataset_attrs(bare.attrs, self.grid))
        return bare if self.cells is None else bare.isel(cell=self.cells)

    def static(self, field: xr.DataArray) -> tuple[tuple[str, ...], npt.NDArray[np.float32], dict[str, Any]]:
        """Dimensions, values and attributes of a (cell,) field that does not change in time, as they are written."""
        values = self.horizontal(field.values if self.cells is None else field.values[self.cells])
        if self.grid is None:
            return ("cell",), values, dict(field.attrs)
        attrs = {key: value for key, value in field.attrs.items() if key != "cell_methods"}
        return ("lat", "lon"), values, onto_latlon.field_attrs(attrs, self.grid)

    def attrs(self, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """Attributes of a variable as it is written."""
        found = dict(attrs)
        if self.mean:
            found["cell_methods"] = f"{found.get('cell_methods', '')} realization: mean".strip()
        return found if self.grid is None else onto_latlon.field_attrs(found, self.grid)


def output_form(
    layout: Layout,
    *,
    box: Iterable[float] | None = None,
    mean: bool = False,
    spacing: float | tuple[float, float] | None = None,
    method: str = "bilinear",
) -> OutputForm:
    """The form that is asked for.

    Parameters
    ----------
    layout
        Of the data set.
    box
        (west, south, east, north) in degrees: the cells, or points, whose centres lie in it. None: the globe.
    mean
        Whether to write the mean over members.
    spacing, method
        Of latitudes and longitudes, see `xr_cbottle.to_latlon`; None: HEALPix cells.

    Raises
    ------
    ValueError
        If it is no box or grid, or there are no members to take the mean over.
    """
    if mean and layout.spec.members is None:
        raise ValueError("the mean over members needs members: say how many with --members, or members=")
    inside = None if box is None else regular.checked_box(box)
    told = tuple(
        text
        for text, asked in (
            (f"box {inside}", inside),
            ("mean over members", mean),
            (f"grid {spacing} {method}", spacing is not None),
        )
        if asked
    )
    if spacing is None:
        cells = None if inside is None else regular.cells_within(inside, layout.spec.zoom)
        return OutputForm(cells, mean, told=told)
    grid = regular.regular_grid(spacing, method, inside)
    needed, weights = grid.weights(layout.spec.zoom).of_needed_cells()
    return OutputForm(None if needed.size == layout.sizes["cell"] else needed, mean, grid, weights, told)
