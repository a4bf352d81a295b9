"""Folders of prepared data: made once, named by what they were made of, whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from xr_cbottle.training import run_sources
from xr_cbottle.training.source_config import SourceConfig


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Have a folder made, unless that was done before; in it is a file ``done``.

    Parameters
    ----------
    folder
        Its name when it is whole.
    make
        Fills the folder that it is given, which takes its name when it is whole.
    """
    if not (folder / "done").exists():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        (partial / "done").touch()
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder


def place(
    parent: str | os.PathLike[str], kinds: Iterable[Any], used: Iterable[SourceConfig], others: Iterable[str] = ()
) -> Path:
    """Folder in ``parent`` for what is made of some settings and files.

    What is behind URLs and in catalogs is taken to be what it was: remove the folder when it changes.

    Parameters
    ----------
    parent
        May hold ``~`` and environment variables.
    kinds
        Plain values that decide what is made.
    used
        Of whose files the sizes and times count.
    others
        Other files.
    """
    stores = [store for source in used for store in (source, *source.also)]
    paths = [path for store in stores if store.catalog is None for path in run_sources.addresses(store)]
    text = json.dumps([*kinds, run_sources.fingerprint([*paths, *others])], sort_keys=True)
    return Path(run_sources.expanded(str(parent))) / hashlib.sha256(text.encode()).hexdigest()[:16]
