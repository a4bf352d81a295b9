"""The report as one HTML page: nothing is loaded from elsewhere, and it can be read on a phone and in the dark."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Template

from xr_cbottle.evaluation.gallery import Picture
from xr_cbottle.evaluation.pictures import Look
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.row import LOOSE, TARGETS, ReportTarget, Row, counted

_SIGN = {"met": "✓", "missed": "✗", "not evaluated": "–"}
_SHORT = 14  # rows of a table that is shown as a whole
_SEASONAL = (ReportTarget.CLIMATOLOGY, ReportTarget.RAIN)

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --faint: #5b6570; --line: #d9dee3; --card: #f5f7f9;
  --good: #116632; --bad: #b02a1a; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --ink: #e4e8ec; --faint: #9aa5b1; --line: #333b44;
  --card: #1d232a; --good: #6fce8f; --bad: #ff9180; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.4rem; margin: 2.4rem 0 .4rem; border-top: 2px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1.1rem; margin: 1.6rem 0 .3rem; }
h4 { font-size: 1rem; margin: 1.2rem 0 .1rem; }
p { margin: .3rem 0 .6rem; max-width: 52rem; }
.lead { font-size: 1.15rem; }
.faint, figcaption { color: var(--faint); font-size: .9rem; }
nav a { margin-right: 1rem; }
a { color: inherit; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .92rem; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .22rem .7rem .22rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--faint); }
td.n { text-align: right; white-space: nowrap; }
th.n { text-align: right; }
td.v, td.w { white-space: nowrap; }
td.r:not(:empty) { min-width: 15rem; }
.met { color: var(--good); } .missed { color: var(--bad); font-weight: 600; } .none { color: var(--faint); }
details { margin: .4rem 0; } summary { cursor: pointer; color: var(--faint); }
figure { margin: .3rem 0 1.4rem; }
figure img { display: block; width: 100%; min-width: 44rem; max-width: 76rem; height: auto; border-radius: 4px;
  background: #fff; }
</style></head><body>
<header><h1>$title</h1><p class="lead">$summary</p><nav>$links</nav></header>
$body
<footer><p class="faint">$footer</p></footer>
</body></html>
""")


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    title, note
        Heading, and a sentence on it.
    columns, rows
        Names of the columns, and their cells.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Chapter:
    """A part of the page: one label, or one pair of labels.

    Attributes
    ----------
    name
        Heading.
    facts
        {name: text} of what was compared.
    rows
        Figures.
    pictures
        Pictures in their order.
    balances
        Rows {figure, units, bottle, reference} of physical balances.
    tables
        Others.
    """

    name: str
    facts: Mapping[str, str]
    rows: Sequence[Row]
    pictures: Sequence[Picture]
    balances: Sequence[Mapping[str, object]] = ()
    tables: Sequence[Table] = ()


def page(
    title: str, rows: Sequence[Row], chapters: Sequence[Chapter], *, facts: Mapping[str, str], left: str, footer: str
) -> str:
    """The whole page.

    Parameters
    ----------
    title
        Of the report.
    rows
        All figures.
    chapters
        One for each label, then one for each pair of labels.
    facts
        {name: text} of what was compared, in all labels.
    left
        What the evaluated side is called in tables.
    footer
        What made it.
    """
    links = [f'<a href="#{_anchor(name)}">{_text(name)}</a>' for name in (chapter.name for chapter in chapters)]
    parts = [_facts(facts), "<h3>Targets</h3>", _overview(chapters)]
    for chapter in chapters:
        parts.append(f'<section id="{_anchor(chapter.name)}"><h2>{_text(chapter.name)}</h2>')
        parts.append(_facts(chapter.facts))
        parts += [_target(one, [row for row in chapter.rows if row.target is one], left) for one in TARGETS]
        if chapter.balances:
            parts.append(_balances(chapter.balances, left))
        parts += [_plain(table) for table in chapter.tables]
        parts.append(_gallery(chapter.pictures))
        parts.append("</section>")
    return _PAGE.substitute(
        title=_text(title), summary=summary(rows), links="".join(links), body="\n".join(parts), footer=_text(footer)
    )


def summary(rows: Sequence[Row]) -> str:
    """One sentence on all figures: those that count first, then all, and by the bounds of before."""
    found = counted(list(rows))
    judged, old = found["met"] + found["missed"], found["old met"] + found["old missed"]
    if found["tests"] < judged:
        text = f"{found['met of tests']} of {found['tests']} targets met that the null bottle misses"
        text += f" ({found['met']} of {judged} with those that it meets too)"
    else:
        text = f"{found['met']} of {judged} targets met"
    if old:
        text += f"; by the bounds of before {found['old met']} of {old}"
    if found["missed"]:
        text += f"; {found['missed']} missed"
        within = found["missed within the noise floor"]
        text += f", {within} of them by no more than the reference differs from itself" if within else ""
    return text + (f"; {found['not evaluated']} not evaluated" if found["not evaluated"] else "") + "."


def number(value: float | None, digits: int = 3) -> str:
    """A number as people read it: few digits, no exponent where it can be helped."""
    if value is None:
        return ""
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}".replace("e-0", "e-").replace("e+0", "e").replace("-", "\u2212")
    before = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    decimals = max(0, digits - before) if abs(value) >= 0.1 or not value else digits + 1
    return f"{value:,.{decimals}f}".replace("-", "\u2212")


def _overview(chapters: Sequence[Chapter]) -> str:
    """Table of the numbers of figures met, by target and chapter."""
    head = "".join(f'<th class="n">{_text(chapter.name)}</th>' for chapter in chapters)
    body = []
    for target, text in TARGETS.items():
        rows = [[row for row in chapter.rows if row.target is target] for chapter in chapters]
        cells = "".join(_met(part) for part in rows)
        if any(rows):
            body.append(f"<tr><td>{target}</td><td>{_text(text)}</td>{cells}</tr>")
    about = (
        "Of the targets that count, which the null bottle misses; then of all, and of all by the bounds of before. The "
        "null bottle is climatology plus noise, without a network: what it meets too says nothing of a network."
    )
    return f'<p class="faint">{about}</p>' + _table(f"<tr><th></th><th>target</th>{head}</tr>", body)


def _met(rows: Sequence[Row]) -> str:
    """Cell of the numbers of figures met."""
    found = counted(list(rows))
    judged, old = found["met"] + found["missed"], found["old met"] + found["old missed"]
    if not judged:
        return '<td class="n none">–</td>'
    kind = "none" if not found["tests"] else "met" if found["met of tests"] == found["tests"] else "missed"
    beside = f"{found['met']} of {judged}" + (f"; before {found['old met']} of {old}" if old else "")
    return (
        f'<td class="n {kind}">{found["met of tests"]} of {found["tests"]}<br><span class="faint">{beside}</span></td>'
    )


def _target(target: ReportTarget, rows: Sequence[Row], left: str) -> str:
    if not rows:
        return ""
    text = f'<h3>{target}</h3><p class="faint">{_text(TARGETS[target])}</p>'
    if len(rows) <= _SHORT:
        return text + _rows(rows, left)
    found = counted(list(rows))
    missed = [row for row in rows if row.verdict == "missed"]
    text += (
        f"<p>{found['met of tests']} of {found['tests']} met that the null bottle misses, {found['met']} of "
        f"{found['met'] + found['missed']} in all{', these missed:' if missed else '.'}</p>"
    )
    return (
        text
        + (_rows(missed, left) if missed else "")
        + f"<details><summary>all {len(rows)}</summary>{_rows(rows, left)}</details>"
    )


def _rows(rows: Iterable[Row], left: str) -> str:
    head = (
        f'<tr><th>figure</th><th>of</th><th class="n">{_text(left)}</th><th class="n">reference</th>'
        '<th class="n">judged</th><th class="n">± sampling</th><th class="n">noise floor</th><th>target</th>'
        '<th class="n">bound / noise</th><th>verdict</th><th class="n">null bottle</th><th>before</th><th></th></tr>'
    )
    return _table(head, [_row(row) for row in rows])


def _row(row: Row) -> str:
    factor, units = _shown(row, row.units)
    own, own_units = _shown(row, row.figure_units)
    plain = {"1": "", "ratio": ""}
    after = plain.get(own_units, f" {own_units}" if own_units != "degrees from 90 E" else "°")
    # Of temperatures and pressures the last digits are what differs.
    value, reference = (
        number(_times(v, factor), 4 if v is not None and abs(v * factor) < 100 else 5)
        for v in (row.value, row.reference)
    )
    about = row.quantity + "".join(
        f", {part}" for part in (row.season if row.target in _SEASONAL else "", row.band) if part
    )
    verdict = row.verdict
    kind = "none" if verdict == "not evaluated" else verdict
    words = f"{_SIGN[verdict]} {verdict}"
    if verdict == "missed":
        words += f" by {number(_times(row.missed_by, own), 2)}{after}"
    remarks = [
        row.reason,
        "no test: the null bottle meets it" if row.null_verdict == "met" else "",
        "within the noise floor" if row.within_noise else "",
        row.remark,
    ]
    null = "" if row.null is None else f" {_SIGN[row.null_verdict]}"
    unit = f" {units}" if units not in ("1", "", "ratio") and value else ""
    cells = [
        f'<td class="w">{_text(row.what)}</td><td class="w">{_text(about)}</td>',
        f'<td class="n">{value}{_text(unit)}</td><td class="n">{reference}{_text(unit)}</td>',
        f'<td class="n">{number(_times(row.figure, own))}{_text(after) if row.figure is not None else ""}</td>',
        f'<td class="n">{number(_times(row.sampling_error, own), 2)}</td>',
        f'<td class="n">{number(_times(row.noise_floor, own))}</td>',
        f'<td class="v">{_bounds(row.lower, row.upper, own)}{_text(after)}</td>',
        f'<td class="n">{_over_noise(row.bound_over_noise)}</td><td class="v {kind}">{words}</td>',
        f'<td class="n">{number(_times(row.null, own))}{null}</td>',
        f'<td class="v faint">{_before(row, own)}</td>',
        f'<td class="r faint">{_text("; ".join(filter(None, remarks)))}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _shown(row: Row, units: str) -> tuple[float, str]:
    """Factor and unit in which a figure is shown: those of the pictures where it is in the quantity's own unit."""
    name = row.quantity.split()[0]
    look = Look.of(name)
    return (look.factor, look.units) if units and look.factor != 1 and units == Quantity(name).units else (1.0, units)


def _bounds(lower: float | None, upper: float | None, factor: float) -> str:
    low, high = ("" if bound is None else f"{bound * factor:.3g}".replace("-", "\u2212") for bound in (lower, upper))
    if low and high:
        return f"{low} to {high}"
    return f"≥ {low}" if low else f"≤ {high}" if high else ""


def _over_noise(ratio: float | None) -> str:
    """How many noise floors a bound is wide, marked where it is no test."""
    return "" if ratio is None else f"{number(ratio, 2)}{' loose' if ratio > LOOSE else ''}"


def _before(row: Row, factor: float) -> str:
    """Bounds and verdict of before, and how many noise floors those were wide."""
    if not row.is_old:
        return "" if row.reason else "new"
    words = f"{_bounds(row.old_lower, row.old_upper, factor)}: {row.old_verdict}"
    return words + (f", {_over_noise(row.old_bound_over_noise)}" if row.old_bound_over_noise is not None else "")


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _balances(rows: Sequence[Mapping[str, object]], left: str) -> str:
    head = f'<tr><th>balance</th><th class="n">{_text(left)}</th><th class="n">reference</th></tr>'
    body = []
    for row in rows:
        factor, units = (86400.0, "mm day-1") if row["units"] == "kg m-2 s-1" else (1.0, str(row["units"]))
        cells = [
            f'<td class="n">{number(float(value) * factor)} {_text(units)}</td>'
            if isinstance(value, float)
            else "<td></td>"
            for value in (row["bottle"], row["reference"])
        ]
        body.append(f"<tr><td>{_text(str(row['figure']))}</td>{''.join(cells)}</tr>")
    about = "Budgets and residuals in their units; the reference says how well a simulation on these levels keeps them."
    return f'<h3>Physical balances</h3><p class="faint">{about}</p>{_table(head, body)}'


def _plain(table: Table) -> str:
    head = "".join(f"<th>{_text(column)}</th>" for column in table.columns)
    body = ["<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in table.rows]
    return f'<h3>{_text(table.title)}</h3><p class="faint">{_text(table.note)}</p>{_table(f"<tr>{head}</tr>", body)}'


def _gallery(pictures: Sequence[Picture]) -> str:
    parts, chapter = [], ""
    for picture in pictures:
        if picture.chapter != chapter:
            chapter = picture.chapter
            parts.append(f"<h3>{_text(chapter)}</h3>")
        data = base64.b64encode(picture.png).decode("ascii")
        image = f'<img alt="{_text(picture.title)}" loading="lazy" src="data:image/png;base64,{data}">'
        caption = f"<h4>{_text(picture.title)}</h4><figcaption>{_text(picture.sentence)}</figcaption>"
        parts.append(f'<figure>{caption}<div class="scroll">{image}</div></figure>')
    return "\n".join(parts)


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts.items() if value)
    return f"<dl>{rows}</dl>" if rows else ""


def _table(head: str, body: Iterable[str]) -> str:
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{"".join(body)}</tbody></table></div>'


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name).lower()


def _text(text: str) -> str:
    return html.escape(text)
