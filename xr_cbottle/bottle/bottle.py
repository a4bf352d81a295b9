"""A bottle: a manifest with its files, wherever they are.

A ``.cbottle`` is a zip (stored) of ``bottle.json`` and the files it names; or a folder with the same names;
or the manifest alone, whose files are URLs or lie beside it; `xr_cbottle.bottle.manifest` documents it. A cBottle v1
checkpoint opens too, with a manifest that `xr_cbottle.bottle.packing.inferred` makes. Opening reads the manifest and no
weights, and imports no torch.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle import checkpoint
from xr_cbottle.bottle.condition_files import ConditionFiles
from xr_cbottle.bottle.contents import read_contents
from xr_cbottle.bottle.download import base_name
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.files import Files, Pins, Weights
from xr_cbottle.bottle.location import MANIFEST, find, is_remote
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.packing import check_part
from xr_cbottle.bottle.records import CONDITIONS, ConditionSpec, GapsSpec, PartSpec, StaticSpec

if TYPE_CHECKING:
    import xarray as xr

    from xr_cbottle.bottle.climatology import Climatology
    from xr_cbottle.bottle.coherence import Coherence
    from xr_cbottle.bottle.gaps import Gaps
    from xr_cbottle.bottle.harmonics import Floats
    from xr_cbottle.bottle.static_fields import StaticFields
    from xr_cbottle.fields.sst import SeaSurfaceTemperature


Spec = TypeVar("Spec", PartSpec, ConditionSpec, GapsSpec, StaticSpec)


class Bottle:
    """A bottle that was found; `open_bottle` makes it.

    Equal and hashed by its digest; pickled as its path and digest: a copy in another process opens the file
    again when it is used, and refuses it if it has changed.

    Attributes
    ----------
    path
        Absolute path, or URL.
    """

    def __init__(self, path: str, weights: Weights = None, digest: str | None = None, pins: Pins = ()):
        self.path = path
        self._weights = weights
        self._promised, self._pins = digest, pins
        self._settled: dict[tuple[bool, int | None, str | None], Bottle] = {}

    def __reduce__(self) -> tuple[type[Bottle], tuple[str, Weights, str, Pins]]:
        return Bottle, (self.path, self._weights, self.digest, tuple(self.files.known.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bottle) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        manifest = self.manifest
        what = f"{manifest.name!r}: zoom {manifest.zoom}, {len(manifest.channels)} channels"
        return f"<Bottle {what}, {one_line(self.path)}>"

    @functools.cached_property
    def files(self) -> Files:
        """Files of the bottle on this machine; their digests are settled when this is first asked for."""
        path = self.path
        if self._promised and not is_remote(path) and not os.path.exists(path):
            path = find(os.path.basename(path))  # Another machine keeps it elsewhere.
        files = Files(path, read_contents(path), self._weights, self._pins if self._promised else None)
        if self._promised and files.identity() != self._promised:
            raise BottleError(f"{path}: this bottle has changed since it was opened; open it again")
        return files

    @property
    def manifest(self) -> Manifest:
        """Manifest of the bottle: its name, channels, labels, files and times."""
        return self.files.contents.manifest

    @functools.cached_property
    def digest(self) -> str:
        """sha256 (hexadecimal) of what the bottle is: its manifest and every file that makes its values.

        The manifest holds digests of its files. A file without one is read for it. A URL without one stands for itself
        until it is fetched and pinned, and the pin counts from then on: see `settled`.
        """
        return self._promised or self.files.identity()

    def settled(
        self, *, sst: bool = True, part: int | None = None, role: str | None = None, progress: bool = True
    ) -> Bottle:
        """The bottle with digests of all files that make its instants: itself, or opened again after they were fetched.

        Parameters
        ----------
        sst
            Whether its own sea surface temperature is among them.
        part
            Number of a network of super-resolution that is among them.
        role
            Of further networks that are among them: ``"bridge"`` or ``"video"``.
        progress
            Show a bar while one is fetched.

        Raises
        ------
        BottleError, FetchError
            As `open_part`.
        """
        known, manifest = self.files.known, self.manifest
        if None not in known.values():
            return self
        needed = [*manifest.coarse, *([manifest.parts[part]] if part is not None else []), manifest.climatology]
        bound_by_land = any(bound.sea for bound in manifest.bounds.values())
        needed += [
            manifest.coherence,
            manifest.gaps,
            *([manifest.static] if bound_by_land else []),
            *([manifest.sst] if sst else []),
            *(spec for spec in manifest.parts if role is not None and spec.role == role),
        ]
        if (sst, part, role) in self._settled:
            return self._settled[sst, part, role]
        unknown = [spec for spec in needed if spec is not None and known.get(spec.location, "") is None]
        if not unknown:
            return self
        for spec in unknown:
            self.open_file(spec, progress=progress).close()
        found = self._settled.setdefault((sst, part, role), Bottle(self.path, self._weights))
        found.files.known  # noqa: B018  Digests of now.
        return found

    def file_digest(self, index: int) -> str | None:
        """sha256 (hexadecimal) of part `index`: declared, or as it was when the bottle was opened; None if unknown."""
        spec = self.manifest.parts[index]
        return spec.sha256 or self.files.known.get(spec.location)

    @property
    def size(self) -> int:
        """Bytes of the bottle itself: the file, or the folder's files; not what it points to elsewhere."""
        contents = self.files.contents
        if contents.kind != "folder":
            return contents.local.stat().st_size
        beside = (self.files.beside(spec) for spec in contents.manifest.files)
        return sum(path.stat().st_size for path in (contents.local / MANIFEST, *beside) if path)

    @property
    def nbytes(self) -> int | None:
        """Bytes of all parts and conditions; None while one is neither declared nor here."""
        total = 0
        for spec in self.manifest.files:
            path = self.files.here(spec) if spec.size is None else None
            if spec.size is not None:
                total += spec.size
            elif path is not None:
                total += path.stat().st_size
            else:
                return None
        return total

    def missing(self, *, superres: bool = True) -> tuple[str, ...]:
        """Locations of the files that drawing would have to fetch first.

        Parameters
        ----------
        superres
            Whether those are among them that only zooms above the bottle's, or ``coherence="video"``, need.
        """
        return self.files.missing(superres=superres)

    def open_part(self, index: int, *, progress: bool = True) -> BinaryIO:
        """Part `index` as a seekable file, fetched if need be and checked; the caller closes it.

        Raises
        ------
        BottleError
            It is damaged, or not what the manifest says.
        FetchError
            It is not here and cannot be fetched.
        """
        return self.open_file(self.manifest.parts[index], progress=progress)

    def open_file(self, spec: PartSpec | ConditionSpec, *, progress: bool = True) -> BinaryIO:
        """One of the manifest's ``files``, as `open_part`."""
        return self.files.open(spec, progress)

    def read_part(self, index: int, *, progress: bool = True) -> checkpoint.Part:
        """Part `index` with its weights, after checking that it makes what the manifest says. Imports torch.

        Raises
        ------
        BottleError, FetchError
            As `open_part`; also a part that is no v1 checkpoint, or has another zoom, channels or labels.
        """
        what = f"{self.path}: {base_name(self.manifest.parts[index].location)}"
        with self.open_part(index, progress=progress) as file:
            part = checkpoint.read_part(file, what)
        check_part(self.manifest, part.config, part.info, what, self.manifest.parts[index])
        return part

    @property
    def _conditions(self) -> ConditionFiles:
        return ConditionFiles(self.path, self.files)

    def sst_dataset(self, *, progress: bool = True) -> xr.Dataset:
        """The bottle's sea surface temperature, as its file has it.

        From a zip it is in memory; from a file of its own it is lazy.

        Raises
        ------
        BottleError
            The bottle has none, or it is damaged.
        FetchError
            It is not here and cannot be fetched.
        """
        return self._conditions.sst_dataset(progress=progress)

    def sst(self) -> SeaSurfaceTemperature:
        """The bottle's sea surface temperature on its cells.

        Raises
        ------
        BottleError, FetchError
            As `sst_dataset`; also if it is none.
        """
        return self._conditions.sst()

    def climatology(self, *, progress: bool = True) -> Climatology | None:
        """Climatology about which the networks draw anomalies; None if they draw the fields themselves.

        Raises
        ------
        BottleError
            It is damaged, or has other labels, channels or cells than the manifest.
        FetchError
            It is not here and cannot be fetched.
        """
        return self._conditions.climatology(progress=progress)

    def mean_sea(self) -> tuple[Floats, Floats]:
        """Mean year of the sea that the climatology is about, and the weights of its global mean.

        Returns
        -------
        (annual, cell) harmonics of the sea surface temperature, K; and (1, cell).

        Raises
        ------
        BottleError
            The bottle does not respond to the sea, or its climatology is damaged.
        FetchError
            It is not here and cannot be fetched.
        """
        return self._conditions.mean_sea()

    def coherence(self, *, progress: bool = True) -> Coherence | None:
        """How long the noise of each scale lasts, and how fast it travels; None if the bottle does not say.

        Raises
        ------
        BottleError
            It is damaged, or has other labels or channels than the manifest.
        FetchError
            It is not here and cannot be fetched.
        """
        return self._conditions.coherence(progress=progress)

    def gaps(self, *, progress: bool = True) -> Gaps | None:
        """Cells in which the data of labels have no values; None if there are none.

        Raises
        ------
        BottleError
            It is damaged, or has other labels, channels or cells than the manifest.
        FetchError
            It is not here and cannot be fetched.
        """
        return self._conditions.gaps(progress=progress)

    def static_fields(self, *, progress: bool = True) -> StaticFields | None:
        """Fields that do not change in time; None if there are none.

        Raises
        ------
        BottleError
            The file is damaged, or has other labels, fields or cells than the manifest.
        FetchError
            It is not here and cannot be fetched.
        """
        return self._conditions.static_fields(progress=progress)


def open_bottle(
    name: str | os.PathLike[str] | BinaryIO,
    *,
    weights: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]] | None = None,
) -> Bottle:
    """Open a bottle: find it, and read and check its manifest. No weights are read and no torch is imported.

    Parameters
    ----------
    name
        A path, a URL, a name (`find`), or an open file of the disk or of fsspec, which is opened again by its path or
        URL. A file may be a zip, a manifest or a cBottle v1 checkpoint.
    weights
        Local copies of its files: a folder that holds files of the same names, or a mapping from locations or
        file names to paths. They must have the digests the manifest declares, if it declares them.

    Raises
    ------
    BottleNotFound
        There is no such bottle.
    BottleError
        It is damaged, of a newer version, or has wrong values; `weights` gives nothing that it uses.
    """
    given: Weights = None
    if isinstance(weights, Mapping):
        given = tuple(sorted((str(key), _absolute(path)) for key, path in weights.items()))
    elif weights is not None:
        given = _absolute(weights)
    bottle = Bottle(find(name), given)
    files = bottle.files
    files.known  # noqa: B018  Digests of when it was opened.
    if given is not None:
        supplied = [path for path in map(files.supplied, files.contents.manifest.files) if path]
        names = ", ".join(base_name(spec.location) for spec in files.contents.manifest.files)
        if isinstance(given, str) and not supplied:
            raise BottleError(f"weights={given!r} is not a folder that holds any of {names}; give one that does")
        if not isinstance(given, str) and len(supplied) < len(given):
            raise BottleError(f"weights= names a file that this bottle does not use; its files are {names}")
        for path in supplied:
            if not path.is_file():
                raise BottleError(f"weights: {path} is not a file; give the path of a local copy")
    return bottle


def fetch(bottle: Bottle, progress: bool = True, *, superres: bool = True, again: bool = False) -> None:
    """Bring every file of a bottle to this machine, and check it; those of super-resolution may be left out.

    Parameters
    ----------
    bottle
        From `open_bottle`.
    progress
        Show a bar for each file.
    superres
        Whether those that only zooms above the bottle's need are brought.
    again
        Fetch what is a URL though it is here, and pin what comes now.

    Raises
    ------
    FetchError
        One is not here and cannot be fetched.
    BottleError
        One is damaged.
    """
    for spec in bottle.manifest.files:
        if superres or spec not in bottle.manifest.superres:
            if again:
                bottle.files.fetch_again(spec, progress)
            else:
                bottle.files.open(spec, progress).close()


def pinned(bottle: Bottle, progress: bool = True) -> Manifest:
    """The manifest of a bottle with the size and the digest of every file, which are fetched if need be.

    Whoever opens it gets these files or an error, and none that lies under the same address later.

    Raises
    ------
    BottleError, FetchError
        As `Bottle.open_file`.
    """

    def with_digest(spec: Spec) -> Spec:
        with bottle.open_file(spec, progress=progress) as file:
            digest = checkpoint.digest(file)
            return dataclasses.replace(spec, sha256=digest, size=file.seek(0, os.SEEK_END))

    manifest = bottle.manifest
    return dataclasses.replace(
        manifest,
        parts=tuple(with_digest(part) for part in manifest.parts),
        **{name: with_digest(spec) for name in CONDITIONS if (spec := getattr(manifest, name)) is not None},
    )


def _absolute(path: str | os.PathLike[str]) -> str:
    return os.path.abspath(os.path.expanduser(os.fspath(path)))
