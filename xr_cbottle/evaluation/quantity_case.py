"""One quantity of one label: the fields that are compared, and how their figures are judged."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.resampling import STORED_BLOCK, Copies, error
from xr_cbottle.evaluation.row import ReportTarget, Row

SEASONS = ("annual", "DJF", "JJA")
Pair = tuple[xr.DataArray, xr.DataArray]


@dataclass(frozen=True, eq=False)
class QuantityCase:
    """One quantity of one label.

    Attributes
    ----------
    quantity, label
        What it is.
    bottle, reference
        (time, cell) each, at the instants that are compared.
    pairs
        Samples of the reference alone, with as many instants, to be held against each other: the noise floor.
    land
        (cell,) True over land, if it is known.
    copies
        How many resampled copies sampling errors are made of.
    is_model
        Whether ``bottle`` is drawn, so that its instants are independent; else it is a stored series too.
    """

    quantity: Quantity
    label: str
    bottle: xr.DataArray
    reference: xr.DataArray
    pairs: tuple[Pair, ...] = ()
    land: npt.NDArray[np.bool_] | None = None
    copies: int = 100
    is_model: bool = True
    _spectra: dict[int, xr.DataArray] = field(default_factory=dict, repr=False)

    @functools.cached_property
    def resampled(self) -> tuple[Copies, Copies]:
        """Copies of the bottle's instants and of the reference's."""
        mine = Copies.of(self.bottle["time"].values, self.copies, 1, 1 if self.is_model else STORED_BLOCK)
        return mine, Copies.of(self.reference["time"].values, self.copies, 2, STORED_BLOCK)

    def spectra(self, field: xr.DataArray) -> xr.DataArray:
        """(time, degree) spectra of each instant of one of its fields, degrees above zero; each made once."""
        if id(field) not in self._spectra:
            from xr_cbottle.diagnostics import power_spectrum

            instants = power_spectrum(field.rename(time="instant")).rename(instant="time")
            self._spectra[id(field)] = instants.isel(degree=slice(1, None))
        return self._spectra[id(field)]

    def row(self, target: ReportTarget, kind: str, what: str, **values: Any) -> Row:
        """A row of this quantity; its key ends with the season and band where they are given."""
        tail = "".join(
            f".{values[name].replace(' ', '_')}"
            for name in ("season", "band")
            if values.get(name, "annual") != "annual"
        )
        key = f"{target}.{kind}.{self.quantity.key}{tail}"
        return Row(target, key, what, self.quantity.title, self.label, **values)

    def noise(self, figure: Callable[[xr.DataArray, xr.DataArray], Any], middle: float | None = None) -> float | None:
        """Mean of a figure over the pairs; of its distance from ``middle``, added to it, if that is given."""
        found = np.array([float(figure(first, second)) for first, second in self.pairs])
        found = found[np.isfinite(found)]
        if not len(found):
            return None
        return float(found.mean() if middle is None else middle + np.abs(found - middle).mean())


def spread(copies: xr.DataArray | npt.NDArray[np.float64]) -> float | None:
    """A sampling error, None if there is none."""
    found = error(copies)
    return found if np.isfinite(found) else None


def in_season(times: xr.DataArray, name: str) -> npt.NDArray[np.bool_]:
    """(time,) which instants are in a season."""
    from xr_cbottle.diagnostics import SEASONS as MONTHS

    return np.asarray(times.dt.month.isin(MONTHS[name]).values)
