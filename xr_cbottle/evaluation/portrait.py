"""Portrait of a quantity: small arrays of both sides, and of the reference's own difference, for pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.cycle_targets import BANDS
from xr_cbottle.evaluation.quantity_case import SEASONS, QuantityCase, in_season

SIDES = ("bottle", "reference")
QUANTILES = tuple(np.concatenate([[0.001, 0.003], np.linspace(0.01, 0.99, 50), [0.997, 0.999]]).tolist())
ZONES = 18


def portrait(case: QuantityCase) -> xr.Dataset:
    """Everything that is drawn of one quantity.

    Returns
    -------
    With ``side`` "bottle" and "reference":
    ``mean`` (side, season, cell), ``standard_deviation`` (side, cell), ``zonal`` (side, season, lat), ``months``
    (side, month, lat): zonal means of the calendar months, ``bands`` (side, month, band): the same in six bands,
    ``quantile`` (side, q); and, where there are no missing cells, ``spectrum`` (side, degree) and ``spectrum_noise``
    (degree), the ratio of two samples of the reference; ``rsds``, ``tas`` and ``pr`` also have ``day`` (side, hour).
    In the unit of the quantity, attributes are its.
    """
    ds = xr.Dataset(
        {
            "mean": _both(case, lambda field: _by_season(field, lambda part: part)),
            "standard_deviation": _both(case, diagnostics.standard_deviation),
            "zonal": _both(case, lambda field: _by_season(field, lambda part: diagnostics.zonal_mean(part, ZONES))),
            "months": _both(case, lambda field: _by_month(diagnostics.zonal_mean(field, ZONES))),
            "bands": _both(case, lambda field: _by_month(_in_bands(field))),
            "quantile": _both(case, lambda field: diagnostics.quantiles(field, QUANTILES).rename(quantile="q")),
        }
    )
    if not any(bool(np.isnan(field).any()) for field in (case.bottle, case.reference)):
        ds["spectrum"] = _both(case, lambda field: case.spectra(field).mean("time"))
        if case.pairs:
            first, second = (case.spectra(field).mean("time") for field in case.pairs[0])
            ds["spectrum_noise"] = second / first
    if case.quantity.key in ("rsds", "tas", "pr"):
        mask = None if case.land is None or case.quantity.name == "rsds" else xr.DataArray(case.land, dims="cell")
        try:
            ds["day"] = _both(case, lambda field: diagnostics.diurnal_cycle(field, mask=mask)["composite"])
            ds["day"].attrs["where"] = "" if mask is None else " over land"
        except ValueError:  # one time of the day only: there is no day to draw
            pass
    ds.attrs = {"key": case.quantity.key, "units": case.quantity.units}
    return ds


def _both(case: QuantityCase, function: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    parts = [function(field).drop_vars("pressure", errors="ignore") for field in (case.bottle, case.reference)]
    return xr.concat(parts, xr.DataArray(list(SIDES), dims="side", name="side"), join="outer")


def _by_season(field: xr.DataArray, function: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    there = [name for name in SEASONS if in_season(field["time"], name).any()]
    parts = [function(diagnostics.climatology(field, name)) for name in there]
    return xr.concat(parts, xr.DataArray(there, dims="season", name="season"))


def _by_month(means: xr.DataArray) -> xr.DataArray:
    """(time, ...) -> (month, ...) for all twelve, NaN for those without an instant."""
    return means.groupby("time.month").mean().reindex(month=np.arange(1, 13))


def _in_bands(field: xr.DataArray) -> xr.DataArray:
    return diagnostics.zonal_mean(field, len(BANDS)).rename(lat="band").assign_coords(band=list(BANDS))
