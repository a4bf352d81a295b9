"""The Zarr hierarchy that a cube stands for: its documents and its chunks, in formats 2 and 3 at once.

Documents are made from the data set as xarray would write it, and a key is looked up by arithmetic: nothing is
drawn before a chunk is read, and nothing that is kept grows with the number of times, members or cells.

A chunk of a variable is one member, one time and one pressure level of the globe, or of one of its twelve base
faces. One time, because the instant is what is drawn; one level, because a map shows one, and the other levels
of the instant are in the cache when they are asked for. Viewers such as gridlook read the twelve faces of a map
at the same time: a browser fetches a globe once for all of them, and Python reads one chunk instead of twelve,
ten times as fast; ten reads at a time of zarr-python are then of ten instants, which fill a batch, and not of
one. At high zooms a globe is too much at once. Above the native zoom a chunk is a tile, which is what is drawn
there. There is no array ``cell``: viewers that find one take the data
for those of a region.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.selection import Selection
from xr_cbottle.grid import healpix
from xr_cbottle.serve.zarray import Array

if TYPE_CHECKING:
    import xarray as xr

    from xr_cbottle.cube.keys import Key

Chunking = Literal["face", "globe", "tile"]

FACES_FROM_ZOOM = 8
"""Zoom from which on a chunk is a face if nobody says."""

_TIMES_IN_A_CHUNK = 2**16  # of the coordinate: 0.5 MB


@dataclass(frozen=True, eq=False)
class Chunk:
    """One chunk of one array.

    Attributes
    ----------
    cube, array
        What it is of.
    index
        Its position in the grid of the array's chunks.
    key
        By which it was asked for.
    """

    cube: Cube
    array: Array
    index: tuple[int, ...]
    key: str

    @property
    def name(self) -> str:
        """Name of the array."""
        return self.array.name

    @property
    def nbytes(self) -> int:
        """Length of the chunk in bytes, known without reading it."""
        return self.array.chunk_nbytes

    @property
    def frames(self) -> tuple[tuple[int, int], ...]:
        """The (member, time) it is of, as positions; none for what is not drawn, which costs nothing.

        One that is not in the cache is drawn: ``cube.spec.axis.instants_per_value`` instants.
        """
        at = self._at
        return ((at.get("member", 0), at["time"]),) if self._is_drawn else ()

    @property
    def keys(self) -> list[Key]:
        """Keys of the fields that the chunk is made of: instants, or above the native zoom a piece of each."""
        layout = self.cube.layout
        piece = next(iter(layout.parts(self._span)), None)
        return [key for frame in self.frames for key in layout.keys(*frame, piece)]

    @functools.cached_property
    def selection(self) -> Selection | None:
        """The part of the variable that the chunk holds; None for a coordinate."""
        if not self._is_drawn:
            return None
        at = {"member": 0, "pressure": 0, **self._at}
        return self.cube.layout.select(self.name, {**at, "cell": self._span})

    def read(self) -> bytes:
        """Read the bytes of the chunk. What is not in the cache is drawn, here or by whoever draws it already."""
        if self.selection is not None:
            values = self.cube.read({self.name: self.selection})[self.name].astype("<f4", copy=False)
        elif self.name in self.cube.static:
            values = self.cube.static[self.name].values[self._span].astype("<f4", copy=False)
        else:
            values = _coordinate(self.cube, self.name, self._span).astype("<i8", copy=False)
        return values.tobytes().ljust(self.nbytes, b"\0")

    @property
    def _is_drawn(self) -> bool:
        return self.name in self.cube.layouts

    @property
    def _at(self) -> dict[str, int]:
        return dict(zip(self.array.dims, self.index, strict=True))

    @property
    def _span(self) -> slice:
        """What it is of the last dimension."""
        size, place = (self.array.chunks[-1], self.index[-1]) if self.index else (1, 0)
        return slice(size * place, size * (place + 1))


class Hierarchy:
    """The Zarr hierarchy of a cube.

    Parameters
    ----------
    cube
        The data set.
    chunking
        ``"face"`` or ``"globe"``: what of the sphere a chunk holds. None: faces from zoom `FACES_FROM_ZOOM` on; and
        above the bottle's native zoom ``"tile"``, what is drawn at once there, which has no other.
    member_dimension
        False leaves out the dimension of a cube of one member, whose number is then a scalar coordinate.

    Raises
    ------
    ValueError
        If a value is wrong; it lists the right ones.
    """

    def __init__(self, cube: Cube, chunking: Chunking | None = None, *, member_dimension: bool = True) -> None:
        fine = cube.spec.fine
        if fine is not None:
            if chunking not in (None, "tile"):
                raise ValueError(f"chunking is {chunking!r}: above zoom {cube.spec.native_zoom} a chunk is one 'tile'")
            chunking = "tile"
        if chunking is None:
            chunking = "face" if cube.spec.zoom >= FACES_FROM_ZOOM else "globe"
        if fine is None and chunking not in ("face", "globe"):
            raise ValueError(f"chunking is {chunking!r}: choose 'face', 'globe', or None for what suits the zoom")
        if cube.spec.guide is not None:
            raise ValueError("draws that are steered need their weights, which a store does not have: leave guide out")
        count = len(cube.spec.members or (0,))
        if not member_dimension and count > 1:
            raise ValueError(f"{count} members need a dimension: choose one of them, or leave member_dimension=True")
        self.cube, self.chunking = cube, chunking
        self.member_dimension = member_dimension and cube.spec.members is not None

    def __repr__(self) -> str:
        return f"<Hierarchy of {self.cube!r} in chunks of one {self.chunking}>"

    @functools.cached_property
    def _written(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays, and attributes of the group, as xarray would write them."""
        from xarray import conventions

        ds = self.cube.lazy_dataset().drop_vars("cell")
        if "member" in ds.dims and not self.member_dimension:
            ds = ds.isel(member=0)
        variables, attributes = conventions.encode_dataset_coordinates(ds)
        return {str(name): self._array(str(name), variable) for name, variable in variables.items()}, dict(attributes)

    def _array(self, name: str, variable: xr.Variable) -> Array:
        from xarray import conventions

        spec = self.cube.spec
        cells = healpix.n_cells(spec.zoom) // (healpix.FACES if self.chunking == "face" else 1)
        if spec.fine is not None:
            cells = spec.fine.cells(spec.zoom)
        dims = tuple(map(str, variable.dims))
        if name in self.cube.layouts or name in self.cube.static:
            dtype, attributes = "float32", variable.attrs
            lengths = {"member": 1, "time": 1, "pressure": 1, "cell": cells}
        else:
            # One value is enough to learn what xarray writes for all: units and calendar of the times.
            first = variable.isel(dict.fromkeys(dims, slice(0, 1)))
            dtype, attributes = "int64", conventions.encode_cf_variable(first, name=name).attrs
            lengths = {"time": _TIMES_IN_A_CHUNK, "cell": cells}
        chunks = tuple(min(lengths.get(dim, size), size) for dim, size in zip(dims, variable.shape, strict=True))
        return Array(name, dims, variable.shape, chunks, dtype, dict(attributes))

    @property
    def arrays(self) -> Mapping[str, Array]:
        """The arrays by name."""
        return self._written[0]

    @functools.cached_property
    def _documents(self) -> Mapping[str, bytes]:
        arrays, attributes = self._written
        two: dict[str, Any] = {".zgroup": {"zarr_format": 2}, ".zattrs": attributes}
        three: dict[str, Any] = {}
        for name, array in arrays.items():
            two[f"{name}/.zarray"], two[f"{name}/.zattrs"] = array.documents_v2()
            three[name] = array.document_v3()
        root = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": attributes,
            "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": three},
        }
        documents = {
            **two,
            ".zmetadata": {"zarr_consolidated_format": 1, "metadata": two},
            "zarr.json": root,
            **{f"{name}/zarr.json": document for name, document in three.items()},
        }
        return MappingProxyType({key: _json(document) for key, document in documents.items()})

    def documents(self) -> Mapping[str, bytes]:
        """Every metadata key with its JSON; consolidated in both formats. Made once."""
        return self._documents

    def chunk(self, key: str) -> Chunk | None:
        """The chunk with a key such as ``tas/3.0`` or ``tas/c/3/0``; None if there is none, whatever the text."""
        name, _, rest = key.partition("/")
        array = self.arrays.get(name)
        index = None if array is None else array.index(rest)
        return None if array is None or index is None else Chunk(self.cube, array, index, key)

    def keys(self) -> Iterator[str]:
        """All keys, which may be billions: documents, then the chunks of one array after the other."""
        return self.list_prefix("")

    def list_prefix(self, prefix: str) -> Iterator[str]:
        """All keys that begin with some text."""
        yield from (key for key in self._documents if key.startswith(prefix))
        for name, array in self.arrays.items():
            folder = f"{name}/"
            if folder.startswith(prefix):
                yield from (folder + key for keys in (array.keys_v2(), array.keys_v3()) for key in keys)
            elif prefix.startswith(folder):
                rest = prefix.removeprefix(folder)
                keys = array.keys_v3() if rest.startswith("c") else array.keys_v2()
                yield from (folder + key for key in keys if key.startswith(rest))

    def list_dir(self, prefix: str) -> Iterator[str]:
        """Names right below a folder."""
        name, _, folder = prefix.strip("/").partition("/")
        if not name:
            yield from (key for key in self._documents if "/" not in key)
            yield from self.arrays
        elif name in self.arrays:
            if not folder:
                yield from (key.partition("/")[2] for key in self._documents if key.startswith(f"{name}/"))
            yield from self.arrays[name].list_dir(folder)


def _coordinate(cube: Cube, name: str, span: slice) -> npt.NDArray[np.int64]:
    """Part of a coordinate as it is written, made without the rest where there are many."""
    if name == "cell_ids":
        return np.arange(span.start, span.stop)
    if name == "time":
        return cube.spec.axis.seconds[span]
    return np.array({"member": cube.spec.members, "pressure": cube.layout.pressures, "crs": (1,)}[name], np.int64)[span]


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(
        document, separators=(",", ":"), allow_nan=False, default=lambda v: np.asarray(v).tolist()
    ).encode()
