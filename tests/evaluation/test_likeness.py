"""Classifiers that tell drawn from simulated: certain of what differs, and at a loss with another year."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests import evaluation_data
from xr_cbottle.evaluation import likeness_targets
from xr_cbottle.evaluation.instant_features import block_of, features
from xr_cbottle.evaluation.joint_case import JointCase
from xr_cbottle.grid import healpix

pytest.importorskip("sklearn")
WHEN = evaluation_data.times("1981-01-01", 365, 60)  # 146 instants


def fields(seed, smooth=False):
    made = {name: evaluation_data.field(name, WHEN, 2, seed + i) for i, name in enumerate(("tas", "psl", "pr"))}
    if smooth:
        made = {k: v.copy(data=0.5 * v + 0.5 * np.repeat(healpix.coarsen(v.values, 1), 4, 1)) for k, v in made.items()}
    return made


def test_another_year_is_not_told_from_the_simulation_and_what_is_smoothed_is():
    same, other = fields(10), fields(20)
    case = JointCase("made", fields(30, smooth=True), same, same, ((same, other),), fields(40))
    rows = {row.key: row for row in likeness_targets.likeness_rows(case)}
    assert set(rows) == {"m.auc.logistic", "m.auc.trees"}
    for row in rows.values():
        assert row.verdict == "missed"
        assert row.figure > 0.95
        assert row.null == pytest.approx(0.5, abs=0.15)
        assert row.noise_floor == pytest.approx(0.5, abs=0.15)
        assert 0 <= row.sampling_error < 0.05
        assert row.counts is False  # the null bottle meets it, as it is another year here


def test_features_are_of_each_instant_by_itself():
    both = fields(10)
    names, values = features(both)
    assert values.shape == (len(WHEN), len(names))
    assert "psl power 7" in names
    assert "pr gradient" in names
    assert len(names) == 3 * (7 + 3)
    np.testing.assert_allclose(features({k: v[5:6] for k, v in both.items()})[1][0], values[5])
    tas = both["tas"][5].values.astype(float)
    z = (tas - tas.mean()) / tas.std()
    assert values[5, names.index("tas skewness")] == pytest.approx((z**3).mean())
    both["psl"] = both["psl"].where(both["psl"] > 101000)
    assert not any(name.startswith("psl") for name in features(both)[0])


def test_the_same_days_of_two_years_are_judged_together():
    parts = [block_of(evaluation_data.field("tas", evaluation_data.times(year, 365))["time"], 5) for year in
             ("1981-01-01", "1982-01-01")]  # fmt: skip
    np.testing.assert_array_equal(*parts)
    assert np.bincount(parts[0]).min() > 0.15 * len(parts[0])
    assert (np.diff(np.flatnonzero(np.diff(parts[0]))) == 40).all()  # ten days of four instants


def test_without_scikit_learn_it_says_what_is_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    same = fields(10)
    rows = likeness_targets.likeness_rows(JointCase("made", same, same, same))
    assert {row.reason for row in rows} == {likeness_targets.ABSENT}
    assert len(rows) == 2


def test_a_few_instants_are_too_few():
    few = {key: field[:20] for key, field in fields(10).items()}
    assert "20 instants are too few" in likeness_targets.likeness_rows(JointCase("made", few, few, few))[0].reason
