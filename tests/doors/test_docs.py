"""The documentation: every block of code of every page is run, or says why not."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import tomllib
import warnings

import pytest
import yaml

from tests import bottles, pages, serving
from xr_cbottle import cli
from xr_cbottle.bottle import location

PAGES = {page.relative_to(pages.ROOT).as_posix(): page for page in pages.PAGES}
pytestmark = [
    pytest.mark.skipif(not pages.PAGES[0].is_file(), reason="only in a checkout"),
    pytest.mark.skipif("gcm" not in location.bundled(), reason="the bottle gcm is not here"),
]


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    """What pages say of values is not looked at here, but in `test_notebooks` and `test_analyses`."""
    return bottles.light_gcm(tmp_path_factory.mktemp("docs"))


@pytest.fixture
def reader(bottle, tmp_path, monkeypatch):
    """Somebody in an empty folder, whose `gcm` has small networks."""
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setenv("XR_CBOTTLE_PATH", str(bottle.parent))
    monkeypatch.chdir(tmp_path)

    @contextlib.contextmanager
    def serve(names):
        with serving.running(names) as client:
            yield client.url

    yield pages.Reader(tmp_path, lambda words: cli.main(words), serve)
    plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if pages.blocks(page)])
def test_every_block_runs(name, reader):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Shell command not executed")  # intake says so of text parameters
        # Networks that know nothing draw no weather, and `translate` says that such data are strange.
        warnings.filterwarnings("ignore", message="the data of .* are strange")
        try:
            reader.read(PAGES[name])
        except ConnectionError as nobody:
            pytest.skip(f"the package registry cannot be reached: {nobody}")


@pytest.mark.parametrize("name", PAGES)
def test_every_block_has_a_language_that_is_known(name):
    text = PAGES[name].read_text()
    assert len(re.findall(r"^```", text, re.M)) == 2 * len(pages.blocks(PAGES[name]))
    for block in pages.blocks(PAGES[name]):
        sphinx = re.fullmatch(r"\{[a-z-]+\}", block.language)  # tests/doors/test_site.py
        assert sphinx or block.language in (*pages.RUN, *pages.OTHERS), block.language


def test_extras_that_pages_install_are_there():
    extras = set(tomllib.loads((pages.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    installed = {
        extra
        for page in pages.PAGES
        for block in pages.blocks(page)
        for words in (pages.commands(block.text) if block.language == "sh" else ())
        if "pip" in words
        for found in re.findall(r"^\.\[(.*)\]$", "\n".join(words), re.M)
        for extra in found.split(",")
    }
    assert {"catalog", "plot", "serve", "train"} <= installed <= extras


def test_what_is_not_run_is_little_and_would_be_understood():
    kept = {name: [b for b in pages.blocks(page) if b.reason] for name, page in PAGES.items()}
    assert sum(map(len, kept.values())) <= 8
    for block in (block for found in kept.values() for block in found):
        assert block.language in ("sh", "python", "yaml")
        if block.language == "python":
            compile(block.text, "page", "exec")
            continue
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)
            continue
        for words in pages.commands(block.text):
            if words[0] not in ("sbatch", "pip"):
                understood(words)


def understood(words):
    """Whether the command line takes a command."""
    from xr_cbottle.evaluation import evaluate_command

    assert words[0] == "xr-cbottle", shlex.join(words)
    if words[1] == "evaluate":
        evaluate_command.parser().parse_args(words[2:])
    else:
        cli.parser().parse_args(words[1:])


class TestReader:
    """Faults of a page are seen."""

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("```python\nassert 1 == 2, 'no sum'\n```\n", "no sum"),
            ("```sh\nxr-cbottle info nowhere\n```\n", "ended with 2"),
            ("```sh\nfalse\n```\n", "non-zero exit status"),
            ("```python\nx = 1\n```\nand\n```python\nassert x == 2, 'a scope'\n```\n", "a scope"),
        ],
    )
    def test_a_fault_is_seen(self, text, says, reader, tmp_path):
        page = tmp_path / "page.md"
        page.write_text(text)
        with pytest.raises((AssertionError, subprocess.CalledProcessError), match=says):
            reader.read(page)

    def test_files_and_reasons(self, reader, tmp_path):
        page = tmp_path / "page.md"
        page.write_text(
            "`a/b.yaml` is this:\n\n```yaml\nhere: $PWD\n```\n\n<!-- not run: it would fail -->\n```sh\nfalse\n```\n"
            "```sh\ntest -f a/b.yaml && test -d a\n```\n"
        )
        assert [block.reason for block in pages.blocks(page)] == [None, "it would fail", None]
        reader.read(page)
        assert (tmp_path / "a" / "b.yaml").read_text() == f"here: {tmp_path}\n"
