"""Settings that a run has now and had not when its state was saved, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from xr_cbottle.training.parsing import as_dict
from xr_cbottle.training.patchwise.patch_config import AnyConfig

_OF_NO_WEIGHT = (
    "max_hours", "save_seconds", "save_images", "keep_images", "keep_best", "patience_images", "log_images",
    "validate_images", "look_images", "look_instants", "tensorboard", "loaders",
)  # fmt: skip


def changed(before: dict[str, Any], config: AnyConfig) -> list[str]:
    """Settings of a network and its training, and weights of sources, that differ, each in words.

    Parameters
    ----------
    before
        The configuration as the state keeps it; keys that it lacks are younger than it.
    config
        That of the run now.
    """
    now = json.loads(json.dumps(as_dict(config)))
    return [*_weighed(before, now)] + [
        f"{section}: {name} {now[section][name]} instead of {known[name]}"
        for section in ("network", "training")
        for known in [before.get(section) or {}]
        for name in now.get(section) or {}
        if name in known and known[name] != now[section][name] and name not in _OF_NO_WEIGHT
    ]


def _weighed(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Sources whose images come more or less often than before, each in words."""
    sources = [(values.get("data") or values.get("superres") or {}).get("sources", ()) for values in (before, now)]
    for old, new in zip(*sources, strict=False):
        was = old.get("weight", 1.0)  # a later key
        if was != new["weight"]:
            yield f"source {new['label']!r}: weight {new['weight']:g} instead of {was:g}"
