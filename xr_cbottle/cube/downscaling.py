"""Super-resolution of a user's own data by a bottle's network, which was not trained on them ("zero-shot")."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.cube import metadata
from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.fine import finest_zoom, make_fine
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.spec import CubeSpec, integer
from xr_cbottle.fields import channels
from xr_cbottle.fields.reader import Given, read_given
from xr_cbottle.grid.time_axis import TimeAxis

if TYPE_CHECKING:
    import os

    import xarray as xr

    from xr_cbottle.cube.options import Reading

_KEYWORDS = (
    "sr_mode", "sr_network", "precision", "device", "batch_size", "weights", "cache_size", "max_instants", "progress"
)  # fmt: skip


def downscale(
    ds: xr.Dataset,
    bottle: str | os.PathLike[str] | Bottle,
    *,
    zoom: int | None = None,
    seed: int = 0,
    member: int = 0,
    chunks: Any = None,
    **keywords: Any,
) -> xr.Dataset:
    """Super-resolve a data set with a bottle's network. Nothing is read or drawn until values are.

    The network refines all of its variables together, so the data set must have each: by our name (``tas``), the
    channel's, ERA5's (``t2m``) or the standard name. Units are converted by the attribute ``units``. What is finer
    than the bottle's native zoom is averaged to it. Values are zero-shot: the network knows the fine scales of what
    it was trained on, not those of these data.

    Parameters
    ----------
    ds
        The globe with datetime64 ``time``, on HEALPix cells (``cell``, nested) of the bottle's native zoom or a finer
        one, or on latitudes and longitudes as fine, which are interpolated bilinearly. Sea surface temperature and
        sea ice may be NaN over land, and are NaN there in the result. It is not copied: leave its values as they are.
    bottle
        Path, URL or name of a bottle with super-resolution, or an open `Bottle`.
    zoom
        HEALPix level above the native one; the finest if None. Those between are means of it.
    seed, member
        Choose the noise, with the time.
    chunks
        None: lazy arrays; ``{}``: dask arrays of one time and one tile; or lengths.
    **keywords
        ``sr_mode``, ``sr_network``, ``precision``, ``device``, ``batch_size`` (times that are read at once),
        ``weights``, ``cache_size``, ``max_instants`` and ``progress``, as for `xr_cbottle.Cube`.

    Returns
    -------
    (time, cell) or (time, pressure, cell) float32, without time where the data set has none as a dimension; the
    attribute ``history`` says what was done.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If the bottle has no super-resolution, or the data set is not what it refines; one sentence says what is.
    """
    unknown = sorted(set(keywords) - set(_KEYWORDS))
    if unknown:
        raise TypeError(f"unknown keyword {', '.join(unknown)}: downscale takes {', '.join(_KEYWORDS)}")
    opened = bottle if isinstance(bottle, Bottle) else open_bottle(bottle, weights=keywords.pop("weights", None))
    manifest = opened.manifest
    if not manifest.superres:
        raise ValueError(f"{manifest.name} has no super-resolution: choose a bottle that has, see xr-cbottle info")
    finest = finest_zoom(manifest)
    if zoom is None:
        zoom = finest
    integer("zoom", zoom, manifest.zoom + 1, finest + 1)
    fine = make_fine(manifest, zoom, keywords.get("sr_mode", "tiles"), keywords.get("sr_network"))
    assert fine is not None  # the zoom is above the native one
    given = read_given(ds, fine.channels, manifest.zoom, manifest.name)
    cube = Downscaling(opened, given, zoom, seed, integer("member", member, 0, 2**32), **keywords)
    cube.origin = str(ds.attrs.get("history", ""))
    result = cube.to_dataset(chunks)
    return result if given.has_time else result.isel(time=0)


class Downscaling(Cube):
    """The cube of a user's data: instants are read from these, and not drawn.

    Parameters
    ----------
    bottle
        Whose super-resolution is used.
    given
        The data.
    zoom, seed, member, **keywords
        As for `downscale`.
    """

    _land = None  # what is missing is so in the data

    def __init__(self, bottle: Bottle, given: Given, zoom: int, seed: int, member: int, **keywords: Any) -> None:
        super().__init__(bottle, zoom=zoom, seed=seed, **keywords)
        self.given, self.member, self.origin = given, member, ""
        seconds = given.seconds.tolist()
        axis = TimeAxis(seconds[0], 1, len(seconds), 1, "inst", tuple(seconds))
        # The data are not looked at to name them: each call has instants of its own.
        self.spec = dataclasses.replace(self.spec, axis=axis, label=None, sst=f"data {uuid.uuid4().hex}")

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.given, self.member, self.origin)
        return _restore, (self.bottle, self.spec, self.reading, self._asked, state)

    @property
    def instant_channels(self) -> tuple[str, ...]:
        """Channels of an instant, in their order: those that are refined."""
        assert self.spec.fine is not None
        return self.spec.fine.channels

    def keys(self, member: int, time: int, piece: int | None = None) -> list[Key]:
        """As of other cubes, of the one member."""
        return [key._replace(member=self.member) for key in super().keys(member, time, piece)]

    def _draw(self, keys: Sequence[Key]) -> list[Field]:
        places = {seconds: i for i, seconds in enumerate(self.given.seconds.tolist())}
        return list(self.given.at([places[key.seconds] for key in keys]))

    def _dataset(self, variables: Mapping[str, xr.Variable], drop_variables: str | Iterable[str] | None) -> xr.Dataset:
        ds = super()._dataset(variables, drop_variables)
        manifest, given, fine = self.bottle.manifest, self.given, self.spec.fine
        assert fine is not None
        for source in given.sources:
            name = channels.parse(source.channel).variable.name
            if name not in ds:
                continue
            attrs = ds[name].attrs
            attrs.pop("comment", None)
            methods = source.array.attrs.get("cell_methods")
            if methods:
                attrs["cell_methods"] = str(methods)
            else:
                attrs.pop("cell_methods", None)
            if source.may_lack:
                attrs["comment"] = "Missing where the data that were refined are missing."
        whole = metadata.global_attrs(self.spec, manifest, self._asked)
        kept = (
            "Conventions", "references", "license", "bottle", "bottle_digest", "bottle_created", "seed", "precision",
            "zoom", "native_zoom", "xr_cbottle_version", *fine.attrs(),
        )  # fmt: skip
        changes = "; ".join([given.grid, *(source.converted for source in given.sources if source.converted)])
        line = f"xr_cbottle {whole['xr_cbottle_version']}: downscaled zero-shot by {manifest.name} ({changes})"
        ds.attrs = {
            "title": f"Super-resolved to zoom {self.spec.zoom} by the bottle {manifest.name}",
            **{name: whole[name] for name in kept if name in whole},
            "member": self.member,
            "history": "\n".join(part for part in (self.origin, line) if part),
        }
        return ds


def _restore(
    bottle: Bottle, spec: CubeSpec, reading: Reading, asked: dict[str, str], state: tuple[Given, int, str]
) -> Downscaling:
    cube = Downscaling.__new__(Downscaling)
    cube.bottle, cube.spec, cube.sst, cube.reading, cube._asked = bottle, spec, None, reading, asked
    cube.given, cube.member, cube.origin = state
    return cube
