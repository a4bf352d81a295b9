"""Target i: the shape of the anomalies' distribution, which the mean and the spread of a climatology do not know."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.quantity_case import QuantityCase
from xr_cbottle.evaluation.row import ReportTarget, Row

KURTOSIS, SUBMONTHLY = (0.85, 1.15), (0.85, 1.15)
BEYOND, RATIO = 3.0, (0.75, 1.25)
FAR_OUT = (
    Quantity("tas"), Quantity("pr"), Quantity("psl"), Quantity("uas"), Quantity("rlut"), Quantity("prw"),
    Quantity("ta", 85000), Quantity("ua", 25000), Quantity("zg", 50000),
)  # fmt: skip
_LEAST_SHARE = 2e-4
"""Share of the simulation's values below which a ratio of shares says nothing: a Gaussian has 0.00135."""


def shape_rows(case: QuantityCase) -> list[Row]:
    """Target i, of one quantity."""
    climate = diagnostics.month_climate(case.reference)

    known: dict[int, xr.DataArray] = {}

    def measured(field: xr.DataArray) -> xr.DataArray:
        if id(field) not in known:  # a sample that is held against several others is measured once
            inside = field is case.reference or bool(np.isin(field["time"], case.reference["time"]).all())
            inside = inside and field is not case.bottle
            known[id(field)] = diagnostics.standardised(field, climate, inside=inside)
        return known[id(field)]

    bottle, reference = measured(case.bottle), measured(case.reference)
    pairs = [tuple(measured(field) for field in pair) for pair in case.pairs]
    rows = [_row(case, "kurtosis", "kurtosis of the anomalies", _kurtosis, KURTOSIS, (bottle, reference), pairs)]
    if case.quantity not in FAR_OUT:
        return rows
    rows += _submonthly(case)
    for limit, where in ((BEYOND, "above"), (-BEYOND, "below")):

        def share(field: xr.DataArray, limit: float = limit) -> float:
            return float(diagnostics.exceedance(field, limit))

        kind, what = f"beyond_{where}", f"values {BEYOND:g} deviations {where} the climatology"
        if share(reference) < _LEAST_SHARE:
            reason = f"the reference has {100 * share(reference):.2g} % of its values there, too few for a ratio"
            rows.append(case.row(ReportTarget.SHAPE, kind, what, reason=reason))
        else:
            rows.append(_row(case, kind, what, share, RATIO, (bottle, reference), pairs, " of the values"))
    return rows


def _submonthly(case: QuantityCase) -> list[Row]:
    """Variance within months, of which AIMIP asks too; nothing where no month has two instants."""
    try:
        mine, theirs = (_within_months(field) for field in (case.bottle, case.reference))
        between = [abs(_within_months(a) / _within_months(b) - 1) for a, b in case.pairs]
    except ValueError:
        return []
    return [
        case.row(
            ReportTarget.SHAPE, "submonthly_variance", "variance within months", value=mine, reference=theirs,
            figure=mine / theirs if theirs else float("nan"), figure_units="ratio", lower=SUBMONTHLY[0],
            upper=SUBMONTHLY[1], noise_floor=1 + float(np.mean(between)) if between else None,
        )
    ]  # fmt: skip


def _within_months(field: xr.DataArray) -> float:
    return float(diagnostics.submonthly_variance(field).mean())


def _row(
    case: QuantityCase, kind: str, what: str, of_field: Callable[[xr.DataArray], float], bounds: tuple[float, float],
    sides: tuple[xr.DataArray, xr.DataArray], pairs: list[tuple[xr.DataArray, ...]], units: str = "",
) -> Row:  # fmt: skip
    mine, theirs = (of_field(side) for side in sides)
    between = [abs(of_field(a) / of_field(b) - 1) for a, b in pairs if of_field(b)]
    return case.row(
        ReportTarget.SHAPE, kind, what, units="1", value=mine, reference=theirs,
        figure=mine / theirs if theirs else float("nan"), figure_units="ratio", lower=bounds[0], upper=bounds[1],
        noise_floor=1 + float(np.mean(between)) if between else None,
        remark=f"shares{units}; a Gaussian has 0.00135" if units else "",
    )  # fmt: skip


def _kurtosis(field: xr.DataArray) -> float:
    return float(diagnostics.kurtosis(field))
