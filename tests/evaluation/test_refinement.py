"""Figures of refined fields: those of fields whose spectra and errors are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields, bottles
from xr_cbottle import diagnostics, open_bottle
from xr_cbottle.evaluation import refinement
from xr_cbottle.grid import healpix

NATIVE, ZOOM = 2, 3


def truth(count: int = 3) -> xr.Dataset:
    stamps = analytic_fields.times(count, "6h")
    return xr.Dataset(
        {"tas": analytic_fields.noise(stamps, "tas", ZOOM, 1, 280), "pr": analytic_fields.noise(stamps, "pr", ZOOM, 2)}
    )


def test_averages_and_interpolation():
    coarse = refinement.averaged(truth(), NATIVE)
    np.testing.assert_allclose(coarse.tas.values, truth().tas.values.reshape(3, -1, 4).mean(-1), rtol=1e-6)
    assert coarse.tas.attrs == truth().tas.attrs
    fine = refinement.interpolated(coarse, ZOOM)
    np.testing.assert_array_equal(fine.pr.values, healpix.resample(coarse.pr.values, NATIVE, ZOOM))
    assert diagnostics.zoom(fine) == ZOOM
    smooth = xr.Dataset(
        {"tas": analytic_fields.field(np.sin(analytic_fields.radians(ZOOM)[1])[None], analytic_fields.times(1))}
    )
    again = refinement.interpolated(refinement.averaged(smooth, NATIVE), ZOOM)
    assert float(np.abs(again.tas - smooth.tas).max()) < 0.05


def test_bands_of_the_bundled_zooms():
    assert refinement.bands(4, 5) == {"32-42": (32, 42), "43-63": (43, 63)}
    assert refinement.bands(6, 10) == {"128-1365": (128, 1365), "1366-2047": (1366, 2047)}


def test_figures_of_fields_that_are_known():
    """A way with twice the anomalies has four times the power; a constant error is the RMSE."""
    exact = truth()
    twice = exact.copy(data={n: 2 * v.values - v.values.mean() for n, v in exact.items()})
    off = exact + 0.5
    coarse_only = exact.copy(
        data={n: np.repeat(healpix.coarsen(v.values, ZOOM - NATIVE), 4, -1) for n, v in exact.items()}
    )
    ways = {refinement.BILINEAR: coarse_only, "twice": twice, "off": off, "same": exact}
    table = refinement.figures(refinement.portrait(exact, ways, NATIVE), NATIVE, ZOOM)
    assert list(table) == ["tas", "pr"]
    for row in table.values():
        assert row["twice"]["spectrum_ratio"] == pytest.approx({"8-10": 4, "11-15": 4}, rel=1e-3)
        assert row["twice"]["spectrum_distance"] == pytest.approx(np.log(4), rel=1e-3)
        assert row["twice"]["std_ratio"] == pytest.approx(2, rel=1e-3)
        assert row["twice"]["fine_std_ratio"] == pytest.approx(2, rel=1e-3)
        assert row["off"]["rmse"] == pytest.approx(0.5, rel=1e-3)
        assert row["off"]["crps"] == pytest.approx(0.5, rel=1e-3)
        assert row["off"]["quantile_distance"] == pytest.approx(0.5 / row["truth"]["std"], rel=1e-3)
        assert row["off"]["coarse_error"] > 0.5
        assert row["same"]["spectrum_distance"] == row["same"]["rmse"] == row["same"]["coarse_error"] == 0
        # Of white noise four cells' means have half the standard deviation, and what is left sqrt(3 / 4) of it.
        assert row["truth"]["fine_std"] == pytest.approx(np.sqrt(0.75), rel=0.05)
        assert row[refinement.BILINEAR]["fine_std_ratio"] == 0
        assert row[refinement.BILINEAR]["coarse_error"] == pytest.approx(0, abs=1e-4)  # float32 of 280
    nearer = refinement.nearer(table, ["same", "off"])
    assert nearer["same"]["spectrum_distance"] == nearer["same"]["quantile_distance"] == ["tas", "pr"]
    text = refinement.lines(table)
    assert len(text) == 1 + 2 * 4
    assert "4.00 4.00" in text[2]


def test_members_are_scored_as_an_ensemble():
    exact = truth(6)
    noise = [
        exact * 0 + analytic_fields.noise(analytic_fields.times(6, "6h"), "tas", ZOOM, seed) for seed in range(5, 13)
    ]
    ensemble = xr.concat(noise, "member") + xr.Dataset({"tas": 280.0, "pr": 0.0})
    table = refinement.figures(refinement.portrait(exact, {refinement.BILINEAR: exact, "e": ensemble}, NATIVE), 2, 3)
    for row in table.values():
        # Of independent normal members and truth: E|x - y| - E|x - x'| / 2 = 1 / sqrt(pi).
        assert row["e"]["crps"] == pytest.approx(1 / np.sqrt(np.pi), rel=0.03)
        assert row["e"]["rmse"] == pytest.approx(np.sqrt(2), rel=0.03)
        assert row["e"]["std_ratio"] == pytest.approx(1, rel=0.03)
    one = refinement.portrait(exact, {refinement.BILINEAR: exact, "e": ensemble.isel(member=[0])}, NATIVE)
    figures = refinement.figures(one, NATIVE, ZOOM)
    assert figures["tas"]["e"]["crps"] is None
    assert refinement.nearer(figures, ["e"])["e"]["crps"] == []


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="bilinear has no pr: it is compared in all variables"):
        refinement.portrait(truth(), {"bilinear": truth()[["tas"]]}, NATIVE)
    with pytest.raises(ValueError, match="other times or cells"):
        refinement.portrait(truth(), {"bilinear": truth(2)}, NATIVE)


def test_members_of_a_bottle(tmp_path):
    specs = bottles.fine_specs(4, ("tas", "pr"), overlap=0)
    bottle = open_bottle(bottles.synthetic_bottle(tmp_path / "b.cbottle", 3, ("tas", "pr"), superres=specs))
    assert refinement.networks(bottle) == ["full", "distilled"]
    coarse = truth(1)
    drawn = refinement.drawn(coarse, bottle, "distilled", members=2, seed=1)
    assert dict(drawn.sizes) == {"member": 2, "time": 1, "cell": healpix.n_cells(4)}
    assert float(np.abs(drawn.tas.isel(member=0) - drawn.tas.isel(member=1)).max()) > 0
    alone = refinement.drawn(coarse, bottle, "distilled", seed=1)
    np.testing.assert_array_equal(alone.tas.values, drawn.tas.isel(member=0).values)
