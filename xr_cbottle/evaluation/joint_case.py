"""All quantities of one label at once: what figures of several quantities are made of, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.row import ReportTarget, Row

Fields = Mapping[str, xr.DataArray]
"""(time, cell) of each quantity by its key; the instants are the same in all."""


@dataclass(frozen=True, eq=False)
class JointCase:
    """All quantities of one label.

    Attributes
    ----------
    label
        The label.
    bottle
        Instants that were drawn.
    reference
        Instants of the simulation, as many as it is held against.
    same
        Instants of the simulation at the bottle's times; of two stored data sets, the nearest to them.
    noise
        Pairs of samples of the simulation alone.
    null
        Instants of the null bottle, at the bottle's times; None without one.
    land
        (cell,) True over land, if it is known.
    sea
        (time, cell) sea surface temperature at the bottle's times, K, if it is known.
    """

    label: str
    bottle: Fields
    reference: Fields
    same: Fields
    noise: tuple[tuple[Fields, Fields], ...] = ()
    null: Fields | None = None
    land: npt.NDArray[np.bool_] | None = None
    sea: xr.DataArray | None = None

    def has(self, *keys: str) -> bool:
        """Whether both sides have these quantities."""
        return all(key in self.bottle and key in self.reference for key in keys)

    def row(
        self,
        target: ReportTarget,
        key: str,
        what: str,
        quantity: Quantity | str,
        figure: Callable[[Fields, Fields], float],
        value: Callable[[Fields], float] | None = None,
        **values: Any,
    ) -> Row:
        """A row of a figure of two sets of fields; its noise floor and the null bottle's are of the same function.

        Parameters
        ----------
        target, key, what
            Of the row; the letter of the target comes before the key.
        quantity
            What it is of.
        figure
            Of fields and those that they are held against.
        value
            Of fields alone, which the page shows for both sides.
        **values
            Others of the row.
        """
        found = dict(values)
        if value is not None:
            found |= {"value": value(self.bottle), "reference": value(self.reference)}
        middle = _middle(found)
        between = np.array([figure(first, second) for first, second in self.noise if first and second])
        between = between[np.isfinite(between)]
        if len(between):
            # Of a difference or ratio the sign is chance: its size counts.
            found["noise_floor"] = between.mean() if middle is None else middle + np.abs(between - middle).mean()
        if self.null is not None:
            found["null"] = figure(self.null, self.reference)
        title = quantity if isinstance(quantity, str) else quantity.title
        return Row(
            target, f"{target}.{key}", what, title, self.label, figure=figure(self.bottle, self.reference), **found
        )  # fmt: skip


def _middle(values: Mapping[str, Any]) -> float | None:
    low, high = values.get("lower"), values.get("upper")
    return None if low is None or high is None else (low + high) / 2


def with_levels(fields: Fields) -> xr.Dataset:
    """Fields as a data set with levels, (time, pressure, cell) where there are any."""
    surface: dict[str, xr.DataArray] = {}
    levels: dict[str, list[xr.DataArray]] = {}
    for key, field in fields.items():
        if "pressure" in field.coords:
            levels.setdefault(key.rpartition("_")[0], []).append(field)
        else:
            surface[key] = field
    columns = {name: xr.concat(parts, "pressure", coords="minimal") for name, parts in levels.items()}
    return xr.Dataset({**surface, **columns})
