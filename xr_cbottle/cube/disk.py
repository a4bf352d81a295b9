"""Finished instants in a folder, for several processes and for another day.

Each instant is one ``.npy`` file with a checksum behind the array, written beside its place and then moved
there: a reader sees all of it or nothing, and what does not check is drawn again.
"""

from __future__ import annotations

import io
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

_CHECKSUM_BYTES = 4


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
        """File of an instant: ``<digest>/<label>/seed<seed>/member<member>/<year>/<time>[-<piece>].npy``."""
        time = np.datetime64(key.seconds, "s").item()
        return Path(
            self.folder,
            key.namespace[:32],
            urllib.parse.quote(key.label or "-", safe="").replace(".", "%2E"),
            f"seed{key.seed}",
            f"member{key.member}",
            f"{time:%Y}",
            f"{time:%Y%m%dT%H%M%S}{'' if key.piece is None else f'-{key.piece}'}.npy",
        )

    def load(self, key: Key) -> npt.NDArray[np.float32] | None:
        """The instant, or None if it is not there or not whole."""
        try:
            content = self.path(key).read_bytes()
        except OSError:
            return None
        payload, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
        if zlib.crc32(payload).to_bytes(_CHECKSUM_BYTES, "little") != checksum:
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
        payload = buffer.getvalue()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(beside, "wb") as file:
                    file.write(payload)
                    file.write(zlib.crc32(payload).to_bytes(_CHECKSUM_BYTES, "little"))
                os.replace(beside, path)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            warnings.warn(f"cache_dir {self.folder!r} cannot keep finished instants: {error}", stacklevel=2)
