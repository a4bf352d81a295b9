"""A user's own state of the atmosphere, gone on from: what may follow it, or what may have come before it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle.base.plain_text import shown
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.cube import keywords as keyword
from xr_cbottle.cube import metadata
from xr_cbottle.cube.bridged import BridgedInstants
from xr_cbottle.cube.cache import Deliver
from xr_cbottle.cube.climate import AskedClimate, warn
from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.hanging import Place, instant_of
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.keywords import KEYWORDS
from xr_cbottle.cube.own_data import check_sea
from xr_cbottle.cube.reading import Reading
from xr_cbottle.cube.spec import make_spec
from xr_cbottle.draw.defaults import BRIDGE
from xr_cbottle.fields.coarse_fields import Given, read_given
from xr_cbottle.grid import time_axis
from xr_cbottle.grid.time_axis import TimeAxis
from xr_cbottle.grid.time_tree import TimeTree

if TYPE_CHECKING:
    import os

    import xarray as xr

CONTINUED_KEYWORDS = tuple(name for name in KEYWORDS if name not in ("time", "time_method", "guide", "coherence"))
"""Keywords of a data set that `continue_from` takes too: not those that say which times there are."""
_MOST_ROOTS = 64
_NUMERICS = 1  # raised when the same state begins to go on otherwise


@keyword.documented(names=CONTINUED_KEYWORDS)
def continue_from(
    ds: xr.Dataset,
    bottle: str | os.PathLike[str] | Bottle,
    *,
    until: Any = "P10D",
    step: str | None = None,
    chunks: Any = None,
    **keywords: Any,
) -> xr.Dataset:
    """Draw weather that follows a given state, or that came before it. Nothing is read or drawn until values are.

    States at intervals after the given one (of eight days, say) are drawn one from the other, and the network of the
    bottle that bridges two states draws what lies between. Each member is another future, or past. It is what the
    bottle's simulations would do in the mean over all that starts like this, and no forecast of the real weather.

    Parameters
    ----------
    ds
        The globe at one time: all variables of the bottle, on HEALPix cells of its native zoom or a finer one, or on
        latitudes and longitudes as fine. It is not copied.
    bottle
        Path, URL or name of a bottle with a bridge, or an open `Bottle`.
    until
        The last time, or the first if it lies before that of the state: a time, or from the state's time an ISO-8601
        duration such as ``P10D`` or ``-P10D``.
    step
        ISO-8601 step between times; that of the bridge if None.
    chunks
        None: lazy arrays; ``{}``: dask arrays of some times; or lengths.
    {keywords}

    Returns
    -------
    (time, cell) or (time, pressure, cell) float32 of all variables of the bottle, with the given state at its own time;
    and a dimension of members if they are asked for.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If the bottle has no bridge, or the data set is not what it takes; one sentence says what is.
    """
    asked = keyword.checked(keywords, "continue_from", CONTINUED_KEYWORDS)
    cube = continued(ds, bottle, asked, until=until, step=step)
    return _described(cube, cube.to_dataset(chunks), ds)


def continued(
    ds: xr.Dataset, bottle: str | os.PathLike[str] | Bottle, asked: dict[str, Any], *, until: Any, step: str | None
) -> Cube:
    """The cube behind `continue_from`, whose parameters these are; ``asked`` are all keywords, checked."""
    opened = bottle if isinstance(bottle, Bottle) else open_bottle(bottle, weights=asked["weights"])
    manifest = opened.manifest
    _check_bridge(manifest, asked["label"])
    climate = AskedClimate.of(manifest, asked)
    spec = make_spec(manifest, opened.digest, {**asked, "coherence": BRIDGE}, climate)
    assert isinstance(spec.tree, TimeTree)
    given = _state_of(ds, opened)
    tree = dataclasses.replace(spec.tree, origin=int(given.seconds[0]))
    axis = _axis(tree.origin, until, tree.step if step is None else time_axis.parse_period(step))
    far = max(abs(int(time) - tree.origin) for time in (axis.seconds[0], axis.seconds[-1]))
    if far > _MOST_ROOTS * tree.interval:
        most = time_axis.format_period(_MOST_ROOTS * tree.interval)
        raise ValueError(f"until is {shown(until)}: it may lie at most {most} from the state")
    check_sea(axis.seconds, manifest, climate.sst)
    spec = dataclasses.replace(spec, axis=axis, given=uuid.uuid4().hex, tree=tree)
    spec = dataclasses.replace(spec, outside=climate.outside(opened, axis))
    warn(spec.outside)
    reading = Reading.of(asked)
    instants = ContinuedInstants(opened, spec, climate, reading, None, given)
    told = keyword.told({name: value for name, value in asked.items() if name in CONTINUED_KEYWORDS})
    # Above the native zoom nothing tells in a folder what a piece was made of.
    return Cube.over(instants, opened, spec, dataclasses.replace(reading, cache_dir=None), told)


def _check_bridge(manifest: Manifest, label: str | None) -> None:
    """Refuse a bottle that cannot go on from a state of a label, before anybody speaks of keywords that nobody gave."""
    if manifest.bridge is None:
        raise ValueError(
            f"{manifest.name} has no network that draws weather between two states, and so cannot go on from one: give "
            "a bottle that was given one by xr-cbottle train"
        )
    known = manifest.label(label)
    if known is not None and known not in manifest.bridge.labels:
        raise ValueError(
            f"{manifest.name} goes on from states of {', '.join(manifest.bridge.labels)} and not of {known}: choose "
            f"label={manifest.bridge.labels[0]!r}"
        )


def _state_of(ds: xr.Dataset, bottle: Bottle) -> Given:
    """The state of a data set.

    Raises
    ------
    ValueError
        If it is not one time of the globe, or lacks a variable.
    """
    manifest = bottle.manifest
    given = read_given(ds, manifest.channels, manifest.zoom, manifest.name, with_holes=True, own=manifest.own)
    if len(given.seconds) != 1:
        raise ValueError(f"the data set has {len(given.seconds)} times: give one of them, for example .isel(time=0)")
    lacking = [name for name, source in zip(manifest.channels, given.sources, strict=True) if source is None]
    if lacking:
        raise ValueError(
            f"the data set lacks {', '.join(lacking)} of {manifest.name}: draw it first with xr_cbottle.infill"
        )
    return given


def _axis(start: int, until: Any, step: int) -> TimeAxis:
    """Times from that of a state to another, ascending, on steps from the state's.

    Raises
    ------
    ValueError
        If the other is no time and no duration, or less than a step away.
    """
    far = _far(start, until)
    count = abs(far) // step
    if not count:
        raise ValueError(
            f"until is {shown(until)}: give a time or a duration such as 'P10D' or '-P10D', at least one step "
            f"({time_axis.format_period(step)}) from the state"
        )
    return TimeAxis(start if far > 0 else start - count * step, step, count + 1, step)


def _far(start: int, until: Any) -> int:
    """Seconds from the state's time to another; 0 if that is no time and no duration."""
    if isinstance(until, str) and until.lstrip("-").startswith("P"):
        try:
            seconds = time_axis.parse_period(until.removeprefix("-"))
        except ValueError:
            return 0
        return -seconds if until.startswith("-") else seconds
    try:
        if isinstance(until, np.timedelta64) or hasattr(until, "total_seconds"):
            return int(np.timedelta64(until, "s").astype(np.int64))
        stamp = np.datetime64(until, "s")
        return 0 if np.isnat(stamp) else int(stamp.astype(np.int64)) - start
    except (TypeError, ValueError):
        return 0


@dataclass(frozen=True, eq=False)
class ContinuedInstants(BridgedInstants):
    """Instants that hang in a tree of which one root is given, and the others are drawn one from the other.

    Attributes
    ----------
    given
        The state; its time is the origin of the tree.
    """

    given: Given = dataclasses.field(default=None)  # type: ignore[assignment]  # as the parent has a default

    @functools.cached_property
    def field(self) -> Field:
        """The given state in the channels' units, (channel, cell); it is read when this is first asked for."""
        field: Field = self.given.at([0])[0]
        gaps, nowhere = self.gaps, np.zeros(field.shape[1], bool)
        for name, source, values in zip(self.channels, self.given.sources, field, strict=True):
            there = np.isfinite(values) | gaps.get(name, nowhere)
            if source is not None and not source.may_lack and not there.all():
                raise ValueError(f"the state lacks values of {name}: draw them first with xr_cbottle.infill")
        field.flags.writeable = False
        return field

    @functools.cached_property
    def _digest(self) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.field, "<f4").tobytes()).hexdigest()

    def _gather(self, keys: Sequence[Key], deliver: Deliver, following: Sequence[Key], passing: bool) -> None:
        # Named by what they are made of: the same state goes on in the same way, in this process or in another.
        inner = {key._replace(namespace=self._base, data=self._digest): key for key in keys}
        super()._gather(list(inner), lambda key, field: deliver(inner[key], field), (), passing)

    @functools.cached_property
    def _base(self) -> str:
        drawn = dataclasses.replace(self.spec, given=None).namespace
        work = {"numerics": _NUMERICS, "drawn": drawn, "origin": self.tree.origin}
        return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()

    def _namespace(self, rank: int) -> str:
        return hashlib.sha256(f"{self._base} state {rank}".encode()).hexdigest()

    def _rank(self, leaf: int) -> int:
        depth = self.tree.depth_of(leaf)
        return _MOST_ROOTS + 1 + depth if depth else abs(self.tree.root(leaf))

    def _needed(self, leaves: Iterable[int], have: Callable[[int], bool]) -> list[int]:
        found = dict.fromkeys(super()._needed(leaves, have))
        for leaf in [leaf for leaf in found if not self.tree.depth_of(leaf)]:
            while (number := self.tree.root(leaf)) and not have(leaf):
                found[leaf] = None
                leaf = self._nearer(number)
            found[leaf] = None
        return list(found)

    def _nearer(self, number: int) -> int:
        """Time of the root that one is drawn from: the next towards the given state."""
        return self.tree.origin + (number - (1 if number > 0 else -1)) * self.tree.interval

    def _above(self, key: Key) -> list[Key]:
        if self.tree.depth_of(key.seconds):
            return super()._above(key)
        number = self.tree.root(key.seconds)
        return [self.state_key(key, self._nearer(number))] if number else []

    def _roots(self, keys: Sequence[Key], place: Place) -> list[Field]:
        from xr_cbottle.draw.bridge import Ends

        if not self.tree.root(keys[0].seconds):
            return [self._state(key) for key in keys]
        known = self._several((above for key in keys for above in self._above(key)), place)
        ends = []
        for key in keys:
            state, later = known[self._above(key)[0]], key.seconds > self.tree.origin
            ends.append(Ends(state if later else None, None if later else state, self.tree.interval))
        return self.networks().between(keys[0].label, [instant_of(key) for key in keys], ends)

    def _state(self, key: Key) -> Field:
        """The given state as a network draws it; where the sea is not defined as in the mean."""
        from xr_cbottle.draw.arithmetic import drawing

        emulator, times = self.emulator(), np.array([key.seconds], "datetime64[s]")
        with drawing(emulator.precision):
            known, _ = emulator.known_part(self.field[None].astype(np.float64), key.label, times)
        state: Field = known[0].astype(np.float32)
        return state

    def _fields(self, keys: Sequence[Key], place: Place) -> list[Field]:
        drawn = [key for key in keys if key.seconds != self.tree.origin]
        found = dict(zip(drawn, super()._fields(drawn, place) if drawn else [], strict=True))
        return [found[key] if key in found else np.array(self.field) for key in keys]


def _described(cube: Cube, result: xr.Dataset, ds: xr.Dataset) -> xr.Dataset:
    """The data set of a cube with attributes that say from which state it goes on."""
    instants = cube.instants
    assert isinstance(instants, ContinuedInstants)
    manifest, whole = cube.bottle.manifest, metadata.global_attrs(cube.spec, cube.bottle.manifest, cube.told)
    start = time_axis.format_time(instants.tree.origin)
    line = f"{whole['history']}; continued from a given state of {start} ({instants.given.changes})"
    result.attrs = {
        **whole,
        "title": f"A given state, continued by the bottle {manifest.name}",
        "continued_from": start,
        "history": "\n".join(part for part in (str(ds.attrs.get("history", "")), line) if part),
    }
    return result
