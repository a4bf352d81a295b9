"""Target m: can a classifier tell instants that were drawn from instants of the simulation?

Two are asked, a logistic regression and boosted trees. Each is trained on some stretches of the calendar and asked on
others (cross-validation in blocks of time), and is judged by the area under its ROC curve: the probability that it
finds the drawn one of a pair. 0.5 is no idea, 1 is certainty. The simulation held against other years of itself says
what no idea looks like.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.evaluation.instant_features import Floats, block_of, features
from xr_cbottle.evaluation.joint_case import Fields, JointCase
from xr_cbottle.evaluation.row import ReportTarget, Row

MOST = 0.75
FOLDS = 5
_FEWEST, _MOST_INSTANTS = 40, 240
ABSENT = "scikit-learn is not installed: pip install 'xr-cbottle[evaluate]'"
CLASSIFIERS = {"logistic": "logistic regression", "trees": "boosted trees"}


def likeness_rows(case: JointCase) -> list[Row]:
    """Target m: a row for each classifier."""
    reason = _why_not(case)
    if reason:
        return [_row(case, name, reason=reason) for name in CLASSIFIERS]
    names, _ = features({key: field[:1] for key, field in case.same.items()})
    told = {id(side): _told(side) for side in _sides(case)}
    rows = []
    for name in CLASSIFIERS:
        make = _makers()[name]

        def between(first: Fields, second: Fields, make: Callable[[], Any] = make) -> tuple[float, float]:
            return area(told[id(first)], told[id(second)], make)

        found, error = between(case.bottle, case.same)
        noise = [between(*pair)[0] for pair in case.noise[:1]]
        rows.append(
            _row(
                case, name, value=found, reference=noise[0] if noise else None, figure=found,
                lower=1 - MOST, upper=MOST, sampling_error=error,
                noise_floor=0.5 + abs(noise[0] - 0.5) if noise else None,
                null=None if case.null is None else between(case.null, case.same)[0],
                remark=f"{len(names)} features of each instant; under reference: the simulation against other years",
            )
        )  # fmt: skip
    return rows


def area(
    first: tuple[Floats, npt.NDArray[np.int64]], second: tuple[Floats, npt.NDArray[np.int64]], make: Callable[[], Any]
) -> tuple[float, float]:
    """Area under the ROC curve of a classifier that tells one sample from another, and its standard error.

    Parameters
    ----------
    first, second
        Features (time, feature) of each sample, and (time,) numbers of the parts that its instants are in.
    make
        Makes a classifier of scikit-learn.

    Returns
    -------
    mean over the parts, each judged by a classifier that was trained on the others; the error is Hanley and McNeil's
    (1982, Radiology 143, 29) for as many instants as were judged. NaN if no part has instants of both.
    """
    from sklearn.metrics import roc_auc_score

    values = np.concatenate([first[0], second[0]])
    kind = np.r_[np.ones(len(first[0]), int), np.zeros(len(second[0]), int)]
    part = np.r_[first[1], second[1]]
    found, judged = [], []
    for one in np.unique(part):
        asked = part == one
        if min(len(np.unique(kind[asked])), len(np.unique(kind[~asked]))) < 2:
            continue
        classifier = make().fit(values[~asked], kind[~asked])
        found.append(roc_auc_score(kind[asked], classifier.predict_proba(values[asked])[:, 1]))
        judged.append(int(asked.sum()))
    if not found:
        return math.nan, math.nan
    mean = float(np.average(found, weights=judged))
    return mean, _error(mean, len(first[0]), len(second[0]))


def _error(area: float, n: int, m: int) -> float:
    a = max(area, 1 - area)
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    return math.sqrt(max(0.0, a * (1 - a) + (n - 1) * (q1 - a**2) + (m - 1) * (q2 - a**2)) / (n * m))


def _sides(case: JointCase) -> list[Fields]:
    sides = [case.bottle, case.same, *(side for pair in case.noise[:1] for side in pair)]
    return sides if case.null is None else [*sides, case.null]


def _told(side: Fields) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Features of some instants of a side, and the parts that they are in."""
    count = len(next(iter(side.values())))
    some = {key: field[:: max(1, math.ceil(count / _MOST_INSTANTS))] for key, field in side.items()}
    return features(some)[1], block_of(next(iter(some.values()))["time"], FOLDS)


def _why_not(case: JointCase) -> str:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        return ABSENT
    few = min(len(next(iter(side.values()))) for side in _sides(case))
    if few < _FEWEST:
        return f"{few} instants are too few to learn from: give {_FEWEST} or more"
    if len({tuple(features({k: f[:1] for k, f in side.items()})[0]) for side in _sides(case)}) > 1:
        return "the sides have missing values in different quantities"
    return "" if features({k: f[:1] for k, f in case.same.items()})[0] else "there is none of the quantities looked at"


def _makers() -> dict[str, Callable[[], Any]]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)),
        "trees": lambda: HistGradientBoostingClassifier(
            max_iter=100, max_leaf_nodes=15, min_samples_leaf=10, early_stopping=False, random_state=0
        ),
    }


def _row(case: JointCase, name: str, **values: Any) -> Row:
    return Row(
        ReportTarget.LIKENESS, f"{ReportTarget.LIKENESS}.auc.{name}",
        f"drawn told from simulated by {CLASSIFIERS[name]}, area under the ROC curve", "all", case.label, units="1",
        **values,
    )  # fmt: skip
