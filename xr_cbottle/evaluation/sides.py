"""Sides of a comparison under one label: a bottle or a stored data set, and the simulation that it is held against."""

from __future__ import annotations

from dataclasses import dataclass

from xr_cbottle.evaluation.climate_run import ClimateRun
from xr_cbottle.evaluation.null_bottle import NullBottle
from xr_cbottle.evaluation.reference import StoredReference
from xr_cbottle.evaluation.sampling import Drawing


@dataclass(frozen=True, eq=False)
class Sides:
    """Data that are compared under one label.

    Attributes
    ----------
    label
        Of the bottle; empty if there is none.
    reference, others
        Data sets of the simulation: held-out times, and other years of the same if there are any.
    left
        A bottle's drawing, or a stored data set.
    climates
        Runs of the simulation under other climates.
    """

    label: str
    reference: StoredReference
    others: StoredReference | None
    left: Drawing | StoredReference
    climates: tuple[ClimateRun, ...] = ()

    @property
    def known(self) -> list[StoredReference]:
        """All data sets of the simulation under its own climate."""
        return [self.reference] if self.others is None else [self.reference, self.others]


def null_of(sides: Sides) -> NullBottle | None:
    """The null bottle of a label: of the bottle's climatology, else of other years; None if there is neither."""
    if isinstance(sides.left, Drawing):
        found = NullBottle.of_bottle(sides.left, sides.label or None, sides.others or sides.reference)
        if found is not None:
            return found
    return NullBottle.of_years(sides.others)
