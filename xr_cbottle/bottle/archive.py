"""Zip files as bottles and checkpoints use them: members stored as they are, read in place.

Nothing is ever extracted: a member is a window of the archive's own bytes.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from xr_cbottle.bottle import limits
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.schema import is_member_name

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LOCAL_HEADER = struct.Struct("<4s22xHH")
#: 1980-01-01, the first day a zip can hold: equal contents make equal bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


class MemberWindow(io.RawIOBase):
    """Bytes `start` to `start + size` of a seekable binary file, as a read-only file.

    Parameters
    ----------
    source
        The file; it is closed with the window.
    start, size
        In bytes.
    """

    def __init__(self, source: BinaryIO, start: int, size: int):
        super().__init__()
        self._source, self._start, self._size, self._at = source, start, size, 0
        self._released = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("cannot seek before the start of a member")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        view = view[: max(0, self._size - self._at)]
        if not view:
            return 0
        self._source.seek(self._start + self._at)
        got = self._source.readinto(view)  # type: ignore[attr-defined]
        self._at += got
        return int(got)

    def close(self) -> None:
        if not self.closed and not self._released:
            self._source.close()
        super().close()

    def release(self) -> None:
        """Close the window, and leave the file open."""
        self._released = True
        self.close()


def read_directory(file: BinaryIO, what: str) -> dict[str, zipfile.ZipInfo]:
    """Members of a zip by name, after checking that each is plain data that stays where it is.

    Parameters
    ----------
    file
        Seekable binary file; it stays open.
    what
        Its name in messages.

    Raises
    ------
    BottleError
        A damaged or truncated zip; compressed or encrypted members; links; names that are absolute, climb, or
        occur twice.
    """
    try:
        # Only its directory is used, and __del__ of a ZipFile does not close a file that was given to it.
        entries = zipfile.ZipFile(file).infolist()
        # A zip cut short may end in a zip it holds, which zipfile would take for the whole.
        if entries and min(entry.header_offset for entry in entries) != 0:
            raise zipfile.BadZipFile("it does not start with its first member")
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
        NotImplementedError,
        struct.error,
        OverflowError,
    ) as error:
        raise BottleError(
            f"{what}: this is not a whole zip file ({error or type(error).__name__}); it was cut short or "
            "damaged: get it again"
        ) from None
    if len(entries) > limits.MEMBERS:
        raise BottleError(f"{what}: {len(entries)} members in a zip is too many; at most {limits.MEMBERS} are read")
    members: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        # orig_filename: zipfile cuts `filename` at a NUL and turns the system's separator into "/".
        name = entry.orig_filename
        complaint = None
        if not is_member_name(name.removesuffix("/")):
            complaint = "has a name that could leave its folder"
        elif stat.S_ISLNK(entry.external_attr >> 16):
            complaint = "is a link"
        elif entry.flag_bits & 0x1:
            complaint = "is encrypted"
        elif entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            complaint = "is compressed"
        elif name in members:
            complaint = "occurs twice"
        if complaint:
            raise BottleError(
                f"{what}: member {name!r} {complaint}; only plain members with relative names, stored "
                "without "
                "compression (zip -0), are read"
            )
        if not name.endswith("/"):
            members[name] = entry
    return members


def member_window(file: BinaryIO, entry: zipfile.ZipInfo, what: str) -> io.BufferedReader:
    """A stored member as a seekable file; closing it closes `file`.

    Raises
    ------
    BottleError
        The member's header does not match the directory, or the file ends before it does.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(entry.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    start = end
    if len(header) == _LOCAL_HEADER.size:
        magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if magic == b"PK\3\4":
            start = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if start + entry.file_size > end:
        raise BottleError(f"{what}: member {entry.filename!r} is damaged or cut short; get the file again")
    return io.BufferedReader(MemberWindow(file, start, entry.file_size), buffer_size=1 << 18)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside `path`: takes its place if the block ends well, and goes if it does not."""
    target = Path(path)
    # Not tempfile: its files are readable by their owner only, and stay so when renamed.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def add_member(archive: zipfile.ZipFile, name: str, source: bytes | str | os.PathLike[str]) -> None:
    """Store bytes, or a file, under `name`, with nothing in it that depends on when or where."""
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.compress_type = zipfile.ZIP_STORED
    if isinstance(source, bytes):
        archive.writestr(entry, source)
        return
    # zipfile decides on zip64 by the size that is announced here.
    entry.file_size = os.path.getsize(source)
    with open(source, "rb") as file, archive.open(entry, "w") as member:
        shutil.copyfileobj(file, member, 1 << 20)
