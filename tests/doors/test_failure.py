"""Whatever goes wrong on the command line is one sentence; a fault of ours is a traceback that asks for a report."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest

from tests.bottles import synthetic_bottle
from xr_cbottle import cli
from xr_cbottle.cli import commands, failure


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    return synthetic_bottle(tmp_path_factory.mktemp("failure") / "b.cbottle", 2, ("tas", "pr"))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "here/x.nc"), "there is no here/x.nc: check the path"),
        (OSError(errno.ENOSPC, "No space left on device", "o.zarr"), "the disk of o.zarr is full: make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x may not be read or written by you"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk of a file is full"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", b"\xff"), "is a folder: give a file"),
        (MemoryError(), "there is not enough memory"),
        (FloatingPointError("the values are not finite"), "the values are not finite"),
        (ValueError("a sentence\nin two \x1b[31mlines\u202e"), r"a sentence in two \x1b[31mlines\u202e"),
        (ModuleNotFoundError("no", name="xeofs.x"), "this needs xeofs, which is not installed: pip install"),
    ],
)
def test_what_may_go_wrong_is_a_sentence(error, says):
    said = failure.sentence(error)
    assert said.startswith(says) or says in said
    assert "\n" not in said
    assert said.isprintable()


@pytest.mark.parametrize(
    "error", [TypeError("x"), KeyError("x"), RuntimeError("x"), ZeroDivisionError(), AssertionError()]
)
def test_a_fault_of_ours_is_let_through(error, monkeypatch, capsys):
    assert failure.sentence(error) is None

    def fail(options):
        raise error

    monkeypatch.setattr(commands, "info", fail)
    assert cli.main(["info", "gcm"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.rstrip().endswith("please report it with the lines above.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["sample", "B", "o.zarr", "--time", "1980-01-01", "--members", ""],
            "give how many, or a list of member numbers",
        ),
        (
            ["sample", "B", "o.zarr", "--time", "1980-01-01", "--sigma-max", "1e300"],
            "it must be a positive number of at",
        ),
        (["sample", "B", "o.zarr", "--time", "1980-01-01", "--seed", "9" * 5000], "it must be an integer"),
        (["sample", "B", "o.zarr", "--time", "1980-01-01", "--num-steps", "1000000000"], "num_steps is 1000000000"),
        (["sample", "B", "o.zarr", "--time", "1980-01-01", "--batch-size", "65535"], "batch_size is 65535"),
        (["plot", "B", "tas", "--limits", "5", "1"], "the limits 5 1 are no range: give the lower first"),
        (["info", "/"], "/"),
        (["info", "nothing/here.cbottle"], "nothing/here.cbottle"),
    ],
)
def test_wrong_arguments_are_one_sentence(bottle, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main([str(bottle) if a == "B" else a for a in arguments])
    except SystemExit as stop:  # argparse
        status = stop.code
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 2
    assert says in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_foreign_record_of_an_unfinished_store(bottle, tmp_path, capsys):
    part = tmp_path / "o.zarr.part"
    for content in ("{", "[]", json.dumps({"settings": 1, "finished": 2})):
        part.mkdir(exist_ok=True)
        (part / "finished.json").write_text(content)
        assert cli.main(["sample", str(bottle), str(tmp_path / "o.zarr"), "--time", "1980-01-01T00"]) == 2
        assert "is no record of an unfinished store: remove" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "setuid") or sys.platform != "linux", reason="limits the size of files")
@pytest.mark.parametrize("out", ["o.nc", "o.zarr"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing_under_the_name(bottle, tmp_path, out):
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from xr_cbottle import cli; import xr_cbottle.draw.emulator;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "sample",
        str(bottle),
        str(tmp_path / out),
        "--time",
        "1980-01-01/1980-02-01",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "make room" in done.stderr or "File too large" in done.stderr, done.stderr
    assert not (tmp_path / out).exists()
