"""Keywords into a `CubeSpec`: which data set of all those that a bottle stands for."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle.bottle.sampler import SOLVERS
from xr_cbottle.cube.fine import Fine, finest_zoom, make_fine
from xr_cbottle.grid import time_axis
from xr_cbottle.grid.time_axis import TimeAxis

if TYPE_CHECKING:
    from xr_cbottle.bottle.manifest import Manifest
    from xr_cbottle.draw.conditions import SeaSurfaceTemperature

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
MAX_INSTANTS = 10_000

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
    fine
        How values above the native zoom are made; None up to it.
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

    @functools.cached_property
    def namespace(self) -> str:
        """Digest of what an instant is a function of beside label, seed, member and time."""
        names = ("digest", "sampler", "precision", "batch_size", "device", "sst")
        return _sha256({"numerics": _NUMERICS} | {name: getattr(self, name) for name in names})

    @functools.cached_property
    def fine_namespace(self) -> str:
        """As `namespace`, of what a piece of the fine level is a function of."""
        assert self.fine is not None  # there are pieces above the native zoom only
        return _sha256({"numerics": _FINE_NUMERICS, "coarse": self.namespace, "fine": dataclasses.asdict(self.fine)})

    @functools.cached_property
    def token(self) -> str:
        """Digest of the whole: dask's token."""
        values = dataclasses.asdict(self)
        if self.fine is None:
            del values["fine"]
        return _sha256({"numerics": _NUMERICS, **values})


def _sha256(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def make_spec(
    manifest: Manifest,
    digest: str,
    *,
    zoom: int | None = None,
    time: Any = None,
    time_method: str = "inst",
    members: Any = None,
    seed: int = 0,
    label: str | None = None,
    num_steps: int | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    solver: str | None = None,
    precision: str = "float32",
    batch_size: int | None = None,
    device: Any = None,
    sst: SeaSurfaceTemperature | None = None,
    sr_mode: str = "tiles",
    sr_network: str | None = None,
) -> CubeSpec:
    """The data set that keywords ask for; see `xr_cbottle.cube.Cube` for them.

    Raises
    ------
    ValueError
        If a value is wrong; it lists the right ones.
    """
    if zoom is None:
        zoom = manifest.zoom
    elif not _is_int(zoom) or not 0 <= zoom <= finest_zoom(manifest):
        finest = finest_zoom(manifest)
        beyond = f"by super-resolution up to {finest}" if manifest.superres else "no super-resolution beyond"
        raise ValueError(f"zoom is {zoom!r}: {manifest.name} has zooms 0 to {manifest.zoom}, and {beyond}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}: choose one of {', '.join(PRECISIONS)}")
    if batch_size is None:
        batch_size = default_batch_size(manifest.zoom)
    start, end, native = time_axis.range_of(manifest.time.start, manifest.time.end, manifest.time.step)
    if sst is not None:
        start, end = _covered(sst, start, native)
    return CubeSpec(
        digest=digest,
        native_zoom=manifest.zoom,
        zoom=operator.index(zoom),
        axis=time_axis.make_axis(time, time_method, start=start, end=end, native=native),
        members=_members(members),
        seed=integer("seed", seed, 0, 2**63),
        label=_label(manifest, label),
        sampler=_sampler(manifest, num_steps, sigma_min, sigma_max, solver),
        precision=precision,
        batch_size=integer("batch_size", batch_size, 1, 2**16),
        device=None if device is None else str(device),
        sst=None if sst is None else sst.token,
        fine=make_fine(manifest, operator.index(zoom), sr_mode, sr_network),
    )


def default_batch_size(zoom: int) -> int:
    """Instants drawn at once when nobody says; a constant, because the last bits of values depend on it.

    Few enough that a read of one instant, whose batch is padded, does not cost much more than it must; on a
    CPU four are drawn as fast, each, as eight.
    """
    return 4 if zoom <= 6 else 1


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


def _members(members: Any) -> tuple[int, ...] | None:
    if members is None:
        return None
    if _is_int(members):
        if not 1 <= members <= 2**20:
            raise ValueError(f"members is {members}: give how many, at least 1, or a list of member numbers")
        return tuple(range(operator.index(members)))
    try:
        numbers = tuple(integer("a member", m, 0, 2**32) for m in members)
    except TypeError:
        raise ValueError(f"members is {members!r}: give how many, or a list of member numbers") from None
    if not numbers or len(set(numbers)) < len(numbers) or isinstance(members, (str, bytes)):
        raise ValueError(f"members is {members!r}: give at least one member number, and each once")
    return numbers


def _label(manifest: Manifest, label: str | None) -> str | None:
    names = ", ".join(manifest.labels)
    if label is None:
        return manifest.default_label
    if not isinstance(label, str) or label not in manifest.labels:
        raise ValueError(
            f"label is {label!r}: {manifest.name} has "
            + (f"the labels {names}" if names else "no labels, leave it out")
        )
    return label


def _sampler(
    manifest: Manifest, num_steps: int | None, sigma_min: float | None, sigma_max: float | None, solver: str | None
) -> tuple[int, float, float, float, str]:
    default = manifest.sampler
    if solver is not None and solver not in SOLVERS:
        raise ValueError(f"solver is {solver!r}: choose one of {', '.join(SOLVERS)}")
    steps = default.num_steps if num_steps is None else integer("num_steps", num_steps, 2, 10_001)
    low = default.sigma_min if sigma_min is None else _positive("sigma_min", sigma_min)
    high = default.sigma_max if sigma_max is None else _positive("sigma_max", sigma_max)
    if low >= high:
        raise ValueError(f"sigma_min is {low:g} and sigma_max {high:g}: sigma_min must be less than sigma_max")
    return steps, float(low), float(high), float(default.rho), solver or default.solver


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def integer(name: str, value: Any, low: int, end: int) -> int:
    """An integer from ``low`` to before ``end``; anything else is a ValueError that says so."""
    if not _is_int(value) or not low <= value < end:
        allowed = f"an integer from {low} to {end - 1}" if end - 1 > low else str(low)
        raise ValueError(f"{name} is {value!r}: it must be {allowed}")
    return operator.index(value)


def _positive(name: str, value: Any) -> float:
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and 0 < value < math.inf:
        return float(value)
    raise ValueError(f"{name} is {value!r}: it must be a positive number")
