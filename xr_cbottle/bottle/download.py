"""Bringing the bytes of one URL here, in one piece or several.

Through fsspec, so that http, s3, gs and others work alike. A download that broke off is continued where it
stopped, if the server can and says that the file is still the same one.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xr_cbottle.bottle import limits
from xr_cbottle.bottle.errors import FetchError

#: Attempts in a row that bring nothing before it is given up; seconds between them, doubled each time.
PATIENCE, PAUSE = 3, 0.25
_CHUNK = 1 << 20
#: Bytes that a download which goes on brings once more, to see that the server has understood where.
_OVERLAP = 1 << 16


def base_name(url: str) -> str:
    """The file name a URL ends in."""
    return url.partition("?")[0].rstrip("/").rpartition("/")[2]


def _notes_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def forget(part: Path) -> None:
    """Remove what there is of a download."""
    part.unlink(missing_ok=True)
    _notes_file(part).unlink(missing_ok=True)


def download(url: str, part: Path, sha256: str | None, size: int | None, progress: bool) -> bool:
    """Bring a URL into `part`, continuing what is there; whether anything was continued.

    Parameters
    ----------
    url
        The address.
    part
        The file that grows.
    sha256, size
        What is declared of the file, if anything is.
    progress
        Show a bar.

    Raises
    ------
    FetchError
        If it is not there, is larger than declared or than `limits.DOWNLOAD_BYTES`, or takes too long.
    """
    resumed, idle, most = False, 0, -1
    pace = _Pace(url)
    from tqdm.auto import tqdm

    shown = dict(desc=base_name(url), unit="B", unit_scale=True, unit_divisor=1024, leave=False, delay=0.5)
    with tqdm(disable=not progress, **shown) as bar:
        while True:
            notes = _read_notes(part)
            # A piece is continued only if something tells that the rest is of the same file.
            there = part.stat().st_size if part.exists() and (notes or sha256) else 0
            try:
                with _Stream(url, max(0, there - _OVERLAP), notes) as stream:
                    _check_length(url, stream.length, size)
                    there = _continued(stream, part, there)
                    resumed = resumed or there > 0
                    _notes_file(part).write_text(json.dumps(stream.validator))
                    bar.total, bar.n = stream.length or size, there
                    with open(part, "r+b" if there else "wb") as out:
                        out.seek(there)
                        for chunk in stream:
                            there += len(chunk)
                            _check_length(url, there, size)
                            out.write(chunk)
                            bar.update(len(chunk))
                            pace.check(len(chunk))
                if stream.length is None or there == stream.length:
                    return resumed
                raise OSError(f"it ended after {there} of {stream.length} bytes")
            except FetchError:
                raise
            except ImportError as error:
                raise FetchError(
                    f"{url}: this protocol needs another package ({error}); install it, or supply a local copy"
                ) from None
            except FileNotFoundError:
                raise FetchError(f"{url}: there is no such file (404); the bottle's manifest is out of date") from None
            except Exception as error:  # Each protocol has its own; all mean that it broke off or never began.
                if getattr(error, "status", None) == 416:
                    forget(part)  # More is here than there: it is another file.
                idle, most = (0, there) if there > most > -1 else (idle + 1, max(there, most))
                final = getattr(error, "status", 0) in (400, 401, 403, 405, 410)
                if idle >= PATIENCE or final:
                    reason = " ".join(str(error).split()) or type(error).__name__
                    raise FetchError(f"{url}: it cannot be fetched ({reason[:200]})") from None
                time.sleep(PAUSE * 2**idle)
                pace.check(0)


def _check_length(url: str, length: int | None, size: int | None) -> None:
    if length is None:
        return
    if size is not None and length > size:
        raise FetchError(
            f"{url}: it has {length} bytes and the manifest says {size}; the file there is not the one the "
            "bottle was made with"
        )
    if length > limits.DOWNLOAD_BYTES:
        raise FetchError(f"{url}: it has {length} bytes; at most {limits.DOWNLOAD_BYTES} are fetched")


def _continued(stream: _Stream, part: Path, there: int) -> int:
    """From where a file goes on: where it ended, if the stream begins with what it ends with; else from 0."""
    if not there or (stream.start == 0 and there > _OVERLAP):
        return 0
    with open(part, "rb") as file:
        file.seek(stream.start)
        known, again = file.read(), b""
    while len(again) < len(known) and (chunk := stream.read(len(known) - len(again))):
        again += chunk
    if again != known:
        forget(part)
        raise OSError("what the server sends does not go on with what it sent before")
    return there


class _Pace:
    """How fast bytes come, and for how long: a server may send one in a while, for ever."""

    def __init__(self, url: str) -> None:
        self.url, self.began = url, time.monotonic()
        self.since, self.got = self.began, 0

    def check(self, count: int) -> None:
        """Take note of bytes that came.

        Raises
        ------
        FetchError
            If they are too few, or too late.
        """
        now = time.monotonic()
        self.got += count
        if now - self.began > limits.DOWNLOAD_SECONDS:
            raise FetchError(
                f"{self.url}: it was not here after {limits.DOWNLOAD_SECONDS / 3600:g} hours; try again later"
            )
        waited = now - self.since
        if waited < limits.SLOW_SECONDS:
            return
        if self.got < limits.SLOWEST_RATE * waited:
            raise FetchError(f"{self.url}: it comes with {self.got / waited:.0f} bytes a second; try again later")
        self.since, self.got = now, 0


def _read_notes(part: Path) -> str | None:
    try:
        notes = json.loads(_notes_file(part).read_text())
    except (OSError, ValueError):
        return None
    return notes if isinstance(notes, str) else None


class _Stream:
    """The bytes of a URL from `start` on; from 0 if the server would not, or the file is another one now."""

    def __init__(self, url: str, start: int, validator: str | None):
        from fsspec.core import url_to_fs

        self.start = start
        if url.startswith(("http://", "https://")):
            import aiohttp

            # aiohttp would give up after five minutes, and would not see a centre's proxy.
            timeout = aiohttp.ClientTimeout(total=limits.DOWNLOAD_SECONDS, connect=30, sock_read=60)
            # Nothing is unpacked on the way: a few bytes of gzip can stand for any number of them.
            options = {"timeout": timeout, "trust_env": True, "auto_decompress": False}
            fs, path = url_to_fs(url, client_kwargs=options)
            headers = {"Accept-Encoding": "identity"}
            if start:
                headers["Range"] = f"bytes={start}-"
                if validator:
                    headers["If-Range"] = validator
            # block_size=0: one request for all of it; size: do not ask for it first.
            self._file: Any = fs.open(path, "rb", block_size=0, size=1, headers=headers)
            answer = self._file.r
            packed = answer.headers.get("Content-Encoding", "identity")
            if packed.lower() != "identity":
                raise FetchError(f"{url}: the server sends it packed ({packed[:20]}), which was not asked for")
            given = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", answer.headers.get("Content-Range", ""))
            if answer.status != 206 or given is None or int(given[1]) != start:
                self.start = 0
            length = answer.headers.get("Content-Length")
            self.length = None if length is None else int(length) + self.start
            if self.start and given is not None and given[2] not in ("*", str(self.length)):
                raise OSError(f"the server sends {self.length} bytes of {given[2]}")
            tag = answer.headers.get("ETag", "")
            # A weak tag may stand for other bytes.
            self.validator = answer.headers.get("Last-Modified") if not tag or tag.startswith("W/") else tag
        else:
            fs, path = url_to_fs(url)
            self.validator = str(fs.ukey(path))
            if start and self.validator != validator:
                self.start = 0
            self._file = fs.open(path, "rb")
            self._file.seek(self.start)
            self.length = fs.size(path)

    def read(self, most: int) -> bytes:
        """Bytes as they come, none at the end."""
        return bytes(self._file.read(most))

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(_CHUNK):
            yield chunk

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
