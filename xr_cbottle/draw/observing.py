"""Stations and fields: each sees four cells with bilinear weights, and has an error for what cells do not hold."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.gaps import Mask
from xr_cbottle.draw.local_update import taper
from xr_cbottle.fields.observations import Observations
from xr_cbottle.grid import healpix

Floats = npt.NDArray[np.floating[Any]]
EARTH_RADIUS_KM = 6371.0
_LEAST_SHARE = 0.5
"""Of the weights of what an observation sees, that must lie in cells that have values."""


class Operator:
    """The observation operator of some observations: from fields to what each of them sees.

    Parameters
    ----------
    observed
        Where, and of which channel.
    zoom
        HEALPix level of the fields.
    known
        (channel, cell NEST) of all channels, where fields have values; all if None. The cells of an observation that
        have none are left out, and it sees the others alone: give those that `visible` chooses.

    Attributes
    ----------
    channels
        Numbers of the channels that are observed, rising.
    places
        (observation,) number of the place of each, of which many may share one.
    """

    def __init__(self, observed: Observations, zoom: int, known: Mask | None = None) -> None:
        self.observed, self.zoom = observed, zoom
        self.channels = np.unique(observed.channel)
        self._row = np.searchsorted(self.channels, observed.channel)
        self._cells, self._bilinear = _four_cells(observed, zoom)
        self._weights = self._bilinear
        if known is not None:
            there = self._bilinear * known[observed.channel, self._cells]
            self._weights = there / there.sum(0)
        _, places = np.unique(np.stack([observed.lon, observed.lat], 1), axis=0, return_inverse=True)
        self.places = places.reshape(-1)

    def seen(self, fields: Floats) -> Floats:
        """(..., observation) of (..., observed channel, cell NEST) fields of `channels`."""
        return (fields[..., self._row, self._cells] * self._weights).sum(-2)

    def tapers(self, reach: float) -> tuple[Floats, Floats]:
        """(cell, place) float32 and (place, place) tapers of covariances, which are 0 from a distance in km on.

        Those of places are those of the cells that they see, by the same weights: then covariances of what is seen
        remain covariances, and what cells are given is what stations then see.
        """
        touched, near, weights = self._touched
        at_places = taper(near, reach) @ weights.T
        return at_places.astype(np.float32), weights @ at_places[touched]

    @functools.cached_property
    def _touched(self) -> tuple[healpix.Indices, Floats, Floats]:
        """Cells that stations see; (cell, such cell) distances in km; and (place, such cell) weights."""
        _, first = np.unique(self.places, return_index=True)
        cells, weights = self._cells[:, first], self._bilinear[:, first]
        touched, column = np.unique(cells, return_inverse=True)
        of_places = np.zeros((len(first), len(touched)))
        np.add.at(of_places, (np.arange(len(first)), column.reshape(cells.shape)), weights)
        where = _unit_vectors(*healpix.lonlat(self.zoom))
        return touched, _distances(where, where[touched]), of_places


def visible(observed: Observations, zoom: int, known: Mask) -> Observations:
    """Observations of which most of what they would see has values; parameters as of `Operator`."""
    cells, weights = _four_cells(observed, zoom)
    chosen = (weights * known[observed.channel, cells]).sum(0) >= _LEAST_SHARE
    columns = (getattr(observed, field.name)[chosen] for field in dataclasses.fields(observed))
    return Observations(*columns)


def _four_cells(observed: Observations, zoom: int) -> tuple[healpix.Indices, Floats]:
    """The cells that each observation sees, and their weights: both (4, observation)."""
    import healpy

    cells, weights = healpy.get_interp_weights(healpix.nside(zoom), observed.lon, observed.lat, nest=True, lonlat=True)
    return cells, weights


def _unit_vectors(lon: Floats, lat: Floats) -> Floats:
    lam, phi = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)


def _distances(a: Floats, b: Floats) -> Floats:
    # By the chord: the arc cosine loses what is near.
    chord = np.sqrt(np.maximum(2 - 2 * a @ b.T, 0))
    out: Floats = 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / 2, 1))
    return out


def unresolved(fields: Floats) -> Floats:
    """Variance that a field has within its cells, over the variance that it has, from how variance falls with scale.

    Cells are averaged by four, and again: each time some variance is lost, and the ratio of one loss to the next is
    taken to go on below the cells.

    Parameters
    ----------
    fields
        (sample, channel, cell NEST), at least 192 cells, of mean 0 over samples.

    Returns
    -------
    (channel,)
    """
    lost = []
    for _ in range(2):
        coarse = healpix.coarsen(fields, 1)
        lost.append(((fields - np.repeat(coarse, 4, -1)) ** 2).mean((0, 2)))
        fields = coarse
    total = np.maximum((fields**2).mean((0, 2)) + lost[0] + lost[1], 1e-30)
    # White noise loses four times less each time, a gradient four times more: between, it ends below the cells.
    ratio = np.clip(lost[1] / np.maximum(lost[0], 1e-30), 2 ** (2 / 3), 4.0)
    return lost[0] / (ratio - 1) / total
