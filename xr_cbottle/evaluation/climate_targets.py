"""Target n: the response to another sea and to CO2, and trends, against those of the simulation itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.climate_change import TAS, Change, Trends, stratosphere
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.row import ReportTarget, Row

LEAST_PATTERN = 0.9
RAIN_PER_KELVIN = 1.0
WITHIN = {"global": 0.10, "upper": 0.15, "co2": 0.25, "polar": 0.2, "trend": 0.15, "heat": 0.25}
"""Shares by which a response may differ from the simulation's."""
_CLEAR = 2.0
"""Standard errors of a simulation's own change below which a ratio to it says nothing."""

Land = npt.NDArray[np.bool_] | None


@dataclass(frozen=True)
class _Measure:
    """A number of a change, and how it is judged."""

    key: str
    what: str
    quantity: Quantity
    of: Callable[[Change], float]
    within: float
    units: str = "K"
    error: str = ""


def change_rows(
    label: str, run: str, mine: Change, theirs: Change, land: Land, *, warms: bool, about: str
) -> list[Row]:
    """Rows of one run.

    Parameters
    ----------
    label, run
        Of which label and which run.
    mine, theirs
        The bottle's change, and the simulation's.
    land
        (cell,) True over land, if it is known.
    warms
        Whether the sea is another; else CO2 is.
    about
        What the run is, in words.
    """
    measures = _of_sea(theirs, land) if warms else _of_co2(theirs, land)
    rows = [
        _ratio(label, run, one, mine, theirs, about)
        for one in measures
        if _has(mine, theirs, one.quantity) and (land is not None or "land" not in one.key)
    ]
    if not warms or not _has(mine, theirs, TAS):
        return rows
    rows.append(
        _row(
            label, run, "pattern", "pattern of the response", TAS,
            figure=float(diagnostics.pattern_correlation(mine.change["tas"], theirs.change["tas"])),
            lower=LEAST_PATTERN, remark=about,
        )
    )  # fmt: skip
    if _has(mine, theirs, Quantity("pr")):
        rain = [
            float(diagnostics.per_kelvin(side.change["pr"], side.base["pr"], side.change["tas"]))
            for side in (mine, theirs)
        ]
        rows.append(
            _row(
                label, run, "rain", "rain for each kelvin", Quantity("pr"), units="% K-1", value=rain[0],
                reference=rain[1], figure=rain[0] - rain[1], figure_units="% K-1", lower=-RAIN_PER_KELVIN,
                upper=RAIN_PER_KELVIN, null=-rain[1], remark=about,
            )
        )  # fmt: skip
    return rows


def trend_rows(label: str, run: str, mine: Trends, theirs: Trends, without: Trends | None, about: str) -> list[Row]:
    """Rows of a run that changes with time; ``without`` is of the bottle that is told of no change."""
    rows = []
    pairs = (
        ("trend", "trend of the global mean", "trend", [_globe(one) for one in (mine, theirs, without)]),
        ("heat_trend", "trend of the warmest hundredth over land", "heat",
         [None if one is None else one.warmest for one in (mine, theirs, without)]),
    )  # fmt: skip
    for key, what, within, (value, reference, unforced) in pairs:
        beside = "" if unforced is None else f"; told of no change: {unforced:.3g} K per decade"
        rows.append(
            _row(
                label, run, key, what, TAS, units="K decade-1", value=value, reference=reference,
                figure=value / reference if value is not None and reference else float("nan"), figure_units="ratio",
                lower=1 - WITHIN[within], upper=1 + WITHIN[within], null=0.0, remark=about + beside,
            )
        )  # fmt: skip
    return rows


def without_base(label: str, run: str) -> Row:
    """The row of a run that there is nothing to hold against."""
    reason = "there is no instant of the run under the observed sea at its dates: give those years with --more"
    return _row(label, run, "tas", "response of the global mean", TAS, reason=reason)


def _globe(one: Trends | None) -> float | None:
    return None if one is None else one.regions["globe"].get("annual")


def _of_sea(theirs: Change, land: Land) -> list[_Measure]:
    found = [
        _mean(TAS, "K", "global"),
        _Measure("land_sea", "warming of land over that of the sea", TAS,
                 lambda c: _land_sea(c, land), WITHIN["global"], "1"),
        _Measure("polar", "warming beyond 60 degrees over that of the globe", TAS,
                 lambda c: float(diagnostics.polar_amplification(c.change["tas"])), WITHIN["polar"], "1"),
    ]  # fmt: skip
    found += [_mean(Quantity("prw"), "kg m-2", "global"), _mean(Quantity("rlut"), "W m-2", "global")]
    found += [_mean(Quantity("ta", 25000), "K", "upper"), *_top(theirs)]
    found.append(
        _Measure("heat_land", "warming of the warmest hundredth over land", TAS, lambda c: c.warmest, WITHIN["heat"])
    )
    return found


def _of_co2(theirs: Change, land: Land) -> list[_Measure]:
    mask = None if land is None else np.asarray(land)
    return [
        _Measure("tas_land", "response over land", TAS,
                 lambda c: float(c.change["tas"].values[mask].mean()), WITHIN["co2"], error="tas"),
        _mean(Quantity("rlut"), "W m-2", "co2"), _mean(Quantity("ta", 25000), "K", "co2"), *_top(theirs),
    ]  # fmt: skip


def _land_sea(one: Change, land: Land) -> float:
    return float("nan") if land is None else float(diagnostics.land_sea_ratio(one.change["tas"], land))


def _mean(quantity: Quantity, units: str, within: str) -> _Measure:
    key = quantity.key
    return _Measure(
        key, "response of the global mean", quantity, lambda c: c.global_mean(key), WITHIN[within], units, key
    )


def _top(theirs: Change) -> list[_Measure]:
    """The stratosphere, if there is a level in it."""
    top = stratosphere(theirs.change)
    if top is None:
        return []
    return [
        _Measure(
            "stratosphere", "response of the global mean in the stratosphere", top, lambda c: c.global_mean(top.key),
            WITHIN["co2"], error=top.key,
        )
    ]  # fmt: skip


def _has(mine: Change, theirs: Change, quantity: Quantity) -> bool:
    return all(quantity.key in side.change for side in (mine, theirs))


def _ratio(label: str, run: str, one: _Measure, mine: Change, theirs: Change, about: str) -> Row:
    value, reference = one.of(mine), one.of(theirs)
    own = theirs.error.get(one.error, 0.0) if one.error else 0.0
    if own and abs(reference) < _CLEAR * own:
        reason = f"the simulation's own change, {reference:.2g} {one.units}, is not clear: its error is {own:.2g}"
        return _row(label, run, one.key, one.what, one.quantity, reason=reason)
    error = None
    if one.error and reference:
        error = math.hypot(mine.error[one.error], value / reference * own) / abs(reference)
    return _row(
        label, run, one.key, one.what, one.quantity, units=one.units, value=value, reference=reference,
        figure=value / reference if reference else float("nan"), figure_units="ratio", lower=1 - one.within,
        upper=1 + one.within, sampling_error=error, null=None if one.units == "1" else 0.0, remark=about,
    )  # fmt: skip


def _row(label: str, run: str, key: str, what: str, quantity: Quantity, **values: Any) -> Row:
    return Row(
        ReportTarget.CLIMATE, f"{ReportTarget.CLIMATE}.{run}.{key}", f"{what}, {run}", quantity.title, label, **values
    )
