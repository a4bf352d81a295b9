"""The server over real HTTP: every client reads what `open_dataset` reads, and no request does harm."""

from __future__ import annotations

import base64
import gzip
import json
import re
import secrets
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import xarray as xr
import yaml
from starlette.requests import Request

from tests import environments, serving
from tests.bottles import synthetic_bottle
from tests.serving import Client, Process
from xr_cbottle import cli
from xr_cbottle.bottle.manifest import SamplerDefaults
from xr_cbottle.cube import cache
from xr_cbottle.serve.http import answer, app, host
from xr_cbottle.serve.http.settings import Settings, is_local

# Processes, sockets and signals on a machine that does other work too: what fails thrice is wrong.
pytestmark = pytest.mark.flaky(reruns=2)
CLIENTS = Path(__file__).parents[1] / "clients"
INST, MEAN = "PT6H_inst_s0_m0_z2", "P1D_mean_s7_m1-2_z1_lb"
KEYWORDS = {
    INST: {"time": "PT6H", "zoom": 2},
    MEAN: {"time": "P1D", "time_method": "mean", "seed": 7, "members": [1, 2], "zoom": 1, "label": "b"},
}
SLOW = 60  # steps of the slow bottle: a batch takes a second or, on a busy machine, several


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def bottle(folder):
    return synthetic_bottle(folder / "quick.cbottle")


@pytest.fixture(scope="module")
def slow(folder):
    """The same network with many steps."""
    return synthetic_bottle(folder / "slow.cbottle", sampler=SamplerDefaults(num_steps=SLOW, sigma_max=80.0))


@pytest.fixture(scope="module")
def process(bottle, folder):
    other = synthetic_bottle(folder / "other.cbottle", seed=3)
    with Process(bottle, other, "--device", "cpu") as running:
        yield running


@pytest.fixture
def client(process) -> Client:
    return process.client


@pytest.fixture(scope="module")
def slow_client(slow, bottle):
    with serving.running([slow, bottle], max_waiting=4, cache_size=10_000_001) as client:
        yield client


def expected(bottle, address=INST, **others):
    keywords = KEYWORDS[address] | others
    return xr.open_dataset(bottle, engine="cbottle", device="cpu", **keywords).drop_vars("cell")


# --- clients


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("address", [INST, MEAN])
def test_zarr_python_reads_what_open_dataset_reads(client, bottle, address, zarr_format):
    want, url = expected(bottle, address), f"{client.url}/quick/{address}.zarr"
    got = xr.open_zarr(url, zarr_format=zarr_format, consolidated=True)
    assert list(got.data_vars) == list(want.data_vars)
    for times in ([0, 5], [-1]):
        xr.testing.assert_identical(got.isel(time=times).load(), want.isel(time=times).load())


def test_fsspec_reads_bytes(client, bottle):
    import fsspec

    root = f"{client.url}/quick/{INST}.zarr"
    fs = fsspec.filesystem("http")
    want = expected(bottle)["ta"].isel(time=3, pressure=1).values.astype("<f4").tobytes()
    assert fs.cat(f"{root}/ta/3.1.0") == fs.cat(f"{root}/ta/c/3/1/0") == want
    assert fs.cat_ranges([f"{root}/ta/3.1.0"] * 2, [0, 40], [8, 48]) == [want[:8], want[40:48]]
    assert fs.info(f"{root}/ta/3.1.0")["size"] == len(want)
    with fs.open(f"{root}/ta/3.1.0", block_size=100) as file:
        file.seek(64)
        assert file.read(4) == want[64:68]
    with pytest.raises(FileNotFoundError):
        fs.cat(f"{root}/cell/0")


def test_zarr_2_reads_it_on_a_machine_without_xr_cbottle(client, bottle):
    code = """
import sys, json, base64, importlib.util
import xarray as xr, zarr
assert importlib.util.find_spec("xr_cbottle") is None and zarr.__version__.startswith("2.")
ds = xr.open_zarr(sys.argv[1]).isel(time=[0, 5])
fields = {k: base64.b64encode(v.values.tobytes()).decode() for k, v in ds.items()}
print(json.dumps({"attrs": ds.attrs, "fields": fields}))
"""
    for address in (INST, MEAN):
        got = json.loads(environments.client().python(code, f"{client.url}/quick/{address}.zarr"))
        want = expected(bottle, address).isel(time=[0, 5])
        assert {k: base64.b64decode(v) for k, v in got["fields"].items()} == {
            name: field.values.astype("<f4").tobytes() for name, field in want.items()
        }
        assert got["attrs"] == json.loads(json.dumps(want.attrs, default=lambda value: value.tolist()))


INTAKE_07 = """
import sys, json, base64, intake
assert intake.__version__.startswith("0.7")
ds = intake.open_catalog(sys.argv[1])["quick"](
    time="P1D", time_method="mean", seed=7, zoom=1, label="b", **json.loads(sys.argv[2])
).to_dask().isel(time=[2])
print(json.dumps({k: base64.b64encode(v.values.tobytes()).decode() for k, v in ds.items()}))
"""


def test_intake_07_takes_the_parameters_of_the_catalog(client, bottle):
    for asked, members in (({"members": 2}, 2), ({"member": "1-2"}, [1, 2])):
        got = json.loads(environments.client().python(INTAKE_07, f"{client.url}/catalog.yaml", json.dumps(asked)))
        want = expected(bottle, MEAN, members=members).isel(time=[2])
        assert {k: base64.b64decode(v) for k, v in got.items()} == {k: v.values.tobytes() for k, v in want.items()}


@pytest.mark.filterwarnings("ignore")
def test_intake_2_chooses_by_the_url_of_the_catalog(client, bottle):
    import intake

    got = intake.open_catalog(f"{client.url}/catalog.yaml")["quick"].to_dask()
    xr.testing.assert_identical(got.isel(time=[4]).load(), expected(bottle).isel(time=[4]).load())
    got = intake.open_catalog(f"{client.url}/catalog/{MEAN}.yaml")["quick"].to_dask()
    xr.testing.assert_identical(got.isel(time=[4]).load(), expected(bottle, MEAN).isel(time=[4]).load())


@pytest.fixture(scope="module")
def node():
    """Node with zarrita, as the registry has it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no node or no npm here")
    if not (CLIENTS / "node_modules" / "zarrita").is_dir():
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"], cwd=CLIENTS, capture_output=True, text=True, timeout=300
        )
        if done.returncode != 0:
            if re.search("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|E40[134]", done.stderr):
                pytest.skip(f"the npm registry cannot be reached: {done.stderr.strip().splitlines()[0]}")
            raise AssertionError(done.stderr)

    def run(script, *arguments):
        done = subprocess.run(
            ["node", str(CLIENTS / script), *map(str, arguments)], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("zarr_format", ["v2", "v3"])
def test_zarrita_reads_a_frame_as_gridlook_does(client, bottle, node, zarr_format):
    time = 30 if zarr_format == "v2" else 31
    before = client.health()
    got = node("gridlook.mjs", f"{client.url}/quick/{INST}.zarr", zarr_format, "tas", time)
    after = client.health()
    want = expected(bottle)
    assert base64.b64decode(got["values"]) == want["tas"][time].values.tobytes()
    assert got["arrays"] == sorted([*want.data_vars, *want.coords])
    assert got["attributes"]["bottle_digest"] == want.attrs["bottle_digest"]
    assert got["cells"] == "none"
    assert got["crs"]["healpix_nside"] == 4
    assert got["crs"]["value"] == "1"
    assert got["dimensions"] == ["time", "cell"]
    seconds = str(want.time.values[time].astype("datetime64[s]").astype(int))
    assert got["time"] == {"kind": "bigint", "length": want.sizes["time"], "value": seconds}
    assert got["units"] == "seconds since 1970-01-01"
    assert drawn(after) - drawn(before) == 1
    assert after["requests"]["joined"] - before["requests"]["joined"] == 11

    got = node("gridlook.mjs", f"{client.url}/quick/{INST}.zarr", zarr_format, "ta", time, 1)
    assert base64.b64decode(got["values"]) == want["ta"][time, 1].values.tobytes()
    assert drawn(client.health()) == drawn(after)


def drawn(health, name="quick"):
    return health["bottles"][name]["instants_drawn"]


def pending(health, name="slow"):
    return health["bottles"][name]["queue"]["waiting"] + health["bottles"][name]["queue"]["drawing"]


# --- what there is


def test_the_catalog_says_what_is_served(client, bottle):
    found = client.ask("/catalog.json")
    assert found.headers["content-type"] == "application/json"
    first, second = found.json["bottles"]
    assert (first["name"], second["name"]) == ("quick", "other")
    digest = first["digest"].removeprefix("sha256:")
    assert first["pinned"] == f"quick@{digest[:12]}"
    assert first["zooms"] == [0, 1, 2]
    assert first["labels"] == ["a", "b"]
    assert first["default_label"] == "a"
    assert first["steps"] == ["PT6H", "P1D"]
    assert first["time"]["step"] == "PT6H"
    assert first["time_methods"] == ["inst", "mean"]
    (setting,) = first["settings"]
    assert (setting["name"], setting["code"], setting["default"]) == ("coherence", "w", "none")
    assert "latents" not in setting["allowed"]  # as this bottle carries none
    for value in setting["allowed"][1:]:
        assert client.ask(f"/quick/{INST}_{setting['code']}{value}.zarr/.zgroup").status == 200
    refused = client.ask(f"/quick/{INST}_wlatents.zarr/.zgroup")
    assert refused.status == 404
    assert b"does not carry how its weather lasts" in refused.body
    assert first["pressures"] == [50000, 85000]
    assert first["variables"]["ta"]["pressures"] == [50000, 85000]
    assert first["variables"]["tas"] == {
        "long_name": "near-surface air temperature", "units": "K", "standard_name": "air_temperature", "pressures": []
    }  # fmt: skip
    assert first["licence"] == "CC0-1.0"
    assert first["loaded"] is True
    assert first["max_members"] > 100
    for path in (f"/{first['pinned']}/{INST}.zarr/.zgroup", f"/quick%40{digest[:8]}/{INST}.zarr/.zgroup"):
        assert client.ask(path).status == 200


def test_absolute_urls_are_of_the_host_that_was_asked(bottle):
    with serving.running([bottle], allow_host=["bottles.example.org"], wait=False) as client:

        def url(**headers):
            catalog = yaml.safe_load(client.ask("/catalog.yaml", **headers).text)
            return catalog["sources"]["quick"]["args"]["urlpath"].partition("/quick")[0]

        assert url() == url(Host="") == client.url
        assert url(Host="bottles.example.org") == "http://bottles.example.org"
        assert url(Host="[::1]:80") == "http://[::1]:80"


@pytest.mark.parametrize("evil", ['x"\\n', "a/b", "a b", "{{ env }}", "a@b", "", "x" * 300, "a:b:c", "<script>"])
def test_what_is_no_host_is_not_repeated(evil):
    scope = {"type": "http", "scheme": "http", "server": ("127.0.0.1", 80), "headers": [(b"host", evil.encode())]}
    assert app.base_url(Request(scope)) == "http://127.0.0.1:80"


def test_a_catalog_of_one_data_set(client):
    found = yaml.safe_load(client.ask(f"/catalog/{MEAN}.yaml").text)["sources"]
    assert list(found) == ["quick", "other"]
    assert found["other"]["args"]["urlpath"] == f"{client.url}/other/{MEAN}.zarr"
    assert found["other"]["parameters"] == {}
    for address in ("PT6H_inst_s0_m0_z9", "PT6H_inst_s0_m0_z1_lx", "x", "..", "PT5H_inst_s0_m0_z1"):
        assert client.ask(f"/catalog/{address}.yaml").status == 404


def test_the_page_and_its_files_and_no_others(client):
    assert "text/html" in client.ask("/").headers["content-type"]
    for name in ("app.py", "..%2fapp.py", "%2e%2e", "package.json", "nope.js", "__init__.py", "%00", "x" * 500):
        assert client.ask(f"/static/{name}").status == 404, name


# --- HTTP


def test_a_chunk_has_a_tag_and_is_not_drawn_to_be_compared(client):
    path = f"/quick/{INST}.zarr/tas/100.0"
    before = drawn(client.health())
    head = client.ask(path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == "768"
    assert head.headers["accept-ranges"] == "bytes"
    assert head.headers["cache-control"] == "public, max-age=300"
    tag = head.headers["etag"]
    for condition in (tag, f'"x", W/{tag}', "*"):
        same = client.ask(path, If_None_Match=condition)
        assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
    assert client.ask(path, Range="bytes=768-").status == 416
    assert drawn(client.health()) == before
    got = client.ask(path, If_None_Match='"x"')
    assert (got.status, len(got.body), got.headers["etag"]) == (200, 768, tag)
    assert got.headers["content-type"] == "application/octet-stream"
    assert drawn(client.health()) == before + 1
    others = [f"/quick/{INST}.zarr/tas/101.0", f"/other/{INST}.zarr/tas/100.0", f"/quick/{INST}.zarr/tas/c/100/0"]
    others.append(f"/quick/{INST.replace('s0', 's1')}.zarr/tas/100.0")
    tags = {client.ask(other, "HEAD").headers["etag"] for other in others}
    assert len(tags | {tag}) == 5


def test_with_the_digest_a_chunk_is_for_ever(client, bottle):
    pinned = client.ask("/catalog.json").json["bottles"][0]["pinned"]
    chunk = client.ask(f"/{pinned}/{INST}.zarr/tas/0.0")
    assert chunk.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.ask(f"/{pinned}/{INST}.zarr/.zmetadata").headers["cache-control"] == "public, max-age=300"
    wrong = client.ask(f"/quick@00000000/{INST}.zarr/tas/0.0")
    assert wrong.status == 404
    assert pinned in wrong.text
    with serving.running([bottle], num_steps=2, wait=False) as other:
        fewer = other.ask(f"/{pinned}/{INST}.zarr/tas/0.0", "HEAD")
        assert fewer.headers["cache-control"] == "public, max-age=300"
        assert fewer.headers["etag"] != chunk.headers["etag"]


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=700-", (700, 768)),
        ("bytes=-8", (760, 768)),
        ("bytes=-99999", (0, 768)),
        ("bytes=5-99999999999999999999999999999999999", (5, 768)),
        ("bytes=768-", None),
        ("bytes=99999999999999999999999999999999999-", None),
        ("bytes=-0", None),
        ("bytes=0-1,5-6", ()),
        ("bytes=9-3", ()),
        ("bytes=", ()),
        ("bytes=-", ()),
        ("bytes=a-b", ()),
        ("bytes=-5-9", ()),
        ("lines=0-1", ()),
        ("bytes=" + "0-1," * 1000, ()),
        ("bytes=0-" + "9" * 5000, ()),
    ],
)
def test_ranges(client, asked, span):
    path = f"/quick/{INST}.zarr/tas/0.0"
    whole = client.ask(path).body
    got = client.ask(path, Range=asked)
    if span is None:
        assert (got.status, got.body, got.headers["content-range"]) == (416, b"", "bytes */768")
    elif span == ():
        assert (got.status, got.body) == (200, whole)
    else:
        assert (got.status, got.body) == (206, whole[slice(*span)])
        assert got.headers["content-range"] == f"bytes {span[0]}-{span[1] - 1}/768"
        assert got.headers["content-length"] == str(len(got.body))
        assert client.ask(path, Range=asked, If_Range='"other"').status == 200
        assert client.ask(path, Range=asked, If_Range=got.headers["etag"]).status == 206


@pytest.mark.parametrize("path", ["/", "/catalog.json", f"/quick/{INST}.zarr/zarr.json", f"/quick/{INST}.zarr/time/0"])
def test_text_and_times_are_packed_for_who_takes_it(client, path):
    plain = client.ask(path)
    assert "content-encoding" not in plain.headers
    packed = client.ask(path, Accept_Encoding="br, gzip;q=0.5")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "Accept-Encoding" == plain.headers["vary"]
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < 0.5 * len(plain.body)
    assert packed.headers["etag"] != plain.headers["etag"]  # caches on the way tell them apart
    for encoding, known in (("gzip", packed), ("identity", plain)):
        same = client.ask(path, Accept_Encoding=encoding, If_None_Match=known.headers["etag"])
        assert (same.status, same.body) == (304, b"")
    assert client.ask(path, Accept_Encoding="gzip;q=0").body == plain.body
    head = client.ask(path, "HEAD", Accept_Encoding="gzip")
    assert head.headers["content-length"] == str(len(plain.body))
    part = client.ask(path, Accept_Encoding="gzip", Range="bytes=8-15")
    assert (part.status, part.body) == (206, plain.body[8:16])


def test_what_is_drawn_is_not_packed(client):
    """Noise does not become smaller, and costs a processor all the same."""
    assert "content-encoding" not in client.ask(f"/quick/{INST}.zarr/tas/0.0", Accept_Encoding="gzip").headers


def test_every_page_may_read(client):
    for path in ("/", "/health", "/catalog.json", "/nope", f"/quick/{INST}.zarr/tas/0.0"):
        for headers in ({}, {"Origin": "https://gridlook.example"}):
            got = client.ask(path, **headers)
            assert got.headers["access-control-allow-origin"] == "*"
            assert "ETag" in got.headers["access-control-expose-headers"]
    asked = client.ask("/", "OPTIONS", Origin="https://x", Access_Control_Request_Method="GET")
    assert asked.status == 204
    assert "Range" in asked.headers["access-control-allow-headers"]
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
        refused = client.ask(f"/quick/{INST}.zarr/tas/0.0", method)
        assert refused.status == 405
        assert refused.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (f"/nope/{INST}.zarr/.zgroup", "there is no bottle 'nope' here: choose among quick, other"),
        (f"/quick@/{INST}.zarr/.zgroup", "there is no bottle"),
        (f"/quick@12345/{INST}.zarr/.zgroup", "there is no bottle"),
        ("/quick/tas.zarr/.zgroup", "'tas' is no address of a data set"),
        (f"/quick/{INST}.zarr/tas/2924.0", "this data set has no 'tas/2924.0'"),
        (f"/quick/{INST}.zarr/cell/0", "this data set has no 'cell/0'"),
        (f"/quick/{INST}.zarr/", "this data set has no ''"),
        (f"/quick/{INST}.zarr", "there is nothing here"),
        ("/quick", "there is nothing here"),
        ("/quick/PT6H_inst_s0_m0_z3.zarr/.zgroup", "has zooms 0 to 2"),
        ("/quick/PT6H_inst_s0_m0_z2_lx.zarr/.zgroup", "has the labels a, b"),
        ("/quick/PT1H_inst_s0_m0_z2.zarr/.zgroup", "the step PT1H is no multiple of the bottle's PT6H"),
        ("/quick/PT6H_max_s0_m0_z2.zarr/.zgroup", "choose one of inst, mean"),
        ("/quick/PT6H_inst_s00_m0_z2.zarr/.zgroup", "is no address"),
        ("/quick/PT6H_inst_s0_m0-99999_z2.zarr/.zgroup", "names 100000 members"),
        ("/" + "a" * 5000, "a path of 5001 characters leads nowhere"),
    ],
)
def test_what_is_not_there_is_a_404_with_a_sentence(client, path, sentence):
    got = client.ask(path)
    assert got.status == 404
    assert sentence in got.text
    assert got.headers["content-type"] == "text/plain; charset=utf-8"
    assert got.text.count("\n") == 1


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/quick/../quick/x",
        f"/quick/{INST}.zarr/../../../etc/passwd",
        f"/quick/{INST}.zarr/..%2f..%2fetc%2fpasswd",
        f"/quick/{INST}.zarr//tas/0.0",
        f"//quick/{INST}.zarr/tas/0.0",
        f"/quick/{INST}.zarr/tas/0.0/",
        f"/quick/{INST}.zarr/tas/0.0%00",
        f"/quick/{INST}.zarr/tas/%zz",
        f"/quick/{INST}.zarr/tas/%",
        f"/quick/{INST}.zarr/%ff%fe/0.0",
        f"/quick/{INST}.zarr/tas/-1.0",
        f"/quick/{INST}.zarr/tas/0.٠",
        f"/quick/{INST}.zarr/tas/{'9' * 900}.0",
        f"/quick%0d%0aX-Evil:1/{INST}.zarr/.zgroup",
        f"/<script>alert(1)</script>/{INST}.zarr/.zgroup",
        f"/{'%41' * 900}/{INST}.zarr/.zgroup",
        "/static/../server/app.py",
        "/static/%2e%2e/server/app.py",
        "/static//etc/passwd",
        "http://elsewhere/",
        "/%C0%AE%C0%AE/",
        "/" + "a" * 70_000,
        "*",
    ],
)
def test_attacks_on_the_path_do_no_harm(client, process, path):
    raw = path.encode("utf-8").decode("latin-1")
    got = client.ask(raw)
    assert 400 <= got.status < 500 or (got.status == 200 and path == "http://elsewhere/")
    assert b"root:" not in got.body
    assert b"import" not in got.body
    assert "x-evil" not in got.headers
    if b"script" in got.body:
        assert got.headers["content-type"] == "text/plain; charset=utf-8"
        assert got.headers["x-content-type-options"] == "nosniff"
    assert client.ask(f"/quick/{INST}.zarr/tas/0.0").status == 200
    assert "Traceback" not in process.log()


def test_what_costs_too_much_is_refused(bottle):
    with serving.running([bottle], max_cost=4, max_data_sets=2, wait=False) as client:
        refused = client.ask("/quick/P2D_mean_s0_m0_z2.zarr/.zgroup")
        assert refused.status == 403
        assert "takes 8 instants to draw, and this server draws at most 4 for one" in refused.text
        assert "means over at most P1D" in refused.text
        assert client.ask("/quick/P1D_mean_s0_m0_z2.zarr/.zgroup").status == 200
        for seed in range(5):
            assert client.ask(f"/quick/PT6H_inst_s{seed}_m0_z2.zarr/.zgroup").status == 200


def test_every_request_has_a_line_in_the_log(client, process):
    client.ask(f"/quick/{INST}.zarr/tas/200.0")
    client.ask(f"/quick/{INST}.zarr/tas/200.0")
    client.ask("/quick%0aforged/x")
    client.until(lambda _: "forged" in process.log())
    lines = process.log().splitlines()
    first, second = (line for line in lines if "tas/200.0" in line)
    assert re.fullmatch(rf"\S+ 127\.0\.0\.1 GET /quick/{INST}\.zarr/tas/200\.0 200 768 [0-9.]+ms drawn", first)
    assert second.endswith("cached")
    assert any("GET /quick\\nforged/x 404" in line for line in lines)
    kinds = re.compile(r"\S+ (127\.0\.0\.1 [A-Z]+ .* \d+ \d+ [0-9.]+ms.*|Invalid HTTP request received\.)")
    assert [line for line in lines if not kinds.fullmatch(line)] == []


# --- load


def test_32_clients_on_one_frame_draw_it_once(client, bottle):
    want = expected(bottle).isel(time=400)
    chunks = {f"{name}/400.{level}.0": want[name][level] for name in ("ta",) for level in range(2)}
    chunks |= {f"{name}/400.0": want[name] for name in ("tas", "pr", "rlut", "sst")}
    chunks |= {key.replace(".", "/").replace("/", "/c/", 1): field for key, field in chunks.items()}
    paths = (list(chunks) * 3)[:32]
    before = client.health()
    answers = client.ask_all([f"/quick/{INST}.zarr/{path}" for path in paths])
    for path, got in zip(paths, answers, strict=True):
        assert (got.status, got.body) == (200, chunks[path].values.astype("<f4").tobytes()), path
    after = client.health()
    assert drawn(after) - drawn(before) == 1
    assert after["bottles"]["quick"]["queue"]["drawn"] - before["bottles"]["quick"]["queue"]["drawn"] == 1
    how = {name: after["requests"][name] - before["requests"][name] for name in ("drawn", "joined", "cached")}
    assert how["drawn"] == 1
    assert sum(how.values()) == 32


@pytest.mark.parametrize("cache_size", [0, 10_000_003])
def test_many_clients_on_many_frames(bottle, cache_size):
    """Each frame once, however small the cache, and in whichever data set and zoom it is asked for."""
    seed = secrets.randbelow(2**31)  # that nothing else in this process has drawn
    cache.shared().clear()  # it is the process's: others may have left something in it
    with serving.running([bottle], cache_size=cache_size) as client:
        paths = [
            f"/quick/PT6H_inst_s{seed}_m0_z{zoom}.zarr/{name}/{time}.0"
            for time in range(4)
            for zoom in (1, 2)
            for name in ("tas", "pr", "rlut", "sst")
        ]
        before = client.health()  # an emulator is shared in a process, and others have drawn from it
        answers = client.ask_all(paths)
        health = client.health()
        asked = {"device": "cpu", "seed": seed}
        want = {zoom: xr.open_dataset(bottle, engine="cbottle", zoom=zoom, **asked) for zoom in (1, 2)}
        for path, got in zip(paths, answers, strict=True):
            zoom, name, time = re.search(r"_z(\d)\.zarr/(\w+)/(\d)", path).groups()
            assert got.body == want[int(zoom)][name][int(time)].values.tobytes()
        # Who comes when a frame has been read by all who wanted it, and is not kept, has it drawn once more.
        # What was drawn in places of a batch that would have been empty is counted apart.
        assert drawn(health) - drawn(before) <= (4 if cache_size else 16)
        assert health["cache"]["bytes"] <= cache_size
        assert health["requests"]["waiting"] == 0


def test_when_too_many_wait_the_rest_is_served(slow_client, slow):
    first = [f"/slow/PT6H_inst_s1_m0_z2.zarr/tas/{time}.0" for time in range(4)]
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(slow_client.ask, path) for path in first]
        slow_client.until(lambda h: pending(h) == 4)
        refused = slow_client.ask("/slow/PT6H_inst_s1_m0_z2.zarr/tas/9.0")
        assert refused.status == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "4 fields of slow are waiting to be drawn, and 4 may: try again later" in refused.text
        # What needs no place is had meanwhile: metadata, coordinates, frames on their way, the other bottle.
        assert slow_client.ask("/slow/PT6H_inst_s1_m0_z2.zarr/.zmetadata").status == 200
        assert slow_client.ask("/slow/PT6H_inst_s1_m0_z2.zarr/time/0").status == 200
        assert slow_client.ask("/quick/PT6H_inst_s1_m0_z2.zarr/tas/9.0").status == 200
        joined = pool.submit(slow_client.ask, first[0].replace("tas", "pr"))
        assert [w.result().status for w in (*waiting, joined)] == [200] * 5
    assert slow_client.ask("/slow/PT6H_inst_s1_m0_z2.zarr/tas/9.0").status == 200
    assert slow_client.health()["requests"]["refused"] == 1


def test_a_frame_whose_clients_were_killed_is_not_drawn(slow_client):
    before = slow_client.health()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(slow_client.ask, "/slow/PT6H_inst_s2_m0_z2.zarr/tas/0.0")
        slow_client.until(lambda h: h["bottles"]["slow"]["queue"]["drawing"] == 1)
        killed = [slow_client.send(f"/slow/PT6H_inst_s2_m0_z2.zarr/{name}/1.0") for name in ("tas", "pr")]
        slow_client.until(lambda h: h["requests"]["waiting"] == 3)
        for one in killed:
            one.close()
        after = slow_client.until(lambda h: h["requests"]["waiting"] == 1)
        assert after["bottles"]["slow"]["queue"]["waiting"] == 0
        dropped = [h["bottles"]["slow"]["queue"]["dropped"] for h in (before, after)]
        assert dropped[1] - dropped[0] == 1
        assert first.result().status == 200
    assert drawn(slow_client.health(), "slow") - drawn(before, "slow") == 1


def test_clients_that_break_off_do_no_harm(client):
    for text in ("", "GET", "GET / HTTP/1.1\r\nHost", "\x00\x01\x02\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"):
        asking = client.send("/nope")
        asking.sendall(text.encode())
        asking.close()
    broken = [client.send(f"/quick/{INST}.zarr/tas/{time}.0") for time in range(500, 530)]
    for one in broken:
        one.close()
    client.until(lambda h: h["requests"]["waiting"] == 0)
    assert client.ask(f"/quick/{INST}.zarr/tas/0.0").status == 200


# --- begin and end


def test_while_networks_load_there_is_metadata_and_then_the_end_is_graceful(slow):
    with Process(slow, "--device", "cpu", "--loading-wait", 0, "--stop-wait", 60, wait=False) as process:
        client = process.client
        health = client.ask("/health")
        assert (health.status, health.json["status"]) == (503, "loading")
        early = client.ask("/slow/PT6H_inst_s0_m0_z2.zarr/tas/0.0")
        assert early.status == 503
        assert early.headers["retry-after"] == "5"
        assert "still being loaded" in early.text
        assert client.ask("/slow/PT6H_inst_s0_m0_z2.zarr/.zmetadata").status == 200
        assert client.ask("/catalog.json").json["bottles"][0]["loaded"] is False
        client.loaded()
        with ThreadPoolExecutor(8) as pool:
            begun = pool.submit(client.ask, "/slow/PT6H_inst_s0_m0_z2.zarr/tas/0.0")
            client.until(lambda h: h["bottles"]["slow"]["queue"]["drawing"] == 1)
            waiting = [pool.submit(client.ask, f"/slow/PT6H_inst_s0_m0_z2.zarr/tas/{time}.0") for time in range(1, 5)]
            client.until(lambda h: h["bottles"]["slow"]["queue"]["waiting"] == 4)
            code, out, err = process.stop(signal.SIGTERM)
            assert code == 0, err
            assert begun.result().status == 200
            for one in waiting:
                assert one.result().status == 503
                assert "being stopped" in one.result().text
        assert "Traceback" not in err
        assert out.startswith("  slow: a synthetic bottle\n")
        with pytest.raises(ConnectionError):
            client.ask("/health")


def test_what_takes_too_long_is_given_up_in_the_end(folder):
    endless = synthetic_bottle(folder / "endless.cbottle", sampler=SamplerDefaults(num_steps=10_000, sigma_max=80.0))
    with Process(endless, "--device", "cpu", "--stop-wait", 0.2, "--quiet") as process:
        with ThreadPoolExecutor(1) as pool:
            begun = pool.submit(process.client.ask, "/endless/PT6H_inst_s0_m0_z2.zarr/tas/0.0")
            process.client.until(lambda h: h["bottles"]["endless"]["queue"]["drawing"] == 1)
            code, _, err = process.stop(signal.SIGINT)
            assert begun.result().status == 503
        assert (code, err) == (0, "")


def test_it_can_be_stopped_while_it_loads(bottle):
    with Process(bottle, "--quiet", wait=False) as process:
        assert process.client.health()["status"] == "loading"
        code, _, err = process.stop(signal.SIGTERM)
    assert (code, err) == (0, "")


def test_a_bottle_that_cannot_be_loaded_does_not_stop_the_others(bottle, folder):
    spoiled = folder / "spoiled.cbottle"
    synthetic_bottle(spoiled, seed=9)
    content = bytearray(spoiled.read_bytes())
    content[len(content) // 2] ^= 1
    spoiled.write_bytes(content)
    with serving.running([bottle, spoiled]) as client:
        health = client.ask("/health")
        assert (health.status, health.json["status"]) == (200, "ok")
        assert health.json["bottles"]["spoiled"]["status"] == "failed"
        failed = client.ask(f"/spoiled/{INST}.zarr/tas/0.0")
        assert failed.status == 503
        assert int(failed.headers["retry-after"]) > 30
        assert failed.text.startswith("spoiled cannot be drawn from: ")
        assert client.ask(f"/spoiled/{INST}.zarr/.zmetadata").status == 200
        assert client.ask(f"/quick/{INST}.zarr/tas/0.0").status == 200


def test_a_server_for_a_block_can_be_had_in_a_notebook(bottle):
    with host.serving([str(bottle)], Settings(port=0, quiet=True, data={"device": "cpu"})) as running:
        ds = xr.open_zarr(f"{running.url}/quick/{INST}.zarr", chunks=None, zarr_format=3)
        xr.testing.assert_identical(ds.tas[3].load(), expected(bottle).tas[3].load())
    with pytest.raises(ConnectionError):
        Client(running.url).health()


# --- the command, and settings


@pytest.fixture
def run(capsys):
    def run(*arguments):
        try:
            status = cli.main(["serve", *map(str, arguments)])
        except SystemExit as left:
            status = left.code
        return status, capsys.readouterr().err

    return run


def test_a_port_in_use_is_one_sentence(run, client, bottle):
    port = client.port
    status, err = run(bottle, "--port", port)
    assert (status, err) == (
        2, f"xr-cbottle: port {port} of 127.0.0.1 is in use: give another one, or 0 for any that is free\n"
    )  # fmt: skip
    status, err = run(bottle, "--port", port, "--host", "0.0.0.0")
    assert err.startswith("warning: everybody who reaches 0.0.0.0 can make this machine draw\nxr-cbottle: port ")
    assert run(bottle, "--host", "nowhere.invalid")[1].count("\n") == 2
    assert "cannot listen at port 0 of 192.0.2.1" in run(bottle, "--host", "192.0.2.1", "--port", 0)[1]


@pytest.mark.parametrize(
    ("name", "local"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("127.example.org", False), ("192.168.0.7", False), ("", False)],
)  # fmt: skip
def test_which_hosts_are_local(name, local):
    assert is_local(name) is local


def test_wrong_arguments_are_one_sentence(run, bottle, folder):
    def sentence(*arguments):
        status, err = run(*arguments, "--port", 0)
        assert status == 2
        assert err.count("\n") == 1, err
        return err

    copy = shutil.copy(bottle, folder / "copy.cbottle")
    assert "are both called quick: serve one of them" in sentence(bottle, copy)
    assert "nowhere" in sentence("nowhere")
    assert "max_waiting is 0: it must be a number of at least 1" in sentence(bottle, "--max-waiting", 0)
    assert "num_steps is 1" in sentence(bottle, "--num-steps", 1)
    assert "cache_size is 'much'" in sentence(bottle, "--cache-size", "much")
    for wrong in ({"port": 70000}, {"port": -1}, {"max_cost": 1.5}, {"loading_wait": float("nan")}, {"port": True}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Settings(**wrong)
    with pytest.raises(ValueError, match="there is nothing to serve"):
        app.make_app([])


@pytest.mark.parametrize("module", ["starlette", "uvicorn"])
def test_without_the_extra_the_command_says_what_to_install(bottle, module):
    code = f"import sys; sys.modules[{module!r}] = None; from xr_cbottle.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, "serve", str(bottle)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"xr-cbottle: this needs {module}, which is not installed: pip install 'xr-cbottle[serve]'\n"
    )


def test_sentences_hold_no_more_than_text():
    response = answer.Refused(404, "no \x00 \n <b> \u202e" + "x" * 1000).response()
    assert b"\\x00 \\n <b> \\u202e" in response.body
    assert len(response.body) < 500
