"""The browser of the tests of the page."""

from __future__ import annotations

import shutil

import pytest

from tests import serving
from tests.bottles import synthetic_bottle
from tests.browsing import ARGUMENTS
from xr_cbottle.bottle.manifest import SamplerDefaults


@pytest.fixture(scope="module")
def chromium():
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if path is None:
        pytest.skip("there is no chromium to test the page with")
    return path


@pytest.fixture(scope="module")
def start():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(start, chromium):
    browser = start.chromium.launch(executable_path=chromium, args=ARGUMENTS)
    blank = browser.new_page()
    if not blank.evaluate("() => !!document.createElement('canvas').getContext('webgl2')"):
        pytest.skip("this chromium has no WebGL 2 to test the globe with")
    blank.close()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def bottle(folder):
    """Two labels, an ocean with land in it, and a name and a summary that try to be more than text."""
    return synthetic_bottle(
        folder / "quick.cbottle", sampler=SamplerDefaults(num_steps=2, sigma_max=80.0),
        title="<img src=x onerror=alert(1)>", summary="</p><script>alert(2)</script> & more",
        references=("https://example.org/a?b=c&d", "javascript:alert(3)"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def server(bottle):
    with serving.running([bottle], cache_size=20_000_001) as client:
        yield client


@pytest.fixture(scope="module")
def gcm():
    with serving.running(["gcm"], num_steps=2, cache_size=20_000_002) as client:
        yield client
