"""The report as one HTML page: nothing is loaded from elsewhere, and it can be read on a phone and in the dark."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Template

from xr_cbottle.evaluation.gallery import Picture
from xr_cbottle.evaluation.pictures import Look
from xr_cbottle.evaluation.row import TARGETS, ReportTarget, Row, counted

_SIGN = {"met": "✓", "missed": "✗", "not evaluated": "–"}
_SHORT = 14  # rows of a table that is shown as a whole

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
    """

    name: str
    facts: Mapping[str, str]
    rows: Sequence[Row]
    pictures: Sequence[Picture]
    balances: Sequence[Mapping[str, object]] = ()


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
        parts.append(_gallery(chapter.pictures))
        parts.append("</section>")
    return _PAGE.substitute(
        title=_text(title), summary=summary(rows), links="".join(links), body="\n".join(parts), footer=_text(footer)
    )


def summary(rows: Sequence[Row]) -> str:
    """One sentence on all figures."""
    found = counted(list(rows))
    judged = found["met"] + found["missed"]
    text = f"{found['met']} of {judged} targets met"
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
    before = len(f"{abs(value):.0f}") if abs(value) >= 1 else 0
    decimals = max(0, digits - before) if abs(value) >= 0.1 or not value else digits + 1
    return f"{value:,.{decimals}f}".replace("-", "\u2212")


def _overview(chapters: Sequence[Chapter]) -> str:
    """Table of the numbers of figures met, by target and chapter."""
    head = "".join(f'<th class="n">{_text(chapter.name)}</th>' for chapter in chapters)
    body = []
    for target, text in TARGETS.items():
        cells = []
        for chapter in chapters:
            found = counted([row for row in chapter.rows if row.target is target])
            judged = found["met"] + found["missed"]
            kind = "none" if not judged else "missed" if found["missed"] else "met"
            words = f"{found['met']} of {judged}" if judged else "–"
            cells.append(f'<td class="n {kind}">{words}</td>')
        body.append(f"<tr><td>{target}</td><td>{_text(text)}</td>{''.join(cells)}</tr>")
    return _table(f"<tr><th></th><th>target</th>{head}</tr>", body)


def _target(target: ReportTarget, rows: Sequence[Row], left: str) -> str:
    if not rows:
        return ""
    text = f'<h3>{target}</h3><p class="faint">{_text(TARGETS[target])}</p>'
    if len(rows) <= _SHORT:
        return text + _rows(rows, left)
    found = counted(list(rows))
    missed = [row for row in rows if row.verdict == "missed"]
    text += f"<p>{found['met']} of {found['met'] + found['missed']} met{', these missed:' if missed else '.'}</p>"
    return (
        text
        + (_rows(missed, left) if missed else "")
        + f"<details><summary>all {len(rows)}</summary>{_rows(rows, left)}</details>"
    )


def _rows(rows: Iterable[Row], left: str) -> str:
    head = (
        f'<tr><th>figure</th><th>of</th><th class="n">{_text(left)}</th><th class="n">reference</th>'
        '<th class="n">judged</th><th class="n">± sampling</th><th class="n">noise floor</th><th>target</th>'
        "<th>verdict</th><th></th></tr>"
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
        f", {part}" for part in (row.season if row.target is ReportTarget.CLIMATOLOGY else "", row.band) if part
    )
    verdict = row.verdict
    kind = "none" if verdict == "not evaluated" else verdict
    words = f"{_SIGN[verdict]} {verdict}"
    if verdict == "missed":
        words += f" by {number(_times(row.missed_by, own), 2)}{after}"
    remarks = [row.reason, row.remark, "within the noise floor" if row.within_noise else ""]
    unit = f" {units}" if units not in ("1", "", "ratio") and value else ""
    cells = [
        f'<td class="w">{_text(row.what)}</td><td class="w">{_text(about)}</td>',
        f'<td class="n">{value}{_text(unit)}</td><td class="n">{reference}{_text(unit)}</td>',
        f'<td class="n">{number(_times(row.figure, own))}{_text(after) if row.figure is not None else ""}</td>',
        f'<td class="n">{number(_times(row.sampling_error, own), 2)}</td>',
        f'<td class="n">{number(_times(row.noise_floor, own))}</td>',
        f'<td class="v">{_bounds(row, own)}{_text(after)}</td>',
        f'<td class="v {kind}">{words}</td><td class="faint">{_text("; ".join(filter(None, remarks)))}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _shown(row: Row, units: str) -> tuple[float, str]:
    """Factor and unit in which a figure is shown: those of the pictures where it is in the quantity's own unit."""
    name = row.quantity.split()[0]
    look = Look.of(name)
    return (look.factor, look.units) if units and look.factor != 1 and units == _own(name) else (1.0, units)


def _own(name: str) -> str:
    from xr_cbottle.evaluation.quantity import Quantity

    return Quantity(name).units


def _bounds(row: Row, factor: float) -> str:
    low, high = (
        "" if bound is None else f"{bound * factor:.3g}".replace("-", "\u2212") for bound in (row.lower, row.upper)
    )
    if low and high:
        return f"{low} to {high}"
    return f"≥ {low}" if low else f"≤ {high}" if high else ""


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
    about = (
        "Balances that no one asks of a bottle; the reference says how well a simulation on these levels keeps them."
    )
    return f'<h3>Physical balances</h3><p class="faint">{about}</p>{_table(head, body)}'


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
