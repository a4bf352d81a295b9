"""The command line: ``xr-cbottle list | info | sample | downscale | translate | plot | serve | train`` and others."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xr_cbottle import __version__
from xr_cbottle.base.plain_text import one_line, printable
from xr_cbottle.bottle.sampler import SOLVERS, step_counts
from xr_cbottle.cli import failure
from xr_cbottle.cube.keywords import KEYWORDS, MOST_INSTANTS
from xr_cbottle.draw.own_work import DEFAULT_ROUNDS, DEFAULT_STRENGTH

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle
    from xr_cbottle.cube.cube import Cube
    from xr_cbottle.cube.layout import Layout
    from xr_cbottle.cube.output_form import OutputForm

_BROKEN = 1
_FAILED = 2
_INTERRUPTED = 130
_FILES = ("bottle", "bottles", "data", "out", "output", "manifest", "part", "sst", "weights", "cache_dir")
_OF_DOWNSCALING = tuple(name for name, keyword in KEYWORDS.items() if keyword.downscale and keyword.metavar)
_OF_VALUES = tuple(name for name, keyword in KEYWORDS.items() if keyword.metavar and name != "cache_size")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it was done, 2 if it could not be, 1 by a fault of ours, 130 if it was interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given  # before or after the command, of which some have parsers of their own
    given = [argument for argument in given if argument != "--debug"]
    try:
        if given[:1] == ["train"]:  # has a parser of its own
            from xr_cbottle.training import train_command

            return train_command.main(given[1:])
        if given[:1] == ["evaluate"]:  # too
            from xr_cbottle.evaluation import evaluate_command

            return evaluate_command.main(given[1:])
        options = parser().parse_args(given)
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        _say(f"\ninterrupted{': ' if stop.args else ''}{stop}", error=True)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        said = failure.sentence(error)
        if debug and said is not None:
            _say(failure.trace(error), error=True)
        _say(failure.report(error) if said is None else f"xr-cbottle: {said}", error=True)
        return _BROKEN if said is None else _FAILED
    return 0


def _say(text: Any, *, error: bool = False) -> None:
    """Print: all that this command writes goes through here, so that no bottle's text reaches the terminal as it is."""
    print(printable(text), file=sys.stderr if error else sys.stdout)


def _info(options: argparse.Namespace) -> None:
    from xr_cbottle.bottle import facts

    found = facts.facts(_open(options))
    if options.json:
        shown = json.dumps(found, indent=2, ensure_ascii=False)
        _say(shown if printable(shown) == shown else json.dumps(found, indent=2))
    else:
        _say(facts.text(found, whole=options.all))


def _list(options: argparse.Namespace) -> None:
    from xr_cbottle.cli import listing

    found = listing.rows()
    _say(json.dumps(found, indent=2) if options.json else listing.text(found))


def _cite(options: argparse.Namespace) -> None:
    from xr_cbottle.cli import citation

    stored = citation.is_file(options.bottle)
    _say(citation.bibtex(citation.attributes(options.bottle) if stored else _cube(options).lazy_dataset().attrs))


def _sample(options: argparse.Namespace) -> None:
    from xr_cbottle.cube import writer

    cube = _cube(options)
    form = _form(options, cube.layout)
    if options.dry_run:
        from xr_cbottle.cube import cost

        names = options.variables or list(cube.layouts)
        _say(cost.estimate(cube, names, writer.pieces_of(cube, options.chunk, options.part, form), form).text())
        return
    _check_amount(form.draws(cube.layout), cube.layout.unit, options.yes)
    out = writer.write(cube, options.out, options.variables, form=form, part=options.part, **_written(options))
    if out.exists():
        _say_size(out, options)
    elif not options.quiet:
        _say(f"part {options.part.number} of {options.part.count} is finished; {out} will be there with the last one")


def _downscale(options: argparse.Namespace) -> None:
    from xr_cbottle.cube import downscaling, writer
    from xr_cbottle.fields.opening import open_data

    given = {name: getattr(options, name) for name in (*_OF_DOWNSCALING, "zoom", "seed", "member")}
    asked: Any = {name: value for name, value in given.items() if value is not None}
    ds = _at_times(open_data(options.data), options.time)
    cube, like = downscaling.refined(ds, options.bottle, max_instants=sys.maxsize, **asked)
    form = _form(options, cube.layout)
    _check_amount(form.draws(cube.layout), cube.layout.unit, options.yes)
    out = writer.write(
        cube, options.out, options.variables, form=form, like=like, origin=_identity(options.data), **_written(options)
    )
    _say_size(out, options)


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


def _form(options: argparse.Namespace, layout: Layout) -> OutputForm:
    """How the values are written: which cells, as a mean, on which grid."""
    from xr_cbottle.cube.output_form import output_form

    mean = getattr(options, "ensemble_mean", False)
    if options.conservative and options.grid is None:
        raise ValueError("--conservative is a way to latitudes and longitudes: give --grid, such as --grid 1x1")
    method = "conservative" if options.conservative else "bilinear"
    return output_form(layout, box=options.bbox, mean=mean, spacing=options.grid, method=method)


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
        _say(f"{out}: {facts.size(sum(path.stat().st_size for path in files))}")


def _grid(text: str) -> tuple[float, float]:
    """Degrees of longitude and latitude, of ``1x1`` or ``1``."""
    parts = text.lower().split("x")
    try:
        first, *others = (float(part) for part in parts)
    except ValueError:
        others = [0.0, 0.0]
    if len(others) > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no grid: give degrees of longitude x latitude, such as 1x1")
    return first, others[0] if others else first


def _translate(options: argparse.Namespace) -> None:
    from xr_cbottle.cube import own_data

    _own(options, own_data.translated, source=options.source, target=options.target, strength=options.strength)


def _infill(options: argparse.Namespace) -> None:
    from xr_cbottle.cube import own_data

    _own(options, own_data.filled, label=options.label, rounds=options.rounds)


def _own(options: argparse.Namespace, make: Callable[..., Cube], **how: Any) -> None:
    """Write what a bottle makes of a user's data."""
    from xr_cbottle.cube import keywords, own_data, writer
    from xr_cbottle.fields.opening import open_data

    given = {name: getattr(options, name, None) for name in own_data.OWN_KEYWORDS}
    asked = keywords.checked(
        {**{name: value for name, value in given.items() if value is not None}, "max_instants": sys.maxsize},
        options.command, own_data.OWN_KEYWORDS,
    )  # fmt: skip
    with open_data(options.data) as ds:
        cube = make(ds, options.bottle, asked, member=options.member, **how)
        form = _form(options, cube.layout)
        _check_amount(form.draws(cube.layout), cube.layout.unit, options.yes)
        out = writer.write(
            cube, options.out, options.variables, form=form, like=own_data.described(cube, cube.lazy_dataset(), ds),
            origin=json.dumps(own_data.made_of(cube), sort_keys=True), **_written(options),
        )  # fmt: skip
    _say_size(out, options)


def _plot(options: argparse.Namespace) -> None:
    from xr_cbottle import plot

    cube = _cube(options)
    name = options.variable
    if name not in cube.layouts:
        known = ", ".join(cube.layouts)
        raise ValueError(f"{cube.bottle.manifest.name} has no variable {name!r}: choose among {known}")
    ds = cube.lazy_dataset().isel(time=0)
    if "member" in ds.dims:
        ds = ds.isel(member=0)
    field = ds[name]
    if "pressure" in field.dims:
        levels = list(cube.layouts[name].pressures or ())
        if options.pressure not in levels:
            asked = "needs a pressure" if options.pressure is None else f"is not at {options.pressure} Pa"
            raise ValueError(f"{name} {asked}: give --pressure with one of {', '.join(str(p) for p in levels)} (Pa)")
        field = field.sel(pressure=options.pressure)
    elif options.pressure is not None:
        raise ValueError(f"{name} has no pressure levels: leave --pressure out")
    if options.limits is not None and not options.limits[0] < options.limits[1]:
        raise ValueError(f"the limits {options.limits[0]:g} {options.limits[1]:g} are no range: give the lower first")
    out = Path(options.output or f"{cube.bottle.manifest.name}_{name}.png")
    title = f"{plot.describe(field)}\n{plot.origin(ds)}"
    plot.save(lambda: plot.map(field, land=cube.emulator().sst.land, title=title, limits=options.limits).figure, out)
    _say(out)


def _demo(options: argparse.Namespace) -> None:
    from xr_cbottle.cli import demo

    demo.show(options.bottle, options.output)


def _serve(options: argparse.Namespace) -> None:
    from xr_cbottle.serve.http import host
    from xr_cbottle.serve.http.settings import OF_DATA, Settings, is_local

    given = {name: value for name, value in vars(options).items() if value is not None}
    own = {name: given[name] for name in Settings.__dataclass_fields__ if name in given}
    own |= {"cors": None} if options.no_cors else {}
    settings = Settings(**own, data={name: given[name] for name in OF_DATA if name in given})
    if not is_local(settings.host):
        _say(f"warning: everybody who reaches {settings.host} can make this machine draw", error=True)

    def ready(server: host.Host) -> None:
        _say(f"{server.url} (Ctrl-C stops)")
        for line in server.server.shelf.lines(server.url):
            _say(f"  {line}")
        sys.stdout.flush()

    if not host.serve(options.bottles, settings, ready=ready):
        sys.stdout.flush()
        os._exit(0)  # a batch that was given up may take minutes, and a thread cannot be ended


def _fetch(options: argparse.Namespace) -> None:
    from xr_cbottle.bottle import bottle as bottles
    from xr_cbottle.bottle import facts

    bottle = _open(options)
    _say(one_line(f"{bottle.manifest.name}: {bottle.manifest.licence}"), error=True)
    out = _pinned_path(options, bottle) if options.pin else None
    progress = not options.quiet
    bottles.fetch(bottle, progress, superres=not options.no_superres, again=options.again)
    if out is not None:
        from xr_cbottle.bottle.archive import replacing

        manifest = bottles.pinned(_open(options), progress)
        with replacing(out) as temporary:
            temporary.write_text(manifest.to_json(), encoding="utf-8")
        _say(f"{out}: the manifest with the sizes and digests of {len(manifest.files)} files")
    without = " but those of super-resolution" if options.no_superres and bottle.manifest.superres else ""
    _say(f"{bottle.manifest.name}: all its files{without} are here, {facts.size(bottle.nbytes or bottle.size)}")


def _pinned_path(options: argparse.Namespace, bottle: Bottle) -> Path:
    """Where ``--pin`` writes; refused before anything is fetched if that cannot be."""
    if options.no_superres:
        raise ValueError("--pin needs every file: leave --no-superres out")
    beside = [spec.location for spec in bottle.manifest.files if "://" not in spec.location]
    if beside:
        raise ValueError(
            f"{bottle.manifest.name} holds {beside[0]} itself: --pin is for bottles whose files are all URLs"
        )
    out = Path(options.output or f"{bottle.manifest.name}-pinned.cbottle")
    if out.exists():
        raise ValueError(f"{out} is there already: remove it, or give another name with --output")
    return out


def _pack(options: argparse.Namespace) -> None:
    from xr_cbottle.bottle import facts
    from xr_cbottle.bottle.bottle import open_bottle
    from xr_cbottle.bottle.repacking import repack

    steps = step_counts(options.choose_levels) if options.choose_levels is not None else ()
    changed = {name: getattr(options, name) for name in ("solver", "num_steps") if getattr(options, name) is not None}
    with tempfile.TemporaryDirectory() as folder:
        bottle = _to_pack(options, Path(folder, "draft.cbottle"))
        sampler = bottle.manifest.sampler.replaced(**changed)
        if steps:
            from xr_cbottle.training.level_choice import choose_levels

            choices = choose_levels(bottle, sampler, steps)
            sampler = sampler.offering([choice.sigmas for choice in choices])
            for choice in choices:
                _say(choice)
        repack(options.out, bottle, dataclasses.replace(bottle.manifest, sampler=sampler))
    _say(facts.text(facts.facts(open_bottle(options.out))))


def _to_pack(options: argparse.Namespace, draft: Path) -> Bottle:
    """The bottle that ``pack`` packs: another one, or a draft made of a manifest and its files."""
    from xr_cbottle.bottle.bottle import open_bottle
    from xr_cbottle.bottle.manifest import Manifest
    from xr_cbottle.bottle.packing import pack

    files = (options.manifest, *options.part, options.sst, options.climatology)
    if options.bottle is not None:
        if any(file is not None for file in files):
            raise ValueError("--from has a manifest and files of its own: leave --manifest, --part and other files out")
        return open_bottle(options.bottle)
    if options.manifest is None or not options.part:
        raise ValueError("pack makes a bottle of --manifest and --part, or of --from BOTTLE: give one of the two")
    manifest = Manifest.from_json(options.manifest.read_text())
    return open_bottle(pack(draft, manifest, options.part, options.sst, options.climatology))


def _open(options: argparse.Namespace) -> Bottle:
    from xr_cbottle.bottle.bottle import open_bottle

    return open_bottle(options.bottle, weights=options.weights)


def _cube(options: argparse.Namespace) -> Cube:
    from xr_cbottle.cube.cube import Cube

    given = {name: getattr(options, name, None) for name in _OF_VALUES}
    # What is written here is asked for: there is no limit to be surprised by.
    asked: Any = {name: value for name, value in given.items() if value is not None}
    return Cube(options.bottle, max_instants=sys.maxsize, **asked)


def _add_keyword(group: Any, name: str, **changed: Any) -> None:
    """Add the option of a keyword to a command."""
    keyword = KEYWORDS[name]

    def parsed(text: str) -> Any:
        try:
            return keyword.parse(name, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    option = "--" + name.replace("_", "-")
    told = {"type": parsed, "metavar": keyword.metavar, "help": keyword.option.replace("%", "%%"), **changed}
    group.add_argument(option, **told)


def _part(text: str) -> Any:
    from xr_cbottle.cube.writer import StorePart

    try:
        return StorePart.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class _Completion(argparse.Action):
    """Print the completion of a shell, and end."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> None:
        import shtab

        (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        for made in commands.choices.values():
            for action in made._actions:
                if action.dest in _FILES:
                    action.complete = shtab.FILE
        print(shtab.complete(parser, given[1]))
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``train`` and ``evaluate`` have parsers of their own."""
    parser = argparse.ArgumentParser(
        prog="xr-cbottle", description="Data as a model: bottles and the data they stand for."
    )
    parser.add_argument("--version", action="version", version=f"xr-cbottle {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where in the code an error comes from")
    parser.add_argument("--print-completion", action=_Completion, choices=("bash", "zsh", "tcsh"),
                        help="print a script that completes commands in this shell")  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Any, name: str, about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        made.set_defaults(run=run)
        return made

    def bottle(made: argparse.ArgumentParser) -> None:
        made.add_argument("bottle", metavar="BOTTLE", help="path, URL or name, such as gcm or icon")
        _add_keyword(made, "weights")

    def keywords(group: Any, names: Iterable[str]) -> None:
        for name in names:
            _add_keyword(group, name)

    def values(made: argparse.ArgumentParser) -> None:
        of_data = (name for name in _OF_VALUES if name not in ("time", "weights"))
        keywords(made.add_argument_group("the data set"), of_data)

    def written(made: argparse.ArgumentParser) -> None:
        """Options of what is written, and of how."""
        made.add_argument("--variables", nargs="+", metavar="NAME", help="[all]")
        made.add_argument("--bbox", type=float, nargs=4, metavar=("WEST", "SOUTH", "EAST", "NORTH"),
                          help="only the cells whose centres lie in this box, in degrees")  # fmt: skip
        made.add_argument("--grid", type=_grid, metavar="1x1",
                          help="latitudes and longitudes so many degrees apart, instead of HEALPix cells")  # fmt: skip
        made.add_argument("--conservative", action="store_true",
                          help="of --grid: means over its boxes, instead of bilinear interpolation")  # fmt: skip
        made.add_argument(
            "--chunk", type=int, metavar="TIMES", help="times in a chunk [about 1 MiB of a surface variable]"
        )
        made.add_argument("--zarr-format", type=int, choices=(2, 3), default=2, help="[2, which every reader knows]")
        made.add_argument("--yes", action="store_true", help=f"draw, also if it is more than {MOST_INSTANTS} instants")
        made.add_argument("--quiet", action="store_true", help="no progress bar")

    listed = command(_list, "list", "which bottles there are: in this folder, in XR_CBOTTLE_PATH, in the package")
    listed.add_argument("--json", action="store_true", help="for programs")

    info = command(_info, "info", "what a bottle is and what it stands for")
    bottle(info)
    info.add_argument("--all", action="store_true", help="also its sampler, and what it was trained on")
    info.add_argument("--json", action="store_true", help="all of it, for programs")

    sample = command(_sample, "sample", "draw a data set and write it; an interrupted .zarr is continued")
    bottle(sample)
    sample.add_argument("out", metavar="OUT.zarr|OUT.nc", help="where to; must not be there yet")
    _add_keyword(sample, "time", required=True, help=(
        "START/END/STEP such as 1990-01-01/1990-12-31/PT6H, START/END, a step for the whole axis, or times with commas"
    ))  # fmt: skip
    sample.add_argument("--ensemble-mean", action="store_true", help="write the mean over --members, and not each")
    sample.add_argument(
        "--part", type=_part, metavar="I/N", help="write one of N parts of a store, each by a process of its own"
    )
    sample.add_argument("--dry-run", action="store_true", help="say what it will cost, and write nothing")
    written(sample)
    values(sample)

    downscale = command(_downscale, "downscale", "super-resolve data of your own with a bottle's network, and write it")
    downscale.add_argument("data", metavar="DATA", help="netCDF file, Zarr store or URL; see docs/data-formats.md")
    downscale.add_argument("bottle", metavar="BOTTLE", help="path, URL or name of a bottle with super-resolution")
    downscale.add_argument("out", metavar="OUT.zarr|OUT.nc", help="where to; must not be there yet")
    _add_keyword(downscale, "time", help="which of its times: START/END, a day or month, or times with commas [all]")
    written(downscale)
    drawn = downscale.add_argument_group("the data set")
    _add_keyword(drawn, "zoom", help="HEALPix level above the bottle's own [the finest]")
    _add_keyword(drawn, "seed")
    drawn.add_argument("--member", type=int, metavar="N", help="another draw of the same data [0]")
    keywords(drawn, _OF_DOWNSCALING)

    cite = command(_cite, "cite", "what a paper must name, as BibTeX: bottle, digest, seed, sampler")
    cite.add_argument("bottle", metavar="BOTTLE|DATA.nc|DATA.zarr", help="a bottle, or what was drawn from one")
    _add_keyword(cite, "weights")
    values(cite)

    def own(run: Any, name: str, about: str) -> argparse.ArgumentParser:
        made = command(run, name, about)
        bottle(made)
        made.add_argument("data", metavar="DATA", help="your data: netCDF, or a folder with zarr")
        made.add_argument("out", metavar="OUT.zarr|OUT.nc", help="where to; must not be there yet")
        made.add_argument("--member", type=int, default=0, metavar="N", help="chooses the noise, as the seed does [0]")
        made.set_defaults(command=name)
        written(made)
        return made

    translate = own(_translate, "translate", "carry your data to a label; an interrupted .zarr is continued")
    translate.add_argument("--source", metavar="LABEL", help="of your data [none knows them]")
    translate.add_argument("--target", metavar="LABEL", help="of the result [the bottle's default]")
    translate.add_argument(
        "--strength", type=float, default=DEFAULT_STRENGTH, metavar="S", help="noise level to turn at [%(default)g]"
    )
    infill = own(_infill, "infill", "draw what is missing in your data; an interrupted .zarr is continued")
    infill.add_argument(
        "--rounds", type=int, default=DEFAULT_ROUNDS, metavar="N", help="at middle levels [%(default)d]"
    )
    _add_keyword(infill, "label")
    without = ("time", "time_method", "members", "label", "guide", "coherence", "weights")
    for made in (translate, infill):
        keywords(made.add_argument_group("the data set"), (name for name in _OF_VALUES if name not in without))

    plot = command(_plot, "plot", "draw a field on a map")
    bottle(plot)
    plot.add_argument("variable", metavar="VARIABLE")
    _add_keyword(plot, "time", help="a time, or START/END/STEP of which the first is drawn")
    plot.add_argument("--pressure", type=int, metavar="PA", help="level in Pa")
    plot.add_argument("--limits", type=float, nargs=2, metavar=("LOW", "HIGH"), help="of the colours")
    plot.add_argument("-o", "--output", metavar="OUT.png", help="[BOTTLE_VARIABLE.png]")
    values(plot)

    demo = command(_demo, "demo", "open the bundled bottle, draw a few instants, say what it cost, write maps")
    demo.add_argument("--bottle", default="gcm", metavar="BOTTLE", help="[gcm]")
    demo.add_argument("-o", "--output", default="xr_cbottle_demo.png", metavar="OUT.png", help="[%(default)s]")

    serve = command(_serve, "serve", "serve bottles over HTTP, as Zarr that is drawn when it is read, and a page")
    serve.add_argument("bottles", metavar="BOTTLE", nargs="+", help="path, URL or name, such as gcm or icon")
    serve.add_argument("--host", metavar="HOST", help="[127.0.0.1: for this machine only]")
    serve.add_argument("--port", type=int, metavar="N", help="0: any that is free [8000]")
    serve.add_argument("--allow-host", action="append", metavar="NAME",
                       help="by which it may be called, beside localhost and addresses; may be repeated")  # fmt: skip
    pages = serve.add_mutually_exclusive_group()
    pages.add_argument("--cors", metavar="ORIGIN", help="of pages that may read it [any page]")
    pages.add_argument("--no-cors", action="store_true", help="only its own page may read it")
    serve.add_argument("--embed", metavar="ORIGIN", help="of pages that may show its page in a frame [only its own]")
    serve.add_argument("--max-waiting", type=int, metavar="N", help="instants of a bottle that may wait [64]")
    serve.add_argument("--max-cost", type=int, metavar="N", help="instants in the mean of one chunk [48]")
    serve.add_argument("--max-requests", type=int, metavar="N", help="requests that may wait [1000]")
    serve.add_argument("--max-connections", type=int, metavar="N", help="that may be open [1000]")
    serve.add_argument("--max-data-sets", type=int, metavar="N", help="data sets kept open [64]")
    serve.add_argument("--loading-wait", type=float, metavar="S", help="for networks that are being loaded [30]")
    serve.add_argument("--client-wait", type=float, metavar="S", help="for a client to send or to take in [10]")
    serve.add_argument("--stop-wait", type=float, metavar="S", help="for a draw under way when it is stopped [10]")
    serve.add_argument("--quiet", action="store_true", help="no line for each request")
    keywords(serve.add_argument_group("the data sets"), (name for name, keyword in KEYWORDS.items() if keyword.serve))

    fetch = command(_fetch, "fetch", "bring the files of a bottle to this machine")
    bottle(fetch)
    fetch.add_argument("--no-superres", action="store_true", help="not those that only zooms above the bottle's need")
    fetch.add_argument("--again", action="store_true", help="also what is here, and pin what comes now")
    fetch.add_argument("--pin", action="store_true", help="write a manifest with the sizes and digests of all files")
    fetch.add_argument("-o", "--output", metavar="OUT.cbottle", help="of --pin [BOTTLE-pinned.cbottle]")
    fetch.add_argument("--quiet", action="store_true", help="no progress bar")

    pack = command(_pack, "pack", "make a bottle of a manifest and its files, or of another bottle")
    pack.add_argument("out", metavar="OUT.cbottle")
    pack.add_argument("--manifest", type=Path, metavar="bottle.json")
    pack.add_argument(
        "--part", type=Path, action="append", default=[], metavar="FILE", help="checkpoint of each part, in order"
    )
    pack.add_argument("--sst", type=Path, metavar="FILE", help="netCDF of the sea surface temperature")
    pack.add_argument("--climatology", type=Path, metavar="FILE", help="netCDF of the climatology")
    pack.add_argument("--from", dest="bottle", metavar="BOTTLE", help="instead of these: a bottle that is there")
    pack.add_argument(
        "--choose-levels", metavar="N,N,...",
        help="choose noise levels for each of these numbers of steps, by drawing; num_steps=N then takes them",
    )  # fmt: skip
    pack.add_argument("--solver", choices=tuple(SOLVERS), help="of the bottle from now on [the manifest's]")
    pack.add_argument("--num-steps", type=int, metavar="N", help="of the bottle from now on [the manifest's]")

    # main() takes these two before.
    command(_info, "evaluate", "hold a bottle against its simulation: a report with figures, verdicts and pictures")
    command(_info, "train", "train a bottle by a configuration; see xr-cbottle train --help")
    return parser
