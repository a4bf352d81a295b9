"""A bound on the bytes of a folder of finished fields that several processes write to, each of which may be killed.

A file in the folder says how many bytes there are. Who writes adds to it first, under a lock, so that whoever is killed
meanwhile leaves a number that is too large and never one that is too small; where it exceeds the bound, all files are
counted anew and those used longest ago are removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

LOCKS = ".locks"
_FILES = f"{32 * '?'}/*/seed*/member*/*/"
_LEFT = 0.9  # of the bound is left when files are removed, so that this does not happen at each one that comes
_STALE = 3600  # seconds after which what was being written is nobody's


class _File(NamedTuple):
    used: float  # when, seconds since 1970
    nbytes: int
    path: str


@dataclass(frozen=True)
class FolderBound:
    """A folder and how many bytes of fields may be in it.

    Attributes
    ----------
    folder
        The folder.
    limit
        Bytes; None for half of what the disk would have free without them.
    """

    folder: str
    limit: int | None

    def admit(self, nbytes: int) -> bool:
        """Make room for a file that comes now; returns whether it may. Raises OSError where the folder refuses."""
        from filelock import FileLock

        Path(self.folder, LOCKS).mkdir(parents=True, exist_ok=True)
        with FileLock(Path(self.folder, LOCKS, "size"), thread_local=False):
            before = self._said()
            total = self._counted() if before is None else before
            if nbytes > self._most(total):
                return False
            total += nbytes
            if total > self._most(total - nbytes):
                total = self._sweep(nbytes)
            self._say(total)
        return True

    @property
    def _note(self) -> Path:
        return Path(self.folder, LOCKS, "bytes")

    def _said(self) -> int | None:
        try:
            return max(0, int(self._note.read_text()))
        except (OSError, ValueError):
            return None

    def _say(self, total: int) -> None:
        beside = self._note.with_name(f"bytes.{os.getpid()}")
        beside.write_text(str(total))
        os.replace(beside, self._note)

    def _most(self, total: int) -> int:
        if self.limit is not None:
            return self.limit
        return (total + shutil.disk_usage(self.folder).free) // 2

    def _counted(self) -> int:
        return sum(file.nbytes for file in self._files())

    def _files(self) -> Iterator[_File]:
        for path in Path(self.folder).glob(_FILES + "*.npy*"):
            with contextlib.suppress(OSError):  # another process has removed it
                state = path.stat()
                yield _File(state.st_mtime, state.st_size, str(path))

    def _sweep(self, coming: int) -> int:
        """Remove what was used longest ago; returns how many bytes there are with those that come."""
        files, now = sorted(self._files()), time.time()
        total = sum(file.nbytes for file in files)
        most = self._most(total)
        room = max(int(_LEFT * most), coming) - coming
        for file in files:
            hidden = os.path.basename(file.path).startswith(".")
            if not hidden and total <= room:
                continue
            if hidden and now - file.used < _STALE:
                continue
            with contextlib.suppress(OSError):
                os.unlink(file.path)
                total -= file.nbytes
        return total + coming
