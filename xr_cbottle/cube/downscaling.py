"""Super-resolution of a user's own data by a bottle's network, which was not trained on them ("zero-shot")."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING, Any

from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.cube import keywords as keyword
from xr_cbottle.cube import metadata
from xr_cbottle.cube.checks import integer
from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.keywords import KEYWORDS
from xr_cbottle.cube.reading import Reading
from xr_cbottle.cube.sources import GivenInstants
from xr_cbottle.cube.spec import make_spec
from xr_cbottle.draw.fine import finest_zoom
from xr_cbottle.fields import channels
from xr_cbottle.fields.coarse_fields import Given, read_given
from xr_cbottle.grid.time_axis import TimeAxis

if TYPE_CHECKING:
    import os

    import xarray as xr

_KEYWORDS = tuple(name for name, one in KEYWORDS.items() if one.downscale)


@keyword.documented(names=_KEYWORDS)
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
    {keywords}

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
    cube, given, origin = _refined(ds, bottle, zoom, seed, member, keywords)
    result = _described(cube.to_dataset(chunks), cube, given, origin)
    return result if given.has_time else result.isel(time=0)


def refined(
    ds: xr.Dataset,
    bottle: str | os.PathLike[str] | Bottle,
    *,
    zoom: int | None = None,
    seed: int = 0,
    member: int = 0,
    **keywords: Any,
) -> tuple[Cube, xr.Dataset]:
    """The cube of a data set that is super-resolved, and the data set that `downscale` makes of it, lazy, with time."""
    cube, given, origin = _refined(ds, bottle, zoom, seed, member, keywords)
    return cube, _described(cube.lazy_dataset(), cube, given, origin)


def _refined(
    ds: xr.Dataset, bottle: Any, zoom: int | None, seed: int, member: int, keywords: dict[str, Any]
) -> tuple[Cube, Given, str]:
    asked = keyword.checked(keywords, "downscale", _KEYWORDS)
    opened = bottle if isinstance(bottle, Bottle) else open_bottle(bottle, weights=asked["weights"])
    manifest = opened.manifest
    if not manifest.superres:
        raise ValueError(f"{manifest.name} has no super-resolution: choose a bottle that has, see xr-cbottle info")
    finest = finest_zoom(manifest)
    asked["zoom"] = integer("zoom", finest if zoom is None else zoom, manifest.zoom + 1, finest + 1)
    asked["seed"] = KEYWORDS["seed"].check("seed", seed)
    number = integer("member", member, 0, 2**32)
    spec = make_spec(manifest, opened.digest, asked)
    fine = spec.fine
    assert fine is not None  # the zoom is above the native one
    given = read_given(ds, fine.channels, manifest.zoom, manifest.name, own=manifest.own)
    # The data are not looked at to name them: each call has instants of its own.
    spec = dataclasses.replace(spec, axis=_axis(given), label=None, given=uuid.uuid4().hex)
    reading = Reading.of(asked)
    instants = GivenInstants(given, fine.channels, spec.batch_size, reading)
    cube = Cube.over(instants, opened, spec, reading, {}, number)
    return cube, given, str(ds.attrs.get("history", ""))


def _axis(given: Given) -> TimeAxis:
    seconds = given.seconds.tolist()
    return TimeAxis(seconds[0], 1, len(seconds), 1, "inst", tuple(seconds))


def _described(ds: xr.Dataset, cube: Cube, given: Given, origin: str) -> xr.Dataset:
    """The data set with attributes that say what was done to which data."""
    manifest, fine = cube.bottle.manifest, cube.spec.fine
    assert fine is not None  # the zoom is above the native one
    for source in given.found:
        name = channels.parse(source.channel, manifest.own).variable.name
        if name not in ds.variables:
            continue
        attrs = ds.variables[name].attrs
        attrs.pop("comment", None)
        methods = source.array.attrs.get("cell_methods")
        if methods:
            attrs["cell_methods"] = str(methods)
        else:
            attrs.pop("cell_methods", None)
        if source.may_lack:
            attrs["comment"] = "Missing where the data that were refined are missing."
    whole = metadata.global_attrs(cube.spec, manifest, {})
    line = f"xr_cbottle {whole['xr_cbottle_version']}: downscaled zero-shot by {manifest.name} ({given.changes})"
    ds.attrs = {
        "title": f"Super-resolved to zoom {cube.spec.zoom} by the bottle {manifest.name}",
        **{name: whole[name] for name in (*_ATTRIBUTES, *fine.attrs()) if name in whole},
        "member": metadata.stored(cube.member),
        "history": "\n".join(part for part in (origin, line) if part),
    }
    return ds


_ATTRIBUTES = (
    "Conventions", "references", "license", "bottle", "bottle_digest", "bottle_created", "seed", "precision", "zoom",
    "native_zoom", "xr_cbottle_version",
)  # fmt: skip
