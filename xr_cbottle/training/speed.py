"""Speed and memory of a run's steps, measured over a few of them on made data of its shapes."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.fields.channels import Variable
from xr_cbottle.grid import healpix
from xr_cbottle.network import unet
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.training.batches import Batch, Batches
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.case import Losses
from xr_cbottle.training.coarse import model_config
from xr_cbottle.training.config import Config, OptimConfig
from xr_cbottle.training.data import prepare, prepared_folder
from xr_cbottle.training.globe_case import globe_loss
from xr_cbottle.training.images import Tensors
from xr_cbottle.training.loader import Loader
from xr_cbottle.training.patchwise import patch_data
from xr_cbottle.training.patchwise.denoising import denoising_loss
from xr_cbottle.training.patchwise.distillation import Lesson, teacher_config
from xr_cbottle.training.patchwise.patch_batches import PatchBatch, PatchBatches
from xr_cbottle.training.patchwise.patch_config import AnyConfig, DistilConfig, SuperresConfig
from xr_cbottle.training.run_sources import expanded
from xr_cbottle.training.source_config import SourceConfig
from xr_cbottle.training.step import optimizers, take_step

LOADER_SECONDS = 2.0


@dataclass(frozen=True)
class Speed:
    """Memory and speed of training, measured over a few steps on made data.

    Attributes
    ----------
    parameters
        Number of weights.
    bytes
        Memory for weights, gradients, average and optimizer, and what is kept of a step for the way back.
    peak
        The most that was held at once, where the device says so (GPUs).
    images_per_second
        Of this process.
    steps, share
        Steps that were timed, and images in each.
    device
        Name of the device.
    """

    parameters: int
    bytes: Mapping[str, int]
    peak: int | None
    images_per_second: float
    steps: int
    share: int
    device: str


@dataclass(frozen=True)
class Asked:
    """Demands of a configuration of any kind, as far as they are known before anything is read.

    Attributes
    ----------
    sources, channels, zoom
        What is read, and the HEALPix level that its cells must have at least.
    folder
        Folder of the prepared data.
    instant_bytes
        Of one instant in it, and while it is being read.
    network
        The network.
    loss, made
        Its loss, and what makes a batch of so many random images.
    batches
        Makes batches of the data when they are prepared.
    dtype
        Precision of the weights in a bottle.
    own
        Variables that the configuration defines.
    """

    sources: Sequence[SourceConfig]
    channels: tuple[str, ...]
    zoom: int
    folder: Path
    instant_bytes: tuple[int, int]
    network: ModelConfig
    loss: Callable[[Denoiser, Any, OptimConfig], Losses]
    made: Callable[[int], Tensors]
    batches: Callable[[], Any]
    dtype: str
    own: Mapping[str, Variable] = field(default_factory=dict)


def asked(config: AnyConfig, run: Path) -> Asked:
    """Demands of a configuration; nothing is read but the configuration of a teacher.

    Raises
    ------
    ValueError
        If there is no teacher, or it is of a bridge, of which nothing is estimated.
    """
    if isinstance(config, BridgeConfig):
        raise ValueError(
            "the cost of a bridge is not estimated: look at that of its coarse network, which is about the same"
        )
    if isinstance(config, Config):
        data = config.data
        values = len(data.channels) * healpix.n_cells(data.zoom)
        return Asked(
            data.sources, data.channels, data.zoom, prepared_folder(data, run / "data"), (2 * values, 4 * values),
            model_config(config), globe_loss, lambda count: made_batch(config, count),
            lambda: Batches(config, prepare(data, run / "data", progress=False)), config.bottle.dtype, data.own,
        )  # fmt: skip
    if isinstance(config, DistilConfig):
        folder = Path(expanded(config.distil.run))
        teacher = teacher_config(folder)
        lesson = Lesson(unet.build(teacher.model_config), config.distil)
        return _patches(teacher, config.training, config.part.dtype, folder, lesson.loss)
    return _patches(config, config.training, config.part.dtype, run, denoising_loss)


def _patches(
    config: SuperresConfig, optim: OptimConfig, dtype: str, run: Path,
    loss: Callable[[Denoiser, Any, OptimConfig], Losses],
) -> Asked:  # fmt: skip
    data = config.superres
    values = 4 * len(data.channels) * healpix.n_cells(data.zoom)
    kept = 2 * values + 4 * len(data.channels) * data.patch**2
    return Asked(
        data.sources, data.channels, data.zoom, patch_data.prepared_folder(data, run / "data"), (kept, values + kept),
        config.model_config, loss, lambda count: made_patches(config, optim, count),
        lambda: PatchBatches(optim, patch_data.prepare(data, run / "data", progress=False)), dtype,
    )  # fmt: skip


def measure(
    config: AnyConfig,
    device: torch.device,
    *,
    share: int | None = None,
    steps: int = 3,
    progress: bool = False,
    known: Asked | None = None,
) -> Speed:
    """Take steps on made data of the run's shapes, one of them to warm up.

    Raises
    ------
    ValueError
        If a batch does not fit in the device's memory.
    """
    from tqdm import tqdm

    optim, share = config.training, share or config.training.batch_size
    known = known or asked(config, Path())
    try:
        net = unet.build(known.network).to(device)
        average = copy.deepcopy(net).requires_grad_(False)
        optimizer = optimizers(net, optim)
        batch = known.made(share).to(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        kept = _Kept(net)
        with kept:
            take_step(net, average, Denoiser(net), optimizer, batch, optim, 0, loss=known.loss)
        denoiser = Denoiser(torch.compile(net) if optim.compile else net)  # type: ignore[arg-type]
        if optim.compile:
            take_step(net, average, denoiser, optimizer, batch, optim, 0, loss=known.loss)
        _wait(device)
        begin = time.perf_counter()
        for _ in tqdm(range(steps), desc="measure", unit="step", disable=not progress):
            take_step(net, average, denoiser, optimizer, batch, optim, 0, loss=known.loss)
        _wait(device)
        seconds = time.perf_counter() - begin
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"training: {share} images in a step do not fit in the memory of {device}; make batch_size or the network "
            f"smaller, or share the batch among more processes ({str(error).partition('.')[0]})"
        ) from None
    weights = sum(p.nbytes for p in net.parameters())
    states = [state for member in optimizer.members for state in member.state.values()]
    return Speed(
        parameters=sum(p.numel() for p in net.parameters()),
        bytes={
            "weights": weights,
            "gradients": weights,
            "average": weights,
            "optimizer": sum(x.nbytes for state in states for x in state.values() if isinstance(x, Tensor)),
            "kept of a step": kept.bytes,
        },
        peak=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        images_per_second=share * steps / seconds,
        steps=steps,
        share=share,
        device=torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"the CPU ({torch.get_num_threads()} threads)",
    )


def made_batch(config: Config, count: int) -> Batch:
    """Batch of random images whose shapes are those that the run's network takes."""
    model, optim = model_config(config), config.training
    fields = (count, model.out_channels, 1, healpix.n_cells(model.level))
    sigma = torch.logspace(0, 1, count) * optim.sigma_min
    return Batch(
        clean=torch.randn(fields),
        noise=torch.randn(fields),
        sigma=sigma.clamp(max=optim.sigma_max),
        condition=torch.randn(count, model.condition_channels, *fields[2:]),
        labels=torch.eye(model.label_dim)[torch.arange(count) % model.label_dim],
        second_of_day=torch.full((count, 1), 43200.0),
        day_of_year=torch.full((count, 1), 180.0),
        replayed=torch.zeros(count, dtype=torch.bool),
    )


def made_patches(config: SuperresConfig, optim: OptimConfig, count: int) -> PatchBatch:
    """Batch of random patches whose shapes are those that the run's network takes."""
    data = config.superres
    fields = (count, len(data.channels), data.patch, data.patch)
    cells = torch.arange(data.patch**2, dtype=torch.int32).reshape(1, data.patch, data.patch).expand(count, -1, -1)
    sigma = torch.logspace(0, 1, count) * optim.sigma_min
    return PatchBatch(
        sigma=sigma.clamp(max=optim.sigma_max),
        clean=torch.randn(fields), noise=torch.randn(fields), local=torch.randn(fields), overview=torch.randn(fields),
        cells=cells, partners=cells,
    )  # fmt: skip


def loader_rate(config: AnyConfig, batches: Any, share: int, device: torch.device) -> float:
    """Images a second that a process's loader gives when nobody else works."""
    optim = config.training
    with Loader(batches.training, 0, optim.batch_size, share, threads=optim.loaders, device=device) as loader:
        for _ in range(optim.loaders + 1):
            next(loader)
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < LOADER_SECONDS or count <= optim.loaders:
            next(loader)
            count += 1
        return count * share / (time.perf_counter() - begin)


class _Kept(torch.autograd.graph.saved_tensors_hooks):
    """Counts the memory of what autograd keeps for the way back, apart from the weights."""

    def __init__(self, net: torch.nn.Module) -> None:
        self._known = {p.untyped_storage().data_ptr() for p in net.parameters()}
        self._storages: dict[int, int] = {}
        super().__init__(self._note, lambda x: x)

    def _note(self, x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in self._known:
            self._storages[storage.data_ptr()] = storage.nbytes()
        return x

    @property
    def bytes(self) -> int:
        return sum(self._storages.values())


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
