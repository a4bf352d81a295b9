"""The cube: the data set that a bottle stands for, and how values are read from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xr_cbottle.cube.cube import Cube

__all__ = ["Cube"]


def __getattr__(name: str) -> Any:
    if name != "Cube":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from xr_cbottle.cube.cube import Cube

    return Cube
