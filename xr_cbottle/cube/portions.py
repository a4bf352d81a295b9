"""Portions in which a data set is written: some times of one member, and parts of a store for many processes."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence

from xr_cbottle.base.plain_text import shown
from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.output_form import OutputForm

_CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Portion:
    """A portion that is drawn and written at once: some times of one member."""

    times: slice
    member: slice | None

    @property
    def within(self) -> dict[str, slice]:
        """Place of the portion along each dimension of which it is not all."""
        members = {} if self.member is None else {"member": self.member}
        return {"time": self.times, **members}

    def index(self, dims: Sequence[str]) -> tuple[slice, ...]:
        """Place of the portion in a variable of these dimensions."""
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

    def of(self, portions: Sequence[Portion]) -> list[Portion]:
        """The portions that this part writes; all parts together write each once."""
        begin, end = ((self.number - which) * len(portions) // self.count for which in (1, 0))
        return list(portions[begin:end])

    def file(self, name: str, number: int | None = None) -> str:
        """Name of a file of this part, or of another one."""
        stem, dot, suffix = name.partition(".")
        which = f"-{number or self.number}-of-{self.count}" if self.count > 1 else ""
        return f"{stem}{which}{dot}{suffix}"


def chunk_times(cube: Cube, asked: int | None, form: OutputForm) -> int:
    """Times in a chunk of what is written: by default about 1 MiB of a variable without levels, in whole batches."""
    batch, most = cube.layout.values_per_task, cube.sizes["time"]
    if asked is not None and asked < 1:
        raise ValueError(f"the length of chunks is {asked}: it must be at least 1")
    sizes = form.sizes(cube.layout)
    fitting = _CHUNK_BYTES // (4 * math.prod(sizes.get(dim, 1) for dim in ("cell", "lat", "lon")) * batch)
    return min(most, max(1, fitting) * batch if asked is None else asked)


def portions(cube: Cube, times_per_chunk: int | None, form: OutputForm) -> list[Portion]:
    """The portions that a data set is written in: chunks of times, of one member after the other."""
    times, count = chunk_times(cube, times_per_chunk, form), cube.sizes["time"]
    apart = cube.spec.members is not None and not form.mean
    members = [slice(i, i + 1) for i in range(len(cube.spec.members or ()))] if apart else [None]
    starts = range(0, count, times)
    return [
        Portion(slice(start, min(start + times, count)), member) for member, start in itertools.product(members, starts)
    ]
