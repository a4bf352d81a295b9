"""Contents of a bottle's path (zip, folder, manifest, checkpoint): the manifest, checked against files."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from xr_cbottle.bottle import archive, checkpoint, download_cache
from xr_cbottle.bottle.errors import BottleError, BottleNotFound
from xr_cbottle.bottle.limits import JSON_BYTES
from xr_cbottle.bottle.location import MANIFEST, is_remote
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.packing import inferred
from xr_cbottle.bottle.schema import is_url


@dataclasses.dataclass(frozen=True)
class Contents:
    """Contents of a bottle's path: the manifest, and where its relative locations lead."""

    kind: str  # "zip", "folder", "manifest" or "part"
    local: Path
    manifest: Manifest
    members: Mapping[str, zipfile.ZipInfo] = dataclasses.field(default_factory=dict)


def read_contents(path: str) -> Contents:
    """Read the manifest of the bottle at a path or URL, and check it against the files that are with it."""
    if is_remote(path):
        return _read_local(download_cache.fetch(path, check=_check_bottle))
    return _read_local(Path(path))


def _check_bottle(path: Path) -> None:
    """Check that what came from a URL is a bottle, before it is kept under it for good."""
    if _read_local(path).kind == "part":
        checkpoint.check_whole(path)


def _read_local(local: Path) -> Contents:
    try:
        if local.is_dir():
            return _complete("folder", local, _manifest(_read_text(local / MANIFEST), str(local)))
        with open(local, "rb") as file:
            return _read_file(local, file)
    except FileNotFoundError:
        raise BottleNotFound(f"{local}: there is no such file any more") from None
    except BottleError:
        raise
    except OSError as error:
        raise BottleError(f"{local}: it cannot be read ({error.strerror or error}); give another path") from None


def _read_file(local: Path, file: BinaryIO) -> Contents:
    start = file.read(4)
    if start[:2] != b"PK":
        return _complete("manifest", local, _manifest(start + file.read(JSON_BYTES), str(local)))
    members = archive.read_directory(file, str(local))
    if MANIFEST not in members:
        return Contents("part", local, inferred(local, *checkpoint.read_part_specs(local)))
    if members[MANIFEST].file_size > JSON_BYTES:
        raise BottleError(f"{local}: {MANIFEST} is too long for a manifest; at most {JSON_BYTES} bytes are read")
    text = archive.member_window(file, members[MANIFEST], str(local)).read()
    return _complete("zip", local, _manifest(text, str(local)), members)


def _read_text(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(JSON_BYTES + 1)


def _manifest(text: bytes, what: str) -> Manifest:
    if not text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        raise BottleError(f"{what}: this is neither a zip nor a manifest in JSON; it is no bottle, or was cut short")
    try:
        return Manifest.from_json(text)
    except BottleError as error:
        raise BottleError(f"{what}: {error}") from None


def _complete(
    kind: str, local: Path, manifest: Manifest, members: Mapping[str, zipfile.ZipInfo] | None = None
) -> Contents:
    """Check that the files which should be here are, with the sizes that the manifest declares."""
    members = members or {}
    for spec in manifest.files:
        if is_url(spec.location) or kind == "manifest":
            continue
        size: int | None = None
        if kind == "zip" and spec.location in members:
            size = members[spec.location].file_size
        elif kind == "folder" and (local / spec.location).is_file():
            size = (local / spec.location).stat().st_size
        if size is None:
            raise BottleError(f"{local}: {spec.location!r}, which {MANIFEST} names, is not in it; get the bottle again")
        if kind == "zip" and spec.sha256 is None:
            raise BottleError(
                f"{local}: {MANIFEST} has no sha256 for {spec.location!r}; make the file with xr_cbottle.bottle.pack"
            )
        if spec.size not in (None, size):
            raise BottleError(
                f"{local}: {spec.location!r} has {size} bytes and {MANIFEST} says {spec.size}; get the bottle again"
            )
    return Contents(kind, local, manifest, members)
