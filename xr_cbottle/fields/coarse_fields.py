"""A user's own data as fields of a bottle's channels: in our units, on our cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields import channels, dates, reader
from xr_cbottle.fields.latlon import CELL_DEGREES, LatLon
from xr_cbottle.fields.reader import Field, Grid
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class CoarseField:
    """Where a channel comes from: variable = data * factor + offset, and channel = variable / scale.

    Attributes
    ----------
    channel
        Its name.
    array
        (time, cell) or (time, lat, lon), as stored.
    factor, offset
        Of the units and the sign.
    scale
        Of the channel.
    may_lack
        Whether it may have missing values, which are those over land.
    converted
        What was done to it, in words; empty if nothing.
    """

    channel: str
    array: xr.DataArray
    factor: float
    offset: float
    scale: float
    may_lack: bool
    converted: str


@dataclass(frozen=True, eq=False)
class Given:
    """Coarse fields of a data set; make it with `read_given`.

    Attributes
    ----------
    sources
        One for each channel, in their order; None for those that the data set lacks, where it may.
    seconds
        (time,) since 1970, ascending or not, each one once.
    zoom
        HEALPix level of what `at` returns.
    grid
        In words: what the data are on, and how they come to the cells.
    places
        Where the data lie on the globe.
    has_time
        Whether time is a dimension.
    with_holes
        Whether channels and values may be missing.
    """

    sources: tuple[CoarseField | None, ...]
    seconds: npt.NDArray[np.int64]
    zoom: int
    grid: str
    places: Grid
    has_time: bool
    with_holes: bool = False

    @property
    def found(self) -> tuple[CoarseField, ...]:
        """The channels that the data set has."""
        return tuple(source for source in self.sources if source is not None)

    @property
    def changes(self) -> str:
        """In words: the grid, and what was converted."""
        return "; ".join([self.grid, *(source.converted for source in self.found if source.converted)])

    def at(self, positions: Sequence[int], as_variables: bool = False) -> npt.NDArray[np.float32]:
        """(position, channel, cell NEST) at some times, NaN where there may be none.

        Parameters
        ----------
        positions
            Of the times.
        as_variables
            Whether values are in the units of variables and not of channels.

        Raises
        ------
        ValueError
            If values are missing that must be there.
        """
        order = np.asarray(positions, np.int64)
        out = np.full((len(order), len(self.sources), healpix.n_cells(self.zoom)), np.nan, np.float32)
        for i, source in enumerate(self.sources):
            if source is None:
                continue
            scale = 1.0 if as_variables else source.scale
            values: npt.NDArray[np.floating] = np.asarray(source.array.isel(time=order).values, np.float64)
            values = values * (source.factor / scale) + source.offset / scale
            values = self.places.averaged(values, self.zoom, spread=not source.may_lack)
            if not (source.may_lack or self.with_holes) and not np.isfinite(values).all():
                raise ValueError(
                    f"{source.array.name} has missing values, and super-resolution needs all of the globe: fill them, "
                    "for example with .interpolate_na"
                )
            out[:, i] = values
        return out


def read_given(
    ds: xr.Dataset,
    names: Sequence[str],
    zoom: int,
    what: str,
    *,
    with_holes: bool = False,
    own: Mapping[str, channels.Variable] = channels.NONE_OF_ITS_OWN,
) -> Given:
    """Find channels in a data set, and check their units, grid and times. Reads no values.

    Parameters
    ----------
    ds
        On HEALPix of this zoom or a finer one, or on latitudes and longitudes; the whole globe.
    names
        Of the channels.
    zoom
        HEALPix level at which they are wanted.
    what
        Name of the bottle, for messages.
    with_holes
        Whether channels and values may be missing, as long as there is one.
    own
        Variables that the bottle defines, by their names.

    Raises
    ------
    ValueError
        If a variable is missing, its units are not known, or grid or times are not those that are needed.
    """
    import xarray as xr

    if not isinstance(ds, xr.Dataset):
        raise ValueError(f"what {what} works on is an xarray.Dataset, not {type(ds).__name__}")
    ds = reader.as_dataset(ds, "the data set")
    wanted = [channels.parse(name, own) for name in names]
    found = {channel.name: _find(ds, channel) for channel in wanted}
    fields = {name: one for name, one in found.items() if one is not None}
    _check_there(ds, wanted, fields, what, with_holes)
    seconds = _seconds([field for field, _ in fields.values()])
    places = _one_grid([field for field, _ in fields.values()])
    grid = _checked_grid(places, zoom, what)
    sources = tuple(_source(one, *fields[one.name]) if one.name in fields else None for one in wanted)
    has_time = any(field.has_time for field, _ in fields.values())
    return Given(sources, seconds, zoom, grid, places, has_time, with_holes)


def _check_there(
    ds: xr.Dataset, wanted: Sequence[channels.Channel], found: Collection[str], what: str, with_holes: bool
) -> None:
    """Refuse a data set that lacks what is needed."""
    lacking = [channel for channel in wanted if channel.name not in found]
    there = ", ".join(map(str, ds.data_vars)) or "none"
    if with_holes and not found:
        known = ", ".join(dict.fromkeys(channel.variable.name for channel in wanted))
        raise ValueError(
            f"the data set has none of the variables of {what}: rename those that it has ({there}) to some of {known}"
        )
    if lacking and not with_holes:
        those = ", ".join(_described(channel) for channel in lacking)
        raise ValueError(
            f"{what} super-resolves {len(wanted)} fields together and the data set has no {those}; it has {there}: "
            "rename, or add what is missing"
        )


def _described(channel: channels.Channel) -> str:
    level = "" if channel.level is None else f" at {channel.level} Pa"
    return f"{channel.variable.name}{level} ({channel.variable.long_name}, {channel.variable.units})"


def _find(ds: xr.Dataset, channel: channels.Channel) -> tuple[Field, float] | None:
    """The field of a channel in a data set, and its sign."""
    found = reader.find_variable(ds, channel.variable, channel.name)
    if found is None:
        return None
    field = reader.read_field(ds, found[0])
    level = channel.level if field.pressures is not None else None
    at_level = field.at_level(level)
    if at_level is None or (
        channel.level is not None and field.pressures is None and found[0] == channel.variable.name
    ):
        return None
    return at_level, found[1]


def _seconds(fields: Sequence[Field]) -> npt.NDArray[np.int64]:
    first = fields[0].times
    for field in fields:
        if field.times is None:
            raise ValueError(
                f"{field.name} has no time, by which the noise is chosen: add one with .assign_coords(time=...)"
            )
        if first is None or not np.array_equal(field.times, first):
            raise ValueError("the fields have different times: select those that they share")
    assert first is not None
    whole = dates.each_once(first, "the data set").astype("datetime64[s]")
    if (whole != first).any():
        raise ValueError("the times must be whole seconds, as they choose the noise: round them with .dt.round('s')")
    return whole.astype(np.int64)


def _one_grid(fields: Sequence[Field]) -> Grid:
    if len({field.grid.key for field in fields}) > 1:
        words = sorted({field.grid.words for field in fields})
        raise ValueError(f"the fields are on different grids, {' and '.join(words)}: bring them to one")
    return fields[0].grid


def _checked_grid(places: Grid, zoom: int, what: str) -> str:
    """In words, what the data are on and how they come to the cells."""
    averaged = f", averaged to zoom {zoom}" if places.zoom > zoom else ""
    if not isinstance(places, LatLon):
        if places.zoom < zoom:
            raise ValueError(
                f"the data are of zoom {places.zoom} and {what} takes zoom {zoom} from them: give that or a finer one"
            )
        reordered = "" if places.order is None else ", brought to nested order"
        return f"HEALPix zoom {places.zoom}{reordered}{averaged}"
    if places.spacing > 1.5 * CELL_DEGREES / 2**zoom:
        raise ValueError(
            f"the grid has a spacing of {places.spacing:g} degrees and {what} needs cells of "
            f"{CELL_DEGREES / 2**zoom:.2g} degrees (zoom {zoom}): give data that are as fine"
        )
    return f"{places.words}, interpolated bilinearly to HEALPix zoom {max(zoom, places.zoom)}{averaged}"


def _source(channel: channels.Channel, field: Field, sign: float) -> CoarseField:
    name, variable = channel.name, channel.variable
    factor, offset = reader.conversion_of(field, variable, sign)
    changes = [f"{field.name} taken for {variable.name}"] if field.name not in (variable.name, name) else []
    if (factor, offset) != (sign, 0.0):
        changes.append(f"{variable.name} from {field.units} to {variable.units}")
    if sign < 0:
        changes.append(f"sign of {field.name} changed")
    array = field.array if field.has_time else field.array.expand_dims("time")
    return CoarseField(name, array, factor, offset, channel.factor, variable.ocean_only, ", ".join(changes))
