"""A made climate that changes: a climatology with a response to the sea and to carbon dioxide, and bottles of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.bottles import sst_cells, synthetic_bottle
from xr_cbottle.bottle.climate_response import Response, pattern
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.harmonics import Fit
from xr_cbottle.bottle.records import ForcingSpec
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix

CO2 = ForcingSpec("ppmv", 280.0, 1120.0, 360.0, (340.0, 360.0), ("1980-01-01", "1981-12-31T23:00:00"), "log2")
PER_KELVIN, PER_DOUBLING = 1.25, 0.5
"""Response of tas in every cell, K."""
SEA = (-2.0, 2.0)
MOIST = 0.07
"""Logarithm of the spread of pr per K."""


def climatology(zoom: int = 2, modes: Sequence[str] = ("global", "tropics"), forcings: Sequence[str] = ("co2",)):
    """Of tas and pr: tas warms with the global mean and with doublings, pr spreads more where it is warmer."""
    cells = healpix.n_cells(zoom)
    labels, channels = ("a", "b"), ("tas", "pr")
    sst = SeaSurfaceTemperature.from_dataset(sst_cells(zoom), zoom)
    months = Fit(2, 0, (cells,))
    months.add(sst.times, sst.values)
    mean_year = months.solve()[:, 0].astype(np.float32)
    mean = np.zeros((2, 2, 5, 1, cells), np.float32)
    cycle = np.zeros_like(mean)
    cycle[:, :, 0] = 1
    scale = np.array([10.0, 4e-5])
    count = len(modes) + len(forcings)
    response = np.zeros((2, count, 2, 3, cells), np.float32)
    if modes:
        response[:, 0, 0, 0] = PER_KELVIN / scale[0]
    if forcings:
        response[:, -1, 0, 0] = PER_DOUBLING / scale[0]
    spread = np.zeros((2, count, 2, cells), np.float32)
    spread[:, 0, 1] = MOIST
    lon, lat = healpix.lonlat(zoom)
    patterns = np.array([pattern(mode, lon, lat, sst.land) for mode in modes], np.float32).reshape(-1, cells)
    learnt = np.array([*[[-2.0, 2.0], [-1.0, 1.0]][: len(modes)], *[list(CO2.learnt)] * len(forcings)])
    known = Response(tuple(modes), tuple(forcings), patterns, learnt, response, 0.1 * abs(response[:, :, :, 0]), spread)
    return Climatology(
        labels, channels, np.array([280.0, 1e-4]), scale, mean, np.full((2, 2, cells), 0.5, np.float32), cycle,
        mean_year, np.ones(2), response=known,
    )  # fmt: skip


def bottle(path: Path, **fields) -> Path:
    """A bottle of it with random weights."""
    return synthetic_bottle(
        path, channels=("tas", "pr"), climatology=climatology(), forcings={"co2": CO2}, sea_range=(-2.0, 2.0), **fields
    )


def still(path: Path, **fields) -> Path:
    """One that knows of no other climates."""
    known = dataclasses.replace(climatology(), response=None)
    return synthetic_bottle(path, channels=("tas", "pr"), climatology=known, **fields)
