"""Commands that write data: what a bottle draws, and what it makes of a user's own."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xr_cbottle.cli.options import OF_DOWNSCALING, cube_of
from xr_cbottle.cli.terminal import say
from xr_cbottle.cube.keywords import MOST_INSTANTS

if TYPE_CHECKING:
    from xr_cbottle.cube.cube import Cube
    from xr_cbottle.cube.layout import Layout
    from xr_cbottle.cube.output_form import OutputForm


def sample(options: argparse.Namespace) -> None:
    from xr_cbottle.cube import writer

    cube = cube_of(options)
    form = _form(options, cube.layout)
    if options.dry_run:
        from xr_cbottle.cube import cost
        from xr_cbottle.cube.portions import StorePart, portions

        asked = (options.part or StorePart()).of(portions(cube, options.chunk, form))
        drawn = [name for name in options.variables or cube.layouts if name not in cube.static]
        say(cost.estimate(cube, drawn, asked, form).text())
        return
    _check_amount(form.draws(cube.layout), cube.layout.unit, options.yes)
    out = writer.write(cube, options.out, options.variables, form=form, part=options.part, **_written(options))
    if out.exists():
        _say_size(out, options)
    elif not options.quiet:
        say(f"part {options.part.number} of {options.part.count} is finished; {out} will be there with the last one")


def downscale(options: argparse.Namespace) -> None:
    from xr_cbottle.cube import downscaling, writer
    from xr_cbottle.fields.opening import open_data

    given = {name: getattr(options, name) for name in (*OF_DOWNSCALING, "zoom", "seed", "member")}
    asked: Any = {name: value for name, value in given.items() if value is not None}
    ds = _at_times(open_data(options.data), options.time)
    cube, like = downscaling.refined(ds, options.bottle, max_instants=sys.maxsize, **asked)
    form = _form(options, cube.layout)
    _check_amount(form.draws(cube.layout), cube.layout.unit, options.yes)
    out = writer.write(
        cube, options.out, options.variables, form=form, like=like, origin=_identity(options.data), **_written(options)
    )
    _say_size(out, options)


def translate(options: argparse.Namespace) -> None:
    from xr_cbottle.cube import own_data

    _own(options, own_data.translated, source=options.source, target=options.target, strength=options.strength)


def infill(options: argparse.Namespace) -> None:
    from xr_cbottle.cube import own_data

    _own(options, own_data.filled, label=options.label, rounds=options.rounds)


def assimilate(options: argparse.Namespace) -> None:
    from xr_cbottle.cube import assimilating, own_data, writer
    from xr_cbottle.fields.opening import open_data, open_table

    asked, given = _asked_of_own(options), options.representativeness
    with contextlib.ExitStack() as opened:
        background = None if options.background is None else opened.enter_context(open_data(options.background))
        analysis = assimilating.AskedAnalysis(
            label=options.label, time=options.time.split(",") if options.time else None, window=options.window,
            method=options.method, errors=options.errors, draws=options.draws, strength=options.strength,
            members=options.members, representativeness="estimated" if given is None else given or 0,
        )  # fmt: skip
        cube = assimilating.assimilated(background, open_table(options.data), options.bottle, asked, analysis)
        form = _form(options, cube.layout)
        _check_amount(form.draws(cube.layout), cube.layout.unit, options.yes)
        out = writer.write(
            cube, options.out, options.variables, form=form,
            like=assimilating.described_analysis(cube, cube.lazy_dataset(), background),
            origin=json.dumps(own_data.made_of(cube), sort_keys=True), **_written(options),
        )  # fmt: skip
    _say_size(out, options)


def _asked_of_own(options: argparse.Namespace) -> dict[str, Any]:
    """All keywords of work on a user's own data, checked."""
    from xr_cbottle.cube import keywords, own_data

    given = {name: getattr(options, name, None) for name in own_data.OWN_KEYWORDS}
    return keywords.checked(
        {**{name: value for name, value in given.items() if value is not None}, "max_instants": sys.maxsize},
        options.command, own_data.OWN_KEYWORDS,
    )  # fmt: skip


def _own(options: argparse.Namespace, make: Callable[..., Cube], **how: Any) -> None:
    """Write what a bottle makes of a user's data."""
    from xr_cbottle.cube import own_data, writer
    from xr_cbottle.fields.opening import open_data

    asked = _asked_of_own(options)
    with open_data(options.data) as ds:
        cube = make(ds, options.bottle, asked, member=options.member, **how)
        form = _form(options, cube.layout)
        _check_amount(form.draws(cube.layout), cube.layout.unit, options.yes)
        out = writer.write(
            cube, options.out, options.variables, form=form, like=own_data.described(cube, cube.lazy_dataset(), ds),
            origin=json.dumps(own_data.made_of(cube), sort_keys=True), **_written(options),
        )  # fmt: skip
    _say_size(out, options)


def _form(options: argparse.Namespace, layout: Layout) -> OutputForm:
    """How the values are written: which cells, as a mean, on which grid."""
    from xr_cbottle.cube.output_form import output_form

    mean = getattr(options, "ensemble_mean", False)
    if options.conservative and options.grid is None:
        raise ValueError("--conservative is a way to latitudes and longitudes: give --grid, such as --grid 1x1")
    method = "conservative" if options.conservative else "bilinear"
    return output_form(layout, box=options.bbox, mean=mean, spacing=options.grid, method=method)


def _at_times(ds: Any, times: Any) -> Any:
    """Data at some of their times: as `xarray.Dataset.sel` takes them, so a day is all of it."""
    if times is None:
        return ds
    from xr_cbottle.fields import names

    dim = next((name for name in names.TIMES if name in ds.dims), None)
    if dim is None:
        raise ValueError(f"--time chooses among times, and the data have none: {', '.join(map(str, ds.dims))}")
    if isinstance(times, slice) and times.step is not None:
        raise ValueError("--time chooses among the times of the data: give START/END, or times with commas")
    try:
        found = ds.sel({dim: times if isinstance(times, (slice, list)) else slice(times, times)})
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"the data have no such times ({error}): give START/END, or times that they have") from None
    if not found.sizes[dim]:
        raise ValueError(f"the data have no times there: they go from {ds[dim].values[0]} to {ds[dim].values[-1]}")
    return found


def _identity(path: str) -> str:
    """Path, size and time of change of a file, so that a store is not continued with other data."""
    if not os.path.exists(path):
        return path
    stat = os.stat(path)
    return f"{os.path.abspath(path)} {stat.st_size} {stat.st_mtime_ns}"


def _check_amount(count: int, unit: str, meant: bool) -> None:
    """Refuse to draw more than anybody asks for by mistake."""
    if count > MOST_INSTANTS and not meant:
        raise ValueError(
            f"this draws {count:,} {unit}s, and above {MOST_INSTANTS:,} you must say that you mean it: give --yes, "
            "or ask for fewer times or members"
        )


def _written(options: argparse.Namespace) -> dict[str, Any]:
    """How it is written, as `writer.write` takes it."""
    progress = False if options.quiet else None
    return {"times_per_chunk": options.chunk, "zarr_format": options.zarr_format, "progress": progress}


def _say_size(out: Path, options: argparse.Namespace) -> None:
    from xr_cbottle.bottle import facts

    if not options.quiet:
        files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
        say(f"{out}: {facts.size(sum(path.stat().st_size for path in files))}")
