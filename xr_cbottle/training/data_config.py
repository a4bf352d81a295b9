"""Configuration of a run's data: channels, sources, condition and scale, and what cannot be learnt from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from xr_cbottle.bottle import schema
from xr_cbottle.bottle.climate_response import MODES
from xr_cbottle.bottle.errors import BottleError, SchemaError
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import PartSpec, TimeSpec, VariableSpec
from xr_cbottle.fields.channels import VARIABLES, Variable
from xr_cbottle.fields.channels import parse as parse_channel
from xr_cbottle.fields.units import is_unit
from xr_cbottle.training.parsing import check_choices
from xr_cbottle.training.source_config import SourceConfig, SstConfig


@dataclass(frozen=True)
class ForcingConfig:
    """A number in time that forces the climate beside the sea, such as carbon dioxide.

    Attributes
    ----------
    units
        Its unit, such as ``ppmv``.
    reference
        Value at which the climatology is what it is without a response.
    series
        That of the bottle's own years: a number, an experiment of CMIP6 (``historical``) or the path of a series.
    transform
        ``log2``: its response is linear in doublings; ``linear``: in itself.
    long_name
        What it is.
    """

    units: str
    reference: float
    series: str
    transform: Literal["linear", "log2"] = "linear"
    long_name: str = ""

    def __post_init__(self) -> None:
        check_choices(self, "forcings")
        if self.transform == "log2" and not self.reference > 0:
            raise ValueError(f"reference is {self.reference}, must be positive where the transform is log2")


@dataclass(frozen=True)
class DefinedVariable:
    """A variable that xr_cbottle does not know. Its name is that of its channel, or of its channels without pressure.

    Attributes
    ----------
    units
        Its unit, to which what is stored is converted.
    long_name
        What it is.
    standard_name
        Its name in CF's table of standard names, if it has one.
    nonnegative
        Nothing of it is to be below 0, as `bottle: nonnegative` says of channels.
    levels
        It is on levels of pressure: its channels are ``name850`` and so on.
    """

    units: str
    long_name: str = ""
    standard_name: str = ""
    nonnegative: bool = False
    levels: bool = False


@dataclass(frozen=True)
class DataConfig:
    """All data of a run.

    Attributes
    ----------
    zoom
        HEALPix level of the network; finer files are averaged down.
    channels
        Channels in the network's order, e.g. ``tas``, ``T850`` (see `xr_cbottle.fields.channels`).
    define
        Variables that xr_cbottle does not know, by their names: what they are is kept in the bottle.
    sources
        The data sets to imitate, each under a label of its own.
    sst
        The condition.
    cache
        Folder for the prepared arrays; default: ``data`` in the run folder.
    scale
        What a channel is divided by. ``std``: its standard deviation over cells and time, as cBottle does.
        ``anomaly``: twice its standard deviation in time (mean over cells), if that is between a half of the
        former and all of it, so that weather is not much fainter than ``sigma_data`` = 0.5 in channels that vary
        far more from place to place (geopotential, temperature).
        ``climatology``: mean and deviation of each label, cell and time of year and of day, so that the network draws
        standardised anomalies (see `xr_cbottle.bottle.climatology`), and is told the anomaly of the SST too.
    annual_harmonics
        Of the climatology.
    roots
        Channels of which the climatology, and what the network draws, is about a root instead: ``{pr: 2}`` for the
        square root of rain. For what is never negative and mostly near zero.
    forcings
        What forces the runs beside the sea, by name: the climatology moves with it, and the network is told of it.
    sst_modes
        Patterns of the sea with which the climatology moves (see `xr_cbottle.bottle.climate_response`), such as
        ``[global, nino34]``. None, and no forcings: it does not move.
    response_harmonics
        Harmonics of the year in what they do to the mean.
    ridge
        Of the regression on them: added to the sums of squares of each, in instants times K2 or doublings squared.
    least_presence
        Share of the training instants in which a cell of a channel must have a value. Where it has fewer, as below
        ground or over land, it is a gap: never learnt, and NaN for who reads the bottle.
    gaps
        What is done with instants that lack values beside those gaps. ``mask``: they teach what they have; ``skip``:
        they are left out; ``refuse``: training does not begin.
    most_deviations
        Values farther from their channel's mean than so many of its deviations (over cells and time) are refused before
        training; ``.inf`` takes any.
    standardised_as
        A bottle whose climatology is taken instead of one that is measured, so that a network sees anomalies as the
        bottle's own networks do; with ``scale: climatology``. Labels that it lacks are measured, and added to it.
    response_of
        With that: the bottle's label whose response to sea and forcings a new one is given, as one run does not tell
        its own, such as ``{mine: jcm}``; default: its first label.
    """

    zoom: int
    channels: tuple[str, ...]
    sources: tuple[SourceConfig, ...]
    sst: SstConfig
    cache: str | None = None
    scale: Literal["std", "anomaly", "climatology"] = "std"
    annual_harmonics: int = 2
    roots: dict[str, float] = field(default_factory=dict)
    forcings: dict[str, ForcingConfig] = field(default_factory=dict)
    sst_modes: tuple[str, ...] = ()
    response_harmonics: int = 1
    ridge: float = 5.0
    least_presence: float = 0.5
    gaps: Literal["mask", "skip", "refuse"] = "mask"
    most_deviations: float = 50.0
    standardised_as: str | None = None
    response_of: dict[str, str] = field(default_factory=dict)
    define: dict[str, DefinedVariable] = field(default_factory=dict)

    @property
    def own(self) -> dict[str, Variable]:
        """The variables that are defined here, by their names."""
        return {
            name: Variable(name, one.units, one.long_name, one.standard_name, one.levels)
            for name, one in self.define.items()
        }

    @property
    def nonnegative(self) -> tuple[str, ...]:
        """Channels of the variables that are defined here as such."""
        of = {name: parse_channel(name, self.own).variable.name for name in self.channels}
        return tuple(name for name in self.channels if of[name] in self.define and self.define[of[name]].nonnegative)

    def donor(self, label: str) -> str | None:
        """The first other label that has all channels which one lacks; None if it lacks none, or none has them."""
        missing = {source.label: set(source.missing) for source in reversed(self.sources)}
        if not missing[label]:
            return None
        others = (other for other in self.labels if other != label)
        return next((other for other in others if not missing[label] & missing[other]), None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the sources, each once."""
        return tuple(dict.fromkeys(source.label for source in self.sources))

    def __post_init__(self) -> None:
        if not 1 <= self.zoom <= 10:
            raise ValueError(f"data: zoom is {self.zoom}, must be 1 to 10")
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise ValueError("data: channels must be a list of one or more different names")
        labels = self.labels
        if not labels:
            raise ValueError("data: sources must be one or more")
        for label in labels:
            try:
                schema.label()(label)
            except SchemaError as error:
                raise ValueError(f"data: the label {label!r} must be {error.must}") from None
        self._check_defined()
        self._check_runs()
        self._check_climate()
        for source in self.sources:
            if unknown := sorted(set(source.missing) - set(self.channels)):
                raise ValueError(f"source {source.label!r}: missing lists {unknown}, which are not among the channels")
            for store in (source, *source.also):
                if strange := sorted(set(store.variables) - {*VARIABLES, *self.define, *self.channels}):
                    raise ValueError(
                        f"source {source.label!r}: variables maps {strange}: neither channels of this run nor "
                        f"variables that xr_cbottle knows ({', '.join(VARIABLES)})"
                    )
        if self.sst.source is not None and self.sst.source not in labels:
            raise ValueError(f"sst: source is {self.sst.source!r}, but the sources are {', '.join(labels)}")
        check_choices(self, "data")
        if unknown := sorted(set(self.roots) - set(self.channels)):
            raise ValueError(f"data: roots names {unknown}, which are not among the channels")
        if wrong := {name: root for name, root in self.roots.items() if not 1 <= root <= 8}:
            raise ValueError(f"data: roots are {wrong}: each must be a number from 1 to 8")
        if self.roots and self.scale != "climatology":
            raise ValueError("data: roots are taken with scale: climatology only")
        if not 0 < self.least_presence <= 1:
            raise ValueError(f"data: least_presence is {self.least_presence}, must be above 0, and at most 1")
        if not self.most_deviations > 1:
            raise ValueError(f"data: most_deviations is {self.most_deviations}, must be above 1 (.inf takes any value)")
        if self.standardised_as is not None and self.scale != "climatology":
            raise ValueError("data: standardised_as needs scale: climatology")
        if self.response_of and self.standardised_as is None:
            raise ValueError("data: response_of is of labels that are added to standardised_as: give that too")
        if unknown := sorted(set(self.response_of) - set(labels)):
            raise ValueError(f"data: response_of names {unknown}, but the sources are {', '.join(labels)}")
        if not 0 <= self.annual_harmonics <= 6:
            raise ValueError(f"data: annual_harmonics is {self.annual_harmonics}, must be 0 to 6")

    def _check_defined(self) -> None:
        """Refuse definitions that the manifest will refuse, or that nothing needs, and channels that are unknown."""
        for name, one in self.define.items():
            part, time = PartSpec("coarse", 0.0, "coarse.checkpoint"), TimeSpec("2000-01-01", "2000-01-01")
            try:
                Manifest(
                    "x", 0, (name,), (part,), time,
                    variables={name: VariableSpec(one.units, one.long_name, one.standard_name, one.levels)},
                )  # fmt: skip
            except BottleError as error:
                raise ValueError(f"data: define: {name}: {str(error).removeprefix('bottle.json: ')}") from None
            if not is_unit(one.units):
                raise ValueError(f"data: define: {name}: {one.units!r} is not a unit that can be read")
        try:
            used = {parse_channel(name, self.own).variable.name for name in self.channels}
        except ValueError as error:
            raise ValueError(f"data: {error}; or say under define what it is") from None
        if unused := sorted(set(self.define) - used):
            raise ValueError(f"data: define has {', '.join(unused)}, of which there is no channel: take it out")

    def _check_runs(self) -> None:
        """Refuse sources of one label that are not of one model."""
        for label in self.labels:
            runs = [source for source in self.sources if source.label == label]
            for name in ("missing", "time_jitter_hours", "diurnal_harmonics"):
                values = [getattr(run, name) for run in runs]
                if any(value != values[0] for value in values):
                    raise ValueError(f"source {label!r}: {name} must be the same in all sources of one label")
            if runs[0].missing and self.donor(label) is None:
                raise ValueError(
                    f"source {label!r}: no other label has all the channels that it is missing "
                    f"({', '.join(runs[0].missing)}): take them out of the channels"
                )
            if len(runs) > 1 and self.scale != "climatology":
                raise ValueError(f"source {label!r}: several sources of one label need scale: climatology")

    def _check_climate(self) -> None:
        """Refuse forcings and modes that cannot be."""
        if (self.forcings or self.sst_modes) and self.scale != "climatology":
            raise ValueError("data: forcings and sst_modes need scale: climatology")
        if unknown := sorted(set(self.sst_modes) - set(MODES)):
            raise ValueError(f"data: sst_modes names {unknown}: choose among {', '.join(MODES)}")
        if len(set(self.sst_modes)) != len(self.sst_modes) or set(self.sst_modes) & set(self.forcings):
            raise ValueError("data: sst_modes and forcings must have different names")
        if not 0 <= self.response_harmonics <= 4:
            raise ValueError(f"data: response_harmonics is {self.response_harmonics}, must be 0 to 4")
        if not 0 <= self.ridge < np.inf:
            raise ValueError(f"data: ridge is {self.ridge}, must be a number >= 0")
        for source in self.sources:
            if unknown := sorted(set(source.forcings) - set(self.forcings)):
                raise ValueError(f"source {source.label!r}: forcings has {unknown}, which data: forcings has not")
