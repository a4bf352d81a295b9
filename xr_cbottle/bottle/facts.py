"""Facts of a bottle: what it is and stands for, in figures and in words. Reads no weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle.sampler import SOLVERS, SamplerDefaults
from xr_cbottle.fields import channels
from xr_cbottle.grid import healpix, time_axis

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle
    from xr_cbottle.bottle.manifest import Manifest

_EARTH_RADIUS_KM = 6371.0
_WIDTH = 100
_MOST_LETTERS = 900
_IN_TIME = {
    "none": "independent draws, or noise of any memory (coherence='2D'); none is fitted to a simulation",
    "latents": "weather that lasts and travels as in what it imitates, or independent draws (coherence='none')",
    "bridge": "independent draws, or weather that a network draws between states days apart (coherence='bridge')",
    "video": "independent draws, or weather that a network draws in windows of frames (coherence='video')",
}


def facts(bottle: Bottle) -> dict[str, Any]:
    """The facts of a bottle, as JSON can have them.

    Returns
    -------
    A mapping; ``virtual_bytes`` is the size in float32 of all variables, levels, cells and instants of one member
    under one label; ``ratio`` is that over the size of the bottle's files, None while that is not known.
    """
    manifest = bottle.manifest
    layouts = channels.variables(manifest.channels, manifest.own)
    start, end, step = time_axis.range_of(manifest.time.start, manifest.time.end, manifest.time.step)
    times = (end - start) // step + 1
    cells = healpix.n_cells(manifest.zoom)
    virtual = 4 * len(manifest.channels) * cells * times
    weights = bottle.nbytes
    missing = bottle.missing()
    remote = [spec.location for spec in manifest.files if "://" in spec.location]
    return {
        "name": manifest.name,
        "title": manifest.title,
        "summary": manifest.summary,
        "path": bottle.path,
        "bytes": bottle.size,
        "files_bytes": weights,
        "files_elsewhere": remote,
        "files_missing": list(missing),
        "variables": {
            name: {**layout.variable.attrs, "pressures": list(layout.pressures or ())}
            for name, layout in layouts.items()
        },
        "static": {name: one.plain() for name, one in (manifest.static.variables if manifest.static else {}).items()},
        "channels": len(manifest.channels),
        "zoom": manifest.zoom,
        "cells": cells,
        "cell_km": round(math.sqrt(4 * math.pi / cells) * _EARTH_RADIUS_KM, 1),
        "time": {"start": manifest.time.start, "end": manifest.time.end, "step": manifest.time.step, "count": times},
        "labels": list(manifest.labels),
        "default_label": manifest.default_label,
        "lent_channels": {
            name: list(label.masked) for name, label in manifest.labels.items() if label.masked and label.donor
        },
        "gaps": {} if manifest.gaps is None else {label: dict(each) for label, each in manifest.gaps.shares.items()},
        "virtual_bytes": virtual,
        "ratio": None if weights is None else virtual / max(weights, bottle.size),
        "sampler": {
            **dataclasses.asdict(manifest.sampler),
            "evaluations": manifest.sampler.evaluations,
            "levels": _levels(manifest.sampler),
        },
        "networks": len(manifest.coarse),
        "coherence": ["none", *_in_time(manifest), "a duration"],
        "superres": _superres(manifest),
        "sea_range": list(manifest.sea_range),
        "forcings": {
            name: {"long_name": one.long_name, "units": one.units, "low": one.low, "high": one.high}
            for name, one in manifest.forcings.items()
        },
        "licence": manifest.licence,
        "references": list(manifest.references),
        "source": manifest.source,
        "created": manifest.created,
        "trained_on": _plain(manifest.trained_on),
        "digest": f"sha256:{bottle.digest}",
    }


def _in_time(manifest: Manifest) -> list[str]:
    """What a bottle carries of how instants follow each other, as `coherence=` names it."""
    carried = {"latents": manifest.coherence, "bridge": manifest.bridge, "video": manifest.video}
    return [name for name, spec in carried.items() if spec is not None]


def _levels(sampler: SamplerDefaults) -> str:
    """Noise levels of the default, and for which other numbers of steps there are chosen ones."""
    others = sorted((len(levels) for levels in sampler.sigmas if len(levels) != sampler.num_steps), reverse=True)
    offered = f" (chosen levels also for {', '.join(map(str, others))} steps)" if others else ""
    return sampler.levels_in_words() + offered


def _superres(manifest: Manifest) -> dict[str, Any] | None:
    """Facts of the finest zoom: its variables, and the networks that make it."""
    if not manifest.superres:
        return None
    spec = manifest.superres[0].superres
    assert spec is not None  # its role demands it
    cells = healpix.n_cells(spec.zoom)
    return {
        "zoom": spec.zoom,
        "cell_km": round(math.sqrt(4 * math.pi / cells) * _EARTH_RADIUS_KM, 1),
        "variables": list(channels.variables(spec.channels, manifest.own)),
        "networks": [part.role for part in manifest.superres],
    }


def text(found: Mapping[str, Any], *, whole: bool = False) -> str:
    """Facts as lines for a terminal.

    Parameters
    ----------
    found
        What `facts` gave.
    whole
        All of them; else those that a user needs, on a screen.
    """
    levels = sum(bool(v["pressures"]) for v in found["variables"].values())
    time, sampler, labels = found["time"], found["sampler"], found["labels"]
    stands = [
        f"{len(found['variables'])} variables ({levels} of them on pressure levels; {found['channels']} fields)",
        f"{found['cells']:,} cells (HEALPix zoom {found['zoom']}, {found['cell_km']:g} km)",
        f"{time['count']:,} times ({time['start']} to {time['end']} every {time['step']})",
        "as many members and seeds as you ask for",
    ]
    if labels:
        stands.append(f"{_counted(len(labels), 'label')} ({', '.join(labels)})")
    names = []
    for name, variable in found["variables"].items():
        pressures = "/".join(f"{p / 100:g}" for p in variable["pressures"])
        names.append(f"{name} ({variable['units']}{f'; {pressures} hPa' if pressures else ''})")
    fine = found["superres"]
    rows = [
        (found["name"], found["title"]),
        ("", whole and found["summary"]),
        ("stands for", " x ".join(stands)),
        ("variables", ", ".join(names)),
        ("static", ", ".join(f"{name} ({one['units']})" for name, one in found["static"].items())),
        *(
            (f"under {label}", f"{', '.join(lent)} are drawn under another label")
            for label, lent in found["lent_channels"].items()
        ),
        *((f"missing in {label}", _gaps(shares)) for label, shares in found["gaps"].items()),
        ("finer", fine and f"to zoom {fine['zoom']} ({fine['cell_km']:g} km): {', '.join(fine['variables'])}"),
        ("virtual size", f"{size(found['virtual_bytes'])} in float32, one member, one label{_ratio(found)}"),
        ("file", f"{found['path']}, {size(found['bytes'])}{_elsewhere(found)}"),
        (
            "sampler",
            whole
            and f"{SOLVERS[sampler['solver']]}, {sampler['num_steps']} steps = {sampler['evaluations']} evaluations of "
            f"the network, {sampler['levels']}, {_counted(found['networks'], 'network')}",
        ),
        ("forced by", _forced(found)),
        ("in time", next(_IN_TIME[how] for how in ("bridge", "video", "latents", "none") if how in found["coherence"])),
        ("licence", found["licence"]),
        ("made from", whole and found["source"]),
        ("made by", whole and found["created"]),
        ("trained on", whole and _brief(found["trained_on"])),
        ("see", whole and ", ".join(found["references"])),
        ("digest", found["digest"]),
        ("more", not whole and "with --all, or --json for programs"),
    ]
    return "\n".join(_row(head, body) for head, body in rows if body)


def _gaps(shares: Mapping[str, float]) -> str:
    """Shares of the globe on which channels have no values."""
    return ", ".join(
        f"{name} on {100 * share:.3g} % of the globe" if share < 1 else name for name, share in shares.items()
    )


def _forced(found: Mapping[str, Any]) -> str:
    """What a bottle answers to beside the sea that it knows, with the ranges of its training."""
    known = ["the sea ({:+.1f} to {:+.1f} K)".format(*found["sea_range"])] if found["sea_range"] else []
    known += [f"{name} ({one['low']:g} to {one['high']:g} {one['units']})" for name, one in found["forcings"].items()]
    return ", ".join(known)


def size(n: float) -> str:
    """Bytes in words: ``16.4 GB``, in powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if n < 999.5 or unit == "PB":
            break
        n /= 1000
    return f"{n:.3g} {unit}" if n < 1000 else f"{n:,.0f} {unit}"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _ratio(found: Mapping[str, Any]) -> str:
    if found["ratio"] is None:
        return "; how many times the bottle's files that is, is known when they are here"
    return f": {found['ratio']:,.0f} times the bottle's files"


def _elsewhere(found: Mapping[str, Any]) -> str:
    if not found["files_elsewhere"]:
        return ""
    here = len(found["files_elsewhere"]) - len(found["files_missing"])
    text = f"; {len(found['files_elsewhere'])} files elsewhere, {here} of them fetched"
    return text + (f" ({size(found['files_bytes'])})" if found["files_bytes"] is not None else "")


def _words(values: Any) -> str:
    if isinstance(values, Mapping):
        return "; ".join(f"{key}: {_words(value)}" for key, value in values.items())
    if isinstance(values, (list, tuple)):
        return ", ".join(_words(value) for value in values)
    return str(values)


def _brief(values: Any) -> str:
    """Free facts on a few lines: the plain ones first, of nested ones what fits."""
    import textwrap

    if not isinstance(values, Mapping):
        return _words(values)
    plain_first = sorted(values.items(), key=lambda item: isinstance(item[1], Mapping))
    return textwrap.shorten(_words(dict(plain_first)), _MOST_LETTERS, placeholder=" ... (all of it: info --json)")


def _plain(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, Iterable) and not isinstance(values, str):
        return [_plain(value) for value in values]
    return values


def _row(head: str, body: str) -> str:
    import textwrap

    margin = " " * 14
    return textwrap.fill(
        one_line(body),
        _WIDTH,
        initial_indent=f"{head:<13} ",
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
