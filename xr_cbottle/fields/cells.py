"""HEALPix cells of a data set of others: how many there are, and in which order they lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields import names
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr

_ORDERS = (
    "healpix_order", "indexing_scheme", "healpix_ordering", "healpix_indexing", "healpix_scheme", "ordering",
    "orderingconvention", "grib_orderingconvention", "nest", "nested", "order",
)  # fmt: skip
_GRIDS = (
    "grid_name", "gridspec", "grib_gridspec", "gridname", "grib_gridname", "grid_mapping_name", "gridtype",
    "grib_gridtype", "dggs",
)  # fmt: skip
_GRID_SPEC = re.compile(r"h\d+_?(n(?:ested)?|r(?:ing)?)?")
_WORD = re.compile(r"(?<![a-z])(ring|nest(?:ed)?)(?![a-z])")
_DEGREES = 1e-3  # how far a cell's centre may be from where it is said to be


@dataclass(frozen=True, eq=False)
class Cells:
    """The HEALPix globe of a data set.

    Attributes
    ----------
    zoom
        HEALPix level.
    order
        (cell,) where the cells of NEST order lie in the data; None if they are in that order.
    """

    zoom: int
    order: healpix.Indices | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Key of the grid, which two fields of one grid have in common."""
        return "HEALPix", self.zoom, None if self.order is None else self.order.tobytes()

    @property
    def words(self) -> str:
        """The grid, for people."""
        return f"HEALPix zoom {self.zoom}"

    def nested(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """(..., cell) in NEST order of values as they are stored."""
        return values if self.order is None else values[..., self.order]

    def sampled(self, values: npt.NDArray[np.floating], zoom: int) -> npt.NDArray[np.floating]:
        """(..., cell NEST) at any zoom of stored values: means downwards, bilinear weights upwards."""
        return healpix.resample(self.nested(values), self.zoom, zoom)

    def averaged(self, values: npt.NDArray[np.floating], zoom: int, spread: bool = False) -> npt.NDArray[np.floating]:
        """(..., cell NEST) means of stored values at this zoom or a coarser one.

        Parameters
        ----------
        values
            (..., cell) as stored.
        zoom
            HEALPix level of the result.
        spread
            Whether a cell without a value leaves the mean without one; else it is left out of it.
        """
        return healpix.coarsen(self.nested(values), self.zoom - zoom, spread)


def find_cells(array: xr.DataArray | xr.Dataset, dim: str, ds: xr.Dataset | None = None) -> Cells:
    """The cells along a dimension.

    The order is that of the cells' numbers and of what attributes say, anywhere in the data set; where these say
    nothing, that of the cells' latitudes and longitudes if they are there; else NEST.

    Parameters
    ----------
    array
        With the dimension.
    dim
        Its name.
    ds
        The data set that the array is of: what describes the grid may be a variable of it.

    Raises
    ------
    ValueError
        If there is not one whole globe of them, or the order cannot be known.
    """
    cells = array.sizes[dim]
    zoom = healpix.zoom_of(cells)
    if zoom is None:
        raise ValueError(
            f"{_called(array)} has {cells} cells along {dim}: the whole globe of HEALPix has 12 * 4**zoom, and all of "
            "it is needed; bring data of another unstructured grid to HEALPix or to latitudes and longitudes first, "
            "for example with cdo remapnn"
        )
    ring = _is_ring(array, ds)
    if ring is None:
        ring = _lies_in_ring(array, dim, zoom)
    numbers = _numbers(array, dim, cells)
    wanted = healpix.nest_to_ring(zoom) if ring else None
    if numbers is None:
        return Cells(zoom, wanted)
    places = np.argsort(numbers)
    return Cells(zoom, places if wanted is None else places[wanted])


def is_healpix(array: xr.DataArray, ds: xr.Dataset | None = None) -> bool:
    """Whether attributes say that a data set is on HEALPix."""
    return any(
        key.startswith("healpix")
        or (key in _GRIDS and ("healpix" in str(value).lower() or _GRID_SPEC.fullmatch(str(value).lower())))
        for key, value in _statements(array, ds)
    )


def _called(array: xr.DataArray | xr.Dataset) -> str:
    return str(getattr(array, "name", None) or "the field")


def _attributes(array: xr.DataArray | xr.Dataset, ds: xr.Dataset | None) -> Iterator[Mapping[Any, Any]]:
    """Attributes of whatever may describe the grid, those of the array first."""
    yield array.attrs
    for coordinate in array.coords.values():
        yield coordinate.attrs
    if ds is not None:
        yield ds.attrs
        for variable in ds.variables.values():
            yield variable.attrs


def _statements(array: xr.DataArray | xr.Dataset, ds: xr.Dataset | None) -> Iterator[tuple[str, Any]]:
    for attrs in _attributes(array, ds):
        for key, value in attrs.items():
            if isinstance(value, Mapping):  # zarr's convention of discrete global grids: {"dggs": {...}}
                yield from ((str(inner).lower(), said) for inner, said in value.items())
                yield str(key).lower(), value.get("name", "")
            else:
                yield str(key).lower(), value


def _is_ring(array: xr.DataArray | xr.Dataset, ds: xr.Dataset | None) -> bool | None:
    """Whether the cells are said to be in RING order; None if nothing is said."""
    said = {}
    for key, value in _statements(array, ds):
        if key in _ORDERS:
            found = _order(key, value)
            if found is not None:
                said[found] = f"{key} = {value}"
        elif key in _GRIDS and (match := _GRID_SPEC.fullmatch(str(value).lower())):
            # H64 alone is in RING order, by the rules of ECMWF's grid names.
            said["nest" if (match[1] or "r").startswith("n") else "ring"] = f"{key} = {value}"
        elif key in _GRIDS and "healpix" in str(value).lower():
            for word in _WORD.findall(str(value).lower()):
                said[word[:4]] = f"{key} = {value}"
    others = [text for order, text in said.items() if order not in ("nest", "ring")]
    if others:
        raise ValueError(
            f"the cells of {_called(array)} are in another order ({others[0]}): bring them to nested order"
        )
    if len(said) > 1:
        raise ValueError(
            f"the cells of {_called(array)} are said to be in two orders ({' and '.join(said.values())}): keep the "
            "attribute that is right"
        )
    return next((order == "ring" for order in said), None)


def _order(key: str, value: Any) -> str | None:
    """The order that an attribute says: nest, ring, or another's name; None if it speaks of something else."""
    text = str(value).strip().lower()
    if key in ("nest", "nested"):
        return {"true": "nest", "1": "nest", "false": "ring", "0": "ring"}.get(text)
    if text.startswith("nest"):
        return "nest"
    if text.startswith("ring"):
        return "ring"
    return text if "healpix" in key or key == "indexing_scheme" else None


def _numbers(array: xr.DataArray | xr.Dataset, dim: str, cells: int) -> healpix.Indices | None:
    """The cells' numbers along a dimension; None if there are none or they are 0, 1, 2..."""
    for name in dict.fromkeys((dim, *names.CELLS)):
        if name not in array.coords or array.coords[name].dims != (dim,) or array.coords[name].dtype.kind not in "iuf":
            continue
        numbers = np.asarray(array.coords[name].values)
        if np.array_equal(numbers, np.arange(cells)):
            return None
        if np.array_equal(np.sort(numbers), np.arange(cells)):
            return numbers.astype(np.int64)
        raise ValueError(
            f"{name} of {_called(array)} does not count the cells of the globe from 0: give all of them, each one once"
        )
    return None


def _lies_in_ring(array: xr.DataArray | xr.Dataset, dim: str, zoom: int) -> bool:
    """Whether the cells lie in RING order by their latitudes and longitudes; without these they are taken as NEST."""
    places = {}
    for role, known in (("lat", names.LATITUDES), ("lon", names.LONGITUDES)):
        found = [name for name in known if name in array.coords and array.coords[name].dims == (dim,)]
        if not found:
            return False
        places[role] = np.asarray(array.coords[found[0]].values, np.float64)
    lon, lat = healpix.lonlat(zoom)
    numbers = _numbers(array, dim, lat.size)
    at = slice(None) if numbers is None else numbers
    for ring, order in ((False, np.arange(lat.size)), (True, np.argsort(healpix.nest_to_ring(zoom)))):
        off = np.abs((lon[order[at]] - places["lon"] + 180) % 360 - 180) * np.cos(np.deg2rad(lat[order[at]]))
        if np.abs(lat[order[at]] - places["lat"]).max() < _DEGREES and off.max() < _DEGREES:
            return ring
    raise ValueError(
        f"{_called(array)} has as many values along {dim} as HEALPix has cells, and they lie elsewhere: bring "
        "data of an unstructured grid to HEALPix or to latitudes and longitudes first, for example with cdo remapnn"
    )
