"""A data set written to zarr or netCDF: piece by piece, whole or not at all.

It is written beside its place, in ``OUT.part``, and then moved there. A store keeps a record of the pieces that
are finished, so that an interrupted job goes on where it was; each piece is one chunk of times of one member,
and all variables of it are drawn together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle.base.plain_text import shown
from xr_cbottle.cube.cube import Cube
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr


_CHUNK_BYTES = 1 << 20
SUFFIXES = (".zarr", ".nc")


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece that is drawn and written at once: some times of one member."""

    times: slice
    member: slice | None

    @property
    def within(self) -> dict[str, slice]:
        """Place of the piece along each dimension of which it is not all."""
        members = {} if self.member is None else {"member": self.member}
        return {"time": self.times, **members}

    def index(self, dims: Sequence[str]) -> tuple[slice, ...]:
        """Place of the piece in a variable of these dimensions."""
        return tuple(self.within.get(dim, slice(None)) for dim in dims)


@dataclasses.dataclass(frozen=True)
class StorePart:
    """One of the parts that a store is written in, each by a process of its own.

    Attributes
    ----------
    number, count
        Which, from 1 on, and of how many.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> StorePart:
        """Read ``3/40``; raises a ValueError that says what is right."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"the part is {shown(text)}: write which and of how many, from 1/40 to 40/40")
        return cls(int(match[1]), int(match[2]))

    def of(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The pieces that this part writes; all parts together write each once."""
        begin, end = ((self.number - which) * len(pieces) // self.count for which in (1, 0))
        return list(pieces[begin:end])

    def file(self, name: str, number: int | None = None) -> str:
        """Name of a file of this part, or of another one."""
        stem, dot, suffix = name.partition(".")
        which = f"-{number or self.number}-of-{self.count}" if self.count > 1 else ""
        return f"{stem}{which}{dot}{suffix}"


def write(
    cube: Cube,
    out: str | os.PathLike[str],
    variables: Sequence[str] | None = None,
    *,
    times_per_chunk: int | None = None,
    zarr_format: int = 2,
    part: StorePart | None = None,
    progress: bool | None = None,
) -> Path:
    """Draw a data set and write it.

    Parameters
    ----------
    cube
        The data set.
    out
        A file or folder that is not there yet; its suffix says what it becomes: ``.zarr`` or ``.nc``. A store
        that was interrupted is continued.
    variables
        Names of the variables to write; all if None.
    times_per_chunk
        Length of the chunks; by default about 1 MiB of a variable without levels, in whole batches.
    zarr_format
        2, which every reader knows, or 3.
    part
        Which part of a store to write; None for all of it. The store is in its place when its last part is finished,
        in whichever order they are; one that is finished may be written again, and draws nothing.
    progress
        Whether to show a bar; None: on a terminal.

    Returns
    -------
    Where it is, or will be.

    Raises
    ------
    ValueError
        If a variable, suffix or number is wrong, or an unfinished store has other settings.
    FileExistsError
        If there is something of this name already.
    """
    out = Path(out)
    if out.suffix not in SUFFIXES:
        raise ValueError(f"{out}: what to write is told from the suffix, which must be {' or '.join(SUFFIXES)}")
    if part is not None and out.suffix != ".zarr":
        raise ValueError(f"{out}: only a store is written in parts, give a name that ends in .zarr")
    if part is not None and _is_of(cube, out):
        shutil.rmtree(out.with_name(out.name + ".part"), ignore_errors=True)  # left by one that was killed
        return out
    if os.path.lexists(out):
        raise FileExistsError(f"{out} is there already: choose another name, or remove it first")
    names = list(cube.layouts) if variables is None else list(dict.fromkeys(variables))
    unknown = [name for name in names if name not in cube.layouts]
    if unknown or not names:
        known = ", ".join(cube.layouts)
        raise ValueError(f"{cube.bottle.manifest.name} has no variable {', '.join(unknown)!r}: choose among {known}")
    times_per_chunk = _times_per_chunk(cube, times_per_chunk)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(out.name + ".part")
    if out.suffix == ".nc":
        _write_netcdf(cube, beside, names, times_per_chunk, progress)
        os.rename(beside, out)
    else:
        _write_zarr(cube, beside, out, names, times_per_chunk, zarr_format, part or StorePart(), progress)
    return out


def pieces_of(cube: Cube, times_per_chunk: int | None = None, part: StorePart | None = None) -> list[Piece]:
    """The pieces that a store, or a part of it, is written in."""
    return (part or StorePart()).of(list(_pieces(cube, _times_per_chunk(cube, times_per_chunk))))


def _write_zarr(
    cube: Cube, beside: Path, out: Path, names: list[str], times: int, zarr_format: int, part: StorePart,
    progress: bool | None,
) -> None:  # fmt: skip
    import zarr
    from filelock import FileLock, Timeout

    asked = {"variables": names, "chunks": times, "zarr_format": zarr_format}
    parts = {"parts": part.count} if part.count > 1 else {}
    settings = json.loads(json.dumps({**_settings(cube), **asked, **parts}))
    store, record = beside / "store", beside / part.file("finished.json")
    beside.mkdir(exist_ok=True)
    try:
        with FileLock(beside / part.file("lock"), timeout=0):
            if record.is_file():
                state = _recorded(record)
                _check_same(beside, state["settings"], settings)
            else:
                _make_store(cube, beside, names, times, zarr_format, settings, part)
                state = {"settings": settings, "finished": 0}
                _keep(record, state)
            arrays = {name: zarr.open_array(store / name, mode="r+") for name in names}
            pieces = part.of(list(_pieces(cube, times)))
            with _bar(cube, pieces, state["finished"], progress) as bar:
                for piece in pieces[state["finished"] :]:
                    for name, values in _draw(cube, names, piece, bar).items():
                        arrays[name][piece.index(cube.dims(name))] = values
                    state["finished"] += 1
                    _keep(record, state)
        _move_if_whole(cube, beside, out, times, part)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the same command will continue {beside}") from None
    except Timeout:
        raise ValueError(f"{beside} is being written by another process: wait for it, or choose another name") from None


def _make_store(
    cube: Cube, beside: Path, names: list[str], times: int, zarr_format: int, settings: dict[str, Any], part: StorePart
) -> None:
    """Make the store without values, once for all parts."""
    from filelock import FileLock

    begun = beside / part.file("begun.json", number=part.count)
    with FileLock(beside / "making"):
        if part.count > 1 and begun.is_file():
            _check_same(beside, _recorded(begun)["settings"], settings)
            return
        others = [path for path in (*beside.glob("begun*.json"), *beside.glob("finished*.json")) if path != begun]
        if others:
            _check_same(beside, _recorded(others[0])["settings"], {"parts": None, **settings})
        template = _template(cube, names, times)
        with warnings.catch_warnings():  # many readers want metadata in one place, also in format 3
            warnings.filterwarnings("ignore", "Consolidated metadata")
            template.to_zarr(beside / "store", mode="w", compute=False, zarr_format=zarr_format, consolidated=True)
        if part.count > 1:
            _keep(begun, {"settings": settings, "finished": 0})


def _move_if_whole(cube: Cube, beside: Path, out: Path, times: int, part: StorePart) -> None:
    """Move a store to its place if all its parts are finished; whoever comes later finds nothing to do."""
    from filelock import FileLock

    pieces = list(_pieces(cube, times))
    with contextlib.suppress(FileNotFoundError), FileLock(beside / "making"):
        for number in range(1, part.count + 1):
            record = beside / part.file("finished.json", number)
            wanted = len(StorePart(number, part.count).of(pieces))
            if not record.is_file() or _recorded(record)["finished"] < wanted:
                return
        os.rename(beside / "store", out)
    shutil.rmtree(beside, ignore_errors=part.count > 1)


def _is_of(cube: Cube, out: Path) -> bool:
    """Whether a store is there, and is of the same data set."""
    import zarr

    try:
        there = dict(zarr.open_group(out, mode="r").attrs)
    except (OSError, ValueError, KeyError):
        return False
    asked = json.loads(json.dumps(cube.lazy_dataset().attrs))
    return {**there, "history": ""} == {**asked, "history": ""}


def _write_netcdf(cube: Cube, part: Path, names: list[str], times: int, progress: bool | None) -> None:
    import netCDF4

    template = _template(cube, names, times)
    with _whole_or_nothing(part):
        template.drop_vars(names).to_netcdf(part, mode="w", engine="netcdf4")
        with netCDF4.Dataset(part, "a") as file:
            file.set_auto_maskandscale(False)
            for name in names:
                array = template[name]
                made = file.createVariable(
                    name, "f4", cube.dims(name), fill_value=np.float32(np.nan), chunksizes=array.encoding["chunks"]
                )
                made.setncatts(array.attrs)
            pieces = list(_pieces(cube, times))
            with _bar(cube, pieces, 0, progress) as bar:
                for piece in pieces:
                    for name, values in _draw(cube, names, piece, bar).items():
                        file[name][piece.index(cube.dims(name))] = values


@contextlib.contextmanager
def _whole_or_nothing(part: Path) -> Iterator[None]:
    """Remove a netCDF file that was not finished: there is no way to go on with it."""
    from dask.utils import format_bytes

    try:
        yield
    except BaseException as error:
        part.unlink(missing_ok=True)
        if not (isinstance(error, RuntimeError) and "HDF" in str(error)):
            raise
        free = format_bytes(shutil.disk_usage(part.parent).free)  # HDF5 does not say why
        raise OSError(
            f"{part.parent} could not take the file ({error}; {free} are free): make room, or write to .zarr, which "
            "goes on where it stopped"
        ) from None


def _template(cube: Cube, names: list[str], times: int) -> xr.Dataset:
    """The data set with variables that are not drawn, chunked as they will be written."""
    import dask.array as da

    ds = cube.lazy_dataset([name for name in cube.layouts if name not in names])
    for name in names:
        lazy = ds[name]
        length = {"time": times, "member": 1}
        chunks = tuple(length.get(str(dim), lazy.sizes[dim]) for dim in lazy.dims)
        # One block of dask's, of which only shape and type are looked at.
        nothing = da.zeros(lazy.shape, dtype=np.float32, chunks=lazy.shape)
        ds[name] = (lazy.dims, nothing, lazy.attrs, {"chunks": chunks, "_FillValue": np.float32(np.nan)})
    return ds


def _times_per_chunk(cube: Cube, asked: int | None) -> int:
    batch, most = cube.layout.values_per_task, cube.sizes["time"]
    if asked is not None and asked < 1:
        raise ValueError(f"the length of chunks is {asked}: it must be at least 1")
    fitting = _CHUNK_BYTES // (4 * healpix.n_cells(cube.spec.zoom) * batch)
    return min(most, max(1, fitting) * batch if asked is None else asked)


def _pieces(cube: Cube, times: int) -> Iterator[Piece]:
    members = [None] if cube.spec.members is None else [slice(i, i + 1) for i in range(len(cube.spec.members))]
    count = cube.sizes["time"]
    starts = range(0, count, times)
    for member, start in itertools.product(members, starts):
        yield Piece(slice(start, min(start + times, count)), member)


def _draw(cube: Cube, names: list[str], piece: Piece, bar: Any) -> dict[str, Any]:
    """Values of all variables of a piece, drawn batch by batch."""
    step, parts = cube.layout.values_per_task, []
    for start in range(piece.times.start, piece.times.stop, step):
        batch = Piece(slice(start, min(start + step, piece.times.stop)), piece.member)
        parts.append(cube.read({name: cube.layout.select(name, batch.within) for name in names}, passing=True))
        bar.update((batch.times.stop - start) * cube.spec.axis.instants_per_value)
    return {name: np.concatenate([part[name] for part in parts], cube.dims(name).index("time")) for name in names}


def _bar(cube: Cube, pieces: list[Piece], finished: int, progress: bool | None) -> Any:
    from tqdm.auto import tqdm

    counts = [(piece.times.stop - piece.times.start) * cube.spec.axis.instants_per_value for piece in pieces]
    disable = None if progress is None else not progress
    return tqdm(total=sum(counts), initial=sum(counts[:finished]), unit="instant", desc="drawing", disable=disable)


def _settings(cube: Cube) -> dict[str, Any]:
    """What the values are a function of, by the names a user knows."""
    settings = {k: v for k, v in dataclasses.asdict(cube.spec).items() if k != "given"}
    settings["bottle"] = settings.pop("digest")
    settings["time"] = settings.pop("axis")
    return settings


def _recorded(record: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads(record.read_text())
        if isinstance(state["settings"], dict) and isinstance(state["finished"], int):
            return state
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{record} is no record of an unfinished store: remove {record.parent} to begin again")


def _check_same(part: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    other = [name for name in now if before.get(name) != now[name]]
    if other:
        raise ValueError(
            f"{part} was begun with other settings ({', '.join(other)}): give the same ones to continue it, "
            "or remove it to begin again"
        )


def _keep(record: Path, state: dict[str, Any]) -> None:
    beside = record.with_name(record.name + ".new")
    beside.write_text(json.dumps(state))
    os.replace(beside, record)
