"""The scripts that simulate: what drives a run, and what is made of a model's output, on fields that are known."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("healpy")

SCRIPTS = Path(__file__).parents[2] / "examples/simulations"
LAT, LON = np.linspace(85, -85, 18), np.arange(0, 360, 10.0)


@pytest.fixture(scope="module")
def scripts():
    """The modules by name; they import each other as scripts in one folder do."""
    names = ("forcings", "healpix_output", "simulate_plasim", "design")
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(SCRIPTS))
        for name in names:
            sys.modules.pop(name, None)


def test_a_number_holds_for_all_years(scripts):
    assert scripts["forcings"].Series("840").at(1979) == 840


def test_a_series_is_that_of_the_middle_of_its_years(scripts, tmp_path):
    path = tmp_path / "co2.csv"
    path.write_text("year,co2\n1990,350\n1991,360\n")
    series = scripts["forcings"].Series(str(path))
    assert series.at(1990) == pytest.approx(350)
    assert series.at(1990, 12.5) == pytest.approx(355)
    xr.Dataset({"co2": ("year", [350.0, 360.0])}, {"year": [1990, 1991]}).to_netcdf(tmp_path / "co2.nc")
    assert scripts["forcings"].Series(str(tmp_path / "co2.nc")).at(1991) == pytest.approx(360)


def test_a_series_that_does_not_cover_a_year_is_refused(scripts, tmp_path):
    path = tmp_path / "co2.csv"
    path.write_text("year,co2\n1990,350\n1991,360\n")
    with pytest.raises(ValueError, match="covers 1990 to 1991, not 2013"):
        scripts["forcings"].Series(str(path)).at(2013)


def test_a_uniform_offset_is_everywhere_the_same(scripts):
    offset = scripts["forcings"].Offset("-1.5")
    assert offset.name == "uniform"
    assert np.all(offset.at([(1990, 1), (1990, 2)], LAT, LON) == np.float32(-1.5))


def test_a_pattern_comes_by_month_from_any_grid(scripts, tmp_path):
    month, lat, lon = np.arange(1, 13), np.arange(-90, 91, 5.0), np.arange(-180, 180, 5.0)
    values = month[:, None, None] + 0.01 * lat[:, None] + np.cos(np.deg2rad(lon))
    xr.Dataset(
        {"offset": (("month", "latitude", "longitude"), values)}, {"month": month, "latitude": lat, "longitude": lon}
    ).to_netcdf(tmp_path / "pattern.nc")
    offset = scripts["forcings"].Offset(str(tmp_path / "pattern.nc"))
    got = offset.at([(1990, 3), (1991, 1)], LAT, LON)
    expected = np.array([3, 1])[:, None, None] + 0.01 * LAT[:, None] + np.cos(np.deg2rad(LON))
    assert got == pytest.approx(expected, abs=0.01)
    assert offset.name == "pattern.nc"


def test_without_an_offset_sea_and_ice_stay_as_they_are(scripts):
    sst, ice = np.array([270.0, 271.35, 290.0]), np.array([1.06, 0.5, -0.1])
    warm, left = scripts["forcings"].warmer_sea(sst, ice, np.zeros(3))
    assert (warm == sst).all()
    assert (left == ice).all()


def test_ice_thaws_under_a_warmer_sea_and_forms_on_a_colder_one(scripts):
    sst, ice = np.array([271.35, 271.35, 272.35, 290.0]), np.array([1.0, 0.1, 0.0, 0.0])
    warm, left = scripts["forcings"].warmer_sea(sst, ice, np.full(4, 2.0))
    assert left == pytest.approx([0.8, 0.0, 0.0, 0.0])
    assert warm == pytest.approx([271.75, 273.35, 274.35, 292.0])
    cold, formed = scripts["forcings"].warmer_sea(sst, ice, np.full(4, -2.0))
    assert formed == pytest.approx([1.0, 0.3, 0.1, 0.0])
    assert cold == pytest.approx([271.35, 271.35, 271.35, 288.0])


def test_attributes_say_what_drove_the_year(scripts):
    module = scripts["forcings"]
    driven = module.Forcing("warm", module.Offset("2"), module.Series("560"))
    attrs = driven.attrs(1990, LAT, LON, np.ones((len(LAT), len(LON))))
    assert attrs == {"run": "warm", "sst_offset": 2.0, "sst_pattern": "uniform", "co2_ppmv": 560.0}
    assert driven.file(Path("sim"), "jcm_1990") == Path("sim/jcm_1990_warm.nc")
    assert module.Forcing().file(Path("sim"), "jcm_1990") == Path("sim/jcm_1990.nc")


def test_only_years_without_a_file_are_run(scripts, tmp_path):
    (tmp_path / "1984").touch()
    blocks = scripts["forcings"].missing({year: tmp_path / str(year) for year in range(1982, 1987)})
    assert blocks == [range(1982, 1984), range(1985, 1987)]


def test_vertical_velocity_is_that_of_a_known_flow(scripts):
    """Where the surface pressure is the same everywhere: -sigma * ps * D; else a wind along its gradient adds to it."""
    half = np.linspace(0, 1, 6)
    shape = (1, 5, len(LAT), len(LON))
    sigma = (0.5 * (half[1:] + half[:-1]))[:, None, None]
    omega = scripts["simulate_plasim"].vertical_velocity
    divergence, still = np.full(shape, 1e-5), np.zeros(shape)
    flat = np.full((1, len(LAT), len(LON)), 1e5)
    rows = np.broadcast_to(-sigma, shape)
    assert omega(divergence, still, still, flat, half, LAT) == pytest.approx(rows)
    wavy = 1e5 * np.exp(0.01 * np.sin(np.deg2rad(2 * LON))) * np.ones((1, len(LAT), 1))
    east = np.full(shape, 10.0)
    along = 10 * 0.02 * np.cos(np.deg2rad(2 * LON)) / (6371220.0 * np.cos(np.deg2rad(LAT))[:, None])
    # A wind that is the same on all levels leaves half of sigma * ps * V.grad(ln ps) on the way down: none at all.
    assert omega(still, east, still, wavy, half, LAT) == pytest.approx(np.zeros(shape), abs=1e-6)
    sheared = east * (half[1:] > 0.5)[:, None, None]
    lowest = omega(still, sheared, still, wavy, half, LAT)[0, -1]
    below = np.diff(half)[half[1:] > 0.5].sum() - 0.5 * np.diff(half)[-1]
    assert lowest == pytest.approx(wavy[0] * along * (sigma[-1] - below), rel=1e-4, abs=1e-6)


def test_below_the_lowest_level_the_air_is_in_balance(scripts):
    module = scripts["healpix_output"]
    levels = len(module.LEVELS)
    temperature, height = np.full((1, levels, 1, 2), 280.0), np.full((1, levels, 1, 2), 500.0)
    lowest, pressure = np.full((1, 1, 2), 280.0), np.array([[[95000.0, 101000.0]]])
    ta, zg = module.below_ground(temperature, height, lowest, pressure)
    assert (ta[:, :-1] == 280).all()
    assert ta[0, -1, 0, 1] == 280
    fall = 500 - zg[0, -1, 0, 0]
    mean = (ta[0, -1, 0, 0] + 280) / 2
    assert ta[0, -1, 0, 0] - 280 == pytest.approx(module.LAPSE_RATE * fall)
    assert fall == pytest.approx(module.RD * mean / module.G * np.log(100000 / 95000), rel=1e-4)


def test_small_humidities_keep_their_digits(scripts, tmp_path):
    module = scripts["healpix_output"]
    levels = len(module.LEVELS)
    humidity = np.geomspace(2e-6, 2e-2, levels * 48, dtype=np.float32).reshape(1, levels, 48)
    dims = ("time", "pressure", "cell")
    stored = xr.Dataset(
        {"hus": (dims, humidity), "ta": (dims, 250 + 1000 * humidity)}, {"time": [np.datetime64("1990-01-01", "ns")]}
    )
    parts = [stored, stored.assign_coords(time=[np.datetime64("1990-01-02", "ns")])]
    module.write(parts, tmp_path / "x.nc", 1, {"co2_ppmv": 360.0})
    with xr.open_dataset(tmp_path / "x.nc") as read:
        assert (read.time.values == np.array(["1990-01-01", "1990-01-02"], "datetime64[ns]")).all()
        assert read.hus.isel(time=[1]).values == pytest.approx(humidity, rel=5e-3)
        assert read.ta.isel(time=[1]).values == pytest.approx(stored.ta.values, abs=0.011)
        assert read.attrs == {"co2_ppmv": 360.0, "healpix_nside": 2, "healpix_order": "nest"}


def test_runs_to_learn_from_leave_out_what_is_held_out(scripts, tmp_path):
    (tmp_path / "forced").mkdir()
    runs = scripts["design"].design(tmp_path)
    offsets, co2 = (np.array([run[k] for run in runs]) for k in (1, 2))
    assert len(runs) == len({run[3] for run in runs}) == 8
    assert offsets.min() < -1.5
    assert 2 < offsets.max() <= 2.5
    assert ((co2 >= 280) & (co2 <= 700) | (co2 >= 950) & (co2 <= 1120)).all()
    assert abs(np.corrcoef(offsets, np.log(co2))[0, 1]) < 0.2
    for pattern in tmp_path.glob("forced/*.nc"):
        with xr.open_dataarray(pattern) as field:
            assert float(field.max()) < 3
            assert float(field.std()) > 0.5
