"""The page of the server in a real browser, and what it should show."""

from __future__ import annotations

import functools

import numpy as np
import xarray as xr

# Pictures are drawn by the processor, and nothing is asked of the network but by the page.
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--disable-quic",
]  # fmt: skip
DESK, PHONE = {"width": 900, "height": 620}, {"width": 390, "height": 844}
START = "#variable=tas&time=1980-07-01T06:00"
READY = """() => new Promise((resolve) => {
  const look = () => (window.globe?.idle ? resolve() : setTimeout(look, 20));
  look();
}).then(() => globe.idle())"""


class Tab:
    """The page in a tab, and what it has said and asked for."""

    def __init__(self, browser, url: str, address: str = START, **context):
        allowed = ["clipboard-read", "clipboard-write"]
        self.context = browser.new_context(**{"viewport": DESK, "permissions": allowed, **context})
        self.url, self.page = url, self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message) or dialog.dismiss())
        self.page.goto(f"{url}/{address}")
        self.page.evaluate(READY)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def globe(self, expression: str, *arguments):
        """A member of the page's hook, or what it returns; see source/src/main.ts."""
        return self.page.evaluate(f"(a) => globe.{expression}", list(arguments))

    def update(self, **change):
        self.globe("update(a[0])", change)

    def at(self, lon, lat):
        """(cell, values)"""
        probe = self.globe("at(a[0], a[1])", lon, lat)
        return probe["cell"], probe["values"]

    def links_to(self, part: str) -> bool:
        """Whether the address says something, a moment later: it is not written while the view moves."""
        code = "async (p) => { for (let i = 0; i < 200 && !location.hash.includes(p); i++) await new Promise((r) => "
        return self.page.evaluate(code + "setTimeout(r, 50)); return location.hash.includes(p); }", part)

    def picture(self) -> bytes:
        """What is seen, in the form of a PNG file."""
        self.page.mouse.move(5, 5)  # away from the globe: nothing is pointed at
        self.globe("still()")
        return self.page.locator("#canvas").screenshot()

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def settled(self):
        self.page.evaluate(READY)


@functools.cache
def field(bottle, variable="tas", time="1980-07-01T06:00", pressure=None, member=None, **keywords):
    """The (cell,) that a picture should show."""
    members = None if member is None else [member]
    ds = xr.open_dataset(bottle, engine="cbottle", device="cpu", time="PT6H", members=members, **keywords)
    chosen = ds[variable].sel(time=time)
    return (chosen if pressure is None else chosen.sel(pressure=pressure)).squeeze().values


def assert_colours(pixels, values, limits, cmap):
    """Pixels [lon, lat, red, green, blue] have the colours of (cell,) values."""
    import healpy
    import matplotlib

    assert len(pixels) > 300
    lon, lat, *rgb = np.transpose(pixels)
    shown = values[healpy.ang2pix(healpy.npix2nside(values.size), lon % 360, lat, nest=True, lonlat=True)]
    low, high = limits
    want = np.asarray(matplotlib.colormaps[cmap]((shown - low) / (high - low), bytes=True))[:, :3]
    far = np.abs(want.astype(int) - np.transpose(rgb)).max(1) > 4  # the next of 256 colours: from rounding
    assert far.mean() < 0.004  # the card's own precision, on the borders of cells
