"""From a run to a bottle: what a label lacks is lent by another, experts are used at their noise levels."""

from __future__ import annotations

import copy
import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from xr_cbottle import cli  # noqa: E402
from xr_cbottle.bottle import facts  # noqa: E402
from xr_cbottle.bottle.errors import BottleError  # noqa: E402
from xr_cbottle.bottle.manifest import Manifest  # noqa: E402
from xr_cbottle.draw.emulator import Emulator, Sampler  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import figures, loop  # noqa: E402
from xr_cbottle.training.bottling import pack_run  # noqa: E402

TIMES = ["2000-01-01", "2000-01-02T07"]
STEPS = Sampler(4, 0.02, 200.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trainings.write(tmp_path_factory.mktemp("packing"))


@pytest.fixture
def values(folder):
    values = trainings.values(folder)
    # A label matters from the first steps on, and so does who lends.
    values["training"].update(lr=1e-2, warmup_images=1)
    values["network"]["label_dropout"] = 0.0
    return values


@pytest.fixture
def run(values, folder):
    return loop.train(configs.parse(values), folder / "run", progress=False, stop_at=64)


class Mixed(Emulator):
    """An emulator that mixes label ``b`` (1, without channels 1 and 2) with ``a`` (0) by itself, or does not."""

    lend = True

    def denoise(self, label, **inputs):
        (_, denoiser), *_ = self.model.experts

        def under(index, x, sigma):
            labels = torch.eye(self.model.label_dim)[[index] * len(x)]
            return denoiser(x, sigma.expand(len(x)), labels=labels, **inputs)

        def denoise(x, sigma):
            hidden = x.clone()
            hidden[:, 1:] = 0
            out = under(1, hidden, sigma).clone()
            if self.lend:
                out[:, 1:] = under(0, x, sigma)[:, 1:]
            return out

        return denoise


def test_a_label_draws_what_it_lacks_as_its_donor(run, tmp_path):
    path = pack_run(run, tmp_path / "made.cbottle")
    spec = Emulator(path).bottle.manifest.labels["b"]
    assert (spec.index, spec.masked, spec.donor) == (1, ("Z500", "Z850"), "a")
    for label in ("a", "b"):
        ds = xr.open_dataset(path, engine="cbottle", label=label, num_steps=4).sel(time=TIMES).load()
        assert set(ds.data_vars) >= {"tas", "zg"}
        assert ds.sizes["pressure"] == 2
        assert np.isfinite(ds.tas).all()
        assert np.isfinite(ds.zg).all()

    settings = {"sampler": STEPS, "batch_size": 2}
    drawn = Emulator(path, **settings).draw(TIMES, label="b", progress=False)
    mixed = Mixed(path, **settings)
    scale = drawn.std(("time", "cell"))
    expected = mixed.draw(TIMES, label="b", progress=False)
    assert float((abs(drawn - expected) / scale).max()) < 1e-4
    mixed.lend = False
    alone = mixed.draw(TIMES, label="b", progress=False)
    assert (abs(drawn - alone) / scale).max(("time", "cell"))[1:].min() > 0.01


def test_what_nobody_lends_is_missing_and_all_else_is_as_if_it_were_lent(run, tmp_path, capsys):
    lent = Emulator(pack_run(run, tmp_path / "lent.cbottle"), sampler=STEPS)
    config = dataclasses.replace(run.config, bottle=dataclasses.replace(run.config.bottle, lend=False))
    alone = copy.copy(run)
    alone.config = config
    path = pack_run(alone, tmp_path / "bare.cbottle")
    bare = Emulator(path, sampler=STEPS)
    manifest = bare.bottle.manifest
    spec = manifest.labels["b"]
    assert (spec.masked, spec.donor) == (("Z500", "Z850"), None)
    assert manifest.gaps.shares == {"b": {"Z500": 1, "Z850": 1}}
    whole, some = (one.draw(TIMES, label="b", progress=False).values for one in (lent, bare))
    np.testing.assert_array_equal(whole[:, 0], some[:, 0])
    np.testing.assert_array_equal(*(one.draw(TIMES, label="a", progress=False).values for one in (lent, bare)))
    ds = xr.open_dataset(path, engine="cbottle", label="b", num_steps=4).sel(time=TIMES).load()
    assert np.isnan(ds.zg).all()
    assert np.isfinite(ds.tas).all()
    assert ds.zg.attrs["comment"].startswith("Missing: the data of label b have no Z500, Z850.")
    assert np.isfinite(xr.open_dataset(path, engine="cbottle", label="a").zg.sel(time=TIMES).values).all()
    assert "missing in b  Z500, Z850" in facts.text(facts.facts(bare.bottle))
    few = ["--pressure", "50000", "--label", "b", "--num-steps", "2", "-o", str(tmp_path / "no.png")]
    assert cli.main(["plot", str(path), "zg", *few]) == 2
    assert "zg has no value anywhere under the label b: choose another" in capsys.readouterr().err
    assert not (tmp_path / "no.png").exists()
    bad = json.loads(manifest.to_json())
    del bad["gaps"]
    with pytest.raises(BottleError, match=r"labels\.b\.donor must be a label that has the masked channels"):
        Manifest.from_json(json.dumps(bad))


def test_experts_are_used_at_their_noise_levels(run, values, folder, tmp_path):
    values["training"].update(initial=str(folder / "run"), sigma_min=0.8, total_images=96, seed=1)
    high = loop.train(configs.parse(values), tmp_path / "high", progress=False)
    assert high.images == 96
    assert high.batches.training(0, 64).sigma.min() >= 0.8
    alone = pack_run(run, tmp_path / "alone.cbottle")
    both = pack_run(run, tmp_path / "both.cbottle", experts=[(0.8, high)])
    manifest = Emulator(both).bottle.manifest
    assert [(part.sigma_min, part.location) for part in manifest.parts] == [
        (0.8, "coarse-0.8.checkpoint"),
        (0.0, "coarse-0.checkpoint"),
    ]
    assert manifest.trained_on["coarse-0.8.checkpoint"]["sigma"] == [0.8, 200]
    assert manifest.trained_on["coarse-0.8.checkpoint"]["images"] == 96

    def draw(path, sampler):
        return Emulator(path, sampler=sampler, batch_size=2).draw(TIMES, label="a", progress=False)

    low = Sampler(4, 0.02, 0.7)  # below the expert
    np.testing.assert_array_equal(draw(both, low), draw(alone, low))
    assert not np.array_equal(draw(both, STEPS), draw(alone, STEPS))
    top = Sampler(4, 0.9, 200.0)  # never below it
    only = pack_run(high, tmp_path / "only.cbottle")
    np.testing.assert_array_equal(draw(both, top), draw(only, top))


def test_a_run_begins_with_the_weights_of_a_bottle(run, values, folder, tmp_path):
    values["training"].update(initial=str(folder / "run"), sigma_min=0.8, seed=1)
    high = loop.train(configs.parse(values), tmp_path / "high", progress=False)
    values["bottle"]["dtype"] = "float32"
    low = loop.Run(configs.parse(values | {"training": values["training"] | {"sigma_min": 0.02}}), folder / "run")
    both = pack_run(low, tmp_path / "both.cbottle", experts=[(0.8, high)])
    for levels, expert in (((1.0, 200.0), high), ((0.02, 1.0), run)):
        values["training"].update(initial=str(both), sigma_min=levels[0], sigma_max=levels[1])
        begun = loop.Run(configs.parse(values), tmp_path / f"from{levels[0]}", progress=False)
        assert begun.images == 0
        for key, weights in expert.average.state_dict().items():
            torch.testing.assert_close(begun.net.state_dict()[key], weights, rtol=0, atol=0)
            torch.testing.assert_close(begun.average.state_dict()[key], weights, rtol=0, atol=0)
    others = values["data"] | {"channels": ["tas", "Z850", "T850"]}
    others["sources"] = [source | {"missing": ["T850", "Z850"]} for source in others["sources"]]
    others["sources"][0]["variables"] = {"T850": "tas"}
    others["sources"][0]["missing"] = []
    begun = loop.Run(configs.parse(values | {"data": others}), tmp_path / "others", progress=False)
    first = next(name for name in begun.net.state_dict() if name.endswith("conv_embed.weight"))
    weights, known = begun.net.state_dict()[first], run.average.state_dict()[first]
    assert torch.equal(weights[:, :2], known[:, [0, 2]])  # tas and Z850
    assert not weights[:, 2].any()  # T850 is new, and Z500 is no longer there
    values["network"]["model_channels"] = 12
    with pytest.raises(ValueError, match=r"initial is .*both\.cbottle, which has another network than this run"):
        loop.Run(configs.parse(values), tmp_path / "other", progress=False)


def test_experts_share_their_data(run, values, tmp_path):
    values["data"]["sources"][0]["end"] = "2000-01-05"
    other = loop.train(configs.parse(values), tmp_path / "other", progress=False, stop_at=4)
    with pytest.raises(ValueError, match="was trained on other data"):
        pack_run(run, tmp_path / "no.cbottle", experts=[(1.0, other)])
    assert not (tmp_path / "no.cbottle").exists()


def test_a_channel_that_no_label_can_lend(values, tmp_path):
    values["data"]["channels"].append("pr")
    values["data"]["sources"][0]["missing"] = ["pr"]
    values["data"]["sources"][1]["missing"] += ["pr"]
    with pytest.raises(
        ValueError, match=r"'a': no other label has all the channels that it is missing \(pr\): take them"
    ):
        configs.parse(values)


def test_figures_of_a_report_are_kept_short():
    row = {"label": "a", "key": "a.global_mean.tas", "figure": 0.123456, "noise_floor": None, "verdict": "met", "x": 1}
    report = {
        "figures": [row, {**row, "label": "", "key": "g.difference"}],
        "labels": {"a": {"reference": ["/data/a_1990.nc"], "other_years": [], "instants": 8, "first": "1990-01-01"}},
        "summary": {"met": 2}, "sampler": "Heun", "format": "made", "bottle": {"name": "a", "values": "sha256:1"},
    }  # fmt: skip
    kept = figures.condensed(report)["evaluation"]
    assert kept["figures"] == {
        "a": {"a.global_mean.tas": [0.1235, None, "met"]}, "all": {"g.difference": [0.1235, None, "met"]}
    }  # fmt: skip
    assert kept["labels"]["a"] == {"reference": ["a_1990.nc"], "other_years": [], "instants": 8}
    assert kept["bottle"] == {"name": "a", "values": "sha256:1"}
    assert figures.condensed({"mine": 1}) == {"mine": 1}
