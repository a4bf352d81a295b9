"""The site of the documentation: it is built without a warning, a dead link or anything from elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="pip install '.[docs]'")
pytest.importorskip("myst_nb", reason="pip install '.[docs]'")
ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif(not (ROOT / "docs" / "conf.py").is_file(), reason="only in a checkout"),
    pytest.mark.slow,
]


def build(out: Path, source: Path = ROOT, brief: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-c", str(ROOT / "docs")]
    command += ["-t", "brief"] if brief else []
    # A proxy that is none: whoever asks the network fails.
    nobody = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    environment = {**os.environ, **nobody}
    return subprocess.run([*command, str(source), str(out)], capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory, request):
    """The site, without the code of the modules; ``--long`` builds all of it."""
    out = tmp_path_factory.mktemp("site")
    done = build(out, brief=not request.config.getoption("--long"))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return out


class Parts(HTMLParser):
    """What a page loads, where it links to, and what can be linked to in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded, self.linked, self.names = [], [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.names |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.linked.append(given["href"])
        elif tag in ("img", "script", "iframe", "link", "source", "video"):
            self.loaded += [given[key] for key in ("src", "href") if given.get(key)]


def test_every_page_loads_only_what_is_beside_it_and_links_somewhere(site):
    pages = {page: Parts(page) for page in site.rglob("*.html")}
    assert len(pages) > 40
    for page, parts in pages.items():
        for link in parts.loaded:
            path = link.partition("?")[0].partition("#")[0]
            assert re.match(r"data:", link) or (page.parent / path).exists(), f"{page}: {link}"
        for link in parts.linked:
            path, _, part = link.partition("#")
            if re.match(r"(https?|mailto):", link):
                continue
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page}: {link}"
            if part and target in pages and "_modules" not in page.parts:
                assert part in pages[target].names, f"{page}: {link}"


def test_the_style_loads_nothing_from_elsewhere(site):
    for sheet in (site / "_static").rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?https?:|@import", sheet.read_text(encoding="utf-8")), sheet


def test_it_has_every_page_notebook_and_public_name(site):
    import xr_cbottle
    from xr_cbottle import diagnostics

    for page in (ROOT / "docs").glob("*.md"):
        assert (site / "docs" / f"{page.stem}.html").is_file(), page
    for notebook in (ROOT / "examples" / "notebooks").glob("*.ipynb"):
        text = (site / "examples" / "notebooks" / f"{notebook.stem}.html").read_text()
        assert "<img" in text
        assert "matplotlib" in text
    api = Parts(site / "docs" / "api.html").names
    public = [f"xr_cbottle.{name}" for name in xr_cbottle.__all__ if name != "__version__"]
    public += [f"xr_cbottle.diagnostics.{name}" for name in diagnostics.__all__ if name != "SEASONS"]
    assert {name for name in public if name not in api and f"module-{name}" not in api} == set()
    commands = (site / "docs" / "command-line.html").read_text()
    assert "--ensemble-mean" in commands
    assert (site / "index.html").is_file()
    assert "downscale" in json.dumps((site / "searchindex.js").read_text())


def test_a_dead_link_is_seen(tmp_path):
    """And so would be anything else that a page gets wrong."""
    source = tmp_path / "source"
    (source / "docs" / "site").mkdir(parents=True)
    (source / "docs" / "index.md").write_text("# Page\n\n[there](gone.md)\n")
    done = build(tmp_path / "out", source)
    assert done.returncode != 0
    assert "gone.md" in done.stderr
