"""GPUs of a machine, shared out among the processes that draw on it. Needs no torch.

A scheduler that starts one process for each GPU tells each its number, and nobody need set ``CUDA_VISIBLE_DEVICES``.
Where it does not, as with dask's workers, a process takes the first GPU that no other one has taken.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RANKS = ("SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK", "LOCAL_RANK")
"""Variables in which schedulers and launchers number the processes of a machine."""

_claims: list[Any] = []  # locks, which the system takes back when the process ends, however it ends


@functools.cache
def chosen_gpu(count: int) -> str:
    """The GPU of this process, ``cuda`` or ``cuda:N``, of those that it sees; always the same one.

    Parameters
    ----------
    count
        How many it sees.
    """
    if count <= 1:
        return "cuda"
    rank = local_rank(os.environ)
    return f"cuda:{_claimed(count) if rank is None else rank % count}"


def local_rank(environment: Mapping[str, str]) -> int | None:
    """Number of a process among those that a scheduler started on this machine; None if it did not say."""
    for name in RANKS:
        if environment.get(name, "").isdigit():
            return int(environment[name])
    return None


def _claimed(count: int) -> int:
    """The first GPU that no other process of this user has claimed; any if there is none."""
    from filelock import FileLock, Timeout

    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = seen.split(",") if len(seen.split(",")) == count else [str(i) for i in range(count)]
    folder = Path(tempfile.gettempdir(), f"xr_cbottle-gpus-{os.getuid() if hasattr(os, 'getuid') else 0}")
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        for i, name in enumerate(names):
            lock = FileLock(folder / "".join(c if c.isalnum() else "-" for c in name), timeout=0, thread_local=False)
            with contextlib.suppress(Timeout):
                lock.acquire()
                _claims.append(lock)
                return i
    return os.getpid() % count
