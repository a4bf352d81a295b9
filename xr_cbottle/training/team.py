"""The processes of a run: one, or several that share each batch."""

from __future__ import annotations

import contextlib
import datetime
import inspect
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from xr_cbottle.draw.models import choose_device

T = TypeVar("T")
PATIENCE = datetime.timedelta(hours=24)
"""How long processes wait for the first one, which prepares the data."""


@dataclass(frozen=True)
class Team:
    """Place of this process among those of the run.

    Attributes
    ----------
    rank, size
        Number of this process, and how many there are.
    local_rank
        Number among those of this machine: its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, batch_size: int) -> Team:
        """The team that ``torchrun`` or ``srun`` describes in the environment, or this process alone."""
        place = cls.described(os.environ)
        if place.size == 1:
            return place
        if batch_size % place.size:
            raise ValueError(f"training: batch_size {batch_size} cannot be shared among {place.size} processes evenly")
        if "WORLD_SIZE" not in os.environ:
            os.environ.update(_meeting(os.environ))
        if torch.cuda.is_available():
            torch.cuda.set_device(place.local_rank)  # where NCCL's barriers happen
        if not dist.is_initialized():
            dist.init_process_group(
                "nccl" if torch.cuda.is_available() else "gloo",
                timeout=PATIENCE,
                rank=place.rank,
                world_size=place.size,
            )
        return place

    @classmethod
    def described(cls, environment: Mapping[str, str]) -> Team:
        """The team that the variables of ``torchrun``, or of a step of Slurm (``srun``), describe."""
        for size, rank, local in (
            ("WORLD_SIZE", "RANK", "LOCAL_RANK"),
            ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
        ):
            if size in environment:
                of_all, place = int(environment[size]), int(environment.get(rank, "0"))
                if of_all == 1:
                    return cls()
                here = int(environment.get(local, "0"))
                # Slurm may show each of its processes its own GPU alone.
                alone = torch.cuda.is_available() and torch.cuda.device_count() == 1 and size != "WORLD_SIZE"
                return cls(place, of_all, 0 if alone else here)
        return cls()

    @property
    def device(self) -> torch.device:
        """The GPU of this process, or the CPU where torch sees no GPU.

        Raises
        ------
        ValueError
            If there are fewer GPUs than processes on this machine.
        """
        return choose_device(f"cuda:{self.local_rank}" if torch.cuda.is_available() else None)

    @property
    def leads(self) -> bool:
        """True for the one process that writes files."""
        return self.rank == 0

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        """Let the leading process do it before the others."""
        if self.size > 1 and not self.leads:
            dist.barrier()
        yield
        if self.size > 1 and self.leads:
            dist.barrier()

    def shared(self, net: nn.Module) -> nn.Module:
        """The network, whose gradients are means over the processes after a way back: torch's own, which overlap it."""
        if self.size == 1:
            return net
        devices = [self.local_rank] if torch.cuda.is_available() else None
        known = inspect.signature(nn.parallel.DistributedDataParallel).parameters
        # Buffers are tables that never change; torch 2.13 has another word for them.
        tables = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        settings: dict[str, Any] = {"device_ids": devices, "gradient_as_bucket_view": True, tables: False}
        return Shared(net, **settings)

    def any(self, wish: bool) -> bool:
        """Whether any of the processes has a wish."""
        if self.size == 1:
            return wish
        device = torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")
        flag = torch.tensor([float(wish)], device=device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag.item())

    def wait(self) -> None:
        """Wait for all processes: none ends, and takes others with it, while the leading one still saves."""
        if self.size > 1:
            dist.barrier()

    def gather_objects(self, values: T) -> list[T]:
        """List of what each process has, in the order of the processes."""
        if self.size == 1:
            return [values]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, values)
        return found

    def gather(self, values: Tensor) -> Tensor:
        """(n,) tensors of equal length from all processes, joined."""
        if self.size == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values)
        return torch.cat(parts)


class Shared(nn.parallel.DistributedDataParallel):
    """Distributed network that shows the attributes of the one that it holds."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


def first_host(nodes: str) -> str:
    """The first of a list of hosts as Slurm writes it: ``gpu[03-05,9],cpu1`` begins with ``gpu03``."""
    found = re.match(r"([^,\[]*)(?:\[([^,\-\]]+)[^\]]*\])?([^,\[]*)", nodes)
    assert found is not None  # it matches any text
    return "".join(part or "" for part in found.groups())


def _meeting(environment: Mapping[str, str]) -> dict[str, str]:
    """Where the processes of a step of Slurm meet: on its first host, at a port that follows from the job's number."""
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST") or "localhost"
    number = int(environment.get("SLURM_JOB_ID", "0")) * 7 + int(environment.get("SLURM_STEP_ID", "0"))
    known = {"MASTER_ADDR": first_host(nodes), "MASTER_PORT": str(20_000 + number % 20_000)}
    return {name: environment.get(name, value) for name, value in known.items()}
