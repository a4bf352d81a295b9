"""Trial: a child process reads a stranger's file first, within limits of time and memory.

HDF5's own library can be brought into a loop without end, or down, by a damaged file. Nothing in the process that it
happens in can end that. What the child has read to its end, this process reads to its end too: the same library does
the same things with the same bytes.
"""

from __future__ import annotations

import functools
import importlib
import io
import json
import os
import subprocess
import sys
from typing import Any, BinaryIO

from xr_cbottle.bottle import checkpoint, limits
from xr_cbottle.bottle.errors import BottleError

_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from xr_cbottle.bottle import trial; trial.child()"
_NO_MEMORY = 3
#: Digests of what this process has had tried.
_passed: set[str] = set()


def hold(reader: str, file: BinaryIO, what: str) -> None:
    """Have a file read by a child process, once in this process for the same bytes.

    Where no process can be started, nothing is tried.

    Parameters
    ----------
    reader
        Module and name of the function that reads, ``"package.module:function"``. It gets the file. What it raises
        does not matter: this process meets it too.
    file
        Seekable; it stays open, at its start.
    what
        Its name in messages.

    Raises
    ------
    BottleError
        If the child took more time or memory than `xr_cbottle.bottle.limits` allows, or died.
    """
    digest = checkpoint.digest(file)
    file.seek(0)
    if digest in _passed or not sys.executable:
        return
    try:
        fate = _fate(_child(reader, file))
    except OSError:
        return
    finally:
        file.seek(0)
    if fate:
        raise BottleError(f"{what} is damaged: reading it {fate}; get it again")
    _passed.add(digest)


def _child(reader: str, file: BinaryIO) -> int | None:
    """Exit status of a child that reads the file; None if it took too long."""
    command = [sys.executable, "-c", _CHILD, json.dumps(sys.path), reader]
    run = functools.partial(
        subprocess.run,
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=limits.TRIAL_WALL_SECONDS,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        return (run(stdin=file) if _is_of_the_system(file) else run(input=file.read())).returncode
    except subprocess.TimeoutExpired:
        return None


def _is_of_the_system(file: BinaryIO) -> bool:
    """Whether a child can be given the file itself: a member of a zip is a window of one."""
    try:
        return file.fileno() >= 0
    except OSError:
        return False


def _fate(status: int | None) -> str:
    """What became of a child, as the end of a sentence; empty if all is well."""
    if status is None or -status == _signal("SIGXCPU") or -status == _signal("SIGKILL"):
        return "does not end"
    if status == _NO_MEMORY:
        return "takes all memory"
    return f"ends the process that reads it (status {status})" if status else ""


def _signal(name: str) -> int | None:
    import signal

    return getattr(signal, name, None)


def child() -> None:
    """Read standard input by the function that the command line names, and end this process."""
    _limit()
    module, _, name = sys.argv[2].partition(":")
    source: Any = io.FileIO(0, closefd=False)
    file = source if source.seekable() else io.BytesIO(source.readall())
    status = 0
    try:
        getattr(importlib.import_module(module), name)(file)
    except MemoryError:
        status = _NO_MEMORY
    except Exception:
        pass  # its parent meets it too, and has words for it
    os._exit(status)


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows: the clock on the wall is the limit
        return
    for kind, most in ((resource.RLIMIT_CPU, limits.TRIAL_SECONDS), (resource.RLIMIT_AS, limits.TRIAL_BYTES)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
