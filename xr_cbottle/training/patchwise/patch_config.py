"""Runs of super-resolution and of its distillation, as frozen data classes read from one YAML file.

A file with a section ``superres`` trains a network on patches, one with a section ``distil`` another to do the same in
a few steps. ``examples/training/superres.yaml`` and ``superres_distilled.yaml`` are complete files.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.bottle.errors import SchemaError
from xr_cbottle.bottle.manifest import SamplerDefaults
from xr_cbottle.bottle.records import SuperresSpec
from xr_cbottle.fields.channels import parse as parse_channel
from xr_cbottle.training import config as coarse
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.config import Config, OptimConfig
from xr_cbottle.training.packing_config import PackingConfig
from xr_cbottle.training.parsing import build, check_choices, read
from xr_cbottle.training.source_config import SourceConfig


@dataclass(frozen=True, kw_only=True)
class PatchSource(SourceConfig):
    """One data set to learn from, on HEALPix cells of the fine zoom or a finer one.

    Attributes
    ----------
    validation_days
        Days of each month that are kept out of training, as ``22-31``.
    """

    validation_days: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.missing or self.time_jitter_hours or self.diurnal_harmonics:
            raise ValueError(
                f"source {self.label!r}: missing, time_jitter_hours and diurnal_harmonics are of coarse networks; "
                "leave them out"
            )
        self._days()

    def held_out(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.bool_]:
        """(n,) which instants training does not see."""
        first, last = self._days()
        day = (times.astype("datetime64[D]") - times.astype("datetime64[M]").astype("datetime64[D]")).astype(int) + 1
        return super().held_out(times) | ((day >= first) & (day <= last))

    def _days(self) -> tuple[int, int]:
        if self.validation_days is None:
            return 1, 0
        match = re.fullmatch(r"(\d{1,2})-(\d{1,2})", self.validation_days)
        first, last = map(int, match.groups()) if match else (1, 0)
        if not 1 <= first <= last <= 31:
            raise ValueError(
                f"source {self.label!r}: validation_days is {self.validation_days!r}, must be two days of a month "
                "such as 22-31"
            )
        return first, last


@dataclass(frozen=True)
class PatchDataConfig:
    """Data of super-resolution: the channels that are refined, and the fine data to learn from.

    Attributes
    ----------
    zoom
        HEALPix level of the network; finer files are averaged down.
    coarse_zoom
        Level of what it is told: exact means of the fine fields. The zoom of the bottle that the network is for.
    channels
        Channels in the network's order, each one of the bottle's.
    sources
        The data sets to learn from; their instants are mixed.
    patch, overlap
        Cells along an edge of a patch, and how many it shares with the next one.
    residual
        The network draws what differs from the bilinear interpolation of the coarse field, scaled to one deviation in
        every channel; otherwise the field itself, as NVIDIA's does.
    conserve
        What is drawn is shifted such that each coarse cell keeps its mean.
    offset
        Channel -> standard deviation, in deviations of the field, of a random constant that is added to all an image
        shows of it: so that the network refines data whose mean is another, as other models' pressure is.
    cache
        Folder for the prepared arrays; default: ``data`` in the run folder.
    """

    zoom: int
    coarse_zoom: int
    channels: tuple[str, ...]
    sources: tuple[PatchSource, ...]
    patch: int = 128
    overlap: int = 32
    residual: bool = True
    conserve: bool = True
    offset: dict[str, float] = field(default_factory=dict)
    cache: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.coarse_zoom < self.zoom:
            raise ValueError(f"superres: coarse_zoom is {self.coarse_zoom}, must be from 0 to below zoom {self.zoom}")
        try:
            SuperresSpec(self.zoom, self.channels, self.patch, self.overlap)
        except SchemaError as error:
            raise ValueError(f"superres: {error}") from None
        for name in self.channels:
            parse_channel(name)
        labels = [source.label for source in self.sources]
        if not labels or len(set(labels)) != len(labels):
            raise ValueError(f"superres: sources must have one or more different labels, got {labels}")
        for name, deviation in self.offset.items():
            if name not in self.channels:
                raise ValueError(f"superres: offset is given for {name!r}, which is not among the channels")
            if not 0 <= deviation < math.inf:
                raise ValueError(f"superres: offset of {name} is {deviation:g}, must be a number >= 0")


@dataclass(frozen=True)
class PatchNetworkConfig:
    """Size of the U-Net (architecture ``unet_patch``, see `xr_cbottle.bottle.architecture`).

    Attributes
    ----------
    model_channels
        Width of the finest resolution.
    channel_mult
        Width of each resolution over ``model_channels``, the finest first; each halves the edge of a patch. The
        network attends at the coarsest one.
    num_blocks
        Blocks in a resolution of the encoder; the decoder has one more.
    position_embed_channels
        Numbers of each cell of the globe that the network is told, and learns.
    start
        ``informed``: some weights start from what is known, see `xr_cbottle.training.start`.
    """

    model_channels: int = 32
    channel_mult: tuple[int, ...] = (1, 2, 2)
    num_blocks: int = 1
    position_embed_channels: int = 20
    start: Literal["informed", "random"] = "informed"

    def __post_init__(self) -> None:
        check_choices(self, "network")
        if self.position_embed_channels % 4:
            raise ValueError(
                f"network: position_embed_channels is {self.position_embed_channels}, must be a multiple of 4"
            )
        if self.model_channels < 4 or self.model_channels % (32 if self.model_channels > 32 else 4):
            raise ValueError(
                f"network: model_channels is {self.model_channels}, must be 4 to 32 by fours, or a multiple of 32"
            )


@dataclass(frozen=True, kw_only=True)
class PartConfig(PackingConfig):
    """Packing of a patch network, and its sampling by default.

    Attributes
    ----------
    num_steps
        Of Heun's method,
    sigma_min, sigma_max, rho
        from the highest to the lowest of these noise levels, spaced by ``rho``. A distilled network has no need of
        these four.
    window
        Alpha of the Kaiser-Bessel-derived window that weighs patches; null: plain means.
    """

    num_steps: int = 12
    sigma_min: float = 0.02
    sigma_max: float = 40.0
    rho: float = 7.0
    window: float | None = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None and not self.window > 0:
            raise ValueError(f"part: window is {self.window}, must be positive, or null")
        try:
            SamplerDefaults(self.num_steps, self.sigma_min, self.sigma_max, self.rho)
        except SchemaError as error:
            raise ValueError(f"part: {error}") from None


@dataclass(frozen=True)
class SuperresConfig:
    """A run of super-resolution: the sections of the YAML file. A key ``base`` names a file that fills the gaps.

    Attributes
    ----------
    superres
        What is learnt from.
    network
        What learns.
    training
        How; an image is a patch of an instant.
    part
        What it is packed as.
    """

    superres: PatchDataConfig
    network: PatchNetworkConfig
    training: OptimConfig
    part: PartConfig = field(default_factory=PartConfig)

    def __post_init__(self) -> None:
        _check_of_patches(self.training)
        try:
            self.model_config  # noqa: B018
        except ValueError as error:
            raise ValueError(str(error).replace("model.json", "network")) from None

    @property
    def model_config(self) -> ModelConfig:
        """The network as a checkpoint describes it."""
        data, size = self.superres, self.network
        return ModelConfig(
            architecture="unet_patch",
            model_channels=size.model_channels,
            label_dim=0,
            out_channels=len(data.channels),
            condition_channels=2 * len(data.channels),
            level=data.zoom,
            calendar_include_legacy_bug=False,
            position_embed_channels=size.position_embed_channels,
            img_resolution=data.patch,
            channel_mult=size.channel_mult,
            num_blocks=size.num_blocks,
        )


@dataclass(frozen=True)
class TeacherConfig:
    """Teacher of a network of few steps.

    Attributes
    ----------
    run
        Folder of a run of super-resolution; its network, data and patches are the student's too.
    sigmas
        The student's noise levels, descending: one evaluation each.
    steps
        Steps of Heun's method that the teacher takes from each of these levels to the next, or to 0.
    """

    run: str
    sigmas: tuple[float, ...] = (40.0, 4.0, 0.8, 0.2)
    steps: int = 3

    def __post_init__(self) -> None:
        falling = all(before > after for before, after in itertools.pairwise(self.sigmas))
        if not self.sigmas or not falling or not self.sigmas[-1] > 0:
            raise ValueError(f"distil: sigmas is {self.sigmas}, must be falling numbers > 0")
        if self.steps < 1:
            raise ValueError(f"distil: steps is {self.steps}, must be at least 1")


@dataclass(frozen=True)
class DistilConfig:
    """A run of distillation: the sections of the YAML file. A key ``base`` names a file that fills the gaps.

    Attributes
    ----------
    distil
        Whom is learnt from.
    training
        How; an image is a patch of an instant, and ``sigma_min`` to ``sigma_focus_range`` say nothing here.
    part
        What it is packed as.
    """

    distil: TeacherConfig
    training: OptimConfig
    part: PartConfig = field(default_factory=PartConfig)

    def __post_init__(self) -> None:
        _check_of_patches(self.training)


AnyConfig = Config | BridgeConfig | SuperresConfig | DistilConfig
_SECTIONS = {"bridge": BridgeConfig, "superres": SuperresConfig, "distil": DistilConfig}


def load(path: str | os.PathLike[str]) -> AnyConfig:
    """Read and check a YAML file of any kind of run.

    Raises
    ------
    ValueError
        For an unknown or missing key or a value of the wrong type, naming its place in the file.
    """
    return parse(read(Path(path)), str(path))


def parse(values: dict[str, Any], where: str = "config") -> AnyConfig:
    """Check nested mappings, as a YAML file gives them, and make the configuration of the kind that they are."""
    kinds = [name for name in (*_SECTIONS, "data") if name in values]
    if len(kinds) > 1 and kinds != ["bridge", "data"]:
        raise ValueError(
            f"{where}: has sections {' and '.join(kinds)}: a run is of one kind; data is of a coarse network, bridge "
            "and data of one between two states, superres of super-resolution, distil of its distillation"
        )
    for name, cls in _SECTIONS.items():
        if name in values:
            return build(cls, values, where)
    return coarse.parse(values, where)


def _check_of_patches(optim: OptimConfig) -> None:
    for name in ("coarse_weight", "few_images", "look_images"):
        if getattr(optim, name):
            raise ValueError(f"training: {name} is of coarse networks; leave it out")
