"""Folders of prepared data: made once, named by what they were made of, whole or not there.

What is being made is in a folder whose name ends with ``.partial``, and who makes it holds a lock beside it. If it is
killed, the next one goes on with what is there. A whole folder has a file ``done`` with the digest of every other file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from xr_cbottle.training import run_sources
from xr_cbottle.training.parsing import as_dict
from xr_cbottle.training.source_config import SourceConfig, StoreConfig


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Have a folder made, unless that was done before; in it is a file ``done``.

    Parameters
    ----------
    folder
        Its name when it is whole.
    make
        Fills the folder that it is given, which takes its name when it is whole. What an earlier call has left there
        when it was killed is still there.

    Raises
    ------
    ValueError
        If another process is making it.
    """
    if not (folder / "done").exists():
        partial = folder.with_name(folder.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(folder.name + ".lock")):
            if (folder / "done").exists():
                return folder
            make(partial)
            (partial / "done").write_text(json.dumps(_digests(partial), indent=1) + "\n")
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
    return folder


def verify(folder: Path) -> int:
    """Check the files of a whole folder against the digests that were taken when it was made.

    Returns
    -------
    int
        Their bytes.

    Raises
    ------
    ValueError
        If a file is missing or has changed.
    """
    known, total = json.loads((folder / "done").read_text()), 0
    for name, digest in known.items():
        path = folder / name
        if not path.is_file() or file_digest(path) != digest:
            raise ValueError(
                f"{path} is not as it was when it was prepared: remove the folder {folder}, and prepare again"
            )
        total += path.stat().st_size
    return total


def file_digest(path: Path) -> str:
    """sha256 (hexadecimal) of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes another when that is done; so what is there is whole."""
    partial = path.with_name(f"partial_{path.name}")
    yield partial
    os.replace(partial, path)


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
    paths = [path for store in stores if store.catalog is None for path in _there(store)]
    text = json.dumps([*kinds, run_sources.fingerprint([*paths, *others])], sort_keys=True)
    return Path(run_sources.expanded(str(parent))) / hashlib.sha256(text.encode()).hexdigest()[:16]


def settings(config: Any, *others: str) -> dict[str, Any]:
    """Keys of a configuration of data that decide what is prepared: without those named, and how often images come."""
    values = {key: value for key, value in as_dict(config).items() if key not in others}
    for source in values["sources"]:
        del source["weight"]
    return values


def _there(store: StoreConfig) -> tuple[str, ...]:
    """Addresses of a store; none where its files are not there, which preparing refuses and a dry run lists."""
    try:
        return run_sources.addresses(store)
    except FileNotFoundError:
        return ()


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "done")
    return {path.name: file_digest(path) for path in files}


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock, in whose file is who has it; the system lets it go when the process ends, however it ends."""
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            who = file.read().strip() or "another process"
            raise ValueError(
                f"{path.with_suffix('')} is being prepared by {who}: wait for it, or end it; what it has done is kept"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
