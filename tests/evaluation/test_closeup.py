"""Pictures of refined fields: what they show, not how it looks."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle.evaluation import closeup, pictures, refinement
from xr_cbottle.evaluation.closeup import Box
from xr_cbottle.grid import healpix


def test_pixels_show_the_cells_they_lie_in():
    lon, lat = healpix.lonlat(4)
    ds = xr.Dataset({"tas": ("cell", lon), "uas": ("cell", lat)})
    figure = closeup.maps({"a": ds, "b": refinement.averaged(ds, 3)}, ["tas", "uas"], Box(20, 60, 30, 50), coast=False)
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == ["a", "b", "", ""]
    for k, near in ((0, 8), (1, 12)):
        east, north = (np.asarray(shown[k + 2 * row].images[0].get_array()) for row in (0, 1))
        x, y = Box(20, 60, 30, 50).pixels()
        assert np.abs(east - x).max() < near
        assert np.abs(north - y).max() < near
    assert len(pictures.png(figure)) > 1000


def test_a_box_across_greenwich_is_as_high_as_wide_where_it_lies():
    box = Box(-25, 45, 50, 70)
    lon, lat = box.pixels()
    assert (lon[0, 0] < -24, lon[0, -1] > 44, lat[0, 0] < 51, lat[-1, 0] > 69) == (True,) * 4
    assert box.aspect == pytest.approx(2)
    assert lon.shape[0] / lon.shape[1] == pytest.approx(20 * 2 / 70, rel=0.01)
    for wrong in ((45, -25, 50, 70), (0, 10, 50, 50), (0, 10, 50, 91), (0, 400, 0, 10)):
        with pytest.raises(ValueError, match="it must go from west to east"):
            Box(*wrong)


def test_curves_of_a_portrait():
    stamps = analytic_fields.times(2, "6h")
    exact = xr.Dataset(
        {"tas": analytic_fields.noise(stamps, "tas", 3, 1), "pr": analytic_fields.noise(stamps, "pr", 3, 2)}
    )
    half = exact * np.float32(0.5)
    found = refinement.portrait(exact, {refinement.BILINEAR: half, "full": exact}, 2)
    figure = closeup.spectra(found, 2, 3, (0.75, 1.25))
    below = figure.axes[2]  # (2, variable) axes
    ratios = [line.get_ydata() for line in below.lines if len(line.get_ydata()) > 2]
    np.testing.assert_allclose(ratios[0], 0.25, rtol=1e-4)
    np.testing.assert_allclose(ratios[1], 1.0, rtol=1e-6)
    curves = closeup.quantiles(found).axes[0].lines
    assert [line.get_label() for line in curves] == ["truth", "bilinear", "full"]
    assert np.abs(curves[0].get_ydata()).max() == np.abs(curves[2].get_ydata()).max() == 0
    assert curves[1].get_ydata()[0] > 0 > curves[1].get_ydata()[-1]


def test_land_to_a_few_kilometres():
    lon, lat = np.array([12.0, 190.0, 350.0, 8.0]), np.array([47.0, 0.0, 45.0, 39.5])
    np.testing.assert_array_equal(closeup.land(lon, lat), [True, False, False, False])
