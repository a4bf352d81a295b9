"""Bounds: what nature never breaks is not broken by what is drawn.

A network draws a little beyond what it has seen: clouds over more than all of a cell, sunshine at night, more vapour
than air can hold. A bottle may declare bounds of its channels (see `xr_cbottle.bottle.manifest`). A field is then moved
into them *with its global mean kept*, so that what is cut off at one place is made up for where there is room: a plain
clip would make the mean drift. And the surface of open water is as warm as the sea that drives the draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.gaps import Mask
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import BoundSpec
from xr_cbottle.bottle.static_fields import StaticFields
from xr_cbottle.fields import channels, humidity, open_water, sun
from xr_cbottle.grid import healpix

Floats = npt.NDArray[np.floating[Any]]

LAND = "sftlf"
"""Name of the static field that is the fraction of land."""
MOST_LAND = 0.01
"""Fraction of land from which on a cell is no open water."""
_HALVINGS = 50
"""Of the interval in which a factor is looked for: more than float64 has digits left of it."""
_LARGEST_FACTOR = 1e3


class Bounds:
    """Bounds of the channels of a bottle.

    Parameters
    ----------
    manifest
        It says which channels have which bounds.
    static
        Of the bottle, if it has any: where the model of a label has land (`LAND`), there is no open water.
    """

    def __init__(self, manifest: Manifest, static: StaticFields | None = None) -> None:
        self.static = static if static is not None and LAND in static.values else None
        self.channels = manifest.channels
        self.specs: Mapping[str, BoundSpec] = manifest.bounds
        self.zoom = manifest.zoom
        self.lon, self.lat = healpix.lonlat(manifest.zoom)
        # What bounds others comes before them: temperature before humidity, sunshine at the top before the surface's.
        self.order = sorted(self.specs, key=self._depth)

    def applied(
        self,
        values: Floats,
        label: str | None,
        times: npt.NDArray[np.datetime64],
        usual: Floats | None,
        sst: Floats | None = None,
        known: Mask | None = None,
    ) -> Floats:
        """Fields within their bounds.

        Parameters
        ----------
        values
            (n, channel, cell NEST) in the channels' units.
        label
            Whose: how sunshine is averaged is a matter of the label.
        times
            (n,) datetime64.
        usual
            (n, channel, cell) means by climatology in the channels' units; None in a bottle without one.
        sst
            (n, cell) K, NaN over land, that drives the draw; needed where ``sea`` is a bound.
        known
            (channel, cell) where the label has values; all if None. The others stay as they are, and are in no mean.

        Returns
        -------
        (n, channel, cell) float64; each instant on its own.
        """
        out = np.array(values, np.float64)
        for name in self.order:
            spec, c = self.specs[name], self.channels.index(name)
            there = cells_of(known, c)
            if known is not None and not known[c].any():
                continue
            field: Floats = out[:, c][:, there]
            if spec.mean is not None and usual is not None:
                field = steadied(field, usual[:, c][:, there], spec.mean)
            least, most = (at_cells(one, there) for one in self.limits(name, spec, out, label, times))
            field = within(field, least, most) if least is not None or most is not None else field
            if spec.sea and sst is not None:
                share = self.water(sst, label)[:, there]
                field = (1 - share) * field + share * np.nan_to_num(sst)[:, there]
            out[:, c][:, there] = field
        return out

    def _depth(self, name: str) -> int:
        """How many channels stand above one, each a bound of the next."""
        spec = self.specs.get(name)
        if spec is None:
            return 0
        return max(0 if above is None else 1 + self._depth(above) for above in (spec.below, spec.temperature))

    def water(self, sst: Floats, label: str | None) -> Floats:
        """Share of each cell that is certainly open water, (n, cell) of an SST in K, for a label."""
        share = open_water.share(sst)
        return share if self.static is None else share * (self.static.at(LAND, label, self.zoom) < MOST_LAND)

    def water_back(self, sst: Floats, label: str | None, gradient: Floats) -> Floats:
        """Carry a gradient with respect to `water`, (n, cell), back to that with respect to the SST, per K."""
        if self.static is not None:
            gradient = gradient * (self.static.at(LAND, label, self.zoom) < MOST_LAND)
        return open_water.share_back(sst, gradient)

    def limits(
        self, name: str, spec: BoundSpec, values: Floats, label: str | None, times: npt.NDArray[np.datetime64]
    ) -> tuple[Floats | None, Floats | None]:
        """Least and most of a channel, each (n or 1, cell or 1) or None."""
        least = None if spec.least is None else np.full((1, 1), spec.least)
        mosts = [] if spec.most is None else [np.full((1, 1), spec.most)]
        if spec.sun is not None and label is not None and label in spec.sun:
            mosts.append(sun.insolation(times, self.lon, self.lat, spec.sun[label]))
        if spec.below is not None:
            mosts.append(values[:, self.channels.index(spec.below)])
        times_saturated = spec.saturated(label)
        if times_saturated is not None:
            level = channels.parse(name).level
            assert level is not None  # the manifest demands it, and the temperature
            assert spec.temperature is not None
            kelvin = values[:, self.channels.index(spec.temperature)]
            mosts.append(times_saturated * humidity.saturation(kelvin, level))
        most: Floats | None = None
        for one in mosts:
            most = one if most is None else np.minimum(most, one)
        return least, most


def cells_of(known: Mask | None, channel: int) -> Mask | slice:
    """The cells in which a channel has values, as an index: all if ``known``, (channel, cell), is None."""
    return slice(None) if known is None or known[channel].all() else known[channel]


def at_cells(limit: Floats | None, there: Mask | slice) -> Floats | None:
    """A limit, (n or 1, cell or 1) or None, of some cells."""
    return limit if limit is None or limit.shape[-1] == 1 else limit[:, there]


def within(values: Floats, least: Floats | None, most: Floats | None) -> Floats:
    """Fields moved between two bounds, the mean over the cells kept as far as the bounds allow.

    What is left between the bounds is stretched or shrunk from one of them by a factor, the same for all cells of a
    field. Cells that are at the bound stay there: a night stays dark.

    Parameters
    ----------
    values
        (n, cell).
    least, most
        Bounds that broadcast against it; None: there is none.

    Returns
    -------
    (n, cell) float64; each field on its own.
    """
    values = np.asarray(values, np.float64)
    if least is None and most is None:
        return values
    if least is None:
        assert most is not None
        return -within(-values, -most, None)
    floor = np.broadcast_to(least, values.shape)
    room = np.full(values.shape, np.inf) if most is None else np.maximum(most - floor, 0)
    above = np.clip(values - floor, 0, room)
    wanted = (values - floor).mean(-1, keepdims=True)
    return floor + _stretched(above, room, wanted)


def _stretched(above: Floats, room: Floats, wanted: Floats) -> Floats:
    """``min(factor * above, room)`` with the factor for which its mean is as wanted, or as near as it can be."""
    changed = np.abs(above.mean(-1, keepdims=True) - wanted) > 1e-12 * np.abs(wanted)
    low, high = np.zeros_like(wanted), np.full_like(wanted, _LARGEST_FACTOR)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = np.minimum(middle * above, room).mean(-1, keepdims=True) < wanted
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.minimum(np.where(changed, high, 1.0) * above, room)


def steadied(values: Floats, usual: Floats, kept: float) -> Floats:
    """Fields whose mean over the cells departs from the usual one by a share of what it did.

    The mass of the air hardly changes, so that the mean sea level pressure of the globe hardly does; a network, which
    draws each place a little wrong, lets it wander.

    Parameters
    ----------
    values, usual
        (n, cell), as drawn and as usual at these times.
    kept
        The share, from 0 to 1.
    """
    departure = (values - usual).mean(-1, keepdims=True)
    return values - (1 - kept) * departure
