"""A row of the report's table: a figure, the bounds it should keep, and whether it does."""

from __future__ import annotations

import dataclasses
import enum
import math
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["met", "missed", "not evaluated"]


class ReportTarget(enum.StrEnum):
    """Targets of a report by the letter that begins the keys of their figures."""

    GLOBAL_MEAN = "a"
    CLIMATOLOGY = "b"
    VARIABILITY = "c"
    CYCLES = "d"
    DISTRIBUTION = "e"
    RESPONSE = "f"
    LABELS = "g"


TARGETS = {
    ReportTarget.GLOBAL_MEAN: "Global mean: tas within 0.3 K, pr within 3 %, rlut within 1.5 W m-2, prw within 2 %.",
    ReportTarget.CLIMATOLOGY: (
        "Climatology (annual and DJF, JJA): RMSE of each variable <= the larger of 0.1 of its total standard deviation "
        "and twice the noise floor; pattern correlation >= 0.99 for tas, psl, prw, ta, zg, >= 0.95 for rlut, rsut, ua, "
        "uas, pr."
    ),
    ReportTarget.VARIABILITY: (
        "Standard-deviation maps: global mean ratio 0.9 to 1.1 for every channel; angular power spectrum within 20 % "
        "for degrees 1 to 2/3 of the largest resolved."
    ),
    ReportTarget.CYCLES: (
        "Seasonal cycle amplitude within 10 % and phase within 10 days in each zonal band; diurnal cycle of rsds, tas "
        "over land within 10 % in amplitude and 1 h in phase; the 06 UTC sun stands at 90 E."
    ),
    ReportTarget.DISTRIBUTION: (
        "Quantiles 0.1, 1, 50, 99, 99.9 % of tas, uas, pr, psl within 5 % of the (0.1 to 99.9 %) range; pr has no mass "
        "below zero beyond 1e-6 kg m-2 s-1 unless stated as a limit."
    ),
    ReportTarget.RESPONSE: "Regression on Nino 3.4: pattern correlation of tas and pr with the simulation's >= 0.7.",
    ReportTarget.LABELS: (
        "The difference between the labels (of their climatologies) is learned: pattern correlation >= 0.95 for tas, "
        "rlut, ua 250."
    ),
}
"""Words of each target as it was set."""


@dataclass(frozen=True)
class Row:
    """One figure, judged.

    Attributes
    ----------
    target
        The target that it belongs to, see `TARGETS`.
    key
        Names it for programs, the same in every report: ``b.rmse.ta_50000.DJF``; with its label it is unique.
    what
        Names it for people.
    quantity
        Title of the quantity.
    label
        The label that was evaluated.
    units
        Of ``value`` and ``reference``.
    value, reference
        What the bottle and the reference have, where each has one.
    figure, figure_units
        What is judged: a difference, ratio, error or correlation.
    lower, upper
        Bounds that the figure should keep, each included; None on a side without one.
    noise_floor
        The same figure between two samples of the reference; None if it was not to be had.
    sampling_error
        Standard deviation of the figure over resampled instants.
    season, band
        Which times and latitudes it is of.
    remark
        What else is to be said.
    reason
        Why it was not evaluated; empty if it was.
    """

    target: ReportTarget
    key: str
    what: str
    quantity: str
    label: str = ""
    units: str = ""
    value: float | None = None
    reference: float | None = None
    figure: float | None = None
    figure_units: str = "1"
    lower: float | None = None
    upper: float | None = None
    noise_floor: float | None = None
    sampling_error: float | None = None
    season: str = "annual"
    band: str = ""
    remark: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "reference", "figure", "lower", "upper", "noise_floor", "sampling_error"):
            number = getattr(self, name)
            if number is not None:
                object.__setattr__(self, name, float(number) if math.isfinite(number) else None)
        if self.figure is None and not self.reason:
            object.__setattr__(self, "reason", "there is no such figure of these data: a value is missing or constant")

    @property
    def missed_by(self) -> float | None:
        """Distance of the figure from its bounds; 0 if it keeps them, None if it was not evaluated."""
        if self.reason or self.figure is None:
            return None
        below = 0.0 if self.lower is None else self.lower - self.figure
        above = 0.0 if self.upper is None else self.figure - self.upper
        return max(0.0, below, above)

    @property
    def verdict(self) -> Verdict:
        """met, missed or not evaluated."""
        missed = self.missed_by
        return "not evaluated" if missed is None else "missed" if missed > 0 else "met"

    @property
    def within_noise(self) -> bool:
        """True if the reference's own samples are as far from the middle of the bounds as the figure is."""
        if self.verdict != "missed" or self.noise_floor is None or self.figure is None:
            return False
        if self.lower is not None and self.upper is not None:
            middle = (self.lower + self.upper) / 2
            # The noise floor of a ratio is a ratio, that of a difference a size.
            return abs(self.figure - middle) <= abs(self.noise_floor - middle)
        return self.figure >= self.noise_floor if self.upper is None else self.figure <= self.noise_floor

    def plain(self) -> dict[str, Any]:
        """The row as JSON's types."""
        return {
            **dataclasses.asdict(self),
            "verdict": self.verdict,
            "missed_by": self.missed_by,
            "within_noise_floor": self.within_noise,
        }


def counted(rows: list[Row]) -> dict[str, int]:
    """Number of rows of each verdict, and of missed ones within the noise floor."""
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("met", "missed", "not evaluated")}
    return {**counts, "missed within the noise floor": sum(row.within_noise for row in rows)}
