"""Instants that nobody draws: fields of a bottle's size, a function of their key, and a record of who made them."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from weakref import WeakKeyDictionary

import numpy as np
import xarray as xr

from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.cube import cache
from xr_cbottle.cube.cache import Deliver, FieldCache
from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.reading import Reading
from xr_cbottle.grid import healpix


@dataclass(frozen=True, eq=False)
class PretendedInstants:
    """A source like `xr_cbottle.cube.sources.DrawnInstants`, whose networks take some seconds and compute nothing.

    Attributes
    ----------
    channels, zoom
        Of its fields.
    batch_size
        Instants that come at once.
    reading
        Where they are kept.
    record
        Folder in which each process writes down what it made.
    seconds
        Of sleep for each batch.
    """

    channels: tuple[str, ...]
    zoom: int
    batch_size: int
    reading: Reading
    record: str
    seconds: float = 0.0

    as_variables = False
    gaps = MappingProxyType({})

    @property
    def land(self) -> None:
        return

    def gather(
        self, keys: Sequence[Key], deliver: Deliver, *, following: Sequence[Key] = (), passing: bool = False
    ) -> None:
        _cache().gather(
            keys, self.draw, deliver, batch=self.batch_size, share=self.reading.share(passing), following=following,
            disk=self.reading.disk((len(self.channels), healpix.n_cells(self.zoom))),
        )  # fmt: skip

    def draw(self, keys: Sequence[Key]) -> list[Field]:
        time.sleep(self.seconds)
        with open(Path(self.record, f"{os.getpid()}"), "a") as file:
            file.writelines(f"{key.member} {key.seconds}\n" for key in keys)
        return [self.field(key) for key in keys]

    def field(self, key: Key) -> Field:
        """(channel, cell): the hours since 1970 modulo 10,000, and the number of the channel more."""
        columns = np.arange(len(self.channels), dtype=np.float32)[:, None] + np.float32(key.seconds // 3600 % 10_000)
        return np.broadcast_to(columns, (len(self.channels), healpix.n_cells(self.zoom))).copy()


_of_workers: WeakKeyDictionary[object, FieldCache] = WeakKeyDictionary()


def _cache() -> FieldCache:
    """The cache of this process, or of the worker that asks: several workers in one process stand for machines."""
    if "distributed" in sys.modules:
        from distributed import get_worker

        try:
            return _of_workers.setdefault(get_worker(), FieldCache())
        except ValueError:  # no worker asks
            pass
    return cache.shared()


def pretended(name: str, record: Path, *, seconds: float = 0.0, **keywords: object) -> Cube:
    """The data set of a bottle, by its name, whose instants are `PretendedInstants`."""
    cube = Cube(name, progress=False, **keywords)  # type: ignore[arg-type]
    record.mkdir(parents=True, exist_ok=True)
    spec = cube.spec
    source = PretendedInstants(
        open_bottle(name).manifest.channels, spec.native_zoom, spec.batch_size, cube.reading, str(record), seconds
    )
    return Cube.over(source, cube.bottle, spec, cube.reading, {})


def made(record: Path) -> Counter[str]:
    """How often each instant was made, by all processes."""
    return Counter(line for path in record.iterdir() for line in path.read_text().splitlines())


def expected(name: str, field: xr.DataArray) -> np.ndarray:
    """(time,) values of a variable without levels in a bottle's pretended instants, from no cache that is shared."""
    hours = field["time"].values.astype("datetime64[h]").astype(np.int64) % 10_000
    return (hours + open_bottle(name).manifest.channels.index(str(field.name))).astype(np.float32)
