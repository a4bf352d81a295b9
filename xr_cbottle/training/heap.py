"""The heap of a process that trains: memory that was freed stays with it, for the next step."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell the C library to keep what is freed; returns whether it is one that can.

    A step makes the same large tensors as the one before. glibc gives each of them back to the system, which clears
    its pages when they are asked for again: a tenth of a step's time on a CPU. Elsewhere nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no glibc
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**26))
    return all([mallopt(name, value) for name, value in settings])
