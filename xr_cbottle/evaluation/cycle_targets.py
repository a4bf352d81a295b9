"""Target d: the cycles of the year and of the day."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.quantity_case import QuantityCase, spread
from xr_cbottle.evaluation.row import ReportTarget, Row

SEASONAL = ("tas", "pr", "prw", "psl", "rlut")
"""Quantities whose annual cycle is judged: those that every bottle should have and that have one."""
BANDS = ("90S-60S", "60S-30S", "30S-EQ", "EQ-30N", "30N-60N", "60N-90N")
YEAR = 365.2425
AMPLITUDE = (0.9, 1.1)
DAYS, HOURS = 10.0, 1.0
#: Longitude of the sun at 06 UTC, and how far an hour is.
SUN, DEGREES = 90.0, 15.0
_COPIES = 20
_CLEAR = 3.0  # times the sampling error: a cycle that is less is none
_CONCENTRATED = 0.3  # a sun that shines on one side of the Earth has pi / 4, daily means about 0


def seasonal_rows(case: QuantityCase) -> list[Row]:
    """Amplitude and phase of the annual harmonic of each zonal band."""
    if case.quantity.name not in SEASONAL or case.quantity.pressure is not None:
        return []
    what = ("amplitude of the annual cycle", "day of the annual maximum")
    fields = [diagnostics.zonal_mean(field, len(BANDS)) for field in (case.bottle, case.reference)]
    try:
        cycles = [diagnostics.seasonal_cycle(field) for field in fields]
    except ValueError as error:
        return [
            case.row(ReportTarget.CYCLES, kind, words, reason=str(error))
            for kind, words in zip(("annual_amplitude", "annual_phase"), what, strict=True)
        ]
    copies = [
        xr.concat([_cycle_of(field, row) for row in copy.counts], "copy")
        for field, copy in zip(fields, case.resampled, strict=True)
    ]
    pairs = []
    for pair in case.pairs:
        try:
            pairs.append([diagnostics.seasonal_cycle(diagnostics.zonal_mean(field, len(BANDS))) for field in pair])
        except ValueError:
            continue
    rows = []
    for i, band in enumerate(BANDS):
        mine, theirs = (cycle.isel(lat=i) for cycle in cycles)
        again = [copy.isel(lat=i) for copy in copies]
        between = [[cycle.isel(lat=i) for cycle in pair] for pair in pairs]
        ratios = np.array([float(a.amplitude / b.amplitude) for a, b in between])
        shifts = np.array([abs(_shift(a.phase, b.phase, YEAR)) for a, b in between])
        rows += [
            case.row(
                ReportTarget.CYCLES, "annual_amplitude", what[0], band=band, units=case.quantity.units,
                value=float(mine.amplitude), reference=float(theirs.amplitude),
                figure=float(mine.amplitude / theirs.amplitude), figure_units="ratio",
                lower=AMPLITUDE[0], upper=AMPLITUDE[1],
                noise_floor=1 + float(abs(ratios - 1).mean()) if len(ratios) else None,
                sampling_error=spread(again[0].amplitude / again[1].amplitude),
            ),
            case.row(
                ReportTarget.CYCLES, "annual_phase", what[1], band=band, units="day", value=float(mine.phase),
                reference=float(theirs.phase), figure=_shift(mine.phase, theirs.phase, YEAR), figure_units="d",
                lower=-DAYS, upper=DAYS, noise_floor=float(shifts.mean()) if len(shifts) else None,
                sampling_error=spread(_shifts(again[0].phase, again[1].phase, YEAR)),
            ),
        ]  # fmt: skip
    return rows


def diurnal_rows(case: QuantityCase) -> list[Row]:
    """Amplitude and phase of the day of rsds and of tas over land, and where the sun stands."""
    name = case.quantity.name
    if name not in ("rsds", "tas") or case.quantity.pressure is not None:
        return []
    where = " over land" if name == "tas" else ""
    what = (f"amplitude of the diurnal cycle{where}", f"local hour of the diurnal maximum{where}")
    kinds = ("diurnal_amplitude", "diurnal_phase")

    def refused(reason: str) -> list[Row]:
        rows = [
            case.row(ReportTarget.CYCLES, kind, words, reason=reason) for kind, words in zip(kinds, what, strict=True)
        ]
        return rows + (
            [case.row(ReportTarget.CYCLES, "sun", "longitude of the sun at 06 UTC", reason=reason)]
            if name == "rsds"
            else []
        )

    if name == "tas" and case.land is None:
        return refused("which cells are land is not known: the data have neither sftlf nor an SST")
    mask = xr.DataArray(case.land, dims="cell") if name == "tas" else None
    fields = (case.bottle, case.reference)
    try:
        mine, theirs = (diagnostics.diurnal_cycle(field, mask=mask) for field in fields)
        copies = [
            xr.concat([_day_of(field, row, mask) for row in copy.counts[:_COPIES]], "copy")
            for field, copy in zip(fields, case.resampled, strict=True)
        ]
    except ValueError as error:
        return refused(str(error))
    noise = spread(copies[1].amplitude) or 0.0
    if float(theirs.amplitude) <= _CLEAR * noise:
        return refused(
            f"the reference has no diurnal cycle: its amplitude of {float(theirs.amplitude):.2g} {case.quantity.units} "
            f"is not {_CLEAR:g} times its sampling error"
        )
    pairs = [[diagnostics.diurnal_cycle(field, mask=mask) for field in pair] for pair in case.pairs]
    ratios = [abs(float(a.amplitude / b.amplitude) - 1) for a, b in pairs]
    shifts = [abs(_shift(a.phase, b.phase, 24.0)) for a, b in pairs]
    rows = [
        case.row(
            ReportTarget.CYCLES, kinds[0], what[0], units=case.quantity.units, value=float(mine.amplitude),
            reference=float(theirs.amplitude), figure=float(mine.amplitude / theirs.amplitude), figure_units="ratio",
            lower=AMPLITUDE[0], upper=AMPLITUDE[1], noise_floor=1 + float(np.mean(ratios)) if ratios else None,
            sampling_error=spread(copies[0].amplitude / copies[1].amplitude),
        ),
        case.row(
            ReportTarget.CYCLES, kinds[1], what[1], units="h", value=float(mine.phase), reference=float(theirs.phase),
            figure=_shift(mine.phase, theirs.phase, 24.0), figure_units="h", lower=-HOURS, upper=HOURS,
            noise_floor=float(np.mean(shifts)) if shifts else None,
            sampling_error=spread(_shifts(copies[0].phase, copies[1].phase, 24.0)),
        ),
    ]  # fmt: skip
    return rows + ([_sun(case)] if name == "rsds" else [])


def _sun(case: QuantityCase) -> Row:
    what = "longitude of the sun at 06 UTC"
    mine, theirs = (sun_at_six(field) for field in (case.bottle, case.reference))
    if not np.isfinite(mine):
        return case.row(ReportTarget.CYCLES, "sun", what, reason="the bottle's insolation is centred on no longitude")
    noise = case.noise(lambda a, b: _shift(sun_at_six(a), sun_at_six(b), 360.0), 0.0)
    return case.row(
        ReportTarget.CYCLES, "sun", what, units="degrees_east", value=mine, reference=theirs,
        figure=_shift(mine, SUN, 360.0), figure_units="degrees from 90 E", lower=-DEGREES, upper=DEGREES,
        noise_floor=noise,
    )  # fmt: skip


def sun_at_six(rsds: xr.DataArray) -> float:
    """Longitude of the sun at 06 UTC, from the instants of all hours brought to it; NaN without a sun.

    The clouds of a few instants would shift what is read off one hour only.
    """
    found = diagnostics.subsolar_longitude(rsds)
    if float(found["concentration"].mean()) < _CONCENTRATED:
        return float("nan")
    angle = np.deg2rad(found.values + DEGREES * (found["utc"].values - 6))
    return float(np.rad2deg(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean())) % 360)


def _cycle_of(field: xr.DataArray, counts: npt.NDArray[np.float64]) -> xr.Dataset:
    chosen = np.repeat(np.arange(len(counts)), counts.astype(np.int64))
    try:
        return diagnostics.seasonal_cycle(field.isel(time=chosen))[["amplitude", "phase"]]
    except ValueError:  # a copy that leaves half of the year out
        nothing = field.isel(time=0, drop=True) * np.nan
        return xr.Dataset({"amplitude": nothing, "phase": nothing})


def _day_of(field: xr.DataArray, counts: npt.NDArray[np.float64], mask: xr.DataArray | None) -> xr.Dataset:
    chosen = np.repeat(np.arange(len(counts)), counts.astype(np.int64))
    return diagnostics.diurnal_cycle(field.isel(time=chosen), mask=mask)[["amplitude", "phase"]]


def _shift(first: float | xr.DataArray, second: float | xr.DataArray, around: float) -> float:
    """Distance of one phase after another, the short way round."""
    return float((float(first) - float(second) + around / 2) % around - around / 2)


def _shifts(first: xr.DataArray, second: xr.DataArray, around: float) -> xr.DataArray:
    """Differences of phases, around their own middle so that their spread is not torn at the wrap."""
    turn = np.exp(2j * np.pi * (first - second) / around)
    middle = np.angle(turn.mean())
    return xr.DataArray(np.angle(turn * np.exp(-1j * middle)) * around / (2 * np.pi))
