"""Every number of a stranger's bottle has a limit, which is looked at before memory or time is spent."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import resource
import socketserver
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests import bottles
from xr_cbottle.bottle import checkpoint, download, download_cache, json_text, limits
from xr_cbottle.bottle.architecture import BatchInfo, ModelConfig
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.errors import BottleError, BottleNotFound
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.packing import pack

DEEP = "[" * 600 + "]" * 600


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch, tmp_path):
    monkeypatch.delenv("XR_CBOTTLE_PATH", raising=False)
    monkeypatch.setenv("XR_CBOTTLE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return bottles.synthetic_bottle(
        tmp_path_factory.mktemp("limits") / "small.cbottle", superres=bottles.fine_specs(4, overlap=0)
    )


@pytest.fixture(scope="module")
def plain(made) -> dict:
    with zipfile.ZipFile(made) as archive:
        return json.loads(archive.read("bottle.json"))


def cheap(refuse) -> str:
    """The sentence of a refusal that took no second and no memory to speak of."""
    memory, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ValueError) as caught:  # noqa: PT011  Of which sort is looked at below.
        refuse()
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200 << 10
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) <= limits.SENTENCE_CHARACTERS
    return text


MANIFESTS = {
    "labels": lambda v: v.update(labels={f"l{i}": {"index": i} for i in range(50_000)}, default_label=None),
    "a label's index": lambda v: v["labels"]["a"].update(index=10**9),
    "channels": lambda v: v.update(channels=[f"c{i}" for i in range(50_000)]),
    "zoom": lambda v: v.update(zoom=12),
    "zoom and channels": lambda v: v.update(zoom=10, channels=[f"c{i}" for i in range(100)]),
    "parts": lambda v: v.update(parts=v["parts"] * 10_000),
    "references": lambda v: v.update(references=["x"] * 10_000),
    "instants": lambda v: v.update(time={"start": "1500-01-01", "end": "2000-01-01", "step": "PT1S"}),
    "step": lambda v: v["time"].update(step=f"P{10**300}D"),
    "steps": lambda v: v["sampler"].update(num_steps=10**9),
    "sigma": lambda v: v["sampler"].update(sigma_max=1e300),
    "a long integer": lambda v: v["sampler"].update(sigma_max=10**400),
    "rho": lambda v: v["sampler"].update(rho=1e-9),
    "a patch": lambda v: v["parts"][1]["superres"].update(patch=2**40),
    "an overlap": lambda v: v["parts"][1]["superres"].update(overlap=2**40),
    "the fine zoom": lambda v: v["parts"][1]["superres"].update(zoom=29),
    "few steps": lambda v: v["parts"][2]["superres"].update(sigmas=list(range(10**5, 0, -1))),
    "nested": lambda v: v.update(trained_on={"x": json.loads(DEEP)}),
    "a number's digits": lambda v: v.update(trained_on={"x": 10**400}),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_numbers_of_a_manifest(plain, kind):
    values = json.loads(json.dumps(plain))
    MANIFESTS[kind](values)
    text = json.dumps(values)
    assert cheap(lambda: Manifest.from_json(text)).startswith("bottle.json: ")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**6, '{"a":' * 10**5, '{"a": ' + DEEP + "}", '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}",
        '"' + '\\"' * 10**6,
        '{"a": ' + "[" * 33 + "]" * 33 + "}", "\ufeff", "\xff", "null", "1", '{"a": -' + "1" * 400 + "}", "{" * 31,
    ],
)  # fmt: skip
def test_json_is_bounded_before_it_is_read(text):
    cheap(lambda: json_text.read_object(text, "x"))
    for read in (Manifest.from_json, ModelConfig.from_json, BatchInfo.from_json):
        cheap(lambda read=read: read(text))


def test_json_may_hold_brackets_in_its_texts():
    assert json_text.read_object('{"a": "[[[[\\"{{{{", "b": [[1]]}'.replace("[[[[", "[" * 100), "x")["b"] == [[1]]


MODELS = [
    {"model_channels": 10**6}, {"label_dim": 10**9}, {"out_channels": 10**6}, {"condition_channels": 10**9},
    {"time_length": 10**9}, {"level": 29}, {"position_embed_channels": 10**9}, {"img_resolution": 2**40},
    {"num_blocks": 10**6}, {"channel_mult": [1] * 10**5}, {"channel_mult": [10**6]}, {"attn_resolutions": [8] * 10**5},
    {"channel_mult": []}, {"model_channels": 10**17}, {"architecture": "x" * 10**5}, {"architecture": ["unet_hpx64"]},
]  # fmt: skip


@pytest.mark.parametrize("values", MODELS, ids=lambda values: str(values)[:40])
def test_numbers_of_a_network(values):
    cheap(lambda: ModelConfig.from_json(json.dumps(values)))


@pytest.mark.parametrize(
    "values",
    [
        {"channels": [f"c{i}" for i in range(10**5)]}, {"channels": "tas"}, {"channels": {"a": 1}},
        {"scales": [10**400]},
        {"scales": ["1"]}, {"scales": "1"}, {"center": [None]}, {"time_step": 10**17}, {"time_unit": "x" * 10**5},
        {"time_unit": None}, {"channels": ["a\x1b[2J"]}, {"scales": [True]}, {"center": {"a": 1}},
    ],
)  # fmt: skip
def test_numbers_of_statistics(values):
    good = {"channels": ["tas"], "scales": [1], "center": [0]}
    cheap(lambda: BatchInfo.from_json(json.dumps({**good, **values}, allow_nan=True)))
    cheap(lambda: BatchInfo.from_json('{"channels": ["tas"], "scales": [1], "center": [NaN]}'))


def with_part(tmp_path: Path, made: Path, config: ModelConfig, state: dict) -> Path:
    """The bottle with another first network."""
    manifest = open_bottle(made).manifest
    part = checkpoint.write_part(tmp_path / "part", config, bottles.batch_info(bottles.CHANNELS), state)
    with zipfile.ZipFile(made) as archive:
        archive.extractall(tmp_path / "files")
    files = [part, *(tmp_path / "files" / spec.location for spec in manifest.parts[1:])]
    return pack(tmp_path / "other.cbottle", manifest, files, tmp_path / "files" / "sst.nc")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(width=4096), "describes a network of more than"),
        (dict(width=32), "the weights are of another network"),
        (dict(labels=60_000), "describes a network of more than"),
        (dict(), None),
    ],
)
def test_a_network_larger_than_its_weights_is_not_made(tmp_path, made, changes, says):
    from xr_cbottle.draw.emulator import Emulator

    state = bottles.random_state(bottles.small_config())
    path = with_part(tmp_path, made, bottles.small_config(**changes), state)
    if says is None:
        assert Emulator(path, device="cpu").channels == bottles.CHANNELS
    else:
        assert says in cheap(lambda: Emulator(path, device="cpu"))


def test_weights_that_do_not_fit_are_a_sentence(tmp_path, made):
    import torch

    from xr_cbottle.draw.emulator import Emulator

    config = bottles.small_config()
    good = bottles.random_state(config)
    name = "model.map_layer0.weight"
    for state, says in [
        ({key: value for key, value in good.items() if key != name}, f"needs '{name}'"),
        ({**good, "model.more": torch.zeros(3)}, "has no place for 'model.more'"),
        ({**good, name: good[name].T[:, :3].contiguous()}, f"{name} has the shape"),
        ({**good, name: torch.zeros(good[name].shape, dtype=torch.int64)}, f"{name} has the shape"),
    ]:
        with pytest.raises(BottleError, match="the weights are of another network") as caught:
            Emulator(with_part(tmp_path, made, config, state), device="cpu")
        assert says in str(caught.value)


def test_weights_that_are_not_finite_are_refused_when_they_are_read(tmp_path, made, monkeypatch):
    import torch

    config = bottles.small_config()
    state = bottles.random_state(config)
    state["model.map_layer0.bias"][0] = float("nan")
    monkeypatch.setattr(torch, "isfinite", torch.ones_like)  # so that they are written
    path = with_part(tmp_path, made, config, state)
    monkeypatch.undo()
    with pytest.raises(BottleError, match=r"map_layer0\.bias holds values that are not finite"):
        open_bottle(path).read_part(0)


def test_what_is_drawn_is_not_finite_also_in_float32(tmp_path, made):
    from xr_cbottle.draw.emulator import Emulator

    config = bottles.small_config()
    state = {
        name: value * 1e30 if value.is_floating_point() else value
        for name, value in bottles.random_state(config).items()
    }
    emulator = Emulator(with_part(tmp_path, made, config, state), device="cpu", batch_size=1)
    with pytest.raises(BottleError, match="not finite in precision 'float32'; its networks were spoilt") as caught:
        emulator.draw("1980-06-01", progress=False)
    assert "use precision" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["/", ".", "..", "~", "~nobody-of-this-name/x", "x" * 5000, "a/" * 3000, "\udcff", "/dev/null/x"]
)
def test_names_that_name_no_bottle_are_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((BottleNotFound, BottleError)) as caught:
        open_bottle(name)
    assert "Errno" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_a_sentence(tmp_path, monkeypatch):
    import builtins

    path = bottles.synthetic_bottle(tmp_path / "closed.cbottle")
    bottle = open_bottle(path)
    real = builtins.open

    def closed(file, *arguments, **keywords):
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied")
        return real(file, *arguments, **keywords)

    monkeypatch.setattr(builtins, "open", closed)
    for read in (lambda: open_bottle(path), lambda: bottle.read_part(0), bottle.sst_dataset):
        with pytest.raises(BottleError, match=r"cannot be read \(Permission denied\)"):
            read()
    monkeypatch.undo()
    manifest = bottle.manifest
    with pytest.raises(BottleError, match=r"cannot be read \(No such file or directory\)"):
        pack(tmp_path / "x", manifest, [tmp_path / "absent"], tmp_path / "absent.nc")


# Servers


class Answer:
    """A server that answers every request by a function of the handler."""

    def __init__(self, write) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):  # whoever asked has had enough
                    write(self)
                self.close_connection = True

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/data.bin"

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self.url

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def head(handler, status: int = 200, **headers: object) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()


def refused(write, **keywords) -> str:
    with Answer(write) as url:
        text = cheap(lambda: download_cache.fetch(url, progress=False, **keywords))
        assert download_cache.kept(url) is None
        assert not [path for path in download_cache.place(url).parent.iterdir() if path.stat().st_size > 2 << 20]
    return text


def endless(handler) -> None:
    head(handler)
    while True:
        handler.wfile.write(bytes(1 << 16))


def test_an_endless_body_ends(monkeypatch):
    monkeypatch.setattr(limits, "DOWNLOAD_BYTES", 1 << 20)
    assert "at most 1048576 are fetched" in refused(endless)


def test_a_body_longer_than_declared_ends():
    assert "and the manifest says 1000" in refused(endless, size=1000)


def test_a_length_that_is_too_large_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(limits, "DOWNLOAD_BYTES", 1 << 20)
    assert "at most" in refused(lambda handler: head(handler, Content_Length=10**15))
    assert "and the manifest says 9" in refused(lambda handler: head(handler, Content_Length=10**15), size=9)


def test_a_bomb_of_gzip_is_not_unpacked():
    packed = gzip.compress(bytes(64 << 20))

    def bomb(handler) -> None:
        head(handler, Content_Length=len(packed), Content_Encoding="gzip")
        handler.wfile.write(packed)

    assert "sends it packed (gzip)" in refused(bomb)


def test_a_byte_in_a_while_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(limits, "SLOW_SECONDS", 0.5)

    def slow(handler) -> None:
        head(handler, Content_Length=10**6)
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)

    assert "bytes a second" in refused(slow)


def test_a_download_has_an_end(monkeypatch):
    monkeypatch.setattr(limits, "DOWNLOAD_SECONDS", 1.0)

    def steady(handler) -> None:
        head(handler, Content_Length=10**9)
        while True:
            handler.wfile.write(bytes(2000))
            time.sleep(0.05)

    text = refused(steady)
    assert "was not here after" in text or "cannot be fetched" in text


def test_headers_that_never_end(monkeypatch):
    monkeypatch.setattr(limits, "DOWNLOAD_SECONDS", 1.0)
    monkeypatch.setattr(download, "PATIENCE", 1)
    monkeypatch.setattr(download, "PAUSE", 0.01)

    def slow(handler) -> None:
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)

    refused(slow)


@pytest.mark.parametrize("name", ["..", ".", "%2e%2e", "x" * 1000, "a:b", "", "?a=b", "..?x"])
def test_names_in_urls_stay_in_their_folder(name):
    path = download_cache.place(f"https://x.org/{name}")
    assert path.name not in ("", ".", "..")
    assert len(path.name) < 150
    assert path.resolve().parent.parent == (download_cache.cache_folder() / "files").resolve()


def test_the_published_model_is_far_within():
    manifest = open_bottle("icon").manifest
    assert 10 * len(manifest.channels) < limits.CHANNELS
    assert 10 * len(manifest.channels) * 12 * 4**manifest.zoom < limits.INSTANT_VALUES
    assert limits.INSTANTS > 10 * (2023 - 1940) * 366 * 24
    config = ModelConfig(label_dim=1024, out_channels=45)
    assert math.log10(config.least_weights) < 8
