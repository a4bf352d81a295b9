"""Ten analyses of the hackathon on both labels of the bundled bottle, with intake 2 and with 0.7, drawn and stored.

Figures that differ between the labels are those of the two simulations for the same days of the year. Of the label
that is not the default there are those of one week, in which the labels differ most; ``--long`` makes all.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests import environments
from xr_cbottle import Cube
from xr_cbottle.bottle import location
from xr_cbottle.catalog import MAIN

pytest.importorskip("easygems", reason="pip install '.[test]'")
pytest.importorskip("cartopy", reason="pip install cartopy")
intake = pytest.importorskip("intake")
analyses = pytest.importorskip("tests.analyses")

pytestmark = [
    pytest.mark.skipif("gcm" not in location.bundled(), reason="the bottle gcm is not here"),
    pytest.mark.slow,
]

STEPS = 5  # of the sampler: noisy fields, of which means are good enough here
INSTANTS = 8 + 24  # days of January and of June and July
OF_A_WEEK = (analyses.stratocumulus, analyses.whole_snapshot)
PSL = {"plasim": 1011.4, "jcm": 1028.2}  # hPa, mean of the globe in July
RLUT_SPREAD = {"plasim": 23.8, "jcm": 17.1}  # W m-2, between 24 independent instants of June and July within 15 degrees


@pytest.fixture(scope="module", params=["plasim", "jcm"])
def label(request):
    """The first is the default, which the entry is not told."""
    return request.param


@pytest.fixture(scope="module")
def folder(label, tmp_path_factory):
    return tmp_path_factory.mktemp(f"analyses_{label}")


@pytest.fixture(scope="module")
def keywords(label, folder):
    """What the entry is given before the analyses see it; they know nothing of it."""
    found = {"num_steps": STEPS, "cache_dir": str(folder / "instants")}
    return found if label == "plasim" else {**found, "label": label}


@pytest.fixture(scope="module")
def drawn(label):
    """How many instants were drawn since the first test of this label."""
    emulator = Cube("gcm", num_steps=STEPS, label=label).emulator()

    def count():
        return emulator.drawn + emulator.ahead  # also in places of a batch that would have been empty

    before = count()
    return lambda: count() - before


class OfAWeek(dict):
    """Figures of some analyses; what asks for those of another one is skipped."""

    def __missing__(self, name):
        pytest.skip(f"{name} of the other label takes long: --long makes it")


@pytest.fixture(scope="module")
def figures(folder, keywords, drawn, label, request):
    entry, all_of_them = intake.open_catalog(MAIN)["gcm"](**keywords), request.config.getoption("--long")
    if label == "plasim" or all_of_them:
        return analyses.run(entry, folder / "new")
    return OfAWeek(analyses.run(entry, folder / "new", OF_A_WEEK))


def elsewhere(environment, catalog, folder, keywords):
    """What the analyses say in another environment."""
    said = environment.python(
        Path(analyses.__file__), catalog, "gcm", folder, *([json.dumps(keywords)] if keywords else [])
    )
    return json.loads(said.splitlines()[-1])


# What they find --------------------------------------------------------------------------------------------


def test_each_instant_is_drawn_once(figures, drawn, folder):
    """Whatever the zoom, the chunks, the variables and the order of the analyses."""
    of_a_week = isinstance(figures, OfAWeek)
    made, instants = (OF_A_WEEK, 8) if of_a_week else (analyses.ANALYSES, INSTANTS)
    assert list(figures) == [analysis.__name__ for analysis in made]
    assert of_a_week or len(figures) == 10
    assert drawn() == instants
    assert len(list((folder / "instants").rglob("*.npy"))) == instants


def test_maps(figures, folder):
    tas, pr, rlut, psl = (figures["maps"][name] for name in ("tas", "pr", "rlut", "psl"))
    assert 285 < tas["equator"] < 310
    assert tas["equator"] > tas["poles"] + 20
    assert rlut["equator"] > rlut["poles"] + 20
    assert pr["max"] * 86400 > 20  # mm a day
    assert 90000 < psl["min"] < psl["max"] < 112000
    for name in ("tas", "pr", "rlut", "psl"):  # the map, without the corners around it
        assert 0.8 < figures["maps"][name]["filled"] < 0.95
    assert (folder / "new" / "maps.png").stat().st_size > 50_000


def test_zonal_means(figures):
    found = figures["zonal_mean_bands"]
    lat, january, july = (np.array(found[name]) for name in ("latitudes", "tas_january", "tas_july"))
    assert found["rings"] == 4 * 16 - 1
    assert abs(found["warmest_ring"]) < 30
    assert found["coldest_ring"] < -60
    for tas in (january, july):
        assert abs(lat[tas.argmax()]) < 30
        assert tas[abs(lat) < 20].min() > tas[abs(lat) > 60].max()
    assert (july - january)[lat > 30].mean() > 5
    assert (july - january)[lat < -30].mean() < -2
    pr = np.array(found["pr_july_mm_per_day"])
    assert 0 < lat[pr.argmax()] < 20
    assert 3 < pr.max() < 20
    jet = np.array(found["jet_july"])
    assert -60 < lat[jet.argmax()] < -20  # of the winter
    assert 20 < jet.max() < 80


def test_hovmoeller(figures):
    found = figures["hovmoeller"]
    assert found["days"] == 24
    assert found["missing"] == 0
    assert np.mean(np.array(found["wettest_latitude"]) == 7.5) > 0.5
    assert 1.5 < np.mean(found["mean_mm_per_day"]) < 4.5
    rlut = np.array(found["rlut_by_longitude"])
    assert ((rlut > 180) & (rlut < 310)).all()
    assert rlut[4:6].mean() < rlut[9:11].mean() - 10  # deep clouds over the warm pool, few over the eastern Pacific


def test_energy_transport(figures):
    found = figures["energy_transport"]
    lat, total, eddies = (np.array(found[name]) for name in ("latitudes", "total_PW", "eddies_PW"))
    middle = (abs(lat) > 30) & (abs(lat) < 60)
    for transport in (total, eddies):
        assert (np.sign(transport) == np.sign(lat))[middle].all()  # polewards
        # Of eight instants of the simulations it is, in all but one of a hundred samples, 0.9 to 4.4.
        assert ((abs(transport) > 0.7) & (abs(transport) < 7))[middle].all()
        assert (abs(transport)[abs(lat) > 80] < 1).all()
    mse = np.array(found["mse_kJ_per_kg"])
    assert 320 < mse[abs(lat) < 10].mean() < 350
    assert (np.diff(mse[lat > 10]) < 5).all()


def test_tracking_files(figures, folder):
    found = figures["tracking_files"]
    assert found["files"] == ["tracking_199006.nc", "tracking_199007.nc"]
    assert found["times"] == [3, 3]
    assert found["variables"] == ["psl", "sfcWind", "uas", "vas", "zg250", "zg500"]
    assert found["units"] == "Pa"
    assert all(920 < low < 1000 for low in found["deepest_hPa"])
    assert abs(found["deepest_latitude"]) > 30
    assert 10 < found["strongest_wind"] < 80
    assert found["thickness_equator"] > found["thickness_poles"] + 300


def test_rain_belt(figures):
    january, july = figures["rain_belt"]["january"], figures["rain_belt"]["july"]
    assert january["latitude"] < 0 < july["latitude"]
    for season in (january, july):
        assert season["of"] == 1536  # half of the globe
        assert season["cells"] == pytest.approx(0.1 * season["of"], abs=1)
        assert season["threshold_mm_per_day"] > 3
        assert 0.3 < season["share_of_rain"] < 0.95
        assert season["rlut_inside"] < season["rlut_outside"] - 10
        assert season["prw_inside"] > season["prw_outside"] + 3
        assert 0.05 < season["coloured"] < 0.2


def test_stratocumulus(figures, label):
    found = figures["stratocumulus"]
    tropics = found["tropics"]
    # These are hours of 0 UTC: night and sunset in three of the regions, for the model that has them.
    sunlit = ("californian",) if label == "plasim" else ("peruvian", "namibian", "californian", "canarian")
    for region in ("peruvian", "namibian", "californian", "canarian"):
        here = found[region]
        assert here["cells"] > 10
        assert here["pr_mm_per_day"] < 0.5 * tropics["pr_mm_per_day"]
        assert here["ts"] < tropics["ts"]
        assert 0 < here["clt"] < 1
        if region in sunlit:
            assert 0.95 < sum(here["histogram"]) / (8 * here["cells"]) <= 1  # few sampler steps: some are below 0
            assert 30 < here["rsut"] < 200
            assert here["rsut"] < here["rsut_p90"] < 300
        elif region == "peruvian":
            assert -5 < here["rsut"] < 0.4 * found["californian"]["rsut"]
        else:
            assert 0 <= here["rsut"] < 10  # the bottle's nights have a noise of some W m-2, none of it below 0
            assert here["rsut_p90"] < 25
    stability = [found[region]["stability"] for region in ("peruvian", "namibian", "californian", "canarian")]
    assert np.mean(stability) > tropics["stability"]


def test_regridding(figures):
    found = figures["regridding"]
    assert found["shape"] == [8, 6, 72, 144]
    np.testing.assert_allclose(found["mean_of_grid"], found["mean_of_cells"], atol=0.3)
    np.testing.assert_allclose(found["mean_of_twelve_cells"], found["mean_of_cells"], rtol=1e-6)
    assert found["ta_by_level"] == sorted(found["ta_by_level"])  # warmer further down
    assert 0 <= found["its_cell"] < 3072
    assert 285 < found["one_point"] < 315


def test_equatorial_waves(figures, label):
    """Weather lasts: more power at low frequencies than at high ones; and waves go both ways."""
    found = figures["equatorial_waves"]
    assert 220 < found["rlut"] < 290
    assert 0.8 < found["spread"] / RLUT_SPREAD[label] < 2  # few sampler steps: too large
    assert 0.3 < found["east_over_west"] < 2
    assert 2 < found["slow_over_fast"] < 40
    assert 0.1 < found["kelvin_share_of_variance"] < 0.45  # of the plane, 14 of 72 wavenumbers and 8 of 12 frequencies
    assert found["imaginary"] < 1e-9


def test_whole_snapshot(figures, label):
    found = figures["whole_snapshot"]
    assert len(found["variables"]) == 28  # orography and land among them
    assert found["grid"] == {"grid_mapping_name": "healpix", "healpix_order": "nest"}
    assert found["pressure"] == [10000, 25000, 50000, 70000, 85000, 100000]
    means = {name: np.ravel(mean) for name, mean in found["means"].items()}
    assert [name for name in means if np.isnan(means[name]).any()] == ["clwvi"] * (label == "jcm")  # JCM has none
    ta, zg = found["means"]["ta"], found["means"]["zg"]
    assert (np.diff(ta) > 0).all()
    assert ta[-2] < found["means"]["tas"]
    assert (np.diff(zg) < 0).all()
    assert zg[-2] > 1000
    assert found["units"]["pr"] == "kg m-2 s-1"
    assert found["means"]["psl"] == pytest.approx(100 * PSL[label], abs=300)


def test_pictures(figures, folder):
    assert figures["maps"]
    pictures = sorted(path.stem for path in (folder / "new").glob("*.png"))
    assert pictures == sorted(
        ["maps", "zonal_means", "hovmoeller", "energy_transport", "rain_belt", "stratocumulus", "regridding",
         "equatorial_waves"]
    )  # fmt: skip


# The analysis itself ---------------------------------------------------------------------------------------


def test_waves_that_are_there_are_found(tmp_path):
    """What the analysis says of a stored run with a Kelvin wave in it, unlike a bottle's."""
    import healpy
    import xarray as xr

    lon, lat = healpy.pix2ang(16, np.arange(3072), nest=True, lonlat=True)
    time = np.arange("1990-06-24", "1990-07-18", dtype="datetime64[D]").astype("datetime64[ns]")
    phase = np.deg2rad(5 * lon)[None] - 2 * np.pi * np.arange(24)[:, None] / 6  # eastward, once in six days
    rlut = 250 + 20 * np.cos(phase) * np.exp(-((lat / 10) ** 2))
    crs = xr.DataArray(1, attrs={"grid_mapping_name": "healpix", "healpix_nside": 16, "healpix_order": "nest"})
    stored = xr.Dataset({"rlut": (("time", "cell"), rlut, {"grid_mapping": "crs"})}, {"time": time, "crs": crs})
    stored.to_zarr(tmp_path / "waves.zarr", consolidated=False)
    (tmp_path / "catalog.yaml").write_text(
        "sources:\n  waves:\n    driver: zarr\n    args:\n      urlpath: '{{ CATALOG_DIR }}/waves.zarr'\n"
        "      consolidated: false\n"
    )
    pytest.importorskip("intake_xarray")
    entry = intake.open_catalog(str(tmp_path / "catalog.yaml"))["waves"]
    found = analyses.equatorial_waves(lambda **_: entry, tmp_path)
    assert found["east_over_west"] > 100
    assert found["slow_over_fast"] > 10
    assert found["kelvin_share_of_variance"] > 0.95


# Elsewhere -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["plasim"], indirect=True)
def test_with_intake_0_7(figures, folder, keywords, drawn):
    """The same to the last bit, from the instants that are on disk: nothing is drawn, torch not even imported."""
    kept = {path: path.stat().st_ino for path in (folder / "instants").rglob("*.npy")}
    said = elsewhere(environments.old_intake(), MAIN, folder / "old", keywords)
    assert said["intake"] == "0.7.0"
    assert intake.__version__.startswith("2.")
    assert not said["torch"]
    assert said["figures"] == figures
    assert kept == {path: path.stat().st_ino for path in (folder / "instants").rglob("*.npy")}


@pytest.mark.parametrize("label", ["plasim"], indirect=True)
def test_on_a_stored_copy(figures, folder, keywords):
    """Only the entry changes: the same fields in zarr, with the hackathon's kind of entry, make the same figures."""
    entry = intake.open_catalog(MAIN)["gcm"](**keywords)
    days = [d for s in (analyses.JANUARY, analyses.WEEKS) for d in np.arange(s.start, np.datetime64(s.stop) + 1)]
    for zoom in (0, 3, 4):
        ds = entry(zoom=zoom, time="P1D").to_dask().sel(time=np.array(days, "datetime64[ns]"))
        ds.to_zarr(folder / "stored" / f"P1D_{zoom}.zarr", consolidated=False)
    (folder / "stored.yaml").write_text(STORED)
    said = elsewhere(environments.old_intake(), folder / "stored.yaml", folder / "from_stored", None)
    for name, found in said["figures"].items():
        _close(found, figures[name], name)


STORED = """
sources:
  gcm:
    driver: zarr
    args:
      urlpath: "{{ CATALOG_DIR }}/stored/{{ time }}_{{ zoom }}.zarr"
      consolidated: false
      chunks: {}
    parameters:
      time: {type: str, allowed: [P1D], default: P1D, description: time resolution of the dataset}
      zoom: {type: int, allowed: [4, 3, 0], default: 4, description: zoom resolution of the dataset}
"""


def _close(found, expected, where):
    """Equal but for the last bits of float32 means, which depend on chunks."""
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key in expected:
            _close(found[key], expected[key], f"{where} {key}")
    elif isinstance(expected, float) or (isinstance(expected, list) and np.asarray(expected).dtype.kind == "f"):
        scale = np.max(np.abs(expected))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * scale + 1e-9, err_msg=where)
    else:
        assert found == expected, where
