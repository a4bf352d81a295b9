"""A centre's archive, as ICON writes it in the hackathon, from the dry run to a bottle on a web server."""

from __future__ import annotations

import functools
import http.server
import threading

import numpy as np
import pytest
import xarray as xr
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("intake_xarray")

from tests import serving  # noqa: E402
from xr_cbottle import cli  # noqa: E402
from xr_cbottle.bottle import open_bottle  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402

ZOOM, STORED_ZOOM = 2, 3
CHANNELS = ["tas", "pres_msl", "pr", "sic", "T850", "T500", "U850", "qgvi", "hfls"]
CATALOG = """
sources:
  icon_like:
    driver: zarr
    args: {urlpath: "URL/{{ time }}_{{ zoom }}.zarr", consolidated: true}
    parameters:
      time: {type: str, default: PT3H, allowed: [PT3H, P1D], description: time}
      zoom: {type: int, default: 3, allowed: [3], description: zoom}
"""


def archive(days, every):
    """Fields under ICON's names and units: levels below mountains, ice on the sea alone, an hour that was lost."""
    rng = np.random.default_rng(days)
    lon, lat = np.deg2rad(healpix.lonlat(STORED_ZOOM))
    times = np.datetime64("2020-01-02", "ns") + np.arange(0, days * 24, every) * np.timedelta64(1, "h")
    year = 2 * np.pi * (times - times[0]) / np.timedelta64(365, "D")
    land, mountains = np.sin(2 * lon) > 0.3, np.sin(3 * lon) * np.cos(lat) > 0.8

    def field(mean, spread):
        weather = healpix.resample(rng.standard_normal((len(times), healpix.n_cells(1))), 1, STORED_ZOOM)
        return (mean - spread * np.sin(lat) * np.cos(year)[:, None] + spread * weather).astype(np.float32)

    tas = field(288 - 40 * np.sin(lat) ** 2, 6)
    temp = np.stack([field(250, 5), field(275, 6)], 1)
    u = np.stack([field(10, 8), field(3, 5)], 1)
    for values in (temp, u):
        values[:, 1, mountains] = np.nan  # at 850 hPa
    temp[:, 1][rng.random(tas.shape) < 0.002] = np.nan  # where the pressure is low now and then
    temp[7], u[7] = np.nan, np.nan  # an hour that was lost
    ice = np.where(land, np.nan, np.clip(np.abs(lat) * 2 - 2 + field(0, 0.1), 0, 1))
    flat, deep = ("time", "cell"), ("time", "pressure", "cell")
    return (
        xr.Dataset(
            {
                "tas": (flat, tas, {"units": "K"}),
                "pres_msl": (flat, field(101_000, 900), {"units": "Pa"}),
                "pr": (flat, np.exp(field(-11, 0.7)), {"units": "kg m-2 s-1"}),
                "sic": (flat, ice.astype(np.float32), {"long_name": "fraction of ocean covered by sea ice"}),
                "temp": (deep, temp, {"units": "K"}),
                "u": (deep, u, {"units": "m s-1"}),
                "qgvi": (flat, np.exp(field(-4, 0.5)), {"units": "kg m-2"}),
                "hfls": (
                    flat,
                    -field(90, 30),
                    {"units": "W m-2", "standard_name": "surface_downward_latent_heat_flux"},
                ),
                "ts": (flat, np.where(land, np.nan, np.clip(tas, 271.4, 304)), {"units": "K"}),
            },
            {"time": times, "pressure": ("pressure", [50000.0, 85000.0], {"units": "Pa"})},
        ),
        mountains,
        land,
    )


@pytest.fixture
def url(tmp_path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()


@pytest.mark.parametrize(("days", "time", "every", "harmonics"), [(426, "P1D", 24, 2), (40, "PT3H", 3, 0)])
def test_an_archive_goes_from_the_dry_run_to_a_served_bottle(tmp_path, url, capsys, days, time, every, harmonics):
    ds, mountains, land = archive(days, every)
    ds.to_zarr(tmp_path / f"{time}_{STORED_ZOOM}.zarr", zarr_format=2, consolidated=True)
    (tmp_path / "catalog.yaml").write_text(CATALOG.replace("URL", url))
    end = str(ds.time.values[-1])[:10]
    source = {
        "label": "icon", "catalog": str(tmp_path / "catalog.yaml"), "entry": "icon_like",
        "parameters": {"time": time, "zoom": STORED_ZOOM}, "start": "2020-01-01", "end": end,
        "validation_start": str(ds.time.values[int(len(ds.time) * 0.95)])[:10],
    }  # fmt: skip
    config = {
        "data": {
            "zoom": ZOOM, "channels": CHANNELS, "scale": "climatology", "sources": [source],
            "sst": {"source": "icon", "variable": "ts"},
        },
        "network": {"model_channels": 8, "channel_mult": [1, 1], "num_blocks": 1, "attn_resolutions": [2]},
        "training": {"total_images": 8, "batch_size": 4, "warmup_images": 2},
        "bottle": {
            "name": "mine", "title": "mine", "summary": "mine", "licence": "CC0-1.0", "source": "ICON",
            "start": "2020-01-02", "end": "2020-01-30", "step": "PT3H", "num_steps": 2,
        },
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    command = ["train", str(tmp_path / "mine.yaml"), "--run", str(tmp_path / "run")]

    assert cli.main([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "T850: temp at 85000 Pa in K; T500: temp at 50000 Pa in K; U850: u at 85000 Pa" in " ".join(said.split())
    assert cli.main([*command, "--prepare", "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert "icon: cells without values, NaN for readers: sic" in said
    assert "instants lack values beside these: masked where they do" in said
    assert ("do not cover the year" in said) == (harmonics < 2)
    assert cli.main([*command, "--pack", str(tmp_path / "mine.cbottle")]) == 0

    bottle = open_bottle(tmp_path / "mine.cbottle")
    assert set(bottle.manifest.gaps.shares["icon"]) == {"sic", "T850", "U850"}
    assert bottle.manifest.trained_on["data"]["icon"]["gappy_instants"] > 1
    gone = (mountains.reshape(-1, 4).all(1), land.reshape(-1, 4).all(1))
    with serving.running([tmp_path / "mine.cbottle"]) as client:
        served = xr.open_zarr(f"{client.url}/mine/PT3H_inst_s0_m0_z{ZOOM}.zarr", chunks=None).isel(time=4)
        ta, sic = served.ta.squeeze().values, served.siconc.squeeze().values
    assert np.isnan(ta[1]).sum() == gone[0].sum() > 0
    assert np.isnan(ta[1, gone[0]]).all()
    assert np.isfinite(ta[0]).all()
    assert np.isnan(sic[gone[1]]).all()
    assert np.isfinite(sic).any()
    assert bottle.climatology().center[CHANNELS.index("hfls")] == pytest.approx(90, abs=5)
