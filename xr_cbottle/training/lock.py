"""A lock on a run's folder: two processes that train in it would spoil it."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from pathlib import Path
from types import TracebackType

NAME = "lock.json"
STALE = 900.0
"""Seconds after which the lock of another machine that nobody touched is taken to be left over."""
_TOUCHED = 30.0
_BEGINNING = 5.0
"""Seconds in which whoever made a lock has written who it is."""


class FolderLock:
    """Holds a folder for this process while it trains, and says who holds it otherwise.

    Parameters
    ----------
    folder
        Of the run.

    Raises
    ------
    ValueError
        On entering, if another process trains there.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._touched = 0.0

    def __enter__(self) -> FolderLock:
        mine = json.dumps(
            {"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%FT%TZ", time.gmtime())}
        )
        for _ in range(2):
            try:
                with open(self._path, "x", encoding="utf-8") as file:
                    file.write(mine)
                return self
            except FileExistsError:
                if holder := _alive(self._path):
                    raise ValueError(
                        f"{self._path.parent} is being trained by {holder}: wait for it, or give another folder; "
                        f"remove {self._path} if that is not so"
                    ) from None
                self._path.unlink(missing_ok=True)
        raise ValueError(f"{self._path.parent} was taken by another process just now: give another folder")

    def touch(self) -> None:
        """Show that the run is alive, now and then."""
        if time.monotonic() - self._touched > _TOUCHED:
            self._touched = time.monotonic()
            self._path.touch()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)


def _alive(path: Path) -> str:
    """Who holds a lock, in words; nothing if it was left over by a kill."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        host, process, since = str(found["host"]), int(found["process"]), str(found["since"])
        age = _age(path)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):  # it may be about to be written
        return "a process that begins just now" if _age(path) < _BEGINNING else ""
    words = f"process {process} on {host}, since {since}"
    if host != socket.gethostname():
        return words if age < STALE else ""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return words
    return "" if process == os.getpid() else words


def _age(path: Path) -> float:
    """Seconds since a lock was touched; of one that is gone, infinity."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return math.inf
