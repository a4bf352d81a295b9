"""Monthly means of a bottle, drawn by all processes that Slurm has started, or by those of this machine.

srun -n6 python monthly_means.py icon means.nc --time 1990
python monthly_means.py gcm means.nc --time 1990-01 --workers 2
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import dask
import xarray as xr
from distributed import Client, LocalCluster, performance_report


def cluster(workers: int | None, memory: str) -> Any:
    """The processes that Slurm has started, all of which come here and only one of which goes on; or some of our own.

    One thread a worker: a network takes all cores, or the GPU, of its process.
    """
    if "SLURM_PROCID" in os.environ:
        from dask_jobqueue.slurm import SLURMRunner

        options = {"nthreads": 1, "memory_limit": memory}
        return SLURMRunner(scheduler_file="scheduler-{job_id}.json", worker_options=options)
    return LocalCluster(n_workers=workers, threads_per_worker=1, memory_limit=memory, dashboard_address=None)


def main() -> None:
    """Draw, and write the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bottle")
    parser.add_argument("out", help="netCDF file")
    parser.add_argument("--time", default="1990", help="a year, a month or a day")
    parser.add_argument("--variables", nargs="+", default=["tas", "pr"])
    parser.add_argument("--workers", type=int, help="where Slurm has started none")
    parser.add_argument("--memory", default="16GB", help="of each worker; its cache of instants is a quarter of it")
    parser.add_argument("--report", help="HTML of what dask did")
    options = parser.parse_args()
    # A worker that is lost, with its node, is no error before this has happened ten times to one task.
    dask.config.set({"distributed.scheduler.allowed-failures": 10})
    with cluster(options.workers, options.memory) as ours, Client(ours) as client:
        if hasattr(ours, "n_workers"):
            client.wait_for_workers(1)  # the others join as they come
        ds = xr.open_dataset(options.bottle, engine="cbottle", time=options.time, chunks={})[options.variables]
        means = ds.resample(time="MS").mean()
        if options.report:
            with performance_report(filename=options.report):
                means = means.compute()
        means.to_netcdf(options.out)


if __name__ == "__main__":
    main()
