"""Open water: where the sea surface temperature alone says that there is neither land nor ice."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields.sst_offset import FREEZING
from xr_cbottle.grid import healpix

Floats = npt.NDArray[np.floating[Any]]

ICY, FREE = 1.0, 2.0
"""K above the freezing point of sea water: up to the one there may be ice, from the other on there is none."""


def share(sst: Floats) -> npt.NDArray[np.float64]:
    """Share of each cell that is certainly open water.

    Models know land and ice by cells of their own, that lie across those of a field: so a cell counts by the coldest
    of itself and its neighbours, and not at all where one of them is land.

    Parameters
    ----------
    sst
        (..., cell NEST) K, NaN over land.

    Returns
    -------
    (..., cell NEST) float64, 0 to 1; between, where the sea is `ICY` to `FREE` above freezing.
    """
    kelvin = np.asarray(sst, np.float64)
    coldest = np.where(np.isnan(kelvin), -np.inf, kelvin)[..., _around(kelvin.shape[-1])].min(-1)
    return np.asarray(np.clip((coldest - FREEZING - ICY) / (FREE - ICY), 0.0, 1.0))


def share_back(sst: Floats, gradient: Floats) -> npt.NDArray[np.float64]:
    """Carry a gradient, (n, cell) with respect to `share`, back to that with respect to an SST (n, cell), per K."""
    kelvin = np.where(np.isnan(sst), -np.inf, np.asarray(sst, np.float64))
    around = _around(kelvin.shape[-1])
    chosen = np.take_along_axis(around[None], kelvin[:, around].argmin(-1)[..., None], -1)[..., 0]
    above = np.take_along_axis(kelvin, chosen, -1) - FREEZING
    slope = ((above > ICY) & (above < FREE)) / (FREE - ICY)
    out = np.zeros_like(kelvin)
    np.add.at(out, (np.arange(len(out))[:, None], chosen), gradient * slope)
    return out


@functools.lru_cache(maxsize=8)
def _around(cells: int) -> npt.NDArray[np.int64]:
    """(cell, 9) each cell and its neighbours, NEST; where only seven meet, a cell stands for the eighth."""
    import healpy

    zoom = healpix.zoom_of(cells)
    if zoom is None:
        raise ValueError(f"a field has {cells} cells, which is not a HEALPix grid")
    own = np.arange(cells)
    found = np.stack([own, *healpy.get_all_neighbours(healpix.nside(zoom), own, nest=True)], 1)
    found = np.where(found < 0, own[:, None], found)
    found.flags.writeable = False
    return found
