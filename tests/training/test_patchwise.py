"""Super-resolution trained on patches: data and batches, the loop, distillation, and bottles of both."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import xarray as xr
import yaml

torch = pytest.importorskip("torch")

from tests import bottles, patches_data  # noqa: E402
from xr_cbottle import cli  # noqa: E402
from xr_cbottle.bottle.bottle import open_bottle  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402
from xr_cbottle.grid.patches import Region  # noqa: E402
from xr_cbottle.network import multidiffusion  # noqa: E402
from xr_cbottle.network.edm import Denoiser, heun  # noqa: E402
from xr_cbottle.training import loop  # noqa: E402
from xr_cbottle.training.patchwise import patch_config as configs  # noqa: E402
from xr_cbottle.training.patchwise import patch_data  # noqa: E402
from xr_cbottle.training.patchwise.denoising import conditioned  # noqa: E402
from xr_cbottle.training.patchwise.part_packing import pack_part  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return patches_data.write(tmp_path_factory.mktemp("patchwise"))


@pytest.fixture
def values(folder):
    return patches_data.values(folder)


@pytest.fixture(scope="module")
def whole(folder):
    """An uninterrupted run of 12 steps."""
    return loop.train(configs.parse(patches_data.values(folder)), folder / "whole", progress=False)


@pytest.fixture(scope="module")
def student(whole, folder):
    return loop.train(configs.parse(patches_data.distillation(whole.folder)), folder / "student", progress=False)


def weights_differ(one, two) -> list[str]:
    """Names of the weights that are not equal, bit for bit."""
    return [key for key, value in one.state_dict().items() if not torch.equal(value, two.state_dict()[key])]


def python(*arguments, check=True):
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=300)
    assert not check or done.returncode == 0, done.stderr
    return done


def log(run_folder) -> list[dict]:
    return [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]


# Data and batches ---------------------------------------------------------------------------------------------


def test_what_is_prepared(whole, folder):
    data = whole.data
    with xr.open_dataset(folder / "fine.nc") as ds:
        field = np.stack([ds.tas.values, ds.pr.values], -1)
        held_out = np.isin(ds.time.dt.day.values, (22, 23))
    np.testing.assert_array_equal(data.validation, held_out)
    assert held_out.sum() == 4
    known = field[~held_out].reshape(-1, 2)
    np.testing.assert_allclose(data.center, known.mean(0), rtol=1e-6)
    np.testing.assert_allclose(data.scale, known.std(0), rtol=1e-5)
    normalised = (field - data.center) / data.scale
    np.testing.assert_allclose(data.fine, normalised, atol=1e-5)
    coarse = normalised[3].T.reshape(2, -1, 4).mean(-1)
    cells = np.arange(healpix.n_cells(3))
    np.testing.assert_allclose(data.local[3].T, multidiffusion.local_view(coarse, 2, 3, cells), atol=1e-5)
    np.testing.assert_allclose(data.overview[3], multidiffusion.overview(coarse, 2, 8), atol=1e-5)
    residual = np.array(data.fine[~held_out] - data.local[~held_out], np.float64)
    np.testing.assert_allclose(data.detail, np.sqrt((residual**2).mean((0, 1))) / 0.5, rtol=1e-4)


def test_what_a_killed_process_has_left_is_in_nobodys_way(values, whole, tmp_path):
    config = dataclasses.replace(configs.parse(values).superres, cache=None)
    made = patch_data.prepared_folder(config, tmp_path)
    raw = made.with_name(f"{made.name}.partial") / f"{config.sources[0].label}.raw"
    raw.mkdir(parents=True)
    (raw / "000000.1.partial.npy").write_bytes(b"half")
    assert patch_data.prepare(config, tmp_path, progress=False).digest == whole.data.digest
    assert not list(made.glob("*.raw"))
    (made / "done").unlink()
    made.rename(raw.parent)
    raw.mkdir()
    np.savez(raw / "000000.npz")  # of a block whose values were removed just before the process was killed
    assert patch_data.prepare(config, tmp_path, progress=False).digest == whole.data.digest
    assert not list(made.glob("*.raw"))


def test_a_batch_depends_on_the_number_of_images_alone(whole):
    together = whole.batches.training(5, 6)
    for i in range(6):
        alone = whole.batches.training(5 + i, 1)
        for name in together.__dataclass_fields__:
            assert torch.equal(getattr(together, name)[i], getattr(alone, name)[0]), name
    size = len(whole.batches.train) * whole.batches.grid.count
    epoch = [[whole.batches._epochs.member(k * size + i) for i in range(size)] for k in (0, 1)]
    assert sorted(epoch[0]) == list(range(size))
    assert epoch[0] != epoch[1]
    many = whole.batches.training(0, 256)
    assert many.clean.std((0, 2, 3)) == pytest.approx([0.5, 0.5], abs=0.06)


def test_offsets_are_of_all_that_an_image_shows(values, tmp_path):
    """With an offset the state is the same, and local view and overview have moved together, in its channel alone."""
    moved = loop.Run(configs.parse(values), tmp_path / "a", progress=False).batches.training(0, 16)
    values["superres"]["offset"] = {}
    plain = loop.Run(configs.parse(values), tmp_path / "b", progress=False).batches.training(0, 16)
    torch.testing.assert_close(moved.clean, plain.clean)
    local, overview = moved.local - plain.local, moved.overview - plain.overview
    torch.testing.assert_close(local, overview[:, :, :1, :1].expand_as(local), atol=1e-5, rtol=0)
    assert overview[:, 0, 0, 0].std() == pytest.approx(0.5, rel=0.5)
    assert float(local[:, 1].abs().max()) < 1e-6
    values["superres"]["residual"] = False
    field = loop.Run(configs.parse(values), tmp_path / "c", progress=False).batches
    assert field.training(0, 64).clean.std() == pytest.approx(1, rel=0.3)


def test_training_shows_what_drawing_shows(whole):
    """The conditions of a batch, position embedding included, are those of a region on the same coarse field."""
    data, grid = whole.data, whole.data.grid
    batch = whole.batches.validating(8)
    instants = whole.batches.validation[np.linspace(0, 3, 64).round().astype(int)]
    shown = {}

    def spy(x, sigma, condition):
        shown["condition"] = condition
        return x

    spy.network = whole.net
    conditioned(spy, batch)(batch.clean, batch.sigma)
    found = 0
    fine = np.array(data.fine[instants[0]], np.float64).T
    coarse = fine.reshape(2, -1, 4).mean(-1)
    region = Region.of(grid, np.arange(grid.count))
    model = multidiffusion.RegionModel(Denoiser(whole.net), region, coarse, 2, batch_size=1, detail=data.detail)
    state = (torch.from_numpy(fine.T) - model.local) / torch.from_numpy(data.detail)
    torch.testing.assert_close(model.field(state), torch.from_numpy(fine.T))
    for patch in range(grid.count):
        cells = torch.from_numpy(grid.seen([patch])[0][0])
        at = [i for i in np.flatnonzero(instants == instants[0]) if torch.equal(batch.cells[i].long(), cells)]
        for i in at:
            found += 1
            condition = torch.cat(
                [model.gather(model.local, [patch]), model._overview, model.gather(model._position, [patch])], 1
            )
            moved = shown["condition"][i : i + 1].clone()
            offset = moved[:, 2:3, 0, 0] - condition[:, 2:3, 0, 0]
            moved[:, [0, 2]] -= offset[..., None, None]
            torch.testing.assert_close(moved, condition, atol=2e-5, rtol=0)
            torch.testing.assert_close(batch.clean[i].double(), model.gather(state, [patch])[0], atol=1e-4, rtol=0)
    assert found >= 5


# The loop -----------------------------------------------------------------------------------------------------


def test_the_loss_falls(values, tmp_path):
    """Half of the detail of one of two channels is that of its place; nothing but the size of detail known is 1."""
    values["training"].update(total_images=800, batch_size=16, validate_images=400)
    lines = log(loop.train(configs.parse(values), tmp_path, progress=False).folder)
    losses = [line["validation"] for line in lines if "validation" in line]
    assert len(losses) == 2
    assert losses[1] < min(losses[0], 0.87)


KILLED = """
import os, signal, sys
from xr_cbottle.training import loop
from xr_cbottle.training.patchwise import patch_config as config
steps = iter(range(int(sys.argv[3])))
take_step = loop.take_step
def until(*args, **keywords):
    if next(steps, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return take_step(*args, **keywords)
loop.take_step = until
loop.train(config.load(sys.argv[1]), sys.argv[2], progress=False)
"""


@pytest.mark.parametrize("kind", ["whole", "student"])
def test_a_killed_run_goes_on_to_the_same_weights(kind, whole, student, values, tmp_path):
    if kind == "student":
        values = patches_data.distillation(whole.folder)
    values["training"].update(save_images=16, save_seconds=1e9)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    done = python("-c", KILLED, str(tmp_path / "config.yaml"), str(tmp_path / "run"), "5", check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["images"] == 32
    resumed = loop.train(configs.parse(values), tmp_path / "run", progress=False)
    first = {"whole": whole, "student": student}[kind]
    assert not weights_differ(first.net, resumed.net)
    assert not weights_differ(first.average, resumed.average)


@pytest.mark.long
@pytest.mark.slow
def test_two_processes_of_n_are_one_of_2n(whole, values, tmp_path):
    """How they share a batch is the loop's, and tested there; what a share holds is in the test of batches above."""
    values["training"].update(total_images=32)
    one = loop.train(configs.parse(values), tmp_path / "one", progress=False)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "xr_cbottle.training")
    python(*torchrun, str(tmp_path / "config.yaml"), "--folder", str(tmp_path / "two"))
    state = torch.load(tmp_path / "two" / "state.pt", weights_only=True)
    for key, value in one.net.state_dict().items():
        torch.testing.assert_close(state["net"][key], value, atol=2e-5, rtol=1e-3, msg=lambda m, k=key: f"{k}: {m}")
    assert log(tmp_path / "two")[0]["loss"] == pytest.approx(log(tmp_path / "one")[0]["loss"], rel=1e-3)


# Distillation -------------------------------------------------------------------------------------------------


def test_the_student_learns_the_end_of_the_teachers_way(whole, student):
    case, batch = student.case, student.batches.training(0, 4)
    states, end = case.lesson.way(batch)
    torch.testing.assert_close(states[0], batch.clean + 40 * batch.noise)
    denoise = conditioned(Denoiser(whole.net), batch)
    levels = torch.cat([case.lesson.levels[0], *(leg[1:] for leg in case.lesson.levels[1:])])
    assert [float(leg[0]) for leg in case.lesson.levels] == pytest.approx([40, 2, 0.3])
    assert float(levels[-1]) == 0
    with torch.no_grad():
        whole_way = heun(lambda x, s: denoise(x.float(), s).double(), states[0].double(), levels)
    torch.testing.assert_close(whole_way.float(), end, atol=1e-5, rtol=1e-4)
    last = log(student.folder)[-1]
    assert set(last["validation_by_sigma"]) == {"0.1-0.5", "2-10", "10-50"}
    held_out = student.batches.validating(loop.VALIDATION_IMAGES)
    start, now = (
        loop.validate(net, held_out, student.config.training, case.loss) for net in (case.network(), student.average)
    )
    assert now["validation"] == last["validation"] < 0.9 * start["validation"]


# Bottles ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bottles") / "plain.cbottle"
    return bottles.synthetic_bottle(path, 2, ("T850", "tas", "pr"), nonnegative=("pr",))


@pytest.fixture(scope="module")
def packed(whole, student, bottle):
    """The student is packed first, the teacher then into that file itself."""
    path = bottle.with_name("fine.cbottle")
    pack_part(student, path, bottle)
    return pack_part(whole, path, path)


def test_a_bottle_gets_both_parts_and_keeps_the_rest(packed, bottle, whole, student):
    manifest, before = open_bottle(packed).manifest, open_bottle(bottle).manifest
    assert [part.role for part in manifest.parts] == ["coarse", "superres", "superres-distilled"]
    full, few = (part.superres for part in manifest.superres)
    assert (full.sampler.num_steps, full.sigmas, full.conserve) == (3, (), True)
    assert (few.sampler, few.sigmas, few.window) == (None, (40.0, 2.0, 0.3), 1.0)
    np.testing.assert_allclose(full.detail, whole.data.detail)
    assert manifest.trained_on["superres.checkpoint"]["images"] == 96
    assert manifest.trained_on["superres-distilled.checkpoint"]["teacher_images"] == 96
    for name in ("title", "licence", "channels", "labels", "time", "sampler", "sst", "created", "nonnegative"):
        assert getattr(manifest, name) == getattr(before, name), name
    with zipfile.ZipFile(packed) as new, zipfile.ZipFile(bottle) as old:
        for name in old.namelist():
            if name != "bottle.json":
                assert new.read(name) == old.read(name)
    again = pack_part(student, packed.with_name("again.cbottle"), packed)
    assert again.read_bytes() == packed.read_bytes()


def test_the_native_zoom_is_the_mean_of_what_is_drawn(packed):
    for network in ("full", "distilled"):
        fine = xr.open_dataset(packed, engine="cbottle", zoom=3, sr_network=network).isel(time=[0]).load()
        native = xr.open_dataset(packed, engine="cbottle", zoom=2).isel(time=[0]).load()
        assert set(fine.data_vars) == {"tas", "pr"}
        assert "keeps its mean" in fine.attrs["superres_mean"]
        for name in ("tas", "pr"):
            mean = fine[name].values.astype(np.float64).reshape(1, -1, 4).mean(-1)
            scale = float(native[name].std())
            np.testing.assert_allclose(mean, native[name].values, atol=2e-6 * abs(native[name].values).max())
            assert (fine[name].values.reshape(1, -1, 4) - mean[..., None]).std() > 1e-3 * scale
        assert float(fine.pr.min()) >= 0


def test_few_step_tiles_are_the_globe(packed):
    def draw(mode):
        return xr.open_dataset(packed, engine="cbottle", zoom=3, sr_mode=mode).isel(time=1)

    globe = draw("global").load()
    part = draw("tiles").isel(cell=slice(300, 400)).load()
    for name in ("tas", "pr"):
        difference = (part[name] - globe[name].isel(cell=slice(300, 400))) / globe[name].std()
        assert float(abs(difference).max()) < 1e-4


def test_the_command_line_trains_and_packs(values, bottle, folder, tmp_path, capsys):
    values["training"]["total_images"] = 16
    (tmp_path / "sr.yaml").write_text(yaml.safe_dump(values))
    command = ["train", str(tmp_path / "sr.yaml"), "--run", str(tmp_path / "run")]
    out = tmp_path / "out.cbottle"
    assert cli.main([*command, "--pack", str(out), "--into", str(bottle)]) == 0
    assert open_bottle(out).manifest.superres[0].superres.zoom == 3
    for wrong, sentence in (
        (["--pack", str(out)], "give --into BOTTLE.cbottle"),
        (["--into", str(bottle)], "give --pack OUT.cbottle too"),
    ):
        with pytest.raises(SystemExit):
            cli.main([*command, *wrong])
        assert sentence in capsys.readouterr().err
    other = bottles.synthetic_bottle(tmp_path / "other.cbottle", 3, ("tas", "pr"))
    assert cli.main([*command, "--only-pack", "--pack", str(out), "--into", str(other)]) == 2
    assert "refines zoom 2, but other is of zoom 3" in capsys.readouterr().err
    lacking = bottles.synthetic_bottle(tmp_path / "lacking.cbottle", 2, ("tas", "T850"))
    assert cli.main([*command, "--only-pack", "--pack", str(out), "--into", str(lacking)]) == 2
    assert "refines pr, which lacking has not" in capsys.readouterr().err


# Wrong configurations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"superres": {"coarse_zoom": 3}}, "coarse_zoom is 3, must be from 0 to below zoom 3"),
        ({"superres": {"overlap": 3}}, "such that patches of 8 cells tile a face"),
        ({"superres": {"channels": ["tas", "rain"]}}, "rain"),
        ({"superres": {"offset": {"psl": 1}}}, "offset is given for 'psl', which is not among the channels"),
        ({"superres": {"offset": {"tas": -1}}}, "offset of tas is -1, must be a number >= 0"),
        ({"superres": {"sigmas": [1]}}, r"unknown key\(s\) \['sigmas'\]"),
        ({"network": {"model_channels": 48}}, "must be 4 to 32 by fours, or a multiple of 32"),
        (
            {"network": {"channel_mult": [1, 1, 1, 1, 1]}},
            "network: a patch of 8 cells along an edge cannot be halved 4",
        ),
        ({"training": {"coarse_weight": 0.5}}, "coarse_weight is of coarse networks"),
        ({"part": {"window": 0}}, "window is 0.0, must be positive, or null"),
        ({"data": {}}, "has sections superres and data: a run is of one kind"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(values, change, sentence):
    for section, keys in change.items():
        values[section] = {**values.get(section, {}), **keys}
    with pytest.raises(ValueError, match=sentence) as caught:
        configs.parse(values)
    assert "\n" not in str(caught.value)


def test_wrong_sources_and_teachers(values, whole, tmp_path):
    for days, sentence in (("30-22", "must be two days of a month"), ("1-31", "no instant to train on")):
        values["superres"]["sources"][0]["validation_days"] = days
        with pytest.raises(ValueError, match=sentence):
            loop.Run(configs.parse(values), tmp_path / "run", progress=False)
    distil = patches_data.distillation(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"has no config\.json: give the folder of a run"):
        loop.Run(configs.parse(distil), tmp_path / "student", progress=False)
    distil["distil"]["sigmas"] = [1, 2]
    with pytest.raises(ValueError, match="must be falling numbers"):
        configs.parse(distil)
