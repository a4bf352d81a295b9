"""Scores of ensembles, against their definitions and what reliable ensembles have."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr

from tests import analytic_fields
from xr_cbottle.diagnostics import crps, rank_histogram, spread_error


def ensemble(count: int, times: int = 60, spread: float = 1.0) -> tuple[xr.DataArray, xr.DataArray]:
    """Members and a truth that is one more of them, but for the spread."""
    truth = analytic_fields.noise(analytic_fields.times(times), seed=99)
    members = [spread * analytic_fields.noise(analytic_fields.times(times), seed=i) for i in range(count)]
    return xr.concat(members, "member").assign_attrs(units="K"), truth


def test_crps_is_its_definition() -> None:
    members, truth = ensemble(5, times=2)
    x, y = members.values.astype(float), truth.values.astype(float)
    pairs = sum(abs(a - b) for a, b in itertools.combinations(x, 2))
    error = abs(x - y).mean(0)
    np.testing.assert_allclose(crps(members, truth), error - pairs / 20)
    np.testing.assert_allclose(crps(members, truth, fair=False), error - pairs / 25)
    assert crps(members, truth).attrs["units"] == "K"
    np.testing.assert_allclose(crps(members[:1], truth, fair=False), abs(x[0] - y))


def test_crps_of_normals() -> None:
    """E CRPS(N(0, 1), N(0, 1)) = 1 / sqrt(pi), at any size of the ensemble if fair."""
    for count in (2, 10):
        assert float(crps(*ensemble(count)).mean()) == pytest.approx(1 / np.sqrt(np.pi), rel=0.03)


def test_reliable_ensembles_are_flat() -> None:
    ranks = rank_histogram(*ensemble(4))
    np.testing.assert_allclose(ranks, 0.2, atol=0.015)
    np.testing.assert_allclose(ranks.sum(), 1)
    narrow = rank_histogram(*ensemble(4, spread=0.5))
    assert narrow[0] > 0.3
    assert narrow[-1] > 0.3
    members, truth = ensemble(4)
    assert rank_histogram(members, truth, dim=["time"]).sizes == {"rank": 5, "cell": 192}
    np.testing.assert_allclose(rank_histogram(members, truth + 100), [0, 0, 0, 0, 1])


def test_dry_members_and_dry_truth_have_any_rank() -> None:
    members, truth = ensemble(3)
    ranks = rank_histogram(members * 0, truth * 0)
    np.testing.assert_allclose(ranks, 0.25, atol=0.02)


def test_spread_is_the_error() -> None:
    for count in (2, 8):
        found = spread_error(*ensemble(count))
        assert float(found.spread) == pytest.approx(1, rel=0.03)
        assert float(found.error) == pytest.approx(np.sqrt(1 + 1 / count), rel=0.03)
        assert float(found.ratio) == pytest.approx(1, rel=0.03)
    assert float(spread_error(*ensemble(8, spread=0.5)).ratio) < 0.6
    assert spread_error(*ensemble(3), dim=["time"]).ratio.sizes == {"cell": 192}


def test_missing_cases_do_not_count() -> None:
    members, truth = ensemble(3)
    truth[:, 0], members[1, :, 1] = np.nan, np.nan
    good = {"cell": slice(2, None)}
    assert crps(members, truth).isnull().any("time").sum() == 2
    np.testing.assert_allclose(rank_histogram(members, truth).sum(), 1)
    np.testing.assert_allclose(spread_error(members, truth).spread, spread_error(members[good], truth[good]).spread)
    np.testing.assert_allclose(spread_error(members, truth).error, spread_error(members[good], truth[good]).error)


def test_what_is_no_ensemble() -> None:
    members, truth = ensemble(2)
    with pytest.raises(ValueError, match="has a dimension member, not only time, cell"):
        crps(truth, truth)
    with pytest.raises(ValueError, match="truth has a dimension member"):
        crps(members, members)
    with pytest.raises(ValueError, match="two members or more"):
        crps(members[:1], truth)
    with pytest.raises(ValueError, match="two members or more"):
        spread_error(members[:1], truth)
    with pytest.raises(ValueError, match="no time in common"):
        crps(members, truth.assign_coords(time=analytic_fields.times(60, start="2001-01-01")))
