"""Normalisation: states of a bottle's networks, which have no units, as values in the channels' units, and back.

Between the two lie the climatology about which the networks draw, or two numbers a channel; what is never negative; the
bounds of the bottle; and the cells in which a label has no values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.climatology import About, Climatology
from xr_cbottle.bottle.gaps import Gaps, Mask
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.draw.bounds import Bounds
from xr_cbottle.draw.conditions import Driving
from xr_cbottle.fields.nonnegative import without_negatives

Floats = npt.NDArray[np.floating[Any]]
Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class Normalisation:
    """How states of a bottle's networks become values in the channels' units, and values states.

    Attributes
    ----------
    manifest
        Of the bottle.
    driving
        Sea and forcings, with which the climatology moves.
    scales, center
        (channel,) value = state * scale + centre, if there is no climatology.
    climatology
        What the networks draw anomalies from, if they do.
    bounds
        Of what is drawn; None if the bottle has none.
    gaps
        Cells in which the labels' data have no values; None if they have all.
    """

    manifest: Manifest
    driving: Driving
    scales: Floats
    center: Floats
    climatology: Climatology | None = None
    bounds: Bounds | None = None
    gaps: Gaps | None = None

    @property
    def nonnegative(self) -> list[int]:
        """Numbers of the channels that are never negative."""
        return [self.manifest.channels.index(name) for name in self.manifest.nonnegative]

    def known(self, label: str | None) -> Mask | None:
        """(channel, cell NEST) True where a label has values; None if it has all."""
        absent = None if self.gaps is None else self.gaps.of(label)
        return None if absent is None or not absent.any() else ~absent

    def predictors(self, times: Times) -> Floats | None:
        """Predictors of the climatology's response at (n,) times, (n, predictor); None without a response."""
        if self.climatology is None or self.climatology.response is None:
            return None
        told = self.driving.told(times)
        return self.climatology.predictors(self.driving.sst.at(times), times, told)

    def about(self, label: str | None, times: Times) -> About | None:
        """Mean, spread and ratio of the climate, as `Climatology.about` gives them; None without a climatology."""
        return None if self.climatology is None else self.climatology.about(label, times, self.predictors(times))

    def physical(self, x: Floats, label: str | None, times: Times) -> Floats:
        """Values in the channels' units, (n, channel, cell NEST), of what the networks draw, of the same shape."""
        about = self.about(label, times)
        values = self._in_units(x, label, about)
        if self.bounds is None:
            return values
        usual = None if self.climatology is None or about is None else self.climatology.usual_of(about[0])
        return self.bounds.applied(values, label, times, usual, self.driving.sst.at(times), self.known(label))

    def unbounded(self, x: Floats, label: str | None, times: Times) -> Floats:
        """Values as `physical` gives them, before they are moved into the bounds of the bottle."""
        return self._in_units(x, label, self.about(label, times))

    def _in_units(self, x: Floats, label: str | None, about: About | None) -> Floats:
        if self.climatology is not None and about is not None:
            values = self.climatology.physical_about(x, label, *about)
        else:
            values = x * self.scales[:, None] + self.center[:, None]
        if chosen := self.nonnegative:
            known = self.known(label)
            values[:, chosen] = without_negatives(values[:, chosen], None if known is None else known[chosen])
        return values

    def normalised(self, values: Floats, label: str | None, times: Times) -> Floats:
        """Undo `physical`, but for what was below 0 or beyond a bound."""
        if self.climatology is not None:
            return self.climatology.standardised(values, label, times, self.predictors(times))
        return (values - self.center[:, None]) / self.scales[:, None]

    def anomalies(self, values: Floats, label: str | None, times: Times) -> Floats:
        """Undo `physical` but for calibration's gain, which alone mixes cells.

        NaN stays where it was, and is in the gaps of the label, of which its networks know nothing.
        """
        if self.climatology is not None:
            found = self.climatology.anomalies(values, label, times, self.predictors(times))
        else:
            found = self.normalised(values, label, times)
        known = self.known(label)
        return found if known is None else np.where(known, found, np.nan)

    def known_part(self, values: Floats, label: str | None, times: Times) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Give `normalised` fields that have holes: 0 where there is no value (NaN); and where there is one."""
        found = self.anomalies(values, label, times)
        known = np.isfinite(found)
        found = np.where(known, found, 0.0)
        if self.climatology is not None:
            found = self.climatology.unamplified(found, label)
        return np.where(known, found, 0.0), known
