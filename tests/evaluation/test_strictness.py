"""Stricter bounds: another year of the simulation meets them, and something of half the quality does not."""

from __future__ import annotations

import numpy as np
import pytest

from tests import evaluation_data
from xr_cbottle.evaluation import label_comparison, mean_targets, variability_targets
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.quantity_case import QuantityCase
from xr_cbottle.evaluation.row import LOOSE, ReportTarget, Row, counted
from xr_cbottle.evaluation.strictness import stricter
from xr_cbottle.grid import healpix

ZOOM = 2
WHEN = evaluation_data.times("1981-01-01", 365, 30)


def field(name, seed):
    return evaluation_data.field(name, WHEN, ZOOM, seed)


def case(name, bottle):
    reference = field(name, 0)
    pairs = tuple((reference, field(name, seed)) for seed in (1, 2, 3))
    return QuantityCase(Quantity(name), "made", bottle, reference, pairs, healpix.lonlat(ZOOM)[1] > 10, 30)


def row(**values):
    return Row(ReportTarget.VARIABILITY, values.pop("key", "c.x.tas"), "what", "tas", **values)


def test_a_bound_moves_to_few_noise_floors_and_the_old_one_stays_beside_it():
    (two,) = stricter([row(figure=1.06, lower=0.9, upper=1.1, noise_floor=1.02, sampling_error=0.01)])
    assert (two.lower, two.upper) == (pytest.approx(0.96), pytest.approx(1.04))
    assert (two.old_lower, two.old_upper) == (0.9, 1.1)
    assert (two.verdict, two.old_verdict) == ("missed", "met")
    assert (two.bound_over_noise, two.old_bound_over_noise) == (pytest.approx(2), pytest.approx(5))
    (error,) = stricter([row(figure=0.5, upper=2.0, noise_floor=1.0)])
    assert (error.upper, error.old_upper, error.lower) == (1.5, 2.0, None)
    (likeness,) = stricter([row(figure=0.98, lower=0.9, noise_floor=0.96)])
    assert likeness.lower == pytest.approx(0.94)
    assert likeness.old_bound_over_noise == pytest.approx(2.5)


def test_a_bound_is_not_nearer_than_anybody_can_tell_nor_looser_than_it_was():
    (unsure,) = stricter([row(figure=0.0, lower=-1, upper=1, noise_floor=0.01, sampling_error=0.2)])
    assert unsure.upper == pytest.approx(0.4)
    (noisy,) = stricter([row(figure=0.0, lower=-1, upper=1, noise_floor=5.0)])
    assert (noisy.lower, noisy.upper) == (-1, 1)
    (chance,) = stricter([row(figure=0.0, lower=-1, upper=1, noise_floor=0.0)])
    assert chance.upper == pytest.approx(0.05)
    (unknown,) = stricter([row(figure=0.0, lower=-1, upper=1)])
    assert (unknown.lower, unknown.upper) == (-1, 1)
    reason = row(reason="none")
    assert stricter([reason]) == [reason]


def test_what_was_set_as_it_is_stays_and_is_not_counted_as_of_before():
    (likeness,) = stricter([row(key="f.nino34_amplitude.pr", figure=1.0, lower=0.75, upper=1.25, noise_floor=1.1)])
    assert not likeness.is_old or likeness.target in "abcdefg"
    new = Row(ReportTarget.LIKENESS, "m.auc", "what", "all", figure=0.7, lower=0.25, upper=0.75, noise_floor=0.52)
    (kept,) = stricter([new])
    assert (kept.lower, kept.upper, kept.is_old, kept.old_verdict) == (0.25, 0.75, False, "not evaluated")
    assert counted([kept])["old met"] == 0


def test_another_year_meets_nearly_all_of_them_and_none_is_loose():
    names = ("tas", "pr", "psl")
    rows = [row for name in names for row in stricter(label_comparison.judged(case(name, field(name, 7))))]
    rows = [one for one in rows if not one.reason]
    missed = [one.key for one in rows if one.verdict == "missed"]
    assert len(missed) <= 0.15 * len(rows), missed
    ratios = [one.bound_over_noise for one in rows if one.bound_over_noise]
    assert np.mean([ratio <= LOOSE + 1e-9 for ratio in ratios]) > 0.9


def degraded(name, how):
    """A year of the simulation of half the quality in one way: what the old bounds let pass."""
    good = field(name, 7)
    mean = good.mean("time")
    return {
        "spread": lambda: mean + 0.92 * (good - mean),
        "bias": lambda: good + 0.09 * float(good.std()) * np.cos(np.deg2rad(healpix.lonlat(ZOOM)[1])),
        "halved": lambda: mean + 0.5 * (good - mean),
        "smooth": lambda: good.copy(data=np.repeat(healpix.coarsen(good.values, 1), 4, axis=1)),
    }[how]().transpose("time", "cell")  # fmt: skip


@pytest.mark.parametrize(
    ("how", "name", "key", "before"),
    [
        ("spread", "psl", "c.standard_deviation.psl", "met"),
        ("bias", "psl", "b.rmse.psl", "met"),
        ("halved", "psl", "c.standard_deviation.psl", "missed"),
        ("smooth", "psl", "c.spectrum.psl", "missed"),
    ],
)
def test_something_of_half_the_quality_fails(how, name, key, before):
    rows = {
        one.key: one
        for one in stricter(
            [
                *mean_targets.climatology_rows(case(name, degraded(name, how))),
                *variability_targets.variability_rows(case(name, degraded(name, how))),
            ]
        )
    }
    assert (rows[key].verdict, rows[key].old_verdict) == ("missed", before)


def test_what_the_null_bottle_meets_does_not_count():
    bounds = {"lower": -1, "upper": 1}
    easy, hard = row(key="c.a.tas", figure=0.5, null=0.9, **bounds), row(key="c.b.tas", figure=0.5, null=3.0, **bounds)
    missed = row(key="c.c.tas", figure=2.0, null=-4.0, **bounds)
    assert [one.null_verdict for one in (easy, hard, missed)] == ["met", "missed", "missed"]
    assert [one.counts for one in (easy, hard, missed, row(reason="none"))] == [False, True, True, False]
    found = counted([easy, hard, missed, row(reason="none")])
    assert (found["met"], found["tests"], found["met of tests"], found["met by null"]) == (2, 2, 1, 1)
    assert row(figure=0.5, **bounds).counts  # without a null bottle everything does
