"""Fields that do not change in time, such as the fraction of land and the altitude: measured, and not drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float32]
_DIMS = ("label", "cell")


@dataclass(frozen=True, eq=False)
class StaticFields:
    """Fields of each label that do not change in time.

    Attributes
    ----------
    labels
        Of the bottle; one of any name where it has none.
    values
        (label, cell NEST) of each field by its name, in the unit that the manifest says; NaN where there is no value.
    """

    labels: tuple[str, ...]
    values: Mapping[str, Floats]

    def __post_init__(self) -> None:
        shapes = {one.shape for one in self.values.values()}
        if len(shapes) != 1 or (shape := shapes.pop())[:-1] != (len(self.labels),):
            raise ValueError("static fields need (label, cell) of the labels that they name, all of the same cells")
        if healpix.zoom_of(shape[-1]) is None:
            raise ValueError(f"static fields have {shape[-1]} cells, which is not a HEALPix grid")
        if any(np.isinf(one).any() for one in self.values.values()):
            raise ValueError("static fields have infinite values")

    @property
    def zoom(self) -> int:
        """HEALPix level of the cells."""
        found = healpix.zoom_of(next(iter(self.values.values())).shape[-1])
        assert found is not None  # checked when it was made
        return found

    def at(self, name: str, label: str | None, zoom: int) -> Floats:
        """A field of a label, (cell NEST) at the zoom of the fields or below it, where it is the mean over cells."""
        whole = self.values[name][0 if label is None else self.labels.index(label)]
        return healpix.coarsen(whole, self.zoom - zoom)

    def write(self, path: Any) -> None:
        """Write as netCDF, the form in which a bottle carries it."""
        import xarray as xr

        fields = {name: (_DIMS, np.asarray(values, np.float32)) for name, values in self.values.items()}
        dataset = xr.Dataset(fields, {"label": list(self.labels)}, {"title": "Fields that do not change in time"})
        packed = {"zlib": True, "complevel": 9, "shuffle": True}
        dataset.to_netcdf(path, encoding=dict.fromkeys(fields, packed), engine="netcdf4")

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset, names: Sequence[str], what: str) -> StaticFields:
        """Read the fields of some names from what `write` wrote.

        Raises
        ------
        BottleError
            If something is missing or wrong; ``what`` names the file.
        """
        missing = [name for name in ("label", *names) if name not in dataset.variables]
        if missing:
            raise BottleError(f"{what} has no {', '.join(missing)}: the manifest names it as a field")
        wrong = [name for name in names if dataset[name].dims != _DIMS or dataset[name].dtype.kind != "f"]
        if wrong or dataset["label"].dims != ("label",):
            raise BottleError(f"{what}: {', '.join(wrong) or 'label'} must be numbers of {' and '.join(_DIMS)}")
        labels = tuple(map(str, dataset["label"].values.tolist()))
        try:
            return cls(labels, {name: dataset[name].values.astype(np.float32) for name in names})
        except (ValueError, TypeError) as error:
            raise BottleError(f"{what}: {error}") from None


def opened(path: str, zoom: int) -> xr.Dataset:
    """The fields of a user's file, each (cell NEST,) float32 at a zoom; from finer cells, their means.

    Raises
    ------
    ValueError
        If the file is none, or a variable has other dimensions, no units, or cells that are coarser.
    """
    import xarray as xr

    from xr_cbottle.fields.cells import find_cells

    if not os.path.exists(path):
        raise ValueError(f"there is no {path}: give FILE, or LABEL=FILE with a label of the bottle")
    try:
        with xr.open_dataset(path, engine="netcdf4") as file:
            ds = file.load()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no netCDF file that can be read ({one_line(error, 200)})") from None
    fields = {}
    for name, field in ds.data_vars.items():
        if name == "crs":
            continue
        if field.ndim != 1 or field.dtype.kind not in "fiu":
            raise ValueError(f"{path}: {name} is {dict(field.sizes)}, and a static field is numbers of cell alone")
        if not field.attrs.get("units"):
            raise ValueError(f"{path}: {name} has no units: add the attribute, such as m, or 1 for a fraction")
        cells = find_cells(field, str(field.dims[0]), ds)
        if cells.zoom < zoom:
            raise ValueError(
                f"{path}: {name} has {cells.words}, and the bottle zoom {zoom}: give cells of it, or finer"
            )
        values = healpix.coarsen(cells.nested(field.values.astype(np.float64)), cells.zoom - zoom)
        fields[name] = ("cell", values.astype(np.float32), field.attrs)
    if not fields:
        raise ValueError(f"{path} has no fields of cells")
    return xr.Dataset(fields)
