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
from xr_cbottle.bottle.records import BridgeSpec
from xr_cbottle.cube.checks import is_integer
from xr_cbottle.cube.climate import AskedClimate
from xr_cbottle.draw.defaults import BRIDGE, INDEPENDENT, LATENTS, VIDEO, default_batch_size, usual_coherence
from xr_cbottle.draw.fine import Fine, finest_zoom, make_fine
from xr_cbottle.grid import time_axis
from xr_cbottle.grid.time_axis import TimeAxis
from xr_cbottle.grid.time_order import TimeOrder

if TYPE_CHECKING:
    from xr_cbottle.bottle.manifest import Manifest
    from xr_cbottle.bottle.sampler import SamplerDefaults
    from xr_cbottle.fields.sst import SeaSurfaceTemperature

# Raised when the same keywords begin to make other values: what older versions kept on disk is then not used.
_NUMERICS = 1
_FINE_NUMERICS = 1  # of super-resolution


@dataclass(frozen=True)
class Windows:
    """How windows of frames are drawn.

    Attributes
    ----------
    sampler, sigmas
        As those of a `CubeSpec`, of the video network.
    networks
        sha256 of its files, None of those that are not known yet: they are not in the digest of a bottle of URLs.
    """

    sampler: tuple[int, float, float, float, str]
    sigmas: tuple[float, ...] | None = None
    networks: tuple[str | None, ...] = ()


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
    sigmas
        Noise levels that were chosen, of which there are num_steps; None where rho spaces them.
    precision, batch_size, device
        How the network is run; device None is chosen where values are read.
    sst
        Digest of the user's SST, None for the bottle's.
    coherence
        ``"latents"``, the bottle's; or the seconds that noise lasts; ``"bridge"``: instants are drawn between others;
        ``"video"``: they are frames of windows; None if they are independent draws.
    given
        What stands for the user's data that instants are taken from; None where they are drawn.
    fine
        How values above the native zoom are made; None up to it.
    sst_offset
        Digest and words of what is added to the SST; None for nothing.
    forcings
        Name, digest and words of each forcing that is not the bottle's own.
    outside
        What of all this is outside of training, in sentences.
    guide
        The event that draws are steered to, as text; None if they are not.
    tree
        Over time, that the instants hang in, or the chains of their windows; None if they hang on no others.
    windows
        How windows of frames are drawn; None if instants are none of them.
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
    sigmas: tuple[float, ...] | None = None
    sst_offset: tuple[str, str] | None = None
    forcings: tuple[tuple[str, str, str], ...] = ()
    outside: tuple[str, ...] = ()
    guide: str | None = None
    coherence: int | str | None = None
    tree: TimeOrder | None = None
    windows: Windows | None = None

    @functools.cached_property
    def namespace(self) -> str:
        """Digest of what an instant is a function of, beside label, seed, member and time."""
        names = ("digest", "sampler", "precision", "batch_size", "device", "sst")
        values = {name: getattr(self, name) for name in names}
        maybe = ("given", "sigmas", "guide", "coherence")
        later = {name: getattr(self, name) for name in maybe if getattr(self, name) is not None}
        if self.sst_offset is not None:
            later["sst_offset"] = self.sst_offset[0]
        if self.windows is not None:
            later["windows"] = dataclasses.asdict(self.windows)
        if self.forcings:
            later["forcings"] = {name: token for name, token, _ in self.forcings}
        return _sha256({"numerics": _NUMERICS, **values, **later})

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
        later = (
            "fine", "given", "sigmas", "guide", "sst_offset", "forcings", "outside", "coherence", "tree", "windows"
        )  # fmt: skip
        of_some = {name for name in later if not values[name]}
        return _sha256({"numerics": _NUMERICS, **{k: v for k, v in values.items() if k not in of_some}})


def _sha256(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def make_spec(
    manifest: Manifest, digest: str, keywords: Mapping[str, Any], climate: AskedClimate | None = None
) -> CubeSpec:
    """The data set that keywords ask for.

    Parameters
    ----------
    manifest, digest
        What the bottle is.
    keywords
        All keywords with checked values, from `xr_cbottle.cube.keywords.checked`.
    climate
        The user's sea and forcings, opened; None for the bottle's.

    Raises
    ------
    ValueError
        If the bottle does not have what is asked for; it lists what it has.
    """
    asked = climate or AskedClimate()
    sst = asked.sst
    zoom = _zoom(manifest, keywords["zoom"])
    guide = keywords["guide"]
    if guide is not None and keywords["coherence"] not in (None, INDEPENDENT):
        raise ValueError("guide is for independent instants, which have weights: leave coherence out")
    if guide is not None and keywords["time_method"] != "inst":
        raise ValueError("guide is for instants, which have weights: leave time_method out, and take weighted means")
    start, end, native = time_axis.range_of(manifest.time.start, manifest.time.end, manifest.time.step)
    sampler, label = manifest.sampler.asked(keywords), manifest.label(keywords["label"])
    tree = _order(manifest, keywords["coherence"], label, start)
    if keywords["coherence"] == VIDEO and tree is not None:
        native = tree.step
        end = start + (end - start) // native * native
    if sst is not None:
        start, end = _covered(sst, start, native)
    return CubeSpec(
        digest=digest,
        native_zoom=manifest.zoom,
        zoom=zoom,
        axis=_axis(keywords, start, end, native),
        members=keywords["members"],
        seed=keywords["seed"],
        label=label,
        sampler=_settings(sampler),
        sigmas=sampler.chosen(sampler.num_steps) or None,
        precision=keywords["precision"],
        batch_size=keywords["batch_size"] or default_batch_size(manifest.zoom),
        device=keywords["device"],
        sst=None if sst is None else sst.token,
        fine=make_fine(manifest, zoom, keywords["sr_mode"], keywords["sr_network"]),
        sst_offset=None if asked.offset is None else (asked.offset.token, asked.offset.name),
        forcings=tuple((name, one.token, one.name) for name, one in sorted(asked.forcings.items())),
        guide=None if guide is None else guide.token,
        coherence=_coherence(manifest, keywords["coherence"]),
        tree=tree,
        windows=_windows(manifest, keywords) if keywords["coherence"] == VIDEO else None,
    )


def _settings(sampler: SamplerDefaults) -> tuple[int, float, float, float, str]:
    return sampler.num_steps, sampler.sigma_min, sampler.sigma_max, sampler.rho, sampler.solver


def _windows(manifest: Manifest, keywords: Mapping[str, Any]) -> Windows:
    """How windows are drawn: as the bottle says, but for what the keywords say."""
    own = (manifest.video and manifest.video.sampler) or manifest.sampler
    sampler = own.asked(keywords)
    return Windows(_settings(sampler), sampler.chosen(sampler.num_steps) or None)


def _axis(keywords: Mapping[str, Any], start: int, end: int, native: int) -> TimeAxis:
    try:
        return time_axis.make_axis(keywords["time"], keywords["time_method"], start=start, end=end, native=native)
    except ValueError as error:
        if keywords["coherence"] != VIDEO:
            raise
        every = time_axis.format_period(native)
        raise ValueError(f"{error}; the windows of coherence='video' have frames every {every}") from None


def _order(manifest: Manifest, coherence: int | str | None, label: str | None, start: int) -> TimeOrder | None:
    """Which instants are drawn from which; None if none is drawn from others."""
    if coherence not in _NETWORKS:
        return None
    spec = manifest.bridge if coherence == BRIDGE else manifest.video
    if spec is None:
        network, source = _NETWORKS[str(coherence)]
        others = "none, latents" if manifest.coherence is not None else "none"
        raise ValueError(
            f"coherence is {coherence!r}: {manifest.name} has no network that draws {network}, choose "
            f"{others} or a duration such as '2D', or a bottle that {source}"
        )
    if label is not None and label not in spec.labels:
        known = ", ".join(spec.labels)
        raise ValueError(
            f"coherence is {coherence!r}: that of {manifest.name} was trained on {known} and knows nothing of {label}, "
            f"choose label={spec.labels[0]!r} or another coherence"
        )
    return spec.tree() if isinstance(spec, BridgeSpec) else spec.chain(start)


_NETWORKS = {
    BRIDGE: ("weather between two states", "was given one by xr-cbottle train"),
    VIDEO: ("windows of frames", "has one, such as icon"),
}
"""What the networks of a coherence draw, and which bottles have them."""


def settled_coherence(manifest: Manifest, keywords: Mapping[str, Any]) -> int | str:
    """The coherence of a data set of draws: what is asked for, else the bottle's own.

    Instants with a guide have weights, for which they must be independent.
    """
    asked: int | str | None = keywords["coherence"]
    return usual_coherence(manifest.coherence is not None and keywords["guide"] is None) if asked is None else asked


def _coherence(manifest: Manifest, coherence: int | str | None) -> int | str | None:
    if coherence == LATENTS and manifest.coherence is None:
        raise ValueError(
            f"coherence is 'latents': {manifest.name} does not carry how its weather lasts and travels, choose none or "
            "a duration such as '2D', or a bottle that was given it by xr-cbottle train --coherence"
        )
    return None if coherence == INDEPENDENT else coherence


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
