"""One v1 part: what is written is read, here and elsewhere; what is wrong is refused and runs nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import bottles
from xr_cbottle.bottle import archive, checkpoint
from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.bottle.errors import BottleError

torch = pytest.importorskip("torch")

CONFIG = ModelConfig(model_channels=4, out_channels=2)
INFO = bottles.batch_info(["tas", "pr"])
MEMBERS = ["net_state.pth", "model.json", "batch_info.json", "metadata.json"]


def weights() -> dict:
    generator = torch.Generator().manual_seed(1)
    return {
        "device_buffer": torch.zeros(0),
        "model.conv.weight": torch.randn(8, 4, 3, 3, generator=generator),
        "model.conv.bias": torch.randn(8, generator=generator),
        "model.steps": torch.arange(3),
    }


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def rebuilt(path: Path, changes: dict[str, bytes | None], compression: int = zipfile.ZIP_STORED) -> Path:
    """A good part with members replaced, added, or removed (None)."""
    checkpoint.write_part(path, CONFIG, INFO, weights())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | changes
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def refused(path: Path, says: str) -> None:
    with pytest.raises(BottleError) as caught:
        checkpoint.read_part(path)
    assert says in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def test_round_trip(tmp_path):
    path = checkpoint.write_part(tmp_path / "part", CONFIG, INFO, weights())
    part = checkpoint.read_part(path)
    assert part.config == CONFIG
    assert part.info == INFO
    assert list(part.state) == list(weights())
    for name, tensor in weights().items():
        assert part.state[name].dtype == tensor.dtype
        assert torch.equal(part.state[name], tensor)
    with open(path, "rb") as file:
        assert torch.equal(checkpoint.read_part(file).state["model.conv.bias"], weights()["model.conv.bias"])
        assert checkpoint.read_part_specs(file) == (CONFIG, INFO)
        assert not file.closed
        assert checkpoint.digest(file) == checkpoint.digest(path)


def test_a_window_lets_go_of_the_file_below_without_an_error(tmp_path):
    """It is closed again when it is collected, and Python 3.13 prints what goes wrong then."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with open(path, "rb") as file:
        window = io.BufferedReader(archive.MemberWindow(file, 2, 3))
        raw = window.raw
        assert window.read() == b"234"
        checkpoint._release(window)
        raw.close()
        assert raw.closed
        assert not file.closed
        archive.MemberWindow(file, 2, 3).close()
        assert file.closed


def test_equal_inputs_give_equal_bytes(tmp_path):
    one = checkpoint.write_part(tmp_path / "one", CONFIG, INFO, weights()).read_bytes()
    assert checkpoint.write_part(tmp_path / "two", CONFIG, INFO, weights()).read_bytes() == one


def test_others_can_read_it(tmp_path):
    """As NVlabs/cBottle reads it: by zipfile, json and torch.load alone."""
    path = checkpoint.write_part(tmp_path / "part", CONFIG, INFO, weights(), dtype="float16")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == MEMBERS
        assert archive.testzip() is None
        assert json.loads(archive.read("metadata.json")) == {"version": 1}
        assert json.loads(archive.read("model.json"))["architecture"] == "unet_hpx64"
        info = json.loads(archive.read("batch_info.json"))
        assert set(info) == {"channels", "scales", "center", "time_step", "time_unit"}
        assert info["time_unit"] == "HOUR"
        assert info["channels"] == ["tas", "pr"]
        with archive.open("net_state.pth") as file:
            state = torch.load(file, weights_only=True)
    assert state["model.conv.weight"].dtype == torch.float16
    conv = torch.nn.Conv2d(4, 8, 3)
    conv.load_state_dict({name.removeprefix("model.conv."): state[name] for name in state if "conv" in name})


@pytest.mark.parametrize(("dtype", "error"), [("float16", 2**-11), ("bfloat16", 2**-8)])
def test_half_precision_on_disk(tmp_path, dtype, error):
    state = {"a": torch.linspace(-3, 3, 10_000), "n": torch.arange(3)}
    full = checkpoint.write_part(tmp_path / "full", CONFIG, INFO, state)
    half = checkpoint.write_part(tmp_path / "half", CONFIG, INFO, state, dtype=dtype)
    assert half.stat().st_size < 0.6 * full.stat().st_size
    read = checkpoint.read_part(half).state
    assert read["a"].dtype == torch.float32
    assert read["n"].dtype == torch.int64
    assert (read["a"] - state["a"]).abs().max() <= 3 * error


def test_a_view_does_not_drag_its_storage_along(tmp_path):
    big = torch.zeros(1_000_000)
    path = checkpoint.write_part(tmp_path / "part", CONFIG, INFO, {"a": big[:10], "b": big.view(1000, 1000).T[:2]})
    assert path.stat().st_size < 50_000
    assert checkpoint.read_part(path).state["b"].shape == (2, 1000)


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = checkpoint.write_part(tmp_path / "part", CONFIG, INFO, weights())
    before = path.read_bytes()
    with pytest.raises(BottleError, match=r"not finite as torch.float16"):
        checkpoint.write_part(path, CONFIG, INFO, {"a": torch.tensor([1e6])}, dtype="float16")
    with pytest.raises(ValueError, match="float32, float16, bfloat16, got 'half'"):
        checkpoint.write_part(path, CONFIG, INFO, weights(), dtype="half")
    with pytest.raises(BottleError, match=r"2 channels and batch_info.json names 1"):
        checkpoint.write_part(path, CONFIG, bottles.batch_info(["tas"]), weights())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["part"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"metadata.json": None}, "older form of checkpoint, a pickled Python module, which is never loaded"),
        ({"metadata.json": None, "net_state.pth": None}, "there is no metadata.json; a cBottle v1"),
        ({"metadata.json": b'{"version": 2}'}, "checkpoint version 2 is not known"),
        ({"metadata.json": b'{"version": true}'}, "checkpoint version True is not known"),
        ({"metadata.json": b"[]"}, "metadata.json must be"),
        ({"metadata.json": b"\xff"}, "metadata.json must be"),
        ({"metadata.json": b" " * (5 << 20)}, "metadata.json has 5242880 bytes"),
        ({"net_state.pth": None}, "member net_state.pth is missing"),
        ({"model.json": None}, "member model.json is missing"),
        ({"batch_info.json": None}, "member batch_info.json is missing"),
        ({"model.json": b"{"}, "model.json: this is not JSON"),
        ({"model.json": b'{"architecture": "vit"}'}, "architecture must be one of unet_hpx64"),
        ({"model.json": b'{"out_channels": "2"}'}, "out_channels must be an integer"),
        ({"model.json": b'{"out_channels": 3}'}, "model.json says 3 channels and batch_info.json names 2"),
        (
            {"batch_info.json": b'{"channels": ["tas", "pr"], "scales": null, "center": null}'},
            "scales must be a list",
        ),
        (
            {"batch_info.json": b'{"channels": ["tas", "pr"], "scales": [1], "center": [0, 0]}'},
            "scales has 1 entries",
        ),
        ({"net_state.pth": b""}, "not a whole zip file"),
        ({"net_state.pth": b"no"}, "not a whole zip file"),
        ({"../evil": b"x"}, "member '../evil' has a name that could leave its folder"),
    ],
)
def test_wrong_members_are_refused(tmp_path, changes, says):
    refused(rebuilt(tmp_path / "part", changes), says)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([torch.zeros(2)], "it holds a list"),
        ({"a": 3}, "a is a int that is not dense"),
        ({1: torch.zeros(2)}, "it holds a dict"),
        ({"a": torch.eye(3).to_sparse()}, "not a plain state dict"),
        ({"a": torch.zeros(1).expand(1 << 40)}, "a claims more values than the file holds"),
        ({"a": torch.zeros(3, device="meta")}, "not a plain state dict"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, value, says):
    refused(rebuilt(tmp_path / "part", {"net_state.pth": saved(value)}), says)


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickles_run_nothing(tmp_path):
    made = tmp_path / "made"
    payload = {"a": torch.zeros(2), "b": Payload(made)}
    refused(rebuilt(tmp_path / "new", {"net_state.pth": saved(payload)}), "nothing in it was executed")
    legacy = io.BytesIO()
    torch.save(payload, legacy, _use_new_zipfile_serialization=False)
    for content in (legacy.getvalue(), pickle.dumps(Payload(made))):
        refused(rebuilt(tmp_path / "old", {"net_state.pth": content}), "not a whole zip file")
    # The older form, as a pickled module: refused before a byte of it is looked at.
    older = {"net_state.pth": saved({"net": Payload(made)}), "metadata.json": None}
    refused(rebuilt(tmp_path / "older", older), "older form")
    for name in ("model.json", "batch_info.json", "metadata.json"):
        refused(rebuilt(tmp_path / "json", {name: pickle.dumps(Payload(made))}), "")
    assert not made.exists()
    pickle.loads(pickle.dumps(Payload(made)))
    assert made.exists()  # The payload does work where pickles are loaded.


def test_bombs_are_refused(tmp_path):
    path = rebuilt(tmp_path / "part", {"padding": bytes(1 << 22)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    refused(path, "is compressed; only plain members")
    # The same one level down, in torch's own archive.
    inner = io.BytesIO()
    plain = io.BytesIO(saved({"a": torch.zeros(1 << 20)}))
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    refused(rebuilt(tmp_path / "part", {"net_state.pth": inner.getvalue()}), "is compressed")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    return checkpoint.write_part(tmp_path_factory.mktemp("good") / "part", CONFIG, INFO, weights()).read_bytes()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_cut_short_it_is_one_sentence(good, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "part"
    path.write_bytes(good[: data.draw(st.integers(0, len(good) - 1))])
    refused(path, "not a whole zip file")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_it_is_an_error_or_other_numbers(good, tmp_path_factory, data):
    """Whatever byte is changed: BottleError, or (in the weights' own bytes) a state of the same shapes."""
    path = tmp_path_factory.mktemp("bad") / "part"
    spoiled = bytearray(good)
    at = data.draw(st.integers(0, len(good) - 1))
    spoiled[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(spoiled))
    try:
        part = checkpoint.read_part(path)
    except BottleError as error:
        assert "\n" not in str(error)  # noqa: PT017  Either outcome is right.
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in part.state.values())


def test_specs_need_no_torch(tmp_path):
    path = checkpoint.write_part(tmp_path / "part", CONFIG, INFO, weights())
    code = (
        "import sys; from xr_cbottle.bottle.checkpoint import read_part_specs, digest; "
        f"config, info = read_part_specs({str(path)!r}); digest({str(path)!r}); "
        "assert config.out_channels == 2 and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_file_that_nvlabs_wrote(request):
    path = Path(request.config.getoption("--reference"), "coarse_v1.checkpoint")
    if not path.exists():
        pytest.skip(f"{path} is not there; give a folder that has it with --reference")
    part = checkpoint.read_part(path)
    assert part.config.model_channels == 16
    assert part.info.channels == ("tas", "rlut", "pr", "rsut", "uas")
    assert len(part.state) == 556
    assert part.state["model.pos_embed"].shape == (16, 1, 49152)
    assert np.isfinite(part.state["model.map_label.weight"].numpy()).all()
