"""Records that a manifest is made of: variables, labels, networks, files, bounds, forcings, the axis of time.

The documentation of `xr_cbottle.bottle.manifest` lists what each field means.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle import limits, schema
from xr_cbottle.bottle.errors import SchemaError
from xr_cbottle.bottle.sampler import SamplerDefaults
from xr_cbottle.bottle.schema import Record, field
from xr_cbottle.grid import time_axis
from xr_cbottle.grid.patches import PatchGrid
from xr_cbottle.grid.time_tree import TimeTree
from xr_cbottle.grid.window_chain import WindowChain

if TYPE_CHECKING:
    from xr_cbottle.fields.series import Series

COARSE, BRIDGE, VIDEO, SUPERRES, DISTILLED = "coarse", "bridge", "video", "superres", "superres-distilled"
TRANSFORMS = ("linear", "log2")
ROLES = (COARSE, BRIDGE, VIDEO, SUPERRES, DISTILLED)
IN_TIME = (BRIDGE, VIDEO)
"""Roles of networks that draw instants from others, each with a record of its own name."""
CONDITIONS = ("sst", "climatology", "coherence", "gaps", "static")
"""Keys of the manifest with files that are no networks."""
UNITS = schema.text(r"[A-Za-z0-9 ./*%^-]{1,40}", "a unit such as ppmv")
SMALL_NAME = schema.text(r"[a-z][a-z0-9_]{0,31}", "a name of small letters, digits and _, such as co2")


@dataclasses.dataclass(frozen=True)
class FieldSpec(Record):
    """Unit and names of a field."""

    units: str = field(UNITS)
    long_name: str = field(schema.text(r".*", "text"), "")
    standard_name: str = field(schema.text(r"[a-z0-9_]*", "a standard name of CF, or empty", 200), "")


@dataclasses.dataclass(frozen=True)
class VariableSpec(FieldSpec):
    """A variable of a bottle's own: what its values are, and whether it has levels."""

    levels: bool = field(schema.boolean(), False)


@dataclasses.dataclass(frozen=True)
class LabelSpec(Record):
    """One data set the model imitates: its one-hot index, the channels it lacked and who lends them."""

    index: int = field(schema.integer(0, limits.LABEL_VECTOR - 1))
    masked: tuple[str, ...] = field(schema.each(schema.channel()), ())
    donor: str | None = field(schema.optional(schema.label()), None)


@dataclasses.dataclass(frozen=True)
class SuperresSpec(Record):
    """A network of overlapping patches above the bottle's zoom, and how it is sampled: Heun, or few steps."""

    zoom: int = field(schema.integer(1, limits.ZOOM))
    channels: tuple[str, ...] = field(schema.each(schema.channel(), 1))
    patch: int = field(schema.integer(1, limits.PATCH_CELLS), 128)
    overlap: int = field(schema.integer(0, limits.PATCH_CELLS), 32)
    sampler: SamplerDefaults | None = field(schema.optional(schema.nested(SamplerDefaults)), None)  # noqa: RUF009
    sigmas: tuple[float, ...] = field(schema.each(schema.number(0, open_end=True)), ())
    window: float | None = field(schema.optional(schema.number(0, open_end=True)), None)
    detail: tuple[float, ...] = field(schema.each(schema.number(0, open_end=True)), ())
    conserve: bool = field(schema.boolean(), False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.channels)) != len(self.channels):
            raise SchemaError("channels", "a list of different names", list(self.channels))
        if self.detail and len(self.detail) != len(self.channels):
            raise SchemaError("detail", f"absent or {len(self.channels)} numbers, one a channel", list(self.detail))
        if self.sampler is not None and self.sampler.solver != "heun":
            raise SchemaError("sampler.solver", "heun", self.sampler.solver)
        if self.sampler is not None and self.sampler.sigmas:
            raise SchemaError("sampler.sigmas", "absent in super-resolution", [list(x) for x in self.sampler.sigmas])
        try:
            PatchGrid(self.zoom, self.patch, self.overlap)
        except ValueError:
            raise SchemaError("overlap", f"such that patches of {self.patch} cells tile a face", self.overlap) from None
        for i, (before, after) in enumerate(itertools.pairwise(self.sigmas)):
            if after >= before:
                raise SchemaError(f"sigmas[{i + 1}]", f"less than the one before ({before:g})", after)

    def plain(self) -> dict[str, Any]:
        """The record as JSON's types, without later keys that say nothing: older bottles keep their digests."""
        values = super().plain()
        return {key: value for key, value in values.items() if value or key not in ("detail", "conserve")}


@dataclasses.dataclass(frozen=True)
class BridgeSpec(Record):
    """A network that draws the state between two states: the least and the most that these may be apart."""

    step: str = field(schema.duration())
    interval: str = field(schema.duration())
    labels: tuple[str, ...] = field(schema.each(schema.label(), 0, limits.LABELS), ())

    def __post_init__(self) -> None:
        super().__post_init__()
        step, interval = (time_axis.parse_period(text) for text in (self.step, self.interval))
        halvings = (interval // step).bit_length() - 1
        if interval != step << max(halvings, 0) or not 1 <= halvings <= limits.HALVINGS:
            must = f"step ({self.step}) times 2, 4, 8, ..., at most 2 to the power of {limits.HALVINGS}"
            raise SchemaError("interval", must, self.interval)

    def tree(self, origin: int = 0) -> TimeTree:
        """The tree whose instants the network draws, with a root at ``origin`` seconds since 1970."""
        step, interval = (time_axis.parse_period(text) for text in (self.step, self.interval))
        return TimeTree(step, (interval // step).bit_length() - 1, origin)


@dataclasses.dataclass(frozen=True)
class VideoSpec(Record):
    """A network that draws a window of frames at once: their number and distance, and windows from anchor to anchor."""

    frames: int = field(schema.integer(3, limits.FRAMES))
    step: str = field(schema.duration())
    windows: int = field(schema.integer(1, limits.WINDOWS))
    labels: tuple[str, ...] = field(schema.each(schema.label(), 0, limits.LABELS), ())
    sampler: SamplerDefaults | None = field(schema.optional(schema.nested(SamplerDefaults)), None)  # noqa: RUF009

    def chain(self, origin: int = 0) -> WindowChain:
        """The windows that the network draws, with an anchor at ``origin`` seconds since 1970."""
        return WindowChain(time_axis.parse_period(self.step), self.frames, self.windows, origin)


@dataclasses.dataclass(frozen=True)
class PartSpec(Record):
    """One network: used for ``sigma >= sigma_min`` that no earlier part takes; a v1 checkpoint file."""

    role: str = field(schema.one_of(ROLES))
    sigma_min: float = field(schema.number(0))
    location: str = field(schema.location())
    sha256: str | None = field(schema.optional(schema.sha256()), None)
    size: int | None = field(schema.optional(schema.integer(1)), None)
    superres: SuperresSpec | None = field(schema.optional(schema.nested(SuperresSpec)), None)  # noqa: RUF009
    bridge: BridgeSpec | None = field(schema.optional(schema.nested(BridgeSpec)), None)  # noqa: RUF009
    video: VideoSpec | None = field(schema.optional(schema.nested(VideoSpec)), None)  # noqa: RUF009

    def __post_init__(self) -> None:
        super().__post_init__()
        spec = self.superres
        for role in IN_TIME:
            own = self.in_time(role)
            if (own is None) != (self.role != role):
                must = "given" if own is None else "absent"
                raise SchemaError(role, f"{must}, as the role is {self.role}", own and own.plain())
        if self.role in (COARSE, *IN_TIME):
            if spec is not None:
                raise SchemaError("superres", f"absent, as the role is {self.role}", spec.plain())
            return
        if spec is None:
            raise SchemaError("superres", f"given, as the role is {self.role}", None)
        if self.sigma_min != 0:
            raise SchemaError("sigma_min", f"0, as the role is {self.role}", self.sigma_min)
        few = self.role == DISTILLED
        if (spec.sampler is None) != few:
            raise SchemaError("superres.sampler", f"{'absent' if few else 'given'}, as the role is {self.role}", None)
        if bool(spec.sigmas) != few:
            raise SchemaError(
                "superres.sigmas", f"{'given' if few else 'absent'}, as the role is {self.role}", list(spec.sigmas)
            )

    def in_time(self, role: str) -> BridgeSpec | VideoSpec | None:
        """The record of one of the roles `IN_TIME`; None if the part has it not."""
        return self.bridge if role == BRIDGE else self.video

    def plain(self) -> dict[str, Any]:
        """The record as JSON's types, without what other roles have: older bottles keep their digests."""
        others = ("superres", *IN_TIME)
        return {key: value for key, value in super().plain().items() if value or key not in others}


@dataclasses.dataclass(frozen=True)
class ConditionSpec(Record):
    """A netCDF file: of monthly sea surface temperature, of the climatology, or of coherence."""

    location: str = field(schema.location())
    sha256: str | None = field(schema.optional(schema.sha256()), None)
    size: int | None = field(schema.optional(schema.integer(1)), None)
    variable: str | None = field(schema.optional(schema.text()), None)


@dataclasses.dataclass(frozen=True)
class GapsSpec(ConditionSpec):
    """A netCDF file of the cells in which labels have no values, and which share of the globe that is."""

    shares: Mapping[str, Mapping[str, float]] = field(
        schema.mapping(
            schema.label(),
            schema.mapping(schema.channel(), schema.number(0, most=1), limits.CHANNELS),
            limits.LABELS,
        ),
        schema.empty,
    )


@dataclasses.dataclass(frozen=True)
class StaticSpec(ConditionSpec):
    """A netCDF file of fields that do not change in time, and what they are."""

    variables: Mapping[str, FieldSpec] = field(
        schema.mapping(SMALL_NAME, schema.nested(FieldSpec), limits.STATIC), schema.empty
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.variables:
            raise SchemaError("variables", "one field at least", {})
        # By name: the digest does not tell in which order an object was written.
        object.__setattr__(self, "variables", dict(sorted(self.variables.items())))


@dataclasses.dataclass(frozen=True)
class BoundSpec(Record):
    """Bounds of a channel: least, most, sun or another channel above it, saturation, a steady mean, the sea itself."""

    least: float | None = field(schema.optional(schema.number(-limits.SIGMA)), None)
    most: float | None = field(schema.optional(schema.number(-limits.SIGMA)), None)
    sun: Mapping[str, float] | None = field(
        schema.optional(schema.mapping(schema.label(), schema.number(0, most=24), limits.LABELS)), None
    )
    below: str | None = field(schema.optional(schema.channel()), None)
    saturation: float | Mapping[str, float] | None = field(
        schema.optional(schema.one_or_named(schema.number(0, open_end=True), schema.label(), limits.LABELS)), None
    )
    temperature: str | None = field(schema.optional(schema.channel()), None)
    mean: float | None = field(schema.optional(schema.number(0, most=1)), None)
    sea: bool | None = field(schema.optional(schema.boolean()), None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least is not None and self.most is not None and self.most <= self.least:
            raise SchemaError("most", f"more than least ({self.least:g})", self.most)
        if (self.saturation is None) != (self.temperature is None):
            raise SchemaError("temperature", "given with saturation, and only with it", self.temperature)
        if not self.plain():
            raise SchemaError("", "of one bound at least (least, most, sun, below, saturation, mean, sea)", {})

    def saturated(self, label: str | None) -> float | None:
        """How many times of saturation a label goes; None if it is not bound so."""
        if isinstance(self.saturation, Mapping):
            return None if label is None else self.saturation.get(label)
        return self.saturation

    def plain(self) -> dict[str, Any]:
        """The record as JSON's types, without what is null."""
        return {key: value for key, value in super().plain().items() if value is not None}


@dataclasses.dataclass(frozen=True)
class ForcingSpec(Record):
    """A number in time that forces the climate beside the sea: its range, how it is told, and the bottle's own series.

    ``values`` are linear between ``times``; without these there is one that always holds.
    """

    units: str = field(UNITS)
    low: float = field(schema.number(-limits.FORCING, most=limits.FORCING))
    high: float = field(schema.number(-limits.FORCING, most=limits.FORCING))
    reference: float = field(schema.number(-limits.FORCING, most=limits.FORCING))
    values: tuple[float, ...] = field(
        schema.each(schema.number(-limits.FORCING, most=limits.FORCING), 1, limits.FORCING_TIMES)
    )
    times: tuple[str, ...] = field(schema.each(schema.instant(), 0, limits.FORCING_TIMES), ())
    transform: str = field(schema.one_of(TRANSFORMS), "linear")
    long_name: str = field(schema.text(r".*", "text"), "")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high:
            raise SchemaError("high", f"above low ({self.low:g})", self.high)
        if self.transform == "log2" and self.low <= 0:
            raise SchemaError("low", "a number > 0, as the transform is log2", self.low)
        for name, values in (("reference", (self.reference,)), ("values", self.values)):
            for value in values:
                if not self.low <= value <= self.high:
                    raise SchemaError(name, f"from low to high ({self.low:g} to {self.high:g})", value)
        if len(self.values) != max(len(self.times), 1):
            raise SchemaError("values", f"as many as times ({len(self.times)}), or one without", len(self.values))
        stamps = [schema.parse_instant(time) for time in self.times]
        for i, (before, after) in enumerate(itertools.pairwise(stamps)):
            if after <= before:
                raise SchemaError(f"times[{i + 1}]", f"after the one before ({self.times[i]})", self.times[i + 1])

    def series(self, name: str) -> Series:
        """The series of the bottle's own years."""
        from xr_cbottle.fields import series

        if not self.times:
            return series.constant(self.values[0], name, self.units)
        return series.at_times(np.array(self.times, "datetime64[s]"), self.values, "the bottle's")

    def predictor(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Values in its unit as networks and climatology are told them: doublings, or shares of its range; float64."""
        given = np.asarray(values, np.float64)
        if self.transform == "log2":
            return np.asarray(np.log2(given / self.reference))
        return (given - self.reference) / (self.high - self.low)

    @property
    def learnt(self) -> tuple[float, float]:
        """Least and most that they were told in training."""
        low, high = self.predictor([self.low, self.high]).tolist()
        return low, high


@dataclasses.dataclass(frozen=True)
class TimeSpec(Record):
    """The time axis the bottle stands for: both ends included, UTC; step an ISO-8601 duration."""

    start: str = field(schema.instant())
    end: str = field(schema.instant())
    step: str = field(schema.duration(), "PT1H")

    def __post_init__(self) -> None:
        super().__post_init__()
        if schema.parse_instant(self.end) < schema.parse_instant(self.start):
            raise SchemaError("end", f"no earlier than start ({self.start})", self.end)
        start, end, step = time_axis.range_of(self.start, self.end, self.step)
        if (end - start) // step >= limits.INSTANTS:
            raise SchemaError("step", f"such that there are at most {limits.INSTANTS:,} instants", self.step)
