"""The processes of a run: one, or several that share each batch."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from xr_cbottle.draw.models import choose_device

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
        """The team that ``torchrun`` describes in the environment, or this process alone."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if batch_size % size:
            raise ValueError(f"training: batch_size {batch_size} cannot be shared among {size} processes evenly")
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank)  # where NCCL's barriers happen
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
        return cls(dist.get_rank(), size, local_rank)

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

    def average_gradients(self, net: nn.Module, *, stop: bool) -> bool:
        """Replace gradients by their mean over the processes; returns whether any process wants to stop."""
        if self.size == 1:
            return stop
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        flag = torch.tensor([float(stop)], device=gradients[0].device)
        flat = torch.cat([g.flatten() for g in gradients] + [flag])
        dist.all_reduce(flat)
        flat /= self.size
        parts = flat[:-1].split([g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return bool(flat[-1] > 0)

    def gather(self, values: Tensor) -> Tensor:
        """(n,) tensors of equal length from all processes, joined."""
        if self.size == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values)
        return torch.cat(parts)
