"""The five measures of AIMIP, picked from the figures of a report.

AIMIP is the intercomparison of atmosphere models that were learnt (Henn et al. 2026, arXiv:2605.06944). Its measures
are biases, trends, the response to El Nino, variability in time, and the response to a warmer sea.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xr_cbottle.evaluation.row import Row


@dataclass(frozen=True)
class AimipMeasure:
    """One of the five.

    Attributes
    ----------
    name, definition
        What it is, and how it is measured here.
    keys
        Of its figures: beginnings of them; the whole key, if ``$`` follows; or ``*`` and the end of one that begins
        with ``n.``.
    """

    name: str
    definition: str
    keys: tuple[str, ...]

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """Figures of the measure among those of a label."""
        return [row for row in rows if any(_is(row.key, key) for key in self.keys)]


_SHOWN = ("tas", "pr", "psl", "ua_25000", "zg_50000", "rlut")
MEASURES = (
    AimipMeasure(
        "time-mean bias", "root mean square over the globe of the difference of the means over all instants",
        tuple(f"b.rmse.{name}$" for name in _SHOWN),
    ),
    AimipMeasure(
        "trends", "least-squares trend of the means of calendar years, of runs that change with time",
        ("*.trend", "*.heat_trend"),
    ),
    AimipMeasure(
        "Nino 3.4 regression", "regression of monthly anomalies on those of the sea of 5S to 5N, 170W to 120W",
        ("f.nino34",),
    ),
    AimipMeasure(
        "sub-monthly variance", "variance of instants about the mean of their month, mean over the globe",
        tuple(f"i.submonthly_variance.{name}$" for name in _SHOWN),
    ),
    AimipMeasure(
        "response to +2 and +4 K", "means under a warmer sea less those under the observed sea at the same instants",
        ("*.tas", "*.rain", "*.pattern", "*.land_sea"),
    ),
)  # fmt: skip


def aimip_table(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Rows {measure, definition, key, figure, units, value, reference, noise_floor, verdict} as JSON has them."""
    found: list[dict[str, object]] = []
    for measure in MEASURES:
        for row in measure.of(rows):
            found.append(
                {
                    "measure": measure.name, "definition": measure.definition, "key": row.key, "of": row.quantity,
                    "what": row.what, "figure": row.figure, "units": row.figure_units, "value": row.value,
                    "reference": row.reference, "noise_floor": row.noise_floor, "verdict": row.verdict,
                }
            )  # fmt: skip
    return found


def _is(key: str, wanted: str) -> bool:
    if wanted.startswith("*"):
        return key.startswith("n.") and key.endswith(wanted[1:])
    return key == wanted[:-1] if wanted.endswith("$") else key.startswith(wanted)
