"""Packing a bottle again: the same files under a changed manifest, or with some of them replaced."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.packing import pack
from xr_cbottle.bottle.records import ConditionSpec, PartSpec


def repack(
    out: str | os.PathLike[str],
    bottle: Bottle,
    manifest: Manifest,
    replaced: Mapping[str, str | os.PathLike[str]] | None = None,
) -> Path:
    """Write a bottle as one file under a changed manifest; its other files are copied byte for byte.

    Parameters
    ----------
    out
        The ``.cbottle`` to make; it appears whole or not at all, and may be the bottle's own file.
    bottle
        The bottle that has the files. Those that are URLs are fetched.
    manifest
        What is written of it.
    replaced
        Files that come from elsewhere, by their locations in ``manifest``.

    Raises
    ------
    BottleError, FetchError
        As `Bottle.open_file` and `pack`.
    """
    with tempfile.TemporaryDirectory() as folder:

        def file(spec: PartSpec | ConditionSpec | None, name: str) -> str | os.PathLike[str] | None:
            if spec is None:
                return None
            if replaced is not None and spec.location in replaced:
                return replaced[spec.location]
            path = Path(folder) / name
            with contextlib.closing(bottle.open_file(spec)) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            return path

        parts = [path for i, part in enumerate(manifest.parts) if (path := file(part, str(i))) is not None]
        conditions = (
            file(getattr(manifest, name), name) for name in ("sst", "climatology", "coherence", "gaps")
        )  # in the order in which `pack` takes them
        return pack(out, manifest, parts, *conditions)
