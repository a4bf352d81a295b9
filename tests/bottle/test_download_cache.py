"""Files that are URLs: fetched once, continued when broken off, checked, pinned; what is said offline."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr

from tests import bottles
from tests.webserver import WebServer
from xr_cbottle.backend import CbottleBackendEntrypoint
from xr_cbottle.bottle import bottle as rooms
from xr_cbottle.bottle import checkpoint, download, download_cache
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.errors import BottleError, FetchError

NAMES = [
    "training-state-000512000.checkpoint",
    "training-state-002048000.checkpoint",
    "training-state-009856000.checkpoint",
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.delenv("XR_CBOTTLE_PATH", raising=False)
    monkeypatch.setenv("XR_CBOTTLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE", 0.01)


@pytest.fixture
def web(tmp_path) -> Path:
    """A folder to serve, with one file that repeats nothing."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "data.bin").write_bytes(np.random.default_rng(1).bytes(3_000_000))
    return folder


@pytest.fixture(scope="module")
def icon(tmp_path_factory) -> Path:
    """Files like NVIDIA's."""
    return bottles.icon_files(tmp_path_factory.mktemp("icon"))


def same(path: Path, web: Path) -> bool:
    return path.read_bytes() == (web / "data.bin").read_bytes()


def leftovers(path: Path) -> list[str]:
    return sorted(other.name for other in path.parent.iterdir() if not other.name.endswith(".lock"))


def test_fetched_once(web):
    with WebServer(web) as server:
        path = download_cache.fetch(f"{server.url}/data.bin", progress=False)
        assert same(path, web)
        assert path.name == "data.bin"
        assert path.is_relative_to(download_cache.cache_folder())
        assert download_cache.fetch(f"{server.url}/data.bin") == path
        assert len(server.requests) == 1
    assert leftovers(path) == ["data.bin", "data.bin.json"]
    pin = json.loads((path.parent / "data.bin.json").read_text())
    assert pin["sha256"] == checkpoint.digest(path)
    assert pin["url"].endswith("/data.bin")


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_off_it_goes_on(web, ranges):
    with WebServer(web, ranges=ranges, break_after=1_000_000, breaks=1) as server:
        assert same(download_cache.fetch(f"{server.url}/data.bin", progress=False), web)
        first, second = server.gets("data.bin")
        assert first is None
        assert second.startswith("bytes=")
        assert 0 < int(second[6:-1]) <= 1_000_000


def test_many_breaks_that_each_bring_something(web):
    with WebServer(web, break_after=400_000, breaks=6) as server:
        assert same(download_cache.fetch(f"{server.url}/data.bin", progress=False), web)
        starts = [int(asked[6:-1]) for asked in server.gets("data.bin")[1:]]
        assert len(starts) == 6
        assert starts == sorted(starts)
        assert starts[-1] > 1_500_000


@pytest.mark.parametrize("options", [dict(ranges=False), dict(tags=False)])
def test_it_gives_up_when_nothing_new_comes(web, options):
    with WebServer(web, break_after=1_000_000, breaks=99, **options) as server:
        with pytest.raises(FetchError, match="it cannot be fetched"):
            download_cache.fetch(f"{server.url}/data.bin", progress=False)
        assert download.PATIENCE <= len(server.requests) < 12


def test_a_later_attempt_goes_on(web):
    """As after a crash: the piece stays under its own name, and nothing is under the final one."""
    with WebServer(web, break_after=500_000, breaks=99) as server:
        server.folder = web
        server.ranges = False
        with pytest.raises(FetchError):
            download_cache.fetch(f"{server.url}/data.bin", progress=False)
        target = download_cache.place(f"{server.url}/data.bin")
        assert leftovers(target) == ["data.bin.part", "data.bin.part.json"]
        assert download_cache.kept(f"{server.url}/data.bin") is None
        server.ranges, server.breaks = True, 0
        server.requests.clear()
        assert same(download_cache.fetch(f"{server.url}/data.bin", progress=False), web)
        assert len(server.requests) == 1
        assert server.requests[0][1].startswith("bytes=")
    assert leftovers(target) == ["data.bin", "data.bin.json"]


def test_a_piece_of_another_file_is_not_continued(web):
    with WebServer(web, break_after=500_000, breaks=99, ranges=False) as server:
        with pytest.raises(FetchError):
            download_cache.fetch(f"{server.url}/data.bin", progress=False)
        (web / "data.bin").write_bytes(np.random.default_rng(2).bytes(2_000_000))
        server.ranges, server.breaks = True, 0
        assert same(download_cache.fetch(f"{server.url}/data.bin", progress=False), web)


def test_a_piece_that_is_too_long_starts_again(web):
    with WebServer(web, tags=False) as server:
        url = f"{server.url}/data.bin"
        digest = checkpoint.digest(web / "data.bin")
        target = download_cache.place(url, digest)
        target.parent.mkdir(parents=True)
        target.with_name("data.bin.part").write_bytes(bytes(4_000_000))
        assert same(download_cache.fetch(url, sha256=digest, progress=False), web)


def test_a_spoiled_piece_is_found_by_the_digest(web):
    with WebServer(web, tags=False) as server:
        url = f"{server.url}/data.bin"
        digest = checkpoint.digest(web / "data.bin")
        target = download_cache.place(url, digest)
        target.parent.mkdir(parents=True)
        target.with_name("data.bin.part").write_bytes(bytes(1_000_000))
        assert same(download_cache.fetch(url, sha256=digest, progress=False), web)
        assert [bool(asked) for asked in server.gets("data.bin")] == [True, False]


def test_declared_digests_and_sizes(web):
    with WebServer(web) as server:
        url = f"{server.url}/data.bin"
        with pytest.raises(FetchError, match=r"its sha256 is .* and the manifest says 000000000000"):
            download_cache.fetch(url, sha256="0" * 64, progress=False)
        with pytest.raises(FetchError, match="it has 3000000 bytes and the manifest says 5"):
            download_cache.fetch(url, size=5, progress=False)
        assert leftovers(download_cache.place(url, "0" * 64)) == [] == leftovers(download_cache.place(url))
        digest = checkpoint.digest(web / "data.bin")
        assert same(download_cache.fetch(url, sha256=digest, size=3_000_000, progress=False), web)


def test_pinned_after_first_use(web):
    with WebServer(web) as server:
        url = f"{server.url}/data.bin"
        path = download_cache.fetch(url, progress=False)
        path.unlink()
        (web / "data.bin").write_bytes(b"another")
        with pytest.raises(
            FetchError, match=r"at its first use its sha256 was .*the file has changed.*remove (\S+)"
        ) as caught:
            download_cache.fetch(url, progress=False)
        assert not path.exists()
        os.unlink(re.search(r"remove (\S+)", str(caught.value))[1])
        assert download_cache.fetch(url, progress=False).read_bytes() == b"another"


def test_a_damaged_copy_is_fetched_again(web):
    with WebServer(web) as server:
        url = f"{server.url}/data.bin"
        path = download_cache.fetch(url, progress=False)
        path.write_bytes(bytes(3_000_000))
        os.utime(path, (1, 1))
        assert same(download_cache.fetch(url, progress=False), web)
        os.utime(path, (1, 1))  # Only its time: the digest is checked instead.
        assert download_cache.fetch(url, progress=False) == path
        assert len(server.requests) == 2


def test_what_is_not_there(web):
    with WebServer(web) as server:
        with pytest.raises(FetchError, match=r"absent.bin: there is no such file \(404\)"):
            download_cache.fetch(f"{server.url}/absent.bin", progress=False)
        assert len(server.requests) == 1
    with pytest.raises(FetchError, match="it cannot be fetched"):
        download_cache.fetch(f"{server.url}/data.bin", progress=False)
    with pytest.raises(FetchError, match=r"it cannot be fetched .*nothing"):
        download_cache.fetch("nothing://x/data.bin", progress=False)


def test_a_cache_that_cannot_be_written(web, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XR_CBOTTLE_CACHE", str(tmp_path / "file"))
    with WebServer(web) as server, pytest.raises(FetchError, match="set XR_CBOTTLE_CACHE to another folder"):
        download_cache.fetch(f"{server.url}/data.bin", progress=False)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XR_CBOTTLE_CACHE", "~/mine")
    assert download_cache.cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("XR_CBOTTLE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download_cache.cache_folder() == tmp_path / "xr_cbottle"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert download_cache.cache_folder() == Path.home() / ".cache" / "xr_cbottle"


def test_other_protocols():
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bottles/data.bin", b"12345" * 1000)
    path = download_cache.fetch("memory://bottles/data.bin", progress=False)
    assert path.read_bytes() == b"12345" * 1000
    memory.rm("/bottles/data.bin")
    assert download_cache.fetch("memory://bottles/data.bin") == path
    with pytest.raises(FetchError, match="no such file"):
        download_cache.fetch("memory://bottles/absent.bin", progress=False)


def test_the_bar(web, capsys):
    with WebServer(web, delay=0.8) as server:
        download_cache.fetch(f"{server.url}/data.bin")
    assert "data.bin: " in capsys.readouterr().err


def _fetch_in_process(url: str, cache: str, queue) -> None:
    os.environ["XR_CBOTTLE_CACHE"] = cache
    queue.put(str(download_cache.fetch(url, progress=False)))


def test_two_processes_fetch_once(web, tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with WebServer(web, delay=0.5) as server:
        arguments = (f"{server.url}/data.bin", str(tmp_path / "cache"), queue)
        processes = [context.Process(target=_fetch_in_process, args=arguments) for _ in range(2)]
        for process in processes:
            process.start()
        paths = {queue.get(timeout=60) for _ in processes}
        for process in processes:
            process.join()
        assert len(paths) == 1
        assert len(server.requests) == 1
    assert same(Path(paths.pop()), web)


# Bottles whose files are URLs


def served(server: WebServer, folder: Path, **changes) -> Path:
    """The bundled manifest with its URLs moved to a server of ours."""
    manifest = dataclasses.replace(bottles.icon_manifest(server.url), **changes)
    path = folder / "served.cbottle"
    path.write_text(manifest.to_json())
    return path


def test_a_manifest_of_urls(icon, tmp_path):
    with WebServer(icon, break_after=2_000_000, breaks=1) as server:
        bottle = open_bottle(served(server, tmp_path))
        assert bottle.missing()
        assert bottle.nbytes is None
        assert not server.requests
        digest = bottle.digest
        rooms.fetch(bottle, progress=False)
        assert bottle.missing() == ()
        assert bottle.nbytes > 20e6
        assert bottle.digest == digest
        assert len(server.requests) == 5
        for i, name in enumerate(NAMES):
            part = bottle.read_part(i)
            wrote = checkpoint.read_part(icon / "cBottle-3d" / name)
            assert all((part.state[key] == wrote.state[key]).all() for key in wrote.state)
        sst = bottle.sst_dataset()
        assert sst["tosbcs"].attrs["units"] == "degC"
        xr.testing.assert_identical(sst.load(), xr.load_dataset(icon / "amip_midmonth_sst.nc"))
        assert len(server.requests) == 5
    assert open_bottle(served(server, tmp_path)).read_part(2).info.channels[-1] == "sic"


def test_a_bottle_that_is_a_url(tmp_path):
    (tmp_path / "web" / "deep").mkdir(parents=True)
    path = bottles.synthetic_bottle(tmp_path / "web" / "small.cbottle")
    folder = tmp_path / "web" / "deep"
    shutil.unpack_archive(path, folder, format="zip")
    with WebServer(tmp_path / "web") as server:
        whole = open_bottle(f"{server.url}/small.cbottle")
        pieces = open_bottle(f"{server.url}/deep/bottle.json")  # Relative locations lead beside it.
        assert whole == pieces == open_bottle(path)
        assert whole.missing() == ()
        assert len(pieces.missing()) == 2
        for bottle in (whole, pieces):
            assert bottle.read_part(0).config.zoom == 2
            assert bottle.sst_dataset().sizes["cell"] == 192
        with pytest.raises(FetchError, match="no such file"):
            open_bottle(f"{server.url}/absent.cbottle")


def test_copies_of_the_user(icon, tmp_path, monkeypatch):
    """NVIDIA's files beside the real manifest: nothing is asked of any server."""
    refuse_network(monkeypatch)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in [*(icon / "cBottle-3d").iterdir(), icon / "amip_midmonth_sst.nc"]:
        (flat / path.name).symlink_to(path)
    for folder in (icon, flat):
        with_weights = open_bottle("icon", weights=folder)
        assert with_weights.missing(superres=False) == ()
        assert with_weights.read_part(0).info.channels[0] == "U1000"
        monkeypatch.setenv("XR_CBOTTLE_PATH", str(folder))
        bottle = open_bottle("icon")
        assert bottle.missing(superres=False) == ()
        assert len(bottle.missing()) == 3
        assert bottle.read_part(1).config.model_channels == 16
        assert bottle.sst_dataset().sizes["lat"] == 18
        monkeypatch.delenv("XR_CBOTTLE_PATH")
    assert bottle == open_bottle("icon")
    assert with_weights != bottle


def test_copies_are_pinned_too(icon, tmp_path, monkeypatch):
    refuse_network(monkeypatch)
    folder = tmp_path / "copies"
    shutil.copytree(icon / "cBottle-3d", folder)
    monkeypatch.setenv("XR_CBOTTLE_PATH", str(folder))
    bottle = open_bottle("icon")
    bottle.open_part(0).close()
    shutil.copy(folder / NAMES[1], folder / NAMES[0])
    with pytest.raises(FetchError, match=r"at its first use its sha256 was .* and now .*000512000.checkpoint is"):
        bottle.open_part(0)


def refuse_network(monkeypatch) -> None:
    """Offline: every connection fails at once, as it does without a network."""
    import aiohttp

    async def fail(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", fail)


def test_offline(monkeypatch, tmp_path):
    refuse_network(monkeypatch)
    bottle = open_bottle("icon")
    assert bottle.manifest.zoom == 6
    assert (len(bottle.missing()), len(bottle.missing(superres=False))) == (7, 4)
    for read in (lambda: bottle.read_part(0), bottle.sst_dataset, lambda: rooms.fetch(bottle)):
        with pytest.raises(FetchError) as caught:
            read()
        text = str(caught.value)
        assert "\n" not in text
        assert isinstance(caught.value, BottleError)
        for said in (
            "is not on this machine", "XR_CBOTTLE_PATH (not set)", str(tmp_path / "cache"),
            "https://huggingface.co/nvidia/cbottle",
            "Network is unreachable",
            "put a file of that name into a folder of XR_CBOTTLE_PATH", "weights=", "ready now",
        ):  # fmt: skip
            assert said in text, text


def test_offline_names_a_bundled_bottle_that_works(monkeypatch, tmp_path):
    from xr_cbottle.bottle import location

    refuse_network(monkeypatch)
    bundled = tmp_path / "bundled"
    bundled.mkdir()
    shutil.copy(location.bundled_folder() / "icon.cbottle", bundled)
    bottles.synthetic_bottle(bundled / "ready.cbottle")
    (bundled / "broken.cbottle").write_text("{")
    monkeypatch.setattr(location, "bundled_folder", lambda: bundled)
    with pytest.raises(FetchError, match=r"or open a bottle that is ready now: ready$"):
        open_bottle("icon").read_part(0)


def test_a_read_through_the_engine(icon, tmp_path):
    """From a manifest of URLs to values: everything that a user of NVIDIA's weights would meet."""
    with WebServer(icon) as server:
        sampler = bottles.SamplerDefaults(num_steps=2, sigma_max=20.0)
        path = served(server, tmp_path, sampler=sampler)
        ds = xr.open_dataset(path, engine=CbottleBackendEntrypoint, label="era5", batch_size=1)
        assert ds.sizes["cell"] == 12 * 4**6
        assert ds.time.values[-1] == np.datetime64("2022-12-31T23")
        assert not server.requests
        tas = ds.tas.sel(time="2000-07-01T12").values
        assert np.isfinite(tas).all()
        assert len(server.requests) == 4
        assert len(server.gets(".checkpoint")) == 3
        assert len(server.gets("amip_midmonth_sst.nc")) == 1


# What comes first


def page(content: bytes) -> bytes:
    return b"<!doctype html><title>Sign in</title>"


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def one_byte(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


def nothing(content: bytes) -> bytes:
    return b""


def another_file(content: bytes) -> bytes:
    return b"PK\5\6" + bytes(18)


@pytest.mark.parametrize("spoil", [page, half, one_byte, nothing, another_file])
@pytest.mark.parametrize("name", ["cBottle-3d/" + NAMES[0], "amip_midmonth_sst.nc"])
def test_what_comes_first_must_be_what_it_should_be(icon, tmp_path, spoil, name):
    """With 200, whole by its length, and without a digest that would tell: it is not kept, and the next is."""
    if name.endswith(".nc") and spoil is one_byte:
        pytest.skip("netCDF has no checksum of its own")
    served_from = tmp_path / "copies"
    shutil.copytree(icon, served_from)
    good = (served_from / name).read_bytes()
    (served_from / name).write_bytes(spoil(good))
    with WebServer(served_from) as server:
        bottle = open_bottle(served(server, tmp_path))
        spec = next(spec for spec in bottle.manifest.files if spec.location.endswith(name))
        with pytest.raises(FetchError, match=r"what came is not what it should be .*nothing was kept"):
            bottle.open_file(spec, progress=False)
        assert leftovers(download_cache.place(spec.location)) == []
        assert spec.location in bottle.missing()
        (served_from / name).write_bytes(good)
        with bottle.open_file(spec, progress=False) as file:
            assert file.read() == good


def test_a_copy_that_is_something_else_is_not_pinned(icon, tmp_path, monkeypatch):
    refuse_network(monkeypatch)
    (tmp_path / NAMES[0]).write_bytes(page(b""))
    monkeypatch.setenv("XR_CBOTTLE_PATH", str(tmp_path))
    bottle = open_bottle("icon")
    with pytest.raises(BottleError, match="not a whole zip file"):
        bottle.open_part(0)
    shutil.copy(icon / "cBottle-3d" / NAMES[0], tmp_path / NAMES[0])
    assert bottle.read_part(0).info.channels[0] == "U1000"


@pytest.mark.parametrize("content", [b"<!doctype html>", b"{}", b"", b"PK\3\4"])
def test_a_url_that_is_no_bottle_is_not_kept(tmp_path, content):
    web = tmp_path / "web"
    web.mkdir()
    (web / "small.cbottle").write_bytes(content)
    with WebServer(web) as server:
        with pytest.raises(FetchError, match="nothing was kept"):
            open_bottle(f"{server.url}/small.cbottle")
        bottles.synthetic_bottle(web / "small.cbottle")
        assert open_bottle(f"{server.url}/small.cbottle").manifest.name == "small"


def test_a_server_that_lies_about_ranges(web, monkeypatch):
    """It says that it goes on where it was asked to, and begins anew, or somewhere else."""
    import tests.webserver as module

    content = (web / "data.bin").read_bytes()

    class Lying(module.WebServer):
        def _answer(self, handler) -> None:
            asked = handler.headers.get("Range")
            self.requests.append((handler.path, asked))
            start = int(asked[6:-1]) if asked else 0
            handler.send_response(206 if start else 200)
            if start:
                handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            handler.send_header("ETag", '"one"')
            handler.send_header("Content-Length", str(len(content) - start))
            handler.end_headers()
            if not start and len(self.requests) == 1:
                handler.wfile.write(content[:1_000_000])
                handler.wfile.flush()
                import threading

                threading.Event().wait(0.2)
                handler.close_connection = True
                handler.connection.shutdown(2)
                return
            handler.wfile.write(content[: len(content) - start] if start else content)

    with Lying(web) as server:
        assert same(download_cache.fetch(f"{server.url}/data.bin", progress=False), web)
        assert [bool(asked) for asked in server.gets("data.bin")] == [False, True, False]
