"""Figures of several quantities at once that have no target: joint distributions, leading modes, budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.joint_case import with_levels

Sides = Mapping[str, tuple[xr.DataArray, xr.DataArray]]

JOINT = (("tas", "prw"), ("prw", "pr"), ("rlut", "pr"), ("tas", "rlut"), ("ua_25000", "ta_50000"))
MODES = 3
_BINS = 40
_SIDES = ("bottle", "reference")


def relations(fields: Sides) -> dict[str, Any]:
    """Everything of several quantities that the fields at hand allow.

    Parameters
    ----------
    fields
        {key: (bottle, reference)}, (time, cell) each; the instants of a side are the same in all.

    Returns
    -------
    ``joint``: {(key, key): (side, first, second) densities}, with the correlation of each side as coordinate;
    ``eofs``: (side, mode, cell) patterns and (side, mode) explained variances of sea-level pressure;
    ``balances``: rows {figure, units, bottle, reference} as JSON has them.
    """
    found: dict[str, Any] = {"joint": {}, "balances": _balances(fields)}
    for first, second in JOINT:
        if first in fields and second in fields:
            found["joint"][(first, second)] = _joint(fields[first], fields[second])
    if "psl" in fields:
        found["eofs"] = _modes(fields["psl"])
    return found


def _joint(first: tuple[xr.DataArray, xr.DataArray], second: tuple[xr.DataArray, xr.DataArray]) -> xr.DataArray:
    """Densities over the range that the reference has between its outermost values."""
    edges = []
    for _, reference in (first, second):
        low, high = (float(value) for value in np.nanquantile(reference.values, (0.001, 0.99)))
        edges.append(np.linspace(low, high if high > low else low + 1, _BINS + 1))
    parts, likeness = [], []
    for a, b in zip(first, second, strict=True):
        parts.append(diagnostics.joint_distribution(a, b, bins=(edges[0], edges[1])))
        likeness.append(float(diagnostics.correlation(a, b, ("time", "cell"))))
    joint = xr.concat(parts, xr.DataArray(list(_SIDES), dims="side", name="side"))
    return joint.assign_coords(correlation=("side", likeness))


def _modes(psl: tuple[xr.DataArray, xr.DataArray]) -> xr.Dataset | None:
    """EOFs of sea-level pressure without the mean month of the year."""
    sides = []
    for field in psl:
        if field.sizes["time"] <= 12 + MODES or bool(np.isnan(field).any()):
            return None
        anomalies = diagnostics.anomalies(field)
        found = diagnostics.eofs(anomalies, modes=MODES)
        sides.append(found[["pattern", "explained_variance"]])
    modes = xr.concat(sides, xr.DataArray(list(_SIDES), dims="side", name="side"))
    # The sign of a mode means nothing: the bottle's are turned as the reference's are.
    likeness = diagnostics.pattern_correlation(modes.pattern.sel(side="bottle"), modes.pattern.sel(side="reference"))
    sign = xr.where(modes["side"] == "bottle", np.sign(likeness), 1.0)
    modes["pattern"] = (modes.pattern * sign).transpose("side", "mode", "cell").assign_attrs(modes.pattern.attrs)
    return modes.assign_coords(likeness=("mode", np.abs(likeness.values)))


def _balances(fields: Sides) -> list[dict[str, Any]]:
    """Global budgets, and how far wind and thickness are from balance, of both sides."""
    rows: list[dict[str, Any]] = []

    def add(figure: str, units: str, values: list[float]) -> None:
        rows.append({"figure": figure, "units": units, **dict(zip(_SIDES, values, strict=True))})

    sides = [_dataset(fields, i) for i in (0, 1)]
    if all(name in sides[0] for name in ("zg", "ta")) and sides[0].sizes.get("pressure", 0) > 1:
        layers = [diagnostics.hydrostatic_residual(ds) for ds in sides]
        for i in range(layers[0].sizes["layer"]):
            residuals = [ds["residual"].isel(layer=i) for ds in layers]
            upper, lower = (float(layers[0][name][i]) / 100 for name in ("upper", "lower"))
            words = f"thickness {upper:g} to {lower:g} hPa minus hydrostatic"
            add(f"{words}, mean", "m", [float(part.mean()) for part in residuals])
            add(f"{words}, standard deviation", "m", [float(part.std()) for part in residuals])
    if all(name in sides[0] for name in ("zg", "ua", "va")) and 50000 in sides[0].get("pressure", []):
        winds = [diagnostics.geostrophic_residual(ds, pressure=50000) for ds in sides]
        for name in ("u", "v"):
            words = f"{name} 500 hPa minus geostrophic beyond 20 degrees, root mean square"
            add(words, "m s-1", [float(np.sqrt((ds[f"{name}_residual"] ** 2).mean())) for ds in winds])
    if all(name in sides[0] for name in ("rsut", "rlut")):
        budgets = [diagnostics.radiation_budget(ds) for ds in sides]
        add("TOA net downward radiation, 1361 W m-2 of sun", "W m-2", [float(ds["net"].mean()) for ds in budgets])
    if "pr" in sides[0]:
        water = [diagnostics.water_budget(ds) for ds in sides]
        for name in ("precipitation", "evaporation", "residual"):
            if name in water[0] and name in water[1]:
                add(f"global mean {name}" + (" of water" if name == "residual" else ""), "kg m-2 s-1",
                    [float(ds[name].mean()) for ds in water])  # fmt: skip
    return rows


def _dataset(fields: Sides, side: int) -> xr.Dataset:
    """One side as a data set with levels."""
    return with_levels({key: pair[side] for key, pair in fields.items()})
