"""Other climates: runs are understood by their attributes, and the bottle is asked for the same and judged by them."""

from __future__ import annotations

import dataclasses
import json
import warnings

import numpy as np
import pytest
import xarray as xr

from tests import bottles, evaluation_data, forcings
from xr_cbottle import cli
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.records import TimeSpec
from xr_cbottle.evaluation import climate_targets, gallery, instants
from xr_cbottle.evaluation.climate_change import Change, Trends, stratosphere
from xr_cbottle.evaluation.climate_comparison import ClimateSides, compare_climate
from xr_cbottle.evaluation.climate_run import FileClimate, base_keywords, base_of, climate_runs, untold
from xr_cbottle.evaluation.reference import open_files, open_stored
from xr_cbottle.evaluation.sampling import Drawing
from xr_cbottle.grid import healpix

LON, LAT = healpix.lonlat(2)
LAND = (LON > 20) & (LON < 70) & (LAT > -20)
WHEN = evaluation_data.times("1981-01-01", 365, 60)


def write(path, year, run="amip", warmer=0.0, days=365, **attrs):
    """A year of a simulation whose temperature is as much warmer as the bottle of `tests.forcings` makes it."""
    when = evaluation_data.times(f"{year}-01-01", days, 12)
    made = evaluation_data.dataset(("tas", "pr"), when, 2, seed=sum(map(ord, run)) + year)
    made["tas"] = made["tas"] + forcings.PER_KELVIN * warmer
    made["pr"] = made["pr"] * (1 + 0.03 * warmer)
    for name, units in (("tas", "K"), ("pr", "kg m-2 s-1")):
        made[name].attrs["units"] = units
    made.attrs = {"run": run, "sst_offset": str(warmer), "sst_pattern": "uniform", "co2_ppmv": "360.0", **attrs}
    made.to_netcdf(path)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bottle of four years that answers to its sea and to CO2; a simulation of it, a warm run and a rising one."""
    path = tmp_path_factory.mktemp("climate")
    sst, long = bottles.sst_cells, ("1980-01-01", "1983-12-31T23:00:00")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bottles, "sst_cells", lambda zoom: sst(zoom, months=49))
        bottles.synthetic_bottle(
            path / "small.cbottle", channels=("tas", "pr"), climatology=forcings.climatology(), sea_range=(-2.0, 2.0),
            forcings={"co2": dataclasses.replace(forcings.CO2, times=long)},
            time=TimeSpec("1980-01-01", "1983-12-31T18:00:00", "PT6H"),
        )  # fmt: skip
    forcings.still(path / "still.cbottle")
    write(path / "sim_1980.nc", 1980, days=366)
    write(path / "sim_1981.nc", 1981)
    write(path / "warm_1981.nc", 1981, "plus3K", 3.0)
    for i, year in enumerate((1980, 1981, 1982)):
        write(path / f"rising_{year}.nc", year, "rising", float(i))
    return path


def test_a_run_is_what_its_files_say(folder):
    rising, warm = reversed(climate_runs(open_files([str(folder / "*ing_*.nc"), str(folder / "warm_1981.nc")])))
    assert (warm.name, rising.name) == ("rising", "plus3K") or (warm.name, rising.name) == ("plus3K", "rising")
    runs = {one.name: one for one in (rising, warm)}
    assert (runs["plus3K"].rises, runs["plus3K"].warms) == (False, True)
    assert (runs["rising"].rises, len(runs["rising"].stored.parts)) == (True, 3)
    assert runs["plus3K"].words == "sea +3.00 K, CO2 360 ppmv"
    assert runs["rising"].words == "sea +0.00 K, CO2 360 ppmv to sea +2.00 K, CO2 360 ppmv"
    known = [open_stored([str(folder / "sim_1981.nc")]), open_stored([str(folder / "sim_1980.nc")])]
    assert base_of(known, runs["plus3K"].stored).names == ("sim_1981.nc",)
    assert base_of(known, runs["rising"].stored).names == ("sim_1980.nc", "sim_1981.nc")
    assert base_of(known[:1], climate_runs(open_files([str(folder / "rising_1982.nc")]))[0].stored) is None


def test_a_bottle_is_asked_for_the_sea_and_the_co2_of_a_file(folder, tmp_path):
    responding, still = (open_bottle(folder / f"{name}.cbottle").manifest for name in ("small", "still"))
    warm = FileClimate(3.0, "uniform", 840.0, "")
    assert warm.keywords(responding, "f.nc") == {"sst_offset": 3.0, "co2": 840.0}
    assert warm.keywords(still, "f.nc") == {"sst_offset": 3.0}
    assert FileClimate(0.0, "uniform", None, "").keywords(responding, "f.nc") == {}
    assert FileClimate(1.0, "pattern_f2.nc", 360.0, "/sea.nc").keywords(still, "f.nc") == {"sst": "/sea.nc"}
    with pytest.raises(ValueError, match=r"pattern pattern_f2\.nc, and the file of that sea"):
        FileClimate(1.0, "pattern_f2.nc", 360.0, "").keywords(still, "f.nc")
    (tmp_path / "sea.nc").write_text("")
    write(tmp_path / "own.nc", 1981, days=3, sst_forcing="sea.nc", sst_pattern="p.nc")
    (part,) = open_files([str(tmp_path / "own.nc")])
    assert FileClimate.of(part).sea == str(tmp_path / "sea.nc")
    write(tmp_path / "wrong.nc", 1981, days=3, co2_ppmv="much")
    with pytest.raises(ValueError, match=r"co2_ppmv of wrong\.nc is 'much': it must be a number"):
        FileClimate.of(open_files([str(tmp_path / "wrong.nc")])[0])
    base = open_stored([str(folder / "sim_1981.nc")])
    assert base_keywords(base, responding) == {"co2": 360.0}  # its own series is another in 1981
    assert base_keywords(base, still) == {}
    (run,) = climate_runs(open_files([str(folder / "warm_1981.nc")]))
    more = dataclasses.replace(run, climates=(warm,))
    assert untold(more, base, still) == "still knows of no co2, and is not told of 840 ppmv"
    assert untold(more, base, responding) == untold(run, base, still) == ""


def change(warming, wetter=0.04, upper=1.5, colder=-1.0):
    """A change of temperature (cell,) and what goes with it."""
    warming = np.broadcast_to(np.asarray(warming, float), (192,))
    base = {"tas": 288.0, "pr": 3e-5, "prw": 25.0, "rlut": 240.0, "ta_25000": 220.0, "ta_10000": 205.0}
    kelvin = float(warming.mean())
    changed = {"tas": warming, "pr": 3e-5 * wetter * kelvin, "prw": 25 * 0.07 * kelvin, "rlut": 2 * kelvin,
               "ta_25000": upper * kelvin, "ta_10000": colder}  # fmt: skip
    fields = [
        {key: xr.DataArray(np.broadcast_to(value, (192,)) * 1.0, dims="cell") for key, value in side.items()}
        for side in (base, changed)
    ]
    return Change(fields[0], fields[1], dict.fromkeys(base, 0.02), float(warming[LAND].mean()))


RIGHT = np.where(LAND, 3.0, 2.0) + 2 * (LAT > 60)


def judged(mine, theirs, warms=True):
    rows = climate_targets.change_rows("made", "plus2K", mine, theirs, LAND, warms=warms, about="")
    return {row.key.removeprefix("n.plus2K."): row for row in rows}


def test_an_equal_response_meets_all_and_a_half_one_does_not():
    rows = judged(change(RIGHT), change(RIGHT))
    assert set(rows) == {
        "tas", "land_sea", "polar", "prw", "rlut", "ta_25000", "stratosphere", "heat_land", "pattern", "rain",
    }  # fmt: skip
    assert {row.verdict for row in rows.values()} == {"met"}
    assert all(row.counts for row in rows.values())  # the null bottle answers to nothing
    assert rows["rain"].value == pytest.approx(4)
    assert rows["land_sea"].value > 1.2
    half = judged(change(0.5 * RIGHT), change(RIGHT))
    assert {key for key, row in half.items() if row.verdict == "missed"} >= {"tas", "prw", "rlut", "ta_25000"}
    assert half["tas"].figure == pytest.approx(0.5)
    assert half["pattern"].verdict == "met"


@pytest.mark.parametrize(
    ("mine", "key"),
    [
        (change(np.full(192, RIGHT.mean())), "land_sea"), (change(RIGHT[::-1]), "pattern"),
        (change(RIGHT, wetter=0.02), "rain"), (change(RIGHT, upper=1.2), "ta_25000"),
        (change(RIGHT, colder=0.5), "stratosphere"), (change(RIGHT + 2 * LAND), "heat_land"),
        (change(RIGHT - 2 * (abs(LAT) > 60)), "polar"),
    ],
)  # fmt: skip
def test_each_part_of_a_response_is_judged(mine, key):
    assert judged(mine, change(RIGHT))[key].verdict == "missed"


def test_co2_alone_is_judged_over_land_and_above():
    right = change(np.where(LAND, 0.4, 0.02))
    rows = judged(right, right, warms=False)
    assert set(rows) == {"tas_land", "rlut", "ta_25000", "stratosphere"}
    assert {row.verdict for row in rows.values()} == {"met"}
    wrong = judged(change(np.where(LAND, -0.4, 0.02)), right, warms=False)
    assert wrong["tas_land"].figure == pytest.approx(-1)
    unclear = dataclasses.replace(right, error=dict.fromkeys(right.error, 1.0))
    assert "is not clear" in judged(right, unclear, warms=False)["rlut"].reason


def test_a_change_is_that_of_the_same_instants():
    base = {"tas": evaluation_data.field("tas", WHEN)}
    warm = {"tas": base["tas"] + xr.DataArray(np.where(LAND, 3.0, 2.0), dims="cell")}
    found = Change.of(base, warm, LAND, drawn=True)
    np.testing.assert_allclose(found.change["tas"], np.where(LAND, 3.0, 2.0), atol=1e-4)
    assert found.error["tas"] == pytest.approx(0, abs=1e-5)
    assert found.warmest == pytest.approx(3, abs=1e-3)
    assert np.isnan(Change.of(base, warm, None, drawn=True).warmest)
    weather = {"tas": evaluation_data.field("tas", WHEN, seed=4)}
    spread = [Change.of(base, weather, LAND, drawn).error["tas"] for drawn in (True, False)]
    assert spread[1] == pytest.approx(np.sqrt(5) * spread[0])


def test_trends_by_region():
    when = np.concatenate([evaluation_data.times(f"{year}-01-01", 360, 240) for year in (1979, 1988, 1997)])
    tas = evaluation_data.field("tas", when)
    years = tas["time"].dt.year - 1979
    rising = tas + 0.1 * years * xr.DataArray(np.where(LAND, 2.0, 1.0), dims="cell")
    found = Trends.of(rising.transpose("time", "cell"), LAND)
    assert found.regions["land"]["annual"] == pytest.approx(2, abs=0.2)
    assert found.regions["sea"]["JJA"] == pytest.approx(1, abs=0.25)
    assert found.warmest == pytest.approx(2, abs=0.4)
    assert list(found.years) == [1979, 1988, 1997]
    flat = Trends.of(tas, LAND)
    rows = climate_targets.trend_rows("made", "rising", flat, found, flat, "a run")
    assert [row.key for row in rows] == ["n.rising.trend", "n.rising.heat_trend"]
    assert {row.verdict for row in rows} == {"missed"}
    assert "told of no change" in rows[0].remark
    same = climate_targets.trend_rows("made", "rising", found, found, None, "a run")
    assert {row.verdict for row in same} == {"met"}


def test_the_highest_level_is_of_the_stratosphere_only_if_it_is_high():
    assert stratosphere({"ta_10000": None, "ta_25000": None}).pressure == 10000
    assert stratosphere({"ta_25000": None, "tas": None}) is None


def answered(folder):
    """What the bottle answers to a sea that is 3 K warmer, at the instants at which it is asked."""
    times = open_stored([str(folder / "sim_1981.nc")]).times
    keywords = {"label": "a", "time": times[instants.choose(times, 12)], "co2": 360.0}
    with warnings.catch_warnings(action="ignore"):
        warm, base = (
            xr.open_dataset(folder / "small.cbottle", engine="cbottle", **keywords, **sea).tas.mean()
            for sea in ({"sst_offset": 3.0}, {})
        )
    return float(warm - base)


def test_the_command_asks_the_bottle_for_the_same_climate_and_says_what_it_said(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "of_label", gallery.climates)
    status = cli.main(
        [
            "evaluate", str(folder / "small.cbottle"), str(folder / "sim_1981.nc"), "--label", "a", "--more",
            str(folder / "sim_1980.nc"), "--climate", str(folder / "warm_1981.nc"), "--climate",
            f"a={folder / 'rising_198?.nc'}", "-o", str(tmp_path / "out"), "--instants", "24", "--monthly", "0",
            "--copies", "4", "--climate-instants", "12", "--quiet",
        ]
    )  # fmt: skip
    assert status == 0
    found = json.loads((tmp_path / "out/figures.json").read_text())
    rows = {row["key"]: row for row in found["figures"]}
    assert rows["n.plus3K.tas"]["reference"] == pytest.approx(3.75, abs=0.2)
    assert rows["n.plus3K.tas"]["value"] == pytest.approx(answered(folder), abs=1e-3)
    assert rows["n.plus3K.tas"]["null"] == 0
    assert rows["n.rising.trend"]["reference"] == pytest.approx(12.5, abs=1)
    trends = found["labels"]["a"]["climates"]["rising"]["trends"]
    assert (
        rows["n.rising.trend"]["value"] == trends["bottle"]["globe"]["annual"] > trends["unforced"]["globe"]["annual"]
    )
    asked = found["labels"]["a"]["climates"]
    assert asked["plus3K"]["warnings"] == 1
    assert "the global mean of the sea is" in asked["plus3K"]["outside"][0]
    assert asked["plus3K"]["refused"] is False
    assert (asked["plus3K"]["instants"], asked["rising"]["instants"]) == (12, 24)
    assert set(asked["rising"]["trends"]) == {"bottle", "simulation", "unforced"}
    measures = {row["measure"] for row in found["labels"]["a"]["aimip"]}
    assert measures >= {"time-mean bias", "trends", "sub-monthly variance", "response to +2 and +4 K"}
    text = (tmp_path / "out/index.html").read_text()
    for words in ("1 warning of the bottle", "Response by latitude, plus3K", "AIMIP", "told of no change"):
        assert words in text, words
    assert text.count("<img") == 3


def test_a_bottle_that_knows_of_no_other_climates_misses_and_says_so(folder, tmp_path):
    drawing = Drawing(open_bottle(folder / "still.cbottle"), tmp_path, 2, {}, False)
    known = open_stored([str(folder / "sim_1981.nc")])
    times = known.times[::60]
    sides = ClimateSides("a", drawing, [known], LAND, drawing.draw("a", times), times)
    (run,) = climate_runs(open_files([str(folder / "warm_1981.nc")]))
    found = compare_climate(sides, run, 8)
    assert len(found.outside) == 1  # its CO2 is that of the base run, of which there is nothing to say
    assert "was not trained under other seas" in found.outside[0]
    assert next(row for row in found.rows if row.key == "n.plus3K.tas").verdict == "missed"
    lonely = compare_climate(dataclasses.replace(sides, known=[]), run, 8)
    assert "there is no instant of the run under the observed sea" in lonely.rows[0].reason


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["small.cbottle", "--reference", "a=sim_1981.nc", "--reference", "b=sim_1980.nc", "--climate",
          "c=warm_1981.nc"], "other climates of c and no reference"),
        (["sim_1980.nc", "sim_1981.nc", "--climate", "warm_1981.nc"], "stored data answer to none"),
        (["small.cbottle", "sim_1981.nc", "--climate", "warm_1981.nc", "--climate-instants", "3"],
         "climate is 3: it must be at least 8"),
        (["small.cbottle", "sim_1981.nc", "--climate", "none.nc"], "there is no file none.nc"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(folder, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(folder)
    assert cli.main(["evaluate", *arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1
