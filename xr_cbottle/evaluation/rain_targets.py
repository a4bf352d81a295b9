"""Target k: rain by latitude and season."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.cycle_targets import BANDS
from xr_cbottle.evaluation.quantity_case import QuantityCase, in_season, spread
from xr_cbottle.evaluation.row import ReportTarget, Row

SEASONS = ("DJF", "MAM", "JJA", "SON")
WITHIN = (0.9, 1.1)


def rain_rows(case: QuantityCase) -> list[Row]:
    """Target k, of the quantity rain; nothing of others."""
    if case.quantity.name != "pr" or case.quantity.pressure is not None:
        return []
    what = "rain of a band and season"
    bands = [diagnostics.zonal_mean(field, len(BANDS)) for field in (case.bottle, case.reference)]
    pairs = [tuple(diagnostics.zonal_mean(field, len(BANDS)) for field in pair) for pair in case.pairs]
    rows = []
    for season in SEASONS:
        if not all(in_season(field["time"], season).any() for field in bands):
            reason = f"a side has no instant in {season}"
            rows += [
                case.row(ReportTarget.RAIN, "rain", what, season=season, band=band, reason=reason) for band in BANDS
            ]
            continue
        mine, theirs = (diagnostics.climatology(field, season) for field in bands)
        copies = [
            copy.mean(field, in_season(field["time"], season))
            for copy, field in zip(case.resampled, bands, strict=True)
        ]
        between = [_ratio(a, b, season) for a, b in pairs]
        for i, band in enumerate(BANDS):
            noise = [abs(float(one[i]) - 1) for one in between if np.isfinite(one[i])]
            rows.append(
                case.row(
                    ReportTarget.RAIN, "rain", what, season=season, band=band, units=case.quantity.units,
                    value=float(mine[i]), reference=float(theirs[i]), figure=float(mine[i] / theirs[i]),
                    figure_units="ratio", lower=WITHIN[0], upper=WITHIN[1],
                    noise_floor=1 + float(np.mean(noise)) if noise else None,
                    sampling_error=spread(copies[0][:, i] / copies[1][:, i]),
                )
            )  # fmt: skip
    return rows


def _ratio(a: xr.DataArray, b: xr.DataArray, season: str) -> xr.DataArray:
    if not all(in_season(field["time"], season).any() for field in (a, b)):
        return a.isel(time=0) * np.nan
    return diagnostics.climatology(a, season) / diagnostics.climatology(b, season)
