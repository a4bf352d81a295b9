"""Finished instants in a folder, for several processes and for another day.

Each instant is one ``.npy`` file. Behind the array stand its key, so that a file that was moved or renamed is not
taken for another instant, and a checksum. It is written beside its place and then moved there: a reader sees all of it
or nothing, and what does not check is drawn again. Who draws holds a lock meanwhile, which the system takes back from
whoever is killed, so that processes that miss an instant at the same time draw it once.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import urllib.parse
import uuid
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xr_cbottle.cube.folder_bound import LOCKS, FolderBound
from xr_cbottle.cube.keys import Field, Key

_LOCKS = 1024  # files, so that instants that differ seldom share one; who shares one waits, and no more
_WORD = 4  # bytes of the length of the key, and of the checksum


@dataclass(frozen=True)
class DiskTier:
    """A folder of finished instants of one bottle.

    Attributes
    ----------
    folder
        The folder; it may hold those of other bottles too, and may be shared by several processes.
    shape
        (channel, cell) of an instant: what has another shape is not one.
    limit
        Bytes of all in the folder; None for half of what the disk would have free.
    """

    folder: str
    shape: tuple[int, int]
    limit: int | None = None

    def path(self, key: Key) -> Path:
        """File of an instant: ``<digest>/<label>/seed<seed>/member<member>/<year>/<time>[-<piece>][-<data>].npy``."""
        data = "" if key.data is None else f"-{key.data[:32]}"
        time = np.datetime64(key.seconds, "s").item()
        return Path(
            self.folder,
            key.namespace[:32],
            urllib.parse.quote(key.label or "-", safe="").replace(".", "%2E"),
            f"seed{key.seed}",
            f"member{key.member}",
            f"{time:%Y}",
            f"{time:%Y%m%dT%H%M%S}{'' if key.piece is None else f'-{key.piece}'}{data}.npy",
        )

    def load(self, key: Key) -> npt.NDArray[np.float32] | None:
        """The instant, or None if it is not there or not whole."""
        try:
            content = self.path(key).read_bytes()
        except OSError:
            return None
        payload = content[:-_WORD]
        if _word(zlib.crc32(payload)) != content[-_WORD:] or not payload.endswith(_signature(key)):
            return None
        try:
            field = np.load(io.BytesIO(payload), allow_pickle=False)
        except (ValueError, EOFError):
            return None
        if field.shape != self.shape or field.dtype != np.float32:
            return None
        with contextlib.suppress(OSError):  # not a folder of ours, which we may still read
            os.utime(self.path(key))  # those used longest ago go first
        field.flags.writeable = False
        return field

    def has(self, key: Key) -> bool:
        """Whether there is a file of an instant, whole or not."""
        return self.path(key).exists()

    def draw_once(
        self,
        keys: Sequence[Key],
        draw: Callable[[Sequence[Key]], Sequence[Field]],
        optional: Collection[Key] = (),
    ) -> dict[Key, Field]:
        """Instants that are not here: drawn now and kept, or waited for where another process draws them.

        Parameters
        ----------
        keys
            Of the instants.
        draw
            Draws some of them.
        optional
            Those of them that are left out if another process draws them.
        """
        found: dict[Key, Field] = {}
        left = list(keys)
        while left:
            with self._claims(left) as mine:
                for key in mine:
                    field = self.load(key)  # since it was missed, somebody may have drawn it
                    if field is not None:
                        found[key] = field
                to_draw = [key for key in mine if key not in found]
                for key, field in zip(to_draw, draw(to_draw) if to_draw else (), strict=True):
                    self.save(key, field)
                    found[key] = field
            left = [key for key in left if key not in found and key not in optional]
        return found

    @contextlib.contextmanager
    def _claims(self, keys: Sequence[Key]) -> Iterator[list[Key]]:
        """Hold the locks of some instants, at least of one: those that nobody else holds, or the first that is free."""
        from filelock import FileLock, Timeout

        places = {key: self._lock(key) for key in keys}
        with contextlib.ExitStack() as held:
            taken: set[Path] = set()
            try:
                next(iter(places.values())).parent.mkdir(parents=True, exist_ok=True)
                for place in dict.fromkeys(places.values()):
                    with contextlib.suppress(Timeout):
                        held.enter_context(FileLock(place, timeout=0, thread_local=False))
                        taken.add(place)
                if not taken:  # nothing is held, so that nobody waits for us
                    place = next(iter(places.values()))
                    held.enter_context(FileLock(place, thread_local=False))
                    taken.add(place)
            except OSError:  # a folder without locks, or for reading only
                yield list(keys)
                return
            yield [key for key in keys if places[key] in taken]

    def _lock(self, key: Key) -> Path:
        return Path(self.folder, LOCKS, f"{zlib.crc32(_signature(key)) % _LOCKS:04x}")

    def save(self, key: Key, field: npt.NDArray[np.float32]) -> None:
        """Keep an instant; a folder that cannot be written to is warned of and not fatal."""
        path = self.path(key)
        beside = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex}")
        buffer = io.BytesIO()
        np.save(buffer, field, allow_pickle=False)
        payload = buffer.getvalue() + _signature(key)
        try:
            if not FolderBound(self.folder, self.limit).admit(len(payload) + _WORD):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(beside, "wb") as file:
                    file.write(payload)
                    file.write(_word(zlib.crc32(payload)))
                os.replace(beside, path)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            warnings.warn(f"cache_dir {self.folder!r} cannot keep finished instants: {error}", stacklevel=2)


def _signature(key: Key) -> bytes:
    """A key as it stands in a file: as JSON, and its length."""
    fields = {name: value for name, value in key._asdict().items() if name != "data" or value is not None}
    text = json.dumps(fields, sort_keys=True).encode()
    return text + _word(len(text))


def _word(number: int) -> bytes:
    return number.to_bytes(_WORD, "little")
