"""The page of the server in a real browser: what is seen is what the data set has."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import xarray as xr

from tests import serving
from tests.browsing import ARGUMENTS, PHONE, START, Tab, assert_colours, field
from xr_cbottle import plot

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the page is tested with playwright, which is not installed"
)

WEB = Path(plot.__file__).parent / "serve" / "web"
# A browser that draws without a GPU, beside other tests, is now and then late: what fails thrice is wrong.
pytestmark = pytest.mark.flaky(reruns=2)
PLACES = [
    (0.3, 0.2),
    (13.4, 52.5),
    (-58.4, -34.6),
    (151.2, -33.9),
    (-149.9, 61.2),
    (77.2, 28.6),
    (-0.1, 89.3),
    (120.0, -88.8),
]


@pytest.fixture(scope="module")
def tab(browser, server):
    """One page for tests that leave it usable."""
    with Tab(browser, server.url) as tab:
        yield tab


@pytest.fixture
def fresh(tab):
    """The page as it began, without loading it again."""
    x, y = tab.globe("screen(10, 10)") or (300, 300)
    tab.page.mouse.move(x, y)
    tab.page.mouse.move(5, 5)
    tab.page.evaluate(
        """async (start) => {
      globe.pause();
      document.activeElement.blur();
      location.hash = "";
      location.hash = start;
      await new Promise((done) => setTimeout(done, 50));
    }""",
        START,
    )
    tab.settled()
    tab.complaints.clear()
    tab.requests.clear()
    return tab


def test_the_page_is_quiet_and_asks_nobody_else(browser, server):
    with Tab(browser, server.url) as tab:
        assert tab.globe("error") is None
        assert tab.text("#title").casefold() == "near-surface air temperature"
        assert tab.text("#subtitle") == "1980-07-01 06:00 UTC · quick · label a · member 0 · seed 0"
        assert "independent draw" in tab.text("#note")
        tab.page.mouse.move(400, 350)
        tab.picture()
        assert tab.complaints == []
        assert {urlsplit(url).netloc for url in tab.requests if not url.startswith("data:")} == {
            urlsplit(server.url).netloc
        }
        chunks = [url for url in tab.requests if "/tas/c/" in url]
        assert len(chunks) == 1
        assert re.search(r"/quick@[0-9a-f]{12}/PT6H_inst_s0_m0_z2\.zarr/tas/c/", chunks[0])  # kept for good by browsers
        answer = server.ask(urlsplit(chunks[0]).path)
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("zoom", [0, 1, 2, 5, 10, 13])
def test_cells_are_healpys(tab, zoom):
    import healpy

    rng = np.random.default_rng(zoom)
    lon = rng.uniform(-400, 400, 4000)
    lat = np.concatenate([np.rad2deg(np.arcsin(rng.uniform(-1, 1, 3000))), rng.uniform(-90, 90, 998), [90, -90]])
    want = healpy.ang2pix(2**zoom, lon % 360, lat, nest=True, lonlat=True)
    got = tab.page.evaluate("([zoom, places]) => places.map(([x, y]) => globe.cellAt(x, y, zoom))",
                            [zoom, np.stack([lon, lat], 1).tolist()])  # fmt: skip
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("projection", "at"), [
    ("globe", (10, 20, 1)), ("globe", (-120, -70, 1.3)), ("mollweide", (30, 0, 1)), ("equirectangular", (180, 10, 2)),
])  # fmt: skip
def test_the_picture_has_the_colours_of_the_values(tab, bottle, projection, at):
    """The cells that the graphics card looks up are those of healpy."""
    import healpy

    lon, lat, scale = at
    tab.update(projection=projection, lon=lon, lat=lat, scale=scale, variable="tas", zoom=2, compare=None)
    values = field(bottle)
    assert_colours(tab.globe("pixels(9)"), values, tab.globe("limits"), "RdYlBu_r")
    for lon, lat in PLACES:
        cell = int(healpy.ang2pix(4, lon, lat, nest=True, lonlat=True))
        assert tab.at(lon, lat) == (cell, [values[cell]])


def test_the_cell_under_the_pointer_is_told(fresh, bottle):
    import healpy

    values = field(bottle)
    for lon, lat in [(13.4, 52.5), (20.2, -12.3)]:
        fresh.page.mouse.move(*fresh.globe("screen(a[0], a[1])", lon, lat))
        cell = int(healpy.ang2pix(4, lon, lat, nest=True, lonlat=True))
        told = fresh.text("#probe")
        assert f"cell {cell}" in told
        assert f"{values[cell]:.1f}".replace("-", "−") + " K" in told
    fresh.page.mouse.move(5, 5)
    assert fresh.text("#probe") == ""
    fresh.page.locator("#canvas").focus()
    fresh.page.keyboard.press("ArrowLeft")
    assert "cell" in fresh.text("#probe")  # for those who do not point


def test_the_picture_follows_what_is_chosen(fresh):
    page, seen = fresh.page, [fresh.picture()]

    def changed(**change):
        fresh.settled()
        for name, value in change.items():
            assert fresh.globe("view")[name] == value
        seen.append(fresh.picture())
        assert len(set(seen)) == len(seen), change

    page.locator("#variable").select_option("ta")
    changed(variable="ta", pressure=85000)
    page.locator("#pressure").select_option("50000")
    changed(pressure=50000)
    page.locator("#member").fill("3")
    page.keyboard.press("Enter")
    changed(member=3)
    page.locator("#seed").fill("7")
    page.keyboard.press("Tab")
    changed(seed=7)
    page.locator("#zoom").select_option("1")
    changed(zoom=1)
    page.locator("#label").select_option("b")
    changed(label="b")
    page.get_by_label("Step forward").click()
    changed(time=(np.datetime64("1980-07-01T12:00") - np.datetime64(0, "s")).astype(int))
    page.locator("#date").fill("1981-03-04")
    changed(time=(np.datetime64("1981-03-04T12:00") - np.datetime64(0, "s")).astype(int))
    page.locator("#method").select_option("mean")
    changed(method="mean")
    page.locator("#projection").select_option("mollweide")
    changed(projection="mollweide")
    page.get_by_label("Coasts").uncheck()
    changed(coast=False)
    assert fresh.complaints == []


def test_missing_values_are_grey_and_told(fresh, bottle):
    values = field(bottle, "sst")
    fresh.update(variable="sst", coast=False)
    lon, lat = 45.0, 20.0
    cell, (value,) = fresh.at(lon, lat)
    assert value is None or math.isnan(value)
    assert np.isnan(values[cell])
    red, green, blue = fresh.globe("colour(a[0], a[1])", lon, lat)
    assert max(red, green, blue) - min(red, green, blue) < 12
    fresh.page.mouse.move(*fresh.globe("screen(a[0], a[1])", lon, lat))
    assert fresh.text("#probe").startswith("missing")


def test_limits_are_robust_edited_and_held(fresh, bottle):
    page = fresh.page
    low, high = fresh.globe("limits")
    np.testing.assert_allclose([low, high], np.percentile(field(bottle), (1, 99)), rtol=1e-6)
    page.get_by_label("Lowest colour").fill("250")
    page.keyboard.press("Tab")
    assert fresh.globe("limits")[0] == 250
    held = fresh.globe("limits")
    page.get_by_label("Step forward").click()
    fresh.settled()
    assert fresh.globe("limits") == held
    page.get_by_role("button", name="Held").click()
    assert fresh.globe("limits") != held
    page.get_by_label("Highest colour").fill("nonsense")
    page.keyboard.press("Tab")
    assert fresh.globe("limits")[1] > 250
    fresh.update(variable="ua")
    low, high = fresh.globe("limits")
    assert low == -high  # of winds
    fresh.update(variable="pr")
    assert fresh.globe("limits")[0] == 0
    assert fresh.text(".bar .units") == "mm day⁻¹"


def test_styles_are_those_of_plot(tab):
    got = tab.globe("styles")
    want = {
        name: {"colours": style.cmap, "span": style.span, "factor": style.factor, "units": style.units}
        for name, style in plot._STYLES.items()
    }
    assert got == want


def test_a_link_reproduces_the_view(browser, fresh):
    change = {"variable": "ta", "pressure": 50000, "member": 2, "seed": 5, "zoom": 1, "label": "b", "lon": -73.25,
              "lat": 41.5, "scale": 1.7, "limits": [240, 270.5], "grid": True, "time": 3600 * 24 * 365 * 10.75,
              "compare": {"what": "seed", "value": 9}, "difference": True}  # fmt: skip
    fresh.update(**change)
    link, view, picture = fresh.globe("link()"), fresh.globe("view"), fresh.picture()
    with Tab(browser, fresh.url, link.partition("/#")[2] and "#" + link.partition("#")[2]) as other:
        assert other.globe("view") == view
        assert other.globe("error") is None
        assert other.picture() == picture
    fresh.page.get_by_role("button", name="Copy link").click()
    fresh.page.get_by_role("button", name="Copied").wait_for()
    assert fresh.page.evaluate("navigator.clipboard.readText()") == link


def test_back_and_forward(fresh):
    first = fresh.globe("view")
    fresh.page.locator("#variable").select_option("pr")
    fresh.settled()
    fresh.page.get_by_label("Step forward").click()
    fresh.settled()
    last = fresh.globe("view")
    fresh.page.go_back()
    fresh.settled()
    assert (fresh.globe("view")["variable"], fresh.globe("view")["time"]) == ("pr", first["time"])
    fresh.page.go_back()
    fresh.settled()
    assert fresh.globe("view") == first
    for _ in range(2):
        fresh.page.go_forward()
    fresh.settled()
    assert fresh.globe("view") == last


@pytest.mark.parametrize(("address", "sentence"), [
    ("#bottle=quick@00000000", "The bottle of this link, quick@00000000, is not served here: this is quick@"),
    ("#variable=<b>", "variable=<b> of this link cannot be shown: it must be one of ta, ua, zg,"),
    ("#time=1066-10-14", "time=1066-10-14 of this link cannot be shown: it must be a time from 1980-01-01"),
    ("#with=label:c&zoom=9&member=-1", "member=-1 of this link cannot be shown: it must be a whole number from 0 to"),
    ("#at=1,x&limits=3,2", "limits=3,2 of this link cannot be shown: it must be two numbers, the lower first"),
    ("#%E0%A4%A&bottle=%", "The bottle of this link, %, is not served here"),
])  # fmt: skip
def test_a_wrong_link_is_a_sentence_and_a_globe(fresh, address, sentence):
    fresh.page.goto(f"{fresh.url}/{address}")
    fresh.settled()
    fresh.page.locator("#error").wait_for(state="visible")
    assert sentence in fresh.text("#error")
    assert len(fresh.globe("frames")) == 1
    fresh.page.get_by_label("Close", exact=True).click()
    assert not fresh.page.locator("#error").is_visible()


def test_play_goes_on_and_reads_ahead(fresh):
    fresh.update(seed=31)  # of which nothing is in the page yet
    before = fresh.globe("view")["time"]
    fresh.page.locator("#canvas").focus()
    fresh.page.keyboard.press("Space")
    fresh.page.evaluate("""async (time) => {
      while (globe.view.time < time) await new Promise((done) => setTimeout(done, 20));
    }""", before + 4 * 21600)  # fmt: skip
    assert fresh.globe("playing")
    fresh.page.get_by_label("Pause", exact=True).click()
    assert not fresh.globe("playing")
    fresh.settled()
    now = fresh.globe("view")["time"]
    assert fresh.globe("frames")[0]["time"] == now
    assert fresh.links_to(f"time={np.datetime64(int(now), 's').astype('datetime64[m]')}")
    asked = {int(found[1]) for url in fresh.requests if (found := re.search(r"s31_m0_z2\.zarr/tas/c/(\d+)/", url))}
    first = (before - 315532800) // 21600
    shown = {first + k for k in range(int(now - before) // 21600 + 1)}
    assert shown < asked
    assert fresh.globe("limits") == fresh.globe("view")["limits"]  # colours do not jump
    assert fresh.complaints == []


def test_two_members_side_by_side_and_their_difference(fresh, bottle):
    page = fresh.page
    page.locator("#compare").select_option("member")
    fresh.settled()
    page.get_by_label("Other member").fill("4")
    page.keyboard.press("Enter")
    fresh.settled()
    page.get_by_label("Difference").check()
    a, b = field(bottle), field(bottle, member=4)
    cell, values = fresh.at(13.4, 52.5)
    assert values == [a[cell], b[cell]]
    assert page.locator("#names span").all_inner_texts() == ["member 0", "member 4", "member 4 − member 0"]
    both = np.percentile(np.concatenate([a, b]), (1, 99))
    np.testing.assert_allclose(fresh.globe("limits"), both, rtol=1e-6)  # the same colours
    for panel, values in enumerate([a, b]):
        assert_colours(fresh.globe("pixels(6, a[0])", panel), values, both, "RdYlBu_r")
    reach = np.abs(np.percentile(b - a, (1, 99))).max()
    assert_colours(fresh.globe("pixels(6, 2)"), b - a, (-reach, reach), "RdBu_r")
    page.mouse.move(*fresh.globe("screen(13.4, 52.5, 1)"))
    told = fresh.text("#probe")
    assert f"member 4: {b[cell]:.1f} K" in told
    # They move together.
    before = [fresh.globe("screen(13.4, 52.5, a[0])", panel) for panel in range(3)]
    page.mouse.down()
    page.mouse.move(before[1][0] + 40, before[1][1] + 10, steps=4)
    fresh.globe("still()")  # so that it is not thrown
    page.mouse.up()
    moves = np.subtract([fresh.globe("screen(13.4, 52.5, a[0])", panel) for panel in range(3)], before)
    assert moves[0][0] > 20
    np.testing.assert_allclose(moves, [moves[0]] * 3)
    page.locator("#compare").select_option("label")
    fresh.settled()
    assert page.locator("#names span").all_inner_texts() == ["label a", "label b", "label b − label a"]
    b = field(bottle, label="b")
    assert fresh.at(13.4, 52.5)[1] == [a[cell], b[cell]]


def test_the_wheel_and_keys_zoom(fresh):
    place = (20.0, 10.0)
    spot = fresh.globe("screen(a[0], a[1])", *place)
    fresh.page.mouse.move(*spot)
    fresh.page.mouse.wheel(0, -400)
    fresh.page.evaluate("async () => { while (globe.view.scale === 1) await globe.still(); }")
    view = fresh.globe("view")
    assert view["scale"] > 1.5
    np.testing.assert_allclose(fresh.globe("screen(a[0], a[1])", *place), spot, atol=1.5)  # what is pointed at stays
    assert fresh.links_to(f"at={view['lon']:.2f},{view['lat']:.2f}")
    fresh.page.locator("#canvas").focus()
    fresh.page.keyboard.press("0")
    fresh.globe("still()")
    assert fresh.globe("view")["scale"] == 1


def test_a_stranger_s_bottle_is_only_text(fresh, bottle):
    card = fresh.page.locator(".card")
    assert "<img src=x onerror=alert(1)>" in card.inner_text()
    assert "<script>alert(2)</script>" in card.inner_text()
    assert fresh.page.locator(".card img, .card script").count() == 0
    assert [link.get_attribute("href") for link in card.locator("a").all()] == ["https://example.org/a?b=c&d"]
    assert "javascript:alert(3)" in card.inner_text()
    assert "CC0-1.0" in card.inner_text()
    assert fresh.complaints == []


def test_snippets_run(fresh, bottle, monkeypatch):
    pytest.importorskip("intake_xarray")
    fresh.update(variable="ta", pressure=50000, member=2, seed=5)
    want = field(bottle, "ta", pressure=50000, member=2, seed=5)
    monkeypatch.chdir(bottle.parent)
    monkeypatch.setenv("XR_CBOTTLE_PATH", str(bottle.parent))
    for name in ("xarray", "intake", "The bottle itself"):
        fresh.page.get_by_role("tab", name=name).click()
        *before, last = fresh.text(".snippet pre").strip().splitlines()
        scope: dict = {}
        exec("\n".join(before), scope)
        np.testing.assert_array_equal(np.squeeze(eval(last, scope).values), want, err_msg=name)
    fresh.page.get_by_role("tab", name="gridlook").click()
    assert re.search(r"gridlook\.pages\.dev/#http://127.*\.zarr::varname=ta::dimIndices_time=729::dimIndices_pressure=0",
                     fresh.text(".snippet pre"))  # fmt: skip
    fresh.page.get_by_role("tab", name="Julia").click()
    assert 'g["ta"][:, 1, 730]' in fresh.text(".snippet pre")


def test_a_busy_server_is_asked_again(browser, bottle):
    """Of two frames at once, a server that takes one request refuses the other for a while."""
    with serving.running([bottle], max_requests=1, num_steps=8, cache_size=20_000_003) as client:
        answers = []
        with Tab(browser, client.url, "#zoom=1&member=50") as tab:
            tab.update(compare={"what": "member", "value": 51})
            tab.page.on("response", lambda answer: answers.append(answer.status))
            tab.update(time=tab.globe("view")["time"] + 86400)  # of data sets that are open already: both at once
            assert tab.globe("error") is None
            assert len(tab.globe("frames")) == 2
            assert 429 in answers
            assert tab.text("#status").startswith("read in")


def test_a_server_that_is_gone_is_a_sentence(browser, bottle):
    with serving.running([bottle], cache_size=20_000_004) as client:
        tab = Tab(browser, client.url)
    with tab:
        tab.update(member=77)
        assert "does not answer: is xr-cbottle serve still running?" in tab.text("#error")
        assert tab.page.get_by_role("button", name="Try again").is_visible()
        assert tab.text("#subtitle").endswith("member 0 · seed 0")  # what is still seen
        tab.page.get_by_role("button", name="Try again").click()
        tab.settled()
        assert tab.page.locator("#error").is_visible()


def test_a_refusal_of_the_server_is_told(browser, bottle):
    with serving.running([bottle], max_cost=2, cache_size=20_000_005) as client, Tab(browser, client.url) as tab:
        assert tab.page.locator("#method").locator("option").count() == 2
        tab.update(method="mean", step="P1D")  # which this server is too small for
        assert tab.globe("view")["step"] == "PT6H"
        tab.page.route(re.compile("m9"), lambda route: route.continue_(url=route.request.url.replace("_m9_", "_m09_")))
        tab.update(member=9)
        assert tab.text("#error").startswith("The server says: ") or "no data set" in tab.text("#error")


def test_without_webgl_there_is_a_sentence_and_the_list(start, chromium, server):
    browser = start.chromium.launch(executable_path=chromium, args=[*ARGUMENTS[:3], "--disable-3d-apis"])
    with Tab(browser, server.url) as tab:
        tab.page.locator("#error").wait_for(state="visible")
        assert "no WebGL 2" in tab.text("#error")
        assert "open_dataset" in tab.text(".snippet pre")
        assert tab.page.locator(".card").count() == 1
    browser.close()


def test_it_fits_a_phone_and_answers_a_finger(browser, gcm):
    with Tab(browser, gcm.url, "#variable=ua&pressure=25000&time=1990-07-15T06:00&with=member:1",
             viewport=PHONE, has_touch=True, color_scheme="dark") as tab:  # fmt: skip
        page = tab.page
        assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
        tops = [tab.globe("screen(10, 25, a[0])", panel)[1] for panel in range(2)]
        assert tops[1] > tops[0] + 100  # one above the other
        page.touchscreen.tap(*tab.globe("screen(10, 25)"))
        cell, values = tab.at(10, 25)
        ds = xr.open_dataset("gcm", engine="cbottle", device="cpu", num_steps=2, members=2)
        want = ds["ua"].sel(time="1990-07-15T06", pressure=25000).isel(cell=cell).values
        np.testing.assert_array_equal(np.float32(values), want.squeeze())
        assert f"cell {cell}" in tab.text("#probe")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, re.findall(r"\d+", dark))) < 150
        assert tab.complaints == []


def test_the_page_says_what_it_is_made_of():
    build = (WEB / "build" / "globe.js").read_bytes()
    assert len(build) < 1_200_000
    assert b"sourceMappingURL" not in build
    licences = (WEB / "build" / "LICENSES.txt").read_text()
    locked = json.loads((WEB / "source" / "package-lock.json").read_text())["packages"]
    for name in ("three", "zarrita", "world-atlas", "d3-scale-chromatic"):
        assert f"\n{name} {locked[f'node_modules/{name}']['version']} (" in licences


@pytest.mark.slow
def test_the_build_is_that_of_its_source(tmp_path):
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm to build the page with")
    source, build = tmp_path / "source", tmp_path / "build"
    shutil.copytree(WEB / "source", source, ignore=shutil.ignore_patterns("node_modules"))
    build.mkdir()
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--fetch-retries=0")
    done = subprocess.run([npm, "ci", *quiet], cwd=source, capture_output=True, text=True)
    if done.returncode and re.search("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH", done.stderr):
        pytest.skip("the npm registry cannot be reached")
    assert done.returncode == 0, done.stderr
    for script in ("check", "build"):
        done = subprocess.run([npm, "run", script], cwd=source, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in ("globe.js", "LICENSES.txt"):
        assert (build / name).read_bytes() == (WEB / "build" / name).read_bytes(), f"run npm run build: {name} is older"
