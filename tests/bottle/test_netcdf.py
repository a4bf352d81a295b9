"""Files that point out of themselves, declare what they have not, or unpack to more: refused before values are read."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from tests import bottles
from tests.webserver import WebServer
from xr_cbottle.bottle import bottle as rooms
from xr_cbottle.bottle import checkpoint, limits, netcdf
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.packing import pack
from xr_cbottle.bottle.records import ConditionSpec, PartSpec, TimeSpec

CELLS = 192
SECRET = np.full(24 * CELLS, 273.25, np.float32)


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch, tmp_path):
    monkeypatch.delenv("XR_CBOTTLE_PATH", raising=False)
    monkeypatch.setenv("XR_CBOTTLE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def good(tmp_path) -> Path:
    path = tmp_path / "good.nc"
    bottles.sst_cells(2).to_netcdf(path, engine="h5netcdf")
    return path


def external(file: h5py.File, secret: Path) -> None:
    del file["sst"]
    file.create_dataset("sst", (24, CELLS), "f4", external=[(str(secret), 0, SECRET.nbytes)])


def virtual(file: h5py.File, secret: Path) -> None:
    del file["sst"]
    layout = h5py.VirtualLayout((24, CELLS), "f4")
    layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "sst", (24, CELLS))
    file.create_virtual_dataset("sst", layout)


def external_link(file: h5py.File, secret: Path) -> None:
    del file["sst"]
    file["sst"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "sst")


def soft_link(file: h5py.File, secret: Path) -> None:
    file["other"] = h5py.SoftLink("/sst")


def group(file: h5py.File, secret: Path) -> None:
    file.create_group("more")["x"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "sst")


def references(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (3,), h5py.ref_dtype)


def regions(file: h5py.File, secret: Path) -> None:
    file["sst"].attrs["x"] = file["sst"].regionref[:2]


def compound(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (3,), np.dtype([("a", "i4"), ("b", "f4")]))


def enumerated(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (3,), h5py.enum_dtype({"a": 1}))


def opaque(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (3,), np.dtype("V100"))


def ragged(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (3,), h5py.vlen_dtype("f4"))


def arrays(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (3,), np.dtype(("f4", (4,))))


def named_type(file: h5py.File, secret: Path) -> None:
    file["kind"] = np.dtype("f4")


def its_own_type(file: h5py.File, secret: Path) -> None:
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.commit(file.id, b"kind")
    h5py.h5d.create(file.id, b"x", kind, h5py.h5s.create_simple((3,)))
    del file["kind"]


def another_filter(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (64, 64), "f4", chunks=(64, 64), compression="lzf")


def scale_offset(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (64, 64), "i4", chunks=(64, 64), scaleoffset=0)


def unknown_filter(file: h5py.File, secret: Path) -> None:
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((64,))
    created.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((64,)), created)


def twice_packed(file: h5py.File, secret: Path) -> None:
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((64,))
    created.set_deflate(9)
    created.set_deflate(9)
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((64,)), created)


def declared_too_large(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (10**6, 10**6), "f4", chunks=(1000, 1000), compression="gzip")


def contiguous_and_absent(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (10**5, 10**5), "f4")


def huge_chunks(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (10,), "f8", maxshape=(None,), chunks=(2**28,))


def tiny_chunks(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (4_000_000,), "i1", chunks=(1,))


def many_dimensions(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (1,) * 20, "f4")


def many_variables(file: h5py.File, secret: Path) -> None:
    for i in range(300):
        file[f"x{i}"] = 1.0


def many_attributes(file: h5py.File, secret: Path) -> None:
    for i in range(300):
        file.attrs[f"x{i}"] = 1.0


def attributes_of_a_variable(file: h5py.File, secret: Path) -> None:
    for i in range(300):
        file["sst"].attrs.create(f"y{i}", np.zeros(100, "f8"))


def many_texts(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (100_000,), h5py.string_dtype())


def one_text_many_times(file: h5py.File, secret: Path) -> None:
    """Each of a thousand texts is the same two megabytes in the file."""
    file.create_dataset("x", data=np.array(["a" * 2_000_000], object), dtype=h5py.string_dtype())


def a_chunk_that_unpacks_to_more(file: h5py.File, secret: Path) -> None:
    variable = file.create_dataset("x", (1024, 1024), "i1", chunks=(1024, 1024), compression="gzip")
    variable.id.write_direct_chunk((0, 0), zlib.compress(bytes(200 << 20), 9))


POINTING = [external, virtual, external_link, soft_link, group]
TYPES = [references, regions, compound, enumerated, opaque, ragged, arrays, named_type, its_own_type]
PACKED = [another_filter, scale_offset, unknown_filter, twice_packed, a_chunk_that_unpacks_to_more]
LARGE = [
    declared_too_large, contiguous_and_absent, huge_chunks, tiny_chunks, many_dimensions, many_variables,
    many_attributes, attributes_of_a_variable, many_texts, one_text_many_times,
]  # fmt: skip


@pytest.fixture
def spoiled(good, tmp_path):
    """Makes a bad file of the good one; the secret is there as raw bytes and as HDF5."""
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET.tobytes())
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["sst"] = SECRET.reshape(24, CELLS)

    def make(spoil) -> Path:
        path = Path(shutil.copy(good, tmp_path / "bad.nc"))
        with h5py.File(path, "a") as file:
            if "_FillValue" not in file["sst"].attrs:
                file["sst"].attrs["_FillValue"] = np.float32(-1)
            spoil(file, secret)
        return path

    return make


def refused(path: Path) -> str:
    with open(path, "rb") as file, pytest.raises(BottleError) as caught:
        netcdf.check(file, "x")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_file_passes_and_stays_open(good):
    with open(good, "rb") as file:
        netcdf.check(file, "x")
        assert file.tell() == 0
        with netcdf.open_checked(file, "x", in_memory=True, load=True) as ds:
            xr.testing.assert_identical(ds, bottles.sst_cells(2))


@pytest.mark.parametrize("spoil", POINTING, ids=lambda spoil: spoil.__name__)
def test_what_points_out_of_the_file_is_refused(spoiled, spoil):
    assert "not netCDF" not in refused(spoiled(spoil))


@pytest.mark.parametrize("spoil", TYPES, ids=lambda spoil: spoil.__name__)
def test_types_that_no_bottle_needs_are_refused(spoiled, spoil):
    says = refused(spoiled(spoil))
    assert "neither of numbers nor of text" in says or "a type of its own" in says


@pytest.mark.parametrize("spoil", PACKED, ids=lambda spoil: spoil.__name__)
def test_filters_beyond_the_known_and_bombs_are_refused(spoiled, spoil):
    says = refused(spoiled(spoil))
    assert "packed by HDF5's filters" in says or "unpacks to more than the 1048576 bytes it declares" in says


@pytest.mark.parametrize("spoil", LARGE, ids=lambda spoil: spoil.__name__)
def test_what_is_declared_too_large_is_refused(spoiled, spoil):
    before = _peak()
    says = refused(spoiled(spoil))
    assert "at most" in says or "too long" in says
    assert _peak() - before < 300 << 20


def _peak() -> int:
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_secrets_do_leave_where_nobody_looks(spoiled, tmp_path):
    """Else the tests above could not fail: what is refused here does show the other file."""
    path = spoiled(external)
    with h5py.File(path) as file:
        assert (file["sst"][:] == 273.25).all()


@pytest.mark.parametrize("spoil", [external, virtual, external_link, declared_too_large, a_chunk_that_unpacks_to_more])
@pytest.mark.parametrize("kind", ["member", "folder", "fetched", "supplied", "climatology"])
def test_in_every_place_where_a_bottle_has_netcdf(spoiled, tmp_path, spoil, kind):
    bad, where = spoiled(spoil), tmp_path / "bottle"
    where.mkdir()
    config = bottles.small_config(conditions=2 if kind == "climatology" else 1)
    part = bottles.write_random_part(where / "part", config, bottles.CHANNELS)
    shutil.copy(bad, where / "sst.nc")
    sst, climate = ConditionSpec("sst.nc", variable="sst"), None
    if kind == "climatology":
        sst, climate = None, ConditionSpec("sst.nc")
    manifest = Manifest(
        name="bad", zoom=2, channels=bottles.CHANNELS, parts=(PartSpec("coarse", 0, "part"),), sst=sst,
        climatology=climate, time=TimeSpec("1980-01-01", "1981-01-01"),
    )  # fmt: skip
    if kind in ("member", "climatology"):
        files = (None, where / "sst.nc") if climate else (where / "sst.nc", None)
        bottle = open_bottle(pack(tmp_path / "bad.cbottle", manifest, [part], *files))
        read = bottle.climatology if climate else bottle.sst_dataset
        with pytest.raises(BottleError, match=r"bad\.cbottle: sst\.nc"):
            read()
        return
    (where / "bottle.json").write_text(manifest.to_json())
    if kind == "fetched":
        with WebServer(where) as server:
            bottle = open_bottle(f"{server.url}/bottle.json")
            with pytest.raises(BottleError, match=r"sst\.nc: what came is not what it should be"):
                rooms.fetch(bottle, progress=False)
        return
    bottle = open_bottle(where, weights=where if kind == "supplied" else None)
    with pytest.raises(BottleError, match=r"sst\.nc"):
        bottle.sst_dataset()


def test_the_climatology_of_another_form_is_refused_before_it_is_read(spoiled, tmp_path, monkeypatch):
    """Small in the file, large in memory, and within the ratio: the bottle's own form says what it may be."""
    cells = 12 * 4**8
    path = tmp_path / "large.nc"
    shape = (1, 8, 1, 1, cells)
    ds = xr.Dataset({"mean": (("label", "channel", "annual", "diurnal", "cell"), np.zeros(shape, np.float32))})
    ds.to_netcdf(path, engine="h5netcdf", encoding={"mean": {"zlib": True}})
    monkeypatch.setattr(limits, "NETCDF_RATIO", 10**6)
    part = bottles.write_random_part(tmp_path / "p", bottles.small_config(conditions=2), bottles.CHANNELS)
    manifest = Manifest(
        name="x", zoom=2, channels=bottles.CHANNELS, parts=(PartSpec("coarse", 0, "p"),),
        climatology=ConditionSpec("c.nc"), time=TimeSpec("1980-01-01", "1981-01-01"),
    )  # fmt: skip
    bottle = open_bottle(pack(tmp_path / "x.cbottle", manifest, [part], None, path))
    monkeypatch.setattr(xr.Variable, "values", property(lambda self: pytest.fail("values were read")))
    with pytest.raises(BottleError, match="of another zoom than the manifest says"):
        bottle.climatology()


# netCDF-3


def classic(path: Path, form: str) -> Path:
    bottles.sst_cells(2).to_netcdf(path, format=form, engine="netcdf4", unlimited_dims=["time"])
    return path


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_netcdf_3_is_read(tmp_path, form, in_memory):
    with (
        open(classic(tmp_path / "x.nc", form), "rb") as file,
        netcdf.open_checked(file, "x", in_memory=in_memory) as ds,
    ):
        xr.testing.assert_equal(ds, bottles.sst_cells(2))


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
def test_odd_sizes_of_netcdf_3_are_refused(tmp_path, form):
    text = classic(tmp_path / "x.nc", form).read_bytes()
    wide = form.endswith("DATA")
    records = struct.pack(">q" if wide else ">i", 24)
    length = struct.pack(">q" if wide else ">i", CELLS)
    bad = {
        "more records": text[:4] + struct.pack(">q" if wide else ">i", 10**9) + text[4 + len(records) :],
        "a stream": text[:4] + b"\xff" * len(records) + text[4 + len(records) :],
        "more cells": text.replace(length, struct.pack(">q" if wide else ">i", 2**31 - 1), 1),
        "cut short": text[: len(text) // 2],
        "in its header": text[:60],
        "many of a list": text[:4] + records + struct.pack(">i", 10) + (b"\x00" * 4 if wide else b"") + b"\x7f" * 4,
    }
    for kind, content in bad.items():
        assert content != text
        with pytest.raises(BottleError) as caught:
            netcdf.check(io.BytesIO(content), "x")
        assert "\n" not in str(caught.value), kind


def test_what_is_no_netcdf(tmp_path):
    for content in (b"", b"CDF", b"<!doctype html><title>Sign in</title>", b"PK\3\4" + bytes(100), netcdf.HDF5):
        with pytest.raises(BottleError, match=r"x is not netCDF"):
            netcdf.check(io.BytesIO(content), "x")


def test_a_file_cut_short_is_refused(good):
    text = good.read_bytes()
    for end in (9, 100, len(text) // 2, len(text) - 1):
        with pytest.raises(BottleError):
            netcdf.check(io.BytesIO(text[:end]), "x")


def test_no_other_engine_opens_a_bottles_netcdf(tmp_path):
    """As of a bottle whose SST is itself: xarray would have asked our own engine, which waited for itself for ever."""
    part = bottles.write_random_part(tmp_path / "part", bottles.small_config(), bottles.CHANNELS)
    manifest = Manifest(
        name="self", zoom=2, channels=bottles.CHANNELS, parts=(PartSpec("coarse", 0, part.name),),
        sst=ConditionSpec("self.cbottle", variable="sst"), time=TimeSpec("1980-01-01", "1981-01-01"),
    )  # fmt: skip
    (tmp_path / "self.cbottle").write_text(manifest.to_json())
    with pytest.raises(BottleError, match=r"self\.cbottle is not netCDF"):
        open_bottle(tmp_path / "self.cbottle").sst_dataset()
    with zipfile.ZipFile(tmp_path / "self.cbottle.zip", "w") as archive:
        archive.writestr("bottle.json", manifest.to_json())
    os.replace(tmp_path / "self.cbottle.zip", tmp_path / "inner.cbottle")
    inside = Manifest(**{**manifest.__dict__, "sst": ConditionSpec("inner.cbottle")})
    packed = pack(tmp_path / "outer.cbottle", inside, [part], tmp_path / "inner.cbottle")
    with pytest.raises(BottleError, match=r"inner\.cbottle is not netCDF"):
        open_bottle(packed).sst_dataset()


def test_the_bundled_bottle_passes(tmp_path):
    bottle = open_bottle("gcm")
    assert bottle.sst_dataset().sizes == {"time": 420, "cell": 3072}
    assert bottle.climatology().labels == ("jcm", "plasim")
    assert checkpoint.digest(Path(bottle.path))
