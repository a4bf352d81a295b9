"""Targets f and g: the response to the sea surface temperature, and the difference between labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.quantity_case import spread
from xr_cbottle.evaluation.resampling import Copies
from xr_cbottle.evaluation.row import ReportTarget, Row

ANSWERING = ("tas", "pr")
LEAST_RESPONSE = 0.7
AMPLITUDE = (0.75, 1.25)
DIFFERING = (Quantity("tas"), Quantity("rlut"), Quantity("ua", 25000))
LEAST_DIFFERENCE = 0.95
#: Years of monthly means below which a regression says nothing.
LEAST_YEARS = 3
_COPIES = 100
_MONTHS_BLOCK = 6


@dataclass(frozen=True, eq=False)
class Months:
    """Monthly means of one side.

    Attributes
    ----------
    fields
        (time, cell) monthly means of each quantity that answers.
    index
        (time,) monthly mean of Nino 3.4, K.
    """

    fields: Mapping[str, xr.DataArray]
    index: xr.DataArray

    @classmethod
    def of(cls, fields: Mapping[str, xr.DataArray]) -> Months:
        """Monthly means of fields (time, cell) at any times.

        Raises
        ------
        ValueError
            If there is no sea surface temperature among them.
        """
        sea = {name: fields[name] for name in ("sst", "ts") if name in fields}
        index = diagnostics.nino34(xr.Dataset(sea))
        answering = {name: diagnostics.monthly(fields[name]) for name in ANSWERING if name in fields}
        return cls(answering, diagnostics.monthly(index))

    @property
    def years(self) -> int:
        """Number of calendar years that there are months of."""
        return len(np.unique(self.index["time"].dt.year))

    def some(self, remainder: int) -> Months:
        """Every other year, with their rank in the given remainder by two."""
        calendar = self.index["time"].dt.year.values
        rank = np.searchsorted(np.unique(calendar), calendar)
        chosen = np.flatnonzero(rank % 2 == remainder)
        return Months({k: v.isel(time=chosen) for k, v in self.fields.items()}, self.index.isel(time=chosen))


def joined(parts: list[xr.DataArray]) -> xr.DataArray:
    """Samples of one field put together, ascending in time, each time once."""
    field = parts[0] if len(parts) == 1 else xr.concat(parts, "time", coords="minimal", compat="override")
    _, first = np.unique(field["time"].values, return_index=True)
    return field.isel(time=first)


def response_rows(
    label: str,
    months: tuple[Months, Months] | None,
    reason: str = "there are no months",
    null: Months | None = None,
) -> list[Row]:
    """Target f, of the months of bottle and reference; ``reason`` says why there are none."""
    rows = []
    for name in ANSWERING:
        quantity = Quantity(name)
        kinds: list[dict[str, Any]] = [
            {"key": f"{ReportTarget.RESPONSE}.{kind}.{quantity.key}", "what": f"{what} of the regression on Nino 3.4"}
            for kind, what in (("nino34", "pattern"), ("nino34_amplitude", "amplitude"))
        ]
        why = reason if months is None else _too_little(months, name)
        if why or months is None:
            rows += [
                Row(ReportTarget.RESPONSE, **kind, quantity=quantity.title, label=label, reason=why) for kind in kinds
            ]
            continue
        bottle, reference = months
        slopes = [slope(side, name) for side in (bottle, reference)]
        copies = [_slopes(side, name, seed) for seed, side in enumerate((bottle, reference))]
        nothing = None if null is None else slope(null, name)
        halves = _halves(reference, name)
        noise = None if halves is None else float(diagnostics.pattern_correlation(*halves))
        rows.append(
            Row(
                ReportTarget.RESPONSE, **kinds[0], quantity=quantity.title, label=label,
                figure=float(diagnostics.pattern_correlation(*slopes)), lower=LEAST_RESPONSE,
                noise_floor=noise,
                sampling_error=spread(diagnostics.pattern_correlation(*copies)),
                null=None if nothing is None else float(diagnostics.pattern_correlation(nothing, slopes[1])),
                remark=f"{bottle.index.sizes['time']} months; noise floor: every other year against the rest",
            )
        )  # fmt: skip
        rows.append(
            Row(
                ReportTarget.RESPONSE, **kinds[1], quantity=quantity.title, label=label,
                figure=float(amplitude(*slopes)), figure_units="ratio", lower=AMPLITUDE[0], upper=AMPLITUDE[1],
                noise_floor=None if halves is None else 1 + abs(1 - float(amplitude(*halves))),
                sampling_error=spread(amplitude(*copies)),
                null=None if nothing is None else float(amplitude(nothing, slopes[1])),
                remark="slope of the one map over the other; noise of the reference's own map makes it less than 1",
            )
        )  # fmt: skip
    return rows


def amplitude(mine: xr.DataArray, theirs: xr.DataArray) -> xr.DataArray:
    """Slope of one map over another, (..., cell) -> (...): 1 if it has the same size, 0 if they have nothing in common.

    Noise of the first map does not change it on average, as it would a ratio of root mean squares.
    """
    return (mine * theirs).mean("cell") / (theirs**2).mean("cell")


def _too_little(months: tuple[Months, Months], name: str) -> str:
    """Why a quantity's regression cannot be compared; empty if it can."""
    if not all(name in side.fields for side in months):
        return f"there is no {name} on both sides"
    years = min(side.years for side in months)
    if years >= LEAST_YEARS:
        return ""
    return f"{years} {'year is' if years == 1 else 'years are'} too few: give others with --more"


def slope(months: Months, name: str) -> xr.DataArray:
    """(cell,) regression of a quantity on Nino 3.4."""
    return diagnostics.regression(months.fields[name], months.index)["slope"]


def _slopes(months: Months, name: str, seed: int) -> xr.DataArray:
    """(copy, cell) regressions for months drawn with replacement, in blocks."""
    y, x = xr.align(diagnostics.anomalies(months.fields[name]), diagnostics.anomalies(months.index), join="inner")
    copies = Copies.of(x["time"].values, _COPIES, 10 + seed, _MONTHS_BLOCK, window=None)
    return copies.mean((y * x).transpose("time", "cell")) / copies.mean(x**2)


def _halves(reference: Months, name: str) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Regressions of every other year and of the rest."""
    try:
        return slope(reference.some(0), name), slope(reference.some(1), name)
    except ValueError:  # too few years for two halves
        return None


@dataclass(frozen=True, eq=False)
class Climate:
    """Mean of one quantity of one label.

    Attributes
    ----------
    bottle, reference
        (cell,) means.
    samples
        (cell,) means of two samples of the reference, as many instants as the bottle's, if there are any.
    copies
        (copy, cell) means of the resampled bottle and reference.
    null
        (cell,) mean of the null bottle, if there is one.
    """

    bottle: xr.DataArray
    reference: xr.DataArray
    samples: tuple[xr.DataArray, xr.DataArray] | None
    copies: tuple[xr.DataArray, xr.DataArray]
    null: xr.DataArray | None = None


def difference_rows(labels: tuple[str, str], climates: Mapping[tuple[str, str], Climate]) -> list[Row]:
    """Target g: the second label minus the first.

    Parameters
    ----------
    labels
        The two labels.
    climates
        By (label, key of the quantity).
    """
    first, second = labels
    rows = []
    for quantity in DIFFERING:
        kind: dict[str, Any] = {
            "key": f"{ReportTarget.LABELS}.difference.{quantity.key}",
            "what": f"pattern of {second} minus {first}",
        }
        both = [climates.get((label, quantity.key)) for label in (second, first)]
        if both[0] is None or both[1] is None:
            reason = f"{quantity.title} is not on both sides of both labels"
            rows.append(
                Row(ReportTarget.LABELS, **kind, quantity=quantity.title, label=f"{second} - {first}", reason=reason)
            )
            continue
        minuend, subtrahend = both[0], both[1]
        mine, theirs = minuend.bottle - subtrahend.bottle, minuend.reference - subtrahend.reference
        copies = [a - b for a, b in zip(minuend.copies, subtrahend.copies, strict=True)]
        noise = None
        if minuend.samples is not None and subtrahend.samples is not None:
            pair = [a - b for a, b in zip(minuend.samples, subtrahend.samples, strict=True)]
            noise = float(diagnostics.pattern_correlation(*pair))
        null = None
        if minuend.null is not None and subtrahend.null is not None:
            null = float(diagnostics.pattern_correlation(minuend.null - subtrahend.null, theirs))
        rows.append(
            Row(
                ReportTarget.LABELS, **kind, quantity=quantity.title, label=f"{second} - {first}",
                figure=float(diagnostics.pattern_correlation(mine, theirs)), lower=LEAST_DIFFERENCE, noise_floor=noise,
                sampling_error=spread(diagnostics.pattern_correlation(*copies)), null=null,
            )
        )  # fmt: skip
    return rows
