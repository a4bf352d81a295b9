"""Noise levels that are chosen: right on linear modes, and nearer to the truth than spaced ones on a network."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

from tests.bottles import synthetic_bottle  # noqa: E402
from xr_cbottle import cli  # noqa: E402
from xr_cbottle.bottle.bottle import open_bottle  # noqa: E402
from xr_cbottle.bottle.sampler import SamplerDefaults  # noqa: E402
from xr_cbottle.draw.emulator import Sampler  # noqa: E402
from xr_cbottle.network import edm  # noqa: E402
from xr_cbottle.network.linear_modes import deviation_ratio  # noqa: E402
from xr_cbottle.training import level_choice  # noqa: E402

DEFAULT = SamplerDefaults(6, 0.02, 20.0, solver="ipndm3")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_bottle(tmp_path_factory.mktemp("levels") / "small.cbottle", sampler=DEFAULT)


def test_gaps_and_levels_are_inverse() -> None:
    levels = np.array([80.0, 20.0, 19.0, 0.3, 0.01])
    np.testing.assert_allclose(level_choice.levels_of(level_choice.gaps(levels), 80.0), levels)
    anything = level_choice.levels_of(np.array([-5.0, 3.0, 0.0]), 80.0)
    assert (np.diff(anything) < 0).all()


def test_variances_of_white_noise_are_one() -> None:
    noise = np.random.default_rng(0).standard_normal((20, 2, 192))
    np.testing.assert_allclose(level_choice.mode_variances(noise), 1, atol=0.4)
    np.testing.assert_allclose(level_choice.mode_variances(3 * noise), 9, atol=4)


@pytest.mark.parametrize("solver", ["dpmpp_2m", "ipndm3"])
def test_levels_for_linear_modes_draw_their_deviation(solver: str) -> None:
    variances = np.geomspace(0.01, 30, 50)
    spaced = Sampler(8, 0.02, 80.0, solver=solver)
    solve, modes = edm.SOLVERS[solver], torch.from_numpy(variances)
    levels = level_choice.linear_levels(solve, spaced, variances)
    assert levels[0] == 80
    assert len(levels) == 8
    assert (np.diff(levels) < 0).all()
    chosen = Sampler(8, 0.02, 80.0, solver=solver, sigmas=tuple(levels))
    off = [float((deviation_ratio(solve, one.levels(), modes) - 1).abs().max()) for one in (spaced, chosen)]
    assert off[1] < 0.03
    assert off[1] < off[0] / 3


@pytest.fixture(scope="module")
def chosen(path: Path) -> tuple[Path, str]:
    """A bottle that was packed with chosen levels, and what was printed."""
    out = path.with_name("chosen.cbottle")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert cli.main(["pack", str(out), "--from", str(path), "--choose-levels", "4,3", "--num-steps", "4"]) == 0
    return out, " ".join(printed.getvalue().split())


def test_chosen_levels_draw_nearer_to_the_truth(chosen: tuple[Path, str]) -> None:
    # Other instants than they were chosen on, in the units of a variable.
    at = {"time": ["1980-05-01T00", "1981-09-01T12"], "label": "b"}

    def drawn(**keywords: object) -> np.ndarray:
        return xr.open_dataset(chosen[0], engine="cbottle", **at, **keywords).tas.values

    truth = drawn(num_steps=60, sigma_min=0.004, sigma_max=20.0)
    off = [
        float(np.sqrt(((values - truth) ** 2).mean()))
        for values in (drawn(), drawn(num_steps=4, sigma_min=0.02, sigma_max=20.0))
    ]
    assert off[0] < 0.9 * off[1]


def test_a_bottle_is_packed_with_the_levels_that_were_chosen(path: Path, chosen: tuple[Path, str]) -> None:
    out, printed = chosen
    error, spaced = (float(number) for number in re.findall(r"([0-9.]+) %", printed)[:2])
    assert 0 < error < spaced
    whole = io.StringIO()
    with contextlib.redirect_stdout(whole):
        assert cli.main(["info", str(out), "--all"]) == 0
    told = " ".join(whole.getvalue().split())
    assert "chosen levels, sigma 20 to " in told
    assert "(chosen levels also for 3 steps)" in told
    made = open_bottle(out).manifest
    assert [len(levels) for levels in made.sampler.sigmas] == [4, 3]
    assert made.sampler.sigmas[0][0] == 20
    assert (made.sampler.num_steps, made.sampler.solver) == (4, "ipndm3")
    assert made.parts == open_bottle(path).manifest.parts
    ds = xr.open_dataset(out, engine="cbottle")
    assert ds.attrs["sigmas"] == list(made.sampler.sigmas[0])
    again = xr.open_dataset(path, engine="cbottle", sigmas=made.sampler.sigmas[0])
    np.testing.assert_array_equal(ds.tas.isel(time=5).values, again.tas.isel(time=5).values)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--choose-levels", "4,x"], "--choose-levels is '4,x': give different numbers of steps from 2 to 50"),
        (["--choose-levels", "4,4"], "--choose-levels is '4,4': give different numbers"),
        (["--choose-levels", "1"], "--choose-levels is '1': give different numbers"),
        (["--part", "x.checkpoint"], "--from has a manifest and networks of its own: leave --manifest and --part out"),
    ],
)
def test_wrong_requests_are_sentences(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert cli.main(["pack", str(tmp_path / "x.cbottle"), "--from", str(path), *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "x.cbottle").exists()


def test_pack_needs_files_or_a_bottle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pack", str(tmp_path / "x.cbottle")]) == 2
    assert "pack makes a bottle of --manifest and --part, or of --from BOTTLE" in capsys.readouterr().err
