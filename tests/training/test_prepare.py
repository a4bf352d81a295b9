"""Data are prepared apart from training: block by block, by several processes, and on where it was killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

torch = pytest.importorskip("torch")

from tests import patches_data, trainings  # noqa: E402
from tests.trainings import simulation  # noqa: E402
from xr_cbottle import cli  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import data as training_data  # noqa: E402
from xr_cbottle.training import estimate, loop, preparation  # noqa: E402
from xr_cbottle.training.patchwise import patch_config  # noqa: E402

FILES = 8
SLOWLY = """
import sys, time
from xr_cbottle.training import config, data, gathered
read, write = gathered.read_block, data._write_block
gathered.read_block = lambda job: (read(job), time.sleep(float(sys.argv[2])))
data._write_block = lambda job: (write(job), time.sleep(float(sys.argv[3])))
data.prepare(config.load(sys.argv[1]).data, ".", progress=False)
"""


@pytest.fixture
def folder(tmp_path):
    trainings.write(tmp_path)
    (tmp_path / "a.nc").unlink()
    for i, part in enumerate(np.array_split(np.arange(trainings.N), FILES)):
        ds = simulation(0).isel(time=part)
        ds.zg[:, 0, 3] = np.nan
        ds.to_netcdf(tmp_path / f"a{i}.nc")
    return tmp_path


def configured(folder, cache="cache"):
    values = trainings.values(folder)
    values["data"] |= {"scale": "climatology", "annual_harmonics": 0, "cache": str(folder / cache)}
    values["data"]["sources"] = [values["data"]["sources"][0] | {"files": str(folder / "a?.nc")}]
    (folder / f"{cache}.yaml").write_text(yaml.safe_dump(values))
    return configs.parse(values)


def killed_when(folder, cache, enough, waits):
    """Prepare in another process, and kill it when there is enough."""
    process = subprocess.Popen([sys.executable, "-c", SLOWLY, str(folder / f"{cache}.yaml"), *map(str, waits)])
    deadline = time.monotonic() + 120
    while not enough():
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def contents(path: Path) -> dict[str, str]:
    return {file.name: preparation.file_digest(file) for file in path.iterdir() if file.is_file()}


def test_what_was_killed_goes_on_to_the_same_bytes(folder):
    config = configured(folder)
    whole = training_data.prepared_folder(config.data, folder)
    training_data.prepare(config.data, folder, progress=False)
    known = contents(whole)
    other = configured(folder, "killed")
    cache = folder / "killed"

    def there(pattern):
        return list(cache.glob(f"*.partial/{pattern}"))

    killed_when(folder, "killed", lambda: len(there("a.raw/??????.npz")) >= 3, (0.2, 0))
    read = {path: path.stat().st_mtime_ns for path in there("a.raw/??????.npz")}
    assert 3 <= len(read) < FILES
    killed_when(
        folder, "killed", lambda: there("said.json") and len(there("a.raw/??????.npy")) <= FILES - 3, (0, 0.2)
    )  # in the middle of writing
    assert 0 < len(there("a.raw/??????.npy")) < FILES
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in read.items())
    assert not list((folder / "killed").glob("*/done"))
    training_data.prepare(other.data, folder, progress=False)
    made = training_data.prepared_folder(other.data, folder)
    assert contents(made) == known
    assert preparation.verify(made) == sum(path.stat().st_size for path in made.iterdir() if path.name != "done")
    assert not list((folder / "killed").glob("*.partial"))


def test_a_block_that_was_spoilt_is_read_again(folder):
    config, other = configured(folder), configured(folder, "killed")
    training_data.prepare(config.data, folder, progress=False)
    killed_when(folder, "killed", lambda: list((folder / "killed").glob("*.partial/a.raw/000001.npz")), (0.2, 0))
    block = next((folder / "killed").glob("*.partial/a.raw/000000.npy"))
    spoilt = np.load(block)
    np.save(block, spoilt + 1)
    training_data.prepare(other.data, folder, progress=False)
    whole, mended = (training_data.prepared_folder(each.data, folder) for each in (config, other))
    assert contents(whole) == contents(mended)


def test_several_processes_make_the_same_bytes(folder):
    config, other = configured(folder), configured(folder, "many")
    training_data.prepare(config.data, folder, progress=False)
    training_data.prepare(other.data, folder, progress=False, processes=2)
    one, many = (training_data.prepared_folder(each.data, folder) for each in (config, other))
    assert contents(one) == contents(many)


def test_the_disk_holds_no_more_than_a_dry_run_says(folder, monkeypatch):
    config = configured(folder)
    said = estimate.estimate(config, folder / "run", steps=1, progress=False)
    held = []
    read, write = training_data.gather, training_data._write_block

    def noted(work):
        def done(*arguments, **keywords):
            found = work(*arguments, **keywords)
            files = [path for path in (folder / "cache").rglob("*") if path.is_file() and "raw" in str(path.parent)]
            files += list((folder / "cache").glob("*.partial/a.npy"))
            held.append(sum(512 * path.stat().st_blocks for path in files if path.suffix == ".npy"))
            return found

        return done

    monkeypatch.setattr(training_data, "gather", noted(read))
    monkeypatch.setattr(training_data, "_write_block", noted(write))
    training_data.prepare(config.data, folder, progress=False)
    values = trainings.N * 3 * trainings.CELLS
    assert (said.data_bytes, said.peak_bytes) == (2 * values, 4 * values)
    assert len(held) == 1 + FILES
    assert max(held) <= said.peak_bytes + 4096 * (FILES + 2)
    assert held[-1] <= said.data_bytes + 2 * 4096  # its head, and a block of the disk for where the others are


def test_two_do_not_prepare_the_same_at_once(folder):
    config = configured(folder)
    place = training_data.prepared_folder(config.data, folder)
    place.parent.mkdir()
    with open(place.with_name(place.name + ".lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("process 7 on n1\n")
        file.flush()
        with pytest.raises(ValueError, match="is being prepared by process 7 on n1: wait for it, or end it"):
            training_data.prepare(config.data, folder, progress=False)
    training_data.prepare(config.data, folder, progress=False)


def test_the_command_prepares_says_and_verifies(folder, capsys):
    config = configured(folder)
    command = ["train", str(folder / "cache.yaml"), "--run", str(folder / "run"), "--prepare", "--processes", "1"]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "prepared in" in out
    assert "tas          mean 27" in out
    assert "note: a: cells without values, NaN for readers: Z500 0.521 %" in out
    assert not (folder / "run").exists()
    assert cli.main(command) == 0
    assert "were there, verified" in capsys.readouterr().out
    with open(training_data.prepared_folder(config.data, folder) / "a.npy", "r+b") as file:
        file.seek(500)
        file.write(b"\0\0\1")
    with pytest.raises(SystemExit):
        cli.main(command)
    assert "a.npy is not as it was when it was prepared: remove the folder" in capsys.readouterr().err


def test_super_resolution_is_prepared_and_estimated_too_and_so_is_its_distillation(tmp_path, capsys):
    patches_data.write(tmp_path)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(patches_data.values(tmp_path)))
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(patches_data.distillation(tmp_path / "run")))
    superres, distil = ["train", str(tmp_path / "s.yaml")], ["train", str(tmp_path / "d.yaml")]
    with pytest.raises(SystemExit):
        cli.main([*distil, "--dry-run"])
    assert "has no config.json: give the folder of a run of super-resolution" in capsys.readouterr().err
    assert cli.main([*superres, "--run", str(tmp_path / "run"), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "reads    made: tas: tas in K; pr: pr in kg m-2 s-1" in out
    assert "not prepared yet" in out
    assert cli.main([*superres, "--run", str(tmp_path / "run"), "--prepare", "--processes", "1"]) == 0
    assert "prepared in" in capsys.readouterr().out
    loop.train(patch_config.load(tmp_path / "s.yaml"), tmp_path / "run", progress=False, stop_at=8)
    for words in ("--dry-run", "--prepare"):
        assert cli.main([*distil, "--run", str(tmp_path / "few"), words]) == 0
    out = capsys.readouterr().out
    assert "for 48 of 48 images" in out
    assert "loader" in out
    assert "were there, verified" in out
    assert not (tmp_path / "few").exists()


def test_a_dry_run_says_all_that_is_missing(folder, capsys):
    ds = xr.open_dataset(folder / "a3.nc").load()
    ds.tas.attrs["units"] = "kg"
    ds.to_netcdf(folder / "a3.nc.new")
    os.replace(folder / "a3.nc.new", folder / "a3.nc")
    configured(folder)
    values = yaml.safe_load((folder / "cache.yaml").read_text())
    values["data"]["channels"] += ["Z700", "T500"]
    other = {"label": "b", "files": str(folder / "none*.nc"), "start": "2000-01-01", "end": "2000-02-01"}
    values["data"]["sources"].append(other)
    (folder / "cache.yaml").write_text(yaml.safe_dump(values))
    assert cli.main(["train", str(folder / "cache.yaml"), "--run", str(folder / "run"), "--dry-run"]) == 1
    out = capsys.readouterr().out
    missing = [line for line in out.splitlines() if line.startswith("missing")]
    assert len(missing) == 4
    assert "a3.nc: the units of 'tas'" in out
    assert "no level 70000 Pa; it has 50000, 85000 Pa" in out
    assert "no variable 'ta' for channel 'T500'" in out
    assert "no file matches" in out
    assert "reads    a: Z500: zg at 50000 Pa in no unit; Z850: zg at 85000 Pa in no unit" in out
    assert not (folder / "run").exists()


def test_facts_of_what_was_noticed_are_kept(folder):
    config = configured(folder)
    data = training_data.prepare(config.data, folder, progress=False)
    said = json.loads((training_data.prepared_folder(config.data, folder) / "said.json").read_text())
    known = simulation(0).tas.values
    assert said["channels"]["tas"]["low"] == pytest.approx(known.min())
    assert said["channels"]["tas"]["mean"] == pytest.approx(known[:36].mean())
    assert said["channels"]["tas"]["deviation"] == pytest.approx(known[:36].std(), rel=0.01)
    assert tuple(said["lines"]) == data.said
