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
from xr_cbottle.bottle.records import ConditionSpec, LabelSpec, PartSpec, TimeSpec
from xr_cbottle.fields.channels import VARIABLES
from xr_cbottle.fields.series import Series
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
class DataConfig:
    """All data of a run.

    Attributes
    ----------
    zoom
        HEALPix level of the network; finer files are averaged down.
    channels
        Channels in the network's order, e.g. ``tas``, ``T850`` (see `xr_cbottle.fields.channels`).
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
    standardised_as: str | None = None

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
        self._check_runs()
        self._check_climate()
        for source in self.sources:
            if unknown := sorted(set(source.missing) - set(self.channels)):
                raise ValueError(f"source {source.label!r}: missing lists {unknown}, which are not among the channels")
            for store in (source, *source.also):
                if strange := sorted(set(store.variables) - set(VARIABLES) - set(self.channels)):
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
        if self.standardised_as is not None and self.scale != "climatology":
            raise ValueError("data: standardised_as needs scale: climatology")
        if not 0 <= self.annual_harmonics <= 6:
            raise ValueError(f"data: annual_harmonics is {self.annual_harmonics}, must be 0 to 6")

    def _check_runs(self) -> None:
        """Refuse sources of one label that are not of one model."""
        for label in self.labels:
            runs = [source for source in self.sources if source.label == label]
            for name in ("missing", "time_jitter_hours", "diurnal_harmonics"):
                values = [getattr(run, name) for run in runs]
                if any(value != values[0] for value in values):
                    raise ValueError(f"source {label!r}: {name} must be the same in all sources of one label")
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
        if not self.ridge >= 0:
            raise ValueError(f"data: ridge is {self.ridge}, must not be negative")
        for source in self.sources:
            if unknown := sorted(set(source.forcings) - set(self.forcings)):
                raise ValueError(f"source {source.label!r}: forcings has {unknown}, which data: forcings has not")


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the U-Net (architecture ``unet_healpix``, see `xr_cbottle.bottle.architecture`).

    Attributes
    ----------
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
    loaders
        Threads that make batches ahead, in each process; up to one batch more than these is kept in memory.
    lr
        Peak learning rate of Adam.
    matrix_lr
        Peak learning rate of Muon, which moves the weights between the first and the last layer; 0: Adam does.
    warmup_images, decay_images
        The rate rises linearly over the first, stays, and falls as a cosine to 0 over the last ``decay_images``
        (None: all that follows the warm-up).
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
        network may make fewer channels, know fewer labels and be told less, such as no forcings.
    """

    total_images: int
    batch_size: int = 16
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
    log_images: int = 1000
    validate_images: int = 10_000
    tensorboard: bool = False
    seed: int = 0
    initial: str | None = None

    def __post_init__(self) -> None:
        for name in (
            "total_images", "batch_size", "loaders", "ema_images", "save_images", "log_images", "validate_images",
        ):  # fmt: skip
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"training: {name} is {value}, must be at least 1")
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
        if len(self.data.labels) > self.network.label_dim:
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
                name=about.name, zoom=0, channels=self.data.channels, bounds=about.bounds,
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
