"""The files for clusters run: arrays of parts, and dask under a Slurm that is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests import bottles
from tests.benchmarks import bench_scale

CLUSTERS = Path(__file__).parents[2] / "examples" / "clusters"

# What srun does on one node: as many processes, each told its number; it fails if one of them does.
SRUN = """#!{python}
import os, subprocess, sys

n = int(os.environ["SLURM_NTASKS"])
told = lambda i: {{**os.environ, "SLURM_PROCID": str(i), "SLURM_LOCALID": str(i), "SLURM_NTASKS": str(n)}}
processes = [subprocess.Popen(sys.argv[1:], env=told(i)) for i in range(n)]
sys.exit(max(process.wait() for process in processes))
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Run a job as sbatch does, in a folder of its own: with the environment of some tasks."""
    (tmp_path / "bin").mkdir()
    srun = tmp_path / "bin" / "srun"
    srun.write_text(SRUN.format(python=sys.executable))
    (tmp_path / "bin" / "xr-cbottle").write_text(f'#!/bin/sh\nexec {sys.executable} -m xr_cbottle.cli "$@"\n')
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for file in (tmp_path / "bin").iterdir():
        file.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.chdir(tmp_path)

    def run(job, ntasks, **environment):
        told = {"PATH": path, "SLURM_NTASKS": str(ntasks), "SLURM_JOB_ID": "7", **environment}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")} | told
        return subprocess.Popen(
            ["bash", CLUSTERS / job], env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    return run


def finished(job):
    out, err = job.communicate(timeout=400)
    assert job.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    return str(bottles.synthetic_bottle(tmp_path_factory.mktemp("clusters") / "small.cbottle"))


def test_an_array_of_tasks_writes_one_store(slurm, bottle):
    told = {"BOTTLE": bottle, "OUT": "x.zarr", "TIME": "1980-01-01/1980-01-31/P1D"}
    jobs = [slurm("sample.sbatch", 1, SLURM_ARRAY_TASK_ID=str(i), SLURM_ARRAY_TASK_COUNT="2", **told) for i in (1, 2)]
    for job in jobs:
        finished(job)
    finished(slurm("sample.sbatch", 1, SLURM_ARRAY_TASK_ID="2", PARTS="2", **told))  # it is requeued for nothing
    read = xr.open_dataset(bottle, engine="cbottle", time=slice("1980-01-01", "1980-01-31", "P1D"))
    xr.testing.assert_allclose(xr.open_zarr("x.zarr").tas.load(), read.tas.load(), atol=1e-4 * 15.6)


@pytest.mark.long
def test_dask_under_srun(slurm, bottle):
    pytest.importorskip("dask_jobqueue", reason="pip install dask-jobqueue")
    told = {"BOTTLE": bottle, "OUT": "means.nc", "TIME": "1980-01", "SCRIPT": str(CLUSTERS / "monthly_means.py")}
    finished(slurm("dask.sbatch", 4, **told))
    with xr.open_dataset("means.nc") as means:
        read = xr.open_dataset(bottle, engine="cbottle", time="1980-01").tas.mean("time")
        np.testing.assert_allclose(means.tas.values[0], read.values, atol=1e-3 * 15.6)


@pytest.mark.parametrize(
    ("workers", "instants"), [(4, 40), pytest.param(40, 2000, marks=[pytest.mark.long, pytest.mark.slow])]
)
def test_many_workers_draw_each_instant_once_and_one_is_killed(bottle, workers, instants):
    """Whatever worker draws it, and though what the lost one had is drawn again, values are the same."""
    *_, once, again = bench_scale.cluster(bottle, str(workers), str(instants), "0.1")
    assert float(once) == 1
    assert 1 < float(again) < 1 + 3 / workers  # what one worker had, and no more
