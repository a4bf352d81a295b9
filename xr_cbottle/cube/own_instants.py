"""Instants that a bottle makes of a user's own data: translated, filled, drawn as observed, or how probable they are.

An instant is named by the digest of the data that it is made of, so that the same data are never worked on twice, in
this process or by a folder in another, and other data never take their place.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.forks import Lock
from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.cube import cache
from xr_cbottle.cube.cache import Deliver
from xr_cbottle.cube.climate import AskedClimate
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.reading import Reading, progress_bar
from xr_cbottle.cube.sources import Gappy, emulator_of, gaps_of, named, with_figures
from xr_cbottle.cube.spec import CubeSpec
from xr_cbottle.draw.own_work import Assimilation, Infilling, Likelihood, Translation
from xr_cbottle.fields import channels
from xr_cbottle.fields.observed_times import ObservedTime
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    from xr_cbottle.draw.assimilation import Case
    from xr_cbottle.draw.denoising_errors import Draw, Keep
    from xr_cbottle.draw.emulator import Emulator, Instant
    from xr_cbottle.fields.coarse_fields import CoarseField

Work = Translation | Infilling | Likelihood | Assimilation
FIGURES = ("given_mean", "given_deviation", "latent_mean", "latent_deviation")
"""Figures of an instant that is translated; the powers of the latent by degree come after them."""
_NUMERICS = 1  # raised when the same data begin to make other values
_KEPT_DATA = 64


Datum = Field | ObservedTime
"""What a user gave of one time: (channel, cell NEST) in the units of variables, or observations."""


class OwnGiven(Protocol):
    """Data of a user, time by time; it can be pickled and sent to other processes."""

    @property
    def seconds(self) -> npt.NDArray[np.int64]:
        """(time,) since 1970."""

    @property
    def found(self) -> tuple[CoarseField, ...]:
        """The fields among it."""

    @property
    def has_time(self) -> bool:
        """Whether time is a dimension."""

    @property
    def changes(self) -> str:
        """In words: what it is, and what was converted."""

    def at(self, positions: Sequence[int], as_variables: bool = False) -> Sequence[Datum] | npt.NDArray[np.float32]:
        """Data of some times, read."""


class _Data:
    """Data of instants that are being made, by their digests, shared by the threads of a process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._uses: collections.Counter[str] = collections.Counter()
        self._fields: dict[str, Datum] = {}

    def __getitem__(self, digest: str) -> Datum:
        with self._lock:
            return self._fields[digest]

    @contextmanager
    def held(self, fields: dict[str, Datum]) -> Iterator[None]:
        """Keep data until they are worked on, and a few longer: whoever asked may have been interrupted."""
        with self._lock:
            self._fields |= fields
            self._uses.update(list(fields))
        try:
            yield
        finally:
            with self._lock:
                self._uses.subtract(list(fields))
                idle = [digest for digest in self._fields if self._uses[digest] <= 0]
                for digest in idle[: max(0, len(idle) - _KEPT_DATA)]:
                    del self._fields[digest], self._uses[digest]


_data = _Data()


@dataclass(frozen=True, eq=False)
class OwnInstants:
    """Instants that a bottle makes of a user's own data.

    A field has one row more than it has channels: `FIGURES` of the instant, and the powers of its latent.

    Attributes
    ----------
    given
        The data.
    work
        What is done to them.
    bottle, spec
        The bottle, and what is asked of it.
    climate
        The user's sea surface temperature; None for the bottle's.
    reading
        Where finished instants are kept.
    """

    given: OwnGiven
    work: Work
    bottle: Bottle
    spec: CubeSpec
    climate: AskedClimate
    reading: Reading

    as_variables = True

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of an instant, in their order."""
        return () if isinstance(self.work, Likelihood) else self.bottle.manifest.channels

    @property
    def land(self) -> npt.NDArray[np.bool_] | None:
        """(native cell,) where the sea surface temperature that drives the model is missing."""
        return (self.climate.sst or self.emulator().sst).land

    @property
    def gaps(self) -> Gappy:
        """Where the data of the label had no values."""
        return gaps_of(self.bottle, self.spec.label)

    @functools.cached_property
    def namespace(self) -> str:
        """Digest of all that an instant is a function of, beside its data, label, seed, member and time."""
        spec = named(self.spec, self.bottle, self.bottle.settled(sst=self.climate.sst is None))
        drawn = dataclasses.replace(spec, given=None).namespace
        work = {"numerics": _NUMERICS, "drawn": drawn, type(self.work).__name__: dataclasses.asdict(self.work)}
        return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()

    def gather(
        self, keys: Sequence[Key], deliver: Deliver, *, following: Sequence[Key] = (), passing: bool = False
    ) -> None:
        """Give each instant to ``deliver`` once, in any order; what is nowhere yet is read and worked on."""
        disk = self.reading.disk((len(self.channels) + 1, healpix.n_cells(self.spec.native_zoom)))
        share, size = self.reading.share(passing), self.spec.batch_size
        for start in range(0, len(keys), size):
            batch = keys[start : start + size]
            read = self.given.at([self._places[key.seconds] for key in batch], as_variables=True)
            digests = [_digest(field) for field in read]
            inner = {
                key._replace(namespace=self.namespace, data=digest): key
                for key, digest in zip(batch, digests, strict=True)
            }
            with _data.held(dict(zip(digests, read, strict=True))):
                cache.shared().gather(
                    list(inner), self.make, lambda key, field, of=inner: deliver(of[key], field),  # type: ignore[misc]
                    batch=size, disk=disk, share=share,
                )  # fmt: skip

    def make(self, keys: Sequence[Key]) -> list[Field]:
        """Instants of data that are held, made now; imports torch. Those of one seed and member go together."""
        if isinstance(self.work, Assimilation):
            return self._analysed(keys, self.work)
        found: dict[Key, Field] = {}
        groups: dict[tuple[int, int], list[Key]] = {}
        for key in keys:
            groups.setdefault((key.seed, key.member), []).append(key)
        for (seed, member), group in groups.items():
            found |= zip(group, self._made(group, seed, member), strict=True)
        return [found[key] for key in keys]

    def _made(self, keys: list[Key], seed: int, member: int) -> list[Field]:
        from xr_cbottle.draw import filling, probability_flow, translation

        emulator, manifest = self.emulator(), self.bottle.manifest
        factors = channels.factors(manifest.channels, manifest.own)[:, None]
        times = np.array([key.seconds for key in keys], "datetime64[s]")
        read = np.stack([np.asarray(_data[key.data or ""], np.float32) for key in keys])
        values = read / factors
        figures: Sequence[Sequence[float]] = [()] * len(keys)
        out: npt.NDArray[np.floating]
        if isinstance(self.work, Likelihood):
            likely = probability_flow.log_likelihood(emulator, values, times, self.work, seed=seed, member=member)
            figures = list(zip(*likely, strict=True))
            out = np.empty((len(keys), 0, values.shape[2]))
        elif isinstance(self.work, Translation):
            drawn, found = translation.translate(emulator, values, times, self.work, seed=seed, member=member)
            figures = [one.figures for one in found]
            out = drawn * factors
        else:
            assert isinstance(self.work, Infilling)
            drawn = filling.infill(emulator, values, times, self.work, seed=seed, member=member)
            # What was there is put back as it was read: twice rounded, it would have lost its last bit.
            out = np.where(np.isfinite(read), read, drawn * factors)
        return [with_figures(field, row) for field, row in zip(out, figures, strict=True)]

    def _analysed(self, keys: Sequence[Key], work: Assimilation) -> list[Field]:
        """Members of any times together: they share what is known of the observations."""
        from xr_cbottle.draw import assimilation

        emulator = self.emulator()
        made = assimilation.assimilate(emulator, [self._case(key) for key in keys], work, self._keep(emulator, work))
        factors = channels.factors(self.bottle.manifest.channels, self.bottle.manifest.own)[:, None]
        return [with_figures(one.values * factors, one.figures(len(factors))) for one in made]

    def _keep(self, emulator: Emulator, work: Assimilation) -> Keep:
        """What keeps samples of the network's errors in the folder of finished instants, and shows how far they are."""
        from xr_cbottle.draw import denoising_errors

        spec = named(self.spec, self.bottle, self.bottle.settled(sst=self.climate.sst is None))
        drawn = dataclasses.replace(spec, given=None).namespace
        namespace = hashlib.sha256(f"denoising errors {_NUMERICS} {drawn}".encode()).hexdigest()
        # A folder and locks of their own: who draws an instant holds its lock while the samples are drawn for it.
        folder = self.reading.cache_dir and os.path.join(self.reading.cache_dir, "denoising_errors")
        apart = dataclasses.replace(self.reading, cache_dir=folder)
        disk = apart.disk((denoising_errors.rows(emulator), healpix.n_cells(self.spec.native_zoom)))
        bar: list[Any] = []

        def keep(instants: Sequence[Instant], draw: Draw) -> list[Field]:
            bar[:] = bar or [progress_bar(work.draws, self.reading.progress, "draw")]
            by_key = {
                Key(namespace, one.label, one.seed, one.member, int(one.time.astype(np.int64))): one for one in instants
            }
            if disk is None:
                found = dict(zip(by_key, draw(instants), strict=True))
            else:
                found = disk.draw_once(list(by_key), lambda keys: draw([by_key[key] for key in keys]))
            bar[0].update(len(instants))
            if bar[0].n >= work.draws:
                bar[0].close()
            return [found[key] for key in by_key]

        return keep

    def _case(self, key: Key) -> Case:
        from xr_cbottle.draw.assimilation import Case

        given = _data[key.data or ""]
        assert isinstance(given, ObservedTime)
        factors = channels.factors(self.bottle.manifest.channels, self.bottle.manifest.own)[:, None]
        background = None if given.background is None else given.background / factors
        time = np.datetime64(key.seconds, "s")
        return Case(key.seed, key.member, time, given.observed, background, f"{given.observed.digest()} {time}")

    def emulator(self) -> Emulator:
        """The emulator that draws, loaded once for this process; imports torch."""
        return emulator_of(self.bottle.settled(sst=self.climate.sst is None), self.spec, self.climate)

    @functools.cached_property
    def _places(self) -> dict[int, int]:
        return {seconds: i for i, seconds in enumerate(self.given.seconds.tolist())}

    def digest(self) -> str:
        """Digest of all data; reads them."""
        whole = hashlib.sha256()
        for start in range(0, len(self.given.seconds), self.spec.batch_size):
            places = range(start, min(start + self.spec.batch_size, len(self.given.seconds)))
            for field in self.given.at(places, as_variables=True):
                whole.update(_digest(field).encode())
        return whole.hexdigest()


def _digest(field: Datum) -> str:
    if isinstance(field, ObservedTime):
        return field.digest()
    return hashlib.sha256(np.ascontiguousarray(field, "<f4").tobytes()).hexdigest()
