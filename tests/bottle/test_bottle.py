"""A bottle: found by name, opened without weights, checked as it is read, the same in every form."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import bottles
from xr_cbottle.bottle import checkpoint
from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.errors import BottleError, BottleNotFound, FetchError
from xr_cbottle.bottle.location import bundled, find
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.packing import pack
from xr_cbottle.bottle.records import LabelSpec, PartSpec

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch, tmp_path):
    """No search path, no cache, and an empty folder to stand in."""
    monkeypatch.delenv("XR_CBOTTLE_PATH", raising=False)
    monkeypatch.setenv("XR_CBOTTLE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    return bottles.synthetic_bottle(tmp_path_factory.mktemp("made") / "small.cbottle", sigma_mins=(10.0, 0.0))


@pytest.fixture
def zipped(made, tmp_path) -> Path:
    """A copy to be spoiled."""
    return Path(shutil.copy(made, tmp_path / "small.cbottle"))


@pytest.fixture
def folder(made, tmp_path) -> Path:
    with zipfile.ZipFile(made) as archive:
        archive.extractall(tmp_path / "folder.cbottle")
    return tmp_path / "folder.cbottle"


def rewritten(path: Path, changes: dict[str, bytes | None] | None = None, **zip_options) -> Path:
    """A zip with members replaced, added, or removed (None)."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | (changes or {})
    with zipfile.ZipFile(path, "w", **zip_options) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def with_manifest(path: Path, change) -> Path:
    """A zip whose manifest went through `change`."""
    with zipfile.ZipFile(path) as archive:
        values = json.loads(archive.read("bottle.json"))
    change(values)
    return rewritten(path, {"bottle.json": json.dumps(values).encode()})


def use(path: Path) -> None:
    """Read everything."""
    bottle = open_bottle(path)
    for i in range(len(bottle.manifest.parts)):
        bottle.read_part(i)
    bottle.sst_dataset()


def refused(path: Path, says: str, how=open_bottle) -> None:
    with pytest.raises(BottleError) as caught:
        how(path)
    assert says in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


# What a bottle is


def test_a_zip(made):
    bottle = open_bottle(made)
    assert bottle.manifest.zoom == 2
    assert bottle.manifest.channels == bottles.CHANNELS
    assert bottle.path == str(made)
    assert bottle.size == made.stat().st_size
    assert 0 < bottle.nbytes < bottle.size
    assert bottle.missing() == ()
    part = bottle.read_part(1)
    assert part.info.channels == bottle.manifest.channels
    assert part.config.zoom == 2
    assert not (part.state["model.pos_embed"] == bottle.read_part(0).state["model.pos_embed"]).all()
    sst = bottle.sst_dataset()
    assert sst["sst"].dims == ("time", "cell")
    assert sst.sizes == {"time": 24, "cell": 192}
    assert sst["sst"].attrs["units"] == "K"
    assert 0 < np.isnan(sst["sst"].values).mean() < 0.5
    assert isinstance(sst["sst"].variable._data, np.ndarray)  # In memory: it outlives the archive.
    xr.testing.assert_identical(sst, pickle.loads(pickle.dumps(sst)))


def test_packing_is_deterministic(made, tmp_path):
    again = bottles.synthetic_bottle(tmp_path / "again.cbottle", sigma_mins=(10.0, 0.0), name="small")
    assert again.read_bytes() == made.read_bytes()
    with zipfile.ZipFile(again) as archive:
        assert archive.namelist()[0] == "bottle.json"
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        values = json.loads(archive.read("bottle.json"))
        for spec in [*values["parts"], values["sst"]]:
            assert len(archive.read(spec["location"])) == spec["size"]
            assert len(spec["sha256"]) == 64


def test_every_form_is_the_same_bottle(made, folder, tmp_path):
    zipped = open_bottle(made)
    open_folder = open_bottle(folder)
    alone = open_bottle(shutil.copy(folder / "bottle.json", folder / "alone.cbottle"))
    assert zipped == open_folder == alone
    assert len({zipped, open_folder, alone}) == 1
    assert open_folder.size == sum(path.stat().st_size for path in folder.iterdir() if path.name != "alone.cbottle")
    assert alone.size == (folder / "bottle.json").stat().st_size
    assert alone.nbytes == zipped.nbytes
    for bottle in (open_folder, alone):
        assert bottle.missing() == ()
        assert (bottle.read_part(0).state["model.pos_embed"] == zipped.read_part(0).state["model.pos_embed"]).all()
        xr.testing.assert_identical(bottle.sst_dataset().load(), zipped.sst_dataset())


def test_another_manifest_is_another_bottle(made, zipped):
    with_manifest(zipped, lambda values: values["sampler"].update(num_steps=4))
    assert open_bottle(zipped) != open_bottle(made)
    assert open_bottle(made) == open_bottle(str(made))


def test_undeclared_files_of_a_folder_count(folder):
    values = bottles.read_json(folder / "bottle.json")
    for spec in values["parts"]:
        del spec["sha256"]
    (folder / "bottle.json").write_text(json.dumps(values))
    before = open_bottle(folder)
    digest = before.digest
    os.replace(folder / "coarse_0.checkpoint", folder / "spare")
    shutil.copy(folder / "coarse_1.checkpoint", folder / "coarse_0.checkpoint")
    assert open_bottle(folder).digest != digest


def test_pickles_small_and_notices_change(zipped, made):
    bottle = open_bottle(zipped)
    text = pickle.dumps(bottle)
    assert len(text) < 400
    copied = pickle.loads(text)
    assert copied == bottle
    assert hash(copied) == hash(bottle)
    assert copied.manifest == bottle.manifest
    assert copy.deepcopy(bottle).digest == bottle.digest
    with_manifest(zipped, lambda values: values.update(title="another"))
    changed = pickle.loads(text)  # Says nothing yet: it is used in a worker, where the message can be seen.
    for use_it in (lambda: changed.manifest, lambda: changed.read_part(0)):
        with pytest.raises(BottleError, match="has changed since it was opened"):
            use_it()


def test_a_file_replaced_under_an_open_bottle(zipped):
    bottle = open_bottle(zipped)
    rewritten(zipped, {"coarse_0.checkpoint": b"x" * 100})
    with pytest.raises(BottleError, match="the file was changed or damaged"):
        bottle.read_part(0)
    rewritten(zipped, {"coarse_0.checkpoint": None})
    with pytest.raises(BottleError, match="the file has changed"):
        bottle.read_part(0)
    zipped.unlink()
    with pytest.raises(BottleNotFound, match="no bottle"):
        pickle.loads(pickle.dumps(bottle)).manifest  # noqa: B018


def test_elsewhere_it_is_found_by_its_name(zipped, tmp_path, monkeypatch):
    text = pickle.dumps(open_bottle(zipped))
    (tmp_path / "other").mkdir()
    os.replace(zipped, tmp_path / "other" / zipped.name)
    monkeypatch.setenv("XR_CBOTTLE_PATH", str(tmp_path / "other"))
    assert pickle.loads(text).manifest.name == "small"


def test_opening_is_light(made):
    code = f"""
import sys, xarray
from xr_cbottle.bottle import open_bottle
for name in ("icon", {str(made)!r}):
    bottle = open_bottle(name)
    repr(bottle), bottle.digest, bottle.size, bottle.nbytes, hash(bottle)
heavy = {{"torch", "healpy", "matplotlib", "fsspec", "aiohttp", "h5py", "pydantic"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# Names


def test_names(made, tmp_path, monkeypatch):
    assert "icon" in bundled()
    for name in ("icon", "icon.cbottle"):
        assert find(name) == str(ROOT / "checkpoints" / "icon.cbottle")
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first, second):
        place.mkdir()
        shutil.copy(made, place / "mine.cbottle")
    monkeypatch.setenv("XR_CBOTTLE_PATH", os.pathsep.join([str(tmp_path / "absent"), str(first), str(second)]))
    assert find("mine") == str(first / "mine.cbottle")
    shutil.copy(made, "mine.cbottle")
    assert find("mine") == str(Path("mine.cbottle").absolute())
    Path("gcm").mkdir()  # A folder that is no bottle does not hide one.
    shutil.copy(made, second / "gcm.cbottle")
    assert find("gcm") == str(second / "gcm.cbottle")
    shutil.copy(made, second / "icon.cbottle")
    assert find("icon") == str(second / "icon.cbottle")
    assert find("https://x.org/y.cbottle") == "https://x.org/y.cbottle"
    assert find(made) == find(str(made)) == str(made)


def test_names_that_are_not_there(tmp_path, monkeypatch):
    with pytest.raises(BottleNotFound, match=r"no bottle 'icno'.*which is not set.*icon.*did you mean 'icon'\?"):
        find("icno")
    monkeypatch.setenv("XR_CBOTTLE_PATH", str(tmp_path))
    with pytest.raises(BottleNotFound, match=str(tmp_path)):
        find("nothing-like-it")
    with pytest.raises(FileNotFoundError, match=r"no bottle '/no/where.cbottle': looked for /no/where.cbottle"):
        open_bottle("/no/where.cbottle")
    with pytest.raises(BottleNotFound, match=r"is a folder without bottle.json"):
        find(str(tmp_path))
    for name in ("", " ", "a\0b"):
        with pytest.raises(BottleNotFound, match="names no bottle"):
            find(name)
    secret = tmp_path.parent / "secret.cbottle"
    secret.write_text("{}")
    monkeypatch.setenv("XR_CBOTTLE_PATH", str(tmp_path))
    with pytest.raises(BottleNotFound):
        find("../secret")


# A checkpoint that came alone


def test_a_plain_checkpoint(tmp_path):
    channels = ["tas", "rlut", "rsds"]
    config = ModelConfig(model_channels=4, out_channels=3)
    path = checkpoint.write_part(tmp_path / "my run (2).zip", config, bottles.batch_info(channels), {})
    bottle = open_bottle(path)
    manifest = bottle.manifest
    assert manifest.name == "myrun2"
    assert manifest.zoom == 6
    assert manifest.channels == tuple(channels)
    assert manifest.labels == {"icon": LabelSpec(0), "era5": LabelSpec(1, ("rlut", "rsds"), "icon")}
    assert (manifest.time.start, manifest.time.end) == ("1940-01-01T00:00:00", "2022-12-31T23:00:00")
    assert manifest.licence.startswith("unknown")
    assert manifest.sst is None
    assert bottle.missing() == ()
    assert bottle.nbytes == bottle.size == path.stat().st_size
    assert bottle.read_part(0).config == config
    assert pickle.loads(pickle.dumps(bottle)) == bottle
    with pytest.raises(BottleError, match="no sea surface temperature; give one with sst="):
        bottle.sst_dataset()
    digest = bottle.digest
    checkpoint.write_part(path, config, bottles.batch_info(["tas", "rlut", "rsut"]), {})
    assert open_bottle(path).digest != digest


def test_a_plain_checkpoint_of_another_network(tmp_path):
    path = checkpoint.write_part(tmp_path / "a.checkpoint", bottles.small_config(3, 1), bottles.batch_info(["tas"]), {})
    assert list(open_bottle(path).manifest.labels) == ["label0", "label1"]
    assert open_bottle(path).manifest.zoom == 3
    for changes, kind in [
        (dict(architecture="unet_hpx1024_patch", condition_channels=24), "super-resolution"),
        (dict(time_length=12, condition_channels=47), "video"),
    ]:
        checkpoint.write_part(
            path, ModelConfig(model_channels=4, out_channels=1, **changes), bottles.batch_info(["tas"]), {}
        )
        refused(path, f"this is a {kind} network, which makes no data set by itself")


def test_an_older_checkpoint_is_refused(tmp_path):
    path = tmp_path / "old.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net_state.pth", b"")
    refused(path, "older form")


# What is wrong with it


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bottle.json": None}, "there is no metadata.json; a cBottle v1 checkpoint holds"),
        ({"bottle.json": b"{"}, "bottle.json: this is not JSON"),
        ({"bottle.json": b"hello"}, "neither a zip nor a manifest"),
        ({"bottle.json": b" " * (5 << 20)}, "too long for a manifest"),
        ({"coarse_1.checkpoint": None}, "'coarse_1.checkpoint', which bottle.json names, is not in it"),
        ({"coarse_1.checkpoint": b"short"}, "'coarse_1.checkpoint' has 5 bytes and bottle.json says"),
        ({"../../evil": b""}, "member '../../evil' has a name that could leave its folder"),
        ({"/etc/evil": b""}, "could leave its folder"),
        ({"a\\..\\b": b""}, "could leave its folder"),
        ({"C:evil": b""}, "could leave its folder"),
        ({"a//b": b""}, "could leave its folder"),
        ({"./a": b""}, "could leave its folder"),
    ],
)
def test_wrong_zips(zipped, changes, says, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    refused(rewritten(zipped, changes), says)
    assert sorted(tmp_path.rglob("*")) == before


def test_links_duplicates_and_compression(zipped):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    refused(zipped, "member 'link' is a link")
    rewritten(zipped, {"link": None})
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("sst.nc", b"another")
    refused(zipped, "member 'sst.nc' occurs twice")
    refused(rewritten(zipped, {"sst.nc": bytes(100)}, compression=zipfile.ZIP_DEFLATED), "is compressed")


def test_a_member_needs_a_digest(zipped):
    refused(with_manifest(zipped, lambda values: values["parts"][0].pop("sha256")), "has no sha256 for 'coarse_0")


def test_wrong_manifests_are_named(zipped):
    with_manifest(zipped, lambda values: values["labels"]["a"].update(index="x"))
    refused(zipped, f"{zipped}: bottle.json: labels.a.index must be an int from 0 to 65535, got 'x'")
    with_manifest(zipped, lambda values: values.update(version=9))
    refused(zipped, "newer than this xr_cbottle")


@pytest.mark.parametrize("member", ["coarse_0.checkpoint", "coarse_1.checkpoint", "sst.nc"])
def test_tampering_is_found_when_it_is_read(zipped, member):
    content = bytearray(zipped.read_bytes())
    with zipfile.ZipFile(zipped) as archive:
        entry = archive.getinfo(member)
    content[entry.header_offset + 30 + len(member) + entry.file_size // 2] ^= 1
    zipped.write_bytes(content)
    bottle = open_bottle(zipped)  # Weights are not read here.
    for read, location in [
        (lambda: bottle.read_part(0), 0),
        (lambda: bottle.read_part(1), 1),
        (bottle.sst_dataset, 2),
    ]:
        if bottle.manifest.files[location].location == member:
            with pytest.raises(BottleError, match=f"the sha256 of {member} is .* bottle.json says"):
                read()
        else:
            read()


def test_a_part_that_does_not_fit(made, zipped, tmp_path):
    with_manifest(zipped, lambda values: values.update(zoom=3))
    with pytest.raises(BottleError, match="part is of zoom 2 and the manifest says 3"):
        open_bottle(zipped).read_part(0)
    with_manifest(zipped, lambda values: values.update(zoom=2, channels=list(bottles.CHANNELS[::-1])))
    with pytest.raises(BottleError, match="makes other channels"):
        open_bottle(zipped).read_part(0)
    with_manifest(
        zipped,
        lambda values: (
            values.update(channels=list(bottles.CHANNELS)),
            values["labels"]["a"].update(index=7),
        ),
    )
    with pytest.raises(BottleError, match="knows 2 labels and the manifest uses index 7"):
        open_bottle(zipped).read_part(0)


def test_a_pickle_in_a_part_runs_nothing(zipped, tmp_path):
    from tests.bottle.test_checkpoint import Payload, rebuilt, saved

    made = tmp_path / "made"
    part = rebuilt(tmp_path / "part", {"net_state.pth": saved({"a": Payload(made)})}).read_bytes()

    def declare(values):
        values["parts"][0].update(size=len(part), sha256=checkpoint.digest(tmp_path / "part"))

    with_manifest(rewritten(zipped, {"coarse_0.checkpoint": part}), declare)
    refused(zipped, "coarse_0.checkpoint: net_state.pth is not a plain state dict of tensors", how=use)
    assert not made.exists()


def test_an_sst_that_is_none(zipped, tmp_path):
    def declare(values):
        values["sst"].update(size=100, sha256=checkpoint.digest(tmp_path / "junk"))

    (tmp_path / "junk").write_bytes(bytes(100))
    with_manifest(rewritten(zipped, {"sst.nc": bytes(100)}), declare)
    refused(zipped, "sst.nc is not netCDF; get it again", how=use)


def test_a_variable_that_is_not_there(zipped):
    with_manifest(zipped, lambda values: values["sst"].update(variable="tosbcs"))
    refused(zipped, "has no variable 'tosbcs', which the manifest names; it has sst", how=use)


@pytest.fixture(scope="module")
def content(made) -> bytes:
    return made.read_bytes()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_cut_short_it_is_one_sentence(content, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "cut.cbottle"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    refused(path, str(path))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_it_never_passes(content, tmp_path_factory, data):
    """Whatever bytes are changed: one sentence, or they meant nothing to us and all reads as it was."""
    path = tmp_path_factory.mktemp("bad") / "bad.cbottle"
    spoiled = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        spoiled[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(spoiled))
    try:
        bottle = open_bottle(path)
        parts = [bottle.open_part(0).read(), bottle.open_part(1).read()]
    except BottleError as error:
        assert "\n" not in str(error)  # noqa: PT017  Either outcome is right.
    else:
        assert all(part in content for part in parts)


@pytest.mark.parametrize("text", ["", "hello", "[]", "PK", "\0" * 100, '{"format": "cbottle"}'])
def test_files_that_are_no_bottles(tmp_path, text):
    path = tmp_path / "x.cbottle"
    path.write_text(text)
    refused(path, str(path))


def test_a_folder_with_a_file_missing(folder):
    (folder / "sst.nc").unlink()
    refused(folder, "'sst.nc', which bottle.json names, is not in it")


# Copies


def test_weights(folder, tmp_path, made, monkeypatch):
    """A manifest alone, whose files are somewhere else."""
    alone = Path(shutil.copy(folder / "bottle.json", "alone.cbottle"))
    bottle = open_bottle(alone)
    assert bottle.missing() == ("coarse_0.checkpoint", "coarse_1.checkpoint", "sst.nc")
    with pytest.raises(FetchError, match=r"coarse_0.checkpoint is not on this machine.*XR_CBOTTLE_PATH \(not set\)"):
        bottle.read_part(0)
    for weights in (folder, str(folder), {name: folder / name for name in bottle.missing()}):
        given = open_bottle(alone, weights=weights)
        assert given.missing() == ()
        assert given == open_bottle(made)
        assert pickle.loads(pickle.dumps(given)).read_part(1).config.zoom == 2
    monkeypatch.setenv("XR_CBOTTLE_PATH", str(folder))
    use(alone)


def test_weights_must_be_the_declared_ones(made, folder):
    bottle = open_bottle(made, weights={"coarse_0.checkpoint": folder / "coarse_1.checkpoint"})
    with pytest.raises(BottleError, match=r"the sha256 of coarse_1.checkpoint is"):
        bottle.read_part(0)


def test_weights_without_a_declared_digest_make_another_bottle(folder):
    values = bottles.read_json(folder / "bottle.json")
    for spec in values["parts"]:
        spec.update(location=f"https://x.invalid/{spec['location']}", sha256=None, size=None)
    Path("urls.cbottle").write_text(json.dumps({**values, "sst": None}))
    plain = open_bottle("urls")
    one = open_bottle("urls", weights=folder)
    two = open_bottle("urls", weights={f"coarse_{i}.checkpoint": folder / "coarse_0.checkpoint" for i in (0, 1)})
    assert len({plain, one, two}) == 3
    assert one == open_bottle("urls", weights=str(folder))
    assert plain.nbytes is None
    assert one.nbytes > 0
    assert one.read_part(1).config.zoom == 2


def test_wrong_weights(made, tmp_path):
    (tmp_path / "empty").mkdir()
    for weights, says in [
        (
            tmp_path / "empty",
            "is not a folder that holds any of coarse_0.checkpoint, coarse_1.checkpoint, sst.nc",
        ),
        (made, "is not a folder that holds any of"),
        ({"coarse_9.checkpoint": made}, "names a file that this bottle does not use; its files are coarse_0"),
        ({"sst.nc": tmp_path / "absent.nc"}, "absent.nc is not a file"),
    ]:
        with pytest.raises(BottleError) as caught:
            open_bottle(made, weights=weights)
        assert says in str(caught.value)


# Packing


def test_packing_checks_what_it_is_given(made, folder, tmp_path):
    manifest = Manifest.from_json((folder / "bottle.json").read_text())
    files = [folder / "coarse_0.checkpoint", folder / "coarse_1.checkpoint"]
    out = tmp_path / "out.cbottle"
    out.write_text("precious")
    with pytest.raises(ValueError, match="one file for each of 2 parts, got 1"):
        pack(out, manifest, files[:1], folder / "sst.nc")
    with pytest.raises(ValueError, match="sst_file must be given if and only if"):
        pack(out, manifest, files)
    with pytest.raises(BottleError, match="makes other channels"):
        pack(
            out,
            dataclasses.replace(manifest, channels=tuple("abcdefgh"), labels={}, default_label=None),
            files,
            folder / "sst.nc",
        )
    with pytest.raises(BottleError, match="not a whole zip"):
        pack(out, manifest, [files[0], folder / "sst.nc"], folder / "sst.nc")
    same = dataclasses.replace(manifest, parts=tuple(dataclasses.replace(p, location="a") for p in manifest.parts))
    with pytest.raises(BottleError, match="'a' names two files"):
        pack(out, same, files, folder / "sst.nc")
    with pytest.raises(BottleError, match="cannot be read"):
        pack(out, manifest, files, folder / "absent.nc")
    assert out.read_text() == "precious"
    assert not list(tmp_path.glob(".*"))
    pack(out, manifest, files, folder / "sst.nc")
    assert out.read_bytes() == made.read_bytes()
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE((folder / "bottle.json").stat().st_mode)


def test_super_resolution_in_a_bottle(tmp_path):
    path = bottles.synthetic_bottle(tmp_path / "fine.cbottle", superres=bottles.fine_specs())
    bottle = open_bottle(path)
    assert bottle.missing() == ()
    assert [part.role for part in bottle.manifest.superres] == ["superres", "superres-distilled"]
    part = bottle.read_part(1)
    assert (part.config.zoom, part.info.channels) == (5, ("tas", "pr", "sst"))
    assert bottle.manifest.parts[1].sha256 is not None
    (tmp_path / "files").mkdir()
    shutil.unpack_archive(path, tmp_path / "files", format="zip")
    assert open_bottle(tmp_path / "files").read_part(2).config.img_resolution == 16


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(level=4), "this part is of zoom 4 and the manifest says 5"),
        (dict(condition_channels=1), "is told 1 fields; super-resolution of 3 channels is told 6"),
        (dict(img_resolution=32), "patches of this part have 32 cells along an edge and the manifest says 16"),
        (dict(architecture="unet_healpix", level=5), "this part is a unet_healpix and super-resolution is done by"),
        (dict(channels=("tas", "pr", "rlut")), r"other channels than the manifest says \(tas, pr, rlut\)"),
    ],
)  # fmt: skip
def test_packing_checks_super_resolution(tmp_path, changes, says):
    spec = bottles.fine_specs()["superres"]
    manifest = dataclasses.replace(
        open_bottle("gcm").manifest, zoom=2, channels=bottles.CHANNELS, labels={}, default_label=None, sst=None,
        climatology=None, coherence=None, static=None, forcings={}, sea_range=(), nonnegative=(), bounds={}, gaps=None,
        parts=(PartSpec("coarse", 0.0, "a"), PartSpec("superres", 0.0, "b", superres=spec)),
    )  # fmt: skip
    channels = changes.pop("channels", spec.channels)
    config = dataclasses.replace(bottles.patch_config(5, 3), **changes)
    coarse = checkpoint.write_part(
        tmp_path / "a", bottles.small_config(labels=0), bottles.batch_info(bottles.CHANNELS), {}
    )
    fine = checkpoint.write_part(tmp_path / "b", config, bottles.batch_info(channels), {})
    with pytest.raises(BottleError, match=says) as caught:
        pack(tmp_path / "out.cbottle", manifest, [coarse, fine])
    assert "\n" not in str(caught.value)


def test_packing_what_was_at_urls(folder, tmp_path):
    manifest = bottles.icon_manifest("https://x.invalid/files")
    config = ModelConfig(model_channels=4, out_channels=45)
    files = [tmp_path / f"{i}" for i in range(3)]
    for file in files:
        checkpoint.write_part(file, config, bottles.batch_info(manifest.channels), {})
    packed = open_bottle(pack(tmp_path / "icon.cbottle", manifest, files, folder / "sst.nc"))
    assert packed.missing() == ()
    assert packed.manifest.parts[0].location == "training-state-000512000.checkpoint"
