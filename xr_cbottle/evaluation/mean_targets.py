"""Targets a and b: global means, and maps of the mean of the year and of seasons."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.quantity_case import SEASONS, QuantityCase, in_season, spread
from xr_cbottle.evaluation.row import ReportTarget, Row

#: Bounds of the global mean's difference, in the units given.
GLOBAL_MEANS = {"tas": (0.3, "K"), "pr": (3.0, "%"), "rlut": (1.5, "W m-2"), "prw": (2.0, "%")}
#: Least pattern correlation of the climatology.
PATTERNS = {
    **dict.fromkeys(("tas", "psl", "prw", "ta", "zg"), 0.99),
    **dict.fromkeys(("rlut", "rsut", "ua", "uas", "pr"), 0.95),
}
RMSE_OVER_STD = 0.1
TIMES_NOISE = 2.0


def global_mean_rows(case: QuantityCase) -> list[Row]:
    """Target a."""
    if case.quantity.name not in GLOBAL_MEANS or case.quantity.pressure is not None:
        return []
    bound, units = GLOBAL_MEANS[case.quantity.name]

    def difference(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
        return 100 * (a - b) / b if units == "%" else a - b

    def of_fields(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
        return difference(*(diagnostics.global_mean(diagnostics.climatology(field)) for field in (a, b)))

    mine, theirs = (diagnostics.global_mean(field) for field in (case.bottle, case.reference))
    copies = [copy.mean(field) for copy, field in zip(case.resampled, (mine, theirs), strict=True)]
    return [
        case.row(
            ReportTarget.GLOBAL_MEAN, "global_mean", "global mean", units=case.quantity.units, value=float(mine.mean()),
            reference=float(theirs.mean()), figure=float(of_fields(case.bottle, case.reference)), figure_units=units,
            lower=-bound, upper=bound, noise_floor=case.noise(of_fields, 0.0),
            sampling_error=spread(difference(*copies)),
        )
    ]  # fmt: skip


def climatology_rows(case: QuantityCase) -> list[Row]:
    """Target b: an RMSE for each season, and a pattern correlation where one is asked for."""
    total = float(case.reference.astype(np.float64).std())
    least = PATTERNS.get(case.quantity.name)
    rows = []
    for season in SEASONS:
        missing = [
            who
            for who, field in (("bottle", case.bottle), ("reference", case.reference))
            if not in_season(field["time"], season).any()
        ]
        if missing:
            reason = f"no instant of the {' and the '.join(missing)} lies in {season}"
            rows.append(case.row(ReportTarget.CLIMATOLOGY, "rmse", "RMSE of the mean", season=season, reason=reason))
            if least is not None:
                rows.append(
                    case.row(ReportTarget.CLIMATOLOGY, "pattern", "pattern of the mean", season=season, reason=reason)
                )
            continue
        mine, theirs = (diagnostics.climatology(field, season) for field in (case.bottle, case.reference))
        again, theirs_again = (
            copy.mean(field, in_season(field["time"], season))
            for copy, field in zip(case.resampled, (case.bottle, case.reference), strict=True)
        )
        rmse = float(diagnostics.rmse(mine, theirs))
        noise = case.noise(_of_season(diagnostics.rmse, season))
        bound = max(RMSE_OVER_STD * total, TIMES_NOISE * (noise or 0.0))
        rows.append(
            case.row(
                ReportTarget.CLIMATOLOGY, "rmse", "RMSE of the mean", season=season, figure=rmse,
                figure_units=case.quantity.units, upper=bound, noise_floor=noise,
                sampling_error=spread(diagnostics.rmse(again, theirs_again)),
                remark=f"{rmse / total:.2f} of the total standard deviation" if total else "",
            )
        )  # fmt: skip
        if least is not None:
            rows.append(
                case.row(
                    ReportTarget.CLIMATOLOGY, "pattern", "pattern of the mean", season=season,
                    figure=float(diagnostics.pattern_correlation(mine, theirs)), lower=least,
                    noise_floor=case.noise(_of_season(diagnostics.pattern_correlation, season)),
                    sampling_error=spread(diagnostics.pattern_correlation(again, theirs_again)),
                )
            )  # fmt: skip
    return rows


def _of_season(
    figure: Callable[[xr.DataArray, xr.DataArray], xr.DataArray], season: str
) -> Callable[[xr.DataArray, xr.DataArray], float]:
    """A figure of the means of two samples; NaN if one has no instant in the season."""

    def of_fields(a: xr.DataArray, b: xr.DataArray) -> float:
        if not all(in_season(field["time"], season).any() for field in (a, b)):
            return float("nan")
        return float(figure(diagnostics.climatology(a, season), diagnostics.climatology(b, season)))

    return of_fields
