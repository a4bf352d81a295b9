"""netCDF from a stranger: looked at before a value is read, so that it gives no bytes but its own and no more of them.

HDF5, which netCDF-4 is, can point out of a file: to raw bytes of any other (external storage), to variables of others
(virtual data sets), to objects of others (links). Its variables can be declared larger than all memory, and unpack to
more than they declare. None of this is of use in a bottle, and all of it is refused here, through h5py's low-level
functions, which open nothing that is only pointed to. netCDF-3 is looked at by `xr_cbottle.bottle.classic_netcdf`.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle import classic_netcdf, limits, trial
from xr_cbottle.bottle.errors import BottleError

if TYPE_CHECKING:
    import h5py
    import xarray as xr

HDF5 = b"\x89HDF\r\n\x1a\n"
#: Numbers of the filters that netCDF-4 has always had: deflate, shuffle, fletcher32.
_DEFLATE, _FILTERS = 1, {1, 2, 3}
#: Deflate packs no better than 1:1032; what cannot unpack to more than this needs no trial.
_DEFLATE_RATIO, _TRIED_FROM = 1032, 64 << 20
_TRIED = f"{__name__}:read_through"
_ONLY_A_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"


def check(file: BinaryIO, what: str, *, trusted: bool = False) -> None:
    """Check that a file is netCDF that holds its own values, and no more than it may.

    Parameters
    ----------
    file
        Seekable; it stays open, at its start.
    what
        Its name in messages.
    trusted
        Leave out the trial by a child process: it came with this package.

    Raises
    ------
    BottleError
        If it is no netCDF, cut short, points out of itself, has types, filters or links that no bottle needs, or
        declares more than `xr_cbottle.bottle.limits` allows or its own size can hold.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(8)
    file.seek(0)
    if start != HDF5 and start[:4] not in classic_netcdf.STARTS:
        raise BottleError(f"{what} is not netCDF; get it again")
    with readable(what):
        if start == HDF5:
            if not trusted:
                trial.hold(_TRIED, file, what)
            _check_hdf5(file, size, what)
        else:
            classic_netcdf.check(file, size, what)
    file.seek(0)


def open_checked(
    file: BinaryIO, what: str, *, in_memory: bool, load: bool = False, trusted: bool = False
) -> xr.Dataset:
    """A netCDF file as a data set, after `check`.

    Parameters
    ----------
    file
        Seekable; it stays open.
    what
        Its name in messages.
    in_memory
        Read its bytes now; else the data set is on the file of the same name.
    load
        Read its values now. netCDF-3 is always read.
    trusted
        As in `check`.

    Raises
    ------
    BottleError
        As `check`; also if xarray cannot open it.
    """
    import xarray as xr

    check(file, what, trusted=trusted)
    classic = file.read(4) in classic_netcdf.STARTS
    file.seek(0)
    # An engine is always named: xarray would ask all that are installed, ours too, which draws what it opens.
    with readable(what):
        if classic:
            import netCDF4

            opened = netCDF4.Dataset("bottle", memory=file.read())
            store = xr.backends.NetCDF4DataStore(opened)  # type: ignore[no-untyped-call]
            with xr.open_dataset(store) as dataset:
                return dataset.load()
        dataset = xr.open_dataset(io.BytesIO(file.read()) if in_memory else file.name, engine="h5netcdf")
        if load:
            with dataset:
                dataset.load()
        return dataset


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a `BottleError`: h5py and xarray have many words for damage."""
    try:
        yield
    except BottleError:
        raise
    except Exception as error:
        raise _unreadable(what, error) from error


def _unreadable(what: str, error: Exception) -> BottleError:
    reason = one_line(error, 200) or type(error).__name__
    return BottleError(f"{what} is not netCDF that can be read ({reason}); get it again")


def read_through(file: BinaryIO) -> None:
    """Read all of an HDF5 file, after its checks: what `xr_cbottle.bottle.trial` has a child process do."""
    import h5py

    total = _check_hdf5(file, file.seek(0, os.SEEK_END), "this file")
    with h5py.File(file, "r") as opened:
        for owner in (opened, *opened.values()):
            dict(owner.attrs)
            if isinstance(owner, h5py.Dataset) and total <= limits.TRIAL_VALUES:
                owner[()]


# HDF5 ---------------------------------------------------------------------------------------------------------------


def _check_hdf5(file: BinaryIO, size: int, what: str) -> int:
    """Check a file of HDF5; the bytes that its values have in memory."""
    import h5py

    with h5py.File(file, "r") as opened:
        _check_attributes(opened.id, size, f"{what}: the file")
        total, text = 0, 0
        for name in _links(opened.id, what):
            variable = h5py.h5o.open(opened.id, name)
            called = f"{what}: {one_line(name.decode('utf-8', 'replace'), 80)}"
            if not isinstance(variable, h5py.h5d.DatasetID):
                raise BottleError(f"{called} is a group or a type of its own; a bottle's netCDF holds variables only")
            _check_attributes(variable, size, called)
            _check_storage(variable, called)
            total += _declared_bytes(variable, called)
            if h5py.check_string_dtype(variable.dtype) and _is_variable_length(variable):
                text += _text_bytes(opened[name], called)
            if text > limits.NETCDF_TEXT:
                raise BottleError(f"{called} holds too much text; at most {limits.NETCDF_TEXT} bytes are read")
            _check_chunks(variable, file, size, called)
    _check_total(total, size, what)
    return total


def _check_total(total: int, size: int, what: str) -> None:
    most = max(limits.NETCDF_SMALL, min(limits.NETCDF_BYTES, limits.NETCDF_RATIO * size))
    if total > most:
        raise BottleError(
            f"{what} declares {total} bytes of values and has {size} itself; at most {most} are unpacked from it"
        )


def _links(group: h5py.h5g.GroupID, what: str) -> list[bytes]:
    """Names in a group, all of them of objects in the same file."""
    import h5py

    if group.get_num_objs() > limits.NETCDF_OBJECTS:
        raise BottleError(f"{what}: {group.get_num_objs()} variables are too many; at most {limits.NETCDF_OBJECTS}")
    names: list[bytes] = []
    group.links.iterate(names.append)
    for name in names:
        if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            called = one_line(name.decode("utf-8", "replace"), 80)
            raise BottleError(
                f"{what}: {called} is a link to somewhere else; a bottle's netCDF holds its own variables"
            )
    return names


def _check_storage(variable: h5py.h5d.DatasetID, called: str) -> None:
    """Refuse values that are not in this file, and filters that HDF5 would have to look for."""
    import h5py

    created = variable.get_create_plist()
    if created.get_layout() == h5py.h5d.VIRTUAL:
        raise BottleError(f"{called} is virtual, put together of other files; write its values into the file")
    if created.get_external_count():
        raise BottleError(f"{called} has its values in another file (external storage); write them into the file")
    filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
    if not set(filters) <= _FILTERS or len(set(filters)) < len(filters):
        raise BottleError(f"{called} is packed by HDF5's filters {filters}; write it with zlib, or without any")


def _declared_bytes(variable: h5py.h5d.DatasetID, called: str) -> int:
    """Bytes that the values of a variable have in memory, after a look at its type and shape."""
    import h5py

    kind, space = variable.get_type(), variable.get_space()
    allowed = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING)
    if kind.get_class() not in allowed or kind.committed():
        raise BottleError(f"{called} is neither of numbers nor of text; a bottle's netCDF has no types of its own")
    shape = space.get_simple_extent_dims()
    if len(shape) > limits.NETCDF_RANK:
        raise BottleError(f"{called} has {len(shape)} dimensions; at most {limits.NETCDF_RANK} are read")
    if _is_variable_length(variable) and math.prod(shape) > limits.CHANNELS:
        raise BottleError(f"{called} has {math.prod(shape)} texts; at most {limits.CHANNELS} are read")
    declared = math.prod(shape) * kind.get_size()
    # A dimension without a variable is a data set without values, as long as it likes.
    return declared if not _is_only_a_dimension(variable) else 0


def _is_variable_length(variable: h5py.h5d.DatasetID) -> bool:
    import h5py

    kind = variable.get_type()
    return isinstance(kind, h5py.h5t.TypeStringID) and bool(kind.is_variable_str())


def _is_only_a_dimension(variable: h5py.h5d.DatasetID) -> bool:
    import h5py

    if variable.get_storage_size() or not h5py.h5a.exists(variable, b"NAME"):
        return False
    attribute = h5py.h5a.open(variable, b"NAME")
    kind = attribute.get_type()
    if not isinstance(kind, h5py.h5t.TypeStringID) or kind.is_variable_str() or attribute.shape != ():
        return False
    import numpy as np

    name = np.empty((), f"S{kind.get_size()}")
    attribute.read(name)
    return bytes(name[()]).startswith(_ONLY_A_DIMENSION)


def _text_bytes(variable: Any, called: str) -> int:
    """Bytes of the texts of a variable, read one by one: all may be the same long one."""
    import numpy as np

    total = 0
    for index in np.ndindex(variable.shape):
        total += len(variable[index])
        if total > limits.NETCDF_TEXT:
            raise BottleError(f"{called} holds too much text; at most {limits.NETCDF_TEXT} bytes are read")
    return total


def _check_chunks(variable: h5py.h5d.DatasetID, file: BinaryIO, size: int, called: str) -> None:
    """Check that chunks are as large as they are declared once they are unpacked: HDF5 unpacks without a bound."""
    import h5py

    created = variable.get_create_plist()
    if created.get_layout() != h5py.h5d.CHUNKED:
        return
    chunk, itemsize = created.get_chunk(), variable.get_type().get_size()
    declared = math.prod(chunk) * itemsize
    count = math.prod(-(-n // m) for n, m in zip(variable.shape, chunk, strict=True))
    if declared > limits.CHUNK_BYTES or count > limits.CHUNKS:
        raise BottleError(
            f"{called} has {count} chunks of {declared} bytes; at most {limits.CHUNKS} of {limits.CHUNK_BYTES} are read"
        )
    filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
    found: list[Any] = []

    def collect(stored: Any) -> int:
        found.append(stored)
        return len(found) > limits.CHUNKS  # something true ends it

    variable.chunk_iter(collect)
    if len(found) > limits.CHUNKS:
        raise BottleError(f"{called} has too many chunks; at most {limits.CHUNKS} are read")
    for stored in found:
        if stored.byte_offset + stored.size > size:
            raise BottleError(f"{called} is cut short: a chunk ends after the file; get it again")
        packed = _DEFLATE in filters and not stored.filter_mask >> filters.index(_DEFLATE) & 1
        if packed and stored.size * _DEFLATE_RATIO > _TRIED_FROM:
            _check_unpacked(file, stored, declared, called)


def _check_unpacked(file: BinaryIO, stored: Any, declared: int, called: str) -> None:
    file.seek(stored.byte_offset)
    # fletcher32 may add four bytes before it is packed.
    if len(zlib.decompressobj().decompress(file.read(stored.size), declared + 5)) > declared + 4:
        raise BottleError(f"{called} unpacks to more than the {declared} bytes it declares; do not trust this file")


def _check_attributes(owner: Any, size: int, called: str) -> None:
    """Check that attributes are numbers and text, and those that say which dimensions a variable has."""
    import h5py

    count = h5py.h5a.get_num_attrs(owner)
    if count > limits.NETCDF_OBJECTS:
        raise BottleError(f"{called} has {count} attributes; at most {limits.NETCDF_OBJECTS} are read")
    for i in range(count):
        attribute = h5py.h5a.open(owner, index=i)
        kind, points = attribute.get_type(), math.prod(attribute.shape)
        name = one_line(attribute.name.decode("utf-8", "replace"), 80)
        plain = kind.get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING)
        if not plain and not _tells_dimensions(attribute, kind):
            raise BottleError(f"{called} has the attribute {name!r}, which is neither of numbers nor of text")
        many = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str() and points > 8
        if points * kind.get_size() > limits.NETCDF_TEXT or (many and points * size > limits.CHUNK_BYTES):
            raise BottleError(f"{called} has the attribute {name!r}, which is too long; at most a MiB is read")


def _tells_dimensions(attribute: h5py.h5a.AttrID, kind: h5py.h5t.TypeID) -> bool:
    """Whether it is one of the two by which netCDF-4 ties variables to their dimensions: objects of the same file."""
    import h5py

    if attribute.name == b"DIMENSION_LIST":
        return isinstance(kind, h5py.h5t.TypeVlenID) and kind.get_super().equal(h5py.h5t.STD_REF_OBJ)
    if attribute.name != b"REFERENCE_LIST" or not isinstance(kind, h5py.h5t.TypeCompoundID):
        return False
    members = [kind.get_member_type(i) for i in range(kind.get_nmembers())]
    return len(members) == 2 and members[0].equal(h5py.h5t.STD_REF_OBJ) and members[1].get_class() == h5py.h5t.INTEGER
