"""Bottles that a machine spoils: whatever comes, a bottle or one sentence, soon and in little memory.

The short form is the same every time and takes half a minute. The long one runs only where it is asked for, with new
examples each time: ``XR_CBOTTLE_FUZZ=20000 pytest tests/bottle/test_fuzz.py -k long``.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import resource
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import bottles
from xr_cbottle.base.plain_text import is_plain
from xr_cbottle.bottle import checkpoint, limits, netcdf
from xr_cbottle.bottle.architecture import BatchInfo, ModelConfig
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.manifest import Manifest

SHORT = 300
LONG = int(os.environ.get("XR_CBOTTLE_FUZZ", "0"))
#: The short form's files are known not to hang; the child that tries a file first takes most of the time.
KNOWN = not LONG
SECONDS, BYTES = 10 + limits.TRIAL_SECONDS, 1 << 30


@contextlib.contextmanager
def one_sentence():
    """Nothing but a BottleError of one line comes out, within seconds of the processor and a GiB."""
    began, memory = time.process_time(), 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = "a bottle that can be read"
    try:
        yield
    except BottleError as error:
        said = str(error)
    assert is_plain(said)
    assert 10 < len(said) <= 2000
    assert time.process_time() - began < SECONDS
    assert 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < BYTES


def examples(count: int):
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize=count == SHORT,
    )


def both(strategy, check):
    """A test's short and long form."""
    counts = {"short": SHORT} | ({"long": LONG} if LONG else {})
    forms = [pytest.param(examples(count)(given(strategy)(check)), id=name) for name, count in counts.items()]
    return pytest.mark.parametrize("run", forms)


# JSON ---------------------------------------------------------------------------------------------------------------

strange = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([0, -1, 2**31, 2**63, 10**17, 10**40, 10**400]),
    st.floats(), st.text(max_size=20),
    st.sampled_from(["", "../x", "/etc/passwd", "x" * 10**5, "\x1b[2J", "\u202e", "{{7*7}}"]),
    st.builds(lambda depth: json.loads("[" * depth + "]" * depth), st.sampled_from([1, 33, 600])),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
    st.builds(list, st.sampled_from([range(10), range(5000)])),
)  # fmt: skip


def paths(value: Any, path: tuple = ()) -> list[tuple]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += paths(item, (*path, key))
    return found


@st.composite
def spoiled(draw, values: dict) -> str:
    """JSON of some values in which some are others, gone, new, twice or cut."""
    values = copy.deepcopy(values)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths(values)))
        owner = values
        for key in path[:-1]:
            owner = owner[key]
        kind = draw(st.sampled_from(["change", "change", "change", "remove", "add"]))
        if kind == "change":
            owner[path[-1]] = draw(strange)
        elif kind == "remove" and isinstance(owner, dict):
            del owner[path[-1]]
        elif isinstance(owner, dict):
            owner[draw(st.text(max_size=5))] = draw(strange)
        if not paths(values):
            break
    text = json.dumps(values, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 9)) == 0:
        text = text[: draw(st.integers(0, len(text)))] + draw(st.text(max_size=3))
    return text


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _whole() -> tuple[dict, bytes, dict, dict]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = bottles.synthetic_bottle(
            Path(folder, "small.cbottle"), superres=bottles.fine_specs(4, overlap=0), sigma_mins=(9.0, 0.0)
        )
        with zipfile.ZipFile(path) as archive:
            manifest, part = json.loads(archive.read("bottle.json")), archive.read("coarse_0.checkpoint")
    with zipfile.ZipFile(io.BytesIO(part)) as archive:
        return manifest, part, json.loads(archive.read("model.json")), json.loads(archive.read("batch_info.json"))


MANIFEST, PART, MODEL, BATCH = _whole()


def _manifest(text):
    with one_sentence():
        manifest = Manifest.from_json(encoded(text))
        assert Manifest.from_json(manifest.to_json()) == manifest


@both(spoiled(MANIFEST), _manifest)
def test_manifests(run):
    run()


def _model(text):
    with one_sentence():
        config = None
        try:
            config = ModelConfig.from_json(encoded(text))
        except ValueError as error:
            raise BottleError(str(error)) from None
        assert ModelConfig.from_json(config.to_json()).to_json() == config.to_json()


@both(spoiled(MODEL), _model)
def test_model_json(run):
    run()


def _batch(text):
    with one_sentence():
        try:
            info = BatchInfo.from_json(encoded(text))
        except ValueError as error:
            raise BottleError(str(error)) from None
        assert BatchInfo.from_json(info.to_json()) == info


@both(spoiled(BATCH), _batch)
def test_batch_info_json(run):
    run()


def _bytes(content):
    for read in (Manifest.from_json, ModelConfig.from_json, BatchInfo.from_json):
        with one_sentence():
            try:
                read(content)
            except ValueError as error:
                raise BottleError(str(error)) from None
    for name in ("x.nc", "x"):
        with one_sentence():
            netcdf.check(io.BytesIO(netcdf.HDF5 + content if name == "x.nc" else content), name, trusted=KNOWN)


@both(st.binary(max_size=200) | st.text(st.sampled_from('{}[]",:\\0e-1 \n'), max_size=300).map(str.encode), _bytes)
def test_any_bytes(run):
    run()


# netCDF -------------------------------------------------------------------------------------------------------------


def _netcdf(form: str) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.nc")
        if form == "climatology":
            from tests.bottle.test_climatology import made

            made().write(path)
        elif form == "h5":
            bottles.sst_cells(1, months=3).to_netcdf(path, engine="h5netcdf", encoding={"sst": {"zlib": True}})
        else:
            bottles.sst_cells(1, months=3).to_netcdf(path, engine="netcdf4", format=form)
        return path.read_bytes()


FILES = [_netcdf(form) for form in ("climatology", "h5", "NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA")]


@st.composite
def damaged(draw, files: list[bytes]) -> bytes:
    """A file in which some bytes are others, or are missing, or from elsewhere in it."""
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content) - 1))
        kind = draw(st.sampled_from(["byte", "byte", "bits", "number", "cut", "copy"]))
        if kind == "byte":
            content[at] = draw(st.integers(0, 255))
        elif kind == "bits":
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "number":
            content[at : at + 8] = draw(st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 4]))
        elif kind == "cut" and draw(st.integers(0, 4)) == 0:
            del content[max(1, at) :]
        else:
            other = draw(st.integers(0, len(content) - 1))
            content[at : at + 16] = content[other : other + 16]
    return bytes(content)


def _read(content, trusted):
    with (
        one_sentence(),
        netcdf.open_checked(io.BytesIO(content), "x", in_memory=True, trusted=trusted) as ds,
        netcdf.readable("x"),
    ):
        if "mean" in ds:
            Climatology.from_dataset(ds, "x")
        else:
            ds.load()


def _damaged(content):
    _read(content, trusted=KNOWN)


@both(damaged(FILES), _damaged)
def test_netcdf(run):
    run()


# Checkpoints and bottles --------------------------------------------------------------------------------------------


def _checkpoint(content):
    with one_sentence():
        checkpoint.read_part(io.BytesIO(content), "x")


@both(damaged([PART]), _checkpoint)
def test_checkpoints(run):
    run()


@st.composite
def _pickle(draw) -> bytes:
    """A checkpoint whose pickle, which names the tensors, is damaged."""
    outer, inner = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(PART)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(io.BytesIO(members["net_state.pth"])) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in records if name.endswith("data.pkl"))
    records[name] = draw(damaged([records[name]]))
    for file, parts in ((inner, records), (outer, members)):
        if file is outer:
            members["net_state.pth"] = inner.getvalue()
        with zipfile.ZipFile(file, "w") as archive:
            for key, content in parts.items():
                archive.writestr(key, content)
    return outer.getvalue()


@both(_pickle(), _checkpoint)
def test_pickles(run):
    run()


def test_whole_bottles(tmp_path):
    """A few bytes of a whole bottle: opened, and read to the end."""
    import random

    generator, path = random.Random(1), tmp_path / "x.cbottle"
    good = bottles.synthetic_bottle(tmp_path / "good.cbottle").read_bytes()
    for _ in range(100):
        content = bytearray(good)
        start = generator.choice([0, 0, len(content) - 700, len(content) - 700, len(content) // 2])
        for _ in range(generator.randint(1, 3)):
            content[start + generator.randint(0, 600)] = generator.randint(0, 255)
        path.write_bytes(content)
        with one_sentence():
            bottle = open_bottle(path)
            for i in range(len(bottle.manifest.parts)):
                bottle.read_part(i)
            bottle.sst_dataset()
