"""Files that end or hold up whoever reads them: a child process meets them first."""

from __future__ import annotations

import io
import os
import threading
import time

import numpy as np
import pytest

from tests import bottles
from xr_cbottle.bottle import limits, netcdf, trial
from xr_cbottle.bottle.errors import BottleError

# What the children read with. ---------------------------------------------------------------------------------------


def loops(file):
    while True:
        pass


def dies(file):
    file.read()
    os.abort()


def takes_all(file):
    return np.empty(1 << 30)  # 8 GiB


def is_wrong(file):
    raise ValueError("whoever reads it next says so")


def counts(file):
    """A child that has not the whole file from its start ends as one that died."""
    if len(file.read()) != 1000:
        os._exit(9)


# --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _nothing_passed(monkeypatch):
    monkeypatch.setattr(trial, "_passed", set())


def hold(reader, file=None):
    trial.hold(f"{__name__}:{reader.__name__}", file or io.BytesIO(b"some bytes"), "x.nc")


def test_a_loop_ends(monkeypatch):
    monkeypatch.setattr(limits, "TRIAL_WALL_SECONDS", 2.0)
    began = time.monotonic()
    with pytest.raises(BottleError, match=r"^x\.nc is damaged: reading it does not end; get it again$"):
        hold(loops)
    assert time.monotonic() - began < 60


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of a process's processor time")
def test_a_loop_ends_by_its_own_time(tmp_path, monkeypatch):
    # The child reads the limits itself: give it others by a module that comes first.
    (tmp_path / "fewer_seconds.py").write_text(
        "from xr_cbottle.bottle import limits\nlimits.TRIAL_SECONDS = 1\n"
        "from xr_cbottle.bottle import trial\ntrial._limit()\n"
        "from tests.bottle.test_trial import loops\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BottleError, match="does not end"):
        trial.hold("fewer_seconds:loops", io.BytesIO(b"some bytes"), "x.nc")


def test_a_death_is_a_sentence():
    with pytest.raises(
        BottleError, match=r"^x\.nc is damaged: reading it ends the process that reads it \(status -?\d+\)"
    ):
        hold(dies)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of a process's memory")
def test_memory_is_bounded():
    with pytest.raises(BottleError, match="reading it takes all memory"):
        hold(takes_all)


def test_what_is_only_wrong_is_met_by_its_reader():
    hold(is_wrong)


@pytest.mark.parametrize("of_the_system", [True, False])
def test_the_child_has_all_of_the_file(of_the_system, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(1000))
    with open(path, "rb") as file:
        given = file if of_the_system else io.BytesIO(file.read())
        given.seek(0)
        hold(counts, given)
        assert given.tell() == 0
    with pytest.raises(BottleError, match="status 9"):
        hold(counts, io.BytesIO(bytes(999)))


def test_the_same_bytes_are_tried_once(monkeypatch):
    ran = []
    child = trial._child
    monkeypatch.setattr(trial, "_child", lambda *given: ran.append(1) or child(*given))
    for _ in range(2):
        hold(is_wrong)
    hold(is_wrong, io.BytesIO(b"other bytes"))
    assert len(ran) == 2


def test_without_processes_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(trial.sys, "executable", "/no/such/program")
    hold(dies)
    monkeypatch.setattr(trial.sys, "executable", "")
    hold(dies)


def test_netcdf_is_tried_before_it_is_opened_here(monkeypatch):
    order = []
    hold_, check_ = trial.hold, netcdf._check_hdf5
    monkeypatch.setattr(trial, "hold", lambda *given: order.append("child") or hold_(*given))
    monkeypatch.setattr(netcdf, "_check_hdf5", lambda *given: order.append("here") or check_(*given))
    content = bytes(bottles.sst_cells(1, months=3).to_netcdf(engine="h5netcdf"))
    netcdf.check(io.BytesIO(content), "x.nc")
    assert order == ["child", "here"]


def test_from_many_threads():
    content = bytes(bottles.sst_cells(1, months=3).to_netcdf(engine="h5netcdf"))
    failed = []

    def check():
        try:
            netcdf.check(io.BytesIO(content), "x.nc")
        except BottleError as error:
            failed.append(error)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
