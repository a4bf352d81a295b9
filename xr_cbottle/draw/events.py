"""Events of the weather that draws can be steered to: ready made, or a function of your own.

An event says of a clean state how far it is one: positive where it happens, negative where it does not. It is given the
state in physical units, as torch tensors, and must be differentiable. Making one needs no torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.plain_text import shown
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import torch

_EARTH_KM = 6371.0


class Weather(Mapping[str, "torch.Tensor"]):
    """A state in physical units: {variable: (cell,) or (pressure, cell) tensor in its unit}.

    Parameters
    ----------
    fields
        The variables; those with levels by ascending pressure.
    zoom
        HEALPix level of the cells, in nested order.
    pressures
        {variable: its pressures in Pa}, of those with levels.
    present
        {variable: (cell,) or (pressure, cell) True where readers find a value}, of those that lack some, see `there`.
    """

    def __init__(
        self,
        fields: Mapping[str, torch.Tensor],
        zoom: int,
        pressures: Mapping[str, tuple[int, ...]],
        present: Mapping[str, npt.NDArray[np.bool_]] = MappingProxyType({}),
    ) -> None:
        self._fields, self.zoom, self.pressures, self._present = fields, zoom, pressures, present

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._fields:
            raise ValueError(
                f"the event is about {name!r}, and the bottle has {', '.join(self._fields)}: choose of these"
            )
        return self._fields[name]

    def __iter__(self) -> Any:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    @property
    def lonlat(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Longitudes and latitudes of the cells, degrees."""
        return healpix.lonlat(self.zoom)

    def field(self, name: str, pressure: int | None) -> torch.Tensor:
        """(cell,) of a variable, of one of its levels if it has any; without a meaning where it is not `there`."""
        level = self._level(name, pressure)
        return self[name] if level is None else self[name][level]

    def there(self, name: str, pressure: int | None = None) -> npt.NDArray[np.bool_]:
        """(cell,) True where a variable, or a level of it, has a value: not in gaps of the label, nor sea over land."""
        level, known = self._level(name, pressure), self._present.get(name)
        if known is None:
            return np.ones(healpix.n_cells(self.zoom), bool)
        return known if level is None else known[level]

    def _level(self, name: str, pressure: int | None) -> int | None:
        """Number of a level of a variable; None if it has none."""
        self[name]  # which says what there is, if it is not there
        levels = self.pressures.get(name)
        if levels is None and pressure is None:
            return None
        if levels is None or pressure not in levels:
            has = "no levels" if levels is None else f"levels {', '.join(map(str, levels))} Pa"
            raise ValueError(f"the event is about {name} at pressure {pressure}, and it has {has}")
        return levels.index(pressure)


class Event(Protocol):
    """An event that draws are steered to: how far a state is one, and whether it is."""

    def distance(self, state: Weather) -> torch.Tensor:
        """A number that is positive where the event happens, in multiples of the event's softness."""

    def happens(self, state: Weather) -> bool:
        """Whether it happens."""


@dataclass(frozen=True)
class BoxMean:
    """The mean of a variable over the cells of a box that have a value is above or below a value.

    Attributes
    ----------
    variable
        Its name, such as tas, or pr for rain over a catchment.
    west, east, south, north
        Degrees; west may be greater than east; 360 degrees or more from west to east are all longitudes.
    above, below
        The value in the variable's unit; one of the two.
    softness
        A difference that is large, in the same unit, such as a deviation of the mean over the box.
    pressure
        Level in Pa, where the variable has levels.
    """

    variable: str
    west: float
    east: float
    south: float
    north: float
    above: float | None = None
    below: float | None = None
    softness: float = 1.0
    pressure: int | None = None

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise ValueError("an event is a mean above a value or below one: give one of above= and below=")
        if not self.south < self.north:
            raise ValueError(f"the box is from {self.south:g} to {self.north:g} N: give the southern edge first")
        _check_finite(self)
        _check_softness(self.softness)

    def _excess(self, state: Weather) -> torch.Tensor:
        lon, lat = state.lonlat
        width = 360.0 if self.east - self.west >= 360 else (self.east - self.west) % 360
        inside = ((lon - self.west) % 360 <= width) & (lat >= self.south) & (lat <= self.north)
        chosen = _chosen(inside, state.there(self.variable, self.pressure), self.variable, "box")
        mean = state.field(self.variable, self.pressure)[chosen].mean()
        return mean - self.above if self.above is not None else (self.below or 0.0) - mean

    def distance(self, state: Weather) -> torch.Tensor:
        """How far the mean is beyond the value, over the softness."""
        return self._excess(state) / self.softness

    def happens(self, state: Weather) -> bool:
        """Whether the mean is beyond the value."""
        return bool(self._excess(state) > 0)


@dataclass(frozen=True)
class Cyclone:
    """The lowest pressure at sea level within a distance of a point is below a value.

    Attributes
    ----------
    lon, lat
        Of the point, degrees.
    radius
        Distance from it, km.
    below
        Pressure, Pa.
    softness
        A difference that is large, Pa.
    """

    lon: float
    lat: float
    radius: float = 1000.0
    below: float = 98000.0
    softness: float = 500.0

    def __post_init__(self) -> None:
        _check_finite(self)
        _check_softness(self.softness)
        if not -90 <= self.lat <= 90:
            raise ValueError(f"the point is at {self.lat:g} N: latitudes are from -90 to 90")

    def _pressures(self, state: Weather) -> torch.Tensor:
        lon, lat = np.deg2rad(state.lonlat)
        here = math.radians(self.lon), math.radians(self.lat)
        cosine = np.sin(lat) * math.sin(here[1]) + np.cos(lat) * math.cos(here[1]) * np.cos(lon - here[0])
        near = _EARTH_KM * np.arccos(np.clip(cosine, -1, 1)) <= self.radius
        return state["psl"][_chosen(near, state.there("psl"), "psl", "disc")]

    def distance(self, state: Weather) -> torch.Tensor:
        """How far the lowest pressure is below the value, over the softness; a little smoothed."""
        lowest = -(-self._pressures(state) / self.softness).logsumexp(0)
        return self.below / self.softness - lowest

    def happens(self, state: Weather) -> bool:
        """Whether the lowest pressure is below the value."""
        return bool(self._pressures(state).min() < self.below)


@dataclass(frozen=True)
class Own:
    """An event of your own.

    Attributes
    ----------
    function
        From a `Weather` to a torch number, positive where the event happens; about 1 where it clearly does. Where a
        label has gaps, `Weather.there` says which cells to look at.
    """

    function: Callable[[Weather], torch.Tensor]

    def distance(self, state: Weather) -> torch.Tensor:
        """Value of the function."""
        return self.function(state)

    def happens(self, state: Weather) -> bool:
        """Whether it says something positive."""
        return bool(self.function(state) > 0)


@dataclass(frozen=True)
class Guide:
    """An event, and how strongly draws are steered to it.

    Attributes
    ----------
    event
        What draws are steered to.
    strength
        0 does not steer; 0.5 makes an event of 1 % frequent with weights that are still good; more makes it more
        frequent and the weights worse.
    """

    event: Event
    strength: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 10:
            raise ValueError(f"the strength of guidance is {self.strength:g}: it must be from 0 to 10")

    @property
    def token(self) -> str:
        """Text that is the same for the same event."""
        if not isinstance(self.event, Own):
            return repr(self)
        try:
            import cloudpickle

            code = cloudpickle.dumps(self.event.function)
        except (ImportError, TypeError, pickle.PicklingError) as error:
            raise ValueError(f"the function of the event cannot be sent to other processes: {error}") from None
        return f"Own({hashlib.sha256(code).hexdigest()}, {self.strength})"


def cyclone(lon: float, lat: float, **settings: float) -> Cyclone:
    """The event of a deep low near a point; see `Cyclone`."""
    return Cyclone(lon, lat, **settings)


def box(variable: str, west: float, east: float, south: float, north: float, **settings: Any) -> BoxMean:
    """The event of a mean over a box above or below a value; see `BoxMean`."""
    return BoxMean(variable, west, east, south, north, **settings)


def as_guide(name: str, value: Any) -> Guide:
    """Make a guide of an event, of a function, or of text; a guide stays as it is."""
    if isinstance(value, Guide):
        return value
    if isinstance(value, str):
        return parse(name, value)
    if hasattr(value, "distance") and hasattr(value, "happens"):
        return Guide(value)
    if callable(value):
        return Guide(Own(value))
    raise ValueError(f"{name} is {shown(value)}: give an event of xr_cbottle.events, or a function of the state")


def parse(name: str, text: str) -> Guide:
    """Read an event from text: ``cyclone:lon=140,lat=20,below=97000`` or ``box:variable=tas,west=0,...``.

    Raises
    ------
    ValueError
        If it is none.
    """
    kind, _, rest = text.partition(":")
    known: dict[str, Any] = {"cyclone": Cyclone, "box": BoxMean}
    words = [part.split("=", 1) for part in re.split(r"\s*,\s*", rest.strip()) if part]
    if kind not in known or any(len(word) != 2 for word in words):
        raise ValueError(
            f"{name} is {shown(text)}: write it as cyclone:lon=140,lat=20,radius=800,below=97000 or as "
            "box:variable=tas,west=0,east=20,south=40,north=55,above=300"
        )
    fields = [field.name for field in dataclasses.fields(known[kind])]
    given = {key: value for key, value in words}
    strength = given.pop("strength", "0.5")
    unknown = [key for key in given if key not in fields]
    if unknown:
        raise ValueError(f"{name} has {unknown[0]}: {kind} takes {', '.join(fields)} and strength")
    try:
        values = {key: value if key == "variable" else float(value) for key, value in given.items()}
        if "pressure" in values:
            values["pressure"] = int(values["pressure"])
        return Guide(known[kind](**values), float(strength))
    except TypeError:
        needed = [field.name for field in dataclasses.fields(known[kind]) if field.default is dataclasses.MISSING]
        raise ValueError(f"{name} is {shown(text)}: {kind} needs {', '.join(needed)}") from None


def _chosen(
    inside: npt.NDArray[np.bool_], there: npt.NDArray[np.bool_], variable: str, what: str
) -> npt.NDArray[np.int64]:
    """Numbers of the cells inside that have a value."""
    if not inside.any():
        raise ValueError(f"the {what} of the event holds no centre of a cell: make it larger")
    if not (inside & there).any():
        raise ValueError(
            f"{variable} has no value in any cell of the {what} of the event: choose another {what}, variable or label"
        )
    return np.flatnonzero(inside & there)


def _check_finite(event: BoxMean | Cyclone) -> None:
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{field.name} of an event is {value}: give a finite number")


def _check_softness(softness: float) -> None:
    if not softness > 0:
        raise ValueError(f"the softness of an event is {softness:g}: it must be positive")
