"""Text of a stranger's bottle: nothing in it moves a cursor, turns, hides, or runs."""

from __future__ import annotations

import json
import os
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import bottles
from xr_cbottle.base.plain_text import inert, is_plain, one_line, printable
from xr_cbottle.bottle import facts
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.errors import BottleError, SchemaError
from xr_cbottle.bottle.manifest import Manifest

ACTIVE = {
    "escape": "\x1b[2J", "C1": "\x9b31m", "bell": "\a", "return": "\r", "null": "\0", "turned": "\u202egnp.exe",
    "isolate": "\u2066x", "mark": "\u200fx", "no width": "a\u200bb", "byte order": "\ufeffx", "line": "a\u2028b",
    "paragraph": "a\u2029b", "tag": "\U000e0041", "surrogate": "\ud800", "soft hyphen": "a\u00adb",
}  # fmt: skip
HARMLESS = ["Größe – 10 µm", "気候", "می\u200cخواهم", "क्\u200dष", "🌍", "a\u00a0b", "{one brace}", "<b>&amp;"]
JINJA = [
    "{{ cycler.__init__.__globals__.os.mkdir('%s') }}", "{%% for x in [1] %%}{{ x.__class__ }}{%% endfor %%}",
    "{{{ joiner.__init__.__globals__.os.mkdir('%s') }}}", "{#%s#}", "{{%%", "a{{ b", "shell(mkdir %s)",
    "{%% set x = lipsum.__globals__['os'].mkdir('%s') %%}",
]  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict:
    path = bottles.synthetic_bottle(tmp_path_factory.mktemp("plain") / "plain.cbottle")
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("bottle.json"))


def places(values: dict, text: str) -> dict[str, dict]:
    """The manifest with a text in each place that holds text."""
    found = {}
    for name in ("name", "title", "summary", "licence", "source", "created"):
        found[name] = {**values, name: text}
    found["references"] = {**values, "references": [text]}
    found["channels"] = {**values, "channels": [*values["channels"], text]}
    found["nonnegative"] = {**values, "nonnegative": [text]}
    found["labels"] = {**values, "labels": {**values["labels"], text: {"index": 1000}}}
    found["masked"] = {**values, "labels": {**values["labels"], "c": {"index": 9, "masked": [text], "donor": "a"}}}
    found["key"] = {**values, text: 1}
    found["trained_on"] = {**values, "trained_on": {"note": [text]}}
    found["trained_on key"] = {**values, "trained_on": {"deep": {text: 1}}}
    found["location"] = {**values, "parts": [{**values["parts"][0], "location": text}]}
    found["url"] = {**values, "parts": [{**values["parts"][0], "location": f"https://x.org/{text}"}]}
    found["variable"] = {**values, "sst": {**values["sst"], "variable": text}}
    return found


@pytest.mark.parametrize("kind", ACTIVE)
def test_characters_that_do_something_are_refused_everywhere(plain, kind):
    for place, values in places(plain, ACTIVE[kind]).items():
        with pytest.raises(BottleError) as caught:
            Manifest.from_json(json.dumps(values))
        assert is_plain(str(caught.value)), place
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_is_as_it_was(plain, text):
    for place in ("title", "summary", "licence", "source", "created", "references", "trained_on", "trained_on key"):
        manifest = Manifest.from_json(json.dumps(places(plain, text)[place]))
        assert text in manifest.to_json()
    assert printable(text) == text


def test_lines_end_in_long_texts_only(plain):
    for place, values in places(plain, "one\ntwo\tthree").items():
        if place in ("summary", "licence", "source", "trained_on"):
            assert Manifest.from_json(json.dumps(values)).to_json().count("one\\ntwo") == 1
        else:
            with pytest.raises(BottleError):
                Manifest.from_json(json.dumps(values))


def test_texts_have_an_end(plain):
    for place, values in places(plain, "a" * 20_000).items():
        with pytest.raises(BottleError) as caught:
            Manifest.from_json(json.dumps(values))
        assert len(str(caught.value)) <= 2000, place


@pytest.mark.parametrize(
    "label", ["a b", "a/b", "../a", "a..b", "$(id)", "`id`", "shell(id)", "{{a}}", "a'b", 'a"b', "é"]
)
def test_labels_and_channels_are_a_small_alphabet(plain, label):
    for place in ("labels", "channels"):
        with pytest.raises(SchemaError, match="letters, digits and"):
            Manifest.from_json(json.dumps(places(plain, label)[place]))


def test_urls_have_the_characters_of_urls(plain):
    for text in ("a b", 'a"b', "a<b", "a`b", "a\\b", "{{a}}", "é", "a|b"):
        with pytest.raises(SchemaError, match="relative path without"):
            Manifest.from_json(json.dumps(places(plain, text)["url"]))


def test_the_name_of_a_file_is_a_strangers_too(tmp_path):
    """As of a bottle that was downloaded: its path is in messages and in what `info` prints."""
    path = tmp_path / "x\x1b[31m\u202e.cbottle"
    path.write_text("{")
    with pytest.raises(BottleError) as caught:
        open_bottle(path)
    assert is_plain(str(caught.value))
    whole = bottles.synthetic_bottle(tmp_path / "y\x1b[31m\n\u202e.cbottle", name="y")
    bottle = open_bottle(whole)
    assert is_plain(facts.text(facts.facts(bottle)), "\n")
    assert is_plain(repr(bottle))


@given(st.text())
def test_what_is_printed_does_nothing(text):
    assert is_plain(printable(text), "\n\t")
    assert is_plain(one_line(text))
    assert len(one_line(text, 20)) <= 20


@given(st.text(st.sampled_from("{}%#a '\n-+"), max_size=40))
def test_no_text_is_a_template(text):
    from jinja2 import Environment
    from jinja2.sandbox import SandboxedEnvironment

    for environment in (Environment(keep_trailing_newline=True), SandboxedEnvironment(keep_trailing_newline=True)):
        rendered = environment.from_string(inert(text)).render()
        assert rendered == inert(text)
        assert rendered.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("template", JINJA)
def test_what_a_bottle_says_of_itself_runs_nothing_in_a_catalog(tmp_path, template):
    """Through intake, which expands whatever a catalog holds; a folder tells whether something ran."""
    import intake
    import yaml

    from xr_cbottle.serve.http.settings import Settings
    from xr_cbottle.serve.http.shelf import Shelf

    made = tmp_path / "made"
    text = template.replace("%s", str(made)).replace("%%", "%")
    path = bottles.synthetic_bottle(
        tmp_path / "b.cbottle", title=text, summary=text, licence=text, references=(text,), name="b",
    )  # fmt: skip
    shelf = Shelf([str(path)], Settings())
    for dataset in (None, "P1D_mean_s0_m0_z1"):
        catalog = tmp_path / "catalog.yaml"
        catalog.write_text(yaml.safe_dump(shelf.intake("http://localhost:1", dataset)))
        opened = intake.open_catalog(str(catalog))
        source = opened["b"]
        assert source.metadata["title"].replace(" ", "") == text.replace(" ", "")
        assert source.urlpath.startswith("http://localhost:1/b/P")
        assert source.describe()["description"]
    assert not made.exists()
    assert is_plain("".join(shelf.lines("http://localhost:1")))


def test_what_an_entry_writes_of_itself_runs_nothing_either(tmp_path):
    """`discover` puts the attributes of the data set into the entry that `yaml` writes."""
    import intake

    from xr_cbottle.catalog import CbottleSource

    text = JINJA[0] % (tmp_path / "made")
    path = bottles.synthetic_bottle(tmp_path / "b.cbottle", title=text, summary=text, licence=text)
    source = CbottleSource(str(path))
    source.discover()
    (tmp_path / "own.yaml").write_text(source.yaml())
    opened = intake.open_catalog(str(tmp_path / "own.yaml"))["cbottle"]
    assert opened.metadata["title"] == inert(text)
    assert not (tmp_path / "made").exists()


def test_the_templates_of_these_tests_do_run(tmp_path):
    """Else the test above could not fail."""
    from jinja2 import Environment

    Environment().from_string(JINJA[0] % (tmp_path / "made")).render()
    assert os.path.isdir(tmp_path / "made")
