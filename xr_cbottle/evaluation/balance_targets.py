"""Target j: balances that hold in each instant, between wind and height and between height and temperature."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.joint_case import Fields, JointCase, with_levels
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.row import ReportTarget, Row

LEVEL = 50000
GEOSTROPHY, HYDROSTATIC = 0.03, (0.85, 1.15)
_MOST = 120
"""Instants that are enough: gradients of spherical harmonics cost ten times as much as any other figure."""


def balance_rows(case: JointCase) -> list[Row]:
    """Target j; no row where a quantity is not on both sides."""
    return [*_geostrophic(case), *_hydrostatic(case)]


def _geostrophic(case: JointCase) -> list[Row]:
    keys = [f"{name}_{LEVEL}" for name in ("zg", "ua", "va")]
    if not case.has(*keys):
        return []
    known: dict[int, float] = {}

    def likeness(side: Fields) -> float:
        if id(side) not in known:
            fields = {key: _some(side[key]) for key in keys}
            known[id(side)] = float(diagnostics.geostrophic_correlation(with_levels(fields), LEVEL))
        return known[id(side)]

    return [
        case.row(
            ReportTarget.BALANCES, f"geostrophy.{LEVEL}", "correlation of wind and geostrophic wind",
            Quantity("ua", LEVEL), lambda mine, theirs: likeness(mine) - likeness(theirs), likeness, units="1",
            lower=-GEOSTROPHY, upper=GEOSTROPHY, remark="anomalies of both components beyond 20 degrees",
        )
    ]  # fmt: skip


def _hydrostatic(case: JointCase) -> list[Row]:
    levels = sorted(
        int(key.rpartition("_")[2]) for key in case.bottle if key.startswith("zg_") and case.has(key, "ta" + key[2:])
    )
    rows = []
    for upper, lower in itertools.pairwise(levels):
        keys = [f"{name}_{level}" for name in ("zg", "ta", "hus") for level in (upper, lower)]
        kept = [key for key in keys if case.has(key)]
        kept = kept if len(kept) == len(keys) else kept[:4]

        def spread(side: Fields, kept: list[str] = kept) -> float:
            found = diagnostics.hydrostatic_residual(with_levels({key: _some(side[key]) for key in kept}))["residual"]
            return float(_spread(found))

        def ratio(mine: Fields, theirs: Fields, spread: Callable[[Fields], float] = spread) -> float:
            return spread(mine) / spread(theirs)

        rows.append(
            case.row(
                ReportTarget.BALANCES, f"hydrostatic.{upper}_{lower}",
                f"thickness {upper / 100:g} to {lower / 100:g} hPa about the hydrostatic one", Quantity("zg", upper),
                ratio, spread, units="m", figure_units="ratio", lower=HYDROSTATIC[0], upper=HYDROSTATIC[1],
                remark="standard deviation over time of the residual",
            )
        )  # fmt: skip
    return rows


def _spread(residual: xr.DataArray) -> xr.DataArray:
    """Standard deviation over time of the anomalies from the mean month, in the root mean square over the cells."""
    part = diagnostics.anomalies(residual.isel(layer=0, drop=True))
    return (part**2).mean() ** 0.5


def _some(field: xr.DataArray) -> xr.DataArray:
    return field[:: max(1, field.sizes["time"] // _MOST)]
