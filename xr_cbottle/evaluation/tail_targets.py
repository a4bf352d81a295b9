"""Target e: the distribution of values over time and cells, out to its tails."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.quantity_case import QuantityCase, spread
from xr_cbottle.evaluation.row import ReportTarget, Row

QUANTILES = (0.001, 0.01, 0.5, 0.99, 0.999)
TAILED = ("tas", "uas", "pr", "psl")
PERCENT_OF_RANGE = 5.0
#: Rain below zero that is still taken for zero, kg m-2 s-1.
LEAST_RAIN = -1e-6
#: Sorting a million values a hundred times is not worth a digit of an error.
_COPIES = 20


def tail_rows(case: QuantityCase) -> list[Row]:
    """Target e: the quantiles, and for rain what lies below zero."""
    if case.quantity.name not in TAILED or case.quantity.pressure is not None:
        return []
    mine, theirs = (_quantiles(field) for field in (case.bottle, case.reference))
    extent = theirs[-1] - theirs[0]
    copies = [
        np.stack([_quantiles(field.isel(time=_instants(row))) for row in copy.counts[:_COPIES]])
        for copy, field in zip(case.resampled, (case.bottle, case.reference), strict=True)
    ]
    pairs = [tuple(_quantiles(field) for field in pair) for pair in case.pairs]
    rows = []
    for i, q in enumerate(QUANTILES):
        noise = [abs(100 * (a[i] - b[i]) / (b[-1] - b[0])) for a, b in pairs if b[-1] > b[0]]
        off = 100 * (copies[0][:, i] - copies[1][:, i]) / extent if extent else np.zeros(0)
        rows.append(
            case.row(
                ReportTarget.DISTRIBUTION, f"quantile_{100 * q:g}", f"quantile {100 * q:g} %",
                units=case.quantity.units, value=mine[i],
                reference=theirs[i], figure=100 * (mine[i] - theirs[i]) / extent if extent else float("nan"),
                figure_units="% of the range", lower=-PERCENT_OF_RANGE, upper=PERCENT_OF_RANGE,
                noise_floor=float(np.mean(noise)) if noise else None,
                sampling_error=spread(off),
            )
        )  # fmt: skip
    return rows + ([_below_zero(case)] if case.quantity.name == "pr" else [])


def _below_zero(case: QuantityCase) -> Row:
    """The share of instants and cells with rain below zero, of which there should be none."""

    def share(field: xr.DataArray) -> float:
        return 100 * float((field < LEAST_RAIN).mean())

    negative = float(case.bottle.clip(max=0).mean())
    return case.row(
        ReportTarget.DISTRIBUTION, "below_zero", "rain below -1e-6 kg m-2 s-1", units="%", value=share(case.bottle),
        reference=share(case.reference), figure=share(case.bottle), figure_units="% of the values", upper=0.0,
        noise_floor=share(case.reference),
        remark=f"least {float(case.bottle.min()):.2g}, mean of all below zero {negative:.2g} {case.quantity.units}",
    )  # fmt: skip


def _quantiles(field: xr.DataArray) -> npt.NDArray[np.float64]:
    return np.asarray(diagnostics.quantiles(field, QUANTILES).values, np.float64)


def _instants(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(counts)), counts.astype(np.int64))
