"""Killed at any moment: nothing half written stands under a final name, and who goes on ends with the same values.

CI kills a few times; ``pytest tests/doors/test_kills.py --kills 100`` is the long form. Training is killed in
``tests/training/test_loop.py``, and full disks are in ``test_failure.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests import bottles, serving
from tests.webserver import WebServer
from xr_cbottle import cli
from xr_cbottle.bottle import checkpoint
from xr_cbottle.bottle.manifest import SamplerDefaults

pytestmark = pytest.mark.slow
SAMPLE = ("--time", "1980-01-01/1980-01-06/PT6H", "--chunk", 4, "--quiet")


@pytest.fixture
def kills(request) -> int:
    return request.config.getoption("--kills")


@pytest.fixture(scope="module")
def bottle(tmp_path_factory) -> Path:
    sampler = SamplerDefaults(num_steps=6, sigma_max=80.0)  # slow enough to be killed in the middle
    return bottles.synthetic_bottle(tmp_path_factory.mktemp("kills") / "b.cbottle", 3, ("tas", "pr"), sampler=sampler)


def command(*arguments: object, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "xr_cbottle.cli", *map(str, arguments)], env={**os.environ, **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def killed(process: subprocess.Popen, so_far: Callable[[], bool], later: float) -> bool:
    """Kill a process some seconds after it has come so far, however fast the machine is; whether it was running."""
    while process.poll() is None and not so_far():
        time.sleep(0.01)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(later)
    running = process.poll() is None
    process.kill()
    process.communicate()
    return running


@pytest.fixture(scope="module")
def whole(bottle) -> Path:
    """What nobody interrupted."""
    out = bottle.with_name("whole.zarr")
    assert cli.main(["sample", *map(str, (bottle, out, *SAMPLE))]) == 0
    return out


def finished(process: subprocess.Popen) -> None:
    _, err = process.communicate()
    assert process.returncode == 0, err


@pytest.mark.parametrize("suffix", ["zarr", "nc"])
def test_sample(bottle, whole, tmp_path, kills, suffix):
    out = tmp_path / f"out.{suffix}"
    part, record = tmp_path / f"out.{suffix}.part", tmp_path / f"out.{suffix}.part" / "finished.json"

    def progress() -> object:
        """What changes with every piece; of a netCDF file, when it was written to."""
        try:
            return part.stat().st_mtime_ns if suffix == "nc" else json.loads(record.read_text())["finished"]
        except FileNotFoundError:
            return None

    rng, interrupted = np.random.default_rng(len(suffix)), 0
    for _ in range(kills):
        before = progress()
        process = command("sample", bottle, out, *SAMPLE)
        interrupted += killed(process, lambda before=before: progress() not in (None, before), rng.uniform(0, 0.1))
        if out.exists():  # it was done before
            xr.testing.assert_identical(read(out), read(whole))
            subprocess.run(["rm", "-r", out], check=True)
    assert interrupted
    finished(command("sample", bottle, out, *SAMPLE))
    xr.testing.assert_identical(read(out), read(whole))
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def read(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, **({"consolidated": True} if path.suffix == ".zarr" else {})) as ds:
        return ds[["tas", "pr"]].load().drop_attrs()


def test_fetch_with_a_network_that_breaks_off(tmp_path, kills):
    folder, cache = tmp_path / "web", tmp_path / "cache"
    bottles.icon_files(folder)
    rng = np.random.default_rng(1)
    with WebServer(folder, delay=0.2, break_after=300_000, breaks=kills) as server:
        local = tmp_path / "icon.cbottle"
        local.write_text(bottles.icon_manifest(server.url).to_json())
        names = [path.name for path in folder.rglob("*") if path.is_file()]
        for _ in range(kills):
            process = command("fetch", local, "--quiet", XR_CBOTTLE_CACHE=str(cache))
            killed(process, lambda: any(path.is_file() for path in cache.rglob("*")), rng.uniform(0, 1))
            for path in cache.rglob("*"):  # what has its final name is whole
                if path.name in names:
                    original = next(one for one in folder.rglob(path.name))
                    assert checkpoint.digest(path) == checkpoint.digest(original)
        finished(command("fetch", local, "--quiet", XR_CBOTTLE_CACHE=str(cache)))
    assert {path.name for path in cache.rglob("*")} & set(names)


def test_serve(bottle, tmp_path, kills):
    keep, path = tmp_path / "keep", "/b/PT6H_inst_s0_m0_z3.zarr/tas/c/{}/0"
    rng = np.random.default_rng(2)
    expected = xr.open_dataset(bottle, engine="cbottle").tas
    for number in range(1, 1 + max(1, kills // 2)):
        with serving.Process(bottle, "--cache-dir", keep) as server:
            client = server.client
            first = int(rng.integers(100))
            asked = [client.send(path.format(first + i)) for i in range(8)]
            time.sleep(rng.uniform(0, 1.0))
            content = client.ask(path.format(first)).body if number % 2 else b""
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            for one in asked:
                one.close()
        if content:
            np.testing.assert_array_equal(np.frombuffer(content, "<f4"), expected[first].values)
    with serving.Process(bottle, "--cache-dir", keep) as server:
        for i in (0, 50, 99):
            found = np.frombuffer(server.client.ask(path.format(i)).body, "<f4")
            np.testing.assert_array_equal(found, expected[i].values)
    for file in keep.rglob("*.npy"):
        if not file.name.startswith("."):
            assert np.load(file).shape == (2, 768)
