"""Features of instants, by which somebody may tell drawn from simulated: spectra, gradients, shape, relations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.diagnostics.spectra import ring
from xr_cbottle.evaluation.joint_case import Fields
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.grid import healpix

Floats = npt.NDArray[np.floating[Any]]

LOOKED_AT = (
    Quantity("tas"), Quantity("psl"), Quantity("pr"), Quantity("uas"), Quantity("rlut"), Quantity("ta", 85000),
    Quantity("ua", 25000), Quantity("zg", 50000),
)  # fmt: skip
TOGETHER = (
    ("tas", "prw"), ("prw", "pr"), ("rlut", "pr"), ("psl", "zg_50000"), ("zg_50000", "ta_85000"), ("ua_25000", "tas"),
)  # fmt: skip


def features(fields: Fields) -> tuple[list[str], Floats]:
    """Features of each instant, and their names.

    Parameters
    ----------
    fields
        (time, cell) of each quantity by its key; those of `LOOKED_AT` that are there are looked at.

    Returns
    -------
    names of the features, and (time, feature): of each field the logarithm of its power at every degree from 1 to
    2 nside - 1, of its mean square gradient between neighbouring cells, its skewness and its kurtosis over the cells;
    and the correlations over the cells of the pairs in `TOGETHER`. Fields with missing values are left out.
    """
    names: list[str] = []
    columns: list[Floats] = []
    whole = {
        key: fields[key].values.astype(np.float64)
        for key in dict.fromkeys([one.key for one in LOOKED_AT] + [key for pair in TOGETHER for key in pair])
        if key in fields and not bool(np.isnan(fields[key]).any())
    }
    for quantity in LOOKED_AT:
        if quantity.key in whole:
            values = whole[quantity.key]
            power = _power(values, healpix.nside(diagnostics.zoom(fields[quantity.key])))
            names += [f"{quantity.key} power {degree}" for degree in range(1, power.shape[1] + 1)]
            names += [f"{quantity.key} {what}" for what in ("gradient", "skewness", "kurtosis")]
            columns += [power, _shape(values)]
    for first, second in TOGETHER:
        if first in whole and second in whole:
            names.append(f"{first} with {second}")
            columns.append(_correlation(whole[first], whole[second])[:, None])
    count = len(next(iter(fields.values()))) if fields else 0
    return names, np.concatenate(columns, 1) if columns else np.zeros((count, 0))


def _power(values: Floats, n: int) -> Floats:
    """(time, degree) logarithm of the power at degrees 1 to 2 nside - 1."""
    import healpy

    rows = ring(values, n)
    power = np.array([healpy.anafast(row, lmax=2 * n - 1, iter=0, pol=False)[1:] for row in rows])
    return np.asarray(np.log(np.maximum(power, np.finfo(float).tiny)))


def _shape(values: Floats) -> Floats:
    """(time, 3): logarithm of the mean square difference of neighbours, skewness, kurtosis."""
    quads = values.reshape(len(values), -1, 4)
    gradient = ((quads - quads.mean(-1, keepdims=True)) ** 2).mean((1, 2))
    centred = values - values.mean(1, keepdims=True)
    deviation = np.maximum(centred.std(1), np.finfo(float).tiny)
    skewness, kurtosis = ((centred**k).mean(1) / deviation**k for k in (3, 4))
    return np.stack([np.log(np.maximum(gradient, np.finfo(float).tiny)), skewness, kurtosis], 1)


def _correlation(first: Floats, second: Floats) -> Floats:
    """(time,) over the cells; 0 where one is the same everywhere."""
    a, b = (part - part.mean(1, keepdims=True) for part in (first, second))
    size = np.sqrt((a**2).mean(1) * (b**2).mean(1))
    return np.divide((a * b).mean(1), size, out=np.zeros(len(a)), where=size > 0)


def block_of(times: xr.DataArray, blocks: int, days: float = 10.0) -> npt.NDArray[np.int64]:
    """(time,) number of the part, 0 to ``blocks`` - 1, of each time: stretches of the calendar year by turns.

    Two samples of one time, or of the same days of different years, are in the same part: what is learnt of the one
    cannot be found again in another part.
    """
    from xr_cbottle.diagnostics.cycles import YEAR, year_fraction

    day = year_fraction(times.values) * YEAR
    return np.asarray(np.floor(day / days).astype(np.int64) % blocks)
