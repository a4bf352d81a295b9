"""Configuration of a training run: frozen data classes read from one YAML file.

Every key has a type and a meaning (``xr-cbottle train --explain`` prints these), unknown keys are refused with the
list of the known ones, and paths may hold ``~``, environment variables and (for data files) globs.
``examples/training/gcm.yaml`` is a complete file.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xr_cbottle.bottle import schema
from xr_cbottle.bottle.checkpoint import DISK_TYPES
from xr_cbottle.bottle.climate_response import MODES
from xr_cbottle.bottle.errors import BottleError, SchemaError
from xr_cbottle.bottle.manifest import Manifest, SamplerDefaults
from xr_cbottle.bottle.records import ConditionSpec, LabelSpec, PartSpec, TimeSpec, VariableSpec
from xr_cbottle.fields.channels import VARIABLES, Variable
from xr_cbottle.fields.channels import parse as parse_channel
from xr_cbottle.fields.series import Series
from xr_cbottle.fields.units import is_unit
from xr_cbottle.training.parsing import build, check_choices, read
from xr_cbottle.training.run_sources import expanded
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
        bottle's own networks do; with ``scale: climatology``.
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


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the U-Net (architecture ``unet_healpix``, see `xr_cbottle.bottle.architecture`), or what it goes on from.

    Attributes
    ----------
    from_
        Network to start from: a bottle (a file, its URL or the name of a bundled one, of which the expert for these
        noise levels is taken), or a v1 checkpoint. Form and weights are its own, and the keys of size that follow say
        nothing. Channels, labels and forcings are matched by name: what it does not make or is not told of begins at 0.
    like
        Label of that network as which a new one begins: ``{mine: icon}``; default: its default label.
    statistics
        ``run``: channels are normalised by what this run's data say, and what differs is printed; ``bottle``: as that
        network has them, which is right where the data are of the same kind. Not with ``scale: climatology``.
    model_channels
        Width of the finest level.
    channel_mult
        Width of each level over ``model_channels``, the finest first; each level halves the edge of a face.
    num_blocks
        Blocks in a level of the encoder; the decoder has one more.
    attn_resolutions
        Edges of a face, in cells, at which blocks attend over the sphere.
    label_dim
        Labels that the network can tell apart, at least as many as there are sources.
    label_dropout
        Probability that an image's label is hidden.
    start
        ``informed``: some weights start from what is known, see `xr_cbottle.training.start`.
    """

    from_: str | None = None
    like: dict[str, str] = field(default_factory=dict)
    statistics: Literal["run", "bottle"] = "run"
    model_channels: int = 32
    channel_mult: tuple[int, ...] = (1, 2, 2)
    num_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (4,)
    label_dim: int = 2
    label_dropout: float = 0.1
    start: Literal["informed", "random"] = "informed"

    def __post_init__(self) -> None:
        if not 0 <= self.label_dropout < 1:
            raise ValueError(f"network: label_dropout is {self.label_dropout}, must be in [0, 1)")
        if self.from_ is None and (self.like or self.statistics != "run"):
            raise ValueError(
                "network: like and statistics are of a network to start from: give from, or leave them out"
            )
        check_choices(self, "network")


@dataclass(frozen=True)
class OptimConfig:
    """Training of the network; all lengths are counted in images (instants) seen.

    Attributes
    ----------
    total_images
        Where training ends, and with it the schedule.
    batch_size
        Images in a step, shared evenly among the processes.
    batch_device
        Images that a process computes at a time, if it cannot hold its share of a batch: gradients are added up.
    recompute
        Activations of blocks are not kept for the way back but computed again: a third slower, for much less memory.
    loaders
        Threads that make batches ahead, in each process; up to one batch more than these is kept in memory.
    lr
        Peak learning rate of Adam.
    matrix_lr
        Peak learning rate of Muon, which moves the weights between the first and the last layer; 0: Adam does.
    warmup_images, decay_images
        The rate rises linearly over the first, stays, and falls as a cosine to 0 over the last ``decay_images``
        (None: all that follows the warm-up; 0: never).
    betas
        Memory of Adam's first and second moments.
    weight_decay
        Of both optimizers.
    grad_clip
        The gradient's norm is cut to this.
    ema_images
        Half-life of the moving average of the weights, which are what is packed.
    ema_ramp
        The half-life is never longer than this fraction of the images seen.
    sigma_min, sigma_max
        The noise level is log-uniform between them,
    sigma_focus
        except for this fraction of the images,
    sigma_focus_range
        where it is log-uniform between these. Much is learnt where weather appears out of noise, little where
        there is nothing but noise.
    coarse_weight
        Weight of the loss of means over ever larger squares of cells. Any value has the same optimum (the
        conditional mean); more of it teaches the largest scales sooner, which matter most at high noise.
    precision
        bfloat16: autocast of the network.
    compile
        ``torch.compile`` the network.
    max_hours
        Stop (saving) after so many hours of training, resumed ones included.
    save_seconds
        The state is saved when so many seconds have gone by since the last time,
    save_images
        and at every multiple of so many images.
    keep_images
        States at multiples of so many images are kept beside it, as ``kept/IMAGES.pt``: a run can be packed as it was
        then (``FOLDER@IMAGES``).
    log_images, validate_images
        Images between two lines in ``log.jsonl`` of training's loss, and of the loss of held-out instants.
    tensorboard
        Write these figures for TensorBoard too, into the folder ``tensorboard`` beside it.
    seed
        Of the initial weights, the order of images, their noise and all else that is left to chance.
    initial
        Folder of a run of the same network to go on from: weights, optimizer and images seen are those of its state.
        An expert for some noise levels starts from the network for all of them. Or a bottle with such a network, of
        which the weights are taken (those of its expert for these noise levels), as a start for other data. That
        network may make other channels, know other labels and be told less, such as no forcings; ``network: from`` is
        the same, and takes its form too.
    """

    total_images: int
    batch_size: int = 16
    batch_device: int | None = None
    recompute: bool = False
    loaders: int = 4
    lr: float = 1e-3
    matrix_lr: float = 0.02
    warmup_images: int = 2000
    decay_images: int | None = None
    betas: tuple[float, ...] = (0.9, 0.99)
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    ema_images: int = 10_000
    ema_ramp: float = 0.1
    sigma_min: float = 0.02
    sigma_max: float = 200.0
    sigma_focus: float = 0.0
    sigma_focus_range: tuple[float, ...] = (0.1, 5.0)
    coarse_weight: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    max_hours: float | None = None
    save_seconds: float = 120.0
    save_images: int | None = None
    keep_images: int | None = None
    log_images: int = 1000
    validate_images: int = 10_000
    tensorboard: bool = False
    seed: int = 0
    initial: str | None = None

    def __post_init__(self) -> None:
        for name in (
            "total_images", "batch_size", "batch_device", "loaders", "ema_images", "save_images", "keep_images",
            "log_images", "validate_images",
        ):  # fmt: skip
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"training: {name} is {value}, must be at least 1")
        self._check_numbers()
        if not self.grad_clip > 0:
            raise ValueError(f"training: grad_clip is {self.grad_clip}, must be positive (.inf cuts nothing)")
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"training: need 0 < sigma_min < sigma_max, got {self.sigma_min} and {self.sigma_max}")
        if not 0 <= self.sigma_focus < 1:
            raise ValueError(f"training: sigma_focus is {self.sigma_focus}, must be in [0, 1)")
        if len(self.sigma_focus_range) != 2 or not 0 < self.sigma_focus_range[0] < self.sigma_focus_range[1]:
            raise ValueError(f"training: sigma_focus_range is {self.sigma_focus_range}, must be two rising numbers > 0")
        if len(self.betas) != 2:
            raise ValueError(f"training: betas must be two numbers, got {self.betas}")
        check_choices(self, "training")

    def _check_numbers(self) -> None:
        """Refuse numbers with which nothing can be learnt, or nothing ends."""
        for name in ("lr", "matrix_lr", "weight_decay", "ema_ramp", "sigma_max", "coarse_weight", "save_seconds"):
            if not 0 <= (value := getattr(self, name)) < np.inf:
                raise ValueError(f"training: {name} is {value:g}, must be a number >= 0")
        if self.lr == self.matrix_lr == 0:
            raise ValueError("training: lr and matrix_lr are 0: nothing would be learnt; make one of them positive")
        for name in ("warmup_images", "decay_images", "seed"):
            if (number := getattr(self, name)) is not None and number < 0:
                raise ValueError(f"training: {name} is {number}, must not be negative")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"training: betas are {self.betas}, must be two numbers in [0, 1)")
        if self.max_hours is not None and not self.max_hours > 0:
            raise ValueError(f"training: max_hours is {self.max_hours:g}, must be positive")
        for name, most in (("batch_size", 65_536), ("total_images", 10**12)):
            if (number := getattr(self, name)) > most:
                raise ValueError(f"training: {name} is {number}, must be at most {most}")


@dataclass(frozen=True)
class BottleConfig:
    """Description of the packed bottle: what it says of itself, and the data that it stands for.

    The keys are those of the manifest (see `xr_cbottle.bottle.manifest`), those of its time and sampler side by side.

    Attributes
    ----------
    name
        Short name, as in ``open_dataset("icon", engine="cbottle")``: letters, digits and ``._-``.
    title, summary
        What it is, in a line; and what it imitates, and how well.
    licence
        Terms of the weights; in the attributes of every data set.
    source
        What made the data.
    start, end, step
        The time axis that the bottle stands for: ISO-8601 times, the end included, and a duration such as ``PT1H``.
    references
        Papers, model cards.
    default_label
        The label when none is asked for; default: that of the first source.
    num_steps
        Of the sampler, by default,
    sigma_min, sigma_max, rho
        from the highest to the lowest of these noise levels, spaced by ``rho``.
    solver
        Solver of the diffusion ODE: heun (two evaluations of the network a step), dpmpp_2m or ipndm3 (one).
    nonnegative
        Channels of which nothing is to be below 0; what is, is set to 0 at an unchanged global mean.
    bounds
        Bounds of channels that nothing drawn goes beyond, as in the manifest: ``{clt: {least: 0, most: 1}}``.
    matched
        Channels of which ``--calibrate`` matches the distribution over cells and times with the data's, such as rain,
        whose heaviest a network learns last.
    dtype
        Precision of the weights in the file: float32, float16 or bfloat16.
    weights
        The moving average, or, better after a short run whose learning rate fell to 0, the weights themselves.
    trained_on
        What else is to be known of the training; kept in the manifest.
    """

    name: str
    title: str
    summary: str
    licence: str
    source: str
    start: str
    end: str
    step: str = "PT1H"
    references: tuple[str, ...] = ()
    default_label: str | None = None
    nonnegative: tuple[str, ...] = ()
    bounds: dict[str, Any] = field(default_factory=dict)
    matched: tuple[str, ...] = ()
    num_steps: int = 18
    sigma_min: float = 0.02
    sigma_max: float = 200.0
    rho: float = 7.0
    solver: str = "heun"
    dtype: str = "float16"
    weights: Literal["average", "last"] = "average"
    trained_on: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choices(self, "bottle")
        if self.dtype not in DISK_TYPES:
            raise ValueError(f"bottle: dtype is {self.dtype!r}, must be one of {', '.join(DISK_TYPES)}")
        # What the manifest will refuse, before hours of training.
        Manifest(
            name=self.name, title=self.title, summary=self.summary, licence=self.licence, source=self.source,
            references=self.references, trained_on=self.trained_on, zoom=0, channels=("tas",),
            parts=(PartSpec("coarse", 0.0, "coarse.checkpoint"),), time=TimeSpec(self.start, self.end, self.step),
            sampler=SamplerDefaults(self.num_steps, self.sigma_min, self.sigma_max, self.rho, self.solver),
        )  # fmt: skip


@dataclass(frozen=True)
class Config:
    """A whole run: the sections of the YAML file. A key ``base`` names a file whose values hold where it gives none.

    Attributes
    ----------
    data
        What is learnt from.
    network
        What learns.
    training
        How.
    bottle
        What it is packed as.
    """

    data: DataConfig
    network: NetworkConfig
    training: OptimConfig
    bottle: BottleConfig

    def __post_init__(self) -> None:
        for key in ("nonnegative", "matched"):
            if unknown := sorted(set(getattr(self.bottle, key)) - set(self.data.channels)):
                raise ValueError(f"bottle: {key} lists {unknown}, which are not among the channels")
        self._check_bounds()
        if self.network.from_ is not None and self.training.initial is not None:
            raise ValueError("network: from and training: initial both say what to start from: leave one of them out")
        if self.network.statistics == "bottle" and self.data.scale == "climatology":
            raise ValueError("network: statistics is 'bottle', which is not for scale: climatology: leave it out")
        if self.network.from_ is None and len(self.data.labels) > self.network.label_dim:
            raise ValueError(
                f"network: label_dim is {self.network.label_dim}, but there are {len(self.data.labels)} labels; "
                "make it at least that"
            )
        for name, forcing in self.data.forcings.items():
            own = Series.of(expanded(forcing.series), name, forcing.units)
            own.check_covers(np.datetime64(self.bottle.start, "s"), np.datetime64(self.bottle.end, "s"), name)

    def _check_bounds(self) -> None:
        """Check the bounds as the manifest will, before hours of training."""
        about = self.bottle
        try:
            Manifest(
                name=about.name, zoom=0, channels=self.data.channels, bounds=about.bounds, sst=ConditionSpec("sst.nc"),
                labels={label: LabelSpec(i) for i, label in enumerate(self.data.labels)},
                parts=(PartSpec("coarse", 0.0, "coarse.checkpoint"),),
                time=TimeSpec(about.start, about.end, about.step),
                climatology=ConditionSpec("climatology.nc") if self.data.scale == "climatology" else None,
            )  # fmt: skip
        except BottleError as error:
            raise ValueError(f"bottle: {error}") from None


def load(path: str | os.PathLike[str]) -> Config:
    """Read and check a YAML file.

    Parameters
    ----------
    path
        A key ``base`` names another file, beside this one, whose values hold where this one gives none.

    Returns
    -------
    Config

    Raises
    ------
    ValueError
        For an unknown or missing key or a value of the wrong type, naming its place in the file.
    """
    return parse(read(Path(path)), where=str(path))


def parse(values: dict[str, Any], where: str = "config") -> Config:
    """Check nested mappings, as a YAML file gives them, and make the `Config`."""
    return build(Config, values, where)


def as_dict(config: Any) -> dict[str, Any]:
    """Any of the configs as plain JSON-ready values."""
    return dataclasses.asdict(config)
