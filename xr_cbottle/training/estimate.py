"""Dry run: memory, disk and time that a run will take, from a few steps on this device."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from xr_cbottle.bottle import facts
from xr_cbottle.grid import healpix
from xr_cbottle.network import unet
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.training import run_sources
from xr_cbottle.training.batches import Batch, Batches
from xr_cbottle.training.coarse import coarse_loss, model_config
from xr_cbottle.training.config import Config
from xr_cbottle.training.data import prepare, prepared_folder
from xr_cbottle.training.heap import keep_freed_memory
from xr_cbottle.training.loader import Loader
from xr_cbottle.training.step import optimizers, take_step
from xr_cbottle.training.team import Team

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
class Estimate:
    """Memory, disk and time that a run will take.

    Attributes
    ----------
    instants
        Of each label.
    data_bytes
        Of the prepared data.
    data_folder
        Folder of the prepared data.
    prepared
        Whether they are there already.
    loader
        Images a second that the loader alone gives; None if there are no data yet.
    speed
        Memory and speed of one process.
    processes
        Processes of the run.
    done, total
        Images seen so far, and in all.
    max_hours
        Hours after which the run stops, None if it does not.
    bottle_bytes
        Of the weights in a bottle.
    """

    instants: Mapping[str, int]
    data_bytes: int
    data_folder: Path
    prepared: bool
    loader: float | None
    speed: Speed
    processes: int
    done: int
    total: int
    max_hours: float | None
    bottle_bytes: int

    @property
    def images_per_second(self) -> float:
        """Images a second of all processes, by whichever is slower, network or loader."""
        return self.processes * min(self.speed.images_per_second, self.loader or float("inf"))

    @property
    def seconds(self) -> float:
        """Seconds that the images that are left will take."""
        return (self.total - self.done) / self.images_per_second

    def text(self) -> str:
        """The estimate in lines for people."""
        speed = self.speed
        labels = ", ".join(f"{label} {n:,}" for label, n in self.instants.items())
        state = "prepared" if self.prepared else "not prepared yet"
        memory = ", ".join(f"{name} {facts.size(n)}" for name, n in speed.bytes.items())
        peak = "" if speed.peak is None else f"; {facts.size(speed.peak)} at most"
        each = f"{self.processes} processes" if self.processes > 1 else "one process"
        rows = {
            "network": f"{speed.parameters:,} parameters; {facts.size(self.bottle_bytes)} in a bottle",
            "data": f"{facts.size(self.data_bytes)} of instants ({labels}) in {self.data_folder}, {state}",
            "memory": f"{memory}{peak}, in each process",
            "speed": f"{speed.images_per_second * self.processes:.3g} images a second by {each} on {speed.device}, "
            f"measured over {speed.steps} steps of {speed.share} images",
            "time": f"{duration(self.seconds)} for {self.total - self.done:,} of {self.total:,} images",
        }
        if self.loader is not None:
            rows["loader"] = f"{self.loader * self.processes:.3g} images a second"
        if self.max_hours is not None and self.seconds > 3600 * self.max_hours:
            rows["time"] += f"; max_hours stops it after {self.max_hours:g} h of training"
        return "\n".join(f"{name:8} {text}" for name, text in rows.items())


def estimate(config: Config, run: str | os.PathLike[str], *, steps: int = 3, progress: bool = True) -> Estimate:
    """Say what a run will take. Nothing is written.

    Parameters
    ----------
    config
        Of a coarse network.
    run
        Folder of the run: images already seen, and data already prepared, are looked for there.
    steps
        Steps to time.
    progress
        Show a bar.

    Raises
    ------
    ValueError
        If a batch does not fit in the device's memory.
    """
    keep_freed_memory()
    run = Path(run)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    folder = prepared_folder(config.data, run / "data")
    prepared = (folder / "done").exists()
    loader = None
    device = Team(local_rank=int(os.environ.get("LOCAL_RANK", "0"))).device
    share = max(config.training.batch_size // processes, 1)
    instants: dict[str, int] = {}
    if prepared:
        data = prepare(config.data, run / "data", progress=False)
        for one in data.runs:
            instants[one.label] = instants.get(one.label, 0) + len(one.times)
        loader = loader_rate(config, Batches(config, data), share, device)
        data_bytes = sum(path.stat().st_size for path in folder.iterdir())
    else:
        for source in config.data.sources:
            instants[source.label] = instants.get(source.label, 0) + run_sources.count(source)
        data_bytes = 2 * sum(instants.values()) * len(config.data.channels) * healpix.n_cells(config.data.zoom)
    speed = measure(config, device, share=share, steps=steps, progress=progress)
    state = run / "state.pt"
    done = torch.load(state, weights_only=True, map_location="cpu", mmap=True)["images"] if state.exists() else 0
    optim = config.training
    return Estimate(
        instants=instants,
        data_bytes=data_bytes,
        data_folder=folder,
        prepared=prepared,
        loader=loader,
        speed=speed,
        processes=processes,
        done=min(done, optim.total_images),
        total=optim.total_images,
        max_hours=optim.max_hours,
        bottle_bytes=speed.parameters * getattr(torch, config.bottle.dtype).itemsize,
    )


def measure(
    config: Config, device: torch.device, *, share: int | None = None, steps: int = 3, progress: bool = False
) -> Speed:
    """Take steps on made data of the run's shapes, one of them to warm up.

    Raises
    ------
    ValueError
        If a batch does not fit in the device's memory.
    """
    from tqdm import tqdm

    optim, share = config.training, share or config.training.batch_size
    try:
        net = unet.build(model_config(config)).to(device)
        average = copy.deepcopy(net).requires_grad_(False)
        optimizer = optimizers(net, optim)
        batch = made_batch(config, share).to(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        kept = _Kept(net)
        with kept:
            take_step(net, average, Denoiser(net), optimizer, batch, optim, 0, loss=coarse_loss)
        denoiser = Denoiser(torch.compile(net) if optim.compile else net)  # type: ignore[arg-type]
        if optim.compile:
            take_step(net, average, denoiser, optimizer, batch, optim, 0, loss=coarse_loss)
        _wait(device)
        begin = time.perf_counter()
        for _ in tqdm(range(steps), desc="measure", unit="step", disable=not progress):
            take_step(net, average, denoiser, optimizer, batch, optim, 0, loss=coarse_loss)
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
    )


def loader_rate(config: Config, batches: Batches, share: int, device: torch.device) -> float:
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


def duration(seconds: float) -> str:
    """A time for people: ``5 s``, ``12 min``, ``3 h 20 min``, ``4 days 2 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"


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
