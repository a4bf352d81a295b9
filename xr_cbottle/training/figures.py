"""The figures of an evaluation, as a bottle keeps them in its manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

KEPT = ("figure", "noise_floor", "verdict")


def condensed(report: Mapping[str, Any]) -> dict[str, Any]:
    """Short form of a report's ``figures.json``: data compared, and each figure with its noise floor and verdict.

    Parameters
    ----------
    report
        What ``xr-cbottle evaluate`` wrote; any other mapping is kept as it is.

    Returns
    -------
    ``{"evaluation": ...}``, in which ``figures`` are ``{label: {key: [figure, noise floor, verdict]}}``, with the
    digests of the bottle that it is of.
    """
    if not {"figures", "labels", "summary"} <= set(report):
        return dict(report)
    figures: dict[str, dict[str, list[Any]]] = {}
    for row in report["figures"]:
        values = [float(f"{v:.4g}") if isinstance(v := row[name], float) else v for name in KEPT]
        figures.setdefault(row["label"] or "all", {})[row["key"]] = values
    labels = {
        label: {
            "reference": [os.path.basename(path) for path in found["reference"]],
            "other_years": [os.path.basename(path) for path in found["other_years"]],
            "instants": found["instants"],
        }
        for label, found in report["labels"].items()
    }
    return {
        "evaluation": {
            **({"bottle": report["bottle"]} if report.get("bottle") else {}),
            "sampler": report["sampler"], "labels": labels, "summary": report["summary"],
            "columns": list(KEPT), "figures": figures,
        }
    }  # fmt: skip
