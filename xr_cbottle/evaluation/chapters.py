"""Chapters of the report's page: the figures, tables, pictures and words of each label and pair of labels."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator

from xr_cbottle import __version__
from xr_cbottle.evaluation import document, gallery
from xr_cbottle.evaluation.aimip import aimip_table
from xr_cbottle.evaluation.bottle_identity import digest_of_values
from xr_cbottle.evaluation.climate_comparison import ClimateComparison
from xr_cbottle.evaluation.document import Chapter, Table, number
from xr_cbottle.evaluation.label_comparison import Comparison
from xr_cbottle.evaluation.reference import StoredReference
from xr_cbottle.evaluation.results import Evaluation


def page(found: Evaluation, minutes: float) -> str:
    """The page of an evaluation that took some minutes, as HTML."""
    against = " and ".join(one.sides.label for one in found.compared if one.sides.label) or "its reference"
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return document.page(
        f"{found.name} held against {against}", found.rows, list(_chapters(found)), facts=_facts(found),
        left="evaluated" if found.bottle is None else "bottle",
        footer=f"xr-cbottle evaluate, version {__version__}, {today}, {minutes:.1f} minutes",
    )  # fmt: skip


def _chapters(found: Evaluation) -> Iterator[Chapter]:
    """Chapters of the labels, then of the pairs of labels."""
    coast = gallery.coast_of(found.compared[0].land)
    for one in found.compared:
        theirs = "reference" if not one.sides.label else f"{one.sides.label} simulation"
        pictures = list(gallery.of_label(one, (found.name, theirs), coast))
        tables = [*_aimip(one), *(_trends(run) for run in one.climates_asked if run.trends is not None)]
        yield Chapter(one.sides.label or found.name, _about(one), one.rows, pictures, one.extras["balances"], tables)
    for pair, rows in found.differences.items():
        pictures = list(gallery.of_difference(pair, found.climates, coast))
        yield Chapter(f"{pair[1]} minus {pair[0]}", {}, rows, pictures)


def _aimip(one: Comparison) -> Iterator[Table]:
    """The five measures of AIMIP, as far as there are figures of them."""
    rows = [
        (
            str(row["measure"]), f"{row['what']}, {row['of']}", _as_text(row["value"], number),
            _as_text(row["reference"], number), f"{_as_text(row['figure'], number)} {row['units']}".strip(),
            _as_text(row["noise_floor"], number), str(row["verdict"]),
        )
        for row in aimip_table(one.rows)
    ]  # fmt: skip
    if rows:
        yield Table(
            "AIMIP's five measures",
            "Time-mean bias, trends, regression on Nino 3.4, sub-monthly variance and the response to a warmer sea "
            "(Henn et al. 2026, arXiv:2605.06944), from the figures above; trends and responses need --climate.",
            ("measure", "of", "bottle", "simulation", "judged", "noise floor", "verdict"), rows,
        )  # fmt: skip


def _trends(one: ClimateComparison) -> Table:
    """Trends of a run by region and season."""
    assert one.trends is not None
    mine, theirs, without = (side.regions for side in one.trends)
    rows = [
        (region, season, number(value), number(theirs[region].get(season)), number(without[region].get(season)))
        for region, seasons in mine.items()
        for season, value in seasons.items()
    ]
    return Table(
        f"Trends of near-surface temperature, {one.run.name}", f"K per decade; {one.run.words}.",
        ("region", "season", "bottle", "simulation", "bottle, told of no change"), rows,
    )  # fmt: skip


def _as_text(value: object, number: Callable[[float | None], str]) -> str:
    return number(value) if isinstance(value, float) else ""


def _facts(found: Evaluation) -> dict[str, str]:
    """What was compared, in all labels, in words."""
    verdicts = (
        "a target is met if the figure keeps its bounds, whatever the sampling error (one standard deviation, of "
        f"{found.settings.copies} resampled copies) and the noise floor are; bounds are stricter than they were set, "
        "so that something of half the quality fails them; what the null bottle meets too does not count"
    )
    if found.bottle is None:
        return {"data set": ", ".join(found.stored_names), "verdicts": verdicts}
    return {
        "bottle": f"{found.bottle.manifest.name}, sha256:{found.bottle.digest}",
        "its values": f"sha256:{digest_of_values(found.bottle)}, also when it is packed again with these figures",
        "sampler": found.sampler,
        "licence": found.bottle.manifest.licence,
        "verdicts": verdicts,
    }


def _about(one: Comparison) -> dict[str, str]:
    reference = one.sides.reference
    return {
        "reference": f"{', '.join(reference.names)}, HEALPix zoom {reference.zoom}",
        "instants": f"{_counted(one)}, {one.times[0]} to {one.times[-1]}, evenly over record and hours of the day",
        "other instants": ""
        if one.left_times is None
        else f"the left side has other times: {len(one.left_times)}, {one.left_times[0]} to {one.left_times[-1]}",
        "other years": "" if one.sides.others is None else ", ".join(one.sides.others.names),
        "monthly means": f"of {one.monthly_instants} more instants in the other years" if one.monthly_instants else "",
        "noise floor": one.noise,
        "null bottle": one.null or "none: it takes a climatology of the bottle, or other years (--more)",
        **{f"climate {run.run.name}": _climate_in_words(run) for run in one.climates_asked},
    }


def _climate_in_words(one: ClimateComparison) -> str:
    words = f"{one.run.words}; {', '.join(one.run.stored.names)}; {one.instants} instants of the bottle"
    words += f", {one.of_simulation} of the simulation" if one.of_simulation else ""
    if not one.outside:
        return f"{words}; within what the bottle has learnt"
    count = f"{len(one.outside)} warning{'' if len(one.outside) == 1 else 's'}"
    said = f"{words}; {count} of the bottle: {'; '.join(one.outside)}"
    return said + ("; it refused this until it was asked to extrapolate" if one.refused else "")


def _counted(one: Comparison) -> str:
    mine, theirs = len(one.times), len(one.reference_times)
    return (
        f"{mine}"
        if isinstance(one.sides.left, StoredReference)
        else f"{mine} of the bottle and {theirs} of the reference"
    )
