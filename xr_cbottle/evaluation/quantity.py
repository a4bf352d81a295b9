"""Quantity of a comparison: a variable, on one level if it is on levels."""

from __future__ import annotations

from dataclasses import dataclass

from xr_cbottle.fields.channels import VARIABLES


@dataclass(frozen=True)
class Quantity:
    """A variable, on one level if it is on levels.

    Attributes
    ----------
    name
        Of the variable.
    pressure
        Of the level, Pa; None for a variable without.
    """

    name: str
    pressure: int | None = None

    @property
    def key(self) -> str:
        """Name in the keys of figures: ``tas``, ``ta_50000``."""
        return self.name if self.pressure is None else f"{self.name}_{self.pressure}"

    @property
    def title(self) -> str:
        """Name for people: ``tas``, ``ta 500 hPa``."""
        return self.name if self.pressure is None else f"{self.name} {self.pressure / 100:g} hPa"

    @property
    def long_name(self) -> str:
        """Name in words, with the level."""
        known = VARIABLES.get(self.name)
        words = self.name if known is None else known.long_name
        return words if self.pressure is None else f"{words} at {self.pressure / 100:g} hPa"

    @property
    def units(self) -> str:
        """Unit of the variable, that of a bottle's data set."""
        known = VARIABLES.get(self.name)
        return "" if known is None else known.units
