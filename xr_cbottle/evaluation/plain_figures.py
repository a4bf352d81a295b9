"""The file of an evaluation's figures, for programs: plain values under keys that stay."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from xr_cbottle import __version__
from xr_cbottle.evaluation.aimip import aimip_table
from xr_cbottle.evaluation.bottle_identity import identified
from xr_cbottle.evaluation.climate_comparison import ClimateComparison
from xr_cbottle.evaluation.results import Evaluation
from xr_cbottle.evaluation.row import TARGETS, counted

FORMAT = "xr-cbottle evaluation"
VERSION = 1


def plain_figures(evaluation: Evaluation) -> dict[str, Any]:
    """``figures.json``: plain values, keys that stay."""
    bottle, settings, compared = evaluation.bottle, evaluation.settings, evaluation.compared
    labels = {}
    for one in compared:
        labels[one.sides.label] = {
            "reference": list(one.sides.reference.names),
            "other_years": [] if one.sides.others is None else list(one.sides.others.names),
            "instants": len(one.times),
            "reference_instants": len(one.reference_times),
            "first": str(one.times[0]),
            "last": str(one.times[-1]),
            "monthly_instants": one.monthly_instants,
            "noise_floor": one.noise,
            "null_bottle": one.null or None,
            "climates": {run.run.name: _climate_plain(run) for run in one.climates_asked},
            "aimip": aimip_table(one.rows),
            "balances": [
                {
                    key: None if isinstance(value, float) and not np.isfinite(value) else value
                    for key, value in row.items()
                }
                for row in one.extras["balances"]
            ],
        }
    found = counted(list(evaluation.rows))
    return {
        "format": FORMAT,
        "version": VERSION,
        "software": f"xr_cbottle {__version__}",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "name": evaluation.name,
        "bottle": None if bottle is None else identified(bottle),
        "data_set": None if bottle is not None else list(evaluation.stored_names),
        "zoom": compared[0].sides.reference.zoom,
        "sampler": None if bottle is None else evaluation.sampler,
        "seed": None if bottle is None else settings.keywords.get("seed", 0),
        "labels": labels,
        "targets": TARGETS,
        "summary": {key.replace(" ", "_"): value for key, value in found.items()},
        "figures": [row.plain() for row in evaluation.rows],
    }


def _climate_plain(one: ClimateComparison) -> dict[str, Any]:
    trends = one.trends
    return {
        "run": one.run.words,
        "files": list(one.run.stored.names),
        "instants": one.instants,
        "simulation_instants": one.of_simulation,
        "warnings": len(one.outside),
        "outside": list(one.outside),
        "refused": one.refused,
        "trends": None
        if trends is None
        else {
            side: {
                region: {season: _finite(value) for season, value in seasons.items()}
                for region, seasons in found.regions.items()
            }
            for side, found in zip(("bottle", "simulation", "unforced"), trends, strict=True)
        },
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
