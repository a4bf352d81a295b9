"""Labels are added to a bottle: what it knew is replayed, few weights learn first, and all of it is packed together."""

from __future__ import annotations

import copy
import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")

from tests import bottles, trainings  # noqa: E402
from xr_cbottle.bottle import open_bottle  # noqa: E402
from xr_cbottle.bottle.calibration import Calibration  # noqa: E402
from xr_cbottle.bottle.coherence import Coherence  # noqa: E402
from xr_cbottle.bottle.records import BoundSpec, BridgeSpec, ConditionSpec, PartSpec  # noqa: E402
from xr_cbottle.bottle.repacking import repack  # noqa: E402
from xr_cbottle.draw.emulator import Emulator  # noqa: E402
from xr_cbottle.network.edm import Denoiser  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import estimate, known_climatology, loop, replay  # noqa: E402
from xr_cbottle.training.added_labels import _lenders, bounds_of_all  # noqa: E402
from xr_cbottle.training.bottling import pack_run  # noqa: E402
from xr_cbottle.training.prepare_command import prepare_run  # noqa: E402
from xr_cbottle.training.train_command import main  # noqa: E402

EVERY = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of a run, and those of a third model that is warmer."""
    folder = trainings.write(tmp_path_factory.mktemp("replay"))
    warmer = trainings.simulation(2)
    warmer["tas"] = warmer.tas + 8
    warmer.to_netcdf(folder / "n.nc")
    return folder


def first(folder, **data):
    """The configuration of the bottle that labels are added to."""
    values = trainings.values(folder)
    values["data"] |= data
    source = values["data"]["sources"][0] | {"files": str(folder / "a.nc")}
    values["data"]["sources"] = [source, source | {"label": "c"}]
    values["bottle"] |= {"dtype": "float32", "weights": "last", "nonnegative": ["tas"]}
    return values


def adding(values, folder, bottle, **training):
    """The configuration of a run that adds a label to it."""
    values = copy.deepcopy(values)
    values["data"]["sources"] = [values["data"]["sources"][0] | {"label": "n", "files": str(folder / "n.nc")}]
    values["network"] = {"from": str(bottle), "like": {"n": "c"}, "replay": {"every": EVERY, "instants": 6}}
    if values["data"].get("scale") == "climatology":
        values["data"]["standardised_as"] = str(bottle)
    else:
        values["network"]["statistics"] = "bottle"
    values["training"] |= {"total_images": 96, "warmup_images": 1, "decay_images": 32, **training}
    return values


@pytest.fixture(scope="module")
def bottle(folder):
    run = loop.train(configs.parse(first(folder)), folder / "first", progress=False)
    return pack_run(run, folder / "first.cbottle")


@pytest.fixture(scope="module")
def added(folder, bottle):
    """A run that has learnt the third label, and kept the others."""
    return loop.train(configs.parse(adding(first(folder), folder, bottle)), folder / "added", progress=False)


def weights(run):
    return {name: value.clone() for name, value in run.net.state_dict().items()}


def test_every_fourth_image_is_of_an_old_label_and_all_others_are_as_without(folder, bottle):
    values = adding(first(folder), folder, bottle)
    values["network"]["label_dropout"] = 0.0
    run = loop.Run(configs.parse(values), folder / "images", progress=False)
    assert run.case.kept == ("a", "c")
    assert run.case.numbers == {"a": 0, "c": 1, "n": 2}
    batch = run.batches.training(0, 16)
    assert batch.replayed.tolist() == [False, False, False, True] * 4
    assert (batch.labels[~batch.replayed].argmax(1) == 2).all()
    assert (batch.labels[batch.replayed].argmax(1) < 2).all()
    text = estimate.estimate(configs.parse(values), folder / "images", steps=1, progress=False).text()
    assert f"images   every 4th of a, c, 6 instants of each, which {bottle} draws before" in text
    del values["network"]["replay"]
    plain = loop.Run(configs.parse(values), folder / "plain_images", progress=False).batches
    assert torch.equal(batch.clean[~batch.replayed], plain.training(0, 12).clean)
    assert not run.batches.validating(4).replayed.any()
    every = torch.cat([run.batches.training(i * 4 + 3, 1).clean for i in range(12)])  # each of two labels' six once
    assert len(torch.unique(every.flatten(1), dim=0)) == 12


def test_what_the_old_network_says_is_wanted_of_replayed_images(folder, bottle):
    run = loop.Run(configs.parse(adding(first(folder), folder, bottle)), folder / "wanted", progress=False)
    batch = run.batches.training(0, 16)
    with torch.no_grad():
        plain = run.case.loss(Denoiser(run.net), batch, run.config.training).plain
    assert float(plain[batch.replayed].max()) < 1e-8 < 0.01 < float(plain[~batch.replayed].min())
    again = run.case.answers(batch.clean, batch, batch.clean)
    assert torch.equal(again[~batch.replayed], batch.clean[~batch.replayed])
    assert not torch.equal(again[batch.replayed], batch.clean[batch.replayed])


def moved(run, bottle, label=0):
    """How far a network is from what it was, for instants of an old label: mean square, over that of what it learns."""
    old = loop.Run(run.config, run.folder / "old", progress=False)
    batch = old.batches.training(0, 64)
    batch = batch.part(0, 64)
    rows = batch.replayed.nonzero()[:, 0]
    noisy = batch.clean + batch.sigma.view(-1, 1, 1, 1) * batch.noise
    told = {name: getattr(batch, name)[rows] for name in ("condition", "labels", "second_of_day", "day_of_year")}
    with torch.no_grad():
        one, two = (Denoiser(net)(noisy[rows], batch.sigma[rows], **told) for net in (old.net, run.net))
    return float((one - two).square().mean())


def test_old_labels_stay_where_they_were(folder, bottle, added):
    values = adding(first(folder), folder, bottle)
    values["network"]["replay"]["every"] = 1_000_000  # none of these images
    forgetful = loop.train(configs.parse(values), folder / "forgetful", progress=False)
    forgetful.config = added.config
    assert moved(added, bottle) < 0.5 * moved(forgetful, bottle)


def test_labels_are_packed_beside_those_that_were_there(folder, bottle, added):
    out = pack_run(added, folder / "all.cbottle")
    before, after = open_bottle(bottle).manifest, open_bottle(out).manifest
    assert {name: label.index for name, label in after.labels.items()} == {"a": 0, "c": 1, "n": 2}
    assert after.default_label == before.default_label
    assert after.sst == before.sst
    assert after.nonnegative == ("tas",)
    assert after.trained_on["replayed"] == {"labels": ["a", "c"], "every": EVERY, "instants": 6}
    assert list(after.trained_on["data"]) == ["n"]
    drawn = {
        label: xr.open_dataset(out, engine="cbottle", label=label).tas.isel(time=[5, 100]).mean().item()
        for label in ("a", "n")
    }
    assert np.isfinite(list(drawn.values())).all()


@pytest.fixture(scope="module")
def lasting(folder, bottle):
    """The bottle with coherence, and with a bridge that has room for its labels alone."""
    known, rng = open_bottle(bottle), np.random.default_rng(3)
    manifest = known.manifest
    share = rng.integers(1, 4095, (2, 3, 4, 2)) / 4096
    found = Coherence(
        ("c", "a"), manifest.channels, np.array([36000, 400000]), np.array([-60.0, -10, 10, 60]), np.array([0, 4]),
        np.stack([share, 1 - share], -1), rng.uniform(-20, 20, (2, 4, 2, 2)),
    )  # fmt: skip
    found.write(folder / "coherence.nc")
    one = bottles.small_config(manifest.zoom, 3, 2, conditions=1 + 2 * 3 + 3)
    bottles.write_random_part(folder / "bridge", one, manifest.channels)
    spec = BridgeSpec("PT6H", "P1D", ("a", "c"))
    changed = dataclasses.replace(
        manifest, coherence=ConditionSpec("coherence.nc"),
        parts=(*manifest.parts, PartSpec("bridge", 0.0, "bridge.checkpoint", bridge=spec)),
        trained_on={**manifest.trained_on, "coherence.nc": {"a": "years", "c": "others"}},
    )  # fmt: skip
    files = {"coherence.nc": folder / "coherence.nc", "bridge.checkpoint": folder / "bridge"}
    return repack(folder / "lasting.cbottle", known, changed, files)


def test_old_labels_keep_how_their_weather_lasts_and_new_ones_have_that_of_another(folder, lasting, tmp_path):
    run = loop.train(configs.parse(adding(first(folder), folder, lasting)), tmp_path / "run", progress=False, stop_at=4)
    out = pack_run(run, tmp_path / "out.cbottle")
    before, after = open_bottle(lasting).coherence(), open_bottle(out).coherence()
    assert before.labels == ("c", "a")
    assert after.labels == ("a", "c", "n")
    for label, lender in {"a": "a", "c": "c", "n": "c"}.items():
        i, j = after.labels.index(label), before.labels.index(lender)
        np.testing.assert_array_equal(after.share[i], before.share[j])
        np.testing.assert_array_equal(after.speed[i], before.speed[j])
    for name in ("spacing", "latitude", "wavenumber"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    manifest = open_bottle(out).manifest
    assert manifest.trained_on["coherence.nc"] == {"a": "years", "c": "others", "n": "as c"}
    assert manifest.bridge.labels == ("a", "c")
    for label in ("a", "n"):
        ds = xr.open_dataset(out, engine="cbottle", label=label, coherence="latents")
        assert np.isfinite(ds.tas.isel(time=5).values).all()
    assert np.isfinite(
        xr.open_dataset(out, engine="cbottle", label="c", coherence="bridge").tas.isel(time=1).values
    ).all()
    with pytest.raises(ValueError, match="was trained on a, c and knows nothing of n"):
        xr.open_dataset(out, engine="cbottle", label="n", coherence="bridge")


def test_a_label_that_is_like_none_has_the_weather_of_the_default_one():
    lenders = _lenders(("c", "a"), ("a", "c", "n"), {}, "a")
    assert lenders == {"a": "a", "c": "c", "n": "a"}
    assert _lenders(("c", "a"), ("n",), {"n": "c"}, "a") == {"n": "c"}
    assert _lenders(("c", "a"), ("n",), {}, None) == {"n": "c"}


def test_each_label_keeps_the_sun_that_bounds_it():
    old = {"rsds": BoundSpec(most=900, sun={"a": 0, "c": 6}), "clt": BoundSpec(least=0, most=1)}
    new = {"rsds": BoundSpec(least=0, sun={"n": 3}), "tas": BoundSpec(least=100)}
    found = bounds_of_all(old, new)
    assert found["rsds"] == BoundSpec(least=0, sun={"a": 0, "c": 6, "n": 3})
    assert (found["clt"], found["tas"]) == (old["clt"], new["tas"])
    assert bounds_of_all({"clt": BoundSpec(least=0)}, {"clt": BoundSpec(most=1)}) == {"clt": BoundSpec(most=1)}


def test_few_weights_learn_first_and_a_run_goes_on_bit_for_bit(folder, bottle, tmp_path):
    values = adding(first(folder), folder, bottle, few_images=16, total_images=48)
    config = configs.parse(values)
    start = weights(loop.Run(config, tmp_path / "start", progress=False))
    whole = loop.train(config, tmp_path / "whole", progress=False)
    cut = loop.train(config, tmp_path / "cut", progress=False, stop_at=12)
    early = weights(cut)
    changed = {name for name, value in start.items() if not torch.equal(value, early[name])}
    assert "model.map_label.weight" in changed
    assert "model.dec.4x4_aux_conv.weight" in changed
    assert all("map_label" in n or "affine" in n or "4x4_block1" in n or "_aux_" in n for n in changed)
    assert any("dec.4x4_block1.conv0" in name for name in changed)
    cut = loop.train(config, tmp_path / "cut", progress=False, stop_at=28)
    late = weights(cut)
    assert {name for name, value in early.items() if not torch.equal(value, late[name])} >= {
        "model.enc.4x4_conv_embed.weight", "model.map_layer0.weight",
    }  # fmt: skip
    resumed = weights(loop.train(config, tmp_path / "cut", progress=False))
    assert all(torch.equal(value, resumed[name]) for name, value in weights(whole).items())


def test_another_bottle_is_other_data(folder, bottle, tmp_path):
    values = adding(first(folder), folder, bottle)
    loop.Run(configs.parse(values), tmp_path / "run", progress=False).save()
    other = loop.train(configs.parse(first(folder)), tmp_path / "other", progress=False, stop_at=4)
    values["network"]["from"] = str(pack_run(other, tmp_path / "other.cbottle"))
    with pytest.raises(ValueError, match="run holds a run on other data than the configuration now gives"):
        loop.Run(configs.parse(values), tmp_path / "run", progress=False)


def test_instants_are_drawn_once_and_go_on_where_they_were(folder, bottle, tmp_path, monkeypatch):
    old = loop.Run(configs.parse(adding(first(folder), folder, bottle)), tmp_path / "run", progress=False).case.old
    monkeypatch.setattr(replay, "_KEPT_AT_ONCE", 2)
    calls, states = [], replay._states

    def dying(emulator, label, times):
        calls.append((label, len(times)))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return states(emulator, label, times)

    monkeypatch.setattr(replay, "_states", dying)
    with pytest.raises(KeyboardInterrupt):
        replay.replayed(old, ("a", "c"), 6, tmp_path, progress=False)
    found = replay.replayed(old, ("a", "c"), 6, tmp_path, progress=False)
    assert len(calls) == 7  # three of each label, and the one that died
    assert [one.label for one in found] == ["a", "c"]
    for one in found:
        np.testing.assert_array_equal(one.values, states(Emulator(old.bottle), one.label, one.times))
    again = replay.replayed(old, ("a", "c"), 6, tmp_path / "other", progress=False)
    assert all(np.array_equal(one.values, two.values) for one, two in zip(found, again, strict=True))
    assert len(calls) == 13


def test_times_are_spread_over_the_year_and_the_day():
    times = replay.spread_times("1979-01-01", "2013-12-31T23:00:00", 64)
    assert len(times) == 64
    assert (np.diff(times) > np.timedelta64(0, "s")).all()
    assert len(np.unique(times.astype("datetime64[M]").astype(int) % 12)) == 12
    assert len(np.unique(times.astype("datetime64[h]").astype(int) % 24)) >= 20
    assert (times.astype("datetime64[s]").astype(int) % 3600 == 0).all()


# Climatologies --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def anomalies(folder):
    """A calibrated bottle that draws anomalies."""
    values = first(folder, scale="climatology", annual_harmonics=0)
    values["bottle"]["matched"] = ["tas"]
    run = loop.train(configs.parse(values), folder / "anomalies", progress=False, stop_at=16)
    return pack_run(run, folder / "anomalies.cbottle", calibrate=4)


def test_a_label_is_added_to_a_climatology(folder, anomalies, tmp_path):
    values = adding(first(folder, scale="climatology", annual_harmonics=0), folder, anomalies)
    values["data"]["sources"][0]["diurnal_harmonics"] = 1
    run = loop.train(configs.parse(values), tmp_path / "run", progress=False, stop_at=8)
    known, found = open_bottle(anomalies).climatology(), run.data.climatology
    assert found.labels == ("a", "c", "n")
    assert np.array_equal(found.mean[:2, :, :, :1], known.mean)
    assert not found.mean[:2, :, :, 1:].any()
    assert np.array_equal(found.spread[:2], known.spread)
    times = run.data.runs[0].times[~run.data.runs[0].validation]
    with xr.open_dataset(folder / "n.nc") as ds:
        tas = ds.tas.values[: len(times)]
    np.testing.assert_allclose(found.usual("n", times)[:, 0].mean(0), tas.mean(0), atol=0.1)
    values_of_n = np.asarray(run.data.runs[0].values[: len(times)], np.float64)
    assert abs(values_of_n.mean()) < 0.05
    assert values_of_n.std() == pytest.approx(0.5, abs=0.1)
    out = pack_run(run, tmp_path / "all.cbottle")
    packed = open_bottle(out).climatology()
    assert np.array_equal(packed.calibration.gain[:2], known.calibration.gain)
    assert np.array_equal(packed.calibration.drawn[:2], known.calibration.drawn)
    fields = np.linspace(-3, 3, packed.mean.shape[-1]) * np.ones((1, 3, 1))
    when = np.array(["2000-01-05T06"], "datetime64[s]")
    for label in ("a", "c"):
        np.testing.assert_array_equal(packed.physical(fields, label, when), known.physical(fields, label, when))
    np.testing.assert_allclose(packed.physical(fields, "n", when), found.physical(fields, "n", when), rtol=1e-6)
    values["bottle"]["matched"] = ["tas"]
    matched = loop.Run(configs.parse(values), tmp_path / "run", progress=False)
    mended = open_bottle(pack_run(matched, tmp_path / "calibrated.cbottle", calibrate=2)).climatology()
    np.testing.assert_array_equal(mended.physical(fields, "c", when), known.physical(fields, "c", when))
    assert not np.array_equal(mended.physical(fields, "n", when), packed.physical(fields, "n", when))


def test_other_matched_channels_are_refused(anomalies):
    known = open_bottle(anomalies).climatology()
    one = known.calibration
    other = Calibration(one.gain, np.array([1]), one.drawn, one.known)
    with pytest.raises(ValueError, match=r"matched must be \['tas'\]"):
        known_climatology.with_calibration(known_climatology.dataclasses.replace(known, calibration=other), known)


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v: v["network"].update(replay={"every": 1}), r"^config: network: replay: every is 1, must be"),
        (lambda v: v["network"].update(replay={"instants": 0}), "replay: instants is 0, must be 1 to 100000"),
        (lambda v: v["network"].update(replay={"often": 1}), r"unknown key\(s\) \['often'\]"),
        (lambda v: v["network"].pop("from"), "like, statistics and replay are of a network to start from"),
        (lambda v: v["network"].pop("statistics"), "replay keeps .* give statistics: bottle, and"),
        (lambda v: v["data"].update(channels=["Z500", "tas", "Z850"]), "channels must be its own, tas, Z500, Z850"),
        (lambda v: v["data"]["sources"].extend([v["data"]["sources"][0] | {"label": x} for x in "ac"]),
         "this run has sources for all of them"),
        (lambda v: v["bottle"].update(end="2001-01-01"), "end must lie within 2000-01-01 to 2000-01-31T23:00"),
        (lambda v: v["training"].update(few_images=-1), "few_images is -1, must not be negative"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_said_before_anything_is_read(folder, bottle, tmp_path, change, says):
    values = adding(first(folder), folder, bottle)
    change(values)
    with pytest.raises(ValueError, match=says) as caught:
        prepare_run(configs.parse(values), tmp_path / "run", processes=1, progress=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_few_images_need_a_network_to_start_from(folder):
    values = first(folder)
    values["training"]["few_images"] = 8
    with pytest.raises(ValueError, match="few_images is of runs that start from a network that is there"):
        configs.parse(values)


def test_a_default_label_that_is_not_there(folder):
    values = first(folder)
    values["bottle"]["default_label"] = "z"
    with pytest.raises(ValueError, match="default_label is 'z', but the sources are a, c"):
        configs.parse(values)


def test_coherence_is_not_fitted_to_labels_without_sources(folder, bottle, tmp_path, capsys):
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(adding(first(folder), folder, bottle)))
    with pytest.raises(SystemExit):
        main([str(path), "--coherence", "--pack", str(tmp_path / "out.cbottle")])
    assert "--coherence is fitted to sources of all labels" in capsys.readouterr().err
