"""The report: compares every label, then writes the figures and the page, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xr_cbottle.bottle.archive import replacing
from xr_cbottle.evaluation import response_targets
from xr_cbottle.evaluation.climate_run import climate_runs
from xr_cbottle.evaluation.label_comparison import compare
from xr_cbottle.evaluation.plain_figures import plain_figures
from xr_cbottle.evaluation.reference import StoredReference, is_stored, open_files, open_stored
from xr_cbottle.evaluation.results import Evaluation, EvaluationSettings
from xr_cbottle.evaluation.row import ReportTarget, Row
from xr_cbottle.evaluation.sampling import Drawing
from xr_cbottle.evaluation.sides import Sides
from xr_cbottle.evaluation.strictness import stricter

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle


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
    from xr_cbottle.evaluation.chapters import page

    found = Evaluation(name, bottle, settings, compared, differences, means, rows)
    minutes = (time.monotonic() - begin) / 60
    text, figures = page(found, minutes), plain_figures(found)
    write_together(out, {"figures.json": json.dumps(figures, indent=1, allow_nan=False) + "\n", "index.html": text})
    return Report(out / "index.html", tuple(rows))


def write_together(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files of some texts, by their names: none of them takes its place before all are written."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for name, text in texts.items():
            stack.enter_context(replacing(folder / name)).write_text(text, encoding="utf-8")


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
    sides: list[Sides] = []
    for label in references:
        known = label or manifest.default_label or ""
        if label and label not in manifest.labels:
            has = f"the labels {', '.join(manifest.labels)}" if manifest.labels else "no labels"
            raise ValueError(f"{manifest.name} has no label {label!r}: it has {has}")
        if known in [one.label for one in sides]:
            raise ValueError(f"there are two references of the label {known!r}: give all of its files as one")
        other = more[label].at(zoom) if label in more else None
        asked = tuple(replace(run, stored=run.stored.at(zoom)) for run in runs.get(label, ()))
        sides.append(Sides(known, data[label].at(zoom), other, drawing, asked))
    return sides, bottle


def _named(stored: Any) -> str:
    assert isinstance(stored, StoredReference)
    return Path(stored.names[0]).stem if len(stored.names) == 1 else f"{Path(stored.names[0]).stem} and others"
