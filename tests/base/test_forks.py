"""Processes that are started after a draw, in each of Python's ways, draw the same values and do not wait for ever."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.bottles import fine_specs, synthetic_bottle
from xr_cbottle.base import forks

#: A program of its own with two threads of torch: with one nothing can hang. It says how each way went, in a line.
PROGRAM = """
import json, multiprocessing, sys, threading, time, traceback
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
    ways = {
        "fork": lambda: pool("fork"), "spawn": lambda: pool("spawn"), "forkserver": lambda: pool("forkserver"),
        "fork while another thread draws": lambda: busy(lambda: pool("fork", 4)),
        "joblib": joblib_, "DataLoader": loader, "threads": threads,
    }
    for how in sys.argv[2:]:
        try:
            ways[how]()
            said = "right"
        except BaseException:
            said = traceback.format_exc()
        print(json.dumps([how, said]), flush=True)
"""


FORKED = ("fork", "threads", "joblib", "DataLoader", "fork while another thread draws")


class Program:
    """The program, and a bottle for it; what is asked of it in one run is known from then on."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "program.py"
        self.path.write_text(PROGRAM)
        self.bottle = synthetic_bottle(folder / "small.cbottle", superres=fine_specs(4))
        self.said: dict[str, str] = {}

    def run(self, *ways: str) -> None:
        """Draw, start processes in these ways one after the other, and draw in each."""
        done = subprocess.Popen(
            [sys.executable, "-W", "ignore", self.path, self.bottle, *ways],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            # Threads that wait for each other in a loop would take what other tests need.
            env={**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
        )  # fmt: skip
        try:
            out, err = done.communicate(timeout=400)
        except subprocess.TimeoutExpired:  # the way that waits for ever, and those after it, have no line
            os.killpg(done.pid, signal.SIGKILL)
            out, err = done.communicate()
        told = dict(json.loads(line) for line in out.splitlines())
        self.said |= {how: told.get(how, err[-2000:] or "it did not end") for how in ways}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(tmp_path_factory.mktemp("forks"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
@pytest.mark.slow
@pytest.mark.parametrize("how", FORKED)
def test_a_process_forked_after_a_draw_draws(program: Program, how: str) -> None:
    """One program forks in all these ways: to import torch takes longer than to draw."""
    if how == "joblib":
        pytest.importorskip("joblib")
    if how not in program.said:
        program.run(*FORKED if importlib.util.find_spec("joblib") else [way for way in FORKED if way != "joblib"])
    assert program.said[how] == "right", program.said[how]


@pytest.mark.long
@pytest.mark.parametrize("how", ["spawn", "forkserver"])
def test_a_new_process_draws(program: Program, how: str) -> None:
    """Those of dask are as new; `tests/cube/test_cube.py` has them."""
    program.run(how)
    assert program.said[how] == "right", program.said[how]


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
