"""A bottle as a read-only Zarr store, whose chunks are drawn when they are read.

>>> import xarray as xr
>>> ds = xr.open_zarr(CBottleStore("gcm", time="P1D"), zarr_format=3)  # doctest: +SKIP

For what knows Zarr and not xarray's engines; with xarray alone the engine ``cbottle`` has less on its way.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, cast

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from xr_cbottle.cube.cube import Cube, warn_of_means
from xr_cbottle.serve.hierarchy import Chunking, Hierarchy

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype

    from xr_cbottle.bottle.bottle import Bottle


class CBottleStore(Store):
    """A data set of a bottle in Zarr's formats 2 and 3 at once, metadata consolidated.

    Opening and listing draw nothing. Reads run in threads: those of one instant at the same time draw it once,
    and those of several fill a batch. It can be pickled and sent to other processes.

    Parameters
    ----------
    bottle
        Path, URL or name of a bottle, an open `Bottle` or a `Cube`.
    chunking
        What of the sphere a chunk holds: ``"face"``, ``"globe"`` or, by zoom, None, which is a tile above the
        bottle's native zoom. It is always of one member, one time and one level.
    member_dimension
        False leaves out the dimension of a single member, whose number is then a scalar coordinate.
    **keywords
        Those of `xr_cbottle.Cube`.

    Raises
    ------
    ValueError
        If a value is wrong; it lists the right ones.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True
    supports_partial_writes = False

    def __init__(
        self,
        bottle: str | os.PathLike[str] | Bottle | Cube,
        *,
        chunking: Chunking | None = None,
        member_dimension: bool = True,
        **keywords: Any,
    ) -> None:
        super().__init__(read_only=True)
        if isinstance(bottle, Cube) and keywords:
            raise TypeError(f"a Cube has its keywords already: leave out {', '.join(keywords)}")
        cube = bottle if isinstance(bottle, Cube) else Cube(bottle, **keywords)
        if cube is not bottle:
            warn_of_means(cube)
        self.hierarchy = Hierarchy(cube, chunking, member_dimension=member_dimension)

    @property
    def cube(self) -> Cube:
        """The cube whose values the store holds."""
        return self.hierarchy.cube

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.cube, self.hierarchy.chunking, self.hierarchy.member_dimension)

    def __dask_tokenize__(self) -> tuple[str, str, bool]:
        return self.cube.spec.token, self.hierarchy.chunking, self.hierarchy.member_dimension

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CBottleStore) and self.__dask_tokenize__() == other.__dask_tokenize__()

    def __hash__(self) -> int:
        return hash(self.__dask_tokenize__())

    def __repr__(self) -> str:
        return f"<CBottleStore of {self.cube!r} in chunks of one {self.hierarchy.chunking}>"

    def __str__(self) -> str:
        return f"cbottle://{self.cube.bottle.manifest.name}/{self.cube.spec.token[:12]}"

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read what is under a key, drawn if need be; None if there is nothing."""
        content = self.hierarchy.documents().get(key)
        if content is None:
            chunk = self.hierarchy.chunk(key)
            if chunk is None:
                return None
            start, stop = _bounds(byte_range, chunk.nbytes)
            content = await asyncio.to_thread(chunk.read) if chunk.frames else chunk.read()
        else:
            start, stop = _bounds(byte_range, len(content))
        return prototype.buffer.from_bytes(content[start:stop])

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of what is under several keys."""
        return await asyncio.gather(*(self.get(key, prototype, byte_range) for key, byte_range in key_ranges))

    async def exists(self, key: str) -> bool:
        """Whether there is something under a key; draws nothing."""
        return key in self.hierarchy.documents() or self.hierarchy.chunk(key) is not None

    async def getsize(self, key: str) -> int:
        """Length of what is under a key; draws nothing."""
        document, chunk = self.hierarchy.documents().get(key), self.hierarchy.chunk(key)
        if document is None and chunk is None:
            raise FileNotFoundError(key)
        return len(document) if document is not None else chunk.nbytes  # type: ignore[union-attr]

    def list(self) -> AsyncIterator[str]:
        """All keys, which may be billions."""
        return _aiter(self.hierarchy.keys())

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """All keys that begin with some text."""
        return _aiter(self.hierarchy.list_prefix(prefix))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names right below a folder."""
        return _aiter(self.hierarchy.list_dir(prefix))

    def with_read_only(self, read_only: bool = False) -> CBottleStore:
        """Another store of the same; only with ``read_only=True``."""
        if not read_only:
            _refuse()
        kind, arguments = self.__reduce__()
        return cast(CBottleStore, kind(*arguments))

    def _check_writable(self) -> None:
        _refuse()

    async def set(self, key: str, value: Buffer) -> None:
        """Refused."""
        _refuse()

    async def set_partial_values(self, key_start_values: Any) -> None:  # abstract before zarr 3.1.2
        """Refused."""
        _refuse()

    async def delete(self, key: str) -> None:
        """Refused."""
        _refuse()


def _restore(cube: Cube, chunking: Chunking, member_dimension: bool) -> CBottleStore:
    return CBottleStore(cube, chunking=chunking, member_dimension=member_dimension)


def _refuse() -> NoReturn:
    raise ValueError(
        "a CBottleStore is read-only, its values are drawn from the bottle: write to another store, for example with "
        "ds.to_zarr(path), and open this one with mode='r'"
    )


def _bounds(byte_range: ByteRequest | None, length: int) -> tuple[int, int]:
    """First and last byte, exclusive, of what is asked for; as far as it is there."""
    match byte_range:
        case None:
            return 0, length
        case RangeByteRequest(start, end):
            return start, end
        case OffsetByteRequest(offset):
            return offset, length
        case SuffixByteRequest(suffix):
            return max(0, length - suffix), length
    raise TypeError(f"Unexpected byte_range, got {byte_range!r}: give one of zarr.abc.store's requests, or None")


async def _aiter(keys: Iterator[str]) -> AsyncIterator[str]:
    for key in keys:
        yield key
