"""The command line, most of it in this process: what it prints, writes, continues and refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xr_cbottle
from tests import bottles
from xr_cbottle import cli
from xr_cbottle.bottle import facts
from xr_cbottle.cli import outputs
from xr_cbottle.cube import portions
from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.output_form import OutputForm
from xr_cbottle.grid import healpix

TIME = "1980-01-05/1980-01-06/PT6H"  # 8 instants
FEW = ["--time", TIME, "--batch-size", "2", "--variables", "tas", "ta", "sst"]


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    return str(bottles.synthetic_bottle(tmp_path_factory.mktemp("cli") / "small.cbottle"))


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command in a folder of its own: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as left:  # argparse's own
            status = left.code
        return status, *capsys.readouterr()

    return run


def opened(bottle, **keywords):
    return xr.open_dataset(bottle, engine="cbottle", time=slice(*TIME.split("/")), batch_size=2, **keywords)


@pytest.fixture
def interrupt(monkeypatch):
    """Let reads of a cube be interrupted, as by Ctrl-C, after some; counts them."""
    counter = {"reads": 0, "at": None}
    whole = Cube.read

    def read(self, selections, **keywords):
        if counter["reads"] == counter["at"]:
            raise KeyboardInterrupt
        counter["reads"] += 1
        return whole(self, selections, **keywords)

    monkeypatch.setattr(Cube, "read", read)
    return counter


def test_info_says_what_it_is_and_stands_for(run, bottle):
    status, out, err = run("info", bottle)
    assert (status, err) == (0, "")
    for words in ("small", "192 cells", "2,924 times", "8 fields", "labels (a, b)", "CC0-1.0", "18 MB", "sha256:"):
        assert words in out, words
    assert max(len(line) for line in out.splitlines()) <= 120
    assert "trained on" not in out
    assert "sampler" in run("info", bottle, "--all")[1]


def test_list_names_the_bottles_that_open_by_name(run, bottle, tmp_path, monkeypatch):
    (tmp_path / "bad.cbottle").write_text("nothing")
    (tmp_path / "small.cbottle").write_bytes(Path(bottle).read_bytes())
    monkeypatch.setenv("XR_CBOTTLE_PATH", os.pathsep.join([str(Path(bottle).parent), "/nowhere"]))
    status, out, err = run("list")
    assert (status, err) == (0, "")
    lines = [line for line in out.splitlines() if line[0] != " "]
    assert lines[0].startswith("bad    cannot be opened: ")
    assert lines[1].startswith("small  ")
    assert out.count("small") == 2  # the one in this folder is opened by the name
    assert str(tmp_path / "small.cbottle") in out
    found = {row["name"]: row for row in json.loads(run("list", "--json")[1])}
    assert found["small"]["labels"] == ["a", "b"]
    assert {"gcm", "icon"} <= set(found)


def test_cite_names_what_makes_the_values(run, bottle):
    status, out, _ = run("cite", bottle, "--seed", 7, "--label", "b")
    assert status == 0
    digest = xr.open_dataset(bottle, engine="cbottle").attrs["bottle_digest"]
    assert f"version = {{{digest}}}" in out
    assert "label b, seed 7, sampler" in out
    assert r"num\_steps" in out
    assert run("sample", bottle, "x.nc", *FEW, "--seed", 7, "--label", "b")[0] == 0
    assert run("cite", "x.nc")[1] == out
    xr.Dataset({"a": 1}).to_netcdf("other.nc")
    status, _, err = run("cite", "other.nc")
    assert status == 2
    assert "does not say which bottle" in err


def test_text_of_a_citation_is_safe_in_tex():
    from xr_cbottle.cli import citation

    attrs = {"bottle": "a_b", "bottle_digest": "sha256:0123456789", "title": r"5 % of {x} \input & ~", "seed": 3}
    assert r"title = {5 \% of \{x\} \textbackslash{}input \& \textasciitilde{} (bottle a\_b)}" in citation.bibtex(attrs)
    assert citation.bibtex(attrs).startswith("@misc{ab-01234567,")


def test_debug_shows_where_an_error_comes_from(run):
    for arguments in (("--debug", "info", "nowhere"), ("info", "nowhere", "--debug")):
        status, _, err = run(*arguments)
        assert status == 2
        assert err.startswith("Traceback (most recent call last):")
        assert err.splitlines()[-1].startswith("xr-cbottle: there is no bottle 'nowhere'")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_shells_are_told_what_completes_a_command(run, shell):
    pytest.importorskip("shtab")
    status, out, _ = run("--print-completion", shell)
    assert status == 0
    assert "ensemble-mean" in out
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=out, text=True, check=True)
        said = 'source /dev/stdin; COMP_WORDS=(xr-cbottle sam) COMP_CWORD=1; _shtab_xr_cbottle; echo "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", said], input=out, text=True, capture_output=True)
        assert done.stdout.split() == ["sample"], done.stderr


def test_a_box_is_written_with_its_cells(run, bottle):
    box = (-20, 30, 40, 70)
    assert run("sample", bottle, "x.zarr", *FEW, "--bbox", *box)[0] == 0
    written, read = xr.open_zarr("x.zarr", consolidated=True).load(), opened(bottle)[["tas", "ta", "sst"]]
    lon, lat = healpix.lonlat(2)
    inside = (lat >= 30) & (lat <= 70) & ((lon + 20) % 360 <= 60)
    assert written.sizes["cell"] == inside.sum() > 3
    xr.testing.assert_equal(written, read.isel(cell=inside).load())
    assert (written.cell == written.cell_ids).all()


def test_the_mean_over_members_is_xarrays(run, bottle):
    arguments = ("--members", 3, "--ensemble-mean", "--chunk", 2)
    assert run("sample", bottle, "x.nc", *FEW, *arguments)[0] == 0
    with xr.open_dataset("x.nc") as written:
        written.load()
    read = opened(bottle, members=3)[["tas", "ta", "sst"]].load().mean("member")
    xr.testing.assert_allclose(written, read, rtol=1e-6)
    assert "member" not in written.coords
    assert written.tas.attrs["cell_methods"] == "time: point realization: mean"
    assert written.attrs["members"] == "0 1 2"
    status, _, err = run("sample", bottle, "y.nc", *FEW, "--ensemble-mean")
    assert (status, "needs members" in err) == (2, True)


@pytest.mark.parametrize("method", ["bilinear", "conservative"])
def test_latitudes_and_longitudes_are_those_of_to_latlon(run, bottle, method):
    chosen = ["--conservative"] if method == "conservative" else []
    assert run("sample", bottle, "x.zarr", *FEW, "--grid", "10x5", *chosen)[0] == 0
    written = xr.open_zarr("x.zarr", consolidated=True).load()
    read = xr_cbottle.to_latlon(opened(bottle)[["tas", "ta", "sst"]].load(), (10, 5), method)
    xr.testing.assert_allclose(written, read, rtol=1e-6)
    assert written.tas.dims == ("time", "lat", "lon")
    assert written.tas.attrs == read.tas.attrs
    assert written.lat.attrs == read.lat.attrs
    assert "crs" not in written


def test_a_box_of_latitudes_and_longitudes(run, bottle):
    assert run("sample", bottle, "x.nc", *FEW, "--grid", "10", "--bbox", -20, 30, 40, 70)[0] == 0
    with xr.open_dataset("x.nc") as written:
        written.load()
    whole = xr_cbottle.to_latlon(opened(bottle)[["tas"]].load(), 10)
    assert written.lon.values.tolist() == [-20, -10, 0, 10, 20, 30, 40]
    assert written.lat.values.tolist() == [35, 45, 55, 65]
    turned = whole.tas.sel(lon=written.lon.values % 360, lat=written.lat)
    np.testing.assert_allclose(written.tas, turned, rtol=1e-6)


def test_a_store_is_not_continued_in_another_form(run, bottle, interrupt):
    interrupt["at"] = 1
    assert run("sample", bottle, "x.zarr", *FEW, "--chunk", 2)[0] == 130
    interrupt["at"] = None
    status, _, err = run("sample", bottle, "x.zarr", *FEW, "--chunk", 2, "--bbox", 0, 0, 90, 90)
    assert status == 2
    assert "other settings (form)" in err


def test_much_is_drawn_only_where_it_is_meant(run, bottle, monkeypatch):
    monkeypatch.setattr(outputs, "MOST_INSTANTS", 7)
    status, _, err = run("sample", bottle, "x.zarr", *FEW)
    assert status == 2
    assert "this draws 8 instants, and above 7 you must say that you mean it: give --yes" in err
    assert os.listdir() == []
    assert run("sample", bottle, "x.zarr", *FEW, "--yes")[0] == 0
    assert run("sample", bottle, "y.zarr", *FEW, "--members", 2)[2].count("16 instants") == 1


def test_downscale_writes_what_the_function_gives(run, tmp_path):
    names = ("tas", "pr")
    fine = bottles.fine_specs(4, names, overlap=0)
    path = str(bottles.synthetic_bottle(tmp_path / "fine.cbottle", 3, names, superres=fine, labels={}))
    data = xr.open_dataset(path, engine="cbottle", time="P1D", zoom=3).isel(time=slice(0, 3)).load()
    data.to_netcdf("coarse.nc")
    expected = xr_cbottle.downscale(data.isel(time=[1]), path, zoom=4, seed=5, member=2)
    arguments = ("--zoom", 4, "--seed", 5, "--member", 2, "--time", str(data.time.values[1])[:10])
    assert run("downscale", "coarse.nc", path, "x.nc", *arguments, "--variables", "pr")[0] == 0
    with xr.open_dataset("x.nc") as written:
        written.load()
    xr.testing.assert_equal(written, expected[["pr"]].load())
    assert written.pr.attrs == expected.pr.attrs
    assert "downscaled zero-shot by" in written.attrs["history"]
    assert run("downscale", "coarse.nc", path, "x.zarr", *arguments, "--bbox", 0, 0, 90, 45)[0] == 0
    box = xr.open_zarr("x.zarr").load()
    assert 0 < box.sizes["cell"] < 400
    np.testing.assert_array_equal(box.tas, expected.tas.load().isel(cell=box.cell_ids.values))
    for wrong, says in (
        (("--time", "2100"), "no times there"), (("--zoom", 2), "zoom"), (("--bbox", 0, 9, 1, 9), "SOUTH < NORTH"),
    ):  # fmt: skip
        status, _, err = run("downscale", "coarse.nc", path, "y.nc", *wrong)
        assert (status, says in err) == (2, True), err
    status, _, err = run("downscale", "missing.nc", path, "y.nc")
    assert (status, "missing.nc" in err) == (2, True)


def test_info_for_programs(run, bottle):
    found = json.loads(run("info", bottle, "--json")[1])
    assert found["virtual_bytes"] == 4 * 8 * 192 * 2924
    assert found["ratio"] == pytest.approx(found["virtual_bytes"] / os.path.getsize(bottle))
    assert found["variables"]["ta"]["pressures"] == [50000, 85000]
    assert found["lent_channels"] == {"b": ["rlut"]}
    assert found["sampler"]["evaluations"] == 5


def test_info_of_published_weights_does_not_flatter(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XR_CBOTTLE_CACHE", str(tmp_path / "cache"))
    found = json.loads(run("info", "icon", "--json")[1])
    assert found["ratio"] is None  # of what is not here; the manifest alone is a few kB
    assert len(found["files_missing"]) == 7
    words = " ".join(run("info", "icon")[1].split())  # where its lines break depends on where the checkout lies
    assert "7 files elsewhere, 0 of them fetched" in words


@pytest.mark.parametrize(
    ("n", "words"), [(12, "12 bytes"), (999_600, "1 MB"), (16_400_000_000, "16.4 GB"), (3.2e18, "3,200 PB")]
)
def test_sizes_in_words(n, words):
    assert facts.size(n) == words


def test_sample_writes_what_a_read_gives(run, bottle):
    status, out, _ = run("sample", bottle, "x.zarr", *FEW, "--members", 2, "--chunk", 3)
    assert status == 0
    assert out.startswith("x.zarr: ")
    written, read = xr.open_zarr("x.zarr", consolidated=True), opened(bottle, members=2)[["tas", "ta", "sst"]]
    assert written.ta.encoding["chunks"] == (1, 3, 2, 192)
    assert written.tas.dtype == np.float32
    assert not os.path.exists("x.zarr.part")
    written, read = written.load(), read.load()
    xr.testing.assert_equal(written, read)
    assert written.ta.attrs == read.ta.attrs
    assert set(written.coords) == set(read.coords)
    assert written.attrs["bottle_digest"] == read.attrs["bottle_digest"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_sample_in_either_format_of_zarr(run, bottle, zarr_format):
    assert run("sample", bottle, "x.zarr", *FEW, "--zoom", 0, "--zarr-format", zarr_format)[0] == 0
    xr.testing.assert_equal(xr.open_zarr("x.zarr").tas.load(), opened(bottle, zoom=0).tas.load())


def test_sample_writes_netcdf(run, bottle):
    arguments = ("--time", "1980-01-05/1980-01-06/P1D", "--time-method", "mean", "--batch-size", 2)
    assert run("sample", bottle, "x.nc", *arguments, "--label", "b", "--seed", 7)[0] == 0
    with xr.open_dataset("x.nc") as written:
        written.load()
    time = slice("1980-01-05", "1980-01-06", "P1D")
    keywords = {"time_method": "mean", "label": "b", "seed": 7, "batch_size": 2}
    read = xr.open_dataset(bottle, engine="cbottle", time=time, **keywords).load()
    xr.testing.assert_equal(written, read)
    assert written.rlut.attrs == read.rlut.attrs
    assert os.listdir() == ["x.nc"]


def test_an_interrupted_store_is_continued(run, bottle, interrupt):
    arguments = ("sample", bottle, "x.zarr", *FEW, "--chunk", 2)
    interrupt["at"] = 3
    status, _, err = run(*arguments)
    assert status == 130
    assert "continue" in err
    assert os.path.isdir("x.zarr.part")
    assert not os.path.exists("x.zarr")
    interrupt.update(reads=0, at=None)
    assert run(*arguments)[0] == 0
    assert interrupt["reads"] == 1  # of four
    xr.testing.assert_equal(xr.open_zarr("x.zarr").ta.load(), opened(bottle).ta.load())
    assert os.listdir() == ["x.zarr"]


def test_a_store_is_not_continued_with_other_settings(run, bottle, interrupt):
    interrupt["at"] = 1
    assert run("sample", bottle, "x.zarr", *FEW, "--chunk", 2)[0] == 130
    interrupt["at"] = None
    status, _, err = run("sample", bottle, "x.zarr", *FEW, "--chunk", 2, "--seed", 1)
    assert status == 2
    assert "other settings (seed)" in err


def test_a_store_that_was_barely_begun_is_begun_again(run, bottle):
    os.makedirs("x.zarr.part/store/rubbish")
    assert run("sample", bottle, "x.zarr", *FEW)[0] == 0
    assert "rubbish" not in os.listdir("x.zarr")


def test_a_netcdf_file_is_there_whole_or_not_at_all(run, bottle, interrupt):
    interrupt["at"] = 1
    assert run("sample", bottle, "x.nc", *FEW, "--chunk", 2)[0] == 130
    assert os.listdir() == []


def test_two_do_not_write_one_store(run, bottle, tmp_path):
    from filelock import FileLock

    (tmp_path / "x.zarr.part").mkdir()
    with FileLock(tmp_path / "x.zarr.part" / "lock"):
        status, _, err = run("sample", bottle, "x.zarr", *FEW)
    assert status == 2
    assert "another process" in err


def test_a_store_is_written_in_parts(run, bottle, interrupt):
    """In any order, by whoever comes, again too; it is in its place when the last one is finished."""
    arguments = ("sample", bottle, "x.zarr", *FEW, "--chunk", 1)
    said = {}
    for number in (3, 1, 3, 4, 2):
        assert not os.path.exists("x.zarr")
        status, said[number], _ = run(*arguments, "--part", f"{number}/4")
        assert status == 0
    assert "part 3 of 4 is finished; x.zarr will be there with the last one" in said[3]
    assert said[2].startswith("x.zarr: ")
    reads = interrupt["reads"]
    assert run(*arguments, "--part", "1/4")[0] == 0  # again, when all is there
    assert interrupt["reads"] == reads
    xr.testing.assert_equal(xr.open_zarr("x.zarr").load(), opened(bottle)[["tas", "ta", "sst"]].load())
    assert os.listdir() == ["x.zarr"]


def test_a_part_that_was_interrupted_is_continued(run, bottle, interrupt):
    arguments = ("sample", bottle, "x.zarr", *FEW, "--chunk", 1, "--part")
    interrupt["at"] = 1
    assert run(*arguments, "2/2")[0] == 130
    interrupt.update(reads=0, at=None)
    assert run(*arguments, "1/2")[0] == 0
    half = interrupt["reads"]
    assert run(*arguments, "2/2")[0] == 0
    assert interrupt["reads"] == 2 * half - 1
    xr.testing.assert_equal(xr.open_zarr("x.zarr").ta.load(), opened(bottle).ta.load())


def test_parts_at_the_same_time(bottle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "xr_cbottle.cli", "sample", bottle, "x.zarr", *FEW, "--chunk", "1", "--quiet"]
    parts = [subprocess.Popen([*command, "--part", f"{i}/2"], stderr=subprocess.PIPE, text=True) for i in (1, 2)]
    assert [(part.communicate(timeout=300)[1], part.returncode) for part in parts] == 2 * [("", 0)]
    xr.testing.assert_equal(xr.open_zarr("x.zarr").ta.load(), opened(bottle).ta.load())
    assert os.listdir() == ["x.zarr"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("x.zarr", "--part", "5/4"), "from 1/40 to 40/40"),
        (("x.zarr", "--part", "0/4"), "from 1/40 to 40/40"),
        (("x.zarr", "--part", "two"), "from 1/40 to 40/40"),
        (("x.nc", "--part", "1/4"), "only a store is written in parts"),
    ],
)
def test_wrong_parts(run, bottle, arguments, words):
    status, _, err = run("sample", bottle, *arguments, *FEW)
    assert status == 2
    assert words in err


def test_parts_are_those_of_one_store(run, bottle):
    assert run("sample", bottle, "x.zarr", *FEW, "--chunk", 1, "--part", "1/4")[0] == 0
    for other in (["--part", "2/5"], ["--part", "2/4", "--seed", 1], []):
        status, _, err = run("sample", bottle, "x.zarr", *FEW, "--chunk", 1, *other)
        assert status == 2
        assert "was begun with other settings" in err
    assert run("sample", bottle, "y.zarr", *FEW)[0] == 0
    status, _, err = run("sample", bottle, "y.zarr", *FEW, "--seed", 1, "--part", "1/2")
    assert status == 2
    assert "y.zarr is there already" in err


def test_a_dry_run_says_what_it_will_cost(run, bottle):
    status, out, err = run("sample", bottle, "x.zarr", *FEW, "--dry-run")
    assert (status, err) == (0, "")
    assert re.match(
        r"[0-9]+ instants in [0-9]+ batches of 5 evaluations\nabout .* of one cpu \([0-9]+ s, by a trial\)", out
    )
    ds = opened(bottle)
    assert f"({sum(ds[name].nbytes for name in ('tas', 'ta', 'sst')):,} bytes) before compression" in out
    assert os.listdir() == []
    count = int(out.split()[0])
    parts = [run("sample", bottle, "x.zarr", *FEW, "--chunk", 1, "--dry-run", "--part", f"{i}/3")[1] for i in (1, 2, 3)]
    assert sum(int(part.split()[0]) for part in parts) == count
    assert run("sample", bottle, "x.zarr", "--time", "1980-01-01", "--variables", "x", "--dry-run")[0] == 2


def test_plot_writes_a_map(run, bottle, tmp_path):
    pytest.importorskip("matplotlib")
    assert run("plot", bottle, "tas", "--time", "1980-03-01T06", "--batch-size", 2)[:2] == (0, "small_tas.png\n")
    arguments = ("--pressure", 50000, "--members", "0,2", "--limits", 200, 300, "-o", "maps/t.png", "--batch-size", 2)
    assert run("plot", bottle, "ta", *arguments)[0] == 0
    for name in ("small_tas.png", "maps/t.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_demo_prints_the_data_set_and_its_cost_and_writes_maps(run, bottle, tmp_path):
    pytest.importorskip("matplotlib")
    status, out, _ = run("demo", "--bottle", bottle)
    assert status == 0
    for words in (
        "<xarray.Dataset>",
        "18 MB",
        "instants of 8 global fields took",
        "5 evaluations",
        "K on 1980-07-15",
    ):
        assert words in out, words
    assert (tmp_path / "xr_cbottle_demo.png").read_bytes().startswith(b"\x89PNG")


def test_pack_and_fetch(run, bottle, tmp_path):
    import zipfile

    with zipfile.ZipFile(bottle) as archive:
        archive.extractall(tmp_path / "parts")
    files = ("--part", "parts/coarse_0.checkpoint", "--sst", "parts/sst.nc")
    status, out, _ = run("pack", "again.cbottle", "--manifest", "parts/bottle.json", *files)
    assert status == 0
    assert "192 cells" in out
    assert (tmp_path / "again.cbottle").read_bytes() == Path(bottle).read_bytes()
    status, out, err = run("fetch", "again.cbottle", "--quiet")
    assert status == 0
    assert "all its files are here" in out
    assert "CC0-1.0" in err


def test_pack_adds_figures_and_files_to_a_bottle(run, bottle, tmp_path):
    import zipfile

    from xr_cbottle.bottle.bottle import open_bottle

    with zipfile.ZipFile(bottle) as archive:
        archive.extract("sst.nc", tmp_path)
    with xr.open_dataset(tmp_path / "sst.nc") as stored:
        warmer = (stored + 1).load()
    warmer.to_netcdf(tmp_path / "warmer.nc")
    (tmp_path / "figures.json").write_text('{"rain": 1.5}')
    status, _, err = run("pack", "more.cbottle", "--from", bottle, "--sst", "warmer.nc", "--figures", "figures.json")
    assert status == 0, err
    old, new = (open_bottle(path).manifest for path in (bottle, tmp_path / "more.cbottle"))
    assert new.trained_on == {**old.trained_on, "rain": 1.5}
    assert new.parts == old.parts
    sea = [open_bottle(path).sst().at(np.array(["2000-01-01"], "datetime64[s]")) for path in (bottle, "more.cbottle")]
    assert float(np.nanmean(sea[1] - sea[0])) == pytest.approx(1, abs=0.05)
    status, _, err = run("pack", "x.cbottle", "--coherence", "c.nc")
    assert status == 2
    assert "--coherence is added to a bottle that is there: give --from BOTTLE" in err


def test_pack_adds_the_networks_of_another_bottle(run, tmp_path):
    from xr_cbottle.bottle.bottle import open_bottle

    names = ("tas", "pr")
    fine = bottles.synthetic_bottle(tmp_path / "fine.cbottle", 2, names, superres=bottles.fine_specs(4, names, 8, 4))
    plain = bottles.synthetic_bottle(tmp_path / "plain.cbottle", 2, (*names, "clt"), seed=1)
    status, _, err = run("pack", "both.cbottle", "--from", plain, "--networks-of", fine)
    assert status == 0, err
    both, given = open_bottle(tmp_path / "both.cbottle"), open_bottle(fine)
    assert [part.role for part in both.manifest.parts] == ["coarse", "superres", "superres-distilled"]
    assert [part.sha256 for part in both.manifest.parts[1:]] == [part.sha256 for part in given.manifest.parts[1:]]
    assert both.manifest.parts[0].sha256 == open_bottle(plain).manifest.parts[0].sha256
    with xr.open_dataset(both.path, engine="cbottle", zoom=4, time=["1980-01-05T06"]) as ds:
        assert np.isfinite(ds.tas.isel(cell=slice(0, 16)).values).all()
    other = bottles.synthetic_bottle(tmp_path / "other.cbottle", 3, names)
    clouds = bottles.synthetic_bottle(tmp_path / "clouds.cbottle", 2, ("clt",))
    for arguments, words in (
        (["--from", plain, "--networks-of", plain], "has no networks but coarse ones"),
        (["--from", other, "--networks-of", fine], "begin at zoom 2, and other has zoom 3"),
        (["--from", clouds, "--networks-of", fine], "superres.channels"),
        (["--networks-of", fine], "--networks-of is added to a bottle that is there: give --from BOTTLE"),
    ):
        status, _, err = run("pack", "x.cbottle", *arguments)
        assert status == 2
        assert words in err
        assert not (tmp_path / "x.cbottle").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nowhere"], "there is no bottle 'nowhere'"),
        (["info", __file__], "test_cli.py"),
        (["sample", "BOTTLE", "x.grib", *FEW], "must be .zarr or .nc"),
        (["sample", "BOTTLE", ".", *FEW], "suffix"),
        (["sample", "BOTTLE", "x.nc", "--time", "1980", "--variables", "nope"], "no variable 'nope': choose among ta"),
        (["sample", "BOTTLE", "x.nc", "--time", "PT5H"], "PT5H"),
        (["sample", "BOTTLE", "x.nc", "--time", "2005-01-01/2005-02-01"], "out of range"),
        (["sample", "BOTTLE", "x.nc", "--time", "a/b/c/d"], "START/END"),
        (["sample", "BOTTLE", "x.nc"], "--time"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--zoom", "9"], "zooms 0 to 2"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--members", "0"], "members is 0"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--members", "many"], "'many'"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--label", "c"], "labels a, b"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--time-method", "max"], "inst, mean"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--device", "abacus"], "use cpu"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--precision", "int8"], "float32"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--chunk", "0"], "at least 1"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--bbox", "1", "2", "3", "0"], "SOUTH < NORTH"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--bbox", "1", "2", "1.1", "2.1"], "no centre of a cell of zoom 2"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--grid", "7x7"], "no whole number of 7 degrees"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--grid", "fine"], "such as 1x1"),
        (["sample", "BOTTLE", "x.nc", *FEW, "--conservative"], "give --grid"),
        (["plot", "BOTTLE", "nope"], "no variable 'nope'"),
        (["plot", "BOTTLE", "ta"], "--pressure with one of 50000, 85000"),
        (["plot", "BOTTLE", "ta", "--pressure", "70000"], "is not at 70000 Pa"),
        (["plot", "BOTTLE", "tas", "--pressure", "70000"], "leave --pressure out"),
        (["pack", "x.cbottle", "--manifest", "missing.json", "--part", "p"], "missing.json"),
        (["train", "missing.yaml"], "missing.yaml"),
        (["brew"], "invalid choice"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(run, bottle, arguments, words):
    status, out, err = run(*[bottle if argument == "BOTTLE" else argument for argument in arguments])
    assert status == 2
    assert words in err
    assert out == ""
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 or err.startswith("usage: ")
    assert not [name for name in os.listdir() if name.startswith("x.")]


def test_nothing_is_written_over(run, bottle, tmp_path):
    (tmp_path / "x.nc").write_text("precious")
    status, _, err = run("sample", bottle, "x.nc", *FEW)
    assert status == 2
    assert "x.nc is there already" in err
    assert (tmp_path / "x.nc").read_text() == "precious"


def test_a_missing_library_is_named_with_its_remedy(run, bottle, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    status, _, err = run("plot", bottle, "tas", "--batch-size", 2)
    assert status == 2
    assert "pip install 'xr-cbottle[plot]'" in err


def test_help_names_every_command(run):
    status, out, _ = run("--help")
    assert status == 0
    for name in ("list", "info", "sample", "downscale", "cite", "plot", "demo", "fetch", "pack", "train"):
        assert name in out
    assert "--run" in run("train", "--help")[1]
    assert run("--version")[1].startswith("xr-cbottle 0.")


def test_it_is_a_program():
    done = subprocess.run([sys.executable, "-m", "xr_cbottle.cli", "info", "nowhere"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("xr-cbottle: there is no bottle 'nowhere'")


def test_a_reader_that_has_had_enough_is_no_error():
    command = f"{sys.executable} -m xr_cbottle.cli info icon | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert done.stderr == ""


def test_chunks_are_whole_batches_of_about_a_mebibyte(bottle):
    cube = Cube(bottle, batch_size=5)
    form = OutputForm()
    written = portions.portions(cube, None, form)
    assert written[0].times == slice(0, 1365)
    assert written[-1].times.stop == 2924
