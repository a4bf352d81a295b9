"""How much memory there is: of the machine, the container and dask's worker. Needs no torch."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

#: Assumed where the system does not say, bytes.
_UNKNOWN = 16 * 2**30


@functools.cache
def process_memory() -> int:
    """Memory that this process may use, bytes: the machine's, or that of the container it runs in."""
    available = _UNKNOWN
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on Windows
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([available, *container_limits()])


def container_limits(own: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> Iterator[int]:
    """Limits of the control groups that this process is in, bytes: of its own, and of those above it.

    Parameters
    ----------
    own
        File that names the groups of the process, for versions 1 and 2 of control groups.
    root
        Folder where groups are mounted.
    """
    try:
        lines = Path(own).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in ["0::/", "1:memory:/", *lines]:  # a container may see its own group as the root
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            yield from _limits(Path(root), path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _limits(Path(root, "memory"), path, "memory.limit_in_bytes")


def _limits(root: Path, path: str, name: str) -> Iterator[int]:
    group = root.joinpath(*(part for part in path.split("/") if part not in ("", "..")))
    for folder in (group, *group.parents):
        with contextlib.suppress(OSError, ValueError):  # there is no such limit, or it is "max"
            yield int((folder / name).read_text())
        if folder == root:
            return


def worker_memory() -> int | None:
    """Memory limit of the dask worker that runs this thread, bytes; None where there is no worker or no limit."""
    workers = sys.modules.get("distributed.worker")
    if workers is None:
        return None
    with contextlib.suppress(ValueError, AttributeError):  # this thread is no worker's
        return workers.get_worker().memory_manager.memory_limit or None
    return None
