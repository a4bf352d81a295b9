"""Drawing a region by patches: samplers, and what a cell depends on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.bottles import patch_config, random_state
from xr_cbottle.grid import healpix
from xr_cbottle.grid.patches import PatchGrid, Region
from xr_cbottle.network import edm, multidiffusion, unet

GRID = PatchGrid(4, 16, 8)
COARSE_ZOOM = 2


@pytest.fixture(scope="module")
def denoiser() -> edm.Denoiser:
    config = patch_config(GRID.zoom, 2, GRID.size)
    net = unet.build(config).eval().requires_grad_(False)
    net.load_state_dict(random_state(config))
    return edm.Denoiser(net)


@pytest.fixture(scope="module")
def coarse() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, healpix.n_cells(COARSE_ZOOM))).astype(np.float32)


def noise_of(region: Region, draws: int = 1) -> torch.Tensor:
    """Of the globe, whatever the region."""
    whole = np.random.default_rng(2).standard_normal((draws, healpix.n_cells(region.grid.zoom), 2))
    return torch.from_numpy(whole[:, region.cells])


def test_legs_and_their_evaluations() -> None:
    sampler = multidiffusion.heun_sampler(18, 0.002, 800.0)
    assert (len(sampler.legs), sampler.draws, sampler.evaluations) == (1, 1, (35,))
    cut = multidiffusion.heun_sampler(18, 0.002, 800.0, exchange=(3.0, 0.2))
    assert [leg[0] for leg in cut.legs] == pytest.approx([800, 3.251, 0.205], abs=1e-3)
    assert cut.legs[0][-1] == cut.legs[1][0]
    assert sum(cut.evaluations) == 35
    assert cut.draws == 1
    few = multidiffusion.few_step_sampler((800.0, 15.0))
    assert (few.draws, few.evaluations, few.alpha) == (2, (1, 1), 1.0)


def test_window_is_power_complementary_and_flat_without_alpha() -> None:
    along = multidiffusion.window(32, 1.0)
    np.testing.assert_allclose(along[:16] ** 2 + along[16:] ** 2, 1)
    np.testing.assert_allclose(along, along[::-1])
    np.testing.assert_array_equal(multidiffusion.window(8, None), 1)


def test_views_of_a_smooth_field_are_that_field() -> None:
    """Registration: a field of sin(latitude) is found again where it is looked for."""
    coarse = np.sin(np.deg2rad(healpix.lonlat(5)[1]))[None].astype(np.float32)
    cells = np.arange(5000, 9000)
    local = multidiffusion.local_view(coarse, 5, 7, cells)
    np.testing.assert_allclose(local[0], np.sin(np.deg2rad(healpix.lonlat(7, cells)[1])), atol=2e-3)
    seen = multidiffusion.overview(coarse, 5, 32)
    assert seen.shape == (1, 32, 32)
    expected = np.sin(np.deg2rad(np.linspace(-90, 90, 32)))
    np.testing.assert_allclose(seen[0, :, :-1], np.tile(expected[:, None], 31), atol=4e-3)


def test_without_patches_of_the_box_there_is_the_coarse_field(denoiser: edm.Denoiser, coarse: np.ndarray) -> None:
    """Where only other patches own a cell, it comes out as bilinear interpolation made it."""
    region = Region.of(GRID, [0])
    model = multidiffusion.RegionModel(denoiser, region, coarse, COARSE_ZOOM, batch_size=1)
    with torch.inference_mode():
        drawn = multidiffusion.draw_together(model, noise_of(region), multidiffusion.heun_sampler(3, 0.01, 10.0))
    others = np.isin(region.cells, GRID.seen([0])[0][0][GRID.owned(0)], invert=True)
    assert others.any()
    np.testing.assert_allclose(drawn[others], model.local[others], atol=1e-6)


@pytest.mark.parametrize("cells", [[0], [1500, 40]], ids=str)
@pytest.mark.parametrize(
    "sampler",
    [multidiffusion.few_step_sampler((80.0, 2.0)), multidiffusion.heun_sampler(2, 1.0, 80.0, exchange=(1.0,))],
    ids=["few steps", "Heun in two legs"],
)
def test_the_cone_of_a_cell_gives_its_value_on_the_globe(
    denoiser: edm.Denoiser, coarse: np.ndarray, sampler: multidiffusion.PatchSampler, cells: list[int]
) -> None:
    everywhere = Region.of(GRID, np.arange(GRID.count))
    rounds = GRID.cone(cells, len(sampler.legs))
    region = Region.of(GRID, np.concatenate(rounds))
    with torch.inference_mode():
        whole = multidiffusion.RegionModel(denoiser, everywhere, coarse, COARSE_ZOOM, batch_size=4)
        globe = multidiffusion.draw_by_legs(
            whole, noise_of(everywhere, 2), sampler, [range(GRID.count)] * len(sampler.legs)
        )
        part = multidiffusion.RegionModel(denoiser, region, coarse, COARSE_ZOOM, batch_size=4)
        places = [np.searchsorted(region.patches, patches).tolist() for patches in rounds]
        drawn = multidiffusion.draw_by_legs(part, noise_of(region, 2), sampler, places)
    assert part.evaluated == sum(n * len(p) for n, p in zip(sampler.evaluations, rounds, strict=True))
    at = np.searchsorted(region.cells, cells)
    torch.testing.assert_close(drawn[at], globe[cells], rtol=0, atol=2e-5)


def test_few_steps_by_legs_are_few_steps_together(denoiser: edm.Denoiser, coarse: np.ndarray) -> None:
    """One evaluation a leg: making patches one between legs and at every evaluation is the same."""
    region = Region.of(GRID, np.arange(GRID.count))
    sampler = multidiffusion.few_step_sampler((80.0, 2.0))
    with torch.inference_mode():
        model = multidiffusion.RegionModel(denoiser, region, coarse, COARSE_ZOOM, batch_size=9)
        together = multidiffusion.draw_together(model, noise_of(region, 2), sampler)
        legs = multidiffusion.draw_by_legs(model, noise_of(region, 2), sampler, [range(GRID.count)] * 2)
    torch.testing.assert_close(legs, together, rtol=0, atol=1e-6)
    # Written out: denoise, add noise of the next level, denoise.
    noise = noise_of(region, 2)
    with torch.inference_mode():
        denoise = multidiffusion.together(model, 1.0)
        first = denoise(80.0 * noise[0], torch.tensor(80.0))
        plain = denoise(first + 2.0 * noise[1], torch.tensor(2.0))
    torch.testing.assert_close(plain, together, rtol=0, atol=1e-6)


def test_a_residual_state_is_what_differs_from_the_coarse_field(denoiser: edm.Denoiser, coarse: np.ndarray) -> None:
    """Where no patch answers the state is 0, which is the coarse field; elsewhere it is scaled and added."""
    region = Region.of(GRID, [0])
    detail = torch.tensor([0.2, 3.0], dtype=torch.float64)
    model = multidiffusion.RegionModel(denoiser, region, coarse, COARSE_ZOOM, batch_size=1, detail=detail.tolist())
    for stand_in in (True, False):
        with torch.inference_mode():
            few = multidiffusion.few_step_sampler((10.0,))
            state = multidiffusion.draw_together(model, noise_of(region), few, stand_in=stand_in)
        others = np.isin(region.cells, GRID.seen([0])[0][0][GRID.owned(0)], invert=True)
        np.testing.assert_array_equal(state[others], 0)
        field = model.field(state)
        np.testing.assert_array_equal(field[others], model.local[others])
        torch.testing.assert_close((field - model.local) / detail, state)
        assert float(state[~others].std()) > 0.05
