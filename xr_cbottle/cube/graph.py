"""The cube as dask arrays of one graph: one task draws a block of instants, others take their variable from it.

dask finishes one variable before it begins the next, and each worker process has a cache of its own. Where
drawing is a task that all variables depend on, the scheduler sees to it that it runs once. Blocks are no
larger than a batch, whatever the chunks: a chunk is put together from as many as it needs. Above the native zoom a
task draws those pieces of its instants that are there, all of them or those of a box.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.plain_text import shown
from xr_cbottle.cube.assembly import CubeReader
from xr_cbottle.cube.layout import Layout
from xr_cbottle.cube.selection import is_everything
from xr_cbottle.cube.xarray_internals import OuterIndexer, apply_indexer, as_indexable

if TYPE_CHECKING:
    import dask.array as da

_AXES = {"member": "m", "time": "t", "pressure": "p", "cell": "c"}
_TASKS_KEPT = 8
Block = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Blocks:
    """How the axes are cut.

    Attributes
    ----------
    members, times
        Members and times in a chunk.
    inner
        Times that one task draws; a chunk is of as many tasks as it needs.
    runs
        The positions on the time axis that are there, as ranges one after the other. Chunks begin at the first,
        so that whatever part of the axis is taken, all chunks but the last are of one size, as zarr wants them,
        and nothing else is drawn.
    pieces
        Above the native zoom, the pieces of the globe that are there, ascending; None for all of it.
    pieces_together
        Above the native zoom, in how many pieces of one instant a chunk is; None for all that are there.
    """

    members: int
    times: int
    inner: int
    runs: tuple[range, ...]
    pieces: tuple[int, ...] | None = None
    pieces_together: int | None = None

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """The positions on the time axis that are there."""
        return np.concatenate([np.arange(run.start, run.stop, run.step) for run in self.runs])

    def __len__(self) -> int:
        return sum(len(run) for run in self.runs)

    def narrowed(self, taken: slice | npt.NDArray[np.int64]) -> Blocks:
        """Only some of the times, counted among those that are there."""
        if isinstance(taken, slice) and len(self.runs) == 1:
            return replace(self, runs=(self.runs[0][taken],))
        return replace(self, runs=_runs(self.positions[taken]))

    def within(self, pieces: Iterable[int]) -> Blocks:
        """Only some of the pieces of the globe."""
        return replace(self, pieces=tuple(pieces))

    def parts_of_globe(self, layout: Layout) -> list[tuple[int, ...]]:
        """Pieces in each chunk, one after the other; empty where the globe is not in pieces."""
        fine = layout.spec.fine
        if fine is None:
            return []
        pieces = tuple(range(fine.pieces)) if self.pieces is None else self.pieces
        together = self.pieces_together or len(pieces)
        return [pieces[i : i + together] for i in range(0, len(pieces), together)]

    def span(self, chunk: int, part: int) -> npt.NDArray[np.int64]:
        """Positions on the time axis that task ``part`` of chunk ``chunk`` draws."""
        times = self.positions[chunk * self.times : (chunk + 1) * self.times]
        return times[part * self.inner : (part + 1) * self.inner]


def _runs(positions: npt.NDArray[np.int64]) -> tuple[range, ...]:
    """Positions as few ranges: a season of all years is thousands of times, and travels with each task."""
    steps, counts = np.unique(np.diff(positions), return_counts=True)
    step = int(steps[counts.argmax()]) if len(steps) else 1
    begins = np.flatnonzero(np.diff(positions, prepend=positions[:1]) != step)
    parts = np.split(positions, begins[begins > 0])
    return tuple(range(int(part[0]), int(part[-1]) + step, step) for part in parts)


def array(reader: CubeReader, name: str, company: tuple[str, ...], blocks: Blocks) -> da.Array:
    """A variable as a dask array of all levels, and of all cells of the blocks.

    Parameters
    ----------
    reader, name
        What reads the cube, and the name of the variable.
    company
        Variables that are drawn together: arrays of one company and the same blocks share the tasks that draw.
    blocks
        How the axes are cut.
    """
    import dask.array as da

    sizes, dims = reader.layout.sizes, reader.layout.dims(name)
    drawn, token = _drawn(reader, company, blocks)
    axes = ("m" if "member" in sizes else "") + "tr" + ("c" if reader.layout.spec.fine is not None else "")
    return da.blockwise(
        _take,
        "".join(_AXES[dim] for dim in dims),
        drawn,
        axes,
        variable=name,
        axis=dims.index("time"),
        new_axes={_AXES[dim]: sizes[dim] for dim in dims if _AXES[dim] not in axes},
        dtype=np.float32,
        meta=np.empty((0,) * len(dims), np.float32),
        name=f"cbottle-{name}-{token}",
    )


def _drawn(reader: CubeReader, company: tuple[str, ...], blocks: Blocks) -> tuple[da.Array, str]:
    """The tasks that draw, as an array (member, time, part of a chunk, cell) of blocks, and what to call its kin.

    They are kept with the reader, so that all variables of a data set share them, and go when it goes.
    """
    kept = reader.tasks
    if (company, blocks) not in kept:
        while len(kept) >= _TASKS_KEPT:
            kept.pop(next(iter(kept)))
        kept[company, blocks] = _draw_tasks(reader, company, blocks)
    return kept[company, blocks]


def _draw_tasks(reader: CubeReader, company: tuple[str, ...], blocks: Blocks) -> tuple[da.Array, str]:
    import dask.array as da

    sizes = reader.layout.sizes
    token = hashlib.sha256(f"{reader.layout.spec.token} {blocks} {company}".encode()).hexdigest()[:32]
    times = _split(len(blocks), blocks.times)
    chunks = [times, (1,) * -(-times[0] // blocks.inner)]
    if "member" in sizes:
        chunks.insert(0, _split(sizes["member"], blocks.members))
    spec = reader.layout.spec
    if spec.fine is not None:
        chunks.append(tuple(len(part) * spec.fine.cells(spec.zoom) for part in blocks.parts_of_globe(reader.layout)))
    drawn = da.map_blocks(
        _draw_block,
        reader=reader,
        names=company,
        blocks=blocks,
        chunks=tuple(chunks),
        dtype=object,
        meta=np.empty((0,) * len(chunks), object),
        name=f"cbottle-draw-{token}",
    )
    return drawn, token


def indexed(array: da.Array, keys: tuple[Any, ...]) -> da.Array:
    """An array indexed orthogonally, by positions, slices and arrays of positions.

    dask makes a task for each chunk at once, which takes seconds for all hours of decades. Axes of one chunk are
    indexed within the chunks instead.
    """
    import dask.array as da

    if any(n > 1 and not is_everything(key) for n, key in zip(array.numblocks, keys, strict=True)):
        return apply_indexer(as_indexable(array), OuterIndexer(keys))
    kept = [axis for axis, key in enumerate(keys) if not isinstance(key, (int, np.integer))]
    lengths = {axis: len(np.arange(array.shape[axis])[keys[axis]]) for axis in kept if not is_everything(keys[axis])}
    return da.blockwise(
        _index,
        kept,
        array,
        range(array.ndim),
        keys=keys,
        adjust_chunks={axis: (length,) for axis, length in lengths.items()},
        concatenate=True,
        dtype=array.dtype,
        meta=np.empty((0,) * len(kept), array.dtype),
    )


def _index(values: npt.NDArray[np.float32], keys: tuple[Any, ...]) -> npt.NDArray[np.float32]:
    for axis in reversed(range(len(keys))):
        values = values[(slice(None),) * axis + (keys[axis],)]
    return values


def blocks(layout: Layout, lengths: Mapping[str, int], asked: object) -> Blocks:
    """The blocks of chunks of some lengths, of all levels and cells, or above the native zoom of whole tiles.

    Parameters
    ----------
    layout
        Of the data set.
    lengths
        Of chunks along some dimensions, from `xr_cbottle.cube.chunks.lengths`.
    asked
        What the user wrote, for the message.

    Raises
    ------
    ValueError
        If they split levels or cells, or above the native zoom a tile.
    """
    sizes = layout.sizes
    whole = {dim: sizes[dim] if n == -1 else min(n, sizes[dim]) for dim, n in lengths.items()}
    cells = whole.get("cell", sizes["cell"])
    if any(n < sizes[dim] for dim, n in whole.items() if dim == "pressure") or not are_whole(layout, cells):
        fine = layout.spec.fine
        drawn = "an instant" if fine is None else f"a tile, which has {fine.cells(layout.spec.zoom)} cells,"
        raise ValueError(
            f"chunks is {shown(asked)}: give {{}}, a number of times, or {{'time': n, 'member': m}}; all levels and "
            f"cells of {drawn} are drawn together, split them afterwards with .chunk()"
        )
    times = min(whole.get("time", layout.values_per_task), sizes["time"])
    return cut(layout, whole.get("member", 1), times, cells)


def are_whole(layout: Layout, cells: int) -> bool:
    """Whether chunks of some cells cut nothing that is drawn at once: they are all of the globe, or whole tiles."""
    fine = layout.spec.fine
    return cells == layout.sizes["cell"] or (fine is not None and cells % fine.cells(layout.spec.zoom) == 0)


def cut(layout: Layout, members: int, times: int, cells: int | None = None) -> Blocks:
    """Blocks of all times of a data set, for chunks of some members, times and cells."""
    inner = min(times, max(1, layout.values_per_task // members))
    fine, together = layout.spec.fine, None
    if fine is not None and cells is not None and cells < layout.sizes["cell"]:
        together = cells // fine.cells(layout.spec.zoom)
    return Blocks(members, times, inner, (range(layout.sizes["time"]),), pieces_together=together)


def _split(size: int, length: int) -> tuple[int, ...]:
    full, rest = divmod(size, length)
    return (length,) * full + ((rest,) if rest else ())


def _draw_block(reader: CubeReader, names: tuple[str, ...], blocks: Blocks, block_id: tuple[int, ...]) -> Block:
    """All variables of one block."""
    layout = reader.layout
    axes = (["member"] if "member" in layout.sizes else []) + ["chunk", "part", "cell"]
    place = dict(zip(axes, block_id, strict=False))  # cells are an axis above the native zoom only
    within: dict[str, Any] = {"time": blocks.span(place["chunk"], place["part"])}
    if "member" in place:
        within["member"] = slice(place["member"] * blocks.members, (place["member"] + 1) * blocks.members)
    if "cell" in place:
        within["cell"] = layout.cells_of(blocks.parts_of_globe(layout)[place["cell"]])
    return reader.read({name: layout.select(name, within) for name in names}, passing=True)


def _take(blocks: list[Block], variable: str, axis: int) -> npt.NDArray[np.float32]:
    """One variable of the blocks of a chunk."""
    values = [block[variable] for block in blocks]
    return values[0] if len(values) == 1 else np.concatenate(values, axis)
