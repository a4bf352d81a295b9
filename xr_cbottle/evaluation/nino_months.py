"""Months of Nino 3.4 and of what answers to it, of both sides of a comparison: from whole records, or few instants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation import instants, response_targets
from xr_cbottle.evaluation.null_bottle import NullBottle
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.reference import StoredReference
from xr_cbottle.evaluation.response_targets import Months
from xr_cbottle.evaluation.sampling import RESPONSE, Drawing
from xr_cbottle.evaluation.sides import Sides


@dataclass(frozen=True, eq=False)
class NinoMonths:
    """Months of both sides.

    Attributes
    ----------
    months
        Of bottle and reference; None if there are none.
    reason
        Why there are none; empty if there are.
    null
        Of the null bottle at the times of the bottle, if there is one.
    instants
        How many instants were drawn for them alone.
    """

    months: tuple[Months, Months] | None = None
    reason: str = ""
    null: Months | None = None
    instants: int = 0


def gathered(sides: Sides, drawn: StoredReference, monthly: int, null: NullBottle | None) -> NinoMonths:
    """Monthly means of all years, of the bottle from few instants of each.

    Parameters
    ----------
    sides
        What is compared.
    drawn
        What was drawn of the left side at the times of the reference; the left side itself if it is stored.
    monthly
        Instants of each month of the other years that the bottle is asked for beside; 0 asks for none.
    null
        The null bottle, if there is one.
    """
    if not monthly:
        return NinoMonths(reason="it was left out (--monthly 0)")
    count = 0
    try:
        mine = [drawn]
        if isinstance(sides.left, Drawing) and len(times := _times(sides, sides.left, monthly)):
            count = len(times)
            mine.append(sides.left.draw(sides.label or None, times, RESPONSE))
        fields = _fields(mine, by_month=not isinstance(sides.left, Drawing))
        months = Months.of(fields), Months.of(_fields(sides.known, by_month=True))
        return NinoMonths(months, "", None if null is None else _null(null, fields), count)
    except ValueError as error:  # such as a side without a sea surface temperature
        return NinoMonths(reason=str(error), instants=count)


def _times(sides: Sides, left: Drawing, monthly: int) -> npt.NDArray[np.datetime64]:
    """Some instants of each month of the other years that the bottle can draw."""
    if sides.others is None:
        return np.empty(0, "datetime64[s]")
    times = sides.others.times[left.on_axis(sides.others.times)]
    return times[instants.choose(times, monthly * instants.months(times))] if len(times) else times


def _null(null: NullBottle, fields: Mapping[str, xr.DataArray]) -> Months:
    """Monthly means of the null bottle at the same times, over the same sea."""
    answers = {
        name: null.fields(Quantity(name), fields[name]["time"].values)
        for name in response_targets.ANSWERING
        if name in fields
    }
    return Months.of({**fields, **answers})


def _fields(parts: list[StoredReference], by_month: bool = False) -> dict[str, xr.DataArray]:
    """{name: (time, cell)} of what the response is made of; whole records as monthly means, year by year."""
    found = {}
    for name in RESPONSE:
        quantity = Quantity(name)
        if all(quantity in part.quantities for part in parts):
            if by_month:
                pieces = [
                    diagnostics.monthly(response_targets.joined([part.read(quantity, some) for part, some in year]))
                    for year in _years(parts)
                ]
            else:
                pieces = [part.read(quantity) for part in parts]
            found[name] = response_targets.joined(pieces)
    return found


def _years(parts: list[StoredReference]) -> Iterator[list[tuple[StoredReference, npt.NDArray[np.int64]]]]:
    """Positions in each part, of each calendar year that all parts have together.

    Of a month that has less than half the usual number of times there is no mean: the last stamp of a year of 6-hourly
    data is all that there is of the next January.
    """
    months, counts = np.unique(
        np.unique(np.concatenate([part.times for part in parts])).astype("datetime64[M]"), return_counts=True
    )
    kept = months[2 * counts >= np.median(counts)]
    for year in np.unique(kept.astype("datetime64[Y]")):
        wanted = kept[kept.astype("datetime64[Y]") == year]
        found = [(part, np.flatnonzero(np.isin(part.times.astype("datetime64[M]"), wanted))) for part in parts]
        yield [(part, positions) for part, positions in found if positions.size]
