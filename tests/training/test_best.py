"""What is kept because it was best, when a run stops early, how often a source comes, and looks at what is drawn."""

from __future__ import annotations

import collections
import json
import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from xr_cbottle.bottle import open_bottle  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import estimate, images, look, loop, run_states  # noqa: E402
from xr_cbottle.training.epochs import Epochs  # noqa: E402
from xr_cbottle.training.train_command import main  # noqa: E402
from xr_cbottle.training.validations import Validations, is_best  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trainings.write(tmp_path_factory.mktemp("best"))


@pytest.fixture
def values(folder):
    return trainings.values(folder)


def log(run) -> list[dict]:
    return [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]


# The best -------------------------------------------------------------------------------------------------------------


def entry(loss: float, **by_sigma: float) -> dict:
    return {"validation": loss, "validation_by_sigma": by_sigma}


def test_the_mean_of_three_validations_is_looked_at():
    seen = Validations()
    assert seen.add(10, entry(4.0, low=1.0, high=9.0)) == ["best", "best-low", "best-high"]
    assert seen.add(20, entry(2.0, low=2.0, high=8.0)) == ["best", "best-high"]
    assert seen.add(30, entry(3.0, low=0.0, high=8.0)) == ["best-high"]  # means 3.0, 1.0 and 8.33
    assert seen.add(40, entry(2.5, low=0.5, high=9.9)) == ["best", "best-low"]  # 2.5, 0.83 and 8.63: the first is out
    assert seen.lowest == {"best": (40, 2.5), "best-low": (40, pytest.approx(2.5 / 3)), "best-high": (30, 25 / 3)}
    assert not seen.stalled(60, None)
    assert not seen.stalled(60, 21)
    assert seen.stalled(60, 20)
    again = Validations()
    again.load_state_dict(json.loads(json.dumps(seen.state_dict())))
    assert (again.recent, again.lowest) == (seen.recent, seen.lowest)
    assert not Validations().stalled(10**9, 1)


def test_names_of_the_best():
    assert is_best("best")
    assert is_best("best-0.5-2")
    assert not any(map(is_best, ("", "bester", "best-", "best-1", "best-../a-b")))


def spoilt(folder, run, **training):
    """A run that learns for a while, and then at a rate that spoils it."""
    values = trainings.values(folder)
    values["training"] |= {"validate_images": 8, "total_images": 80, "decay_images": 0, "ema_images": 1, **training}
    loop.train(configs.parse(values), folder / run, progress=False, stop_at=36)
    values["training"]["lr"] = 0.5
    return loop.train(configs.parse(values), folder / run, progress=False)


@pytest.fixture(scope="module")
def kept(folder):
    """Such a run, which keeps its best, and looks."""
    return spoilt(folder, "kept", keep_best=True, look_images=32, look_instants=2, tensorboard=True)


def test_weights_are_kept_where_they_were_best(kept, capsys):
    names = sorted(path.stem for path in (kept.folder / "kept").iterdir())
    assert names[0] == "best"
    assert len(names) >= 4
    assert all(is_best(name) for name in names)
    lowest = kept.validations.lowest
    losses = {line["images"]: line["validation"] for line in log(kept) if "validation" in line}
    times = sorted(losses)
    means = {t: np.mean([losses[s] for s in times[max(i - 2, 0) : i + 1]]) for i, t in enumerate(times)}
    assert lowest["best"][0] == min(means, key=lambda t: means[t]) < 64
    for name in names:
        run = loop.Run(kept.config, kept.folder, progress=False, at=name)
        assert run.images == lowest[name][0]
    state = torch.load(kept.folder / "kept" / "best.pt", weights_only=True)
    assert "optimizer" not in state
    inodes = {name: os.stat(kept.folder / "kept" / f"{name}.pt").st_ino for name in names}
    of_one = [name for name in names if lowest[name][0] == lowest["best"][0]]
    assert len({inodes[name] for name in of_one}) == 1
    with pytest.raises(ValueError, match=r"has no state best-1-2; it has best, best-0\.02-0\.1"):
        loop.Run(kept.config, kept.folder, progress=False, at="best-1-2")


def test_a_kill_while_the_best_is_kept_spoils_none_that_is_there(tmp_path, monkeypatch):
    """The name of the whole file is left behind, and is one more of a state that is kept."""
    states = run_states.RunStates(tmp_path)
    with monkeypatch.context() as dying:
        dying.setattr(run_states.Path, "unlink", lambda path, missing_ok=False: path.exists() and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            states.keep_best({"images": 8}, ["best"])
    assert os.stat(tmp_path / "kept" / "best.pt").st_nlink == 2
    states.keep_best({"images": 16}, ["best-0-1"])
    found = {path.stem: torch.load(path)["images"] for path in (tmp_path / "kept").iterdir()}
    assert found == {"best": 8, "best-0-1": 16}


def test_the_best_is_packed_by_the_command_line(kept, folder, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(json.loads((kept.folder / "config.json").read_text())))
    out = tmp_path / "out.cbottle"
    code = main([
        str(path), "--run", f"{kept.folder}@best", "--only-pack", "--pack", str(out),
        "--expert", "2", str(path), f"{kept.folder}@best-2-10",
    ])  # fmt: skip
    assert code == 0
    facts = open_bottle(out).manifest.trained_on
    assert facts["coarse-0.checkpoint"]["images"] == kept.validations.lowest["best"][0]
    assert facts["coarse-2.checkpoint"]["images"] == kept.validations.lowest["best-2-10"][0]


def test_a_run_stops_when_it_learns_no_more_and_stays_stopped(values, tmp_path, capsys):
    values["training"] |= {
        "validate_images": 8, "patience_images": 16, "lr": 0.05, "decay_images": 0, "ema_images": 1, "log_images": 8,
    }  # fmt: skip
    config = configs.parse(values)
    cut = loop.train(config, tmp_path / "run", stop_at=12)
    assert cut.images == 12
    run = loop.train(config, tmp_path / "run")
    at, loss = run.validations.lowest["best"]
    assert run.images == at + 16 < 96
    assert not run.interrupted
    said = f"stops at {run.images} images: the validation loss was lowest, {loss:.4f}, at {at} images"
    assert said in capsys.readouterr().out
    lines = len(log(run))
    again = loop.train(config, tmp_path / "run")
    assert again.images == run.images
    assert len(log(again)) == lines
    values["training"]["patience_images"] = 1000
    assert loop.train(configs.parse(values), tmp_path / "run", progress=False, stop_at=run.images + 4).images > at + 16


def test_without_instants_that_are_held_out_there_is_no_best(values, tmp_path):
    del values["data"]["sources"][0]["validation_start"]
    for name, value in (("keep_best", True), ("patience_images", 8)):
        values["training"] = trainings.values(tmp_path)["training"] | {name: value}
        with pytest.raises(ValueError, match="there are none: give the sources a validation_start"):
            loop.train(configs.parse(values), tmp_path / name, progress=False)


# Weights of sources ---------------------------------------------------------------------------------------------------


def order(counts, weights, epochs=1):
    found = Epochs(counts, weights, lambda number: images.stream(0, 7, abs(number)))
    return found, [found.member(i) for i in range(epochs * found.length)]


def test_sources_come_as_often_as_they_weigh():
    found, members = order([6, 4], [1.0, 1.0])
    assert members == images.stream(0, 7, 0).permutation(10).tolist()  # as before there were weights
    found, members = order([6, 4], [0.5, 2.5], epochs=4)
    assert found.length == 3 + 10
    counts = collections.Counter(members)
    assert [counts[i] for i in range(6)] == [2] * 6  # half of them in an epoch, each in its turn
    assert [counts[i] for i in range(6, 10)] == [10] * 4
    found, _ = order([2, 4], [0.001, 1.0])
    assert found.length == 5


def test_a_source_of_more_weight_is_drawn_more_often(values, folder, tmp_path, capsys):
    plain = loop.Run(configs.parse(values), tmp_path / "plain", progress=False)
    values["data"]["sources"][1]["weight"] = 9
    run = loop.Run(configs.parse(values), tmp_path / "run", progress=False)
    assert run.data.sst_path == plain.data.sst_path  # nothing is prepared again
    assert run.case.data_digest == plain.case.data_digest
    size = 36 + 9 * 4  # of a and b
    share = float(run.batches.training(0, size).labels[:, 1].sum())
    assert share + (run.batches.training(0, size).labels.sum(1) == 0).sum() >= 36
    text = estimate.estimate(configs.parse(values), tmp_path / "run", steps=1, progress=False).text()
    assert "images   a: 50 % (weight 1), b: 50 % (weight 9)" in text
    plain.save()
    loop.Run(configs.parse(values), tmp_path / "plain")
    assert "goes on with other settings than before: source 'b': weight 9 instead of 1\n" in capsys.readouterr().out


@pytest.mark.parametrize("weight", [0, -1, float("nan"), 1e9])
def test_weights_that_cannot_be(values, weight):
    values["data"]["sources"][0]["weight"] = weight
    with pytest.raises(ValueError, match=r"source 'a': weight is .*, must be 0.001 to 1000"):
        configs.parse(values)


# Looks ----------------------------------------------------------------------------------------------------------------


def test_looks_are_written_down_and_change_nothing(kept, folder):
    lines = [line for line in log(kept) if "look_mean" in line]
    assert [line["images"] for line in lines] == [32, 64]
    assert set(lines[0]["look_mean"]) == {"a/tas", "a/Z500", "a/Z850", "b/tas"}
    names = {f"{name}/{size}" for name in lines[0]["look_mean"] for size in ("large", "middle")}
    assert set(lines[0]["look_power"]) == names
    blind = spoilt(folder, "blind")
    one, two = kept.net.state_dict(), blind.net.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    shown = events.EventAccumulator(str(kept.folder / "tensorboard"))
    shown.Reload()
    assert shown.Tags()["images"] == ["look/a/tas", "look/b/tas"]
    assert [event.step for event in shown.Images("look/a/tas")] == [32, 64]
    assert (shown.Images("look/a/tas")[0].width, shown.Images("look/a/tas")[0].height) == (120, 120)
    assert "look_spread/a/tas" in shown.Tags()["scalars"]


def test_a_network_that_draws_the_data_is_told_so(kept, monkeypatch):
    looked = kept.batches.looking(2)
    assert [run.label for run in looked.runs] == ["a", "a", "b", "b"]
    assert (looked.times[:2] >= np.datetime64("2000-01-10")).all()  # held out
    clean = looked.batch.clean
    optim = kept.config.training
    monkeypatch.setattr(look, "drawn_states", lambda net, looked, optim: clean)
    exact = look.look(kept.net, looked, kept.data, optim)
    for one in exact.channels.values():
        assert one.error == pytest.approx(0, abs=1e-9)
        assert one.spread == pytest.approx(1)
        assert all(ratio == pytest.approx(1) for ratio in one.power.values())
    monkeypatch.setattr(look, "drawn_states", lambda net, looked, optim: 2 * clean + 0.3)
    off = look.look(kept.net, looked, kept.data, optim).channels["a/tas"]
    scale = kept.data.statistics.scale[0]
    mean = float(torch.nanmean(clean[:2, 0]))
    assert off.mean - off.wanted == pytest.approx((mean + 0.3) * scale, rel=1e-4)
    assert off.spread == pytest.approx(2, rel=1e-4)
    assert off.power["middle"] == pytest.approx(2, rel=1e-3)


def test_an_exact_denoiser_draws_the_data(kept, monkeypatch):
    looked = kept.batches.looking(1)
    clean = torch.nan_to_num(looked.batch.clean)
    there, most, shown = ~torch.isnan(looked.batch.clean), kept.config.training.sigma_max, []
    monkeypatch.setattr(look, "Denoiser", lambda net: lambda x, sigma, **told: (shown.append((x, sigma)), clean)[1])
    drawn = look.drawn_states(kept.net, looked, kept.config.training)
    noisy = clean + most * looked.batch.noise
    torch.testing.assert_close(shown[0][0], torch.where(there, noisy, 0.0))  # from noise to the data
    assert [float(sigma[0]) for _, sigma in (shown[0], shown[-1])] == pytest.approx([most, 0.02])
    assert len(shown) == look.STEPS
    assert torch.equal(torch.isnan(drawn), torch.isnan(looked.batch.clean))
    torch.testing.assert_close(torch.nan_to_num(drawn), clean, atol=1e-4, rtol=1e-4)


def test_maps_have_the_north_on_top_and_the_data_below(kept):
    _, lat = healpix.lonlat(kept.data.zoom)
    grid = look.regular_grid(look.SPACING).weights(kept.data.zoom)
    shown = look._shown(grid.apply(np.stack([-lat, lat]).astype(float)))
    rows = shown.mean(1)
    assert rows[0] < 0.1 < 0.9 < rows[59]
    assert rows[60] > 0.9 > 0.1 > rows[119]
