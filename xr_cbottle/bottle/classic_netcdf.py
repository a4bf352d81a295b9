"""netCDF-3 from a stranger: plain arrays, which the header that lies before them must place inside of the file."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import BinaryIO

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle import limits
from xr_cbottle.bottle.errors import BottleError

STARTS = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
"""What files of this format begin with."""
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Bytes of the types of values, by their numbers."""


def check(file: BinaryIO, size: int, what: str) -> None:
    """Check that the variables of a netCDF-3 file lie in it.

    Parameters
    ----------
    file
        At its start.
    size
        Its bytes.
    what
        Its name in messages.

    Raises
    ------
    BottleError
        If it is too large, damaged, or declares more than it holds.
    """
    if size > limits.CLASSIC_BYTES:
        raise BottleError(f"{what}: {size} bytes of netCDF-3 are too many, as it is read whole; write it as netCDF-4")
    header = _Header(file.read(min(size, limits.JSON_BYTES)), what)
    lengths, variables = header.read()
    total = 0
    for name, dims, itemsize, begin in variables:
        shape = [lengths[dim] if lengths[dim] else header.records for dim in dims]
        declared = math.prod(shape) * itemsize
        total += declared
        if begin + (0 if dims and not lengths[dims[0]] else declared) > size or total > size:
            raise BottleError(f"{what}: {one_line(name, 80)} declares more values than the file holds; get it again")


class _Header:
    """The header of a netCDF-3 file, read by its format's grammar (Unidata's "NetCDF File Format Specifications")."""

    def __init__(self, text: bytes, what: str) -> None:
        self.text, self.what, self.at = text, what, 4
        self.wide, self.far = text[3] == 5, text[3] != 1
        self.records = self.number()

    def read(self) -> tuple[list[int], list[tuple[str, list[int], int, int]]]:
        """Lengths of the dimensions, 0 for that of records, and (name, dimensions, bytes, offset) of variables."""
        lengths = [(self.name(), self.number())[1] for _ in self.listed()]
        self.skip_attributes()
        variables = []
        for _ in self.listed():
            name, rank = self.name(), self.number()
            if rank > limits.NETCDF_RANK:
                raise BottleError(
                    f"{self.what}: {one_line(name, 80)} has {rank} dimensions; at most {limits.NETCDF_RANK} are read"
                )
            dims = [self.number() for _ in range(rank)]
            self.skip_attributes()
            itemsize = _SIZES[self.unpack(">i")]
            self.number()
            variables.append((name, dims, itemsize, self.unpack(">q" if self.far else ">i")))
        return lengths, variables

    def unpack(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.text, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def number(self) -> int:
        """A length: never below 0, which in a stream stands for one that is not known yet."""
        value = self.unpack(">q" if self.wide else ">i")
        if value < 0:
            raise BottleError(f"{self.what} is damaged or was not written to its end; get it again")
        return value

    def listed(self) -> Iterator[int]:
        """Places of a list of dimensions, attributes or variables."""
        self.unpack(">i")
        count = self.number()
        if count > limits.NETCDF_OBJECTS:
            raise BottleError(f"{self.what}: a list of {count} is too long; at most {limits.NETCDF_OBJECTS} are read")
        return iter(range(count))

    def name(self) -> str:
        length = self.number()
        name = self.text[self.at : self.at + length]
        self.at += -(-length // 4) * 4
        return name.decode("utf-8", "replace")

    def skip_attributes(self) -> None:
        for _ in self.listed():
            self.name()
            length = _SIZES[self.unpack(">i")] * self.number()
            self.at += -(-length // 4) * 4
