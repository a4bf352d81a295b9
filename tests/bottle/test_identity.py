"""The digest of a bottle covers every byte that makes its values, and what is loaded is what was opened."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests import bottles
from tests.webserver import WebServer
from xr_cbottle.bottle import bottle as rooms
from xr_cbottle.bottle import checkpoint, download_cache
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.errors import BottleError, FetchError
from xr_cbottle.cube.cube import Cube


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch, tmp_path):
    monkeypatch.delenv("XR_CBOTTLE_PATH", raising=False)
    monkeypatch.setenv("XR_CBOTTLE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A bottle as a folder, with a network above its zoom, whose manifest declares no digest."""
    path = bottles.synthetic_bottle(
        tmp_path / "small.cbottle", channels=("tas", "pr", "sst"), superres=bottles.fine_specs(4, overlap=0)
    )
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "web")
    manifest = open_bottle(path).manifest
    bare = {"sha256": None, "size": None}
    manifest = dataclasses.replace(
        manifest,
        parts=tuple(dataclasses.replace(part, **bare) for part in manifest.parts),
        sst=dataclasses.replace(manifest.sst, **bare),
    )
    (tmp_path / "web" / "bottle.json").write_text(manifest.to_json())
    return tmp_path / "web"


def other_weights(path: Path, seed: int = 9) -> None:
    """Another network in the place of a checkpoint, of the same size and with the same times: as `cp -p` does it."""
    part, before = checkpoint.read_part(path), path.stat()
    state = bottles.random_state(part.config, seed)
    other = checkpoint.write_part(path.with_name("other"), part.config, part.info, state)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    subprocess.run(["cp", "-p", other, path], check=True)
    other.unlink()
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_the_bundled_bottle_is_the_one_that_it_was():
    assert open_bottle("gcm").digest == "4c24f8d0da986f6fd53deac92e371cea5d15fe2445b034845151807f3faf94b1"


def test_a_file_replaced_after_opening_is_not_loaded(folder):
    bottle = open_bottle(folder)
    other_weights(folder / "coarse_0.checkpoint")
    with pytest.raises(BottleError, match="the file was changed or damaged"):
        bottle.read_part(0)
    assert open_bottle(folder).digest != bottle.digest
    with pytest.raises(BottleError, match="has changed since it was opened"):
        pickle.loads(pickle.dumps(bottle)).manifest  # noqa: B018


def test_a_declared_file_replaced_after_it_was_checked_is_not_loaded(folder, tmp_path):
    manifest = rooms.pinned(open_bottle(folder))
    (folder / "bottle.json").write_text(manifest.to_json())
    bottle = open_bottle(folder)
    bottle.open_part(0).close()
    other_weights(folder / "coarse_0.checkpoint")
    with pytest.raises(BottleError, match="the file was changed or damaged"):
        bottle.open_part(0)


def test_a_checkpoint_alone(folder):
    path = folder / "coarse_0.checkpoint"
    bottle = open_bottle(path)
    other_weights(path)
    with pytest.raises(BottleError, match="the file was changed or damaged"):
        bottle.read_part(0)
    assert open_bottle(path).digest != bottle.digest


def test_a_fetched_file_counts(folder):
    with WebServer(folder) as server:
        url = f"{server.url}/bottle.json"
        before = open_bottle(url)
        rooms.fetch(before, progress=False)
        first = open_bottle(url)
        assert first.digest != before.digest
        assert open_bottle(url).digest == first.digest
        other_weights(folder / "coarse_0.checkpoint")
        rooms.fetch(first, progress=False, again=True)
        second = open_bottle(url)
        assert second.digest not in (first.digest, before.digest)
        # What was opened with the first file does not take the second.
        for old in (first, pickle.loads(pickle.dumps(first))):
            with pytest.raises(BottleError, match="the file was changed or damaged"):
                old.read_part(0)


def test_a_fetched_file_replaced_in_the_cache_is_not_loaded(folder):
    with WebServer(folder) as server:
        bottle = open_bottle(f"{server.url}/bottle.json")
        rooms.fetch(bottle, progress=False)
        other_weights(download_cache.place(f"{server.url}/coarse_0.checkpoint"))
        with pytest.raises(BottleError):
            bottle.read_part(0)
        with pytest.raises(BottleError):
            open_bottle(f"{server.url}/bottle.json").read_part(0)


def test_values_and_their_cache_speak_of_the_same_files(folder, tmp_path):
    """A bottle that nobody had fetched yet: what it draws is kept under the digest of what came."""
    keep = dict(cache_dir=tmp_path / "kept", time=["1980-06-01"], batch_size=1, device="cpu")

    def drawn(url: str) -> np.ndarray:
        return Cube(url, **keep).to_dataset().tas.values

    with WebServer(folder) as server:
        url = f"{server.url}/bottle.json"
        cube = Cube(url, **keep)
        first = cube.to_dataset().tas.values
        known = Cube(url, **keep).spec.namespace
        assert known != cube.spec.namespace
        assert kept_under(tmp_path / "kept") == {known[:32]}
        shutil.rmtree(tmp_path / "cache")  # as on another machine, which shares the kept instants
        other_weights(folder / "coarse_0.checkpoint")
        second = drawn(url)
        assert (first != second).any()
        assert (drawn(url) == second).all()


def kept_under(folder: Path) -> set[str]:
    """Names of what is kept in a folder of instants, without its locks and notes."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_network_above_the_zoom_counts_where_it_draws(folder, tmp_path):
    keep = dict(cache_dir=tmp_path / "kept", time=["1980-06-01"], batch_size=1, device="cpu")
    with WebServer(folder) as server:
        url = f"{server.url}/bottle.json"
        high = Cube(url, zoom=4, **keep)
        first = high.to_dataset().tas.isel(cell=slice(0, 4)).values
        assert len(server.gets(".checkpoint")) == 2  # one network of each kind
        known = Cube(url, zoom=4, **keep).spec
        assert known.fine.digest == f"sha256:{checkpoint.digest(folder / 'superres-distilled.checkpoint')}"
        kept = kept_under(tmp_path / "kept")
        assert kept
        assert kept <= {known.namespace[:32], known.field_namespace[:32]}
        other_weights(folder / "superres-distilled.checkpoint")
        rooms.fetch(high.bottle, progress=False, again=True)
        other = Cube(url, zoom=4, **keep)
        assert other.spec.field_namespace != known.field_namespace
        assert other.spec.namespace == known.namespace == Cube(url, **keep).spec.namespace
        assert (other.to_dataset().tas.isel(cell=slice(0, 4)).values != first).any()


def test_pinned_by_the_user(folder, tmp_path):
    with WebServer(folder) as server:
        manifest = rooms.pinned(open_bottle(f"{server.url}/bottle.json"), progress=False)
        assert all(spec.sha256 and spec.size for spec in manifest.files)
        (folder / "pinned.cbottle").write_text(manifest.to_json())
        shutil.rmtree(tmp_path / "cache")
        url = f"{server.url}/pinned.cbottle"
        rooms.fetch(open_bottle(url), progress=False)
        shutil.rmtree(tmp_path / "cache")
        other_weights(folder / "coarse_0.checkpoint")
        with pytest.raises(FetchError, match="and the manifest says"):
            rooms.fetch(open_bottle(url), progress=False)


def test_the_command_pins_and_fetches_again(folder, tmp_path, capsys, monkeypatch):
    from xr_cbottle import cli

    monkeypatch.chdir(tmp_path)
    with WebServer(folder) as server:
        manifest = open_bottle(f"{server.url}/bottle.json").manifest
        moved = {spec.location: f"{server.url}/{spec.location}" for spec in manifest.files}
        urls = dataclasses.replace(
            manifest,
            parts=tuple(dataclasses.replace(part, location=moved[part.location]) for part in manifest.parts),
            sst=dataclasses.replace(manifest.sst, location=moved["sst.nc"]),
        )
        Path("urls.cbottle").write_text(urls.to_json())
        assert cli.main(["fetch", "urls.cbottle", "--pin", "--quiet"]) == 0
        out = "small-pinned.cbottle"
        assert f"{out}: the manifest with the sizes and digests of 4 files" in capsys.readouterr().out
        pinned = open_bottle(out).manifest
        assert {spec.location: spec.sha256 for spec in pinned.files} == {
            url: checkpoint.digest(folder / name) for name, url in moved.items()
        }
        assert cli.main(["fetch", "urls.cbottle", "--pin", "--quiet"]) == 2
        assert "is there already" in capsys.readouterr().err
        assert cli.main(["fetch", str(folder), "--pin", "--quiet"]) == 2
        assert "whose files are all URLs" in capsys.readouterr().err
        before = len(server.requests)
        assert cli.main(["fetch", "urls.cbottle", "--quiet"]) == 0
        assert len(server.requests) == before
        other_weights(folder / "coarse_0.checkpoint")
        assert cli.main(["fetch", "urls.cbottle", "--again", "--quiet"]) == 0
        assert len(server.requests) == before + 4
        assert open_bottle("urls.cbottle").file_digest(0) == checkpoint.digest(folder / "coarse_0.checkpoint")
        assert cli.main(["fetch", out, "--again", "--quiet"]) == 2
        assert "and the manifest says" in capsys.readouterr().err


def test_nothing_active_reaches_the_terminal(tmp_path, capsys, monkeypatch):
    from xr_cbottle import cli
    from xr_cbottle.base.plain_text import is_plain

    monkeypatch.chdir(tmp_path)
    bottles.synthetic_bottle(tmp_path / "a\x1b[2J\u202e.cbottle", name="a", licence="one\ntwo")
    for command in (["info"], ["info", "--json"], ["fetch", "--quiet"]):
        assert cli.main([*command, "a\x1b[2J\u202e.cbottle"]) == 0
    for name in ("absent\x1b[2J", "/"):
        assert cli.main(["info", name]) == 2
    shown = capsys.readouterr()
    assert is_plain(shown.out + shown.err, "\n")
    assert "Errno" not in shown.err
    assert "a: one two" in shown.err
