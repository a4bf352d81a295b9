"""Failures, put in one sentence for a user; real faults of the program are let through with a request to report."""

from __future__ import annotations

import errno
import os
import traceback

from xr_cbottle.base.plain_text import one_line

_EXTRAS = {
    "matplotlib": "plot", "cartopy": "plot", "yaml": "train", "tensorboard": "train", "pint": "train",
    "cf_xarray": "train", "intake": "catalog", "intake_xarray": "catalog", "starlette": "serve", "uvicorn": "serve",
    "anyio": "serve", "xeofs": "evaluate", "scipy": "train",
}  # fmt: skip
_REMEDIES = {
    errno.ENOENT: "there is no {name}: check the path",
    errno.EACCES: "{name} may not be read or written by you: choose another place, or change its permissions",
    errno.EPERM: "{name} may not be read or written by you: choose another place, or change its permissions",
    errno.ENOSPC: "the disk of {name} is full: make room, and give the same command again",
    errno.EDQUOT: "your quota on the disk of {name} is used up: make room, and give the same command again",
    errno.EISDIR: "{name} is a folder: give a file",
    errno.ENOTDIR: "{name} has a file on its way where a folder must be: check the path",
    errno.EROFS: "{name} lies on a disk that cannot be written to: choose another place",
}


def sentence(error: BaseException) -> str | None:
    """Say what a user can do about an error, on one line; None if it is a fault of the program.

    Parameters
    ----------
    error
        ValueErrors, and OSErrors that we raise, are sentences already. Others that a wrong input, a full disk or a
        small machine may cause are put in words here.
    """
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        extra = _EXTRAS.get(package)
        remedy = f"'xr-cbottle[{extra}]'" if extra else package
        return f"this needs {package}, which is not installed: pip install {remedy}"
    if isinstance(error, MemoryError):
        return "there is not enough memory: draw fewer instants at once with --batch-size, or fewer times or members"
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        name = os.fspath(error.filename) if error.filename is not None else "a file"
        return one_line(_REMEDIES[error.errno].format(name=name if isinstance(name, str) else repr(name)))
    if isinstance(error, (ValueError, OSError, FloatingPointError)):
        return one_line(str(error)) or type(error).__name__
    return None


def trace(error: BaseException) -> str:
    """Where in the code an error comes from."""
    return "".join(traceback.format_exception(error)).rstrip()


def report(error: BaseException) -> str:
    """A traceback, and a request to report it."""
    return f"{trace(error)}\n\nThis is a fault of xr_cbottle, not of yours: please report it with the lines above."
