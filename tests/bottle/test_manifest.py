"""The manifest's schema: what goes in comes out, and what is wrong is named by its path."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xr_cbottle.bottle import manifest as rooms
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.errors import BottleError, SchemaError
from xr_cbottle.bottle.manifest import Manifest, SamplerDefaults, schema_text
from xr_cbottle.bottle.records import (
    BridgeSpec,
    ConditionSpec,
    LabelSpec,
    PartSpec,
    SuperresSpec,
    TimeSpec,
    VideoSpec,
)
from xr_cbottle.bottle.sampler import SOLVERS
from xr_cbottle.grid.time_tree import TimeTree
from xr_cbottle.grid.window_chain import WindowChain

GOOD = {
    "format": "cbottle",
    "version": 1,
    "name": "two",
    "zoom": 3,
    "channels": ["tas", "rlut", "T850"],
    "labels": {"icon": {"index": 0}, "era5": {"index": 1, "masked": ["rlut"], "donor": "icon"}},
    "default_label": "icon",
    "parts": [
        {"role": "coarse", "sigma_min": 10, "location": "a.checkpoint", "sha256": "A" * 64, "size": 5},
        {"role": "coarse", "sigma_min": 0, "location": "https://x.org/b.checkpoint"},
    ],
    "sst": {"location": "sst.nc"},
    "time": {"start": "1980-01-01", "end": "1981-12-31T23:00:00", "step": "PT6H"},
    "sampler": {"num_steps": 18, "sigma_min": 0.02, "sigma_max": 200, "rho": 7},
    "trained_on": {"years": [1980, 1981], "note": None},
}


def spoiled(path: str, value: object) -> str:
    """The text of GOOD with the value at a dotted path replaced, or removed if it is `...`."""
    values = copy.deepcopy(GOOD)
    *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    place = values
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(values)


def test_reads_and_writes_itself():
    manifest = Manifest.from_json(json.dumps(GOOD))
    assert manifest.parts[0].sha256 == "a" * 64
    assert manifest.parts[1].size is None
    assert manifest.sampler == SamplerDefaults(18, 0.02, 200.0, 7.0)
    assert manifest.labels["era5"] == LabelSpec(1, ("rlut",), "icon")
    again = Manifest.from_json(manifest.to_json())
    assert again == manifest
    assert hash(again) == hash(manifest)
    assert again.to_json() == manifest.to_json()
    assert pickle.loads(pickle.dumps(manifest)) == manifest
    assert list(json.loads(manifest.to_json()))[:3] == ["format", "version", "name"]


def test_defaults():
    values = {key: GOOD[key] for key in ("format", "version", "name", "zoom", "channels", "time")}
    manifest = Manifest.from_json(json.dumps({**values, "parts": GOOD["parts"][1:]}))
    assert manifest.labels == {}
    assert manifest.default_label is None
    assert manifest.sst is None
    assert manifest.sampler.num_steps == 18
    assert manifest.licence.startswith("unknown")
    first = Manifest.from_json(spoiled("default_label", None))
    assert first.default_label == "icon"


def test_levels_that_were_chosen():
    sampler = {"num_steps": 3, "solver": "ipndm3", "sigmas": [[80, 4, 0.5], [80, 0.5]]}
    manifest = Manifest.from_json(spoiled("sampler", sampler))
    assert manifest.sampler.sigmas == ((80.0, 4.0, 0.5), (80.0, 0.5))
    assert manifest.sampler.chosen(2) == (80.0, 0.5)
    assert manifest.sampler.chosen(4) == ()
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert "sigmas" not in Manifest.from_json(json.dumps(GOOD)).canonical()  # older bottles keep their digests


def test_settings_that_keywords_ask_for():
    default = SamplerDefaults(3, 0.02, 80.0, solver="ipndm3", sigmas=((80.0, 4.0, 0.5), (70.0, 0.5)))

    def asked(**keywords):
        found = default.asked(keywords)
        return found.num_steps, found.sigma_min, found.sigma_max, found.solver, found.sigmas

    assert asked() == (3, 0.5, 80.0, "ipndm3", ((80.0, 4.0, 0.5),))
    assert asked(num_steps=2) == (2, 0.5, 70.0, "ipndm3", ((70.0, 0.5),))
    assert asked(num_steps=4) == (4, 0.02, 80.0, "ipndm3", ())  # none is offered: rho spaces them
    assert asked(solver="heun") == (3, 0.02, 80.0, "heun", ())  # they were chosen for another
    assert asked(sigma_max=60.0) == (3, 0.02, 60.0, "ipndm3", ())
    assert asked(sigmas=(9.0, 1.0), solver="heun") == (2, 1.0, 9.0, "heun", ((9.0, 1.0),))
    with pytest.raises(ValueError, match="sigmas gives all noise levels: leave sigma_min and sigma_max out"):
        asked(sigmas=(9.0, 1.0), sigma_min=0.1, sigma_max=8.0)
    with pytest.raises(ValueError, match="num_steps is 3 and sigmas has 2 noise levels: leave num_steps out"):
        asked(sigmas=(9.0, 1.0), num_steps=3)


def test_levels_are_offered_for_one_solver_and_each_number_once():
    default = SamplerDefaults(3, 0.02, 80.0, solver="ipndm3", sigmas=((80.0, 4.0, 0.5), (70.0, 0.5)))
    more = default.offering([(80.0, 3.1234567, 0.5)])
    assert more.sigmas == ((80.0, 3.1235, 0.5), (70.0, 0.5))
    assert default.replaced(num_steps=2).sigmas == default.sigmas
    assert default.replaced(solver="heun").sigmas == ()


def test_every_field_is_documented():
    for record in (Manifest, PartSpec, ConditionSpec, LabelSpec, TimeSpec, SamplerDefaults, SuperresSpec):
        for field in dataclasses.fields(record):
            assert f"``{field.name}``" in rooms.__doc__


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("sampler.sigmas", [[80]], "sampler.sigmas[0] must be a list of at least 2, got [80]"),
        ("sampler.sigmas", [80, 2], "sampler.sigmas[0] must be a list of at least 2, got 80"),
        ("sampler.sigmas", [[80, 2, 2]], "sampler.sigmas[0][2] must be less than the one before (2), got 2.0"),
        ("sampler.sigmas", [[80, 0]], "sampler.sigmas[0][1] must be a number > 0, got 0"),
        ("sampler.sigmas", [[80, 2], [9, 1]], "sampler.sigmas[1] must be of a length that no earlier list has"),
        ("sampler.sigmas", [[2, 1]] * 65, "sampler.sigmas must be a list of at most 64"),
        ("labels.icon.index", "x", "bottle.json: labels.icon.index must be an int from 0 to 65535, got 'x'"),
        ("labels.icon.index", True, "labels.icon.index must be an int from 0 to 65535, got True"),
        ("labels.icon.index", 1, "labels.era5.index must be different from that of icon"),
        ("labels.era5.masked", ["tsa"], "labels.era5.masked[0] must be one of channels, got 'tsa'"),
        ("labels.era5.donor", "era5", "labels.era5.donor must be another label (icon)"),
        ("labels.era5.donor", "nobody", "labels.era5.donor must be another label"),
        ("labels.era5.donor", None, "labels.era5.donor must be a label that has the masked channels"),
        ("labels", [], "labels must be an object, got []"),
        ("default_label", "jcm", "default_label must be one of the labels (icon, era5), got 'jcm'"),
        ("name", "a/b", "name must be a name of letters, digits and ._-, got 'a/b'"),
        ("name", ..., "name must be given"),
        ("zoom", 13, "zoom must be an int from 0 to 12, got 13"),
        ("zoom", 3.0, "zoom must be an int from 0 to 12, got 3.0"),
        ("channels", [], "channels must be a list of at least 1, got []"),
        ("channels", "tas", "channels must be a list of at least 1, got 'tas'"),
        ("channels", ["tas", "rlut", "tas"], "channels must be a list of different names"),
        ("channels.1", 7, "channels[1] must be a channel's name of letters, digits and _, at most 64, got 7"),
        ("parts", [], "parts must be a list of at least 1"),
        ("parts.0.role", "Coarse", "parts[0].role must be one of coarse, bridge, video, superres, "),
        ("parts.0.sigma_min", -1, "parts[0].sigma_min must be a number >= 0, got -1"),
        ("parts.0.sigma_min", 0, "parts[1].sigma_min must be less than the one before (0.0)"),
        ("parts.1.sigma_min", 1, "parts[1].sigma_min must be 0, as this part is the last, got 1.0"),
        ("parts.0.sha256", "12", "parts[0].sha256 must be 64 hexadecimal digits, got '12'"),
        ("parts.0.size", 0, "parts[0].size must be an int >= 1, got 0"),
        ("parts.0.location", "../a", "parts[0].location must be a relative path without '..'"),
        ("parts.0.location", "/etc/passwd", "parts[0].location must be a relative path"),
        ("parts.0.location", "a\\..\\b", "parts[0].location must be a relative path"),
        ("parts.0.location", "file:///etc/passwd", "parts[0].location must be a relative path"),
        ("parts.0.location", "simplecache::http://x/y", "parts[0].location must be a relative path"),
        ("parts.0.location", "C:/x", "parts[0].location must be a relative path"),
        ("parts.0", 3, "parts[0] must be an object, got 3"),
        ("sst.location", None, "sst.location must be a relative path"),
        ("sst.variable", "", "sst.variable must be text that is not empty"),
        ("time.start", "1980-13-01", "time.start must be a time that exists, got '1980-13-01'"),
        ("time.start", "1.1.1980", "time.start must be an ISO-8601 time in UTC"),
        ("time.end", "1979-01-01", "time.end must be no earlier than start (1980-01-01)"),
        ("time.step", "1h", "time.step must be an ISO-8601 duration such as PT1H or P1D, got '1h'"),
        ("time.step", "P", "time.step must be an ISO-8601 duration"),
        ("time.step", "P1DT", "time.step must be an ISO-8601 duration"),
        ("time.step", "PT0H", "time.step must be longer than nothing"),
        ("sampler.num_steps", 1, "sampler.num_steps must be an int from 2 to 10000, got 1"),
        ("sampler.sigma_max", 0.01, "sampler.sigma_max must be a number > sigma_min (0.02), got 0.01"),
        ("sampler.rho", 0, "sampler.rho must be a number > 0, got 0"),
        ("sampler.solver", "euler", "sampler.solver must be one of heun, dpmpp_2m, ipndm3, got 'euler'"),
        ("trained_on", 5, "trained_on must be an object, got 5"),
        ("chanels", ["tas"], "chanels must be absent or spelled otherwise (known: name, zoom"),
        ("version", 2, "version 2 is newer than this xr_cbottle reads (version 1); update xr_cbottle"),
        ("version", "1", "version must be the int 1, got '1'"),
        ("version", True, "version must be the int 1, got True"),
        ("format", "zip", 'format must be "cbottle"'),
        ("licence", 5, "licence must be text"),
        ("references", "https://x", "references must be a list"),
    ],
)
def test_wrong_values_are_named(path, value, says):
    with pytest.raises(BottleError) as caught:
        Manifest.from_json(spoiled(path, value))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "must be a JSON object, got [1]"),
        ("[" * 100_000, "nested too deeply; at most 32 levels are read"),
        ('{"format": "cbottle", "format": "cbottle"}', "the key 'format' occurs twice"),
        (json.dumps({**GOOD, "zoom": float("nan")}), "NaN is not a JSON number"),
        (b"\xff\xfe\x00", "not JSON"),
        (" " * (5 << 20), "too long"),
    ],
)
def test_what_is_no_manifest(text, says):
    with pytest.raises(BottleError, match=r"bottle.json") as caught:
        Manifest.from_json(text)
    assert says in str(caught.value)


def test_made_in_python_it_is_checked_too():
    with pytest.raises(SchemaError, match="num_steps must be an int from 2 to 10000"):
        SamplerDefaults(num_steps=0)
    with pytest.raises(SchemaError, match=r"trained_on must|trained_on.when must be a JSON value"):
        dataclasses.replace(Manifest.from_json(json.dumps(GOOD)), trained_on={"when": object()})


words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=12).filter(
    str.strip
)
names = st.from_regex(r"[A-Za-z0-9_]{1,8}", fullmatch=True)
label_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,9}", fullmatch=True)
numbers = st.floats(1e-6, 1e6)
digests = st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
locations = names | st.builds("{}/{}.nc".format, names, names) | st.builds("https://x.org/{}?a=b".format, names)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def manifests(draw):
    channels = tuple(draw(st.lists(names, min_size=1, max_size=5, unique=True)))
    known = draw(st.lists(label_names, max_size=3, unique=True))
    labels = {name: LabelSpec(i) for i, name in enumerate(known)}
    if len(known) > 1:
        labels[known[1]] = LabelSpec(1, channels[:1], known[0])
    levels = [*sorted(draw(st.sets(numbers, max_size=2)), reverse=True), 0.0]
    low, high = sorted(draw(st.sets(numbers, min_size=2, max_size=2)))
    return Manifest(
        name=draw(names.filter(lambda name: name[0] != "_")),
        title=draw(st.just("") | words),
        summary=draw(st.just("") | words),
        licence=draw(words),
        references=tuple(draw(st.lists(words, max_size=2))),
        zoom=draw(st.integers(0, 9)),
        channels=channels,
        labels=labels,
        parts=tuple(PartSpec("coarse", low, draw(locations), draw(digests)) for low in levels),
        sst=draw(st.none() | st.builds(ConditionSpec, locations, digests, st.none() | st.integers(1, 9))),
        time=TimeSpec(
            "1940-01-01",
            draw(st.datetimes(min_value=None).map(_late)),
            draw(st.sampled_from(["PT1H", "P1D"])),
        ),
        sampler=SamplerDefaults(
            draw(st.integers(2, 99)), low, high, draw(st.floats(0.1, 100)), draw(st.sampled_from(sorted(SOLVERS)))
        ),
        trained_on=draw(st.dictionaries(words, values, max_size=3)),
    )


def _late(moment) -> str:
    return moment.replace(year=2000 + moment.year % 100, day=1, microsecond=0).isoformat()


FINE = {
    "role": "superres", "sigma_min": 0, "location": "c.checkpoint",
    "superres": {"zoom": 5, "channels": ["tas"], "patch": 16, "overlap": 8, "sampler": {"num_steps": 4}},
}  # fmt: skip
FEW = {
    "role": "superres-distilled", "sigma_min": 0, "location": "d.checkpoint",
    "superres": {"zoom": 5, "channels": ["tas"], "patch": 16, "overlap": 8, "sigmas": [800, 15], "window": 1},
}  # fmt: skip


def finer(*parts: dict) -> str:
    return json.dumps({**GOOD, "parts": [*GOOD["parts"], *parts]})


def changed(part: dict, **values: object) -> dict:
    """With other values; those of `...` are removed, and others than the part's own are its super-resolution's."""
    own = {key: values.pop(key) for key in list(values) if key in part and key != "superres"}
    inner = {**part["superres"], **values}
    return {**part, **own, "superres": {key: value for key, value in inner.items() if value is not ...}}


def test_super_resolution():
    manifest = Manifest.from_json(finer(FINE, FEW))
    assert [part.role for part in manifest.coarse] == ["coarse", "coarse"]
    assert manifest.superres[0].superres.sampler == SamplerDefaults(4)
    assert manifest.superres[1].superres.sigmas == (800.0, 15.0)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert len(manifest.files) == 5
    assert not {"detail", "conserve"} & set(manifest.superres[0].superres.plain())
    assert "solver" not in manifest.sampler.plain()  # a later key, by which older bottles keep their digests
    with pytest.raises(BottleError, match=r"sampler\.solver must be heun, got 'dpmpp_2m'"):
        Manifest.from_json(finer(changed(FINE, sampler={"num_steps": 4, "solver": "dpmpp_2m"})))
    given = Manifest.from_json(finer(changed(FINE, detail=[2], conserve=True)))
    assert Manifest.from_json(given.to_json()) == given
    assert (given.superres[0].superres.detail, given.superres[0].superres.conserve) == ((2.0,), True)
    assert "superres" not in Manifest.from_json(json.dumps(GOOD)).canonical()  # older bottles keep their digests


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([{**FINE, "superres": None}], "parts[2].superres must be given, as the role is superres, got None"),
        ([{**FINE, "role": "coarse"}], "parts[2].superres must be absent, as the role is coarse"),
        ([changed(FINE, detail=[1, 2])], "parts[2].superres.detail must be absent or 1 numbers, one a channel"),
        ([changed(FINE, detail=[0])], "parts[2].superres.detail[0] must be a number > 0, got 0"),
        ([changed(FINE, conserve=1)], "parts[2].superres.conserve must be true or false, got 1"),
        ([changed(FINE, sigma_min=1)], "parts[2].sigma_min must be 0, as the role is superres, got 1.0"),
        ([changed(FINE, sampler=...)], "parts[2].superres.sampler must be given, as the role is superres"),
        ([changed(FINE, sigmas=[1])], "parts[2].superres.sigmas must be absent, as the role is superres, got [1.0]"),
        ([changed(FEW, sigmas=...)], "parts[2].superres.sigmas must be given, as the role is superres-distilled"),
        ([changed(FEW, sampler={})], "parts[2].superres.sampler must be absent, as the role is superres-distilled"),
        ([changed(FEW, sigmas=[15, 800])], "parts[2].superres.sigmas[1] must be less than the one before (15)"),
        ([changed(FINE, sampler={"sigmas": [[2, 1]]})], "parts[2].superres.sampler.sigmas must be absent in"),
        ([changed(FINE, zoom=3)], "parts[2].superres.zoom must be above that of the bottle (3), got 3"),
        ([changed(FINE, channels=["pr"])], "parts[2].superres.channels[0] must be one of channels, got 'pr'"),
        ([changed(FINE, channels=["tas", "tas"])], "parts[2].superres.channels must be a list of different names"),
        ([changed(FINE, overlap=7)], "parts[2].superres.overlap must be such that patches of 16 cells tile a face"),
        ([changed(FINE, window=0)], "parts[2].superres.window must be a number > 0"),
        ([changed(FINE, size=1)], "parts[2].superres.size must be absent or spelled otherwise"),
        ([FINE, FINE], "parts[3].role must be one that no earlier part has, unless coarse, got 'superres'"),
        ([FINE, changed(FEW, zoom=6)], "parts[3].superres must be of the zoom and channels of parts[2]"),
        ([FINE, GOOD["parts"][1]], "parts[2].role must be such that coarse parts come first, got 'superres'"),
    ],
)  # fmt: skip
def test_wrong_super_resolution(parts, says):
    with pytest.raises(SchemaError) as caught:
        Manifest.from_json(finer(*parts))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


ENDS = {"step": "PT6H", "interval": "P8D", "labels": ["era5"]}
BETWEEN = {"role": "bridge", "sigma_min": 0, "location": "e.checkpoint", "bridge": ENDS}


def test_a_bridge():
    assert "bridge" not in Manifest.from_json(finer(FINE)).canonical()  # older bottles keep their digests
    manifest = Manifest.from_json(finer(FINE, {**BETWEEN, "sigma_min": 2, "location": "f.checkpoint"}, FEW, BETWEEN))
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert [part.sigma_min for part in manifest.bridges] == [2, 0]
    assert manifest.bridge == BridgeSpec("PT6H", "P8D", ("era5",))
    assert [part.role for part in manifest.superres] == ["superres", "superres-distilled"]
    assert manifest.bridge.tree() == TimeTree(6 * 3600, 5)
    assert Manifest.from_json(json.dumps(GOOD)).bridge is None


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([{**BETWEEN, "bridge": None}], "parts[2].bridge must be given, as the role is bridge, got None"),
        ([{**FINE, "bridge": ENDS}], "parts[2].bridge must be absent, as the role is superres"),
        ([{**BETWEEN, "superres": FINE["superres"]}], "parts[2].superres must be absent, as the role is bridge"),
        ([{**BETWEEN, "sigma_min": 1}], "parts[2].sigma_min must be 0, as this part is the last of role bridge, got"),
        ([BETWEEN, BETWEEN], "parts[3].sigma_min must be less than the one before (0.0), got 0.0"),
        (
            [{**BETWEEN, "sigma_min": 1}, {**BETWEEN, "bridge": {**ENDS, "step": "PT12H"}}],
            "parts[3].bridge must be that of parts[2], got",
        ),
        ([{**BETWEEN, "bridge": {**ENDS, "interval": "P5D"}}], "parts[2].bridge.interval must be step (PT6H)"),
        ([{**BETWEEN, "bridge": {**ENDS, "interval": "PT3H"}}], "times 2, 4, 8, ..., at most 2 to the"),
        ([{**BETWEEN, "bridge": {**ENDS, "interval": "PT6H"}}], "parts[2].bridge.interval must be step"),
        ([{**BETWEEN, "bridge": {**ENDS, "step": "6h"}}], "parts[2].bridge.step must be"),
        ([{**BETWEEN, "bridge": {**ENDS, "labels": ["z"]}}], "parts[2].bridge.labels[0] must be one of labels"),
        ([{**BETWEEN, "bridge": {**ENDS, "labels": []}}], "parts[2].bridge.labels must be one or more of"),
    ],
)  # fmt: skip
def test_wrong_bridges(parts, says):
    with pytest.raises(SchemaError) as caught:
        Manifest.from_json(finer(*parts))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


FILM = {"frames": 12, "step": "PT6H", "windows": 4, "labels": ["era5"]}
MOVING = {"role": "video", "sigma_min": 0, "location": "g.checkpoint", "video": FILM}


def test_a_video():
    assert "video" not in Manifest.from_json(finer(FINE)).canonical()  # older bottles keep their digests
    manifest = Manifest.from_json(finer(BETWEEN, {**MOVING, "sigma_min": 2, "location": "h.checkpoint"}, MOVING, FINE))
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert [part.sigma_min for part in manifest.videos] == [2, 0]
    assert manifest.video == VideoSpec(12, "PT6H", 4, ("era5",))
    assert manifest.video.chain(7) == WindowChain(6 * 3600, 12, 4, 7)
    assert manifest.bridge == BridgeSpec("PT6H", "P8D", ("era5",))
    assert Manifest.from_json(json.dumps(GOOD)).video is None


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([{**MOVING, "video": None}], "parts[2].video must be given, as the role is video, got None"),
        ([{**FINE, "video": FILM}], "parts[2].video must be absent, as the role is superres"),
        ([{**BETWEEN, "video": FILM}], "parts[2].video must be absent, as the role is bridge"),
        ([{**MOVING, "bridge": ENDS}], "parts[2].bridge must be absent, as the role is video"),
        ([{**MOVING, "superres": FINE["superres"]}], "parts[2].superres must be absent, as the role is video"),
        ([{**MOVING, "sigma_min": 1}], "parts[2].sigma_min must be 0, as this part is the last of role video, got"),
        (
            [{**MOVING, "sigma_min": 1}, {**MOVING, "video": {**FILM, "windows": 5}}],
            "parts[3].video must be that of parts[2], got",
        ),
        ([{**MOVING, "video": {**FILM, "frames": 2}}], "parts[2].video.frames must be an int from 3 to 1000, got 2"),
        ([{**MOVING, "video": {**FILM, "windows": 0}}], "parts[2].video.windows must be an int from 1 to 64, got 0"),
        ([{**MOVING, "video": {**FILM, "step": "6h"}}], "parts[2].video.step must be an ISO-8601 duration"),
        ([{**MOVING, "video": {**FILM, "labels": ["z"]}}], "parts[2].video.labels[0] must be one of labels"),
        ([{**MOVING, "video": {**FILM, "labels": []}}], "parts[2].video.labels must be one or more of"),
        ([{**MOVING, "video": {**FILM, "sampler": {"num_steps": 1}}}], "parts[2].video.sampler.num_steps must be"),
    ],
)  # fmt: skip
def test_wrong_videos(parts, says):
    with pytest.raises(SchemaError) as caught:
        Manifest.from_json(finer(*parts))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_windows_that_take_too_much_memory_are_refused():
    large = {**GOOD, "zoom": 9, "parts": [*GOOD["parts"], {**MOVING, "video": {**FILM, "frames": 200}}]}
    with pytest.raises(SchemaError, match=r"^bottle.json: parts\[2\].video.windows must be such that frames of all "):
        Manifest.from_json(json.dumps(large))


def test_super_resolution_alone():
    with pytest.raises(SchemaError, match="parts must be such that there is one of role coarse"):
        Manifest.from_json(json.dumps({**GOOD, "parts": [FINE]}))


@settings(max_examples=60, deadline=None)
@given(manifests())
def test_round_trip(manifest):
    again = Manifest.from_json(manifest.to_json().encode())
    assert again == manifest
    assert again.canonical() == manifest.canonical()
    assert Manifest.from_json(manifest.canonical()) == manifest


def test_the_published_model():
    manifest = open_bottle("icon").manifest
    assert manifest.zoom == 6
    assert len(manifest.channels) == 45
    assert manifest.channels[:3] == ("U1000", "U850", "U700")
    assert manifest.channels[-1] == "sic"
    assert [(spec.sigma_min, spec.location[-20:-11]) for spec in manifest.coarse] == [
        (100.0, "000512000"), (10.0, "002048000"), (0.0, "009856000"),
    ]  # fmt: skip
    assert [(spec.role, spec.location.rpartition("/")[2]) for spec in manifest.superres] == [
        ("superres", "cBottle-SR.zip"), ("superres-distilled", "cBottle-SR-Distill.zip"),
    ]  # fmt: skip
    for spec in manifest.superres:
        assert (spec.superres.zoom, spec.superres.patch, spec.superres.overlap) == (10, 128, 32)
        assert spec.superres.channels == (
            "cllvi", "clivi", "tas", "uas", "vas", "rlut", "rsut", "pres_msl", "pr", "rsds", "sst", "sic"
        )  # fmt: skip
    assert manifest.superres[1].superres.sigmas == (800.0, 15.0)
    assert [spec.location.rpartition("/")[2] for spec in manifest.videos] == ["cBottle-video.zip"]
    film = SamplerDefaults(18, 0.02, 1000.0, 7.0)
    assert manifest.video == VideoSpec(12, "PT6H", 4, ("icon", "era5"), film)
    assert manifest.labels["icon"].index == 0
    assert manifest.labels["era5"] == LabelSpec(1, ("rlut", "rsut", "rsds"), "icon")
    assert "research and development" in manifest.licence
    assert manifest.sst.variable == "tosbcs"
    assert manifest.sst.location.endswith("/amip_midmonth_sst.nc")
    assert (manifest.time.start, manifest.time.end, manifest.time.step) == (
        "1940-01-01T00:00:00", "2022-12-31T23:00:00", "PT1H",
    )  # fmt: skip
    assert manifest.sampler == SamplerDefaults(18, 0.02, 200.0, 7.0)


class TestJsonSchema:
    """`docs/bottle.schema.json`, for those who make manifests in other languages."""

    def test_the_file_is_that_of_the_code(self):
        """``python -c "from xr_cbottle.bottle.manifest import schema_text; print(schema_text(), end='')"`` makes it."""
        assert (Path(__file__).parents[2] / "docs" / "bottle.schema.json").read_text() == schema_text()

    def test_bundled_manifests_hold_to_it_and_wrong_ones_do_not(self):
        jsonschema = pytest.importorskip("jsonschema")
        schema = Manifest.json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        check = jsonschema.Draft202012Validator(schema)
        for name in ("gcm", "icon"):
            plain = json.loads(open_bottle(name).manifest.to_json())
            assert list(check.iter_errors(plain)) == []
            for key, wrong in {
                "zoom": 13, "channels": [], "name": "../x", "time": {"start": "1980", "end": "1981-01-01"},
                "parts": [], "labels": {"a b": {"index": 0}}, "sampler": {"solver": "euler"}, "version": 2, "colour": 1,
            }.items():  # fmt: skip
                assert list(check.iter_errors({**plain, key: wrong})), key
                with pytest.raises(BottleError):
                    Manifest.from_json(json.dumps({**plain, key: wrong}))
