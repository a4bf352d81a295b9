"""Attributes of a result: its unit, made from those of the fields, and its meaning."""

from __future__ import annotations

from typing import TypeVar

import xarray as xr

T = TypeVar("T", xr.DataArray, xr.Dataset)


def units(field: xr.DataArray) -> str:
    """The field's unit; "1" if it has none."""
    return str(field.attrs.get("units", "1")) or "1"


def squared(unit: str) -> str:
    """The square of a unit, as UDUNITS reads it: ``K2``, ``(kg m-2 s-1)2``."""
    if unit == "1":
        return "1"
    return f"{unit}2" if unit.isalpha() else f"({unit})2"


def per(unit: str, other: str) -> str:
    """One unit over another, as UDUNITS reads it: ``(kg m-2 s-1) K-1``."""
    if other == "1":
        return unit
    if unit == other:
        return "1"
    below = f"{other}-1" if other.isalpha() else f"({other})-1"
    return below if unit == "1" else f"{unit if unit.isalpha() else f'({unit})'} {below}"


def described(result: xr.DataArray, meaning: str, unit: str, **attrs: str | float | int) -> xr.DataArray:
    """The result with exactly these attributes: ``units``, ``long_name`` (what it means) and others."""
    result = result.copy(deep=False)
    result.attrs = {"units": unit, "long_name": meaning, **attrs}
    return result


def name_of(field: xr.DataArray) -> str:
    """Name of the field in the description of a result."""
    return str(field.attrs.get("long_name") or field.name or "field")
