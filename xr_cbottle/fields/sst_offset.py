"""Offsets of the sea surface temperature: a number for all of the sea, or a field.

As in CFMIP's experiment amip-p4K (Webb et al. 2017, https://doi.org/10.5194/gmd-10-359-2017) the sea under ice stays as
it is: what lies at the freezing point is taken to be under ice, and what is less than a kelvin above it in part.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.plain_text import one_line, shown
from xr_cbottle.fields import reader, units
from xr_cbottle.fields.cells import Cells
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr

MOST_KELVIN = 15.0
"""Largest offset that is taken: beyond there is no climate of the sea that any bottle knows."""
FREEZING = 271.35
"""Freezing point of sea water, K."""
_ICE_EDGE = 1.0  # K above it, within which there is ice in a part of a cell
_TEXT = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*K?\s*")
_SIGNED = re.compile(r"\s*[+-]\s*(?:[0-9]+\.?[0-9]*|\.[0-9]+)\s*K\s*")


@dataclass(frozen=True, eq=False)
class SstOffset:
    """Offset of the sea surface temperature; make it with `SstOffset.of`.

    Attributes
    ----------
    kelvin
        () or (cell NEST) float64, K; NaN where a field has no value.
    name
        What it is in a few words: ``+2 K``.
    """

    kelvin: npt.NDArray[np.float64]
    name: str

    @classmethod
    def of(cls, given: Any, zoom: int) -> SstOffset | None:
        """Make an offset of what a user gives; None if it is 0 everywhere.

        Parameters
        ----------
        given
            K as a number or as text such as ``+2K``; a DataArray or data set without time on HEALPix cells or on
            latitudes and longitudes, or a path or URL of one; or an offset.
        zoom
            HEALPix level that a field is brought to.

        Raises
        ------
        ValueError
            If it is none of these, has a time or another unit, or is larger than `MOST_KELVIN`.
        """
        import xarray as xr

        if isinstance(given, cls):
            made = given
        elif isinstance(given, (int, float, np.number)) and not isinstance(given, (bool, np.bool_)):
            made = _uniform(float(given))
        elif isinstance(given, str) and (match := _TEXT.fullmatch(given)):
            made = _uniform(float(match[1]))
        elif isinstance(given, (str, os.PathLike)):
            with _opened(os.fspath(given)) as ds:
                made = _field(ds, zoom)
        elif isinstance(given, (xr.Dataset, xr.DataArray)):
            made = _field(given, zoom)
        else:
            raise ValueError(f"sst_offset is {shown(given)}: give K as a number, as '+2K', or a field without time")
        return made if np.nan_to_num(made.kelvin).any() else None

    def added(self, kelvin: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """SST (..., cell) in K with the offset, where it is free of ice; nowhere colder than freezing for that."""
        free = np.clip((kelvin - FREEZING) / _ICE_EDGE, 0, 1)
        warmed = kelvin + self.kelvin * free
        return np.asarray(np.maximum(warmed, np.minimum(kelvin, FREEZING)), np.float64)

    @functools.cached_property
    def token(self) -> str:
        """Digest (sha256) of its values, as hexadecimal digits."""
        values = np.ascontiguousarray(self.kelvin, "<f8")
        return hashlib.sha256(f"sst offset {values.shape}".encode() + values.tobytes()).hexdigest()


def is_offset(text: Any) -> bool:
    """Whether a value given as an SST is the text of an offset: ``+2K``, with its sign and unit."""
    return isinstance(text, str) and _SIGNED.fullmatch(text) is not None


def _uniform(kelvin: float) -> SstOffset:
    if not math.isfinite(kelvin) or abs(kelvin) > MOST_KELVIN:
        raise ValueError(f"sst_offset is {kelvin:g} K: it must be from {-MOST_KELVIN:g} to {MOST_KELVIN:g} K")
    return SstOffset(np.array(kelvin), f"{kelvin:+.10g} K")


def _opened(path: str) -> xr.Dataset:
    import xarray as xr

    text = os.path.expanduser(os.path.expandvars(path))
    try:
        return xr.open_zarr(text, chunks=None) if os.path.isdir(text) else xr.open_dataset(text)
    except Exception as error:
        raise ValueError(
            f"sst_offset is {shown(path)}: give K as a number, as '+2K', or a file of a field ({one_line(error, 200)})"
        ) from None


def _field(given: xr.Dataset | xr.DataArray, zoom: int) -> SstOffset:
    ds = reader.as_dataset(given, "sst_offset")
    known = reader.fields_of(ds)
    if len(known) != 1:
        there = ", ".join(map(str, known)) or "none"
        raise ValueError(f"sst_offset: which variable is it? Pass it as a DataArray; there are: {there}")
    found = reader.read_field(ds, known[0], "sst_offset: ", 90.0).at_level(None)
    if found is None or (found.has_time and found.array.sizes["time"] > 1):
        raise ValueError("sst_offset has times or levels: give a field without, or add it to an SST of your own")
    array = found.array.isel(time=0) if found.has_time else found.array
    values: npt.NDArray[np.floating[Any]] = np.asarray(array.values, np.float64)[None] * _factor(found.units or "")
    if isinstance(found.grid, Cells):
        values = healpix.resample(found.grid.nested(values), found.grid.zoom, zoom)
    else:
        values = found.grid.sampled(values, zoom)
    have = values[~np.isnan(values)]
    if not have.size or not np.isfinite(have).all() or np.abs(have).max() > MOST_KELVIN:
        raise ValueError(
            f"sst_offset is a field that is not from {-MOST_KELVIN:g} to {MOST_KELVIN:g} K everywhere: give offsets, "
            "and an SST itself as sst"
        )
    made = SstOffset(np.asarray(values[0], np.float64), "")
    return SstOffset(made.kelvin, f"a field of {have.min():+.3g} to {have.max():+.3g} K, sha256:{made.token[:12]}")


def _factor(text: str) -> float:
    """Differences in some unit of temperature times this are in K."""
    if not text.strip():
        return 1.0
    try:
        return units.conversion(text, "K").factor
    except ValueError:
        raise ValueError(f"sst_offset has the units {shown(text)}: they must be those of a temperature") from None
