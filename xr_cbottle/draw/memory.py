"""How much memory there is. Needs no torch."""

from __future__ import annotations

import contextlib
import os

#: Assumed where the system does not say, bytes.
_UNKNOWN = 16 * 2**30


def process_memory() -> int:
    """Memory that this process may use, bytes: the machine's, or that of the container it runs in."""
    available = _UNKNOWN
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on Windows
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(path) as file:  # no such limit, or "max"
            available = min(available, int(file.read()))
    return available
