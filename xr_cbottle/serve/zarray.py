"""One array of a Zarr hierarchy in formats 2 and 3 at once: its documents, and the keys of its chunks."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_NUMBER = "(?:0|[1-9][0-9]{0,17})"  # ASCII, canonical, and within 64 bits
_V2 = re.compile(rf"{_NUMBER}(?:\.{_NUMBER})*")
_V3 = re.compile(rf"c(?:/{_NUMBER})*")
_V2_DTYPES = {"float32": "<f4", "int64": "<i8"}


@dataclass(frozen=True)
class Array:
    """An array whose chunks are uncompressed and of one size each: what lies beyond its edge is padding.

    Attributes
    ----------
    name, dims, shape
        As in the data set.
    chunks
        Shape of every chunk.
    dtype
        float32, of which NaN is missing, or int64; little-endian.
    attributes
        As xarray writes them, without those of the Zarr format.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    attributes: Mapping[str, Any]

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along each dimension."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))

    @property
    def chunk_nbytes(self) -> int:
        """Bytes of every chunk."""
        return np.dtype(self.dtype).itemsize * math.prod(self.chunks)

    def index(self, key: str) -> tuple[int, ...] | None:
        """Position of the chunk with a key such as ``3.0`` or ``c/3/0``; None if there is none."""
        if _V3.fullmatch(key):
            index = tuple(map(int, key.split("/")[1:]))
        elif key == "0" and not self.shape:  # format 2 calls the only chunk of a scalar 0
            index = ()
        elif _V2.fullmatch(key) and self.shape:
            index = tuple(map(int, key.split(".")))
        else:
            return None
        grid = self.grid
        inside = len(index) == len(grid) and all(i < n for i, n in zip(index, grid, strict=True))
        return index if inside else None

    def keys_v2(self) -> Iterator[str]:
        """Keys of all chunks in format 2."""
        return (".".join(map(str, index)) or "0" for index in itertools.product(*map(range, self.grid)))

    def keys_v3(self) -> Iterator[str]:
        """Keys of all chunks in format 3."""
        return ("/".join(("c", *map(str, index))) for index in itertools.product(*map(range, self.grid)))

    def list_dir(self, folder: str) -> Iterator[str]:
        """Chunks and folders of chunks right below the array's folder, ``""``, or one such as ``c/3``."""
        if not folder:
            yield from self.keys_v2()
            yield "c"  # in format 3 the chunk of a scalar, and a folder of any other
        elif _V3.fullmatch(folder):
            index, grid = tuple(map(int, folder.split("/")[1:])), self.grid
            if len(index) < len(grid) and all(i < n for i, n in zip(index, grid, strict=False)):
                yield from map(str, range(grid[len(index)]))

    def documents_v2(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """``.zarray`` and ``.zattrs``."""
        array = {
            "zarr_format": 2,
            "shape": list(self.shape),
            "chunks": list(self.chunks),
            "dtype": _V2_DTYPES[self.dtype],
            # xarray takes it for missing values, of which integers have none.
            "fill_value": "NaN" if self.dtype == "float32" else None,
            "order": "C",
            "compressor": None,
            "filters": None,
            "dimension_separator": ".",
        }
        return array, {**self.attributes, "_ARRAY_DIMENSIONS": list(self.dims)}

    def document_v3(self) -> dict[str, Any]:
        """``zarr.json``."""
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.chunks)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN" if self.dtype == "float32" else 0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "dimension_names": list(self.dims),
            "attributes": dict(self.attributes),
            "storage_transformers": [],
        }
