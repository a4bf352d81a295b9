"""Files of a bottle that are URLs: brought here once, whole or not at all, and kept.

Through fsspec, so that http, s3, gs and others work alike. A download goes to a ``.part`` file that a later
attempt continues, if the server can and the file there is still the same one; it is checked, and then
renamed. A lock makes several processes fetch a file once. A URL without a published digest is pinned: what it
held at its first use is written beside the file, and something else under the same URL is refused later.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle.archive import replacing
from xr_cbottle.bottle.checkpoint import digest
from xr_cbottle.bottle.download import base_name, download, forget
from xr_cbottle.bottle.errors import BottleError, FetchError

Check = Callable[[Path], None]


def cache_folder() -> Path:
    """Folder of fetched files: ``XR_CBOTTLE_CACHE``, else ``xr_cbottle`` in the user's cache folder."""
    chosen = os.environ.get("XR_CBOTTLE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "xr_cbottle"


def place(url: str, sha256: str | None = None) -> Path:
    """Path under which the file of a URL is, or will be, kept; a declared digest has a path of its own."""
    key = hashlib.sha256(f"{url}\n{sha256 or ''}".encode()).hexdigest()[:20]
    # The name is for people; of a stranger's URL it may be "..", or too long.
    name = re.sub(r"[^A-Za-z0-9._-]", "_", base_name(url))[-100:].lstrip(".") or "file"
    return cache_folder() / "files" / key / name


@dataclasses.dataclass(frozen=True)
class Pin:
    """A kept file: its URL and digest, and its size and time when the digest was checked."""

    url: str
    sha256: str
    size: int
    mtime_ns: int

    @classmethod
    def read(cls, path: Path) -> Pin | None:
        """The pin in a file, or None if there is none that can be read."""
        try:
            pin = cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        digits = isinstance(pin.sha256, str) and re.fullmatch("[0-9a-f]{64}", pin.sha256)
        return pin if digits and isinstance(pin.size, int) and isinstance(pin.mtime_ns, int) else None

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(self), indent=1))


def _pin_file(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def kept(url: str, sha256: str | None = None) -> Path | None:
    """The local copy of a URL, if there is a good one; nothing is fetched.

    A copy whose size and time are those at which its digest was checked is good; otherwise it is checked
    again.
    """
    target = place(url, sha256)
    pin = Pin.read(_pin_file(target))
    if pin is None or not target.is_file():
        return None
    found = target.stat()
    if found.st_size != pin.size or sha256 not in (None, pin.sha256):
        return None
    if found.st_mtime_ns != pin.mtime_ns and digest(target) != pin.sha256:
        return None
    return target


def pinned(url: str) -> str | None:
    """The sha256 that a URL without a published one is pinned to; None before its first use."""
    pin = Pin.read(_pin_file(place(url)))
    return None if pin is None else pin.sha256


def check_pin(url: str, path: Path, check: Check | None = None) -> str:
    """Check a copy the user supplied against what the URL is pinned to, and pin it if it is the first.

    Parameters
    ----------
    url
        One without a published digest.
    path
        The copy.
    check
        Raises BottleError if it is not what it should be; asked before it is pinned.

    Returns
    -------
    sha256 of the copy.

    Raises
    ------
    FetchError
        The copy is another file than the one used before.
    """
    pin_file = _pin_file(place(url))
    pin, found, actual = Pin.read(pin_file), path.stat(), digest_of(path)
    if pin is None:
        if check is not None:
            check(path)
        try:
            pin_file.parent.mkdir(parents=True, exist_ok=True)
            Pin(url, actual, found.st_size, found.st_mtime_ns).write(pin_file)
        except OSError:
            pass  # A folder that cannot be written only loses the pin.
    elif pin.sha256 != actual:
        raise _changed(url, pin, actual, pin_file, f"{path} is")
    return actual


def fetch(
    url: str,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: bool = True,
    check: Check | None = None,
    again: bool = False,
) -> Path:
    """A local copy of a URL, fetched if there is none.

    Parameters
    ----------
    url
        An address of any protocol fsspec knows here.
    sha256, size
        What the file must be; without a digest it is pinned to what it is the first time.
    progress
        Show a bar while it comes.
    check
        Raises BottleError if a file is not what it should be; asked before it is kept, unless its digest says so.
    again
        Fetch it though there is a copy, and pin what comes now.

    Raises
    ------
    FetchError
        It cannot be reached, is not what it must be, or has changed since its first use.
    """
    found = None if again else kept(url, sha256)
    if found is not None:
        return found
    import filelock

    target = place(url, sha256)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.with_name(target.name + ".lock")):
            found = None if again else kept(url, sha256)
            if found is None:
                if again:
                    forget(target.with_name(target.name + ".part"))
                _bring(url, target, sha256, size, progress, check, again)
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(
            f"{target}: cannot keep the file of {url} there ({error}); set XR_CBOTTLE_CACHE to another folder"
        ) from None
    return target


def _bring(
    url: str, target: Path, sha256: str | None, size: int | None, progress: bool, check: Check | None, again: bool
) -> None:
    part, pin_file = target.with_name(target.name + ".part"), _pin_file(target)
    resumed = download(url, part, sha256, size, progress)
    actual, pin = digest(part), None if again else Pin.read(pin_file)
    wanted = sha256 or (pin.sha256 if pin else None)
    if resumed and wanted not in (None, actual):
        # The pieces may be of two files: once more from the start, before anybody is blamed.
        forget(part)
        download(url, part, sha256, size, progress)
        actual = digest(part)
    length = part.stat().st_size
    if wanted not in (None, actual):
        forget(part)
        if sha256 is None and pin is not None:
            raise _changed(url, pin, actual, pin_file, "it is")
        raise FetchError(
            f"{url}: its sha256 is {actual[:12]}... and the manifest says {str(sha256)[:12]}...; the file "
            "there is not the one the bottle was made with"
        )
    if size is not None and length != size:
        forget(part)
        raise FetchError(
            f"{url}: it has {length} bytes and the manifest says {size}; the file there is not the one the "
            "bottle was made with"
        )
    if sha256 is None and check is not None:
        try:
            check(part)
        except BottleError as error:
            forget(part)
            raise FetchError(
                f"{url}: what came is not what it should be ({one_line(error, 300)}); nothing was kept: open the "
                "address in a browser, or supply a copy"
            ) from None
    os.replace(part, target)
    forget(part)
    Pin(url, actual, length, target.stat().st_mtime_ns).write(pin_file)


#: Digests of files by path and state.
_digests: dict[tuple[str, tuple[int, ...]], str] = {}


def state_of(path: Path) -> tuple[int, ...]:
    """State of a file that changes with its bytes and cannot be set back: time of change, size, time and place."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


def digest_of(path: Path) -> str:
    """sha256 of a file (hexadecimal), read once in this process for each state of it."""
    if os.name == "nt":  # has no time of change
        return digest(path)
    key = str(path), state_of(path)
    if key not in _digests:
        _digests[key] = digest(path)
    return _digests[key]


def _changed(url: str, pin: Pin, actual: str, pin_file: Path, now: str) -> FetchError:
    return FetchError(
        f"{url}: at its first use its sha256 was {pin.sha256[:12]}..., and now {now} {actual[:12]}...; the "
        f"file has changed, so values would too: remove {pin_file} to accept the new one"
    )
