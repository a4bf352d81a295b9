"""A data set written to zarr or netCDF: portion by portion, whole or not at all.

It is written beside its place, in ``OUT.part``, and then moved there. A store keeps a record of the portions that
are finished, so that an interrupted job goes on where it was; each portion is one chunk of times of one member,
and all variables of it are drawn together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.output_form import OutputForm
from xr_cbottle.cube.portions import Portion, StorePart, chunk_times, portions

if TYPE_CHECKING:
    import xarray as xr


SUFFIXES = (".zarr", ".nc")


def write(
    cube: Cube,
    out: str | os.PathLike[str],
    variables: Sequence[str] | None = None,
    *,
    times_per_chunk: int | None = None,
    zarr_format: int = 2,
    part: StorePart | None = None,
    progress: bool | None = None,
    form: OutputForm | None = None,
    like: xr.Dataset | None = None,
    origin: str = "",
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
    form
        Which cells, members' mean or grid to write; None: the data set as it is.
    like
        The data set, of which coordinates and attributes are written; None: the cube's own.
    origin
        Data that the values are made of beside the bottle, as text; an unfinished store is continued with the same.

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
    if part is None:
        _check_free(out)
    known = [*cube.layouts, *cube.static]
    names = known if variables is None else list(dict.fromkeys(variables))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(
            f"{cube.bottle.manifest.name} has no variable {', '.join(unknown)!r}: choose among {', '.join(known)}"
        )
    form = form or OutputForm()
    if form.mean and cube.spec.guide is not None:
        raise ValueError("draws that are steered to an event count by their weights: write the members, and weigh them")
    times_per_chunk = chunk_times(cube, times_per_chunk, form)
    template = _template(cube, cube.lazy_dataset() if like is None else like, names, times_per_chunk, form)
    if part is not None and _is_of(template, out):
        shutil.rmtree(out.with_name(out.name + ".part"), ignore_errors=True)  # left by one that was killed
        return out
    _check_free(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(out.name + ".part")
    if out.suffix == ".nc":
        _write_netcdf(cube, beside, template, _drawn(cube, names), times_per_chunk, progress, form)
        os.rename(beside, out)
    else:
        asked = {"variables": names, "chunks": times_per_chunk, "zarr_format": zarr_format, "form": form.told}
        which = part or StorePart()
        parts = {"parts": which.count} if which.count > 1 else {}
        settings = json.loads(json.dumps({**_settings(cube), **asked, "data": origin, **parts}))
        _write_zarr(cube, beside, out, template, settings, which, progress, form)
    return out


def _check_free(out: Path) -> None:
    if os.path.lexists(out):
        raise FileExistsError(f"{out} is there already: choose another name, or remove it first")


def _write_zarr(
    cube: Cube,
    beside: Path,
    out: Path,
    template: xr.Dataset,
    settings: dict[str, Any],
    part: StorePart,
    progress: bool | None,
    form: OutputForm,
) -> None:
    import zarr
    from filelock import FileLock, Timeout

    names, times = _drawn(cube, settings["variables"]), settings["chunks"]
    store, record = beside / "store", beside / part.file("finished.json")
    beside.mkdir(exist_ok=True)
    try:
        with FileLock(beside / part.file("lock"), timeout=0):
            if record.is_file():
                state = _recorded(record)
                _check_same(beside, state["settings"], settings)
            else:
                _make_store(template, beside, settings, part)
                state = {"settings": settings, "finished": 0}
                _keep(record, state)
            figures = _figures(cube)
            arrays = {name: zarr.open_array(store / name, mode="r+") for name in [*names, *figures]}
            asked = part.of(portions(cube, times, form))
            with _bar(cube, asked, state["finished"], progress, form) as bar:
                for portion in asked[state["finished"] :]:
                    for name, values in _draw(cube, names, portion, bar, form).items():
                        arrays[name][portion.index(form.dims(cube.layout, name))] = values
                    _write_figures(figures, portion, arrays)
                    state["finished"] += 1
                    _keep(record, state)
        _move_if_whole(portions(cube, times, form), beside, out, part)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the same command will continue {beside}") from None
    except Timeout:
        raise ValueError(f"{beside} is being written by another process: wait for it, or choose another name") from None


def _make_store(template: xr.Dataset, beside: Path, settings: dict[str, Any], part: StorePart) -> None:
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
        with warnings.catch_warnings():  # many readers want metadata in one place, also in format 3
            warnings.filterwarnings("ignore", "Consolidated metadata")
            template.to_zarr(
                beside / "store", mode="w", compute=False, zarr_format=settings["zarr_format"], consolidated=True
            )
        if part.count > 1:
            _keep(begun, {"settings": settings, "finished": 0})


def _move_if_whole(whole: list[Portion], beside: Path, out: Path, part: StorePart) -> None:
    """Move a store to its place if all its parts are finished; whoever comes later finds nothing to do."""
    from filelock import FileLock

    with contextlib.suppress(FileNotFoundError), FileLock(beside / "making"):
        for number in range(1, part.count + 1):
            record = beside / part.file("finished.json", number)
            wanted = len(StorePart(number, part.count).of(whole))
            if not record.is_file() or _recorded(record)["finished"] < wanted:
                return
        os.rename(beside / "store", out)
    shutil.rmtree(beside, ignore_errors=part.count > 1)


def _is_of(template: xr.Dataset, out: Path) -> bool:
    """Whether a store is there, and is of the same data set."""
    import zarr

    try:
        there = dict(zarr.open_group(out, mode="r").attrs)
    except (OSError, ValueError, KeyError):
        return False
    texts = (
        {name: str(value) for name, value in attrs.items() if name != "history"} for attrs in (there, template.attrs)
    )
    return next(texts) == next(texts)  # as text: of ours, integers have 32 bits, of the store's none


def _write_netcdf(
    cube: Cube,
    part: Path,
    template: xr.Dataset,
    names: list[str],
    times: int,
    progress: bool | None,
    form: OutputForm,
) -> None:
    import netCDF4
    from xarray.backends import NetCDF4DataStore

    with _whole_or_nothing(part):
        with netCDF4.Dataset(part, "w") as file:
            store = NetCDF4DataStore(file)  # type: ignore[no-untyped-call]
            template.dump_to_store(store)  # all of it but the values of arrays of dask
        with netCDF4.Dataset(part, "a") as file:
            file.set_auto_maskandscale(False)
            figures = _figures(cube)
            asked = portions(cube, times, form)
            with _bar(cube, asked, 0, progress, form) as bar:
                for portion in asked:
                    for name, values in _draw(cube, names, portion, bar, form).items():
                        file[name][portion.index(form.dims(cube.layout, name))] = values
                    _write_figures(figures, portion, file.variables)


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


def _template(cube: Cube, whole: xr.Dataset, names: list[str], times: int, form: OutputForm) -> xr.Dataset:
    """The data set with variables that are not drawn, chunked as they will be written."""
    lazy = whole.drop_vars([name for name in (*cube.layouts, *cube.static) if name not in names], errors="ignore")
    if not any(cube.layouts[name].pressures for name in _drawn(cube, names)):
        lazy = lazy.drop_vars("pressure", errors="ignore")
    ds, sizes = form.template(lazy), form.sizes(cube.layout)
    for name in cube.static:
        if name in names:
            ds[name] = form.static(lazy[name])
    for name in _drawn(cube, names):
        dims = form.dims(cube.layout, name)
        shape = tuple(sizes[dim] for dim in dims)
        chunks = tuple({"time": times, "member": 1}.get(dim, sizes[dim]) for dim in dims)
        ds[name] = _undrawn(dims, shape, chunks, form.attrs(lazy[name].attrs))
    for name, figure in _figures(cube).items():
        dims = tuple(map(str, figure.dims))
        chunks = tuple({"time": times, "member": 1}[dim] for dim in dims)
        ds[name] = _undrawn(dims, figure.shape, chunks, figure.attrs)
    return ds


def _drawn(cube: Cube, names: Sequence[str]) -> list[str]:
    """Those of some variables that are drawn."""
    return [name for name in names if name in cube.layouts]


def _undrawn(
    dims: tuple[str, ...], shape: tuple[int, ...], chunks: tuple[int, ...], attrs: dict[Any, Any]
) -> tuple[Any, ...]:
    """A variable without values: one block of dask's, of which only shape and type are looked at."""
    import dask.array as da

    nothing = da.zeros(shape, dtype=np.float32, chunks=shape)
    encoding = {"chunks": chunks, "chunksizes": chunks, "_FillValue": np.float32(np.nan)}  # of Zarr, and of netCDF
    return dims, nothing, attrs, encoding


def _figures(cube: Cube) -> dict[str, xr.Variable]:
    """Figures of instants beside the fields, not read: the instants of a portion are in the cache when it was drawn."""
    ds = cube.lazy_dataset(list(cube.layouts))
    return {str(name): array.variable for name, array in ds.data_vars.items() if name not in cube.static}


def _write_figures(figures: dict[str, xr.Variable], portion: Portion, into: Mapping[str, Any]) -> None:
    for name, figure in figures.items():
        place = portion.index([str(dim) for dim in figure.dims])
        into[name][place] = figure[place].values


def _draw(cube: Cube, names: list[str], portion: Portion, bar: Any, form: OutputForm) -> dict[str, Any]:
    """Values of all variables of a portion as they are written, drawn batch by batch."""
    step, parts = cube.layout.values_per_task, []
    for start in range(portion.times.start, portion.times.stop, step):
        batch = Portion(slice(start, min(start + step, portion.times.stop)), portion.member)
        parts.append(_mean(cube, names, batch, bar, form) if form.mean else _read(cube, names, batch, bar, form))
    axes = {name: form.dims(cube.layout, name).index("time") for name in names}
    return {name: np.concatenate([part[name] for part in parts], axes[name]) for name in names}


def _read(cube: Cube, names: list[str], batch: Portion, bar: Any, form: OutputForm) -> dict[str, Any]:
    read = cube.read(
        {name: cube.layout.select(name, {**batch.within, **form.read}) for name in names},
        passing=cube.spec.guide is None,
    )
    bar.update((batch.times.stop - batch.times.start) * cube.spec.axis.instants_per_value)
    return {name: form.horizontal(values) for name, values in read.items()}


def _mean(cube: Cube, names: list[str], batch: Portion, bar: Any, form: OutputForm) -> dict[str, Any]:
    """Means over members, one of which at a time is in memory."""
    count = len(cube.spec.members or ())
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    for i in range(count):
        member = _read(cube, names, Portion(batch.times, slice(i, i + 1)), bar, form)
        sums = {name: sums[name] + member[name][0].astype(np.float64) for name in names}
    return {name: (sums[name] / count).astype(np.float32) for name in names}


def _bar(cube: Cube, asked: list[Portion], finished: int, progress: bool | None, form: OutputForm) -> Any:
    from tqdm.auto import tqdm

    each = cube.spec.axis.instants_per_value * (len(cube.spec.members or ()) if form.mean else 1)
    counts = [(portion.times.stop - portion.times.start) * each for portion in asked]
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
