"""A list of the bottles that can be opened by name on this machine."""

from __future__ import annotations

from typing import Any

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle import facts, location
from xr_cbottle.bottle.bottle import open_bottle

_MOST = 100


def rows() -> list[dict[str, Any]]:
    """One record a bottle, by name: what it is, how fine, how large, and where; or what is wrong with it.

    Returns
    -------
    Mappings with ``name`` and ``path``, and either ``title``, ``labels``, ``zoom`` (its own), ``finest_zoom`` (by
    super-resolution), ``bytes`` and ``files_missing`` (how many are still to be fetched), or ``error``.
    """
    return [_row(name, path) for name, path in location.here().items()]


def _row(name: str, path: str) -> dict[str, Any]:
    try:
        found = facts.facts(open_bottle(path))
    except (ValueError, OSError) as error:  # of a broken bottle; the others are shown all the same
        return {"name": name, "path": path, "error": one_line(error)}
    return {
        "name": name,
        "path": path,
        **{key: found[key] for key in ("title", "labels", "zoom", "bytes")},
        "finest_zoom": found["superres"]["zoom"] if found["superres"] else found["zoom"],
        "files_missing": len(found["files_missing"]),
    }


def text(found: list[dict[str, Any]]) -> str:
    """Records of bottles as lines for a terminal, two each: what it is, and where."""
    if not found:
        return "there is no bottle in this folder, in XR_CBOTTLE_PATH, or in the package"
    width = max(len(row["name"]) for row in found)
    return "\n".join(line for row in found for line in _lines(row, width))


def _lines(row: dict[str, Any], width: int) -> list[str]:
    if "error" in row:
        return [f"{row['name']:<{width}}  cannot be opened: {row['error']}"]
    finer = f" to {row['finest_zoom']}" if row["finest_zoom"] > row["zoom"] else ""
    missing = f", {row['files_missing']} files to be fetched" if row["files_missing"] else ""
    labels = f", {' and '.join(row['labels'])}" if row["labels"] else ""
    return [
        f"{row['name']:<{width}}  {one_line(row['title'], _MOST)}",
        f"{'':<{width}}  zoom {row['zoom']}{finer}{labels}; {facts.size(row['bytes'])}{missing}; {row['path']}",
    ]
