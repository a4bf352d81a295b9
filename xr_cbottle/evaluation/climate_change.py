"""Changes that another climate makes, on one side: means, warmest instants over land, trends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation.joint_case import Fields
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.resampling import STORED_BLOCK

TAS = Quantity("tas")
CHANGING = (TAS, Quantity("pr"), Quantity("prw"), Quantity("rlut"), Quantity("ta", 25000))
HIGHEST = 15000
"""Pa: a level above it is taken for one of the stratosphere."""
WARMEST = 0.99
REGIONS: Mapping[str, tuple[float, float]] = {
    "globe": (-90.0, 90.0), "60N-90N": (60.0, 90.0), "30N-60N": (30.0, 60.0), "30S-30N": (-30.0, 30.0),
    "60S-30S": (-60.0, -30.0), "90S-60S": (-90.0, -60.0),
}  # fmt: skip
SEASONS = ("annual", "DJF", "JJA")


@dataclass(frozen=True, eq=False)
class Change:
    """Difference of one side under another climate from its base, in the mean of the same instants.

    Attributes
    ----------
    base
        (cell,) means of each quantity under the base.
    change
        (cell,) differences of each quantity.
    error
        Standard errors of the global means of these.
    warmest
        Difference of the temperature that one of a hundred instants and cells over land exceeds, K; NaN without land.
    """

    base: Fields
    change: Fields
    error: Mapping[str, float]
    warmest: float

    @classmethod
    def of(cls, base: Fields, other: Fields, land: npt.NDArray[np.bool_] | None, drawn: bool) -> Change:
        """Measure fields (time, cell) of both at the same times; drawn ones are independent of each other."""
        means = {key: diagnostics.climatology(one) for key, one in base.items()}
        differences = {key: one.astype(np.float64) - base[key].values for key, one in other.items()}
        errors = {}
        for key, one in differences.items():
            series = diagnostics.global_mean(one).values
            independent = max(2.0, len(series) / (1 if drawn else STORED_BLOCK))
            errors[key] = float(series.std(ddof=1) / np.sqrt(independent)) if len(series) > 1 else float("nan")
        hot = [warmest(side[TAS.key], land) for side in (base, other)] if TAS.key in base else [np.nan, np.nan]
        return cls(
            means, {key: diagnostics.climatology(one) for key, one in differences.items()}, errors, hot[1] - hot[0]
        )

    def global_mean(self, key: str) -> float:
        """Global mean of a difference."""
        return float(diagnostics.global_mean(self.change[key]))


@dataclass(frozen=True, eq=False)
class Trends:
    """Trends of one side over the years of a run that changes with time.

    Attributes
    ----------
    tas
        (cell,) of near-surface temperature, K per decade.
    regions
        {region: {season: trend of near-surface temperature, K per decade}}.
    warmest
        Of the temperature that one of a hundred instants and cells over land exceeds, K per decade; NaN without land.
    years
        Mean temperature of the globe in each year, K.
    """

    tas: xr.DataArray
    regions: Mapping[str, Mapping[str, float]]
    warmest: float
    years: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, tas: xr.DataArray, land: npt.NDArray[np.bool_] | None) -> Trends:
        """Measure near-surface temperature (time, cell) of three years or more."""
        _, lat = diagnostics.lonlat(tas)
        masks = {
            name: xr.DataArray((lat.values >= low) & (lat.values <= high), dims="cell")
            for name, (low, high) in REGIONS.items()
        }
        if land is not None:
            masks |= {"land": xr.DataArray(land, dims="cell"), "sea": xr.DataArray(~land, dims="cell")}
        regions: dict[str, dict[str, float]] = {name: {} for name in masks}
        for season in SEASONS:
            try:
                slope = diagnostics.trend(diagnostics.season(tas, season))
            except ValueError:  # some years have no instant in it
                continue
            for name, mask in masks.items():
                regions[name][season] = float(diagnostics.area_mean(slope, mask))
        calendar = tas["time"].dt.year.values
        parts = {int(year): tas.isel(time=np.flatnonzero(calendar == year)) for year in np.unique(calendar)}
        hot = [warmest(part, land) for part in parts.values()]
        hotter = float(10 * np.polyfit(list(parts), hot, 1)[0]) if np.isfinite(hot).all() else float("nan")
        years = {year: float(diagnostics.global_mean(part).mean()) for year, part in parts.items()}
        return cls(diagnostics.trend(tas), regions, hotter, years)


def warmest(tas: xr.DataArray, land: npt.NDArray[np.bool_] | None) -> float:
    """Temperature that one of a hundred instants and cells over land exceeds, K; NaN where land is not known."""
    if land is None or not land.any():
        return float("nan")
    return float(np.nanquantile(tas.values[:, land], WARMEST))


def stratosphere(keys: Fields) -> Quantity | None:
    """Temperature of the highest level, if it lies in the stratosphere."""
    levels = sorted(int(key.rpartition("_")[2]) for key in keys if key.startswith("ta_"))
    return Quantity("ta", levels[0]) if levels and levels[0] <= HIGHEST else None
