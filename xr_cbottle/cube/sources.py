"""Sources of instants: drawn from a bottle, or taken from a user's own data; all through the cache of the process.

A source has one method, ``gather``. `xr_cbottle.cube.pieces.Pieces` is one more, over another source.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.cube import cache
from xr_cbottle.cube.cache import Deliver
from xr_cbottle.cube.climate import AskedClimate
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.reading import Reading
from xr_cbottle.cube.spec import CubeSpec
from xr_cbottle.draw.defaults import FROM_STATES, VIDEO
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    from xr_cbottle.draw.emulator import Emulator
    from xr_cbottle.draw.events import Guide
    from xr_cbottle.fields.coarse_fields import Given


Gappy: TypeAlias = "Mapping[str, npt.NDArray[np.bool_]]"


class FieldSource(Protocol):
    """Where the fields that values are made of come from; it can be pickled and sent to other processes."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of a field, in their order."""

    @property
    def as_variables(self) -> bool:
        """Whether fields are in the units of variables, which users read, and not of channels."""

    @property
    def land(self) -> npt.NDArray[np.bool_] | None:
        """(native cell,) where variables of the sea are missing; None where the fields say it themselves."""

    @property
    def gaps(self) -> Gappy:
        """{channel: (native cell,) bool} where the label's data had no values, so that fields have no meaning."""

    def gather(
        self, keys: Sequence[Key], deliver: Deliver, *, following: Sequence[Key] = (), passing: bool = False
    ) -> None:
        """Give each field to ``deliver`` once, in any order; what is nowhere yet is made.

        Parameters
        ----------
        keys, deliver
            Which fields, and what is called with each in this thread.
        following
            Of instants that will be wanted next: they may be drawn in places of a batch that would be empty.
        passing
            Whether somebody else keeps what is read, as dask does: then little of it stays in memory here.
        """


def named(spec: CubeSpec, asked: Bottle, bottle: Bottle) -> CubeSpec:
    """Name what is asked by the digests of files that a bottle has: its own, those of its fine and its video networks.

    Parameters
    ----------
    spec
        What is asked of ``asked``.
    asked, bottle
        A bottle, and the same one after some of its files were fetched.
    """
    fine = spec.fine
    digest = None if fine is None else bottle.file_digest(fine.part)
    if fine is not None and digest is not None:
        fine = dataclasses.replace(fine, digest=f"sha256:{digest}")
    own, windows = bottle.digest if spec.digest == asked.digest else spec.digest, spec.windows
    if windows is not None:
        parts = enumerate(bottle.manifest.parts)
        windows = dataclasses.replace(
            windows, networks=tuple(bottle.file_digest(i) for i, part in parts if part.role == VIDEO)
        )
    return dataclasses.replace(spec, digest=own, fine=fine, windows=windows)


@dataclass(frozen=True, eq=False)
class DrawnInstants:
    """Instants that a bottle's networks draw.

    Attributes
    ----------
    bottle, spec
        The bottle, and what is asked of it.
    climate
        The user's sea and forcings.
    reading
        Where finished instants are kept.
    guide
        The event that they are steered to. Their fields then have one row more, with the logarithm of the weight.
    """

    bottle: Bottle
    spec: CubeSpec
    climate: AskedClimate
    reading: Reading
    guide: Guide | None = None

    as_variables = False

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of an instant, in their order."""
        return self.bottle.manifest.channels

    @property
    def land(self) -> npt.NDArray[np.bool_] | None:
        """(native cell,) where the sea surface temperature that drives the model is missing."""
        sst = self.climate.sst or self.emulator().sst
        return None if sst is None else sst.land

    @property
    def gaps(self) -> Gappy:
        """Where the data of the label that is drawn had no values."""
        return gaps_of(self.bottle, self.spec.label)

    def gather(
        self, keys: Sequence[Key], deliver: Deliver, *, following: Sequence[Key] = (), passing: bool = False
    ) -> None:
        """Give each instant to ``deliver`` once, in any order; what is nowhere yet is drawn. See `FieldSource`."""
        bottle = self._settled()
        if bottle is not self.bottle:  # its files were not here when it was opened: keys speak of what has come
            settled = dataclasses.replace(self, bottle=bottle, spec=named(self.spec, self.bottle, bottle))
            asked = {key._replace(namespace=settled.spec.namespace): key for key in keys}
            ahead = [key._replace(namespace=settled.spec.namespace) for key in following]
            settled.gather(list(asked), lambda key, field: deliver(asked[key], field), following=ahead, passing=passing)
            return
        self._gather(keys, deliver, following, passing)

    def _settled(self) -> Bottle:
        """The bottle with digests of all that makes these instants."""
        return self.bottle.settled(sst=self.climate.sst is None, role=self._role)

    @property
    def _role(self) -> str | None:
        """Role of the networks that draw instants from others, if they are drawn so."""
        return str(self.spec.coherence) if self.spec.coherence in FROM_STATES else None

    def _gather(self, keys: Sequence[Key], deliver: Deliver, following: Sequence[Key], passing: bool) -> None:
        """`gather` of a bottle whose files are here."""
        shape = len(self.channels) + (self.guide is not None), healpix.n_cells(self.spec.native_zoom)
        share, batch = self.reading.share(passing), self.spec.batch_size
        fits = 4 * math.prod(shape) * batch <= share.limit  # what does not stay is not drawn ahead
        ahead = list(following) if fits else []

        def draw(wanted: Sequence[Key]) -> list[Field]:
            fields = self.draw(wanted)
            filled = sum(key in ahead for key in wanted)
            if filled:
                self.emulator().count_ahead(filled)
            return fields

        cache.shared().gather(
            keys, draw, deliver,
            batch=batch, disk=self.reading.disk(shape), share=share, following=ahead,
        )  # fmt: skip

    def draw(self, keys: Sequence[Key]) -> list[Field]:
        """Instants, drawn now; imports torch."""
        from xr_cbottle.draw.emulator import Instant

        instants = [Instant(key.label, key.seed, key.member, np.datetime64(key.seconds, "s")) for key in keys]
        if self.guide is not None:
            from xr_cbottle.draw import steering

            drawn, weights = steering.draw(self.emulator(), instants, self.guide)
            return [with_figures(field, [weight]) for field, weight in zip(drawn, weights.tolist(), strict=True)]
        fields = self.emulator().draw_instants(instants)
        # Copies: a view would keep the whole batch in memory as long as one of its instants.
        return [np.array(field, np.float32) for field in fields]

    def emulator(self) -> Emulator:
        """The emulator that draws, loaded once for this process; imports torch."""
        return emulator_of(self._settled(), self.spec, self.climate)


def with_figures(field: npt.NDArray[np.floating], figures: Sequence[float]) -> Field:
    """(channel + 1, cell) float32: a field, and its figures in a row below it."""
    out = np.full((len(field) + 1, field.shape[1]), np.nan, np.float32)
    out[:-1] = field
    out[-1, : len(figures)] = figures
    return out


def gaps_of(bottle: Bottle, label: str | None) -> Gappy:
    """{channel: (cell,) bool} where the data of a label have no values, of the channels that have such cells."""
    if bottle.manifest.gaps is None:
        return {}
    found = bottle.gaps()
    if found is None:
        return {}
    absent = found.of(label)
    return {name: absent[c] for c, name in enumerate(found.channels) if absent[c].any()}


def emulator_of(bottle: Bottle, spec: CubeSpec, climate: AskedClimate) -> Emulator:
    """The emulator of a bottle whose files are here, for what is asked of it; loaded once; imports torch."""
    from xr_cbottle.draw import emulator

    return emulator.get(
        bottle,
        device=spec.device,
        precision=spec.precision,
        sampler=emulator.Sampler(*spec.sampler, spec.sigmas or ()),
        batch_size=spec.batch_size,
        sst=climate.sst,
        sst_offset=climate.offset,
        forcings=climate.forcings,
        coherence=spec.coherence,
    )


@dataclass(frozen=True, eq=False)
class GivenInstants:
    """Instants that are read from a user's data set.

    Attributes
    ----------
    given
        The data.
    channels
        Names of their channels, in their order.
    batch_size
        Times that are read at once.
    reading
        Where they are kept in memory; never in a folder, as nothing tells that the data have changed.
    """

    given: Given
    channels: tuple[str, ...]
    batch_size: int
    reading: Reading

    as_variables = False

    @property
    def gaps(self) -> Gappy:
        """No channel: what is missing is so in the data."""
        return {}

    @property
    def land(self) -> None:
        """None: what is missing is so in the data."""
        return

    def gather(
        self, keys: Sequence[Key], deliver: Deliver, *, following: Sequence[Key] = (), passing: bool = False
    ) -> None:
        """Give each instant to ``deliver`` once, in any order; what is not in memory is read. See `FieldSource`."""
        share = self.reading.share(passing)
        cache.shared().gather(keys, self.read, deliver, batch=self.batch_size, share=share)

    def read(self, keys: Sequence[Key]) -> list[Field]:
        """Instants, read now."""
        return list(self.given.at([self._places[key.seconds] for key in keys]))

    @functools.cached_property
    def _places(self) -> dict[int, int]:
        return {seconds: i for i, seconds in enumerate(self.given.seconds.tolist())}
