"""Bottles: trained models as files. Find one, open it, read what it says, make one; needs no torch to open.

>>> from xr_cbottle.bottle import open_bottle
>>> open_bottle("gcm").manifest.zoom
4
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle, fetch, open_bottle
    from xr_cbottle.bottle.errors import BottleError, BottleNotFound, FetchError, SchemaError
    from xr_cbottle.bottle.location import bundled, find
    from xr_cbottle.bottle.manifest import Manifest
    from xr_cbottle.bottle.packing import pack
    from xr_cbottle.bottle.records import (
        ConditionSpec,
        ForcingSpec,
        GapsSpec,
        LabelSpec,
        PartSpec,
        SuperresSpec,
        TimeSpec,
    )
    from xr_cbottle.bottle.sampler import SamplerDefaults

_HOMES = {
    "bottle": ("Bottle", "fetch", "open_bottle"),
    "errors": ("BottleError", "BottleNotFound", "FetchError", "SchemaError"),
    "location": ("bundled", "find"),
    "manifest": ("Manifest",),
    "packing": ("pack",),
    "records": (
        "ConditionSpec", "ForcingSpec", "GapsSpec", "LabelSpec", "PartSpec", "SuperresSpec", "TimeSpec",
    ),
    "sampler": ("SamplerDefaults",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Bottle",
    "BottleError",
    "BottleNotFound",
    "ConditionSpec",
    "FetchError",
    "ForcingSpec",
    "GapsSpec",
    "LabelSpec",
    "Manifest",
    "PartSpec",
    "SamplerDefaults",
    "SchemaError",
    "SuperresSpec",
    "TimeSpec",
    "bundled",
    "fetch",
    "find",
    "open_bottle",
    "pack",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
