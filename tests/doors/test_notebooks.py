"""The example notebooks: each runs from top to bottom, shows pictures, and its numbers make sense.

They are run as they are, in an empty folder, but for their settings, and for the bottle `gcm`: here that is a copy
whose sampler takes few evaluations of the network, so that there is something to check within seconds. Where nothing
that is checked is the network's work its networks are small too; ``--long`` takes those of `gcm` for all.
What each notebook has found is checked inside it, by a cell at its end that calls one of the functions below.
"""

from __future__ import annotations

import base64
import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.bottles import light_gcm, quick_gcm
from xr_cbottle.bottle import location
from xr_cbottle.grid import healpix

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("papermill", reason="pip install 'xr-cbottle[test]'")
pytest.importorskip("cartopy")

from tests import execute_notebooks  # noqa: E402

ROOT = Path(__file__).parents[2]
NOTEBOOKS = execute_notebooks.notebooks()
NAMES = [path.stem for path in NOTEBOOKS]
pytestmark = [
    pytest.mark.skipif(not NOTEBOOKS, reason="only in a checkout"),
    pytest.mark.skipif("gcm" not in location.bundled(), reason="the bottle gcm is not here"),
]
#: Notebooks of which something is checked that only a trained network draws. What 02 looks at is a climate's, and what
#: a trained network makes of it `test_analyses` looks at; what is checked of 03 are laws of counting.
OF_WEATHER = ("01_open_a_bottle", "08_your_own_data")
#: Notebooks that CI runs; ``--long`` runs all. What the others call has tests of its own.
SHORT = ("01_open_a_bottle", "02_hackathon_analysis", "03_ensembles_and_extremes", "07_serve_and_view")
LONG = tuple(name for name in NAMES if name not in SHORT)
YEAR = slice("1990-01-01T00", "1990-12-31", "PT294H")  # each time another hour of the day
BEFORE = "import warnings\nwarnings.filterwarnings('error', module='xr_cbottle')"
AFTER = """
import sys, types
sys.path.insert(0, {root!r})
from tests.doors import test_notebooks
test_notebooks.{check}(types.SimpleNamespace(**{{k: v for k, v in globals().items() if k[0] != "_"}}))
print("checked")
"""


def settings(folder: Path) -> dict[str, dict[str, Any]]:
    """Small settings of each notebook."""
    cache = str(folder / "instants")
    return {
        "01_open_a_bottle": {"MEMBERS": 3, "CACHE_DIR": cache},
        "02_hackathon_analysis": {
            "CATALOG": str(ROOT / "catalogs" / "main.yaml"), "HOURS": 750, "FRAMES": 3, "CACHE_DIR": cache,
        },
        "03_ensembles_and_extremes": {"MEMBERS": 32, "CACHE_DIR": cache},
        "04_compare_models": {
            "MODELS": {"jcm": str(folder / "jcm.zarr"), "plasim": str(folder / "plasim.zarr")},
            "HOURS": 294, "CACHE_DIR": cache,
        },
        "05_train_your_own": {
            "CATALOG": str(ROOT / "catalogs" / "main.yaml"), "HOURS": 750, "IMAGES": 48, "DRAWN": 4, "CACHE_DIR": cache,
        },
        "06_scale_out": {"END": "1990-01-08", "FOLDER": str(folder / "scaled")},
        "07_serve_and_view": {"PORT": 0, "CACHE_DIR": cache},
        "08_your_own_data": {
            "SAMPLE": str(ROOT / "examples" / "own_data" / "era5_20260325.nc"),
            "STATIONS": 100, "MEMBERS": 2, "DRAWS": 12, "CACHE_DIR": cache,
        },
        "09_finer_than_the_bottle": {
            "SAMPLE": str(ROOT / "examples" / "own_data" / "era5_20260325.nc"),
            "BOX": [0, 20, 44, 56], "MEMBERS": 2, "CACHE_DIR": cache,
        },
        "10_the_diurnal_cycle": {"DAYS": 2, "CACHE_DIR": cache},
        "11_ensembles_on_the_globe": {"PORT": 0, "MEMBERS": 4, "CACHE_DIR": cache},
        "12_stored_or_drawn": {"SIMULATION": str(folder / "simulation.nc"), "HOURS": 378, "CACHE_DIR": cache},
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the quick bottle in ``bottles``, and one with small networks in ``light``."""
    folder = tmp_path_factory.mktemp("notebooks")
    quick_gcm(folder / "bottles")
    (folder / "light").mkdir()
    light_gcm(folder / "light")
    return folder


@pytest.fixture(scope="module")
def runs(folder, request):
    """The notebooks that were asked for, as they are being run, two at a time."""
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    long = request.config.getoption("--long")
    asked -= set() if long else set(LONG)
    trained = NAMES if long else OF_WEATHER
    kernels = execute_notebooks.kernel
    with (
        kernels("quick", XR_CBOTTLE_PATH=str(folder / "bottles")) as quick,
        kernels("light", XR_CBOTTLE_PATH=str(folder / "light")) as light,
        ThreadPoolExecutor(2) as pool,
    ):
        of_each = {name: (quick, "bottles") if name in trained else (light, "light") for name in NAMES}
        yield {
            path.stem: pool.submit(run, path, folder, *of_each[path.stem]) for path in NOTEBOOKS if path.stem in asked
        }
        pool.shutdown(cancel_futures=True)


def run(path: Path, folder: Path, kernel: str, bottle: str):
    place, parameters = folder / path.stem, settings(folder)[path.stem]
    place.mkdir()
    # Stand-ins for stored simulations, which a test has none of: other ensembles of the same bottle's labels.
    for seed, (label, store) in enumerate(parameters.get("MODELS", {}).items(), 1):
        ds = xr.open_dataset(folder / bottle / "gcm.cbottle", engine="cbottle", time=YEAR, seed=seed, label=label)
        ds = ds[["tas", "pr", "rlut", "psl", "ua"]]
        ds.load().to_zarr(store, zarr_format=2, consolidated=True)
    if "SIMULATION" in parameters:
        write_summer(folder / bottle / "gcm.cbottle", parameters["SIMULATION"])
    after = AFTER.format(root=str(ROOT), check=f"check_{path.stem[3:]}")
    return execute_notebooks.execute(path, place, kernel, parameters, BEFORE, after)


def write_summer(bottle: Path, path: str) -> None:
    """A stand-in for a year of JCM: what notebook 12 reads, of another ensemble, and without a variable ``crs``."""
    times = pd.date_range("1990-06-01T06", "1990-08-31T18", freq="378h")
    ds = xr.open_dataset(bottle, engine="cbottle", time=times, seed=9, label="jcm")
    ds = ds[["tas", "pr", "psl", "rlut", "ua", "zg"]].sel(pressure=[25000, 50000])
    ds.drop_vars(["crs", "cell", "cell_ids"], errors="ignore").load().to_netcdf(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in NAMES])
def test_it_runs_and_its_numbers_make_sense(name, runs: dict[str, Future]):
    notebook = runs[name].result()
    printed = [output.text for output in notebook.cells[-1].outputs if output.output_type == "stream"]
    assert "".join(printed).endswith("checked\n")
    shown = execute_notebooks.pictures(notebook)
    kept = execute_notebooks.pictures(nbformat.read(execute_notebooks.FOLDER / f"{name}.ipynb", 4))
    assert len(shown) == len(kept) >= 2 - (name[:2] == "07")
    for picture in shown:
        assert_is_no_blank(picture)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_is_fit_to_be_seen(name):
    path = execute_notebooks.FOLDER / f"{name}.ipynb"
    assert execute_notebooks.faults(path) == []
    cells = nbformat.read(path, 4).cells
    heading, *rest = cells[0].source.split("\n\n")
    assert heading.startswith(f"# {int(name[:2])} ")
    assert len(rest) == 1, "a notebook begins with one paragraph"
    assert [cell.metadata.get("tags") for cell in cells].count(["parameters"]) == 1
    assert cells[1].metadata["tags"] == ["parameters"]
    assert cells[-1].source.startswith("## What to try\n")
    for picture in execute_notebooks.pictures(nbformat.read(path, 4)):
        assert_is_no_blank(picture)


def test_all_of_them_are_small():
    assert len(NOTEBOOKS) == len(settings(Path())) == 12
    assert sum(path.stat().st_size for path in NOTEBOOKS) < execute_notebooks.LIMITS["all"]


def test_what_is_kept_has_nothing_of_the_machine_or_the_moment():
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "bar"}
    outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="a"),
        nbformat.v4.new_output("stream", name="stdout", text="b"),
        nbformat.v4.new_output("display_data", widget),
        nbformat.v4.new_output("display_data", {"image/png": png, "text/plain": "<Figure at 0x7f>"}),
    ]
    cell = nbformat.v4.new_code_cell("1", outputs=outputs, metadata={"execution": {"iopub.execute_input": "now"}})
    cell.execution_count = 1
    given = nbformat.v4.new_notebook(cells=[cell], metadata={"papermill": {"duration": 1}, "widgets": {}})
    made = execute_notebooks.normalised(given)
    (cell,) = made.cells
    assert cell.metadata == {}
    assert cell.outputs[0].text == "ab"
    assert [sorted(output.get("data", {})) for output in cell.outputs] == [[], ["image/png"]]
    assert set(made.metadata) == {"kernelspec", "language_info"}
    assert execute_notebooks.normalised(made) == made


def test_faults_are_found(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("a", execution_count=2, outputs=[
            nbformat.v4.new_output("stream", name="stderr", text="/root/x.py:1: UserWarning"),
            nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[]),
            nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(os.urandom(70_000)).decode()}),
        ])
    ]  # fmt: skip
    path = tmp_path / "x.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"papermill": {}}), path)
    found = "\n".join(execute_notebooks.faults(path))
    for part in ("not run from top", "cell failed", "stderr", "/root/x.py", "metadata", "pictures are too large"):
        assert part in found


def assert_is_no_blank(picture: bytes) -> None:
    """Many pixels are of other colours than the background."""
    from PIL import Image

    image = Image.open(io.BytesIO(picture))
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        pixels = np.asarray(image.convert("RGB"))
        assert min(pixels.shape[:2]) > 60
        background = (pixels == pixels[0, 0]).all(-1)
        assert background.mean() < 0.98
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 8


# What the notebooks have found: each is called in one, with its variables.


def check_open_a_bottle(nb: SimpleNamespace) -> None:
    assert nb.ds.sizes["member"] == nb.MEMBERS
    assert nb.same
    assert nb.exact_mean
    assert nb.differs > 0.5
    _, lat = healpix.lonlat(4)
    tas = nb.july.tas.values
    assert tas[abs(lat) < 15].mean() > tas[lat > 60].mean() + 8
    assert tas[lat > 60].mean() > tas[lat < -60].mean() + 20  # it is July
    assert nb.july.ua.sel(pressure=25000).values[(lat < -25) & (lat > -50)].mean() > 15  # the jet of winter
    tropics, storms = (float(nb.spread.values[part].mean()) for part in (abs(lat) < 15, (lat < -40) & (lat > -65)))
    assert storms > 2 * tropics > 0
    lon, _ = healpix.lonlat(4)
    lon = lon % 360
    plasim, jcm = (nb.labels[label] for label in ("plasim", "jcm"))
    assert float(jcm.psl.mean() - plasim.psl.mean()) == pytest.approx(1680, abs=200)  # as in the simulations
    day, night = ((lon > 45) & (lon < 135), (lon > 225) & (lon < 315))  # at 6 UTC
    assert plasim.rsds.values[day].mean() > 300
    assert abs(plasim.rsds.values[night & (lat < 45)].mean()) < 20
    assert 0.8 < jcm.rsds.values[day].mean() / jcm.rsds.values[night].mean() < 1.25
    assert 0.1 < nb.six_hours / nb.two_members < 0.6  # weather lasts


def check_hackathon_analysis(nb: SimpleNamespace) -> None:
    assert "gcm" in list(nb.cat)
    zonal = nb.zonal
    tas = zonal.tas.mean("season")
    assert tas.sel(lat=0, method="nearest") > tas.sel(lat=-80, method="nearest") + 20
    assert tas.sel(lat=0, method="nearest") > tas.sel(lat=80, method="nearest") + 10
    winter, summer = (zonal.tas.sel(season=s, lat=slice(40, 70)).mean() for s in ("DJF", "JJA"))
    assert summer > winter + 10
    rain = 86400 * nb.year.pr.mean()
    assert 1.5 < rain < 4.5
    assert 210 < nb.year.rlut.mean() < 250
    assert zonal.ua.sel(lat=slice(30, 50)).mean() > zonal.ua.sel(lat=slice(-5, 5)).mean() + 5
    belt = nb.seasons.pr.groupby("lat").mean().sel(lat=slice(-25, 25))
    centre = (belt * belt.lat).sum("lat") / belt.sum("lat")
    assert centre.sel(season="JJA") > centre.sel(season="DJF") + 2  # the rain follows the sun
    assert nb.waves.sizes == {"time": nb.FRAMES, "lon_bins": 36}
    assert np.isfinite(nb.waves).all()
    # Three hours are drawn for the map and the film once, whatever is read of them.
    assert nb.frames.sizes["time"] == nb.FRAMES


def check_ensembles_and_extremes(nb: SimpleNamespace) -> None:
    n = nb.MEMBERS
    assert nb.wind.shape == (n, 3072)
    assert nb.probability.min() >= 0
    assert nb.probability.max() <= 1
    np.testing.assert_array_equal(nb.probability * n, nb.gale.sum("member"))
    assert nb.error.max() <= 0.5 / np.sqrt(n) + 1e-6
    assert (np.diff(nb.exceedance) <= 0).all()
    assert nb.exceedance[0] == 1
    assert ((nb.low <= nb.exceedance) & (nb.exceedance <= nb.high)).all()
    assert (nb.low >= 0).all()
    assert (nb.high <= 1 + 1e-12).all()
    assert nb.exceedance[-1] < 0.1  # hardly anybody exceeds 40 m/s
    assert nb.high[-1] >= 1.96**2 / (n + 1.96**2) * (1 - 1e-9)  # Wilson's bound if nobody does
    width = nb.running_high - nb.running_low
    assert width[-1] < width[0] / 2
    assert nb.quantile_low <= nb.quantile <= nb.quantile_high
    assert nb.rare.min() >= 0
    assert (nb.rare >= nb.wind.median("member")).all()
    low, high = nb.wilson(np.array([0, 5, 10]), 10)
    np.testing.assert_allclose(low + high[::-1], 1)
    assert len(nb.stormy) + len(nb.calm) == n
    assert nb.together_low <= nb.together <= nb.together_high


def check_compare_models(nb: SimpleNamespace) -> None:
    """The stand-ins are other ensembles of the bottle: they differ from it by chance alone, but the labels do not."""
    assert list(nb.fields) == ["jcm", "plasim", "bottle jcm", "bottle plasim"]
    for label, name in nb.drawn.items():
        figures = nb.figures.loc[[(name, key) for key in nb.units]]
        assert (figures["cells %"] < 15).all(), figures
        assert ((nb.ratios[label] > 0.8) & (nb.ratios[label] < 1.25)).all()
        z = figures["difference"] / figures["error"]
        assert (abs(z) < 5).all(), z
    models = nb.figures.loc[[("plasim", key) for key in nb.units]]
    assert models["cells %"].iloc[list(nb.units).index("psl")] > 90
    assert models["difference"].iloc[list(nb.units).index("psl")] == pytest.approx(-1680, abs=200)
    assert list(nb.alike) == list(nb.units)
    # One bottle, told another label, makes the other model. Two samples of the simulations: 0.48 for pr, 0.68 to 0.94.
    assert all(value > (0.2 if key == "pr" else 0.5) for key, value in nb.alike.items()), nb.alike
    assert (abs(nb.table) < 0.25).all(axis=None)  # independent draws
    rng = np.random.default_rng(0)
    times = nb.times
    noise = xr.DataArray(rng.standard_normal((len(times), 400)), {"time": times}, ("time", "cell"))
    days = noise.time.dt.dayofyear
    season = 50 * np.sin(2 * np.pi * days / 365) + 30 * np.cos(2 * np.pi * noise.time.dt.hour / 24)
    _, error = nb.mean_and_error(noise + season)
    assert float(error.mean()) == pytest.approx(len(times) ** -0.5, rel=0.2)
    assert float(nb.deviation(nb.weather(noise + season)).mean()) == pytest.approx(1, rel=0.1)
    for name in nb.drawn.values():
        (north, _), (south, _) = (nb.cycle[name, region] for region in nb.regions)
        assert north.sel(month=7) > north.sel(month=1) + 10
        assert south.sel(month=1) > south.sel(month=7) + 2


def check_train_your_own(nb: SimpleNamespace) -> None:
    losses = [line["loss"] for line in nb.log if "loss" in line]
    assert len(losses) >= 2
    assert np.isfinite(losses).all()
    assert nb.bottle.manifest.name == "mine"
    assert nb.bottle.manifest.trained_on["images"] == nb.IMAGES
    assert nb.bottle.manifest.zoom == nb.ZOOM
    assert nb.drawn.sizes == {"time": nb.DRAWN, "cell": 12 * 4**nb.ZOOM}
    assert all(np.isfinite(nb.drawn[name]).all() for name in nb.drawn.data_vars)
    assert nb.drawn.attrs["bottle"] == "mine"


def check_scale_out(nb: SimpleNamespace) -> None:
    times = nb.ds.sizes["time"]
    assert nb.drawn == times == nb.drawn_after  # each once, by whichever worker
    assert len(nb.blocks) == -(-times // 4)
    assert len(nb.drawing) == len(nb.blocks)
    assert nb.difference == 0
    direct = nb.stored.tas.mean("time")
    np.testing.assert_allclose(nb.month.tas, direct, rtol=1e-5)
    assert nb.stored.sizes["time"] == times
    _, lat = healpix.lonlat(4)
    assert nb.month.tas.values[abs(lat) < 15].mean() > nb.month.tas.values[abs(lat) > 70].mean() + 20


def check_serve_and_view(nb: SimpleNamespace) -> None:
    assert nb.url.startswith("http://127.0.0.1:")
    assert nb.equal == {"tas": True, "pr": True, "psl": True}
    assert nb.daily.sizes["cell"] == 12 * 4**3
    assert (np.diff(nb.daily.time.values) == np.timedelta64(1, "D")).all()
    assert nb.members.sizes == {"member": 4, "cell": 12 * 4**2}
    np.testing.assert_array_equal(nb.pair.sel(member=0), nb.july.psl)
    np.testing.assert_allclose(nb.members.sel(member=0), nb.july.tas.coarsen(cell=16).mean(), rtol=1e-6)
    assert nb.health["requests"]["refused"] == 0
    assert nb.server.returncode is not None


def check_your_own_data(nb: SimpleNamespace) -> None:
    known = ~nb.hidden
    assert 0.2 < nb.hidden.mean() < 0.5
    np.testing.assert_allclose(nb.fills[0].psl.values[known], nb.own.psl.values[known], rtol=1e-6)
    assert (nb.fills[0].psl.values[nb.hidden] != nb.fills[1].psl.values[nb.hidden]).all()
    assert set(nb.moved.data_vars) >= {"zg", "ua", "rlut", "psl"}
    same = np.corrcoef(nb.moved.tas.values, nb.own.tas.values)[0, 1]
    assert same > 0.9
    assert len(nb.observations) == 4 * nb.STATIONS
    assert nb.fields.sizes["member"] == nb.MEMBERS
    # With few stations, draws, members and steps of the sampler pressure alone, the smoothest, is surely better known.
    assert nb.scores.loc["psl", "less, %"] > 5, nb.scores
    assert (nb.scores["spread"] > 0).all()


def check_finer_than_the_bottle(nb: SimpleNamespace) -> None:
    assert set(nb.fine.data_vars) >= {"tas", "psl", "uas", "vas", "pr"}
    assert nb.here["fine"].sizes["cell"] == 4 * nb.here["coarse"].sizes["cell"] > 0
    assert all(nb.kept[name] < 1e-3 * nb.spread[name] for name in ("tas", "uas")), nb.kept  # means of coarse cells
    assert nb.drawn.sizes["member"] == nb.MEMBERS
    assert float(abs(nb.drawn.tas[0] - nb.drawn.tas[1]).max()) > 0
    np.testing.assert_allclose(nb.drawn.tas.coarsen(cell=4).mean()[0], nb.averaged.tas, atol=0.05)
    assert all(0.1 < value < 1 for value in nb.table["bilinear"])
    if "light" not in nb.bottle.path:  # networks that have learnt something
        assert all(nb.table["bilinear"] < nb.table["downscaled"]), nb.table


def check_the_diurnal_cycle(nb: SimpleNamespace) -> None:
    sun, still = nb.harmonics["plasim", "rsds"], nb.harmonics["jcm", "rsds"]
    assert sun.amplitude > max(150, 5 * still.amplitude), (sun, still)
    assert abs(sun.phase - 12) < 1
    warmth = nb.harmonics["plasim", "tas"]
    assert warmth.amplitude > 2 * nb.harmonics["jcm", "tas"].amplitude
    assert 13 < warmth.phase < 19
    land = nb.land
    assert nb.amplitude.values[land].mean() > 2 * nb.amplitude.values[~land].mean()
    for (label, name, where), (mean, error) in nb.composites.items():
        alone = nb.fields[label][name].values[:, nb.masks[where].values]
        np.testing.assert_allclose(mean.mean("hour"), alone.mean(), rtol=0.02)  # hours of cells are rounded
        assert (error > 0).all()


def check_ensembles_on_the_globe(nb: SimpleNamespace) -> None:
    psl = nb.psl.values.astype(np.float64)
    assert psl.shape == (nb.MEMBERS, 3072)
    np.testing.assert_allclose(nb.fields["mean"], psl.mean(0), rtol=1e-5)
    np.testing.assert_allclose(nb.fields["spread"], psl.std(0, ddof=1), rtol=1e-3)
    np.testing.assert_array_equal(nb.fields["probability"] * nb.MEMBERS / 100, (psl < nb.BELOW).sum(0))
    assert 0 < nb.fields["probability"].mean() < 50
    assert nb.fields["probability"].attrs == {"units": "%"}  # it is no pressure, and is not drawn as one
    assert nb.same == {0: True, 1: True}
    assert nb.server.returncode is not None


def check_stored_or_drawn(nb: SimpleNamespace) -> None:
    assert list(nb.kept) == ["bottle", "drawn_before", "simulation"]
    drawn = nb.kept["bottle"]
    assert drawn.sizes == {"time": len(nb.TIMES), "pressure": 2, "cell": 3072}
    for name in ("drawn_before", "simulation"):
        other = nb.kept[name]
        assert other.sizes == drawn.sizes
        for variable in nb.VARIABLES:
            assert other[variable].attrs["units"] == drawn[variable].attrs["units"]
            assert (other[variable].values != drawn[variable].values).mean() > 0.5, variable  # of another seed
    assert nb.equal == dict.fromkeys(nb.VARIABLES, True)
    # All three are of one climate, of which chance takes one ring of twenty; few instants make it more.
    assert max(share for of_one in nb.beyond.values() for share in of_one.values()) < 40, nb.beyond
    assert max(abs(value) for row in nb.rows.values() for name, value in row.items() if "," in name) < 5, nb.rows
