"""Configuration of a training run: frozen data classes read from one YAML file.

Every key has a type and a meaning (``xr-cbottle train --explain`` prints these), unknown keys are refused with the
list of the known ones, and paths may hold ``~``, environment variables and (for data files) globs.
``examples/training/gcm.yaml`` is a complete file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.manifest import Manifest, SamplerDefaults
from xr_cbottle.bottle.records import ConditionSpec, LabelSpec, PartSpec, TimeSpec
from xr_cbottle.fields.series import Series
from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.packing_config import PackingConfig
from xr_cbottle.training.parsing import build, check_choices, read
from xr_cbottle.training.run_sources import expanded


@dataclass(frozen=True)
class ReplayConfig:
    """Old labels of the network that a run starts from, kept while it learns new ones.

    Attributes
    ----------
    every
        Each image of this number is of an old label: one of those that the bottle has drawn before training began. It
        teaches what the bottle's own networks make of it.
    instants
        How many of each old label are drawn, at times spread over all that the bottle stands for.
    """

    every: int = 4
    instants: int = 128

    def __post_init__(self) -> None:
        if self.every < 2:
            raise ValueError(f"every is {self.every}, must be at least 2")
        if not 1 <= self.instants <= 100_000:
            raise ValueError(f"instants is {self.instants}, must be 1 to 100000")


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
    replay
        Adds the labels of this run to the bottle that it starts from, whose own labels are kept: ``{every: 4}``. What
        is packed is that bottle, with its other parts. ``{}`` takes the defaults; null: what it knew is forgotten.
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
    replay: ReplayConfig | None = None
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
        if self.from_ is None and (self.like or self.statistics != "run" or self.replay is not None):
            raise ValueError(
                "network: like, statistics and replay are of a network to start from: give from, or leave them out"
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
    device_noise
        On a GPU noise is made there and not by these threads. It is other noise, as reproducible; on a CPU this says
        nothing.
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
    few_images
        For the first so many images of a run that starts from a network that is there only its labels' embedding, what
        steers each block by it, and the last block learn; then all does. A new label is learnt without moving much.
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
    keep_best
        The weights are kept where the loss of held-out instants, as the mean of the last three times that it was
        measured, was lowest: over all noise levels (``FOLDER@best``) and in each range of them that the log has
        (``FOLDER@best-0.5-2``).
    patience_images
        Training stops where that loss over all noise levels was lowest so many images ago; null: it never does.
    log_images, validate_images
        Images between two lines in ``log.jsonl`` of training's loss, and of the loss of held-out instants.
    look_images
        Images between two looks at what the averaged weights draw: instants that are held out are drawn again, and
        their global means, spread and power by the size of patterns are held against the data's, in the log and, with
        a map of each label, in TensorBoard; null: never.
    look_instants
        How many of each label are drawn.
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
    device_noise: bool = False
    lr: float = 1e-3
    matrix_lr: float = 0.02
    warmup_images: int = 2000
    decay_images: int | None = None
    betas: tuple[float, ...] = (0.9, 0.99)
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    few_images: int = 0
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
    keep_best: bool = False
    patience_images: int | None = None
    log_images: int = 1000
    validate_images: int = 10_000
    look_images: int | None = None
    look_instants: int = 4
    tensorboard: bool = False
    seed: int = 0
    initial: str | None = None

    def __post_init__(self) -> None:
        for name in (
            "total_images", "batch_size", "batch_device", "loaders", "ema_images", "save_images", "keep_images",
            "patience_images", "look_images",
            "look_instants", "log_images", "validate_images",
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
        for name in ("warmup_images", "decay_images", "few_images", "seed"):
            if (number := getattr(self, name)) is not None and number < 0:
                raise ValueError(f"training: {name} is {number}, must not be negative")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"training: betas are {self.betas}, must be two numbers in [0, 1)")
        if self.max_hours is not None and not self.max_hours > 0:
            raise ValueError(f"training: max_hours is {self.max_hours:g}, must be positive")
        for name, most in (("batch_size", 65_536), ("total_images", 10**12)):
            if (number := getattr(self, name)) > most:
                raise ValueError(f"training: {name} is {number}, must be at most {most}")


@dataclass(frozen=True, kw_only=True)
class BottleConfig(PackingConfig):
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
        The label when none is asked for; default: that of the first source, or of the bottle that labels are added to.
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
    lend
        Whether a label that lacks channels gets them drawn under another that has them, at twice the price of all its
        draws; if not, they are missing (NaN) under it.
    """

    section = "bottle"

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
    lend: bool = True
    num_steps: int = 18
    sigma_min: float = 0.02
    sigma_max: float = 200.0
    rho: float = 7.0
    solver: str = "heun"

    def __post_init__(self) -> None:
        super().__post_init__()
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
        known, chosen = self.data.labels, self.bottle.default_label
        if self.network.replay is None and chosen is not None and chosen not in known:
            raise ValueError(f"bottle: default_label is {chosen!r}, but the sources are {', '.join(known)}")
        if self.training.few_images and self.network.from_ is None and self.training.initial is None:
            raise ValueError(
                "training: few_images is of runs that start from a network that is there: give network: from, or leave "
                "it out"
            )
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
