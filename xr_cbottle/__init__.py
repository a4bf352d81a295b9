"""Climate in a bottle: a trained emulator of the atmosphere as the data set it stands for.

>>> import xarray as xr
>>> ds = xr.open_dataset("gcm.cbottle", engine="cbottle")  # doctest: +SKIP

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "open_bottle": "xr_cbottle.bottle",
    "Emulator": "xr_cbottle.emulator",
    "Cube": "xr_cbottle.cube",
    "downscale": "xr_cbottle.downscaling",
}
_NAMES = {"open_bottle": "open_bottle_file"}

__all__ = ["Cube", "Emulator", "__version__", "downscale", "open_bottle"]

if TYPE_CHECKING:
    from xr_cbottle.bottle import open_bottle_file as open_bottle
    from xr_cbottle.cube import Cube
    from xr_cbottle.downscaling import downscale
    from xr_cbottle.emulator import Emulator


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), _NAMES.get(name, name))


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
