"""The manifest of a bottle, ``bottle.json``, schema version 1.

A manifest is one JSON object, UTF-8. Keys that are not listed here are refused, so that a typing
error is not silently a default; a change of meaning raises ``version``.

=================  ========================  ============================================================
key                type                      meaning
=================  ========================  ============================================================
``format``         ``"cbottle"``             says what the file is
``version``        ``1``                     version of this schema
``name``           letters, digits, ``._-``  short name, as in ``open_dataset("icon")``
``title``          text                      one line: what it is
``summary``        text                      what it imitates, and how well
``licence``        text                      terms of the weights; in the attributes of every data set
``references``     list of text              papers, model cards
``source``         text                      what made the data it was trained on
``created``        text                      when and by what the bottle was made
``zoom``           int 0..12                 HEALPix level of the channels
``channels``       list of text              names in the order of the network's output (``T850``)
``variables``      {name: variable}          variables of the bottle's own, which xr_cbottle does not know; absent: none
``labels``         {name: label}             data sets the model imitates; ``{}`` if it knows only one
``default_label``  name or null              the label used when none is asked for (null: the first)
``parts``          list of part              the networks: those of role ``coarse`` by descending ``sigma_min``,
                                             the last with 0; then at most one of each other role, of ``bridge``
                                             and ``video`` as many as there are ranges of noise
``sst``            condition or null         monthly sea surface temperature; null: drawing needs ``sst=``
``climatology``    condition or null         mean and spread that the network draws anomalies from
``coherence``      condition or null         how long the noise of each scale lasts, and how fast it travels
``gaps``           gaps or null              cells in which the data of a label have no values; absent: there are none
``static``         static or null            fields that do not change in time, such as land and altitude
``nonnegative``    list of text              channels of which nothing is below 0
``bounds``         {channel: bound}          what is drawn is moved into these; absent: nothing is
``forcings``       {name: forcing}           numbers in time that networks and climatology are told beside the sea
``sea_range``      two numbers or none       lowest and highest global mean of the sea from its mean year that was
                                             trained on, K; none: the climatology does not respond to the sea
``time``           time                      the time axis the bottle stands for
``sampler``        sampler                   the sampler's default settings
``trained_on``     object                    free: what is known of the training
=================  ========================  ============================================================

``name``, ``zoom``, ``channels``, ``parts`` and ``time`` must be given, like ``format`` and ``version``.

Labels are made of letters, digits and ``. _ + -``, channels of letters, digits and ``_``. Other text has no control
characters and none that turn or hide text; ``summary``, ``licence``, ``source`` and the texts of ``trained_on`` may
have several lines. Lengths and numbers have the limits of `xr_cbottle.bottle.limits`.

**variable** ``units``, ``long_name``, ``standard_name`` (one of CF's, or empty), ``levels`` (true: its channels are its
name with a pressure in hPa behind it; or absent). Its name has letters, digits and ``_``, no digits where it has
levels, and is not that of a variable or a channel that xr_cbottle knows.

**label** ``index`` (int >= 0, position in the one-hot vector), ``masked`` (channels that this data set did
not have; they are drawn under ``donor``), ``donor`` (another label, or null: they are then missing under this one, and
``gaps`` says so).

**part** ``role`` (``"coarse"``, ``"bridge"``, ``"video"``, ``"superres"``, ``"superres-distilled"``), ``sigma_min``
(number >= 0: used for noise levels sigma >= sigma_min that no earlier part of the role takes; 0 for super-resolution),
``location``, ``sha256`` (hex or null), ``size`` (bytes or null): a cBottle v1 checkpoint file. ``superres``: what only
the parts of super-resolution have, and must have; their files are patch networks, told the coarse field of the same
channels. ``bridge`` and ``video``: what only the parts of these roles have, and must have, all of a role the same.

**bridge** ``step``, ``interval`` (ISO-8601 durations, the second 2, 4, 8, ... times the first: a network that draws the
state between two states that lie from twice ``step`` to ``interval`` apart), ``labels`` (list of text: those that it
was trained on, at least one where the bottle has labels). Its files are like those of coarse parts and are told more:
after the conditions of those come the channels of the state before and of that after, standardised as the network draws
them, whether there is one before and one after (0 or 1), and how far they lie (`xr_cbottle.network.bridging`).

**video** ``frames`` (int >= 3: those of a window, which its network draws at once), ``step`` (ISO-8601 duration between
two frames), ``windows`` (int: so many, each of which begins with the last frame of the one before, from one anchor to
the next; an anchor is drawn by the coarse parts, begins the first of them and ends the last), ``labels`` (list of text:
those that it was trained on, at least one where the bottle has labels), ``sampler`` (that of its windows; null: the
bottle's). Its files join so many frames by temporal attention and are told more: before the conditions of coarse parts
come the channels of the given frames, standardised as the network draws them, 0 where a frame is not given, and after
them whether it is (0 or 1; `xr_cbottle.network.given_frames`).

**superres** ``zoom`` (int above the bottle's), ``channels`` (list of text, each one of the bottle's, in the order of
the network's output), ``patch`` (int: cells along an edge of a patch), ``overlap`` (int: cells that patches share),
``sampler`` (of role ``superres``), ``sigmas`` (of role ``superres-distilled``: the noise levels of its few steps,
descending), ``window`` (number > 0, alpha of the Kaiser-Bessel-derived window that weighs patches, or null for plain
means), ``detail`` (list of number > 0, one a channel: the network draws what differs from the bilinear interpolation
of the normalised coarse field, divided by these; or absent: it draws the normalised field), ``conserve`` (true: what
is drawn is shifted such that the mean of each coarse cell is the coarse value, see `xr_cbottle.grid.conservation`; or
absent). Both roles must have one zoom and the same channels.

**condition** ``location``, ``sha256``, ``size``, ``variable`` (name in the netCDF file, or null if there is
one only). The file is ``(time, cell)`` HEALPix NEST with NaN over land, or ``(time, lat, lon)``; K or degC by
its units. The climatology is what `xr_cbottle.bottle.climatology.Climatology.write` writes, with the labels and
channels of the manifest; the coherence what `xr_cbottle.bottle.coherence.Coherence.write` writes, with the same.

**gaps** ``location``, ``sha256``, ``size``, ``variable`` (null) as of a condition, of a file that
`xr_cbottle.bottle.gaps.Gaps.write` writes, with the labels and channels of the manifest; ``shares`` ({label: {channel:
number 0..1}}: which share of the globe has no value, of those labels and channels that have gaps). Networks draw 0
there, and readers get NaN.

**static** ``location``, ``sha256``, ``size``, ``variable`` (null) as of a condition, of a file that
`xr_cbottle.bottle.static_fields.StaticFields.write` writes, with the labels of the manifest; ``variables``: {name:
``units``, ``long_name``, ``standard_name``} of the fields in it. Names have small letters, digits and ``_``, and are
none of the data set's other variables and coordinates.

**bound** ``least``, ``most`` (numbers in the channel's unit, or null), ``sun`` ({label: hours 0..24}: at most what
falls on the top of the atmosphere, as an instant or in the mean over so many hours; or null), ``below`` (a channel in
the same unit, of which it is at most, such as sunshine at the surface of that at the top; or null), ``saturation``
(number > 0, or {label: number}: at most so many times what saturated air holds, for a channel of specific humidity at a
level, or null), with ``temperature`` (the channel of the air's temperature there), ``mean`` (number 0..1: which share
of the departure of the global mean from that of the climatology is kept, or null), ``sea`` (true: over open water it
is the SST that drives the draw, for a channel in K; or null). Fields are moved with their global mean kept, but for
``sea``. Channels that have no bounds are as they are drawn; a part of super-resolution above them keeps their means,
not their bounds.

**forcing** ``units``, ``low`` and ``high`` (the range that was trained on), ``reference`` (a number in that range),
``transform`` (``"log2"``: networks and climatology are told log2(value / reference), the number of doublings;
``"linear"``, the default: (value - reference) / (high - low)), ``long_name``, and the series of the bottle's own
years: ``values``, linear between the ``times`` (ISO-8601, ascending), or one value that always holds without
``times``. Names have small letters, digits and ``_``, such as ``co2``. Coarse parts take a condition for each, in the
order of their names, after the SST and its anomaly; the climatology may respond to them
(`xr_cbottle.bottle.climate_response`).

**location** a relative path with ``/`` (a member of the zip, or a file beside the manifest), or a URL. Inside
a zip ``sha256`` must be given. Elsewhere it may be null: a URL is then pinned to what it held at its first
use.

**time** ``start``, ``end`` (ISO-8601, UTC, end included), ``step`` (ISO-8601 duration such as ``PT1H``).

**sampler** ``num_steps`` (int >= 2), ``sigma_min``, ``sigma_max`` (0 < min < max), ``rho`` (> 0), ``solver``
(``"heun"``, the default and the only one of super-resolution, ``"dpmpp_2m"`` or ``"ipndm3"``), ``sigmas`` (lists of
number > 0, each descending and of another length: noise levels that were chosen for this solver and as many steps,
instead of those that ``rho`` spaces; or absent. Not of super-resolution).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle.bottle import json_text, limits, schema
from xr_cbottle.bottle.errors import BottleError, SchemaError
from xr_cbottle.bottle.records import (
    BRIDGE,
    COARSE,
    CONDITIONS,
    IN_TIME,
    SMALL_NAME,
    VIDEO,
    BoundSpec,
    BridgeSpec,
    ConditionSpec,
    ForcingSpec,
    GapsSpec,
    LabelSpec,
    PartSpec,
    StaticSpec,
    TimeSpec,
    VariableSpec,
    VideoSpec,
)
from xr_cbottle.bottle.sampler import SamplerDefaults
from xr_cbottle.bottle.schema import Record, field
from xr_cbottle.fields import channels
from xr_cbottle.fields.channels import Variable
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    pass

FORMAT = "cbottle"
VERSION = 1
COORDINATES = ("time", "cell", "pressure", "member", "crs", "cell_ids", "lat", "lon", "log_weight")
"""Names that a data set, or what is made of it, may have beside its variables."""


@dataclasses.dataclass(frozen=True)
class Manifest(Record):
    """Description of a bottle; the module's documentation lists the fields. Equal and hashed by its JSON text."""

    name: str = field(schema.text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "a name of letters, digits and ._-"))
    zoom: int = field(schema.integer(0, limits.ZOOM))
    channels: tuple[str, ...] = field(schema.each(schema.channel(), 1))
    parts: tuple[PartSpec, ...] = field(schema.each(schema.nested(PartSpec), 1, limits.PARTS))
    time: TimeSpec = field(schema.nested(TimeSpec))  # noqa: RUF009
    variables: Mapping[str, VariableSpec] = field(
        schema.mapping(schema.channel(), schema.nested(VariableSpec), limits.CHANNELS), schema.empty
    )
    title: str = field(schema.text(r".*", "text"), "")
    summary: str = field(schema.paragraphs(), "")
    licence: str = field(
        schema.paragraphs(r".*\S.*", "text that is not empty"), "unknown: ask whoever gave you the file"
    )
    references: tuple[str, ...] = field(
        schema.each(schema.text(most=limits.LOCATION_CHARACTERS), 0, limits.REFERENCES), ()
    )
    source: str = field(schema.paragraphs(), "")
    created: str = field(schema.text(r".*", "text"), "")
    labels: Mapping[str, LabelSpec] = field(
        schema.mapping(schema.label(), schema.nested(LabelSpec), limits.LABELS), schema.empty
    )
    default_label: str | None = field(schema.optional(schema.label()), None)
    sst: ConditionSpec | None = field(schema.optional(schema.nested(ConditionSpec)), None)  # noqa: RUF009
    climatology: ConditionSpec | None = field(schema.optional(schema.nested(ConditionSpec)), None)  # noqa: RUF009
    coherence: ConditionSpec | None = field(schema.optional(schema.nested(ConditionSpec)), None)  # noqa: RUF009
    gaps: GapsSpec | None = field(schema.optional(schema.nested(GapsSpec)), None)  # noqa: RUF009
    static: StaticSpec | None = field(schema.optional(schema.nested(StaticSpec)), None)  # noqa: RUF009
    nonnegative: tuple[str, ...] = field(schema.each(schema.channel()), ())
    bounds: Mapping[str, BoundSpec] = field(
        schema.mapping(schema.channel(), schema.nested(BoundSpec), limits.CHANNELS), schema.empty
    )
    forcings: Mapping[str, ForcingSpec] = field(
        schema.mapping(SMALL_NAME, schema.nested(ForcingSpec), limits.FORCINGS), schema.empty
    )
    sea_range: tuple[float, ...] = field(
        schema.each(schema.number(-limits.SEA_KELVIN, most=limits.SEA_KELVIN), 0, 2), ()
    )
    sampler: SamplerDefaults = field(schema.nested(SamplerDefaults), SamplerDefaults())  # noqa: RUF009
    trained_on: Mapping[str, Any] = field(schema.free(), schema.empty)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.channels)) != len(self.channels):
            raise SchemaError("channels", "a list of different names", list(self.channels))
        if len(self.channels) * healpix.n_cells(self.zoom) > limits.INSTANT_VALUES:
            raise SchemaError(
                "zoom", f"such that channels times cells are at most {limits.INSTANT_VALUES:,} values", self.zoom
            )
        if self.default_label is None and self.labels:
            object.__setattr__(self, "default_label", next(iter(self.labels)))
        if self.default_label is not None and self.default_label not in self.labels:
            raise SchemaError(
                "default_label", f"one of the labels ({', '.join(self.labels) or 'none'})", self.default_label
            )
        for i, name in enumerate(self.nonnegative):
            if name not in self.channels:
                raise SchemaError(f"nonnegative[{i}]", "one of channels", name)
        self._check_variables()
        self._check_bounds()
        self._check_labels()
        self._check_gaps()
        self._check_static()
        self._check_forcings()
        if not self.coarse:
            raise SchemaError("parts", "such that there is one of role coarse", [part.role for part in self.parts])
        for i, part in enumerate(self.parts):
            if (i < len(self.coarse)) != (part.role == COARSE):
                raise SchemaError(f"parts[{i}].role", "such that coarse parts come first", part.role)
        for role in (COARSE, *IN_TIME):
            self._check_levels([i for i, part in enumerate(self.parts) if part.role == role])
        for role in IN_TIME:
            self._check_in_time(role)
        self._check_windows()
        self._check_superres()

    def _check_levels(self, places: list[int]) -> None:
        """Refuse networks of a role that do not share the noise levels."""
        for before, i in itertools.pairwise(places):
            level, above = self.parts[i].sigma_min, self.parts[before].sigma_min
            if level >= above:
                raise SchemaError(f"parts[{i}].sigma_min", f"less than the one before ({above})", level)
        if places and self.parts[places[-1]].sigma_min != 0:
            must = "0, as this part is the last" + (f" of role {self.parts[places[0]].role}" if places[0] else "")
            raise SchemaError(f"parts[{places[-1]}].sigma_min", must, self.parts[places[-1]].sigma_min)

    def _check_in_time(self, role: str) -> None:
        """Refuse networks of a role that draws instants from others if they differ, or know other labels."""
        places = [i for i, part in enumerate(self.parts) if part.role == role]
        for i in places:
            spec, path = self.parts[i].in_time(role), f"parts[{i}].{role}"
            assert spec is not None  # PartSpec demands it
            if spec != self.parts[places[0]].in_time(role):
                raise SchemaError(path, f"that of parts[{places[0]}]", spec.plain())
            for j, label in enumerate(spec.labels):
                if label not in self.labels:
                    raise SchemaError(f"{path}.labels[{j}]", "one of labels", label)
            if self.labels and not spec.labels:
                raise SchemaError(f"{path}.labels", "one or more of labels", [])

    def _check_windows(self) -> None:
        """Refuse windows that take more memory than a bottle may ask for."""
        spec = self.video
        frame = len(self.channels) * healpix.n_cells(self.zoom)
        if spec is not None and spec.frames * spec.windows * frame > limits.CHAIN_VALUES:
            place = next(i for i, part in enumerate(self.parts) if part.role == VIDEO)
            must = f"such that frames of all windows have at most {limits.CHAIN_VALUES:,} values"
            raise SchemaError(f"parts[{place}].video.windows", must, spec.windows)

    def _check_superres(self) -> None:
        places = [i for i, part in enumerate(self.parts) if part.superres is not None]
        for i in places:
            part, path, first = self.parts[i], f"parts[{i}]", places[0]
            spec = part.superres
            assert spec is not None
            if part.role in [self.parts[other].role for other in places if other < i]:
                raise SchemaError(f"{path}.role", "one that no earlier part has, unless coarse", part.role)
            if spec.zoom <= self.zoom:
                raise SchemaError(f"{path}.superres.zoom", f"above that of the bottle ({self.zoom})", spec.zoom)
            for j, channel in enumerate(spec.channels):
                if channel not in self.channels:
                    raise SchemaError(f"{path}.superres.channels[{j}]", "one of channels", channel)
            before = self.parts[first].superres
            assert before is not None
            if (spec.zoom, spec.channels) != (before.zoom, before.channels):
                raise SchemaError(f"{path}.superres", f"of the zoom and channels of parts[{first}]", spec.plain())

    @property
    def own(self) -> dict[str, Variable]:
        """The variables that the bottle defines, by their names."""
        return {
            name: Variable(name, one.units, one.long_name, one.standard_name, one.levels)
            for name, one in self.variables.items()
        }

    def _check_variables(self) -> None:
        for name, one in self.variables.items():
            if channels.is_known(name):
                raise SchemaError(f"variables.{name}", "of a name that xr_cbottle does not know", one.plain())
            if one.levels and any(letter.isdigit() for letter in name):
                raise SchemaError(f"variables.{name}", "of a name without digits, as it has levels", one.plain())

    def _check_bounds(self) -> None:
        for name, bound in self.bounds.items():
            path = f"bounds.{name}"
            if name not in self.channels:
                raise SchemaError(path, "one of channels", name)
            for label in bound.sun or ():
                if label not in self.labels:
                    raise SchemaError(f"{path}.sun.{label}", "one of labels", label)
            if bound.mean is not None and self.climatology is None:
                raise SchemaError(f"{path}.mean", "absent, as there is no climatology", bound.mean)
            if bound.below is not None:
                self._check_below(name)
            if bound.saturation is not None:
                self._check_saturation(name, bound)
            if bound.sea and (self.sst is None or channels.parse(name, self.own).variable.units != "K"):
                raise SchemaError(f"{path}.sea", "of a channel in K, in a bottle with an sst", bound.sea)

    def _check_below(self, name: str) -> None:
        """Refuse a chain of channels, each below the next, that leaves the bottle, changes its unit, or is a ring."""
        path, seen, unit = f"bounds.{name}.below", {name}, channels.parse(name, self.own).variable.units
        above = self.bounds[name].below
        while above is not None:
            if above not in self.channels or channels.parse(above, self.own).variable.units != unit:
                raise SchemaError(path, f"another channel in {unit}", above)
            if above in seen:
                raise SchemaError(path, "of a channel that is not below this one itself", above)
            seen.add(above)
            above = self.bounds[above].below if above in self.bounds else None

    def _check_saturation(self, name: str, bound: BoundSpec) -> None:
        path, air = f"bounds.{name}", bound.temperature
        humid = _level_of("hus", name)
        if humid is None:
            raise SchemaError(f"{path}.saturation", "of a channel of specific humidity at a level", name)
        for label in bound.saturation if isinstance(bound.saturation, Mapping) else ():
            if label not in self.labels:
                raise SchemaError(f"{path}.saturation.{label}", "one of labels", label)
        if air not in self.channels or _level_of("ta", str(air)) != humid:
            raise SchemaError(f"{path}.temperature", f"the channel of temperature at {humid} Pa", air)

    def _check_gaps(self) -> None:
        for label, shares in (self.gaps.shares if self.gaps else {}).items():
            if label not in self.labels:
                raise SchemaError(f"gaps.shares.{label}", "one of labels", label)
            for channel in shares:
                if channel not in self.channels:
                    raise SchemaError(f"gaps.shares.{label}.{channel}", "one of channels", channel)

    def _check_static(self) -> None:
        for name in self.static.variables if self.static else ():
            if name in COORDINATES or name in channels.variables(self.channels, self.own):
                raise SchemaError(f"static.variables.{name}", "another name than those of the data set", name)

    def _check_forcings(self) -> None:
        # By name: the digest does not tell in which order an object was written.
        object.__setattr__(self, "forcings", dict(sorted(self.forcings.items())))
        if self.sea_range and (len(self.sea_range) != 2 or self.sea_range[0] >= self.sea_range[1]):
            raise SchemaError("sea_range", "absent, or two rising numbers", list(self.sea_range))
        if self.sea_range and self.climatology is None:
            raise SchemaError("sea_range", "absent, as there is no climatology", list(self.sea_range))
        if self.forcings and self.climatology is None:
            raise SchemaError("forcings", "absent, as there is no climatology", list(self.forcings))
        start, end = (np.datetime64(time, "s") for time in (self.time.start, self.time.end))
        for name, spec in self.forcings.items():
            covered = spec.series(name).coverage
            if covered is not None and not (covered[0] <= start and end <= covered[1]):
                raise SchemaError(
                    f"forcings.{name}.times", f"such that they cover {self.time.start} to {self.time.end}",
                    [spec.times[0], spec.times[-1]],
                )  # fmt: skip

    def _check_labels(self) -> None:
        indices: dict[int, str] = {}
        for name, label in self.labels.items():
            path = f"labels.{name}"
            if label.index in indices:
                raise SchemaError(f"{path}.index", f"different from that of {indices[label.index]}", label.index)
            indices[label.index] = name
            for i, channel in enumerate(label.masked):
                if channel not in self.channels:
                    raise SchemaError(f"{path}.masked[{i}]", "one of channels", channel)
            if label.donor is None:
                shares = self.gaps.shares.get(name, {}) if self.gaps else {}
                if any(shares.get(channel) != 1 for channel in label.masked):
                    must = "a label that has the masked channels, unless gaps.shares says that they are all gap (1)"
                    raise SchemaError(f"{path}.donor", must, None)
            elif label.donor == name or label.donor not in self.labels:
                others = [other for other in self.labels if other != name]
                raise SchemaError(
                    f"{path}.donor", f"another label ({', '.join(others) or 'there is none'})", label.donor
                )
            elif set(label.masked) & set(self.labels[label.donor].masked):
                raise SchemaError(f"{path}.donor", "a label that has the masked channels", label.donor)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.canonical() == other.canonical()

    def __hash__(self) -> int:
        return hash(self.canonical())

    @property
    def coarse(self) -> tuple[PartSpec, ...]:
        """The networks that draw instants."""
        return tuple(part for part in self.parts if part.role == COARSE)

    @property
    def superres(self) -> tuple[PartSpec, ...]:
        """The networks above the bottle's zoom."""
        return tuple(part for part in self.parts if part.superres is not None)

    @property
    def bridges(self) -> tuple[PartSpec, ...]:
        """The networks that draw the state between two states."""
        return tuple(part for part in self.parts if part.role == BRIDGE)

    @property
    def bridge(self) -> BridgeSpec | None:
        """The states that those networks bridge; None if there are none."""
        return next((part.bridge for part in self.bridges), None)

    @property
    def videos(self) -> tuple[PartSpec, ...]:
        """The networks that draw windows of frames."""
        return tuple(part for part in self.parts if part.role == VIDEO)

    @property
    def video(self) -> VideoSpec | None:
        """The windows that those networks draw; None if there are none."""
        return next((part.video for part in self.videos), None)

    @property
    def files(self) -> tuple[PartSpec | ConditionSpec, ...]:
        """Every file the manifest names: the parts, then those of `CONDITIONS` that there are."""
        conditions = (getattr(self, name) for name in CONDITIONS)
        return self.parts + tuple(spec for spec in conditions if spec is not None)

    def label(self, name: str | None) -> str | None:
        """Choose a label that the bottle has: the default if None is given, None in a bottle without labels.

        Raises
        ------
        ValueError
            If there is no such label; it lists those that there are.
        """
        if name is None:
            return self.default_label
        if not isinstance(name, str) or name not in self.labels:
            names = ", ".join(self.labels)
            there = f"the labels {names}" if names else "no labels, leave it out"
            raise ValueError(f"label is {name!r}: {self.name} has {there}")
        return name

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of ``bottle.json``, without relations between fields, such as a label that must be there."""
        inner = super().json_schema()
        whole = {"format": {"const": FORMAT}, "version": {"const": VERSION}, **inner["properties"]}
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": f"bottle.json, version {VERSION}: the manifest of a bottle",
            "type": "object",
            "properties": whole,
            "required": ["format", "version", *inner["required"]],
            "additionalProperties": False,
        }

    def to_json(self) -> str:
        """Text of ``bottle.json``, in the order of the schema, indented."""
        values: dict[str, Any] = {"format": FORMAT, "version": VERSION}
        plain = self._given()
        values |= {key: plain[key] for key in _ORDER if key in plain}
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def canonical(self) -> str:
        """The shortest JSON text with sorted keys: what the digest is made of."""
        values = {"format": FORMAT, "version": VERSION, **self._given()}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    def _given(self) -> dict[str, Any]:
        """Plain values, without keys of later releases that say nothing: older bottles keep their digests."""
        return {key: value for key, value in self.plain().items() if value or key not in _LATER}

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Read ``bottle.json``.

        Raises
        ------
        BottleError
            Text that is not JSON, another format, a newer version, an unknown key or a wrong value: one
            sentence with the path of the field.
        """
        values = json_text.read_object(text, "bottle.json")
        if values.pop("format", None) != FORMAT:
            raise BottleError(f'bottle.json: format must be "{FORMAT}"; this is not the manifest of a bottle')
        version = values.pop("version", None)
        if isinstance(version, int) and version > VERSION:
            raise BottleError(
                f"bottle.json: version {version} is newer than this xr_cbottle reads (version {VERSION}); "
                "update xr_cbottle"
            )
        if isinstance(version, bool) or version != VERSION:
            raise SchemaError("version", f"the int {VERSION}", version)
        return cls.from_plain(values)


def _level_of(variable: str, name: str) -> int | None:
    """Pressure in Pa of a channel, if it is one of this variable."""
    try:
        channel = channels.parse(name)
    except ValueError:
        return None
    return channel.level if channel.variable.name == variable else None


def unforced(manifest: Manifest, given: Iterable[str]) -> str:
    """Sentence that a bottle was asked for forcings that it does not have."""
    names = ", ".join(given)
    known = ", ".join(manifest.forcings)
    there = f"the forcings {known}" if known else "no forcings, as it was trained without"
    return f"{manifest.name} knows nothing of {names}: it has {there}; leave {names} out"


_LATER = ("variables", "climatology", "coherence", "gaps", "static", "nonnegative", "bounds", "forcings", "sea_range")
_ORDER = (
    "name", "title", "summary", "licence", "references", "source", "created", "zoom", "channels", "variables", "labels",
    "default_label", "parts", *CONDITIONS, "nonnegative", "bounds", "forcings",
    "sea_range", "time", "sampler", "trained_on",
)  # fmt: skip


def schema_text() -> str:
    """Text of ``docs/bottle.schema.json``."""
    return json.dumps(Manifest.json_schema(), indent=1) + "\n"
