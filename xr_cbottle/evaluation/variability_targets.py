"""Target c: how much fields vary, and at which sizes of pattern."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.quantity_case import QuantityCase, spread
from xr_cbottle.evaluation.row import ReportTarget, Row

RATIO = (0.9, 1.1)
SPECTRUM = (0.8, 1.2)
#: Part of the largest resolved degree up to which spectra are judged.
RESOLVED = 2 / 3


def variability_rows(case: QuantityCase) -> list[Row]:
    """Target c: the ratio of the standard deviations, and of the spectra where they differ most."""
    return [_standard_deviation(case), _spectrum(case)]


def last_degree(zoom: int) -> int:
    """The largest degree at which spectra are judged; cells of nside resolve degrees up to 2 nside."""
    return int(RESOLVED * 2 * 2**zoom)


def _standard_deviation(case: QuantityCase) -> Row:
    def ratio(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
        return a.mean("cell") / b.mean("cell")

    def of_fields(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
        return ratio(diagnostics.standard_deviation(a), diagnostics.standard_deviation(b))

    fields = (case.bottle, case.reference)
    means = [float(diagnostics.standard_deviation(field).mean()) for field in fields]
    copies = [copy.standard_deviation(field) for copy, field in zip(case.resampled, fields, strict=True)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return case.row(
            ReportTarget.VARIABILITY, "standard_deviation", "mean standard deviation", units=case.quantity.units,
            value=means[0], reference=means[1], figure=float(of_fields(*fields)), figure_units="ratio",
            lower=RATIO[0], upper=RATIO[1], noise_floor=case.noise(of_fields, 1.0),
            sampling_error=spread(ratio(*copies)),
        )  # fmt: skip


def _spectrum(case: QuantityCase) -> Row:
    what = "spectrum, where it differs most"
    if any(bool(np.isnan(field).any()) for field in (case.bottle, case.reference)):
        return case.row(ReportTarget.VARIABILITY, "spectrum", what, reason="cells without a value have no spectrum")
    last = last_degree(diagnostics.zoom(case.bottle))
    mine, theirs = (case.spectra(field).sel(degree=slice(1, last)) for field in (case.bottle, case.reference))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = mine.mean("time") / theirs.mean("time")
        distance = abs(ratio - 1).where(np.isfinite(ratio), -1)
        worst = int(distance["degree"][int(distance.argmax("degree"))])
        copies = [
            copy.mean(field.sel(degree=worst)) for copy, field in zip(case.resampled, (mine, theirs), strict=True)
        ]
        outside = int(((ratio < SPECTRUM[0]) | (ratio > SPECTRUM[1])).sum())

        def of_fields(a: xr.DataArray, b: xr.DataArray) -> float:
            pair = [case.spectra(field).mean("time").sel(degree=slice(1, last)) for field in (a, b)]
            return float(_farthest(pair[0] / pair[1]))

        return case.row(
            ReportTarget.VARIABILITY, "spectrum", what, figure=float(ratio.sel(degree=worst)), figure_units="ratio",
            lower=SPECTRUM[0], upper=SPECTRUM[1],
            noise_floor=case.noise(of_fields, 1.0), sampling_error=spread(copies[0] / copies[1]),
            remark=f"degree {worst}; of degrees 1 to {last}, {outside} differ by more than 20 %",
        )  # fmt: skip


def _farthest(ratio: xr.DataArray) -> xr.DataArray:
    """The ratio farthest from one."""
    return ratio.isel(degree=int(abs(ratio - 1).fillna(-1).argmax("degree")))
