"""``xr-cbottle evaluate`` as a whole: stored data, sampling that goes on, the report, and what it refuses."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from tests import bottles, evaluation_data
from xr_cbottle import cli
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.cube.sources import DrawnInstants
from xr_cbottle.evaluation import document, gallery, label_comparison, relation_targets, report
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.reference import is_stored, open_stored
from xr_cbottle.evaluation.sampling import Drawing
from xr_cbottle.evaluation.sides import Sides
from xr_cbottle.grid import healpix

NAMES = ("tas", "ts", "pr", "rlut", "ta")
CHANNELS = ("T850", "T500", "tas", "ts", "pr", "rlut")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bottle of two labels, and two years of a simulation."""
    path = tmp_path_factory.mktemp("evaluation")
    bottles.synthetic_bottle(path / "small.cbottle", channels=CHANNELS)
    evaluation_data.write(path / "sim_1980.nc", NAMES, evaluation_data.times("1980-01-01", 366), seed=1)
    evaluation_data.write(path / "sim_1981.nc", NAMES, evaluation_data.times("1981-01-01", 365), seed=2)
    evaluation_data.write(path / "tas_1981.nc", ("tas",), evaluation_data.times("1981-01-01", 365), zoom=3, seed=3)
    return path


@pytest.fixture
def drawn(monkeypatch):
    """Instants that were drawn, in order; ``stop`` interrupts before so many batches."""

    class Drawn(list):
        stop = None

    instants, whole = Drawn(), DrawnInstants.draw

    def draw(self, keys):
        if instants.stop == 0:
            raise KeyboardInterrupt
        instants.stop = None if instants.stop is None else instants.stop - 1
        instants.extend((key.label, key.seconds) for key in keys)
        return whole(self, keys)

    monkeypatch.setattr(DrawnInstants, "draw", draw)
    return instants


@pytest.fixture
def run(capsys, folder, tmp_path, monkeypatch):
    """Run the command in a folder of its own: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        given = [str(a).replace("HERE", str(folder)) for a in arguments]
        try:
            status = cli.main(["evaluate", *given])
        except SystemExit as left:
            status = left.code
        return status, *capsys.readouterr()

    return run


class Page(HTMLParser):
    """Text and links of a page; fails on tags that do not close."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.words, self.tags = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


FEW = ("--instants", 12, "--monthly", 1, "--copies", 4, "--batch-size", 4, "--quiet")


def test_two_labels_in_one_report(run, folder, tmp_path, drawn, monkeypatch):
    labels = [
        "--reference", "a=HERE/sim_1981.nc", "--reference", "b=HERE/sim_198[0].nc",
        "--more", "a=HERE/sim_1980.nc", "--more", "b=HERE/sim_1981.nc",
    ]  # fmt: skip
    status, out, err = run("HERE/small.cbottle", *labels, "-o", "out", *FEW)
    assert (status, err) == (0, "")
    assert out.startswith("out/index.html: ")
    assert "targets met" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["drawn", "figures.json", "index.html"]
    assert len(drawn) == len(set(drawn)) == 2 * (12 + 12)  # of each label: the reference's, and one for each month

    found = json.loads((tmp_path / "out/figures.json").read_text())
    assert found["format"] == "xr-cbottle evaluation"
    assert found["bottle"]["digest"] == f"sha256:{open_bottle(folder / 'small.cbottle').digest}"
    assert list(found["labels"]) == ["a", "b"]
    assert found["labels"]["a"]["instants"] == 12
    assert found["labels"]["a"]["reference_instants"] == 48
    assert "1980 of the same simulation, 12 instants" in found["labels"]["a"]["noise_floor"]
    figures = {(row["label"], row["key"]): row for row in found["figures"]}
    assert len(figures) == len(found["figures"])
    for key in ("a.global_mean.tas", "b.rmse.ta_50000.JJA", "b.pattern.ta_50000", "c.spectrum.rlut", "e.below_zero.pr"):
        for label in ("a", "b"):
            assert figures[label, key]["figure"] is not None
            assert figures[label, key]["noise_floor"] is not None
    assert figures["a", "a.global_mean.prw"]["reason"] == "prw is not on both sides"
    assert figures["b - a", "g.difference.tas"]["verdict"] in ("met", "missed")
    assert "not on both sides" in figures["b - a", "g.difference.ua_25000"]["reason"]
    assert "2 years are too few" in figures["a", "f.nino34.tas"]["reason"]
    counts = found["summary"]
    assert counts["met"] + counts["missed"] + counts["not_evaluated"] == len(found["figures"])

    text = (tmp_path / "out/index.html").read_text()
    shown = Page(text)
    assert "script" not in shown.tags
    assert shown.tags.count("img") > 20
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in shown.links)
    words = " ".join(shown.words)
    assert f"{counts['met_of_tests']} of {counts['tests']} targets met that the null bottle misses" in words
    assert f"by the bounds of before {counts['old_met']} of {counts['old_met'] + counts['old_missed']}" in words
    assert counts["tests"] < counts["met"] + counts["missed"]
    assert all(row["old_verdict"] == "not evaluated" for row in found["figures"] if row["key"][0] > "g")
    assert "fitted to other years" in found["labels"]["a"]["null_bottle"]
    assert found["bottle"]["digest"] in words
    for part in ("missed by", "not evaluated", "b minus a", "mm day-1", "b simulation", "CC0-1.0", "Heun, 3 steps"):
        assert part in words, part
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().split()

    drawn.clear()
    monkeypatch.setattr(gallery, "of_label", lambda *a: [])
    one = ("HERE/sim_1981.nc", "--label", "a", "--more", "HERE/sim_1980.nc")
    assert run("HERE/small.cbottle", *one, "-o", "again", "--drawn", "out/drawn", *FEW)[0] == 0
    assert drawn == []
    again = json.loads((tmp_path / "again/figures.json").read_text())
    assert again["figures"][:-1] == [row for row in found["figures"] if row["label"] == "a"]
    assert again["figures"][-1]["reason"] == "only one label was evaluated"


def test_two_stored_data_sets(run, tmp_path, drawn):
    status, _, _ = run("HERE/tas_1981.nc", "HERE/sim_1980.nc", "-o", "out", *FEW, "--name", "finer")
    assert (status, drawn) == (0, [])
    found = json.loads((tmp_path / "out/figures.json").read_text())
    assert (found["bottle"], found["zoom"], found["data_set"]) == (None, 2, ["tas_1981.nc"])
    rows = {row["key"]: row for row in found["figures"]}
    assert rows["a.global_mean.tas"]["old_verdict"] == "met"
    assert rows["a.global_mean.tas"]["noise_floor"] is not None  # of the halves
    text = (tmp_path / "out/index.html").read_text()
    assert "the left side has other times: 12, 1981-01" in text
    assert "finer held against its reference" in text
    assert not (tmp_path / "out/drawn").exists()


def test_a_data_set_held_against_itself_meets_everything(folder):
    stored = open_stored([str(folder / "sim_1981.nc")])
    found = label_comparison.compare(
        Sides("", stored, None, stored), count=24, of_reference=96, monthly=4, copies=2, progress=False
    )  # fmt: skip
    assert {row.verdict for row in found.rows if row.target in "bce"} <= {"met", "not evaluated"}
    assert {row.figure for row in found.rows if row.target == "a" and not row.reason} == {0.0}
    assert set(found.portraits) == {one.key for one in stored.quantities}


def test_an_interrupted_drawing_goes_on_and_draws_each_instant_once(folder, tmp_path, drawn):
    drawing = Drawing(open_bottle(folder / "small.cbottle"), tmp_path, 2, {"batch_size": 2}, False)
    times = evaluation_data.times("1981-01-01", 4, 12)
    drawn.stop = 2
    with pytest.raises(KeyboardInterrupt, match="continue"):
        drawing.draw("a", times)
    assert len(drawn) == 4
    drawn.stop = None
    stored = drawing.draw("a", times)
    assert len(drawn) == len(set(drawn)) == 8
    again = drawing.draw("a", times)
    assert len(drawn) == 8
    np.testing.assert_array_equal(stored.times, times.astype("datetime64[s]"))
    fresh = xr.open_dataset(
        folder / "small.cbottle", engine="cbottle", time=times, label="a", batch_size=2, cache_size=0
    )
    np.testing.assert_array_equal(again.read(Quantity("tas")).values, fresh.tas.values)
    level = again.read(Quantity("ta", 85000), [1, 5])
    np.testing.assert_array_equal(level.values, fresh.ta.sel(pressure=85000).isel(time=[1, 5]).values)
    few = drawing.draw("a", times, ("tas", "pr"))
    assert {one.name for one in few.quantities} == {"tas", "pr"}
    drawing.draw("b", times)
    assert len([key for key in drawn if key[0] == "b"]) == 8


def test_a_report_is_there_whole_or_not_at_all(run, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "of_label", lambda *a: [])
    monkeypatch.setattr(document, "summary", lambda rows: 1 / 0)
    status, _, err = run("HERE/tas_1981.nc", "HERE/sim_1980.nc", "-o", "out", *FEW)
    assert status == 1
    assert "ZeroDivisionError" in err
    assert not (tmp_path / "out").exists()


def test_files_of_a_report_take_their_places_together(tmp_path):
    (tmp_path / "a.json").write_text("old")
    (tmp_path / "b.html").mkdir()  # which no file can take the place of
    with pytest.raises(OSError, match=r"b\.html"):
        report.write_together(tmp_path, {"a.json": "new", "b.html": "new"})
    with pytest.raises(TypeError):
        report.write_together(tmp_path, {"a.json": "new", "c.html": None})
    assert (tmp_path / "a.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.html"]
    report.write_together(tmp_path / "out", {"c.html": "new", "a.json": "new"})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "c.html"]


def test_two_references_of_one_label_are_refused(folder, tmp_path):
    data = str(folder / "sim_1981.nc")
    with pytest.raises(ValueError, match="two references of the label 'a': give all of its files as one"):
        report.evaluate(str(folder / "small.cbottle"), {"": [data], "a": [data]}, tmp_path)


def test_times_of_stored_data_may_be_asked_for_in_any_order_and_twice(folder):
    both = open_stored([str(folder / "sim_1980.nc"), str(folder / "sim_1981.nc")])
    whole, asked = both.read(Quantity("tas")), [1464, 3, 1463, 2, 1463, 5]
    found = both.read(Quantity("tas"), asked)
    np.testing.assert_array_equal(found["time"], whole["time"][asked])
    np.testing.assert_array_equal(found, whole[asked])


def test_stored_data_are_read_as_they_are_meant(folder, tmp_path):
    when = evaluation_data.times("1981-01-01", 4)
    made = evaluation_data.dataset(("tas", "ta"), when, 3, seed=3)
    made.to_netcdf(tmp_path / "nest.nc")
    import healpy

    ring = made.isel(cell=healpy.ring2nest(8, np.arange(768)))
    ring = ring.assign_coords(pressure=("pressure", np.array([500.0, 850.0]), {"units": "hPa"}))
    ring.rename(pressure="plev", cell="value").assign_attrs(healpix_order="ring").to_zarr(tmp_path / "ring.zarr")
    for name in ("nest.nc", "ring.zarr"):
        stored = open_stored([str(tmp_path / name)])
        assert set(stored.quantities) == {Quantity("tas"), Quantity("ta", 50000), Quantity("ta", 85000)}
        np.testing.assert_array_equal(stored.read(Quantity("tas")).values, made.tas.values)
        found = stored.at(2).read(Quantity("ta", 85000), [2, 3, 9])
        expected = made.ta.sel(pressure=85000).isel(time=[2, 3, 9]).coarsen(cell=4).mean()
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)
        assert found.attrs["standard_name"] == "air_temperature"
    both = open_stored([str(folder / "sim_198?.nc")])
    assert both.names == ("sim_1980.nc", "sim_1981.nc")
    across = both.read(Quantity("tas"), [1463, 1464])
    assert across["time"].values.astype("datetime64[h]").astype(str).tolist() == ["1980-12-31T18", "1981-01-01T00"]
    with pytest.raises(ValueError, match="is at zoom 2 and is to be read at zoom 4"):
        both.at(4)


def test_land_is_that_of_the_data(folder, tmp_path):
    when = evaluation_data.times("1981-01-01", 2)
    made = evaluation_data.dataset(("tas",), when, 2)
    land = healpix.lonlat(2)[1] > 20
    made["sftlf"] = ("cell", 100.0 * land)
    made.to_netcdf(tmp_path / "land.nc")
    np.testing.assert_array_equal(open_stored([str(tmp_path / "land.nc")]).land(), land)
    made["sftlf"] = ("cell", np.where(land, 100.0, np.where(np.arange(land.size) % 2, np.nan, 20.0)))
    made.to_netcdf(tmp_path / "holes.nc")  # per cent, and nothing over some of the sea
    np.testing.assert_array_equal(open_stored([str(tmp_path / "holes.nc")]).land(), land)
    assert open_stored([str(folder / "sim_1980.nc")]).land() is None
    drawing = Drawing(open_bottle(folder / "small.cbottle"), tmp_path, 1, {})
    missing = np.isnan(bottles.sst_cells(2).sst[0].values).astype(float)
    np.testing.assert_array_equal(drawing.land(), healpix.coarsen(missing, 1) > 0.5)


def test_what_is_stored_is_told_from_its_name(folder, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "zarr.json").write_text("{}")
    assert all(is_stored(name) for name in ("a.nc", "b.zarr/", "sim/*.nc", "x?", str(tmp_path / "store")))
    assert not any(is_stored(name) for name in ("jcm", "a/b.cbottle", str(folder)))


def test_relations_of_what_is_equal_are_equal():
    pytest.importorskip("xeofs")
    when = evaluation_data.times("1981-01-01", 365, 102)
    both = {name: (evaluation_data.field(name, when),) * 2 for name in ("tas", "prw", "psl", "pr", "rlut")}
    both["rsut"] = both["rlut"]
    levels = evaluation_data.dataset(("ta", "zg", "ua"), when)
    for name in ("ta", "zg", "ua"):
        for level in evaluation_data.LEVELS:
            both[f"{name}_{level}"] = (levels[name].sel(pressure=level),) * 2
    both |= {f"va_{level}": both[f"ua_{level}"] for level in evaluation_data.LEVELS}
    found = relation_targets.relations(both)
    assert set(found["joint"]) == {("tas", "prw"), ("prw", "pr"), ("rlut", "pr"), ("tas", "rlut")}
    np.testing.assert_allclose(found["eofs"]["likeness"], 1)
    assert found["eofs"].pattern.sizes == {"side": 2, "mode": 3, "cell": 192}
    assert len(found["balances"]) == 6
    assert all(row["bottle"] == row["reference"] for row in found["balances"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["HERE/small.cbottle"], "nothing to hold it against"),
        (["nowhere", "HERE/sim_1981.nc"], "no bottle 'nowhere'"),
        (["HERE/small.cbottle", "HERE/none.nc"], "there is no file"),
        (["HERE/small.cbottle", "HERE/none*.nc"], "nothing matches"),
        (["HERE/small.cbottle", "HERE/small.cbottle"], "cannot be read as netCDF"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "--label", "c"], "no label 'c': it has the labels a, b"),
        (["HERE/small.cbottle", "--reference", "HERE/sim_1981.nc"], "does not say of which label"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "--reference", "a=HERE/sim_1981.nc"], "either REFERENCE"),
        (["HERE/small.cbottle", "--reference", "a=HERE/sim_1981.nc", "--reference", "b=HERE/sim_1981.nc",
          "--more", "c=HERE/sim_1980.nc"], "other years of c and no reference"),
        (["HERE/small.cbottle", "--reference", "a=HERE/sim_1981.nc", "--climate", "c=HERE/sim_1980.nc"],
         "other climates of c and no reference"),
        (["HERE/sim_1980.nc", "--reference", "a=HERE/sim_1981.nc"], "stored data have none"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "--zoom", "3"], "zooms 0 to 2"),
        (["HERE/tas_1981.nc", "HERE/sim_1981.nc", "--zoom", "3"], "from 0 to 2 with --zoom"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "--instants", "3"], "instants is 3: it must be at least 8"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "--reference-instants", "3"], "reference_instants is 3: it must"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "--copies", "1"], "at least 2"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "--monthly", "-1"], "at least 0"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "--num-steps", "1"], "num_steps is 1"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "HERE/tas_1981.nc"], "are on different grids"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "-o", "HERE/sim_1981.nc"], "is no folder"),
        (["HERE/small.cbottle", "OTHER.nc"], "no time of OTHER.nc is an instant of small"),
        (["HERE/small.cbottle", "UNITS.nc"], "tas is in 'K' on one side and in 'Pa' on the other"),
        (["UNITS.nc", "HERE/sim_1981.nc"], "tas is in 'Pa' on one side and in 'K' on the other"),
        (["PART.nc", "HERE/sim_1981.nc"], "tas has 100 cells along cell: the whole globe"),
        (["GRID.nc", "HERE/sim_1981.nc"], "it must be on HEALPix cells"),
        (["PSL.nc", "HERE/sim_1981.nc"], "nothing to compare: one side has psl and the other tas, ts"),
        (["HERE/small.cbottle", "HERE/sim_1981.nc", "--instants", "many"], "invalid int value"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(run, tmp_path, drawn, arguments, words):
    when = evaluation_data.times("1999-01-01", 4)
    tas = evaluation_data.dataset(("tas",), when)
    tas.to_netcdf(tmp_path / "OTHER.nc")
    tas.assign(tas=tas.tas.assign_attrs(units="Pa")).to_netcdf(tmp_path / "UNITS.nc")
    tas.isel(cell=slice(0, 100)).to_netcdf(tmp_path / "PART.nc")
    tas.rename(cell="lat").to_netcdf(tmp_path / "GRID.nc")
    evaluation_data.dataset(("psl",), when).to_netcdf(tmp_path / "PSL.nc")
    status, out, err = run(*arguments, "--quiet")
    assert (status, out, drawn) == (2, "", [])
    assert words in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 or err.startswith("usage: ")
    assert not (tmp_path / "report" / "index.html").exists()


def test_help_tells_what_it_does(run):
    status, out, _ = run("--help")
    assert status == 0
    for word in ("BOTTLE", "held-out", "--more", "examples:", "noise floor", "Nino 3.4"):
        assert word in out


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (288.1234, 5, "288.12"), (0.0, 3, "0.000"), (-2.5, 3, "\u22122.50"), (1.5e-7, 3, "1.50e\u22127"),
        (101325.4, 5, "101,325"), (0.0123, 3, "0.0123"), (None, 3, ""), (99.6, 3, "99.6"), (9.51, 3, "9.51"),
        (-99.96, 3, "\u2212100.0"),
    ],
)  # fmt: skip
def test_numbers_have_few_digits(value, digits, text):
    assert document.number(value, digits) == text
