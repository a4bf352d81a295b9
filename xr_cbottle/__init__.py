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
    "open_bottle": "xr_cbottle.bottle.bottle",
    "Emulator": "xr_cbottle.draw.emulator",
    "Cube": "xr_cbottle.cube.cube",
    "assimilate": "xr_cbottle.cube.assimilating",
    "continue_from": "xr_cbottle.cube.continuation",
    "downscale": "xr_cbottle.cube.downscaling",
    "infill": "xr_cbottle.cube.own_data",
    "log_likelihood": "xr_cbottle.cube.likelihoods",
    "probability": "xr_cbottle.cube.odds",
    "sensitivity": "xr_cbottle.cube.sensitivities",
    "to_latlon": "xr_cbottle.fields.onto_latlon",
    "translate": "xr_cbottle.cube.own_data",
}

__all__ = [
    "Cube",
    "Emulator",
    "__version__",
    "assimilate",
    "continue_from",
    "downscale",
    "events",
    "infill",
    "log_likelihood",
    "open_bottle",
    "probability",
    "sensitivity",
    "to_latlon",
    "translate",
]

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import open_bottle
    from xr_cbottle.cube.assimilating import assimilate
    from xr_cbottle.cube.continuation import continue_from
    from xr_cbottle.cube.cube import Cube
    from xr_cbottle.cube.downscaling import downscale
    from xr_cbottle.cube.likelihoods import log_likelihood
    from xr_cbottle.cube.odds import probability
    from xr_cbottle.cube.own_data import infill, translate
    from xr_cbottle.cube.sensitivities import sensitivity
    from xr_cbottle.draw import events
    from xr_cbottle.draw.emulator import Emulator
    from xr_cbottle.fields.onto_latlon import to_latlon


def __getattr__(name: str) -> Any:
    if name == "events":
        return importlib.import_module("xr_cbottle.draw.events")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, "events"])
