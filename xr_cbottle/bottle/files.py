"""Where the files of a bottle are on this machine, and opening them, checked against their digests."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from xr_cbottle.bottle import archive, checkpoint, download_cache
from xr_cbottle.bottle.contents import Contents, read_contents
from xr_cbottle.bottle.download import base_name
from xr_cbottle.bottle.errors import BottleError, FetchError
from xr_cbottle.bottle.location import MANIFEST, bundled, find, is_remote, search_path
from xr_cbottle.bottle.records import ConditionSpec, PartSpec
from xr_cbottle.bottle.schema import is_url

Spec = PartSpec | ConditionSpec
Weights = str | tuple[tuple[str, str], ...] | None
Pins = tuple[tuple[str, str | None], ...]

#: (path, member and digest, state of the file): what this process has checked already.
_checked: set[tuple[str, str, tuple[int, ...]]] = set()


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of one bottle.

    A file is looked for in this order: the copies given by the user, the bottle itself or its folder, the
    folders of ``XR_CBOTTLE_PATH``, the cache of fetched files, and at last its URL.

    Parameters
    ----------
    path
        Of the bottle, or its URL.
    contents
        What is there.
    weights
        Copies given by the user: a folder, or pairs of (location or file name, path).
    pins
        Pairs of (location, sha256) that another process knew of URLs; None: what is pinned here.
    """

    path: str
    contents: Contents
    weights: Weights = None
    pins: Pins | None = None

    def identity(self) -> str:
        """sha256 (hexadecimal) of the manifest and of all files that have no declared digest, as far as it is known.

        A URL that was never fetched stands for its file. The networks of super-resolution and of video that are URLs
        are left out: they may never be fetched, and have digests of their own in what they make.
        """
        manifest = self.contents.manifest
        apart = {spec.location for spec in (*manifest.superres, *manifest.videos) if self.url(spec)}
        undeclared = [f"{where}={known}" for where, known in self.known.items() if known and where not in apart]
        return hashlib.sha256("\n".join([self.contents.manifest.canonical(), *undeclared]).encode()).hexdigest()

    @functools.cached_property
    def known(self) -> dict[str, str | None]:
        """{location: sha256} of the files without a declared digest; None of those that nobody has fetched yet.

        It stays as it was when it was first asked for: what is opened later must be the same.
        """
        return {spec.location: self._known(spec) for spec in self.contents.manifest.files if spec.sha256 is None}

    def _known(self, spec: Spec) -> str | None:
        url = self.url(spec)
        path = self.supplied(spec) or (None if url else self.here(spec))
        if path is not None:
            return download_cache.digest_of(path) if path.is_file() else None
        if self.pins is not None:
            return dict(self.pins).get(spec.location)
        return download_cache.pinned(url) if url else None

    def missing(self, *, superres: bool = True) -> tuple[str, ...]:
        """Locations of the files that are not on this machine, with those of super-resolution and video or without."""
        inside, manifest = self.contents.members, self.contents.manifest
        more = (*manifest.superres, *manifest.videos)
        specs = [spec for spec in manifest.files if superres or spec not in more]
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
        """Path to which a relative location leads; None if it leads into a zip or to another machine."""
        contents = self.contents
        if contents.kind == "part":
            return contents.local
        if spec.location in contents.members or is_url(spec.location) or is_remote(self.path):
            return None
        return (contents.local if contents.kind == "folder" else contents.local.parent) / spec.location

    def url(self, spec: Spec) -> str | None:
        """URL from which a file can be fetched; None if there is none."""
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
        """Open a file of the bottle for reading, fetched if need be; the caller closes it.

        Raises
        ------
        BottleError
            It is damaged, or another file than the manifest says.
        FetchError
            It is not here and cannot be fetched: says how to supply it.
        """
        supplied = self.supplied(spec)
        if supplied is None and spec.location in self.contents.members:
            return self._open_member(spec)
        path, url = self.here(spec), self.url(spec)
        expected = spec.sha256 or self.known.get(spec.location)
        if path is None:
            path = self._fetched(spec, progress)
        elif url is not None and supplied is None and spec.sha256 is None:
            download_cache.check_pin(url, path, self.checker(spec))
        file = _opened(path)
        try:
            promise = f"{MANIFEST} says" if spec.sha256 else "when the bottle was opened it was"
            _check(expected, file, path, "", promise)
        except BaseException:
            file.close()
            raise
        return file

    def fetch_again(self, spec: Spec, progress: bool = True) -> None:
        """Fetch a file that is a URL though it may be here, and keep what comes now."""
        url = self.url(spec)
        if url is not None and spec.location not in self.contents.members:
            download_cache.fetch(
                url, sha256=spec.sha256, size=spec.size, progress=progress, check=self.checker(spec), again=True
            )

    def checker(self, spec: Spec) -> download_cache.Check:
        """Check that a file can be what a specification says, to be called before the file is kept."""
        if isinstance(spec, PartSpec):
            return checkpoint.check_whole
        return _check_netcdf

    def _open_member(self, spec: Spec) -> BinaryIO:
        local = self.contents.local
        file = _opened(local)
        try:
            # Read again: the file may have been replaced since it was opened.
            entry = archive.read_directory(file, str(local)).get(spec.location)
            if entry is None:
                raise BottleError(f"{local}: {spec.location!r} is gone from it; the file has changed: open it again")
            window = archive.member_window(file, entry, str(local))
            _check(spec.sha256, window, local, spec.location, f"{MANIFEST} says")
            return window
        except BaseException:
            file.close()
            raise

    def _fetched(self, spec: Spec, progress: bool) -> Path:
        url = self.url(spec)
        if url is None:
            raise FetchError(self._absent(spec, "and it has no URL"))
        try:
            return download_cache.fetch(
                url, sha256=spec.sha256, size=spec.size, progress=progress, check=self.checker(spec)
            )
        except FetchError as error:
            raise FetchError(self._absent(spec, f"then at {error!s}")) from None

    def _absent(self, spec: Spec, reason: str) -> str:
        manifest = self.contents.manifest
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
            f"{', '.join(ready) or 'none is bundled'}"
        )


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise BottleError(f"{path}: it cannot be read ({error.strerror or error}); get it again") from None


def _check_netcdf(path: Path) -> None:
    from xr_cbottle.bottle import netcdf

    with open(path, "rb") as file:
        netcdf.check(file, path.name)


def _check(expected: str | None, file: BinaryIO, path: Path, member: str, promise: str) -> None:
    """Compare a file's digest with the one it must have, once in this process for each state of the file."""
    if expected is None:
        return
    key = (str(path), f"{member}:{expected}", download_cache.state_of(path))
    if key in _checked and os.name != "nt":
        return
    actual = checkpoint.digest(file)
    file.seek(0)
    if actual != expected:
        raise BottleError(
            f"{path}: the sha256 of {member or path.name} is {actual[:12]}... and {promise} {expected[:12]}...; the "
            "file was changed or damaged: get it again"
        )
    _checked.add(key)


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
        return not Files(path, read_contents(path)).missing(superres=False)
    except (BottleError, OSError):
        return False
