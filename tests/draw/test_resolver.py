"""Tiles: a value is a function of what it is, not of what else is asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.bottles import batch_info, patch_config, random_state
from xr_cbottle.draw.models import PatchModel
from xr_cbottle.draw.resolver import Resolver, block_noise
from xr_cbottle.grid import healpix
from xr_cbottle.grid.patches import PatchGrid
from xr_cbottle.grid.tiling import Tiling, default_tiling
from xr_cbottle.network import edm, multidiffusion, unet

GRID = PatchGrid(4, 16, 8)
WHEN = {"seed": 3, "member": 1, "time": np.datetime64("1990-07-01T06")}
HEUN = multidiffusion.heun_sampler(2, 0.01, 80.0)
FEW = multidiffusion.few_step_sampler((80.0, 2.0))


@pytest.fixture(scope="module")
def denoiser() -> edm.Denoiser:
    config = patch_config(GRID.zoom, 2, GRID.size)
    net = unet.build(config).eval().requires_grad_(False)
    net.load_state_dict(random_state(config))
    return edm.Denoiser(net)


@pytest.fixture(scope="module")
def coarse() -> np.ndarray:
    normals = np.random.default_rng(1).standard_normal((2, healpix.n_cells(2)))
    return (normals * [[15.0], [1e-4]] + [[280.0], [2e-5]]).astype(np.float32)


def loaded(denoiser: edm.Denoiser) -> Callable[[], PatchModel]:
    """What gives a resolver its network."""
    return lambda: PatchModel(denoiser, batch_info(["tas", "pr"]))


def resolver(denoiser: edm.Denoiser, sampler: multidiffusion.PatchSampler, halo: int = 8) -> Resolver:
    return Resolver(loaded(denoiser), [15.0, 1e-4], [280.0, 2e-5], 2, Tiling(GRID, 1, halo), sampler, batch_size=4)


def test_golden_noise() -> None:
    """Changing these numbers changes every value above the native zoom that anybody has drawn."""
    cells = np.array([0, 1023, 1024, 5000, 12 * 4**10 - 1])
    drawn = block_noise(10, cells, 2, seed=7, member=2, time=np.datetime64("1983-01-15T12"))
    np.testing.assert_allclose(drawn[0, :, 1], GOLDEN, atol=5e-7)


GOLDEN = [0.0696450, 1.0895753, -0.0823293, -0.5114068, -0.9621794]


def test_noise_is_that_of_its_block() -> None:
    cells = np.sort(np.random.default_rng(0).choice(12 * 4**6, 500, replace=False))
    whole = block_noise(6, np.arange(12 * 4**6), 3, draws=2, **WHEN)
    np.testing.assert_array_equal(block_noise(6, cells, 3, draws=2, **WHEN), whole[:, cells])
    np.testing.assert_array_equal(block_noise(6, cells, 3, **WHEN), whole[:1, cells])
    assert abs(whole.mean()) < 0.01
    assert abs(whole.std() - 1) < 0.01
    assert np.abs(np.corrcoef(whole.reshape(2, -1))[0, 1]) < 0.01


def test_tiling() -> None:
    tiling = Tiling(GRID, 1, 8)
    assert (tiling.count, tiling.cells_per_tile) == (48, 64)
    np.testing.assert_array_equal(tiling.tiles([0, 63, 64, 1250]), [0, 1, 19])
    assert 100 in tiling.cells(1)
    assert default_tiling(PatchGrid(10, 128, 32)) == Tiling(PatchGrid(10, 128, 32), 2, 64)
    with pytest.raises(ValueError, match="zoom 5: it must be from 0 to 4"):
        Tiling(GRID, 5, 8)
    with pytest.raises(ValueError, match="halo is 17 cells"):
        Tiling(GRID, 1, 17)


@pytest.mark.parametrize("sampler", [HEUN, FEW], ids=["Heun", "few steps"])
def test_tiles_in_any_order_and_by_anyone(
    denoiser: edm.Denoiser, coarse: np.ndarray, sampler: multidiffusion.PatchSampler
) -> None:
    one, other = resolver(denoiser, sampler), resolver(denoiser, sampler)
    asked = np.array([5, 17, 18])
    first = {t: one.draw_tile(coarse, t, **WHEN) for t in asked.tolist()}
    again = {t: other.draw_tile(coarse, t, **WHEN) for t in asked[::-1].tolist()}
    for tile in asked.tolist():
        np.testing.assert_array_equal(first[tile], again[tile])
        assert first[tile].shape == (2, 64)
    assert one.drawn == 3
    different = one.draw_tile(coarse, 5, seed=3, member=2, time=WHEN["time"])
    assert np.abs((different - first[5])[0]).max() > 1


def test_few_step_tiles_are_those_of_the_globe(denoiser: edm.Denoiser, coarse: np.ndarray) -> None:
    few = resolver(denoiser, FEW)
    globe = few.draw_globe(coarse, **WHEN)
    for tile in (0, 18):
        difference = few.draw_tile(coarse, tile, **WHEN) - globe[:, few.tiling.cells(tile)]
        assert np.abs(difference / np.array([[15.0], [1e-4]])).max() < 1e-4


def test_a_wide_halo_is_the_globe(denoiser: edm.Denoiser, coarse: np.ndarray) -> None:
    """The truncation is all that tells a tile from the globe: with a halo of a face it is smaller than with none."""
    globe = resolver(denoiser, HEUN).draw_globe(coarse, **WHEN)

    def difference(halo: int) -> float:
        tile = resolver(denoiser, HEUN, halo)
        return float(np.abs(tile.draw_tile(coarse, 18, **WHEN) - globe[:, tile.tiling.cells(18)])[0].std() / 15)

    assert difference(16) < difference(0)


def test_a_tile_denoises_only_its_patches(denoiser: edm.Denoiser, coarse: np.ndarray) -> None:
    tile = resolver(denoiser, HEUN)
    tile.draw_tile(coarse, 18, **WHEN)
    patches = len(GRID.around(1, 18, 8))
    assert patches < GRID.count / 4
    assert tile.evaluated == patches * sum(HEUN.evaluations)


def test_wrong_things_are_refused(denoiser: edm.Denoiser, coarse: np.ndarray) -> None:
    tile = resolver(denoiser, HEUN)
    with pytest.raises(ValueError, match="tile is 48: it must be from 0 to 47"):
        tile.draw_tile(coarse, 48, **WHEN)
    with pytest.raises(ValueError, match=r"shape \(1, 192\)"):
        tile.draw_tile(coarse[:1], 0, **WHEN)
    spoiled = coarse.copy()
    spoiled[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite: fill them"):
        tile.draw_tile(spoiled, 0, **WHEN)


@pytest.mark.parametrize("sampler", [HEUN, FEW], ids=["Heun", "few steps"])
def test_coarse_cells_keep_their_means(
    denoiser: edm.Denoiser, coarse: np.ndarray, sampler: multidiffusion.PatchSampler
) -> None:
    """Of residual states too, whose tiles are those of the globe; and what cannot be negative is not."""
    shape = ([15.0, 1e-4], [280.0, 2e-5], 2, Tiling(GRID, 1, 8), sampler)
    plain, kept = (
        Resolver(
            loaded(denoiser), *shape, batch_size=4, detail=(0.2, 0.4), conserve=conserve, nonnegative=(False, True)
        )
        for conserve in (False, True)
    )
    free, globe = plain.draw_globe(coarse, **WHEN), kept.draw_globe(coarse, **WHEN)
    cells = globe.astype(np.float64).reshape(2, -1, 16)
    np.testing.assert_allclose(cells.mean(-1), coarse, rtol=1e-6, atol=1e-10)
    shift = globe[0].astype(np.float64).reshape(-1, 16) - free[0].reshape(-1, 16)
    np.testing.assert_allclose(shift - shift[:, :1], 0, atol=1e-4)
    assert (cells[1][coarse[1] > 0] >= 0).all()
    assert free[1].min() < 0
    tile = kept.draw_tile(coarse, 18, **WHEN)
    np.testing.assert_allclose(tile.reshape(2, -1, 16).mean(-1, np.float64), coarse[:, 72:76], rtol=1e-6, atol=1e-10)
    if sampler is FEW:
        difference = tile - globe[:, kept.tiling.cells(18)]
        assert np.abs(difference / np.array([[15.0], [1e-4]])).max() < 1e-4


def test_means_are_not_kept_by_tiles_that_cut_coarse_cells(denoiser: edm.Denoiser) -> None:
    with pytest.raises(ValueError, match="tiles of zoom 3 cut coarse cells of zoom 2"):
        Resolver(loaded(denoiser), [1.0, 1.0], [0.0, 0.0], 2, Tiling(GRID, 3, 8), FEW, conserve=True)
