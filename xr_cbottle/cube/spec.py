"""Keywords into a `CubeSpec`: which data set of all those that a bottle stands for."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle.base.plain_text import shown
from xr_cbottle.cube.checks import is_integer
from xr_cbottle.draw.defaults import default_batch_size
from xr_cbottle.draw.fine import Fine, finest_zoom, make_fine
from xr_cbottle.grid import time_axis
from xr_cbottle.grid.time_axis import TimeAxis

if TYPE_CHECKING:
    from xr_cbottle.bottle.manifest import Manifest
    from xr_cbottle.bottle.sampler import SamplerDefaults
    from xr_cbottle.fields.sst import SeaSurfaceTemperature

# Raised when the same keywords begin to make other values: what older versions kept on disk is then not used.
_NUMERICS = 1
_FINE_NUMERICS = 1  # of super-resolution


@dataclass(frozen=True)
class CubeSpec:
    """One data set of a bottle; everything that its values and its form are a function of.

    Attributes
    ----------
    digest
        Of the bottle.
    native_zoom, zoom
        HEALPix level of the network and of the data set.
    axis
        Its times.
    members
        Numbers of its members; None for member 0 without a dimension.
    seed, label
        As everywhere; the label is None in a bottle without labels.
    sampler
        num_steps, sigma_min, sigma_max, rho, solver.
    precision, batch_size, device
        How the network is run; device None is chosen where values are read.
    sst
        Digest of the user's SST, None for the bottle's.
    given
        What stands for the user's data that instants are taken from; None where they are drawn.
    fine
        How values above the native zoom are made; None up to it.
    guide
        The event that draws are steered to, as text; None if they are not.
    """

    digest: str
    native_zoom: int
    zoom: int
    axis: TimeAxis
    members: tuple[int, ...] | None
    seed: int
    label: str | None
    sampler: tuple[int, float, float, float, str]
    precision: str
    batch_size: int
    device: str | None
    sst: str | None
    fine: Fine | None = None
    given: str | None = None
    guide: str | None = None

    @functools.cached_property
    def namespace(self) -> str:
        """Digest of what an instant is a function of, beside label, seed, member and time."""
        names = ("digest", "sampler", "precision", "batch_size", "device", "sst")
        values = {name: getattr(self, name) for name in names}
        of_some = {name: getattr(self, name) for name in ("given", "guide") if getattr(self, name) is not None}
        return _sha256({"numerics": _NUMERICS, **values, **of_some})

    @functools.cached_property
    def field_namespace(self) -> str:
        """Digest of what the fields that values are made of are a function of: instants, or pieces above them."""
        if self.fine is None:
            return self.namespace
        return _sha256({"numerics": _FINE_NUMERICS, "coarse": self.namespace, "fine": dataclasses.asdict(self.fine)})

    @functools.cached_property
    def token(self) -> str:
        """Digest of the whole data set: dask's token."""
        values = dataclasses.asdict(self)
        of_some = {name for name in ("fine", "given", "guide") if values[name] is None}
        return _sha256({"numerics": _NUMERICS, **{k: v for k, v in values.items() if k not in of_some}})


def _sha256(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def make_spec(
    manifest: Manifest, digest: str, keywords: Mapping[str, Any], sst: SeaSurfaceTemperature | None = None
) -> CubeSpec:
    """The data set that keywords ask for.

    Parameters
    ----------
    manifest, digest
        What the bottle is.
    keywords
        All keywords with checked values, from `xr_cbottle.cube.keywords.checked`.
    sst
        The user's sea surface temperature, opened; None for the bottle's.

    Raises
    ------
    ValueError
        If the bottle does not have what is asked for; it lists what it has.
    """
    zoom = _zoom(manifest, keywords["zoom"])
    guide = keywords["guide"]
    if guide is not None and keywords["time_method"] != "inst":
        raise ValueError("guide is for instants, which have weights: leave time_method out, and take weighted means")
    start, end, native = time_axis.range_of(manifest.time.start, manifest.time.end, manifest.time.step)
    if sst is not None:
        start, end = _covered(sst, start, native)
    return CubeSpec(
        digest=digest,
        native_zoom=manifest.zoom,
        zoom=zoom,
        axis=time_axis.make_axis(keywords["time"], keywords["time_method"], start=start, end=end, native=native),
        members=keywords["members"],
        seed=keywords["seed"],
        label=manifest.label(keywords["label"]),
        sampler=_sampler(manifest.sampler, keywords),
        precision=keywords["precision"],
        batch_size=keywords["batch_size"] or default_batch_size(manifest.zoom),
        device=keywords["device"],
        sst=None if sst is None else sst.token,
        fine=make_fine(manifest, zoom, keywords["sr_mode"], keywords["sr_network"]),
        guide=None if guide is None else guide.token,
    )


def _zoom(manifest: Manifest, zoom: Any) -> int:
    if zoom is None:
        return manifest.zoom
    finest = finest_zoom(manifest)
    if not is_integer(zoom) or not 0 <= zoom <= finest:
        beyond = f"by super-resolution up to {finest}" if manifest.superres else "no super-resolution beyond"
        raise ValueError(f"zoom is {shown(zoom)}: {manifest.name} has zooms 0 to {manifest.zoom}, and {beyond}")
    return operator.index(zoom)


def _covered(sst: SeaSurfaceTemperature, start: int, native: int) -> tuple[int, int]:
    """First and last instant of the bottle's time grid that a user's SST covers."""
    first, last = (int(t.astype("datetime64[s]").astype(np.int64)) for t in sst.coverage)
    begin, finish = start + -(-(first - start) // native) * native, start + (last - start) // native * native
    if begin > finish:
        raise ValueError(
            f"the SST from {time_axis.format_time(first)} to {time_axis.format_time(last)} covers no instant: "
            "give more of it"
        )
    return begin, finish


def _sampler(default: SamplerDefaults, keywords: Mapping[str, Any]) -> tuple[int, float, float, float, str]:
    chosen = {name: keywords[name] for name in ("num_steps", "sigma_min", "sigma_max", "solver")}
    steps, low, high, solver = (getattr(default, name) if value is None else value for name, value in chosen.items())
    if low >= high:
        raise ValueError(f"sigma_min is {low:g} and sigma_max {high:g}: sigma_min must be less than sigma_max")
    return steps, float(low), float(high), float(default.rho), solver
