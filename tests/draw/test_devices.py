"""GPUs are shared out among processes, with or without a scheduler that numbers them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from xr_cbottle.draw import devices

CLAIM = "from xr_cbottle.draw import devices; print(devices.chosen_gpu(4), flush=True); input()"


def test_one_gpu_is_nobodys_choice():
    assert devices.chosen_gpu(1) == "cuda"


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, None),
        ({"SLURM_LOCALID": "3"}, 3),
        ({"SLURM_LOCALID": "", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}, 1),
        ({"LOCAL_RANK": "x"}, None),
    ],
)
def test_rank(environment, rank):
    assert devices.local_rank(environment) == rank


def started(**environment):
    return subprocess.Popen(
        [sys.executable, "-c", CLAIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def test_processes_take_one_each(tmp_path):
    environment = {**{k: v for k, v in os.environ.items() if k not in devices.RANKS}, "TMPDIR": str(tmp_path)}
    processes = [started(**environment) for _ in range(4)]
    taken = [process.stdout.readline().strip() for process in processes]
    assert sorted(taken) == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]
    processes[1].kill()  # what a killed one had is free
    processes[1].wait()
    another = started(**environment)
    assert another.stdout.readline().strip() == taken[1]
    numbered = started(**environment, SLURM_LOCALID="6")
    assert numbered.stdout.readline().strip() == "cuda:2"
    for process in (*processes, another, numbered):
        process.kill()
        process.communicate()
