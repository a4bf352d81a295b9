"""The training loop: killed and resumed, shared by two processes, in other precisions, and what it writes down."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from xr_cbottle import cli  # noqa: E402
from xr_cbottle.network import unet  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import loop, optimizer, step  # noqa: E402
from xr_cbottle.training.schedule import ema_factor, learning_rate  # noqa: E402
from xr_cbottle.training.team import Team  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of the run, prepared."""
    return trainings.write(tmp_path_factory.mktemp("loop"))


@pytest.fixture
def values(folder):
    return trainings.values(folder)


@pytest.fixture(scope="module")
def whole(folder):
    """An uninterrupted run of 24 steps."""
    return loop.train(configs.parse(trainings.values(folder)), folder / "whole", progress=False)


def written(values, folder) -> str:
    """The configuration as a file."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


def python(*arguments, check=True):
    """Run python as a user would, with as many threads as here: sums in another order are other sums."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=300)
    assert not check or done.returncode == 0, done.stderr
    return done


def log(run_folder) -> list[dict]:
    return [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]


# Interruptions ------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from xr_cbottle.training import config, loop
steps = iter(range(11))
take_step = loop.take_step
def until(*args, **keywords):
    if next(steps, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)  # in the middle of image 45: nobody can tidy up
    return take_step(*args, **keywords)
loop.take_step = until
loop.train(config.load(sys.argv[1]), sys.argv[2], progress=False)
"""


def test_a_killed_run_goes_on_to_the_same_weights(whole, values, tmp_path):
    values["training"].update(save_images=16, save_seconds=1e9)
    done = python("-c", KILLED, written(values, tmp_path), str(tmp_path / "run"), check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["images"] == 32
    with open(tmp_path / "run" / "log.jsonl", "a") as file:
        file.write('{"images": 40, "lo')  # a line that was cut off
    resumed = loop.train(configs.parse(values), tmp_path / "run", progress=False)
    for name in ("net", "average"):
        one, two = getattr(whole, name).state_dict(), getattr(resumed, name).state_dict()
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert resumed.optimizer.state_dict()[0]["state"][0]["step"] == 24
    clocks = ("seconds", "images_per_second")
    told = [[{k: v for k, v in line.items() if k not in clocks} for line in log(r.folder)] for r in (whole, resumed)]
    assert told[0] == told[1]


def test_a_run_killed_before_its_first_state_begins_anew(whole, values, tmp_path):
    (tmp_path / "log.jsonl").write_text('{"images": 16, "loss": 99}\n')
    loop.train(configs.parse(values), tmp_path, progress=False, stop_at=16)
    assert [line["images"] for line in log(tmp_path)] == [16]
    assert log(tmp_path)[0]["loss"] == log(whole.folder)[0]["loss"]


def test_sigterm_saves_and_stops(whole, values, tmp_path, monkeypatch):
    calls = []

    def with_signal(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return step.take_step(*arguments, **keywords)

    monkeypatch.setattr(loop, "take_step", with_signal)
    stopped = loop.train(configs.parse(values), tmp_path, progress=False)
    assert 20 <= stopped.images <= 24
    assert torch.load(tmp_path / "state.pt", weights_only=True)["images"] == stopped.images


def test_a_run_that_is_to_stop_at_once_learns_nothing(values, tmp_path):
    run = loop.train(configs.parse(values), tmp_path / "run", progress=False, stop_at=0)
    assert run.images == 0
    assert (run.folder / "state.pt").exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "another"])
def test_a_damaged_state_is_refused_in_one_sentence(whole, values, tmp_path, damage):
    state = tmp_path / "run" / "state.pt"
    state.parent.mkdir()
    whole_bytes = (whole.folder / "state.pt").read_bytes()
    state.write_bytes({"cut": whole_bytes[: len(whole_bytes) // 2], "empty": b"", "another": b""}[damage])
    if damage == "another":
        torch.save({"weights": torch.zeros(3)}, state)
    with pytest.raises(ValueError, match=r"state.pt is damaged, or no state of a run: go on from one that was kept"):
        loop.Run(configs.parse(values), state.parent, progress=False)


def test_max_hours_counts_what_went_before(values, tmp_path):
    values["training"].update(max_hours=0.001)
    run = loop.Run(configs.parse(values), tmp_path, progress=False)
    run.images, run.seconds = 8, 4.0
    run.save()
    assert loop.train(configs.parse(values), tmp_path, progress=False).images == 12


# Several processes --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_of_n_are_one_of_2n(values, tmp_path):
    values["training"].update(total_images=32, batch_size=8, validate_images=16, decay_images=1)
    values["network"]["label_dropout"] = 0.5
    one = loop.train(configs.parse(values), tmp_path / "one", progress=False)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    path = written(values, tmp_path)
    python(*torchrun, "-m", "xr_cbottle.training", path, "--folder", str(tmp_path / "two"))
    state = torch.load(tmp_path / "two" / "state.pt", weights_only=True)
    assert state["images"] == 32
    start = loop.Run(configs.parse(values), tmp_path / "start", progress=False).net.state_dict()
    for key, value in one.net.state_dict().items():
        torch.testing.assert_close(state["net"][key], value, atol=1e-4, rtol=1e-3, msg=lambda m, k=key: f"{k}: {m}")
    assert max(float((start[k] - v).abs().max()) for k, v in one.net.state_dict().items() if v.numel()) > 0.01
    lines = log(tmp_path / "one"), log(tmp_path / "two")
    assert [[*line] for line in lines[0]] == [[*line] for line in lines[1]]
    for first, second in zip(*lines, strict=True):
        for key in ("loss", "grad_norm", "validation", "by_sigma", "validation_by_sigma"):
            assert first.get(key, 0) == pytest.approx(second.get(key, 0), rel=1e-3), key


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="batch_size 4 cannot be shared among 3 processes evenly"):
        Team.from_environment(4)


# Arithmetic ---------------------------------------------------------------------------------------------------


def steps(values, tmp_path, name, change=None, images=16):
    """The run after four steps."""
    values["training"].update(log_images=16, warmup_images=1, **(change or {}))
    return loop.train(configs.parse(values), tmp_path / name, progress=False, stop_at=images)


def test_bfloat16_computes_in_it_and_keeps_float32(values, tmp_path, monkeypatch):
    seen = set()
    build = unet.build

    def watched(config):
        net = build(config)
        net.model.dec["4x4_aux_conv"].register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
        return net

    monkeypatch.setattr(unet, "build", watched)
    full = steps(values, tmp_path, "full")
    assert seen == {torch.float32}
    seen.clear()
    half = steps(values, tmp_path, "half", {"precision": "bfloat16"})
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in half.net.parameters()} == {torch.float32}
    one, two = log(full.folder)[-1]["loss"], log(half.folder)[-1]["loss"]
    assert one != two
    assert one == pytest.approx(two, rel=0.01)


def test_compiled_is_the_same(values, tmp_path, monkeypatch):
    # Traced and differentiated as always, but not turned into C++, which takes minutes.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()
    # The counts are the process's, not this test's: another test may have compiled before.
    torch._dynamo.utils.counters.clear()
    frames = torch._dynamo.utils.counters["frames"]
    values["network"].update(channel_mult=[1], attn_resolutions=[])
    plain = steps(values, tmp_path, "plain", images=8)
    assert frames["ok"] == 0
    compiled = steps(values, tmp_path, "compiled", {"compile": True}, images=8)
    assert frames["ok"] >= 1
    for key, value in plain.net.state_dict().items():
        torch.testing.assert_close(compiled.net.state_dict()[key], value, atol=1e-4, rtol=1e-3)


def test_weights_stay_channels_last(whole, values):
    resumed = loop.train(configs.parse(values), whole.folder, progress=False)
    kernels = [p for p in resumed.net.parameters() if p.ndim == 4 and p.shape[-1] > 1 and p.shape[1] > 1]
    assert len(kernels) > 5
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    seen = []
    block = next(resumed.net.model.blocks(resumed.net.model.enc))
    block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    loop.validate(resumed.net, resumed.batches.training(0, 4), resumed.config.training, resumed.case.loss)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_gradients_are_clipped(values, tmp_path):
    # Adam's first step does not see the size of a gradient: look at the gradient itself.
    norms = {}
    for clip in (1e9, 1e-3):
        run = loop.Run(configs.parse({**values, "training": {**values["training"], "grad_clip": clip}}), tmp_path)
        grads = []
        run.optimizer.step = lambda rate, net=run.net, into=grads: into.extend(
            p.grad.clone() for p in net.parameters() if p.grad is not None
        )
        batch = run.batches.training(0, 4)
        _, _, norm, _ = step.take_step(
            run.net,
            run.average,
            loop.Denoiser(run.net),
            run.optimizer,
            batch,
            run.config.training,
            0,
            loss=run.case.loss,
        )  # fmt: skip
        norms[clip] = float(norm), float(torch.cat([g.flatten() for g in grads]).norm())
    assert norms[1e9][0] == pytest.approx(norms[1e9][1], rel=1e-4)
    assert norms[1e-3][0] == pytest.approx(norms[1e9][0], rel=1e-4)
    assert norms[1e-3][1] == pytest.approx(1e-3, rel=1e-3)


def test_the_average_has_its_half_life(whole):
    optim = whole.config.training
    start, moving = torch.zeros(3), torch.nn.Linear(3, 1, bias=False).requires_grad_(False)
    target = torch.nn.Linear(3, 1, bias=False)
    moving.weight.copy_(start[None])
    torch.nn.init.ones_(target.weight)
    images = 100_000  # far beyond the ramp
    for _ in range(optim.ema_images // optim.batch_size):
        step.move_average(moving, target, ema_factor(optim, images))
    torch.testing.assert_close(moving.weight, torch.full((1, 3), 0.5))
    ramp = ema_factor(optim, 40)  # a tenth of the images seen is the longest half-life
    assert ramp == pytest.approx(0.5 ** (optim.batch_size / 4))
    different = [not torch.equal(a, b) for a, b in zip(whole.net.parameters(), whole.average.parameters(), strict=True)]
    assert any(different)


@pytest.mark.parametrize("shape", [(3, 4, 36), (2, 40, 6), (5, 5)])
def test_steps_of_muon_have_equal_singular_values(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    found = optimizer.orthogonalised(matrix)
    a, b, c = optimizer.NEWTON_SCHULZ
    values = s / s.square().sum(-1, keepdim=True).sqrt()
    for _ in range(optimizer.ITERATIONS):  # what five iterations make of each singular value
        values = a * values + b * values**3 + c * values**5
    torch.testing.assert_close(found, u @ torch.diag_embed(values) @ vh, atol=1e-4, rtol=1e-3)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_muon_moves_a_kernel_as_the_matrix_of_its_rows(memory):
    generator = torch.Generator().manual_seed(0)
    start, gradient = torch.randn(2, 6, 4, 3, 3, generator=generator)
    kernel = torch.nn.Parameter(start.clone().to(memory_format=memory))
    kernel.grad = gradient.clone().to(memory_format=memory)
    optimizer.Muon([kernel], lr=0.1).step()
    ahead = gradient * (1 - 0.95) + 0.05 * 0.95 * gradient  # of a momentum that was 0, and looks ahead
    expected = start - 0.1 * optimizer.orthogonalised(ahead.reshape(6, -1)).view(start.shape)
    torch.testing.assert_close(kernel.detach(), expected, atol=1e-5, rtol=1e-4)


def test_the_rate_rises_stays_and_falls():
    optim = configs.build(
        configs.OptimConfig,
        {"total_images": 1000, "batch_size": 10, "warmup_images": 100, "decay_images": 400},
        "training",
    )
    rates = np.array([learning_rate(optim, images) for images in range(0, 1001, 10)])
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[10:61], 1)
    np.testing.assert_allclose(rates[80], 0.5)
    assert (np.diff(rates[60:]) < 0).all()
    assert rates[-1] == 0


# What is written down -----------------------------------------------------------------------------------------


def test_validation_is_told_by_noise_level(whole):
    lines = [line for line in log(whole.folder) if "validation" in line]
    assert [line["images"] for line in lines] == [32, 64, 96]
    by_sigma = lines[-1]["validation_by_sigma"]
    assert set(by_sigma) <= {"0.02-0.1", "0.1-0.5", "0.5-2", "2-10", "10-50", "50-200"}
    assert len(by_sigma) >= 3
    assert min(by_sigma.values()) <= lines[-1]["validation"] <= max(by_sigma.values())
    again = loop.validate(
        whole.average, whole.batches.validating(loop.VALIDATION_IMAGES), whole.config.training, whole.case.loss
    )
    assert again["validation_by_sigma"] == by_sigma


def test_tensorboard_shows_the_log(values, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    values["training"].update(tensorboard=True, validate_images=16)
    config = configs.parse(values)
    loop.train(config, tmp_path, progress=False, stop_at=24)
    (tmp_path / "state.pt").unlink()  # as if it was killed before it saved
    loop.train(config, tmp_path, progress=False, stop_at=32)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    lines = log(tmp_path)
    for tag in ("loss", "lr", "grad_norm", "images_per_second", "validation"):
        expected = {line["images"]: line[tag] for line in lines if tag in line}
        assert {e.step: e.value for e in events.Scalars(tag)} == pytest.approx(expected), tag
        assert len(events.Scalars(tag)) == 2
    assert "by_sigma/0.5-2" in events.Tags()["scalars"]


def test_tensorboard_that_is_not_there(values, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    values["training"]["tensorboard"] = True
    assert cli.main(["train", written(values, tmp_path), "--run", str(tmp_path / "run")]) == 2
    assert "this needs tensorboard, which is not installed: pip install 'xr-cbottle[train]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_commands_explain_themselves(tmp_path, values, capsys):
    assert cli.main(["train", "--explain"]) == 0
    assert "total_images: int\n" in capsys.readouterr().out
    with contextlib.suppress(SystemExit):
        cli.main(["train"])
    assert "--explain says what is in it" in capsys.readouterr().err


def test_what_was_never_trained_is_not_packed(values, tmp_path, capsys):
    path = written(values, tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["train", path, "--run", str(tmp_path / "run"), "--only-pack", "--pack", str(tmp_path / "a.cbottle")])
    assert "run holds no run that was trained (it has no state.pt): give the folder of one" in capsys.readouterr().err
    assert not (tmp_path / "a.cbottle").exists()
    assert not (tmp_path / "run").exists()
