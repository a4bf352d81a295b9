"""The report: compares every label, then writes the figures and the page, whole or not at all."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle import __version__
from xr_cbottle.bottle.sampler import SOLVERS
from xr_cbottle.evaluation import response_targets
from xr_cbottle.evaluation.aimip import aimip_table
from xr_cbottle.evaluation.bottle_identity import digest_of_values, identified
from xr_cbottle.evaluation.climate_comparison import ClimateComparison
from xr_cbottle.evaluation.climate_run import climate_runs
from xr_cbottle.evaluation.label_comparison import Comparison, Sides, compare
from xr_cbottle.evaluation.reference import StoredReference, is_stored, open_files, open_stored
from xr_cbottle.evaluation.row import TARGETS, ReportTarget, Row, counted
from xr_cbottle.evaluation.sampling import Drawing
from xr_cbottle.evaluation.strictness import stricter

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle
    from xr_cbottle.evaluation.document import Chapter, Table

FORMAT = "xr-cbottle evaluation"
VERSION = 1


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation: how much is compared, and how.

    Attributes
    ----------
    instants
        Of the bottle under each label, and as many of each sample of the reference for the noise floor.
    reference_instants
        Of each label's reference, as far as it has them; four times as many if None.
    monthly
        Instants of each month of the other years, for the response to the sea; 0 leaves it out.
    climate
        Instants of the bottle under each other climate; of a run of several years, spread over them.
    copies
        Resampled copies of which sampling errors are made.
    zoom
        HEALPix level of the comparison; the bottle's if None, or the coarser one of two stored data sets.
    name
        Of what is evaluated, in the report; its own if None.
    drawn
        Folder of drawn instants; one in the report's if None.
    keywords
        Of `xr_cbottle.Cube`: num_steps, sigma_min, sigma_max, sigmas, solver, seed, precision, device, batch_size.
    progress
        Whether to show bars; None: on a terminal.
    """

    instants: int = 180
    reference_instants: int | None = None
    monthly: int = 2
    climate: int = 32
    copies: int = 100
    zoom: int | None = None
    name: str | None = None
    drawn: Path | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)
    progress: bool | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("instants", 8),
            ("reference_instants", 8),
            ("monthly", 0),
            ("climate", 8),
            ("copies", 2),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}: it must be at least {least}")

    @property
    def of_reference(self) -> int:
        """Instants of each label's reference."""
        return self.reference_instants or 4 * self.instants


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes
    ----------
    page
        The page; ``figures.json`` is beside it.
    rows
        All figures.
    """

    page: Path
    rows: tuple[Row, ...]


def evaluate(
    left: str,
    references: Mapping[str, Sequence[str]],
    out: str | os.PathLike[str],
    *,
    others: Mapping[str, Sequence[str]] | None = None,
    climates: Mapping[str, Sequence[str]] | None = None,
    settings: EvaluationSettings | None = None,
) -> Report:
    """Hold a bottle, or a stored data set, against references, and write ``index.html`` and ``figures.json``.

    Parameters
    ----------
    left
        A bottle by path, URL or name; or stored data, netCDF, a pattern or zarr.
    references
        {label of the bottle: files of its held-out reference}; the label "" is the bottle's default, or none.
    out
        Folder of the report.
    others
        {label: files of other years of the same simulation}.
    climates
        {label: files of runs of the same simulation under other climates}, see `xr_cbottle.evaluation.climate_run`.
    settings
        How much is compared.

    Returns
    -------
    Where the page is, and its figures.

    Raises
    ------
    ValueError
        If data or labels do not fit together; it says what to do.
    FileNotFoundError
        If a file or bottle is not there.
    """
    settings = settings or EvaluationSettings()
    out, begin = Path(out), time.monotonic()
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is there and is no folder: choose another name for the report")
    sides, bottle = _sides(left, references, others or {}, climates or {}, out, settings)
    name = settings.name or (bottle.manifest.name if bottle is not None else _named(sides[0].left))
    compared = [
        compare(
            one, count=settings.instants, of_reference=settings.of_reference, monthly=settings.monthly,
            copies=settings.copies, progress=settings.progress, of_climate=settings.climate,
        )
        for one in sides
    ]  # fmt: skip
    means = {(one.sides.label, key): climate for one in compared for key, climate in one.climates.items()}
    pairs = [(compared[0].sides.label, one.sides.label) for one in compared[1:]]
    differences = {pair: stricter(response_targets.difference_rows(pair, means)) for pair in pairs}
    rows = [row for one in compared for row in one.rows] + [row for found in differences.values() for row in found]
    if not pairs:
        rows.append(
            Row(
                ReportTarget.LABELS,
                f"{ReportTarget.LABELS}.difference",
                "pattern of the difference of labels",
                "",
                reason="only one label was evaluated",
            )
        )
    found = _Evaluation(name, bottle, settings, compared, differences, means, rows)
    minutes = (time.monotonic() - begin) / 60
    text, figures = _page(found, minutes), _figures(found)
    out.mkdir(parents=True, exist_ok=True)
    beside = {out / "figures.json": json.dumps(figures, indent=1, allow_nan=False) + "\n", out / "index.html": text}
    for path, content in beside.items():
        path.with_name(path.name + ".part").write_text(content, encoding="utf-8")
    for path in beside:
        os.replace(path.with_name(path.name + ".part"), path)
    return Report(out / "index.html", tuple(rows))


def _sides(
    left: str,
    references: Mapping[str, Sequence[str]],
    others: Mapping[str, Sequence[str]],
    climates: Mapping[str, Sequence[str]],
    out: Path,
    settings: EvaluationSettings,
) -> tuple[list[Sides], Bottle | None]:
    """Data that are compared under each label, all at one zoom."""
    unknown = [label for label in others if label not in references]
    if unknown:
        raise ValueError(f"there are other years of {', '.join(unknown)} and no reference: give one of the same label")
    unknown = [label for label in climates if label not in references]
    if unknown:
        raise ValueError(
            f"there are other climates of {', '.join(unknown)} and no reference: give one of the same label"
        )
    data = {label: open_stored(files) for label, files in references.items()}
    more = {label: open_stored(files) for label, files in others.items()}
    runs = {label: climate_runs(open_files(files)) for label, files in climates.items()}
    if is_stored(left):
        if climates:
            raise ValueError(
                "other climates are asked of a bottle, and stored data answer to none: leave --climate out"
            )
        if list(references) != [""]:
            raise ValueError(
                "labels are those of a bottle, and stored data have none: give the reference's files alone"
            )
        stored, reference = open_stored([left]), data[""]
        zoom = min(stored.native_zoom, reference.native_zoom) if settings.zoom is None else settings.zoom
        other = more[""].at(zoom) if more else None
        return [Sides("", reference.at(zoom), other, stored.at(zoom))], None
    from xr_cbottle.bottle.bottle import open_bottle

    keywords = dict(settings.keywords)
    bottle = open_bottle(left, weights=keywords.pop("weights", None))
    manifest = bottle.manifest
    zoom = manifest.zoom if settings.zoom is None else settings.zoom
    if not 0 <= zoom <= manifest.zoom:
        raise ValueError(f"zoom is {zoom}: {manifest.name} has zooms 0 to {manifest.zoom}")
    drawing = Drawing(bottle, settings.drawn or out / "drawn", zoom, keywords, settings.progress)
    sides = []
    for label in references:
        known = label or manifest.default_label or ""
        if label and label not in manifest.labels:
            has = f"the labels {', '.join(manifest.labels)}" if manifest.labels else "no labels"
            raise ValueError(f"{manifest.name} has no label {label!r}: it has {has}")
        other = more[label].at(zoom) if label in more else None
        asked = tuple(replace(run, stored=run.stored.at(zoom)) for run in runs.get(label, ()))
        sides.append(Sides(known, data[label].at(zoom), other, drawing, asked))
    return sides, bottle


@dataclass(frozen=True)
class _Evaluation:
    """Results of an evaluation, as the page and ``figures.json`` are made of them.

    Attributes
    ----------
    name
        Name of what was evaluated.
    bottle
        The bottle, None of stored data.
    settings
        How much was compared.
    compared
        Results of each label.
    differences
        {(label, label): figures of the second minus the first}.
    climates
        {(label, key of a quantity): means of both sides}.
    rows
        All figures.
    """

    name: str
    bottle: Bottle | None
    settings: EvaluationSettings
    compared: Sequence[Comparison]
    differences: Mapping[tuple[str, str], list[Row]]
    climates: Mapping[tuple[str, str], response_targets.Climate]
    rows: Sequence[Row]


def _page(found: _Evaluation, minutes: float) -> str:
    from xr_cbottle.evaluation import document

    against = " and ".join(one.sides.label for one in found.compared if one.sides.label) or "its reference"
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return document.page(
        f"{found.name} held against {against}", found.rows, list(_chapters(found)), facts=_facts(found),
        left="evaluated" if found.bottle is None else "bottle",
        footer=f"xr-cbottle evaluate, version {__version__}, {today}, {minutes:.1f} minutes",
    )  # fmt: skip


def _chapters(found: _Evaluation) -> Iterator[Chapter]:
    """Chapters of the labels, then of the pairs of labels."""
    from xr_cbottle.evaluation import gallery
    from xr_cbottle.evaluation.document import Chapter

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
    from xr_cbottle.evaluation.document import Table, number

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
    from xr_cbottle.evaluation.document import Table, number

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


def _facts(found: _Evaluation) -> dict[str, str]:
    """What was compared, in all labels, in words."""
    verdicts = (
        "a target is met if the figure keeps its bounds, whatever the sampling error (one standard deviation, of "
        f"{found.settings.copies} resampled copies) and the noise floor are; bounds are stricter than they were set, "
        "so that something of half the quality fails them; what the null bottle meets too does not count"
    )
    if found.bottle is None:
        return {"data set": ", ".join(_stored_names(found)), "verdicts": verdicts}
    return {
        "bottle": f"{found.bottle.manifest.name}, sha256:{found.bottle.digest}",
        "its values": f"sha256:{digest_of_values(found.bottle)}, also when it is packed again with these figures",
        "sampler": _sampler(found.bottle, found.settings),
        "licence": found.bottle.manifest.licence,
        "verdicts": verdicts,
    }


def _stored_names(found: _Evaluation) -> tuple[str, ...]:
    left = found.compared[0].sides.left
    assert isinstance(left, StoredReference)  # as there is no bottle
    return left.names


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


def _figures(evaluation: _Evaluation) -> dict[str, Any]:
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
        "data_set": None if bottle is not None else list(_stored_names(evaluation)),
        "zoom": compared[0].sides.reference.zoom,
        "sampler": None if bottle is None else _sampler(bottle, settings),
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


def _sampler(bottle: Bottle, settings: EvaluationSettings) -> str:
    sampler = bottle.manifest.sampler.asked(settings.keywords)
    seed, precision = settings.keywords.get("seed", 0), settings.keywords.get("precision", "float32")
    levels = sampler.levels_in_words()
    return f"{SOLVERS[sampler.solver]}, {sampler.num_steps} steps, {levels}, seed {seed}, {precision}"


def _named(stored: Any) -> str:
    assert isinstance(stored, StoredReference)
    return Path(stored.names[0]).stem if len(stored.names) == 1 else f"{Path(stored.names[0]).stem} and others"
