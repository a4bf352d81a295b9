"""Arguments: the parser of all commands, and what each may be told."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from xr_cbottle import __version__
from xr_cbottle.bottle.sampler import SOLVERS
from xr_cbottle.cli import commands, outputs
from xr_cbottle.cli.options import OF_DOWNSCALING, OF_VALUES, add_keyword
from xr_cbottle.cube.keywords import KEYWORDS, MOST_INSTANTS
from xr_cbottle.draw.own_work import (
    ASSIMILATION,
    DEFAULT_BACKGROUND_STRENGTH,
    DEFAULT_DRAWS,
    DEFAULT_ROUNDS,
    DEFAULT_STRENGTH,
)

Add = Callable[[Any, str, str], argparse.ArgumentParser]
FILES = ("bottle", "bottles", "data", "out", "output", "manifest", "part", "sst", "weights", "cache_dir")


def _part(text: str) -> Any:
    from xr_cbottle.cube.portions import StorePart

    try:
        return StorePart.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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


def _by_variable(text: str) -> dict[str, float]:
    """Numbers by variable, of ``psl=100,tas=1``; nothing of ``0``."""
    parts = [part.partition("=") for part in text.split(",") if text.strip() != "0"]
    try:
        return {name.strip(): float(number) for name, _, number in parts}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are no errors: write NAME=NUMBER, such as psl=100,tas=1") from None


class _Completion(argparse.Action):
    """Print the completion of a shell, and end."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> None:
        import shtab

        (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        for made in commands.choices.values():
            for action in made._actions:
                if action.dest in FILES:
                    action.complete = shtab.FILE
        print(shtab.complete(parser, given[1]))
        parser.exit()


def _bottle(made: argparse.ArgumentParser) -> None:
    made.add_argument("bottle", metavar="BOTTLE", help="path, URL or name, such as gcm or icon")
    add_keyword(made, "weights")


def _keywords(group: Any, names: Iterable[str]) -> None:
    for name in names:
        add_keyword(group, name)


def _values(made: argparse.ArgumentParser) -> None:
    of_data = (name for name in OF_VALUES if name not in ("time", "weights"))
    _keywords(made.add_argument_group("the data set"), of_data)


def _written(made: argparse.ArgumentParser) -> None:
    """Options of what is written, and of how."""
    made.add_argument("--variables", nargs="+", metavar="NAME", help="[all]")
    made.add_argument("--bbox", type=float, nargs=4, metavar=("WEST", "SOUTH", "EAST", "NORTH"),
                      help="only the cells whose centres lie in this box, in degrees")  # fmt: skip
    made.add_argument("--grid", type=_grid, metavar="1x1",
                      help="latitudes and longitudes so many degrees apart, instead of HEALPix cells")  # fmt: skip
    made.add_argument("--conservative", action="store_true",
                      help="of --grid: means over its boxes, instead of bilinear interpolation")  # fmt: skip
    made.add_argument("--chunk", type=int, metavar="TIMES", help="times in a chunk [about 1 MiB of a surface variable]")
    made.add_argument("--zarr-format", type=int, choices=(2, 3), default=2, help="[2, which every reader knows]")
    made.add_argument("--yes", action="store_true", help=f"draw, also if it is more than {MOST_INSTANTS} instants")
    made.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_listing(add: Add) -> None:
    listed = add(
        commands.list_bottles, "list", "which bottles there are: in this folder, in XR_CBOTTLE_PATH, in the package"
    )
    listed.add_argument("--json", action="store_true", help="for programs")


def _add_info(add: Add) -> None:
    info = add(commands.info, "info", "what a bottle is and what it stands for")
    _bottle(info)
    info.add_argument("--all", action="store_true", help="also its sampler, and what it was trained on")
    info.add_argument("--json", action="store_true", help="all of it, for programs")


def _add_sample(add: Add) -> None:
    sample = add(outputs.sample, "sample", "draw a data set and write it; an interrupted .zarr is continued")
    _bottle(sample)
    sample.add_argument("out", metavar="OUT.zarr|OUT.nc", help="where to; must not be there yet")
    add_keyword(sample, "time", required=True, help=(
        "START/END/STEP such as 1990-01-01/1990-12-31/PT6H, START/END, a step for the whole axis, or times with commas"
    ))  # fmt: skip
    sample.add_argument("--ensemble-mean", action="store_true", help="write the mean over --members, and not each")
    sample.add_argument(
        "--part", type=_part, metavar="I/N", help="write one of N parts of a store, each by a process of its own"
    )
    sample.add_argument("--dry-run", action="store_true", help="say what it will cost, and write nothing")
    _written(sample)
    _values(sample)


def _add_downscale(add: Add) -> None:
    downscale = add(
        outputs.downscale, "downscale", "super-resolve data of your own with a bottle's network, and write it"
    )
    downscale.add_argument("data", metavar="DATA", help="netCDF file, Zarr store or URL; see docs/data-formats.md")
    downscale.add_argument("bottle", metavar="BOTTLE", help="path, URL or name of a bottle with super-resolution")
    downscale.add_argument("out", metavar="OUT.zarr|OUT.nc", help="where to; must not be there yet")
    add_keyword(downscale, "time", help="which of its times: START/END, a day or month, or times with commas [all]")
    _written(downscale)
    drawn = downscale.add_argument_group("the data set")
    add_keyword(drawn, "zoom", help="HEALPix level above the bottle's own [the finest]")
    add_keyword(drawn, "seed")
    drawn.add_argument("--member", type=int, metavar="N", help="another draw of the same data [0]")
    _keywords(drawn, OF_DOWNSCALING)


def _add_cite(add: Add) -> None:
    cite = add(commands.cite, "cite", "what a paper must name, as BibTeX: bottle, digest, seed, sampler")
    cite.add_argument("bottle", metavar="BOTTLE|DATA.nc|DATA.zarr", help="a bottle, or what was drawn from one")
    add_keyword(cite, "weights")
    _values(cite)


_FIELDS = "your data: netCDF, or a folder with zarr"
_OBSERVATIONS = "observations: .csv with lat, lon, time, variable, value, error; or netCDF, zarr: see docs/own-data.md"


def _own(add: Add, run: Any, name: str, about: str, data: str = _FIELDS) -> argparse.ArgumentParser:
    made = add(run, name, f"{about}; an interrupted .zarr is continued")
    _bottle(made)
    made.add_argument("data", metavar="DATA", help=data)
    made.add_argument("out", metavar="OUT.zarr|OUT.nc", help="where to; must not be there yet")
    made.set_defaults(command=name)
    _written(made)
    return made


def _add_own_data(add: Add) -> None:
    translate = _own(add, outputs.translate, "translate", "carry your data to a label")
    translate.add_argument("--source", metavar="LABEL", help="of your data [none knows them]")
    translate.add_argument("--target", metavar="LABEL", help="of the result [the bottle's default]")
    translate.add_argument(
        "--strength", type=float, default=DEFAULT_STRENGTH, metavar="S", help="noise level to turn at [%(default)g]"
    )
    infill = _own(add, outputs.infill, "infill", "draw what is missing in your data")
    infill.add_argument(
        "--rounds", type=int, default=DEFAULT_ROUNDS, metavar="N", help="at middle levels [%(default)d]"
    )
    add_keyword(infill, "label")
    for made in (translate, infill):
        made.add_argument("--member", type=int, default=0, metavar="N", help="chooses the noise, as the seed does [0]")
    without = ("time", "time_method", "members", "label", "guide", "coherence", "weights")
    for made in (translate, infill, _add_assimilate(add)):
        _keywords(made.add_argument_group("the data set"), (name for name in OF_VALUES if name not in without))


def _add_assimilate(add: Add) -> argparse.ArgumentParser:
    made = _own(add, outputs.assimilate, "assimilate", "draw globes given what stations observed", _OBSERVATIONS)
    made.add_argument("--members", type=int, default=8, metavar="N", help="how many [%(default)d]")
    made.add_argument("--time", metavar="TIME[,...]", help="of the analysis [each that was observed]")
    made.add_argument("--window", default="1h", metavar="DURATION", help="what counts for a time [%(default)s]")
    made.add_argument("--method", choices=ASSIMILATION, default=ASSIMILATION[0], help="[%(default)s]")
    made.add_argument("--errors", type=_by_variable, metavar="NAME=X[,...]", help="of observations without one")
    made.add_argument(
        "--representativeness", type=_by_variable, metavar="NAME=X[,...]",
        help="errors for what cells do not hold, or 0 [estimated]",
    )  # fmt: skip
    made.add_argument("--background", metavar="DATA", help="an earlier analysis or a forecast to start from")
    made.add_argument(
        "--strength", type=float, default=DEFAULT_BACKGROUND_STRENGTH, metavar="S",
        help="noise level that is added to the background [%(default)g]",
    )  # fmt: skip
    made.add_argument(
        "--draws", type=int, default=DEFAULT_DRAWS, metavar="N", help="that tell which errors go together [%(default)d]"
    )
    add_keyword(made, "label")
    return made


def _add_plot(add: Add) -> None:
    plot = add(commands.plot, "plot", "draw a field on a map")
    _bottle(plot)
    plot.add_argument("variable", metavar="VARIABLE")
    add_keyword(plot, "time", help="a time, or START/END/STEP of which the first is drawn")
    plot.add_argument("--pressure", type=int, metavar="PA", help="level in Pa")
    plot.add_argument("--limits", type=float, nargs=2, metavar=("LOW", "HIGH"), help="of the colours")
    plot.add_argument("-o", "--output", metavar="OUT.png", help="[BOTTLE_VARIABLE.png]")
    _values(plot)


def _add_demo(add: Add) -> None:
    demo = add(commands.demo, "demo", "open the bundled bottle, draw a few instants, say what it cost, write maps")
    demo.add_argument("--bottle", default="gcm", metavar="BOTTLE", help="[gcm]")
    demo.add_argument("-o", "--output", default="xr_cbottle_demo.png", metavar="OUT.png", help="[%(default)s]")


def _add_serve(add: Add) -> None:
    serve = add(commands.serve, "serve", "serve bottles over HTTP, as Zarr that is drawn when it is read, and a page")
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
    _keywords(serve.add_argument_group("the data sets"), (name for name, keyword in KEYWORDS.items() if keyword.serve))


def _add_fetch(add: Add) -> None:
    fetch = add(commands.fetch, "fetch", "bring the files of a bottle to this machine")
    _bottle(fetch)
    fetch.add_argument("--no-superres", action="store_true", help="not those that only zooms above the bottle's need")
    fetch.add_argument("--again", action="store_true", help="also what is here, and pin what comes now")
    fetch.add_argument("--pin", action="store_true", help="write a manifest with the sizes and digests of all files")
    fetch.add_argument("-o", "--output", metavar="OUT.cbottle", help="of --pin [BOTTLE-pinned.cbottle]")
    fetch.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_pack(add: Add) -> None:
    pack = add(commands.pack, "pack", "make a bottle of a manifest and its files, or of another bottle")
    pack.add_argument("out", metavar="OUT.cbottle")
    pack.add_argument("--manifest", type=Path, metavar="bottle.json")
    pack.add_argument(
        "--part", type=Path, action="append", default=[], metavar="FILE", help="checkpoint of each part, in order"
    )
    pack.add_argument("--sst", type=Path, metavar="FILE", help="netCDF of the sea surface temperature")
    pack.add_argument("--climatology", type=Path, metavar="FILE", help="netCDF of the climatology")
    pack.add_argument("--coherence", type=Path, metavar="FILE", help="netCDF of the coherence, added to --from BOTTLE")
    pack.add_argument(
        "--from", dest="bottle", metavar="BOTTLE",
        help="instead of --manifest and --part: a bottle that is there, to which other files are added",
    )  # fmt: skip
    pack.add_argument(
        "--figures", type=Path, metavar="FILE.json", help="results of an evaluation, to keep in the manifest"
    )
    pack.add_argument(
        "--static", action="append", default=[], metavar="[LABEL=]FILE",
        help="netCDF of fields that do not change in time, such as orog and sftlf; of one label, or of all",
    )  # fmt: skip
    pack.add_argument(
        "--networks-of", metavar="BOTTLE",
        help="another bottle, of which networks of super-resolution and bridges are added to --from BOTTLE",
    )  # fmt: skip
    pack.add_argument(
        "--choose-levels", metavar="N,N,...",
        help="choose noise levels for each of these numbers of steps, by drawing; num_steps=N then takes them",
    )  # fmt: skip
    pack.add_argument("--solver", choices=tuple(SOLVERS), help="of the bottle from now on [the manifest's]")
    pack.add_argument("--num-steps", type=int, metavar="N", help="of the bottle from now on [the manifest's]")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``train`` and ``evaluate`` have parsers of their own."""
    parser = argparse.ArgumentParser(
        prog="xr-cbottle", description="Data as a model: bottles and the data they stand for."
    )
    parser.add_argument("--version", action="version", version=f"xr-cbottle {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where in the code an error comes from")
    parser.add_argument("--print-completion", action=_Completion, choices=("bash", "zsh", "tcsh"),
                        help="print a script that completes commands in this shell")  # fmt: skip
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(run: Any, name: str, about: str) -> argparse.ArgumentParser:
        made = subparsers.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        made.set_defaults(run=run)
        return made

    for group in (
        _add_listing, _add_info, _add_sample, _add_downscale, _add_cite, _add_own_data,
        _add_plot, _add_demo, _add_serve, _add_fetch, _add_pack,
    ):  # fmt: skip
        group(add)
    # main() takes these two before.
    add(commands.info, "evaluate", "hold a bottle against its simulation: a report with figures, verdicts and pictures")
    add(commands.info, "train", "train a bottle by a configuration; see xr-cbottle train --help")
    return parser
