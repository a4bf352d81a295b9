"""Pieces of instants above the native zoom: gathered like instants, and drawn from the instants they refine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle.cube.disk import DiskTier
from xr_cbottle.cube.keys import Field, Key

if TYPE_CHECKING:
    from xr_cbottle.cube.cube import Cube
    from xr_cbottle.draw.resolver import Resolver


class Mosaic:
    """The fine level of a cube. Pieces are in the same cache as instants, drawn once and bounded in bytes with them.

    Parameters
    ----------
    cube
        One above its bottle's native zoom.
    """

    def __init__(self, cube: Cube) -> None:
        assert cube.spec.fine is not None  # there are pieces above the native zoom only
        self.cube, self.fine = cube, cube.spec.fine

    def gather(self, keys: Sequence[Key], deliver: Callable[[Key, Field], None]) -> None:
        """As `Cube.gather`, of pieces: those of a batch of instants after those of another.

        Instants are drawn only where a piece of them is; while their pieces are, they stay in memory.
        """
        cube, cache = self.cube, self.cube.instant_cache
        by_instant: dict[Key, list[Key]] = {}
        for key in keys:
            by_instant.setdefault(self.coarse_key(key), []).append(key)
        instants = list(by_instant)
        disk = None
        if cube.reading.cache_dir is not None:
            disk = DiskTier(cube.reading.cache_dir, (len(self.fine.channels), self.fine.cells(self.fine.zoom)))
        for start in range(0, len(instants), cube.spec.batch_size):
            batch = instants[start : start + cube.spec.batch_size]
            # One piece of all instants after another: the first one then draws a whole batch of instants.
            pieces = sorted((key for instant in batch for key in by_instant[instant]), key=lambda key: key.piece or 0)
            cache.hold(batch)
            try:
                cache.gather(pieces, self._draw, deliver, batch=len(batch), disk=disk)
            finally:
                cache.release(batch)

    def coarse_key(self, key: Key) -> Key:
        """The instant that a piece is of."""
        return key._replace(namespace=self.cube.spec.namespace, piece=None)

    def resolver(self) -> Resolver:
        """The network that draws pieces, loaded once for this process; imports torch."""
        from xr_cbottle.draw import resolver

        spec = self.cube.spec
        return resolver.get(self.cube.bottle, self.fine, spec.native_zoom, device=spec.device, precision=spec.precision)

    def _draw(self, keys: Sequence[Key]) -> list[Field]:
        coarse: dict[Key, Field] = {}
        self.cube.gather_instants(list({self.coarse_key(key): None for key in keys}), coarse.__setitem__)
        return [self._piece(coarse[self.coarse_key(key)], key) for key in keys]

    def _piece(self, instant: Field, key: Key) -> Field:
        resolver = self.resolver()
        given = instant[self._channels]
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
            native = self.cube.spec.native_zoom
            size, first = self.fine.cells(native), (key.piece or 0) * self.fine.cells(native)
            drawn[np.repeat(missing[:, first : first + size], 4 ** (self.fine.zoom - native), axis=1)] = np.nan
        return np.array(drawn, np.float32)

    @property
    def _channels(self) -> list[int]:
        names = self.cube.instant_channels
        return [names.index(name) for name in self.fine.channels]
