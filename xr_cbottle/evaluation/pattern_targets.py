"""Target h: annular modes, and how places that lie far apart go together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.joint_case import Fields, JointCase
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.row import ReportTarget, Row

HEMISPHERES = {"north": (20.0, 90.0), "south": (-90.0, -20.0)}
LEAST_PATTERN, EXPLAINED = 0.9, (0.8, 1.2)
TELECONNECTED = (Quantity("psl"), Quantity("zg", 50000), Quantity("tas"), Quantity("pr"))
LEAST_LIKENESS = 0.8
_FEWEST = 36
"""Instants below which three of a month of the year are left, and an anomaly from their mean says little."""


def pattern_rows(case: JointCase) -> list[Row]:
    """Target h; no row where a quantity is not on both sides."""
    few = min(next(iter(side.values())).sizes["time"] for side in (case.bottle, case.reference)) < _FEWEST
    if few:
        return []
    return [*_annular(case), *_distant(case)]


def _annular(case: JointCase) -> list[Row]:
    if not case.has("psl") or _holes(case, "psl"):
        return []
    rows = []
    for name, latitudes in HEMISPHERES.items():
        mode = _Modes(latitudes)

        def likeness(mine: Fields, theirs: Fields, mode: _Modes = mode) -> float:
            return abs(float(diagnostics.pattern_correlation(mode.of(mine).pattern, mode.of(theirs).pattern)))

        def share(side: Fields, mode: _Modes = mode) -> float:
            return float(mode.of(side).explained_variance)

        def ratio(mine: Fields, theirs: Fields, share: Callable[[Fields], float] = share) -> float:
            return share(mine) / share(theirs)

        kind, words = f"annular_mode_{name}", f"{name}ern annular mode"
        rows += [
            case.row(
                ReportTarget.PATTERNS, f"{kind}.pattern", f"pattern of the {words}", Quantity("psl"), likeness,
                lower=LEAST_PATTERN, remark="first EOF of the anomalies between 20 and 90 degrees",
            ),
            case.row(
                ReportTarget.PATTERNS, f"{kind}.variance", f"share of variance of the {words}", Quantity("psl"), ratio,
                share, lower=EXPLAINED[0], upper=EXPLAINED[1], figure_units="ratio",
            ),
        ]  # fmt: skip
    return rows


class _Modes:
    """First EOFs of sea level pressure's anomalies between two latitudes, each made once."""

    def __init__(self, latitudes: tuple[float, float]) -> None:
        self.latitudes = latitudes
        self.known: dict[int, xr.Dataset] = {}

    def of(self, side: Fields) -> xr.Dataset:
        """The mode of one set of fields."""
        if id(side) not in self.known:
            anomalies = diagnostics.anomalies(side["psl"])
            # Beside the largest patterns, small ones of thousands of cells cost much and say nothing.
            self.known[id(side)] = diagnostics.eofs(_coarse(anomalies), 1, self.latitudes).isel(mode=0)
        return self.known[id(side)]


def _coarse(field: xr.DataArray) -> xr.DataArray:
    steps = max(0, diagnostics.zoom(field) - 3)
    return field.coarsen(cell=4**steps).mean() if steps else field


def _distant(case: JointCase) -> list[Row]:
    rows = []
    for quantity in TELECONNECTED:
        if not case.has(quantity.key) or _holes(case, quantity.key):
            continue

        def likeness(mine: Fields, theirs: Fields, key: str = quantity.key) -> float:
            first, second = (diagnostics.distant_correlations(side[key]) for side in (mine, theirs))
            return float(xr.corr(first, second))

        rows.append(
            case.row(
                ReportTarget.PATTERNS, f"distant.{quantity.key}", "correlations beyond 30 degrees", quantity, likeness,
                lower=LEAST_LIKENESS, remark="likeness of the correlations of all pairs of 192 places",
            )
        )  # fmt: skip
    return rows


def _holes(case: JointCase, key: str) -> bool:
    sides = [case.bottle, case.reference, *(side for pair in case.noise for side in pair)]
    return any(bool(np.isnan(side[key]).any()) for side in sides if key in side)
