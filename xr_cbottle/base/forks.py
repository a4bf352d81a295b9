"""Processes that are forked: locks that are free in the child, and whether torch's threads were lost.

A child has only the thread that forked. A lock that another thread held would stay held, and torch would wait for
threads that are not there. Needs no torch.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable

_renewed: weakref.WeakSet[Lock] = weakref.WeakSet()
_at_fork: list[weakref.WeakMethod[Callable[[], None]]] = []
_threads_lost = False


class Lock:
    """A lock as `threading.Lock`, which nobody holds in a child that is forked."""

    def __init__(self) -> None:
        self._renew()
        _renewed.add(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()


def in_child(renew: Callable[[], None]) -> None:
    """Call an object's method in every child that is forked, first of all, as long as the object lives."""
    _at_fork.append(weakref.WeakMethod(renew))


def threads_lost() -> bool:
    """Whether this process was forked from one that had imported torch, whose threads are not here."""
    return _threads_lost


def _after_fork() -> None:
    global _threads_lost
    _threads_lost = _threads_lost or "torch" in sys.modules
    for lock in list(_renewed):
        lock._renew()
    for renew in [method() for method in _at_fork]:
        if renew is not None:
            renew()
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == __name__.partition(".")[0]:
            _renew_cached_properties(module)


def _renew_cached_properties(module: object) -> None:
    """Free the locks that `functools.cached_property` has up to Python 3.11, one for all objects of a class."""
    for cls in [value for value in vars(module).values() if isinstance(value, type)]:
        for value in vars(cls).values():
            if isinstance(value, functools.cached_property) and hasattr(value, "lock"):
                value.lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
