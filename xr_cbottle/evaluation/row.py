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
    PATTERNS = "h"
    SHAPE = "i"
    BALANCES = "j"
    RAIN = "k"
    IMPOSSIBLE = "l"
    LIKENESS = "m"
    CLIMATE = "n"


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
    ReportTarget.RESPONSE: (
        "Regression on Nino 3.4: pattern correlation of tas and pr with the simulation's >= 0.7, amplitude within 25 %."
    ),
    ReportTarget.LABELS: (
        "The difference between the labels (of their climatologies) is learned: pattern correlation >= 0.95 for tas, "
        "rlut, ua 250."
    ),
    ReportTarget.PATTERNS: (
        "Annular modes of psl, 20 to 90 degrees: pattern correlation >= 0.9, explained variance within 20 %; distant "
        "correlations (beyond 30 degrees) of psl, zg 500, tas, pr: correlation with the simulation's >= 0.8."
    ),
    ReportTarget.SHAPE: (
        "Shape of the anomalies: kurtosis of every channel and variance within months of some within 15 %; values "
        "beyond 3 deviations of the climatology, on either side, as many as in the simulation within 25 %."
    ),
    ReportTarget.BALANCES: (
        "Balances in each instant: wind and geostrophic wind of 500 hPa correlate as in the simulation within 0.03; "
        "the spread of the thickness about the hydrostatic one within 15 %."
    ),
    ReportTarget.RAIN: "Rain by latitude and season: the mean of each zonal band in each season within 10 %.",
    ReportTarget.IMPOSSIBLE: (
        "Nothing impossible, or no more than in the simulation: sunshine at night, clouds beyond 0 and 1, humidity "
        "below zero or beyond saturation, more sunshine sent out than comes in, an open sea of another temperature "
        "than was given, a mass of the air that wanders."
    ),
    ReportTarget.LIKENESS: (
        "Nobody can tell: classifiers that are shown instants of both (spectra, gradients, skewness, kurtosis, joint "
        "features) tell drawn from simulated with an area under the ROC curve of at most 0.75 (0.5: not at all)."
    ),
    ReportTarget.CLIMATE: (
        "Another climate: under a changed sea the response of global tas, land over sea, rlut, prw within 10 %, rain "
        "within 1 % K-1, ta 250 within 15 %, pattern of tas >= 0.9; under changed CO2 tas over land, rlut, ta 250 "
        "within 25 %; trends of tas within 15 %, change of heat extremes over land within 25 %."
    ),
}
"""Words of each target as it was set."""
LOOSE = 2.0
"""Noise floors beyond which a bound is no test: twice the difference of the simulation from itself would meet it."""


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
    old_lower, old_upper
        Bounds of the same target before they were made stricter; None of a target that had none.
    noise_floor
        The same figure between two samples of the reference; None if it was not to be had.
    sampling_error
        Standard deviation of the figure over resampled instants.
    null
        The figure of the null bottle (`xr_cbottle.evaluation.null_bottle`); None without one.
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
    old_lower: float | None = None
    old_upper: float | None = None
    noise_floor: float | None = None
    sampling_error: float | None = None
    null: float | None = None
    season: str = "annual"
    band: str = ""
    remark: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            number = getattr(self, name)
            if number is not None:
                object.__setattr__(self, name, float(number) if math.isfinite(number) else None)
        if self.figure is None and not self.reason:
            object.__setattr__(self, "reason", "there is no such figure of these data: a value is missing or constant")

    @property
    def missed_by(self) -> float | None:
        """Distance of the figure from its bounds; 0 if it keeps them, None if it was not evaluated."""
        return None if self.reason else beyond(self.figure, self.lower, self.upper)

    @property
    def verdict(self) -> Verdict:
        """met, missed or not evaluated."""
        return _verdict(self.missed_by)

    @property
    def old_verdict(self) -> Verdict:
        """The verdict by the bounds before they were made stricter; "not evaluated" of a target that had none."""
        if self.reason or not self.is_old:
            return "not evaluated"
        return _verdict(beyond(self.figure, self.old_lower, self.old_upper))

    @property
    def is_old(self) -> bool:
        """Whether the target had bounds before they were made stricter."""
        return self.old_lower is not None or self.old_upper is not None

    @property
    def null_verdict(self) -> Verdict:
        """The verdict on the null bottle, by the same bounds."""
        return "not evaluated" if self.reason else _verdict(beyond(self.null, self.lower, self.upper))

    @property
    def counts(self) -> bool:
        """Whether it is a test: it was evaluated, and the null bottle does not meet it too."""
        return self.verdict != "not evaluated" and self.null_verdict != "met"

    @property
    def middle(self) -> float:
        """The figure of what is right: the middle of two bounds, 1 of a likeness with a lower one, else 0."""
        if self.lower is not None and self.upper is not None:
            return (self.lower + self.upper) / 2
        return 1.0 if self.lower is not None else 0.0

    @property
    def bound_over_noise(self) -> float | None:
        """How far the bound lies from what is right, over the noise floor; None without either.

        Noise is the larger of the distance of the noise floor and the sampling error. Beyond `LOOSE` it is no test.
        """
        return _over_noise(self, self.lower, self.upper)

    @property
    def old_bound_over_noise(self) -> float | None:
        """Noise floors that the bounds were wide before they were stricter, as `bound_over_noise`; None without."""
        return _over_noise(self, self.old_lower, self.old_upper) if self.is_old else None

    @property
    def within_noise(self) -> bool:
        """True if the reference's own samples are as far from the middle of the bounds as the figure is."""
        if self.verdict != "missed" or self.noise_floor is None or self.figure is None:
            return False
        if self.lower is not None and self.upper is not None:
            # The noise floor of a ratio is a ratio, that of a difference a size.
            return abs(self.figure - self.middle) <= abs(self.noise_floor - self.middle)
        return self.figure >= self.noise_floor if self.upper is None else self.figure <= self.noise_floor

    def plain(self) -> dict[str, Any]:
        """The row as JSON's types."""
        return {
            **dataclasses.asdict(self),
            "verdict": self.verdict,
            "missed_by": self.missed_by,
            "within_noise_floor": self.within_noise,
            "old_verdict": self.old_verdict,
            "null_verdict": self.null_verdict,
            "counts": self.counts,
            "bound_over_noise": self.bound_over_noise,
            "old_bound_over_noise": self.old_bound_over_noise,
        }


_NUMBERS = (
    "value", "reference", "figure", "lower", "upper", "old_lower", "old_upper", "noise_floor", "sampling_error", "null",
)  # fmt: skip


def beyond(figure: float | None, lower: float | None, upper: float | None) -> float | None:
    """Distance of a figure from its bounds; 0 if it keeps them, None if there is none."""
    if figure is None:
        return None
    below = 0.0 if lower is None else lower - figure
    above = 0.0 if upper is None else figure - upper
    return max(0.0, below, above)


def counted(rows: list[Row]) -> dict[str, int]:
    """Number of rows of each verdict, of missed ones within the noise floor, of tests, and by the old bounds.

    "met of tests" and "tests" leave out what the null bottle meets; "met by null" is the number of these.
    """
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("met", "missed", "not evaluated")}
    tests = [row for row in rows if row.counts]
    return {
        **counts,
        "missed within the noise floor": sum(row.within_noise for row in rows),
        "tests": len(tests),
        "met of tests": sum(row.verdict == "met" for row in tests),
        "met by null": sum(row.null_verdict == "met" for row in rows),
        "old met": sum(row.old_verdict == "met" for row in rows),
        "old missed": sum(row.old_verdict == "missed" for row in rows),
    }


def _verdict(missed_by: float | None) -> Verdict:
    return "not evaluated" if missed_by is None else "missed" if missed_by > 0 else "met"


def _over_noise(row: Row, lower: float | None, upper: float | None) -> float | None:
    noise = 0.0 if row.noise_floor is None else abs(row.noise_floor - row.middle)
    noise = max(noise, row.sampling_error or 0.0)
    bound = upper if lower is None else lower
    return None if bound is None or not noise else abs(bound - row.middle) / noise
