"""Where the files of a bottle are on this machine, and opening them, checked against their digests."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import BinaryIO

from xr_cbottle.bottle import archive, checkpoint, download_cache
from xr_cbottle.bottle.download import base_name
from xr_cbottle.bottle.errors import BottleError, FetchError
from xr_cbottle.bottle.location import MANIFEST, bundled, find, is_remote, search_path
from xr_cbottle.bottle.manifest import ConditionSpec, PartSpec
from xr_cbottle.bottle.schema import is_url
from xr_cbottle.bottle.source import Source, read_source

Spec = PartSpec | ConditionSpec
Weights = str | tuple[tuple[str, str], ...] | None

#: (path, member and digest, size, mtime): what this process has checked already.
_checked: set[tuple[str, str, int, int]] = set()


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of one bottle.

    A file is looked for in this order: the copies given by the user, the bottle itself or its folder, the
    folders of ``XR_CBOTTLE_PATH``, the cache of fetched files, and at last its URL.

    Parameters
    ----------
    path
        Of the bottle, or its URL.
    source
        What is there.
    weights
        Copies given by the user: a folder, or pairs of (location or file name, path).
    """

    path: str
    source: Source
    weights: Weights = None

    def identity(self) -> str:
        """sha256 (hexadecimal) of the manifest and of the files that have no declared digest and no URL.

        A URL without a digest stands for its file, unless a copy of it was given.
        """
        undeclared = []
        for spec in self.source.manifest.files:
            if spec.sha256 is None:
                path = self.supplied(spec) or (None if self.url(spec) else self.here(spec))
                if path is not None:
                    found = path.stat()
                    undeclared.append(f"{spec.location}={_digest_at(path, found.st_size, found.st_mtime_ns)}")
        return hashlib.sha256("\n".join([self.source.manifest.canonical(), *undeclared]).encode()).hexdigest()

    def missing(self, *, superres: bool = True) -> tuple[str, ...]:
        """Locations of the files that are not on this machine, with those of super-resolution or without."""
        inside, manifest = self.source.members, self.source.manifest
        specs = [spec for spec in manifest.files if superres or spec not in manifest.superres]
        return tuple(spec.location for spec in specs if spec.location not in inside and not self.here(spec))

    def supplied(self, spec: Spec) -> Path | None:
        """The copy the user gave."""
        if self.weights is None:
            return None
        if isinstance(self.weights, str):
            return _in_folder(Path(self.weights), spec.location)
        given = dict(self.weights)
        path = given.get(spec.location) or given.get(base_name(spec.location))
        return Path(path) if path else None

    def beside(self, spec: Spec) -> Path | None:
        """Where a relative location leads, unless into a zip or to another machine."""
        source = self.source
        if source.kind == "part":
            return source.local
        if spec.location in source.members or is_url(spec.location) or is_remote(self.path):
            return None
        return (source.local if source.kind == "folder" else source.local.parent) / spec.location

    def url(self, spec: Spec) -> str | None:
        """Where it can be fetched from."""
        if is_url(spec.location):
            return spec.location
        return f"{self.path.rpartition('/')[0]}/{spec.location}" if is_remote(self.path) else None

    def here(self, spec: Spec) -> Path | None:
        """A file of its own for it that is on this machine."""
        path = self.supplied(spec) or self.beside(spec)
        if path is not None and path.is_file():
            return path
        for folder in search_path():
            path = _in_folder(folder, spec.location)
            if path is not None:
                return path
        url = self.url(spec)
        return download_cache.kept(url, spec.sha256) if url else None

    def open(self, spec: Spec, progress: bool = True) -> BinaryIO:
        """It as a seekable binary file, fetched if need be; the caller closes it.

        Raises
        ------
        BottleError
            It is damaged, or another file than the manifest says.
        FetchError
            It is not here and cannot be fetched: says how to supply it.
        """
        supplied = self.supplied(spec)
        if supplied is None and spec.location in self.source.members:
            return self._open_member(spec)
        path, url = self.here(spec), self.url(spec)
        if path is None:
            path = self._fetched(spec, progress)
        elif url is not None and supplied is None:
            download_cache.check_pin(url, path, spec.sha256)
        file = open(path, "rb")  # noqa: SIM115  The caller closes it.
        try:
            _check(spec, file, path, "")
        except BaseException:
            file.close()
            raise
        return file

    def _open_member(self, spec: Spec) -> BinaryIO:
        local = self.source.local
        file = open(local, "rb")  # noqa: SIM115  The caller closes it.
        try:
            # Read again: the file may have been replaced since it was opened.
            entry = archive.read_directory(file, str(local)).get(spec.location)
            if entry is None:
                raise BottleError(f"{local}: {spec.location!r} is gone from it; the file has changed: open it again.")
            window = archive.member_window(file, entry, str(local))
            _check(spec, window, local, spec.location)
            return window
        except BaseException:
            file.close()
            raise

    def _fetched(self, spec: Spec, progress: bool) -> Path:
        url = self.url(spec)
        if url is None:
            raise FetchError(self._absent(spec, "and it has no URL"))
        try:
            return download_cache.fetch(url, sha256=spec.sha256, size=spec.size, progress=progress)
        except FetchError as error:
            raise FetchError(self._absent(spec, f"then at {str(error).rstrip('.')}")) from None

    def _absent(self, spec: Spec, reason: str) -> str:
        manifest = self.source.manifest
        ready = [name for name in bundled() if name != manifest.name and _is_ready(name)]
        places = [f"XR_CBOTTLE_PATH ({', '.join(map(str, search_path())) or 'not set'})"]
        places.append(f"the cache ({download_cache.cache_folder()})")
        if self.weights is not None:
            places.insert(0, "weights=")
        return (
            f"{manifest.name}: {base_name(spec.location)} is not on this machine: looked in "
            f"{', '.join(places)}, {reason}; put a file of that name into a folder of XR_CBOTTLE_PATH or "
            "give its "
            "folder as weights=, or open a bottle that is ready now: "
            f"{', '.join(ready) or 'none is bundled'}."
        )


def _check(spec: Spec, file: BinaryIO, path: Path, member: str) -> None:
    """Compare a file's digest with the declared one, once in this process for each state of the file."""
    if spec.sha256 is None:
        return
    found = path.stat()
    key = (str(path), f"{member}:{spec.sha256}", found.st_size, found.st_mtime_ns)
    if key in _checked:
        return
    actual = checkpoint.digest(file)
    file.seek(0)
    if actual != spec.sha256:
        raise BottleError(
            f"{path}: the sha256 of {member or path.name} is {actual[:12]}... and {MANIFEST} says "
            f"{spec.sha256[:12]}...; the file was changed or damaged: get it again."
        )
    _checked.add(key)


@functools.lru_cache(maxsize=64)
def _digest_at(path: Path, size: int, mtime_ns: int) -> str:
    return checkpoint.digest(path)


def _in_folder(folder: Path, location: str) -> Path | None:
    """The file of a location in a folder of copies: under its last two names, or its last."""
    pieces = location.partition("?")[0].split("/")
    for depth in (2, 1):
        path = folder.joinpath(*pieces[-depth:])
        if path.is_file():
            return path
    return None


def _is_ready(name: str) -> bool:
    try:
        path = find(name)
        return not Files(path, read_source(path)).missing(superres=False)
    except (BottleError, OSError):
        return False
