"""One label compared: its instants, its fields, quantity by quantity, and what takes several quantities."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.evaluation import (
    balance_targets,
    cycle_targets,
    impossible_targets,
    instants,
    likeness_targets,
    mean_targets,
    nino_months,
    pattern_targets,
    rain_targets,
    response_targets,
    shape_targets,
    tail_targets,
    variability_targets,
)
from xr_cbottle.evaluation.climate_comparison import ClimateComparison, ClimateSides, compare_climate
from xr_cbottle.evaluation.joint_case import JointCase
from xr_cbottle.evaluation.portrait import portrait
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.quantity_case import QuantityCase
from xr_cbottle.evaluation.reference import StoredReference
from xr_cbottle.evaluation.response_targets import Climate, Months
from xr_cbottle.evaluation.row import ReportTarget, Row
from xr_cbottle.evaluation.sampling import Drawing
from xr_cbottle.evaluation.sides import Sides, null_of
from xr_cbottle.evaluation.strictness import stricter
from xr_cbottle.grid import healpix

#: Samples of other years that the noise floor is the mean of.
_STRETCHES = 3
#: Memory for fields that are held at the same time.
_MOST_BYTES = 2 << 30
#: All samples that are held, over the instants of the reference.
_SIDES = 2.5
_EXPECTED = {
    ReportTarget.GLOBAL_MEAN: ("global_mean", "global mean", [Quantity(name) for name in mean_targets.GLOBAL_MEANS]),
    ReportTarget.DISTRIBUTION: ("quantile", "quantiles", [Quantity(name) for name in tail_targets.TAILED]),
}


@dataclass(eq=False)
class Comparison:
    """Results of one label.

    Attributes
    ----------
    sides
        What was compared.
    times
        (time,) the instants of the bottle, and of both sides if that is a stored data set of the same times.
    reference_times
        (time,) the instants of the reference.
    left_times
        (time,) of a stored left side that has other times.
    noise
        What the noise floor was made of, in words.
    rows
        Figures.
    portraits
        By key of the quantity.
    climates
        By key of the quantity, of those that differences between labels are made of.
    months
        Monthly means of bottle and reference, if there are any.
    extras
        Joint distributions, EOFs and balances.
    monthly_instants
        How many instants were drawn for the months alone.
    null
        What the null bottle is made of, in words; empty without one.
    climates_asked
        Results of the runs under other climates.
    land
        (cell,) True over land, if it is known.
    """

    sides: Sides
    times: npt.NDArray[np.datetime64]
    reference_times: npt.NDArray[np.datetime64]
    left_times: npt.NDArray[np.datetime64] | None
    noise: str
    land: npt.NDArray[np.bool_] | None
    rows: list[Row] = field(default_factory=list)
    portraits: dict[str, xr.Dataset] = field(default_factory=dict)
    climates: dict[str, Climate] = field(default_factory=dict)
    months: tuple[Months, Months] | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    monthly_instants: int = 0
    null: str = ""
    climates_asked: list[ClimateComparison] = field(default_factory=list)


def compare(
    sides: Sides,
    *,
    count: int,
    of_reference: int,
    monthly: int,
    copies: int,
    progress: bool | None,
    of_climate: int = 32,
) -> Comparison:
    """Draw, read and judge one label.

    Parameters
    ----------
    sides
        What is compared.
    count
        Instants of the bottle, and of the samples of the reference that the noise floor is made of.
    of_reference
        Instants of the reference that a bottle is held against: they cost little, and the more there are, the less of
        a figure is the reference's own weather. Of two stored data sets ``count`` are taken.
    monthly
        Instants of each month of the other years that the bottle is asked for beside; 0 leaves the response out.
    copies
        Resampled copies of which sampling errors are made.
    progress
        Whether to show bars; None: on a terminal.
    of_climate
        Instants of the bottle under each other climate.
    """
    reference, left = sides.reference, sides.left
    common = comparable(left, reference)
    there = np.arange(len(reference.times))
    if isinstance(left, Drawing):
        there = left.on_axis(reference.times)
        if not there.size:
            raise ValueError(_off_axis(sides, left))
    chosen = there[instants.choose(reference.times[there], count)]
    times, whole = reference.times[chosen], chosen
    left_positions, left_times = np.arange(len(times)), None
    if isinstance(left, Drawing):
        land = left.land()
        drawn = left.draw(sides.label or None, times)
        whole = instants.choose(reference.times, max(count, of_reference))
    else:
        drawn, land = left, reference.land() if left.land() is None else left.land()
        same = np.searchsorted(left.times, times).clip(max=len(left.times) - 1)
        left_positions = same
        if (left.times[same] != times).any():  # other years: as many, chosen in the same way
            left_positions = instants.choose(left.times, count)
            left_times = left.times[left_positions]
    pairs, noise = _noise(sides, chosen, count)
    null = null_of(sides)
    null_times = times if left_times is None else left_times
    result = Comparison(sides, times, reference.times[whole], left_times, noise, land)
    result.null = "" if null is None else null.about

    gathered = _Gathered(len(common), len(whole), healpix.n_cells(reference.zoom))
    for quantity in _bar(common, f"comparing {sides.label}".rstrip(), progress):
        bottle, theirs = drawn.read(quantity, left_positions), reference.read(quantity, whole)
        # A sample of the reference that is held against several others is read once.
        first = {id(i): theirs if i is whole else a.read(quantity, i) for (a, i), _ in pairs}
        samples = tuple((first[id(i)], b.read(quantity, j)) for (_, i), (b, j) in pairs)
        case = QuantityCase(quantity, sides.label, bottle, theirs, samples, land, copies, isinstance(left, Drawing))
        if bool(np.isnan(case.bottle).all()) or bool(np.isnan(case.reference).all()):
            continue
        nothing = None if null is None else null.fields(quantity, null_times).where(bottle.notnull().values)
        result.rows += judged(case, nothing)
        result.portraits[quantity.key] = portrait(case)
        if quantity in response_targets.DIFFERING:
            result.climates[quantity.key] = climate(case, nothing)
        at_times = theirs if chosen is whole else first.get(id(chosen))
        if at_times is None:
            at_times = reference.read(quantity, chosen)
        gathered.add(quantity.key, bottle, theirs, at_times, samples, nothing)
    result.rows += _absent(sides.label, list(result.portraits), drawn)
    result.extras = several(gathered.sides)
    joint = gathered.case(sides.label, land, _sea(left, drawn, left_positions))
    result.rows += jointly(joint)
    nino = nino_months.gathered(sides, drawn, monthly, null)
    result.months, result.monthly_instants = nino.months, nino.instants
    result.rows += response_targets.response_rows(sides.label, nino.months, nino.reason, nino.null)
    if isinstance(left, Drawing):
        told = ClimateSides(sides.label, left, sides.known, land, drawn, times)
        for run in _bar(sides.climates, f"other climates of {sides.label}", progress):
            result.climates_asked.append(compare_climate(told, run, of_climate))
            result.rows += result.climates_asked[-1].rows
    result.rows = sorted(stricter(result.rows), key=lambda row: row.target)
    return result


def judged(case: QuantityCase, null: xr.DataArray | None = None) -> list[Row]:
    """All rows of one quantity, and in each the figure of the null bottle's fields if there are any."""
    rows = [
        *mean_targets.global_mean_rows(case),
        *mean_targets.climatology_rows(case),
        *variability_targets.variability_rows(case),
        *cycle_targets.seasonal_rows(case),
        *cycle_targets.diurnal_rows(case),
        *tail_targets.tail_rows(case),
        *shape_targets.shape_rows(case),
        *rain_targets.rain_rows(case),
    ]
    if null is None:
        return rows
    # Neither noise floors nor sampling errors are asked of it: what it costs is a small part of the whole.
    other = dataclasses.replace(case, bottle=null, pairs=(), copies=2, is_model=True)
    figures = {row.key: row.figure for row in judged(other)}
    return [dataclasses.replace(row, null=figures.get(row.key)) for row in rows]


def jointly(case: JointCase) -> list[Row]:
    """All rows of several quantities at once."""
    if not case.bottle:
        return []
    return [
        *pattern_targets.pattern_rows(case),
        *balance_targets.balance_rows(case),
        *impossible_targets.impossible_rows(case),
        *likeness_targets.likeness_rows(case),
    ]


class _Gathered:
    """Fields of all quantities, some instants of them if they are many."""

    def __init__(self, quantities: int, instants: int, cells: int) -> None:
        # Of large fields some instants are enough for what takes many quantities at once.
        self.step = math.ceil(_SIDES * 4 * quantities * instants * cells / _MOST_BYTES)
        self.sides: dict[str, tuple[xr.DataArray, xr.DataArray]] = {}
        self.same: dict[str, xr.DataArray] = {}
        self.null: dict[str, xr.DataArray] = {}
        self.first: dict[str, xr.DataArray] = {}
        self.noise: list[tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]] = []

    def add(
        self, key: str, bottle: xr.DataArray, theirs: xr.DataArray, same: xr.DataArray,
        samples: tuple[tuple[xr.DataArray, xr.DataArray], ...], null: xr.DataArray | None,
    ) -> None:  # fmt: skip
        """Keep the fields of one quantity."""
        every = slice(None, None, self.step)
        self.sides[key] = bottle[every], theirs[every]
        self.same[key] = same[every]
        if null is not None:
            self.null[key] = null[every]
        # The first of all pairs is the same sample: what is made of it is made once.
        self.noise = self.noise or [(self.first, {}) for _ in samples]
        for kept, pair in zip(self.noise, samples, strict=True):
            for side, sample in zip(kept, pair, strict=True):
                side[key] = sample[every]

    def case(self, label: str, land: npt.NDArray[np.bool_] | None, sea: xr.DataArray | None) -> JointCase:
        """All of it as a case."""
        bottle, reference = ({key: pair[i] for key, pair in self.sides.items()} for i in (0, 1))
        return JointCase(
            label, bottle, reference, self.same, tuple(self.noise), self.null or None, land,
            None if sea is None else sea[:: self.step],
        )  # fmt: skip


def _sea(
    left: Drawing | StoredReference, drawn: StoredReference, positions: npt.NDArray[np.int64]
) -> xr.DataArray | None:
    """(time, cell) sea surface temperature under which the left side was drawn, or that it has itself."""
    times = drawn.times[positions].astype("datetime64[ns]")
    if isinstance(left, Drawing):
        values = left.sea(times)
        return None if values is None else xr.DataArray(values, {"time": times}, ("time", "cell"), "sst")
    sea = Quantity("sst")
    return drawn.read(sea, positions) if sea in drawn.quantities else None


def climate(case: QuantityCase, null: xr.DataArray | None = None) -> Climate:
    """Means of a quantity, to be subtracted from those of another label."""
    mine, theirs = (diagnostics.climatology(field) for field in (case.bottle, case.reference))
    samples = None
    if case.pairs:
        first, second = case.pairs[0]
        samples = diagnostics.climatology(first), diagnostics.climatology(second)
    copies = [copy.mean(field) for copy, field in zip(case.resampled, (case.bottle, case.reference), strict=True)]
    nothing = None if null is None else diagnostics.climatology(null)
    return Climate(mine, theirs, samples, (copies[0], copies[1]), nothing)


def comparable(left: Drawing | StoredReference, reference: StoredReference) -> list[Quantity]:
    """Quantities that both sides have.

    Raises
    ------
    ValueError
        If that is nothing, or is in different units.
    """
    common = [one for one in left.quantities if one in reference.quantities]
    if not common:
        names = (", ".join(dict.fromkeys(one.title for one in side.quantities)) for side in (left, reference))
        raise ValueError("there is nothing to compare: one side has {} and the other {}".format(*names))
    for quantity in common:
        found = [side.units(quantity) for side in (left, reference)]
        plain = [text.replace("**", "").replace("^", "").strip() for text in found]
        if all(plain) and plain[0] != plain[1]:
            raise ValueError(
                f"{quantity.name} is in {found[0]!r} on one side and in {found[1]!r} on the other: convert one"
            )
    return common


def several(fields: Mapping[str, tuple[xr.DataArray, xr.DataArray]]) -> dict[str, Any]:
    """Figures of several quantities at once, which have no target: see `xr_cbottle.evaluation.relation_targets`."""
    from xr_cbottle.evaluation import relation_targets

    return relation_targets.relations(fields)


def _noise(
    sides: Sides, chosen: npt.NDArray[np.int64], count: int
) -> tuple[list[tuple[tuple[StoredReference, Any], tuple[StoredReference, Any]]], str]:
    """Samples of the reference to be held against each other: (data set, positions) twice, and what they are."""
    reference, others = sides.reference, sides.others
    if others is not None:
        stretches = instants.years(others.times, reference.times[chosen], _STRETCHES)
        samples = [stretch[instants.choose(others.times[stretch], len(chosen))] for stretch in stretches]
        samples = [sample for sample in samples if len(sample) >= len(chosen) / 2]
        if samples:
            spans = [_span(others.times[sample]) for sample in samples]
            words = (
                f"the reference against {' and '.join(spans)} of the same simulation, {len(samples[0])} instants each"
            )
            return [((reference, chosen), (others, sample)) for sample in samples], words
    first, second = instants.halves(reference.times)
    if not len(first) or not len(second):
        return [], "none: the reference is shorter than twenty days"
    n = min(count, len(first), len(second))
    halves = [half[instants.choose(reference.times[half], n)] for half in (first, second)]
    words = f"two halves of the reference, blocks of ten days by turns, {n} instants each"
    return [((reference, halves[0]), (reference, halves[1]))], words


def _absent(label: str, present: list[str], drawn: StoredReference) -> list[Row]:
    """Rows for what a target names or the left side has, and cannot be compared."""
    rows = [
        Row(target, f"{target}.{kind}.{one.key}", what, one.title, label, reason=f"{one.title} is not on both sides")
        for target, (kind, what, wanted) in _EXPECTED.items()
        for one in wanted
        if one.key not in present
    ]
    return rows + [
        Row(
            ReportTarget.CLIMATOLOGY,
            f"{ReportTarget.CLIMATOLOGY}.rmse.{one.key}",
            "RMSE of the mean",
            one.title,
            label,
            reason="the reference does not have it",
        )
        for one in drawn.quantities
        if one.key not in present
    ]


def _off_axis(sides: Sides, left: Drawing) -> str:
    time = left.bottle.manifest.time
    return (
        f"no time of {sides.reference.names[0]} is an instant of {left.bottle.manifest.name}, which has "
        f"{time.start} to {time.end} every {time.step}: give a reference within these"
    )


def _span(times: npt.NDArray[np.datetime64]) -> str:
    first, last = (str(times[i].astype("datetime64[Y]")) for i in (0, -1))
    return first if first == last else f"{first}-{last}"


def _bar(values: Any, what: str, progress: bool | None) -> Any:
    from tqdm.auto import tqdm

    return tqdm(values, desc=what, unit="field", disable=None if progress is None else not progress, file=sys.stderr)
