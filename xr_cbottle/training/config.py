"""What a training run is made of, as frozen data classes read from one YAML file.

Every key has a type and a meaning, unknown keys are refused with the list of the known ones, and paths may
hold ``~``, environment variables and (for data files) globs. ``examples/training/gcm.yaml`` is a complete file.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import DISK_TYPES
from ..manifest import SamplerDefaults, TimeSpec
from .parsing import build, read


@dataclass(frozen=True)
class SstConfig:
    """The monthly sea surface temperature that conditions the network, and that is packed into the bottle.

    Attributes
    ----------
    path : str
        A netCDF or zarr data set, ``(time, cell)`` or ``(time, lat, lon)``.
    variable : str
        Its variable.
    land_path, land_variable : str, optional
        Where the land fraction (0 to 1, ``(cell)``) is, if the SST is not NaN over land already.
    land_threshold : float
        Cells with at least this land fraction are land.
    """

    path: str
    variable: str = "sst"
    land_path: str | None = None
    land_variable: str = "sftlf"
    land_threshold: float = 0.5


@dataclass(frozen=True)
class SourceConfig:
    """One data set to imitate, on HEALPix cells in NEST order.

    Attributes
    ----------
    label : str
        Its name: what users of the bottle pass as ``label=``.
    files : tuple of str
        netCDF files or zarr folders; globs are expanded and sorted.
    start, end : str
        ISO-8601 times; instants with start <= time < end are used.
    validation_start : str, optional
        Instants from here to ``end`` are kept out of training and measure the validation loss.
    missing : tuple of str
        Channels this data set does not have: NaN, masked in the loss.
    time_jitter_hours : float
        The network is told a time that differs by up to this (uniform), for data that know no time of day.
    diurnal_harmonics : int
        Of the climatology (``scale: climatology``): 0 for data that know no time of day.
    """

    label: str
    files: tuple[str, ...]
    start: str
    end: str
    validation_start: str | None = None
    missing: tuple[str, ...] = ()
    time_jitter_hours: float = 0.0
    diurnal_harmonics: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.diurnal_harmonics <= 8:
            raise ValueError(f"source {self.label!r}: diurnal_harmonics is {self.diurnal_harmonics}, must be 0 to 8")
        for name in ("start", "end", "validation_start"):
            if (value := getattr(self, name)) is not None:
                _time(value, f"source {self.label!r}: {name}")
        if _time(self.start, "start") >= _time(self.end, "end"):
            raise ValueError(f"source {self.label!r}: start {self.start} is not before end {self.end}")
        if not 0 <= self.time_jitter_hours <= 12:
            raise ValueError(f"source {self.label!r}: time_jitter_hours is {self.time_jitter_hours}, must be 0 to 12")


@dataclass(frozen=True)
class DataConfig:
    """All data of a run.

    Attributes
    ----------
    zoom : int
        HEALPix level of the network; finer files are averaged down.
    channels : tuple of str
        Channels in the network's order, e.g. ``tas``, ``T850`` (see `xr_cbottle.channels`).
    sources : tuple of SourceConfig
    sst : SstConfig
    cache : str, optional
        Folder for the prepared arrays; default: ``data`` in the run folder.
    scale : {"std", "anomaly", "climatology"}
        What a channel is divided by. ``std``: its standard deviation over cells and time, as cBottle does.
        ``anomaly``: twice its standard deviation in time (mean over cells), if that is between a half of the
        former and all of it, so that weather is not much fainter than ``sigma_data`` = 0.5 in channels that vary
        far more from place to place (geopotential, temperature).
        ``climatology``: mean and deviation of each label, cell and time of year and of day, so that the network draws
        standardised anomalies (see `xr_cbottle.climatology`), and is told the anomaly of the SST too.
    annual_harmonics : int
        Of the climatology.
    """

    zoom: int
    channels: tuple[str, ...]
    sources: tuple[SourceConfig, ...]
    sst: SstConfig
    cache: str | None = None
    scale: str = "std"
    annual_harmonics: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.zoom <= 10:
            raise ValueError(f"data: zoom is {self.zoom}, must be 1 to 10")
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise ValueError("data: channels must be a list of one or more different names")
        labels = [source.label for source in self.sources]
        if not labels or len(set(labels)) != len(labels):
            raise ValueError(f"data: sources must have one or more different labels, got {labels}")
        for source in self.sources:
            if unknown := sorted(set(source.missing) - set(self.channels)):
                raise ValueError(f"source {source.label!r}: missing lists {unknown}, which are not among the channels")
        if self.scale not in ("std", "anomaly", "climatology"):
            raise ValueError(f"data: scale is {self.scale!r}, must be 'std', 'anomaly' or 'climatology'")
        if not 0 <= self.annual_harmonics <= 6:
            raise ValueError(f"data: annual_harmonics is {self.annual_harmonics}, must be 0 to 6")


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the U-Net (architecture ``unet_healpix``, see `xr_cbottle.architecture`).

    Attributes
    ----------
    model_channels, channel_mult, num_blocks, attn_resolutions, label_dim
        As in `xr_cbottle.architecture.ModelConfig`.
    label_dropout : float
        Probability that an image's label is hidden.
    start : {"informed", "random"}
        ``informed``: some weights start from what is known, see `xr_cbottle.training.start`.
    """

    model_channels: int = 32
    channel_mult: tuple[int, ...] = (1, 2, 2)
    num_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (4,)
    label_dim: int = 2
    label_dropout: float = 0.1
    start: str = "informed"

    def __post_init__(self) -> None:
        if not 0 <= self.label_dropout < 1:
            raise ValueError(f"network: label_dropout is {self.label_dropout}, must be in [0, 1)")
        if self.start not in ("informed", "random"):
            raise ValueError(f"network: start is {self.start!r}, must be 'informed' or 'random'")


@dataclass(frozen=True)
class OptimConfig:
    """How the network is trained; all lengths are counted in images (instants) seen.

    Attributes
    ----------
    total_images, batch_size : int
    lr : float
        Peak learning rate of Adam.
    matrix_lr : float
        Peak learning rate of Muon, which moves the weights between the first and the last layer; 0: Adam does.
    warmup_images, decay_images : int
        The rate rises linearly over the first, stays, and falls as a cosine to 0 over the last ``decay_images``
        (None: all that follows the warm-up).
    betas : (float, float)
    weight_decay, grad_clip : float
    ema_images : int
        Half-life of the moving average of the weights, which are what is packed.
    ema_ramp : float
        The half-life is never longer than this fraction of the images seen.
    sigma_min, sigma_max : float
        The noise level is log-uniform between them,
    sigma_focus : float
        except for this fraction of the images,
    sigma_focus_range : (float, float)
        where it is log-uniform between these. Much is learnt where weather appears out of noise, little where
        there is nothing but noise.
    coarse_weight : float
        Weight of the loss of means over ever larger squares of cells. Any value has the same optimum (the
        conditional mean); more of it teaches the largest scales sooner, which matter most at high noise.
    precision : {"float32", "bfloat16"}
        bfloat16: autocast of the network.
    compile : bool
        ``torch.compile`` the network.
    max_hours : float, optional
        Stop (saving) after so many hours of training, resumed ones included.
    save_seconds : float
    log_images, validate_images : int
    seed : int
    initial : str, optional
        Folder of a run of the same network to go on from: weights, optimizer and images seen are those of its state.
        An expert for some noise levels starts from the network for all of them.
    """

    total_images: int
    batch_size: int = 16
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
    precision: str = "float32"
    compile: bool = False
    max_hours: float | None = None
    save_seconds: float = 120.0
    log_images: int = 1000
    validate_images: int = 10_000
    seed: int = 0
    initial: str | None = None

    def __post_init__(self) -> None:
        for name in ("total_images", "batch_size", "ema_images", "log_images", "validate_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"training: {name} is {getattr(self, name)}, must be at least 1")
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"training: need 0 < sigma_min < sigma_max, got {self.sigma_min} and {self.sigma_max}")
        if not 0 <= self.sigma_focus < 1:
            raise ValueError(f"training: sigma_focus is {self.sigma_focus}, must be in [0, 1)")
        if len(self.sigma_focus_range) != 2 or not 0 < self.sigma_focus_range[0] < self.sigma_focus_range[1]:
            raise ValueError(f"training: sigma_focus_range is {self.sigma_focus_range}, must be two rising numbers > 0")
        if len(self.betas) != 2:
            raise ValueError(f"training: betas must be two numbers, got {self.betas}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"training: precision is {self.precision!r}, must be 'float32' or 'bfloat16'")


@dataclass(frozen=True)
class BottleConfig:
    """What the packed bottle says of itself and what it stands for.

    The keys are those of the manifest (see `xr_cbottle.manifest`), those of its time and sampler side by side, and:

    Attributes
    ----------
    dtype : {"float32", "float16", "bfloat16"}
        Precision of the weights in the file.
    weights : {"average", "last"}
        The moving average, or, better after a short run whose learning rate fell to 0, the weights themselves.
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
    num_steps: int = 18
    sigma_min: float = 0.02
    sigma_max: float = 200.0
    rho: float = 7.0
    dtype: str = "float16"
    weights: str = "average"
    trained_on: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.weights not in ("average", "last"):
            raise ValueError(f"bottle: weights is {self.weights!r}, must be 'average' or 'last'")
        if self.dtype not in DISK_TYPES:
            raise ValueError(f"bottle: dtype is {self.dtype!r}, must be one of {', '.join(DISK_TYPES)}")
        # What the manifest will refuse, before hours of training.
        TimeSpec(self.start, self.end, self.step)
        SamplerDefaults(self.num_steps, self.sigma_min, self.sigma_max, self.rho)


@dataclass(frozen=True)
class Config:
    """A whole run: ``data``, ``network``, ``training`` and ``bottle`` sections of the YAML file."""

    data: DataConfig
    network: NetworkConfig
    training: OptimConfig
    bottle: BottleConfig

    def __post_init__(self) -> None:
        if len(self.data.sources) > self.network.label_dim:
            raise ValueError(
                f"network: label_dim is {self.network.label_dim}, but there are {len(self.data.sources)} sources; "
                "make it at least that"
            )


def load(path: str | os.PathLike[str]) -> Config:
    """Read and check a YAML file.

    Parameters
    ----------
    path : path-like
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


def _time(value: str, where: str) -> np.datetime64:
    try:
        return np.datetime64(value, "s")
    except ValueError as error:
        raise ValueError(f"{where}: {value!r} is not an ISO-8601 time like 1980-01-01") from error
