"""The files of the page that the server shows: those of ``web`` and of its ``build``, and no others."""

from __future__ import annotations

import mimetypes
from importlib.resources import files
from importlib.resources.abc import Traversable

INDEX = "index.html"

_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".woff2": "font/woff2", ".svg": "image/svg+xml"}
_WITHOUT = b"""<!doctype html><meta charset="utf-8"><title>xr_cbottle</title>
<p>This server has <a href="catalog.json">data</a> and no page."""


def file(name: str) -> tuple[bytes, str] | None:
    """Content and media type of a file of the page; None if it has none of that name."""
    found = _files().get(name)
    if found is None:
        return (_WITHOUT, "text/html; charset=utf-8") if name == INDEX else None
    suffix = name[name.rfind(".") :]
    kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return found.read_bytes(), f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _files() -> dict[str, Traversable]:
    web = files("xr_cbottle.serve") / "web"
    return {
        one.name: one
        for folder in (web, web / "build")
        if folder.is_dir()
        for one in folder.iterdir()
        if one.is_file() and not one.name.startswith(("_", ".")) and not one.name.endswith(".py")
    }
