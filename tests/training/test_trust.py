"""Runs one can trust: locked, of the same data, never of numbers that are not finite; in pieces and on clusters."""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from xr_cbottle import cli  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import lock, loop, step, team  # noqa: E402
from xr_cbottle.training.schedule import learning_rate  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trainings.write(tmp_path_factory.mktemp("trust"))


@pytest.fixture
def values(folder):
    return trainings.values(folder)


def train(values, folder, **keywords):
    return loop.train(configs.parse(values), folder, progress=False, **keywords)


def weights(run) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in run.net.state_dict().values()])


# The folder -----------------------------------------------------------------------------------------------------------


def test_two_starts_in_one_folder_are_one_sentence(values, tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        held = {"host": socket.gethostname(), "process": other.pid, "since": "now"}
        (tmp_path / lock.NAME).write_text(json.dumps(held))
        message = f"is being trained by process {other.pid} on {socket.gethostname()}, since now: wait for it"
        with pytest.raises(ValueError, match=message):
            train(values, tmp_path, stop_at=4)
        assert not (tmp_path / "state.pt").exists()
        assert (tmp_path / lock.NAME).exists()
    finally:
        other.kill()
        other.wait()
    train(values, tmp_path, stop_at=4)  # who held it is gone
    assert not (tmp_path / lock.NAME).exists()


def test_the_lock_of_another_machine_holds_while_it_is_touched(tmp_path):
    (tmp_path / lock.NAME).write_text(json.dumps({"host": "elsewhere", "process": 1, "since": "now"}))
    with pytest.raises(ValueError, match="process 1 on elsewhere"), lock.FolderLock(tmp_path):
        pass
    old = time.time() - 2 * lock.STALE
    os.utime(tmp_path / lock.NAME, (old, old))
    with lock.FolderLock(tmp_path) as held:
        held.touch()
        assert time.time() - (tmp_path / lock.NAME).stat().st_mtime < 100


def test_a_lock_that_is_about_to_be_written_holds(tmp_path):
    path = tmp_path / lock.NAME
    path.touch()
    with pytest.raises(ValueError, match="by a process that begins just now"), lock.FolderLock(tmp_path):
        pass
    old = time.time() - 60  # it was killed before it could say who it is
    os.utime(path, (old, old))
    with lock.FolderLock(tmp_path):
        since = datetime.datetime.fromisoformat(json.loads(path.read_text())["since"])
        assert abs((since - datetime.datetime.now(datetime.UTC)).total_seconds()) < 100


def test_other_data_are_refused_and_other_settings_are_said(values, tmp_path, capsys):
    train(values, tmp_path / "run", stop_at=8)
    values["training"].update(lr=2e-3, seed=1, log_images=8)
    loop.train(configs.parse(values), tmp_path / "run", stop_at=12)
    said = capsys.readouterr().out
    assert "training: lr 0.002 instead of 0.003; training: seed 1 instead of 0\n" in said
    values["data"]["sources"][0]["end"] = "2000-01-05"
    with pytest.raises(ValueError, match="run holds a run on other data than the configuration now gives"):
        train(values, tmp_path / "run")
    values["training"]["initial"] = str(tmp_path / "run")
    assert loop.train(configs.parse(values), tmp_path / "next", stop_at=16).images == 16
    assert "was trained on other data; this run goes on from it" in capsys.readouterr().out


def test_states_are_kept_and_packed(values, tmp_path):
    values["training"].update(keep_images=8)
    run = train(values, tmp_path / "run", stop_at=20)
    assert sorted(path.name for path in (tmp_path / "run" / "kept").iterdir()) == ["16.pt", "8.pt"]
    early = loop.Run(configs.parse(values), tmp_path / "run", progress=False, at=8)
    assert early.images == 8
    assert torch.equal(weights(early), weights(train(values, tmp_path / "again", stop_at=8)))
    assert not torch.equal(weights(early), weights(run))
    with pytest.raises(ValueError, match=r"run has no state of 12 images; it has \[8, 16\]"):
        loop.Run(configs.parse(values), tmp_path / "run", progress=False, at=12)


# Numbers --------------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_and_is_not_saved(values, tmp_path, monkeypatch):
    values["training"].update(save_images=4)
    calls = []

    def spoilt(net, average, denoiser, optimizer, batch, *arguments, **keywords):
        calls.append(1)
        if len(calls) == 3:
            batch.clean[1, 0, 0, 5] = torch.inf
        return step.take_step(net, average, denoiser, optimizer, batch, *arguments, **keywords)

    monkeypatch.setattr(loop, "take_step", spoilt)
    with pytest.raises(
        ValueError, match=r"the loss is not finite: image 9 at noise level [\d.]+ of label [ab]; the last"
    ):
        train(values, tmp_path)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["images"] == 8
    assert not (tmp_path / lock.NAME).exists()
    monkeypatch.undo()
    assert train(values, tmp_path, stop_at=12).images == 12


@pytest.mark.parametrize("name", ["lr", "matrix_lr", "ema_ramp"])
def test_rates_that_cannot_be(values, name):
    for value in (".inf", -1):
        values["training"][name] = yaml.safe_load(str(value))
        with pytest.raises(ValueError, match=f"training: {name} is .*, must be a number >= 0"):
            configs.parse(values)


def test_no_decay_is_none(values):
    values["training"].update(decay_images=0, warmup_images=8)
    optim = configs.parse(values).training
    assert [learning_rate(optim, images) for images in (8, 50, 95)] == [1.0, 1.0, 1.0]


def test_pieces_of_a_batch_add_up(values, tmp_path):
    values["training"].update(batch_size=8)
    whole = train(values, tmp_path / "whole", stop_at=16)
    values["training"].update(batch_device=3)
    pieces = train(values, tmp_path / "pieces", stop_at=16)
    start = loop.Run(configs.parse(values), tmp_path / "start", progress=False)
    moved = (weights(whole) - weights(start)).abs().max()
    assert float((weights(whole) - weights(pieces)).abs().max()) < 1e-3 * float(moved)


def test_activations_that_are_computed_again_are_the_same(values, tmp_path):
    once = train(values, tmp_path / "once", stop_at=8)
    values["training"].update(recompute=True)
    again = train(values, tmp_path / "again", stop_at=8)
    torch.testing.assert_close(weights(again), weights(once), rtol=1e-5, atol=1e-6)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        counts = []
        for run in (once, again):
            kept.clear()
            batch = run.batches.training(0, 4)
            run.case.loss(loop.Denoiser(run.net), batch, run.config.training)
            counts.append(sum(kept))
    assert counts[1] < counts[0] / 2


# Signals and clusters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_stop_and_say_so(values, tmp_path, monkeypatch, capsys, kind):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    calls = []

    def with_signal(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), kind)
        return step.take_step(*arguments, **keywords)

    monkeypatch.setattr(loop, "take_step", with_signal)
    before = signal.getsignal(kind)
    packed = tmp_path / "out.cbottle"
    assert cli.main(["train", str(path), "--run", str(tmp_path / "run"), "--pack", str(packed)]) == 130
    images = torch.load(tmp_path / "run" / "state.pt", weights_only=True)["images"]
    assert images in (12, 16)
    assert f"stopped at {images} of 96 images: the same command goes on" in capsys.readouterr().out
    assert not packed.exists()
    assert signal.getsignal(kind) is before


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu7", "gpu7"), ("gpu[03-05,9],cpu1", "gpu03"), ("a1,a2", "a1"), ("n[1,4]-ib", "n1-ib"),
    ],
)  # fmt: skip
def test_the_first_host_of_slurms_list(nodes, first):
    assert team.first_host(nodes) == first


def test_who_is_who():
    described = team.Team.described
    assert described({}) == team.Team()
    assert described({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) == team.Team()  # a batch script without srun
    slurm = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}
    assert described(slurm) == team.Team(5, 8, 1)
    assert described(slurm | {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}) == team.Team(1, 2, 1)


@pytest.mark.long
def test_srun_of_two_nodes_and_two_processes_is_one_process(values, tmp_path):
    """Four processes with the variables that srun gives them."""
    values["training"].update(total_images=16, batch_size=8, validate_images=16, save_images=8)
    one = train(values, tmp_path / "one")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "MASTER"))} | {
        "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NODELIST": "localhost,other", "SLURM_JOB_ID": "12",
        "MASTER_PORT": port, "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "xr_cbottle.training", str(path), "--folder", str(tmp_path / "four")]
    processes = [
        subprocess.Popen(
            command, env=common | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank % 2)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(4)
    ]  # fmt: skip
    told = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, told
    state = torch.load(tmp_path / "four" / "state.pt", weights_only=True)
    assert state["images"] == 16
    for key, value in one.net.state_dict().items():
        torch.testing.assert_close(state["net"][key], value, atol=1e-4, rtol=1e-3, msg=lambda m, k=key: f"{k}: {m}")
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "four")
    ]
    for first, second in zip(*logs, strict=True):
        for name in ("loss", "validation"):
            assert first.get(name, 0) == pytest.approx(second.get(name, 0), rel=1e-3)
