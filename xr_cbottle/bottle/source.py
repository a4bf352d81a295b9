"""What is at a bottle's path (zip, folder, manifest, checkpoint): the manifest, checked against files."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path

from xr_cbottle.bottle import archive, checkpoint, download_cache
from xr_cbottle.bottle.errors import BottleError, BottleNotFound
from xr_cbottle.bottle.limits import JSON_BYTES
from xr_cbottle.bottle.location import MANIFEST, is_remote
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.packing import inferred
from xr_cbottle.bottle.schema import is_url


@dataclasses.dataclass(frozen=True)
class Source:
    """What is at a bottle's path: the manifest, and where its relative locations lead."""

    kind: str  # "zip", "folder", "manifest" or "part"
    local: Path
    manifest: Manifest
    members: Mapping[str, zipfile.ZipInfo] = dataclasses.field(default_factory=dict)


def read_source(path: str) -> Source:
    """What is at a path or URL."""
    local = download_cache.fetch(path) if is_remote(path) else Path(path)
    if local.is_dir():
        return _complete("folder", local, _manifest(_read_text(local / MANIFEST), str(local)))
    try:
        with open(local, "rb") as file:
            start = file.read(4)
            if start[:2] != b"PK":
                return _complete("manifest", local, _manifest(start + file.read(JSON_BYTES), str(local)))
            members = archive.read_directory(file, str(local))
            if MANIFEST not in members:
                manifest = inferred(local, *checkpoint.read_part_specs(local))
                return Source("part", local, manifest)
            if members[MANIFEST].file_size > JSON_BYTES:
                raise BottleError(
                    f"{local}: {MANIFEST} is too long for a manifest; at most {JSON_BYTES} bytes are read."
                )
            text = archive.member_window(file, members[MANIFEST], str(local)).read()
    except FileNotFoundError:
        raise BottleNotFound(f"{local}: there is no such file any more.") from None
    return _complete("zip", local, _manifest(text, str(local)), members)


def _read_text(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(JSON_BYTES + 1)


def _manifest(text: bytes, what: str) -> Manifest:
    if not text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        raise BottleError(f"{what}: this is neither a zip nor a manifest in JSON; it is no bottle, or was cut short.")
    try:
        return Manifest.from_json(text)
    except BottleError as error:
        raise BottleError(f"{what}: {error}") from None


def _complete(
    kind: str, local: Path, manifest: Manifest, members: Mapping[str, zipfile.ZipInfo] | None = None
) -> Source:
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
            raise BottleError(
                f"{local}: {spec.location!r}, which {MANIFEST} names, is not in it; get the bottle again."
            )
        if kind == "zip" and spec.sha256 is None:
            raise BottleError(
                f"{local}: {MANIFEST} has no sha256 for {spec.location!r}; make the file with xr_cbottle.bottle.pack."
            )
        if spec.size not in (None, size):
            raise BottleError(
                f"{local}: {spec.location!r} has {size} bytes and {MANIFEST} says {spec.size}; get the bottle again."
            )
    return Source(kind, local, manifest, members)
