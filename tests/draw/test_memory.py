"""Memory: limits of containers in both versions of control groups, and of dask's worker."""

from __future__ import annotations

import pytest

from xr_cbottle.draw.memory import container_limits, process_memory, worker_memory


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("own", "name", "top"),
    [("0::/slurm/job_7/step", "memory.max", ""), ("9:cpu,memory:/slurm/job_7/step", "memory.limit_in_bytes", "memory")],
    ids=["v2", "v1"],
)
def test_the_least_of_all_groups_above_counts(tmp_path, own, name, top):
    root = tmp_path / "cgroup"
    write(root / top / "slurm" / "job_7" / "step" / name, "max\n")
    write(root / top / "slurm" / "job_7" / name, "2000000000\n")
    write(root / top / "slurm" / "job_8" / name, "5\n")
    write(root / top / "slurm" / name, "9223372036854771712\n")
    write(tmp_path / "self", f"12:pids:/x\n{own}\n")
    assert min(container_limits(str(tmp_path / "self"), str(root))) == 2_000_000_000


def test_a_container_that_sees_its_group_as_the_root(tmp_path):
    write(tmp_path / "cgroup" / "memory.max", "1000000\n")
    write(tmp_path / "self", "0::/../../docker/abc\n")
    assert set(container_limits(str(tmp_path / "self"), str(tmp_path / "cgroup"))) == {1_000_000}
    assert list(container_limits(str(tmp_path / "nothing"), str(tmp_path / "nothing"))) == []


def test_memory_of_this_process():
    assert 2**28 < process_memory() < 2**45
    assert worker_memory() is None


def test_dasks_worker_says_its_limit():
    from distributed import Client, LocalCluster

    limit = {"memory_limit": "3GB"}
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, **limit)
    with cluster, Client(cluster) as client:
        assert client.submit(worker_memory).result(30) == 3_000_000_000
