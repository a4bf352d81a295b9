"""Pieces of instants above the native zoom: gathered like instants, and drawn from the instants that they refine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.cube import cache
from xr_cbottle.cube.cache import Deliver
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.reading import Reading
from xr_cbottle.cube.sources import DrawnInstants, FieldSource, Gappy, named
from xr_cbottle.cube.spec import CubeSpec
from xr_cbottle.draw.fine import Fine
from xr_cbottle.fields import channels

if TYPE_CHECKING:
    from xr_cbottle.draw.resolver import Resolver


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of the instants of another source, refined by a bottle's super-resolution.

    They are in the same cache as instants, drawn once and bounded in bytes with them.

    Attributes
    ----------
    instants
        Where the instants come from.
    bottle, spec
        The bottle, and what is asked of it.
    fine
        How pieces are drawn.
    reading
        Where they are kept.
    """

    instants: FieldSource
    bottle: Bottle
    spec: CubeSpec
    fine: Fine
    reading: Reading

    as_variables = False

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of a piece, in their order."""
        return self.fine.channels

    @property
    def land(self) -> npt.NDArray[np.bool_] | None:
        """(native cell,) where variables of the sea are missing in the instants."""
        return self.instants.land

    @property
    def gaps(self) -> Gappy:
        """Where instants have no meaning, and their pieces neither."""
        return self.instants.gaps

    def gather(
        self, keys: Sequence[Key], deliver: Deliver, *, following: Sequence[Key] = (), passing: bool = False
    ) -> None:
        """Give each piece to ``deliver`` once, those of a batch of instants after those of another.

        Instants are drawn only where a piece of them is; while their pieces are, they stay in memory. See
        `xr_cbottle.cube.sources.FieldSource` for the parameters.
        """
        bottle = self.bottle.settled(sst=False, part=self.fine.part)
        if isinstance(self.instants, DrawnInstants):
            bottle = bottle.settled(sst=self.instants.climate.sst is None)
        spec = named(self.spec, self.bottle, bottle)
        if spec != self.spec and spec.fine is not None:  # as of instants
            settled = dataclasses.replace(self, bottle=bottle, spec=spec, fine=spec.fine)
            asked = {key._replace(namespace=spec.field_namespace): key for key in keys}
            settled.gather(
                list(asked), lambda key, field: deliver(asked[key], field), following=following, passing=passing
            )
            return
        fields, share = cache.shared(), self.reading.share(passing)
        ahead = [self.instant_of(key) for key in following]
        by_instant: dict[Key, list[Key]] = {}
        for key in keys:
            by_instant.setdefault(self.instant_of(key), []).append(key)
        instants = list(by_instant)
        disk = self.reading.disk((len(self.channels), self.fine.cells(self.fine.zoom)))
        for start in range(0, len(instants), self.spec.batch_size):
            batch = instants[start : start + self.spec.batch_size]
            # One piece of all instants after another: the first one then draws a whole batch of instants.
            pieces = sorted((key for instant in batch for key in by_instant[instant]), key=lambda key: key.piece or 0)
            fields.hold(batch)
            try:
                fields.gather(
                    pieces, lambda wanted: self.draw(wanted, ahead, passing), deliver,
                    batch=len(batch), disk=disk, share=share,
                )  # fmt: skip
            finally:
                fields.release(batch)

    def instant_of(self, key: Key) -> Key:
        """Key of the instant that a piece is of."""
        return key._replace(namespace=self.spec.namespace, piece=None)

    def resolver(self) -> Resolver:
        """The network that draws pieces, loaded once for this process; imports torch."""
        from xr_cbottle.draw import resolver

        spec, fine = self.spec, self.fine
        return resolver.get(
            self.bottle, fine.part, fine.spec, spec.native_zoom,
            tiling=fine.tiling, batch_size=fine.patches_at_once, device=spec.device, precision=spec.precision,
            coherence=spec.coherence,
        )  # fmt: skip

    def draw(self, keys: Sequence[Key], following: Sequence[Key] = (), passing: bool = False) -> list[Field]:
        """Pieces, drawn now, after the instants that they refine."""
        instants: dict[Key, Field] = {}
        self.instants.gather(
            list({self.instant_of(key): None for key in keys}), instants.__setitem__,
            following=following, passing=passing,
        )  # fmt: skip
        return [self._piece(instants[self.instant_of(key)], key) for key in keys]

    def _piece(self, instant: Field, key: Key) -> Field:
        resolver = self.resolver()
        names = self.instants.channels
        given = instant[[names.index(name) for name in self.channels]]
        if self.instants.as_variables:
            given = (given / channels.factors(self.channels, self.bottle.manifest.own)[:, None]).astype(np.float32)
        # A user's own data may lack what is not defined over land: the network is told the mean, the reader nothing.
        missing = np.isnan(given)
        if missing.any():
            given = np.where(missing, resolver.center[:, None], given)
        whole: dict[str, Any] = {"seed": key.seed, "member": key.member, "time": np.datetime64(key.seconds, "s")}
        if self.fine.mode == "global":
            drawn = resolver.draw_globe(given, **whole)
        else:
            assert key.piece is not None
            drawn = resolver.draw_tile(given, key.piece, **whole)
        if missing.any():
            native = self.spec.native_zoom
            size, first = self.fine.cells(native), (key.piece or 0) * self.fine.cells(native)
            drawn[np.repeat(missing[:, first : first + size], 4 ** (self.fine.zoom - native), axis=1)] = np.nan
        return np.array(drawn, np.float32)
