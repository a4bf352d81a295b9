"""Finished instants in a folder, for several processes and for another day.

Each instant is one ``.npy`` file. Behind the array stand its key, so that a file that was moved or renamed is not
taken for another instant, and a checksum. It is written beside its place and then moved there: a reader sees all of it
or nothing, and what does not check is drawn again.
"""

from __future__ import annotations

import io
import json
import os
import urllib.parse
import uuid
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xr_cbottle.cube.keys import Key

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
    """

    folder: str
    shape: tuple[int, int]

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
        field.flags.writeable = False
        return field

    def save(self, key: Key, field: npt.NDArray[np.float32]) -> None:
        """Keep an instant; a folder that cannot be written to is warned of and not fatal."""
        path = self.path(key)
        beside = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex}")
        buffer = io.BytesIO()
        np.save(buffer, field, allow_pickle=False)
        payload = buffer.getvalue() + _signature(key)
        try:
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
