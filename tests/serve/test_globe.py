"""Ensembles and kilometres on the globe, and what lies over it: in a real browser, against xarray and healpy."""

from __future__ import annotations

import io
import json
import re
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import xarray as xr

from tests import serving
from tests.bottles import CHANNELS, synthetic_bottle
from tests.browsing import DESK, PHONE, START, Tab, assert_colours, field
from xr_cbottle.bottle.manifest import SamplerDefaults

pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright, which is not installed")
# A browser that draws without a GPU, beside other tests, is now and then late: what fails thrice is wrong.
pytestmark = pytest.mark.flaky(reruns=2)

TIME = "1980-07-01T06:00"


@pytest.fixture(scope="module")
def bottle(folder):
    """One with wind and pressure at sea level."""
    sampler = SamplerDefaults(num_steps=2, sigma_max=80.0)
    return synthetic_bottle(folder / "quick.cbottle", channels=(*CHANNELS, "V850", "pres_msl"), sampler=sampler)


@pytest.fixture(scope="module")
def tab(browser, server):
    with Tab(browser, server.url) as tab:
        yield tab


@pytest.fixture
def fresh(tab):
    """The page as it began, without loading it again."""
    tab.page.evaluate(
        """async (start) => {
      document.activeElement.blur();
      location.hash = "";
      location.hash = start;
      await new Promise((done) => setTimeout(done, 50));
    }""",
        START,
    )
    tab.page.mouse.move(5, 5)
    tab.settled()
    tab.complaints.clear()
    tab.requests.clear()
    return tab


def ensemble(bottle, variable="tas", members=5, **keywords):
    """The (member, cell) that statistics are made of."""
    ds = xr.open_dataset(bottle, engine="cbottle", device="cpu", time="PT6H", members=members, **keywords)
    return ds[variable].sel(time=TIME).load()


def test_europe_at_zoom_5_is_the_engine_s(browser, gcm):
    import healpy

    with Tab(browser, gcm.url, "#variable=tas&time=1990-07-15T06:00&at=18,52,11") as tab:
        page = tab.page
        assert tab.globe("tiles()") is None
        assert "Weather lasts" in tab.text("#note")  # gcm was fitted for it
        offered = page.locator("#zoom option").all_inner_texts()
        assert offered[0] == "5 (204 km)"
        assert offered[0] in page.locator(".card").inner_text()  # the card and the list agree
        page.locator("#zoom").select_option("5")
        tab.settled()
        fine = tab.globe("tiles()")
        assert (fine["zoom"], fine["tileZoom"]) == (5, 0)
        asked = [url for url in tab.requests if "_z5.zarr/tas/c/" in url]
        assert len(asked) == len(fine["tiles"]) <= 2  # those in view, and no others
        # Drawn again: this data set has another cache than the server's.
        ds = xr.open_dataset("gcm", engine="cbottle", device="cpu", num_steps=2, zoom=5, cache_size=20_000_006)
        tas = ds["tas"].sel(time="1990-07-15T06")
        shown = np.full(12288, np.nan, np.float32)
        for tile, values in fine["tiles"].items():
            cells = slice(1024 * int(tile), 1024 * (int(tile) + 1))
            shown[cells] = values
            np.testing.assert_array_equal(shown[cells], tas.isel(cell=cells).values)
        assert shown[healpy.ang2pix(32, 13.4, 52.5, nest=True, lonlat=True)] == tab.at(13.4, 52.5)[1][0]
        assert tab.at(13.4, 52.5)[0] == healpy.ang2pix(32, 13.4, 52.5, nest=True, lonlat=True)
        pixels = [p for p in tab.globe("pixels(9)") if np.isfinite(shown[healpy.ang2pix(32, *p[:2], True, True)])]
        assert_colours(pixels, shown, tab.globe("limits"), "RdYlBu_r")
        page.mouse.move(*tab.globe("screen(18, 52)"))
        assert "of zoom 5" in tab.text("#probe")
        assert "zoom=5" in tab.globe("link()")
        # A variable that is not made there is shown at the bottle's own zoom.
        page.locator("#variable").select_option("prw")
        tab.settled()
        assert tab.globe("view")["zoom"] == 4
        assert tab.globe("tiles()") is None
        assert page.locator("#zoom option").all_inner_texts()[0] == "4 (407 km)"
        assert tab.complaints == []


def test_mean_spread_and_probability_are_xarray_s(fresh, bottle):
    page, members = fresh.page, ensemble(bottle)
    page.locator("#statistic").select_option("mean")
    page.locator("#members").fill("5")
    page.keyboard.press("Enter")
    fresh.settled()
    exact = members.astype("float64")
    np.testing.assert_allclose(fresh.globe("values()"), exact.mean("member"), rtol=1e-6)
    assert "mean of members" in fresh.text("#title")
    assert "members 0 to 4" in fresh.text("#subtitle")
    page.locator("#statistic").select_option("spread")
    fresh.settled()
    np.testing.assert_allclose(fresh.globe("values()"), exact.std("member", ddof=1), rtol=1e-6)
    page.locator("#statistic").select_option("probability")
    fresh.settled()
    limit = fresh.globe("view")["threshold"]["value"]  # round, and in the middle: some are above, and some below
    probability = (members > limit).mean("member")
    assert 0 < probability.mean() < 1
    np.testing.assert_array_equal(fresh.globe("values()"), probability.astype("float32"))
    assert_colours(fresh.globe("pixels(9)"), 100 * probability.values, (0, 100), "Purples")
    # Numbers are compared as they are stored: this limit is in float32 the value of a member, which is not below it.
    limit = float(members.values[0, 7]) * (1 + 1e-9)
    fresh.update(threshold={"side": "below", "value": limit})
    np.testing.assert_array_equal(fresh.globe("values()"), (members < limit).mean("member").astype("float32"))
    assert "below" in fresh.text("#title")
    link = fresh.globe("link()")
    assert "show=probability&members=5&below=" in link
    assert fresh.complaints == []


def test_a_probability_in_shown_units_and_its_snippet(fresh, bottle, monkeypatch):
    rain = ensemble(bottle, "pr", members=4)
    limit = float(86400 * rain.median())
    fresh.update(variable="pr", statistic="probability", members=4, threshold={"side": "above", "value": limit})
    np.testing.assert_array_equal(fresh.globe("values()"), (rain > limit / 86400).mean("member").astype("float32"))
    monkeypatch.setenv("XR_CBOTTLE_PATH", str(bottle.parent))
    for name in ("xarray", "The bottle itself"):
        fresh.page.get_by_role("tab", name=name).click()
        *before, last = fresh.text(".snippet pre").strip().splitlines()
        scope: dict = {}
        exec("\n".join(before), scope)
        np.testing.assert_array_equal(np.float32(eval(last, scope).values), fresh.globe("values()"), err_msg=name)


def test_members_are_asked_for_one_by_one_and_once(fresh):
    fresh.update(statistic="mean", members=6, seed=41)
    fresh.update(statistic="spread")
    asked = [url for url in fresh.requests if re.search(r"s41_m\d+_z2\.zarr/tas/c/", url)]
    assert sorted(int(re.search(r"_m(\d+)_", url)[1]) for url in asked) == list(range(6))


def test_of_a_time_axis_only_its_ends_are_fetched(fresh):
    bytes_of = []

    def came(response):
        if "/time/c/" in response.url:
            bytes_of.append(int(response.headers["content-length"]))

    fresh.page.on("response", came)
    fresh.update(seed=43)
    fresh.page.remove_listener("response", came)
    assert sorted(bytes_of) == [8, 16]


def test_a_click_shows_values_in_time_and_how_often(fresh, bottle):
    import healpy

    page = fresh.page
    page.mouse.click(*fresh.globe("screen(13.4, 52.5)"))
    page.locator("#point").wait_for(state="visible")
    page.evaluate("globe.point.read()")
    point = page.evaluate("({ times: globe.point.times, values: globe.point.values })")
    assert len(point["times"]) == 12
    where = fresh.globe("view")["point"]
    cell = healpy.ang2pix(4, *where, nest=True, lonlat=True)
    ds = xr.open_dataset(bottle, engine="cbottle", device="cpu", time="PT6H")
    times = np.array(point["times"], "datetime64[s]")
    assert np.datetime64(TIME) in times
    np.testing.assert_array_equal(np.float32(point["values"][0][0]), ds["tas"].isel(cell=cell).sel(time=times).values)
    labels = [chart.get_attribute("aria-label") for chart in page.locator("#point svg").all()]
    assert labels[0].startswith("Values in time: 12 values from")
    assert labels[1].startswith("Histogram: 12 values")
    heights = [float(bar.get_attribute("height")) for bar in page.locator("#point .bin").all()]
    assert sum(round(height / min(filter(None, heights))) for height in heights) == 12
    with page.expect_download() as started:
        page.locator("#point").get_by_role("button", name="CSV").click()
    rows = started.value.path().read_text().splitlines()
    assert rows[1] == "time,tas_s0_m0"
    assert len(rows) == 14
    page.get_by_label("Close the place").click()
    assert not page.locator("#point").is_visible()
    assert fresh.complaints == []


def test_contours_lie_where_the_other_field_has_their_values(fresh, bottle):
    import healpy

    fresh.page.locator("#contours").select_option("psl")
    fresh.settled()
    found = fresh.globe("contours()")
    psl = field(bottle, "psl") / 100
    lon, lat = np.transpose(found["points"])
    values = healpy.get_interp_val(psl, lon, lat, nest=True, lonlat=True)
    far = np.abs(values[:, None] - found["levels"]).min(1) / np.ptp(psl)
    assert len(found["levels"]) > 3
    assert len(lon) > 500
    assert np.quantile(far, 0.95) < 0.02
    assert re.search(r"contours: .*pressure.*, every [\d.]+ hPa", fresh.text("#legend"))


def test_wind_is_interpolated_as_healpy_does_and_drawn(fresh, bottle):
    import healpy

    fresh.page.locator("#wind").select_option("ua:85000")
    fresh.settled()
    wind = [field(bottle, name, pressure=85000) for name in ("ua", "va")]
    for lon, lat in [(10, 52), (-74, 40), (150, -88), (300, 90), (0, -90), (44, 0)]:  # points of the page's grid
        want = [healpy.get_interp_val(part, lon, lat, nest=True, lonlat=True) for part in wind]
        np.testing.assert_allclose(fresh.page.evaluate(f"globe.windAt({lon}, {lat})"), want, rtol=1e-4, atol=1e-4)
    assert fresh.text("#legend") == "wind at 850 hPa"
    inked = "() => { const c = document.querySelector('#overlay'); const d = c.getContext('2d').getImageData(0, 0, "
    inked += "c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 40; return n; }"
    fresh.page.evaluate("async () => { while (globe.wind.frames < 25) await globe.still(); }")
    wind = fresh.globe("wind")
    # What the page itself does for a picture: what the machine needs to show it depends on what else it does.
    assert wind["busy"] / wind["frames"] < 1000 / 30
    assert fresh.page.evaluate(inked) > 500
    fresh.page.locator("#wind-style").select_option("arrows")
    fresh.settled()
    still = fresh.page.evaluate(inked)
    assert still > 500
    assert fresh.page.evaluate(inked) == still
    fresh.page.locator("#wind").select_option("")
    fresh.settled()
    assert not fresh.page.locator("#overlay").is_visible()


def test_a_slow_machine_has_fewer_particles(fresh):
    fresh.page.locator("#wind").select_option("ua:85000")
    fresh.settled()
    fewer = "async () => { for (let i = 0; i < 60 && globe.wind.share > 0.7; i++) await globe.still(); "
    processor = fresh.context.new_cdp_session(fresh.page)
    try:
        processor.send("Emulation.setCPUThrottlingRate", {"rate": 15})
        assert fresh.page.evaluate(fewer + "return globe.wind.share; }") <= 0.7
    finally:
        processor.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        processor.detach()


def test_who_wants_no_motion_gets_arrows(browser, server):
    with Tab(browser, server.url, f"{START}&wind=ua:85000&as=particles", reduced_motion="reduce") as tab:
        tab.globe("still()")
        assert tab.globe("wind")["frames"] == 0
        assert tab.page.locator("#overlay").is_visible()


def test_colour_maps_and_logarithms(fresh, bottle):
    import matplotlib

    for name in fresh.globe("maps"):
        table = np.reshape(fresh.globe("table(a[0])", name), (256, 4))[:, :3]
        want = np.asarray(matplotlib.colormaps[name](np.arange(256), bytes=True))[:, :3].astype(int)
        assert np.abs(table - want).max() <= 3, name
    fresh.page.locator("#variable").select_option("pr")
    fresh.page.locator("#colours").select_option("magma_r")
    fresh.page.locator("#log").check()
    fresh.settled()
    low, high = fresh.globe("limits")
    assert 0 < low < high
    rain = field(bottle, "pr") * 86400
    scaled = np.log(np.maximum(rain, low)) / np.log(high / low) - np.log(low) / np.log(high / low)
    assert_colours(fresh.globe("pixels(9)"), scaled, (0, 1), "magma_r")
    assert "colours=magma_r&scale=log" in fresh.globe("link()")
    fresh.page.locator("#variable").select_option("ua")
    fresh.settled()
    assert fresh.page.locator("#log").is_disabled()  # of what is on both sides of zero there is no logarithm


@pytest.mark.parametrize(("text", "lon", "lat"), [
    ("Nairobi", 36.82, -1.28), ("sao paulo", -46.63, -23.56), ("52.5, 13.4", 13.4, 52.5),
    ("33.9S 151.2E", 151.2, -33.9), ("Kenya", 37.8, 0.4),
])  # fmt: skip
def test_places_are_found_by_name(fresh, text, lon, lat):
    fresh.page.locator("#place").fill(text)
    fresh.page.keyboard.press("Enter")
    fresh.globe("still()")
    view = fresh.globe("view")
    np.testing.assert_allclose([view["lon"], view["lat"]], [lon, lat], atol=0.6)
    assert view["scale"] >= 4
    assert "cell" in fresh.text("#probe")


def test_what_is_not_there_says_so(fresh):
    page = fresh.page

    def says(sentence):
        page.locator("#error").wait_for(state="visible")
        assert sentence in fresh.text("#error")

    page.locator("#place").fill("Atlantis <b>")
    page.keyboard.press("Enter")
    says("There is no place Atlantis <b> among the")
    page.locator("#member").fill("5000")
    page.keyboard.press("Enter")
    says("There is no member 5000 here: members are 0 to 4095.")
    assert fresh.globe("view")["member"] == 0
    page.locator("#member").fill("1")
    page.keyboard.press("Enter")
    assert not page.locator("#error").is_visible()
    page.locator("#date").fill("1066-10-14")
    says("There is no 1066-10-14 here: times are from 1980-01-01 to")
    page.locator("#date").fill("1980-07-02")
    fresh.settled()
    assert not page.locator("#error").is_visible()
    page.goto(f"{fresh.url}/#variable=tas&time=1980-07-01T07:30")
    says("There is no 1980-07-01T07:30 here: 1980-07-01T06:00 is the nearest time.")


def test_files_hold_what_is_seen(fresh, bottle):
    import pandas
    from PIL import Image, ImageSequence

    def taken(name):
        with fresh.page.expect_download(timeout=60_000) as started:
            fresh.page.get_by_role("button", name=name, exact=True).click()
        assert re.fullmatch(rf"quick_tas_1980-07-01T0600\.{name.lower()}", started.value.suggested_filename)
        return started.value.path().read_bytes()

    cells = pandas.read_csv(io.BytesIO(taken("CSV")), comment="#")
    assert list(cells) == ["zoom", "cell", "lon", "lat", "tas"]
    values = field(bottle)
    np.testing.assert_array_equal(np.float32(cells.tas[cells.cell]), values)
    import healpy

    lon, lat = healpy.pix2ang(4, cells.cell, nest=True, lonlat=True)
    np.testing.assert_allclose(cells.lat, lat, atol=1e-4)
    np.testing.assert_allclose((cells.lon - lon + 180) % 360 - 180, 0, atol=1e-4)
    picture = Image.open(io.BytesIO(taken("PNG")))
    assert picture.format == "PNG"
    assert picture.width > 300
    assert len(picture.convert("RGB").getcolors(2**24)) > 100
    with fresh.page.expect_download(timeout=60_000) as started:
        fresh.page.evaluate("void globe.take('gif', 4)")
    film = Image.open(started.value.path())
    assert film.n_frames == 4
    pictures = {frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(film)}
    assert len(pictures) == 4  # all of another time
    assert fresh.globe("view")["limits"] is None  # as before
    assert fresh.globe("view")["time"] == (np.datetime64(TIME) - np.datetime64(0, "s")).astype(int)
    assert fresh.complaints == []


def test_an_embedded_page_is_only_the_picture(browser, server):
    with Tab(browser, server.url, f"{START}&embed=1", viewport={"width": 500, "height": 420}) as tab:
        assert tab.page.locator("#canvas").is_visible()
        assert tab.page.locator(".bar").is_visible()
        for hidden in (".top", ".controls", "#code", "#bottles", "footer"):
            assert not tab.page.locator(hidden).first.is_visible(), hidden
        height = tab.page.evaluate("document.scrollingElement.scrollHeight")
        assert height <= 420
        href = tab.page.locator("#whole-page").get_attribute("href")
        assert "variable=tas" in href
        assert "embed" not in href


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_the_controls_are_one_stop_away(browser, server, viewport):
    with Tab(browser, server.url, viewport=viewport) as tab:
        page = tab.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the controls"
        assert page.locator(".skip").bounding_box()["y"] >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("!!document.activeElement.closest('.controls')")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= viewport["width"]


def test_further_settings_of_a_bottle_go_into_addresses(browser, server):
    """Whatever a server says that its data sets can be told."""
    listed = server.ask("/catalog.json").json
    listed["bottles"][0]["settings"] = [
        {"name": "coherence", "code": "c", "title": "Coherence", "default": "none", "pattern": "latents|P[0-9]+D",
         "hint": "none, latents, or days such as P2D"},
        {"name": "sst_offset", "code": "k", "title": "Warmer sea", "default": "0", "allowed": ["+2", "+4"]},
    ]  # fmt: skip
    context = browser.new_context(bypass_csp=True)  # what is waited for is evaluated in the page again and again
    page, asked = context.new_page(), []
    page.route("**/catalog.json", lambda route: route.fulfill(body=json.dumps(listed), content_type="application/json"))
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.goto(f"{server.url}/{START}&coherence=P2D&sst_offset=+2")
    page.wait_for_function("window.globe && (globe.error || globe.frames.length)")
    assert any("_z2_cP2D_k+2.zarr/" in unquote(path) for path in asked)
    assert "There is no data set at" in page.evaluate("globe.error")  # of this server
    page.get_by_label("Coherence").fill("3/../x")
    page.keyboard.press("Enter")
    page.wait_for_function("globe.error === 'coherence is 3/../x: it must be none, latents, or days such as P2D.'")
    page.get_by_label("Coherence").fill("")
    page.keyboard.press("Enter")
    page.get_by_label("Warmer sea").select_option("0")
    page.evaluate("globe.idle()")
    assert page.evaluate("globe.error") is None
    assert page.evaluate("globe.frames.length") == 1
    assert "coherence" not in page.evaluate("globe.link()")
    context.close()


def test_what_a_catalog_says_of_settings_can_be_asked_for(folder):
    from tests import forcings

    forced = forcings.bottle(folder / "forced.cbottle")
    with serving.running([forced], wait=False) as client:
        entry = client.ask("/catalog.json").json["bottles"][0]
        codes = {setting["name"]: setting["code"] for setting in entry["settings"]}
        assert codes == {"sst_offset": "k", "co2": "c", "coherence": "w"}
        values = {"sst_offset": ["+2", "-0.5"], "co2": ["560", "420.5", "ssp245"], "coherence": ["P2D", "P1DT12H"]}
        for setting in entry["settings"]:
            for value in values[setting["name"]]:
                assert value in setting.get("allowed", ()) or re.fullmatch(setting["pattern"], value)
                data = f"PT6H_inst_s0_m0_z{entry['zoom']}_{setting['code']}{value}.zarr"
                assert client.ask(f"/{entry['name']}/{data}/zarr.json").status == 200, data


def test_pages_of_another_origin_may_hold_it_only_if_they_are_named(bottle, server):
    headers = server.ask("/").headers
    assert headers["content-security-policy"] == "frame-ancestors 'self'"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    with serving.running([bottle], embed="https://notes.example", cache_size=20_000_007) as named:
        headers = named.ask("/").headers
        assert headers["content-security-policy"] == "frame-ancestors 'self' https://notes.example"
        assert "x-frame-options" not in headers
