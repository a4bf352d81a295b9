"""Target l: what nature never does. A simulation may do a little of it by its own physics: then that is allowed too."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.joint_case import Fields, JointCase
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.row import ReportTarget, Row
from xr_cbottle.fields import humidity, sun
from xr_cbottle.grid import healpix

TIMES_REFERENCE = 1.5
LEAST_SHARE, LEAST_SUN, LEAST_KELVIN, LEAST_PASCAL = 0.01, 0.1, 0.1, 2.0
"""What is let pass, %, W m-2, K and Pa: nobody would notice it."""
_SATURATED = 1.05
_CLOUD, _VAPOUR, _SHINE = 1e-3, 1e-9, 0.5
"""Rounding that is let pass: of cloud fraction, of humidity (kg kg-1), of sunshine (W m-2)."""
_DARK = 1.0
_FREE_OF_ICE = 273.15
_WIDE = 7.0
"""Degrees beyond the terminator at which it is night everywhere in a cell of nside 16."""


def impossible_rows(case: JointCase) -> list[Row]:
    """Target l; no row where a quantity is not on both sides."""
    rows: list[Row] = []
    if case.has("rsds"):
        rows.append(_night(case))
    if case.has("clt"):
        rows.append(_share(case, "cloud", "clouds below 0 or above 1", Quantity("clt"), _clouds))
    for key in (key for key in case.bottle if key.startswith("hus_") and case.has(key)):
        level = int(key.rpartition("_")[2])
        quantity = Quantity("hus", level)
        dry = functools.partial(_dry, key=key)
        rows.append(_share(case, f"dry.{key}", "humidity below 0", quantity, dry))
        if case.has(f"ta_{level}"):
            wet, what = functools.partial(_wet, level=level), f"humidity beyond {_SATURATED:g} of saturation"
            rows.append(_share(case, f"saturation.{key}", what, quantity, wet))
    for key, of in (("rsut", "rsdt"), ("rsds", "rsdt"), ("rsus", "rsds")):
        if case.has(key, of):
            above = functools.partial(_above, key=key, of=of)
            rows.append(_share(case, f"{key}_over_{of}", f"{key} above {of}", Quantity(key), above))
    if case.has("psl"):
        rows.append(
            _bounded(case, "mass", "wandering of the global mean", Quantity("psl"), _wandering, "Pa", LEAST_PASCAL)
        )
    if case.has("ts") and case.sea is not None:
        rows.append(_open_sea(case, case.sea))
    return rows


def _clouds(side: Fields) -> xr.DataArray:
    return (side["clt"] < -_CLOUD) | (side["clt"] > 1 + _CLOUD)


def _dry(side: Fields, key: str) -> xr.DataArray:
    return side[key] < -_VAPOUR


def _wet(side: Fields, level: int) -> xr.DataArray:
    return side[f"hus_{level}"] > _SATURATED * humidity.saturation(side[f"ta_{level}"].values, level)


def _above(side: Fields, key: str, of: str) -> xr.DataArray:
    return side[key] > side[of] + _SHINE


def _share(case: JointCase, key: str, what: str, quantity: Quantity, wrong: Callable[..., xr.DataArray]) -> Row:
    """A row of the share of values that are wrong, %."""
    return _bounded(
        case, key, what, quantity, lambda side: 100 * float(wrong(side).mean()), "% of the values", LEAST_SHARE
    )


def _bounded(
    case: JointCase, key: str, what: str, quantity: Quantity, of: Callable[[Fields], float], units: str, least: float
) -> Row:
    """A row of a figure of one side, which should be no more than the simulation's own."""
    own = of(case.reference)
    return case.row(
        ReportTarget.IMPOSSIBLE, key, what, quantity, lambda mine, _: of(mine), figure_units=units,
        upper=max(least, TIMES_REFERENCE * own), remark=f"the simulation: {own:.3g}",
    )  # fmt: skip


def _wandering(side: Fields) -> float:
    """Standard deviation of the global mean of sea level pressure about its mean month, Pa."""
    means = diagnostics.global_mean(side["psl"])
    return float(diagnostics.anomalies(means.rename("psl").drop_attrs()).std())


def _night(case: JointCase) -> Row:
    """Mean sunshine where the sun is well below the horizon."""
    quantity, what = Quantity("rsds"), "sunshine at night"
    own = _at_night(case.reference["rsds"])
    if own > _DARK:
        reason = f"the reference has no night: {own:.3g} W m-2 where the sun is down, as of daily means"
        return Row(
            ReportTarget.IMPOSSIBLE, f"{ReportTarget.IMPOSSIBLE}.night", what, quantity.title, case.label, reason=reason
        )
    return _bounded(case, "night", what, quantity, lambda side: _at_night(side["rsds"]), "W m-2", LEAST_SUN)


def _at_night(rsds: xr.DataArray) -> float:
    times = rsds["time"].values.astype("datetime64[s]")
    night = _is_night(times, diagnostics.zoom(rsds))
    return float(np.abs(rsds.values[night]).mean()) if night.any() else 0.0


def _is_night(times: npt.NDArray[np.datetime64], zoom: int) -> npt.NDArray[np.bool_]:
    """(time, cell) whether the sun is so far below the horizon that it is night in all of a cell, and 3 h about."""
    lon, lat = healpix.lonlat(zoom)
    declination, _ = (part[:, None] for part in sun.orbit(times))
    wide = np.deg2rad(max(_WIDE, 90 / healpix.nside(zoom)))
    dark = np.ones((len(times), len(lon)), bool)
    for hours in (-3, 0, 3):  # what a simulation stores may be a mean over some hours, before or about its time
        turned = (times.astype(np.int64)[:, None] % 86400 + 3600 * hours) / 86400 * 2 * np.pi + np.deg2rad(lon)[None]
        phi = np.deg2rad(lat)[None]
        height = np.sin(phi) * np.sin(declination) - np.cos(phi) * np.cos(declination) * np.cos(turned)
        dark &= height < -np.sin(wide)
    return dark


def _open_sea(case: JointCase, sea: xr.DataArray) -> Row:
    """How far the surface of the open sea is from the sea surface temperature that was given, K."""
    free = sea.values > _FREE_OF_ICE

    def off(ts: xr.DataArray) -> float:
        return float(np.sqrt(np.mean((ts.values - sea.values)[free] ** 2)))

    # Of a stored data set of other times there is no simulation over the same sea.
    own = off(case.same["ts"]) if np.array_equal(case.same["ts"]["time"], sea["time"]) else 0.0
    null = None if case.null is None else off(case.null["ts"])
    return Row(
        ReportTarget.IMPOSSIBLE, f"{ReportTarget.IMPOSSIBLE}.open_sea", "surface of the open sea less the given SST",
        "ts", case.label, figure=off(case.bottle["ts"]), figure_units="K", null=null,
        upper=max(LEAST_KELVIN, TIMES_REFERENCE * own), remark=f"root mean square; the simulation: {own:.3g}",
    )  # fmt: skip
