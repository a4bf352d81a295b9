"""Processes that are started after a draw, in each of Python's ways, draw the same values and do not wait for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.bottles import fine_specs, synthetic_bottle
from xr_cbottle.base import forks

#: A program of its own with two threads of torch: with one nothing can hang.
PROGRAM = """
import multiprocessing, sys, threading, time
import numpy as np, xarray as xr

def read(i, zoom=4):
    ds = xr.open_dataset(sys.argv[1], engine="cbottle", time="PT6H", zoom=zoom, progress=False)
    return ds.tas.isel(time=i, cell=slice(0, 64)).values

def same(found, i):
    # The number of threads is a matter of the last bits.
    np.testing.assert_allclose(found, read(i), rtol=1e-5)

def pool(method, rounds=1):
    for k in range(rounds):
        with multiprocessing.get_context(method).Pool(2) as workers:
            found = workers.map_async(read, [0, 1, 10 + k, 20 + k]).get(timeout=100)
        same(found[0], 0), same(found[2], 10 + k)

def busy(work):
    stop = threading.Event()
    def draw():
        i = 100
        while not stop.is_set():
            read(i, zoom=2 + 2 * (i % 2))
            i += 1
    thread = threading.Thread(target=draw)
    thread.start()
    time.sleep(1)
    try:
        work()
    finally:
        stop.set()
        thread.join()

def joblib_():
    import joblib
    workers = joblib.Parallel(n_jobs=2, backend="multiprocessing", timeout=100)
    same(workers(joblib.delayed(read)(i) for i in (30, 31))[0], 30)

def loader():
    import torch
    class Times(torch.utils.data.Dataset):
        def __len__(self):
            return 4
        def __getitem__(self, i):
            return read(40 + i)
    found = next(iter(torch.utils.data.DataLoader(Times(), batch_size=4, num_workers=1, timeout=100)))
    same(found[0].numpy(), 40)

def threads():
    import torch
    def child(queue):
        before = torch.get_num_threads()
        read(60)
        queue.put((before, torch.get_num_threads()))
    queue = multiprocessing.get_context("fork").Queue()
    process = multiprocessing.get_context("fork").Process(target=child, args=(queue,))
    process.start()
    assert queue.get(timeout=100) == (2, 2)
    process.join()

if __name__ == "__main__":
    import torch
    torch.set_num_threads(2)
    read(0)
    {
        "fork": lambda: pool("fork"), "spawn": lambda: pool("spawn"), "forkserver": lambda: pool("forkserver"),
        "fork while another thread draws": lambda: busy(lambda: pool("fork", 4)),
        "joblib": joblib_, "DataLoader": loader, "threads": threads,
    }[sys.argv[2]]()
    print("right")
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The program, and a bottle for it."""
    folder = tmp_path_factory.mktemp("forks")
    path = folder / "program.py"
    path.write_text(PROGRAM)
    return path, synthetic_bottle(folder / "small.cbottle", superres=fine_specs(4))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
@pytest.mark.parametrize(
    "how",
    [
        "fork", "fork while another thread draws", "threads", "joblib", "DataLoader",
        pytest.param("spawn", marks=pytest.mark.slow), pytest.param("forkserver", marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_a_process_started_after_a_draw_draws(program: tuple[Path, Path], how: str) -> None:
    if how == "joblib":
        pytest.importorskip("joblib")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, program), how],
        capture_output=True, text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.stdout.strip() == "right", done.stderr[-2000:]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_lock_that_another_thread_holds_is_free_in_the_child() -> None:
    lock, held, go = forks.Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            go.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    child = os.fork()
    if not child:
        with lock:
            os._exit(7)
    for _ in range(300):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        status = -1
    go.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 7
